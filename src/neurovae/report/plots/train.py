"""Draw the figures of the trained models: losses, health, reconstructions, rates and searches."""

from pathlib import Path

from neurovae.cli import Json, cli
from neurovae.report.figures import health, losses, rates, reconstructions, search


def run(
    *,
    results: Path,
    models: list[str],
    decoded: list[str],
    trained: list[str],
    fit: str,
    searches: Json,
    folds: list[int],
) -> None:
    """Draw the figures of the trained models, one fit of each.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun plot_train

    Args:
        results: results folder of the cohort.
        models: names of the models.
        decoded: those with a decoder, whose reconstructions are drawn.
        trained: those that are trained in epochs.
        fit: fold and seed ("fold-0_seed-0").
        searches: objective, space and least active units of each search, by model.
        folds: folds that were searched.
    """
    out, packed = results / "report", results / "preprocess"
    files = {"volumes": packed / "volumes.npy", "rows": packed / "volumes.parquet", "mask": packed / "mask.nii.gz"}
    for name in models:
        folder, stem = results / "train" / name / fit, f"{name}_{fit}"
        verdict = folder / "health.json"
        latents = results / "latents" / name / fit
        health.draw(health=verdict, index=latents / "latent_index.parquet", name=name, out=out / f"{stem}_health.png")
        if name in decoded:
            reconstructions.draw(
                **files, model=folder / "weights.safetensors", latents=latents / "latents.parquet", health=verdict,
                name=name, out=out / f"{stem}_reconstructions.png",
            )  # fmt: skip
        if name in trained:
            losses.draw(history=folder / "history.parquet", name=name, out=out / f"{stem}_losses.png")
    if decoded:
        rates.draw(train=results / "train", models=models, fit=fit, out=out / "rates.png")
    for name, asked in searches.items():
        for fold in folds:
            trials = results / "train" / name / f"fold-{fold}_search" / "trials.tsv"
            search.draw(trials=trials, name=name, fold=fold, **asked, out=out / f"{name}_fold-{fold}_search.png")


if __name__ == "__main__":
    cli(run)
