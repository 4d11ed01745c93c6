"""Draw the figures of the predictions: calibration, importance and survival of each model, and all side by side."""

from pathlib import Path

from neurovae.cli import cli
from neurovae.report.figures import baselines as comparison
from neurovae.report.figures import calibration, importance
from neurovae.report.figures import survival as kaplan_meier


def run(
    *, results: Path, models: list[str], seed: int, baselines: list[str], survival: list[str] | None = None
) -> None:
    """Draw the figures of the predictions, one seed of each model.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun plot_predict

    Args:
        results: results folder of the cohort.
        models: names of the models.
        seed: of the models.
        baselines: names of the PCAs.
        survival: names of the survival scores.
    """
    folder, out = results / "predict", results / "report"
    for name in models:
        files, stem = folder / name / f"seed-{seed}", f"{name}_seed-{seed}"
        calibration.draw(
            predictions=files / "predictions.parquet",
            metrics=files / "predict.parquet",
            name=name,
            out=out / f"{stem}_calibration.png",
        )
        importance.draw(table=files / "importance.parquet", name=name, out=out / f"{stem}_importance.png")
        if survival:
            kaplan_meier.draw(
                predictions=files / "predictions.parquet",
                metrics=files / "predict.parquet",
                scores=survival,
                name=name,
                out=out / f"{stem}_survival.png",
            )
    comparison.draw(predictions=folder / "predictions.tsv", baselines=baselines, out=out / "baselines.png")


if __name__ == "__main__":
    cli(run)
