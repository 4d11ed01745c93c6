"""One table of the tests of all aligned models, with the predictions and maps of the unsupervised track."""

from pathlib import Path

import pandas as pd

from neurovae.cli import cli
from neurovae.io.parquet import read_parquet, write_table
from neurovae.supervised.agreement import agreements

BESIDE = {"voxels": ("voxels + confounds", "voxels"), "latents": ("latents + confounds", "latents")}


def run(
    *, tests: list[Path], patterns: list[Path], mask: Path, predictions: Path, primary: str, out: Path, maps: str = ""
) -> None:
    """Write one table of the tests of all aligned models.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun supervised

    Args:
        tests: tests.parquet of each model.
        patterns: pattern_mean.nii.gz of each model.
        mask: the fixed mask.
        predictions: predict/predictions.tsv.
        primary: the unsupervised model that was named beforehand.
        out: TSV to write.
        maps: folder of the maps of the primary model's scores; empty: it has none.
    """
    of_models = [read_parquet(path) for path in tests]
    beside_maps = [agreements(one, path, mask, maps, primary) for one, path in zip(of_models, patterns, strict=True)]
    found = pd.concat([pd.concat(of_models, ignore_index=True), pd.concat(beside_maps, ignore_index=True)], axis=1)
    metrics = pd.read_csv(predictions, sep="\t", keep_default_na=False, na_values=["n/a"], dtype={"score": "object"})
    metrics = metrics[(metrics["metric"] == "r2") & (metrics["learner"] == "linear")].drop_duplicates(
        ["score", "model", "features"]
    )
    write_table(out, found.assign(**{f"r2_{name}": beside(found, metrics, name, primary) for name in BESIDE}))


def beside(found: pd.DataFrame, metrics: pd.DataFrame, name: str, primary: str) -> pd.Series:
    """R2 of ridge on all voxels, or on the latents of the primary model, with the confounds if there are any.

    A binary score is predicted as a class there, and has none.
    """
    rows = metrics[metrics["model"] == ("voxels" if name == "voxels" else primary)]
    by_features = [rows[rows["features"] == one].set_index("score")["value"] for one in BESIDE[name]]
    r2 = by_features[0].combine_first(by_features[1])
    return found["score"].map(r2).astype(float)


if __name__ == "__main__":
    cli(run)
