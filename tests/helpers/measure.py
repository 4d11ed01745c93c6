"""What `make ixi` and `make ds000011` print: cost, masks, registration, models, prediction; no test, run by hand."""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from neurovae.preprocess.names import derivative

CALLS = ["deepbet", "n4", "registration", "resample"]  # bare library calls; the rest, restarts too, is ours


def cost(results: Path) -> None:
    """Seconds per scan and step, overhead over the bare ANTs and deepbet calls, share of time both cores worked."""
    folder = results / "benchmarks" / "preprocess"
    calls = pd.concat([pd.read_csv(path, sep="\t") for path in sorted(folder.glob("*.calls.tsv"))])
    jobs = pd.concat([read_job(path) for path in sorted(folder.glob("*-[0-9][0-9][0-9][0-9].tsv"))])
    once = pd.read_csv(folder / "grids.tsv", sep="\t")["s"].sum()  # the job that all batches share
    scans = calls["scan"].nunique()
    if not scans:
        print("cost: every scan was kept from an earlier run; delete the results to measure")
        return
    spent = calls.groupby("call")["seconds"].agg(["sum", "count"])
    for name, row in spent.iterrows():
        print(f"cost: {name:<14} {row['sum'] / scans:6.2f} s a scan, {scans} scans")
    for step, rows in jobs.groupby("step"):
        print(
            f"cost: {step:<14} {rows['s'].sum() / scans:6.2f} s of job a scan, at most {rows['max_rss'].max():.0f} MB"
        )
    bare = spent.loc[[name for name in CALLS if name in spent.index], "sum"].sum()
    preprocess = results / "preprocess"
    first = jobs[jobs["step"] == "extract"].set_index("batch")["s"]
    start = min((preprocess / "extract" / f"{name}.list").stat().st_mtime - s for name, s in first.items())
    end = max(path.stat().st_mtime for path in preprocess.glob("normalise/*.tsv"))
    print(
        f"cost: {end - start:.0f} s in all, cores busy {jobs['s'].sum() / 2 / (end - start):.2f} (bar .90, two cores)"
    )
    in_scans, in_jobs = spent.loc["all", "sum"], jobs["s"].sum() + once
    print(
        f"cost: jobs over bare ANTs and deepbet calls {in_jobs / bare:.3f} (bar 1.10), n {scans}; without the start of "
        f"jobs {in_scans / bare:.3f}; start {(in_jobs - in_scans) / len(jobs):.1f} s a job, {scans / jobs['batch'].nunique():.1f} scans a batch"
    )


def read_job(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t").assign(step=path.stem.split("-")[0], batch=path.stem.split("-")[1])


def masks(results: Path, data: Path) -> None:
    """Dice of the masks with the reference masks, where there are any (DLMUSE labels above 0)."""
    found = {}
    for path in sorted(data.glob("derivatives/dlmuse/sub-*/anat/*_dseg.nii.gz")):
        scan = path.name.split("_")[0]
        mask = derivative(results / "preprocess" / "derivatives", scan, "desc-brain_mask.nii.gz")
        reference = np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj) > 0
        ours = np.asarray(nib.as_closest_canonical(nib.load(mask)).dataobj) > 0
        found[scan] = 2 * np.count_nonzero(ours & reference) / (np.count_nonzero(ours) + np.count_nonzero(reference))
    if found:
        values = pd.Series(found)
        print(
            f"masks: Dice median {values.median():.4f} (bar .975), lowest {values.min():.4f} of {values.idxmin()} (bar .95), n {len(values)}"
        )


def registration(results: Path) -> None:
    """Correlation with the template inside the brain."""
    table = pd.read_parquet(results / "preprocess" / "qc.parquet")
    r = table.set_index("scan")["template_r"].dropna()
    print(
        f"registration: r with the template, median {r.median():.3f}, lowest {r.min():.3f} of {r.idxmin()}, n {len(r)}"
    )


def models(results: Path) -> None:
    """Each model beside the others: mean over folds and seeds of its health, verdicts counted, R2 of the scores."""
    found = [json.loads(path.read_text()) | {"model": path.parts[-3]} for path in results.glob("train/*/*/health.json")]
    table = pd.DataFrame(found).rename(
        columns={"variance_explained_test": "held-out", "variance_explained_training": "training"}
    )
    shown = ["training", "held-out", "ssim_test", "active_units"]
    rows = table.groupby("model")[shown].mean().round(3)
    rows["verdict"] = table.groupby("model")["verdict"].agg(
        lambda it: ", ".join(f"{n} {v}" for v, n in it.value_counts().items())
    )
    metrics = pd.read_csv(results / "predict" / "predictions.tsv", sep="\t")
    metrics = metrics[(metrics["metric"] == "r2") & (metrics["features"] == "latents")]
    wide = metrics.pivot_table(index="model", columns=["score", "learner"], values="value").round(3)
    wide.columns = [f"R2 {score} {learner}" for score, learner in wide.columns]
    print(rows.join(wide).sort_values("held-out", ascending=False).to_string())


def predictions(results: Path) -> None:
    """The metrics that answer, with permutation p; then each model against its baselines."""
    table = pd.read_csv(results / "predict" / "predictions.tsv", sep="\t")
    shown = table[(table["status"] == "ok") & table["metric"].isin(["r2", "mae", "auc", "log_loss"])]
    for row in shown.drop_duplicates(["score", "model", "learner", "features", "metric"]).to_dict("records"):
        p = "" if pd.isna(row["p_permutation"]) else f", p {row['p_permutation']:.2g} of {row['permutations']:.0f}"
        print(
            f"prediction: {row['score']:<10} {row['model']:<13} {row['learner']:<6} {row['features']:<26} {row['metric']:<8} "
            f"{row['value']:7.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]{p}, n {row['n']}, {row['policy']}"
        )
    table = pd.read_csv(results / "predict" / "comparisons.tsv", sep="\t")
    for row in table[(table["learner"] == "linear") & (table["features"] == "latents")].to_dict("records"):
        print(
            f"comparison: {row['score']:<6} {row['metric']:<8} {row['model']:<13} minus {row['against']:<13} "
            f"{row['difference']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}], p {row['p']:.2g}, {row['policy']}"
        )


if __name__ == "__main__":
    cost(Path(sys.argv[1]))
    masks(Path(sys.argv[1]), Path(sys.argv[2]))
    registration(Path(sys.argv[1]))
    models(Path(sys.argv[1]))
    predictions(Path(sys.argv[1]))
