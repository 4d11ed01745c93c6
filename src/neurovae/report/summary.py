"""The run on one screen: people, exclusions, verdicts, top findings, predictions."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.cli import cli
from neurovae.files import write_beside

NAMES = {"r2": "R2", "auc": "AUC"}


def run(
    *,
    cohort: Path,
    excluded: Path,
    qc: Path,
    health: Path,
    associations: Path,
    predictions: Path,
    models: list[str],
    fit: str,
    out: Path,
) -> None:
    """Write the summary as text, and print it.

    Args:
        cohort: cohort.parquet.
        excluded: excluded.tsv of the cohort.
        qc: quality table.
        health: folder that holds <model>/<fit>/health.json.
        associations: table of all tests.
        predictions: table of all prediction metrics.
        models: names of the models.
        fit: fold and seed that the verdicts are shown for ("fold-0_seed-0").
        out: text file to write.
    """
    people, checks = pd.read_parquet(cohort), pd.read_parquet(qc)
    left_out = pd.read_csv(excluded, sep="\t")
    lines = [
        f"{people['person'].nunique()} people, {len(people)} scans; {len(left_out)} left out by the tables, "
        f"{int(checks['excluded'].sum())} by quality (preprocess/qc.tsv)",
        "",
        "models",
        *(
            f"  {model:<12} {_verdict(json.loads((health / model / fit / 'health.json').read_text()))}"
            for model in models
        ),
        "",
        f"strongest associations of {fit}: effect per latent SD [95 % CI], q within score and model",
        *_findings(_of_fit(pd.read_csv(associations, sep="\t"), fit)),
        "",
        "prediction of each score in people left out of the fit, nested cross-validation [95 % interval]",
        *_predictions(pd.read_csv(predictions, sep="\t")),
    ]
    with write_beside(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _verdict(health: dict[str, Any]) -> str:
    """Verdict with marks and reason; below it what a reader asks next: the linear part, similarity, what to change."""
    lines = [f"{'; '.join([health['verdict'], *health.get('marks', [])])}: {health['reason']}"]
    more = []
    if health.get("ssim_report") is not None:
        more.append(f"SSIM of held-out people {health['ssim_report']:.3f}")
    if health.get("gain_report") is not None:
        interval = f"[{health['gain_report_low']:+.3f}, {health['gain_report_high']:+.3f}]"
        more.append(f"network beyond the linear part {health['gain_report']:+.3f} {interval}")
    if health.get("kept_epoch") == 0:
        more.append(
            "epoch 0 kept: " + ("the linear part alone" if health.get("linear") == "pca" else "nothing learned")
        )
    lines += ["; ".join(more)] if more else []
    lines += [f"to change: {health['advice']}"] if health.get("advice") else []
    return f"\n  {'':<12} ".join(lines)


def _of_fit(table: pd.DataFrame, fit: str) -> pd.DataFrame:
    """The rows of one fold and seed; the best over several would be a search that q knows nothing of."""
    return table[[f"fold-{fold}_seed-{seed}" == fit for fold, seed in zip(table["fold"], table["seed"], strict=True)]]


def _name(score: Any) -> str:
    """A collapsed model has one row for all its scores."""
    return "every score" if pd.isna(score) else str(score)


def _findings(table: pd.DataFrame) -> list[str]:
    lines = []
    for (score, model), rows in table.groupby(["score", "model"], sort=False, dropna=False):
        tested = rows[rows["status"] == "ok"].sort_values("p")
        if tested.empty:
            lines.append(f"  {_name(score):<12} {model:<12} {rows['status'].iloc[0]}: {rows['reason'].iloc[0]}")
            continue
        best, found = tested.iloc[0], int((tested["q"] < 0.05).sum())
        interval = f"{best['effect']:+.2f} [{best['ci_low']:+.2f}, {best['ci_high']:+.2f}]"
        counted = f"{found} of {len(tested)} latents with q < .05, n {best['n']:.0f}"
        lines.append(f"  {score:<12} {model:<12} {best['latent']:<8} {interval}  q {best['q']:.2g}, {counted}")
    return lines


def _predictions(table: pd.DataFrame) -> list[str]:
    lines = [
        f"  {_name(row['score']):<12} {row['model']}: {row['status']}: {row['reason']}"
        for row in table[table["status"] != "ok"].drop_duplicates(["score", "model"]).to_dict("records")
    ]
    kept = table[table["metric"].isin(["r2", "auc"]) & (table["learner"] == "svm")]
    for (score, metric), rows in kept.groupby(["score", "metric"], sort=False):
        for row in rows.to_dict("records"):
            label = row["features"] if row["features"] == "confounds" else f"{row['features']} of {row['model']}"
            interval = f"{row['value']:+.2f} [{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]"
            verdict = "" if row["features"] == "confounds" or row["verdict"] == "healthy" else f"; {row['verdict']}"
            lines.append(f"  {score:<12} {NAMES[str(metric)]:<4} {interval}  {label}, {row['policy']}{verdict}")
    return list(dict.fromkeys(lines))


if __name__ == "__main__":
    cli(run)
