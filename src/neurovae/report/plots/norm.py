"""Draw the figures of brain age and of deviations from the norm."""

from pathlib import Path

from neurovae.cli import cli
from neurovae.report.figures import norm


def run(*, results: Path, aged: list[str], deviations: list[str]) -> None:
    """Draw a figure per model and analysis.

    Example:
        snakemake --cores 2 --configfile config/mystudy.yaml --forcerun plot_norm

    Args:
        results: results folder of the cohort.
        aged: models with brain age.
        deviations: models with deviations.
    """
    for model in aged:
        folder = results / "norm" / model
        files = {"ages": "brain_age", "groups": "brain_age_groups", "metrics": "brain_age_metrics"}
        paths = {key: folder / f"{name}.parquet" for key, name in files.items()}
        norm.brain_age(**paths, out=results / "report" / f"{model}_brainage.png")
    for model in deviations:
        folder = results / "norm" / model
        paths = {"people": folder / "deviation.parquet", "calibrated": folder / "deviation_calibration.parquet"}
        norm.deviation(**paths, out=results / "report" / f"{model}_deviation.png")


if __name__ == "__main__":
    cli(run)
