"""The run on one screen: people, exclusions, verdicts, top findings, predictions."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.cli import cli
from neurovae.files import write_beside

NAMES = {"r2": "R2", "auc": "AUC"}
SHOWN = ("confounds", "latents", "latents + confounds", "voxels")


def run(
    *,
    cohort: Path,
    excluded: Path,
    qc: Path,
    power: Path,
    health: Path,
    associations: Path,
    omnibus: Path,
    predictions: Path,
    comparisons: Path,
    models: list[str],
    fit: str,
    out: Path,
) -> None:
    """Write the summary as text, and print it.

    Args:
        cohort: cohort.parquet.
        excluded: excluded.tsv of the cohort.
        qc: quality table.
        power: table of the design check.
        health: folder that holds <model>/<fit>/health.json.
        associations: table of the tests of single latents.
        omnibus: table of the tests of whole latent spaces.
        predictions: table of all prediction metrics.
        comparisons: table of models against baselines.
        models: names of the models.
        fit: fold and seed that the verdicts are shown for ("fold-0_seed-0").
        out: text file to write.
    """
    people, checks = pd.read_parquet(cohort), pd.read_parquet(qc)
    left_out, tests, whole = (pd.read_csv(path, sep="\t") for path in (excluded, associations, omnibus))
    lines = [
        f"{people['person'].nunique()} people, {len(people)} scans; {len(left_out)} left out by the tables, "
        f"{int(checks['excluded'].sum())} by quality (preprocess/qc.tsv)",
        "",
        "design: the smallest partial correlation that these people can show",
        *_design(pd.read_csv(power, sep="\t")),
        "",
        "models",
        *(
            f"  {model:<12} {_verdict(json.loads((health / model / fit / 'health.json').read_text()))}"
            for model in models
        ),
        "",
        f"inference, {fit}: strongest latent, effect per SD [95 % CI], max-T p over all latents; * primary model",
        *_findings(_of_fit(tests, fit), _of_fit(whole, fit)),
        "",
        "prediction of each score in people left out of the fit, nested cross-validation [95 % interval]",
        *_predictions(pd.read_csv(predictions, sep="\t")),
        "",
        "prediction by latents against baselines: difference [95 % interval over folds, Nadeau-Bengio]",
        *_comparisons(pd.read_csv(comparisons, sep="\t")),
    ]
    with write_beside(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _design(table: pd.DataFrame) -> list[str]:
    return [f"  {text}" for text in table["text"]] + [
        f"  warning: {row['score']}: {row['reason']}"
        for row in table.drop_duplicates("score").to_dict("records")
        if isinstance(row["reason"], str)
    ]


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


def _findings(table: pd.DataFrame, whole: pd.DataFrame) -> list[str]:
    lines = []
    for (score, model), rows in table.groupby(["score", "model"], sort=False, dropna=False):
        named = f"{model}{'*' if rows['primary'].iloc[0] else ''}"
        tested = rows[rows["status"] == "ok"].sort_values(["p_maxt", "p"])
        if tested.empty:
            lines.append(f"  {_name(score):<12} {named:<13} {rows['status'].iloc[0]}: {rows['reason'].iloc[0]}")
            continue
        best, found = tested.iloc[0], int((tested["p_maxt"] < 0.05).sum())
        interval = f"{best['effect']:+.2f} [{best['ci_low']:+.2f}, {best['ci_high']:+.2f}]"
        counted = f"{found} of {len(tested)} latents below .05, n {best['n']:.0f}"
        marks = [f"goes with {best['nuisance']}"] if str(best["flagged"]) == "True" else []
        marks += [f"the score goes with {best['score_nuisance']}"] if isinstance(best["score_nuisance"], str) else []
        marks += [f"seeds: {best['replicated']}"] if isinstance(best["replicated"], str) else []
        lines.append(f"  {score:<12} {named:<13} {best['latent']:<7} {interval}  p {best['p_maxt']:.2g}; {counted}")
        lines[-1] += "".join(f"; {mark}" for mark in marks)
        one = whole[(whole["score"] == score) & (whole["model"] == model)].iloc[0]
        if one["status"] == "ok":
            lines.append(f"  {'':<26} all latents together: p {one['p']:.2g}, cross-fitted share {one['share']:+.2f}")
    return lines


def _predictions(table: pd.DataFrame) -> list[str]:
    lines = [
        f"  {_name(row['score']):<12} {row['model']}: {row['status']}: {row['reason']}"
        for row in table[table["status"] != "ok"].drop_duplicates(["score", "model"]).to_dict("records")
    ]
    kept = table[table["metric"].isin(["r2", "auc"]) & (table["learner"] == "linear")]
    kept = kept[kept["features"].isin(SHOWN)]
    for (score, metric), rows in kept.groupby(["score", "metric"], sort=False):
        for row in rows.to_dict("records"):
            label = row["features"] if row["features"] == "confounds" else f"{row['features']} of {row['model']}"
            interval = f"{row['value']:+.2f} [{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]"
            verdict = "" if row["features"] == "confounds" or row["verdict"] == "healthy" else f"; {row['verdict']}"
            p = "" if pd.isna(row["p_permutation"]) else f", p {row['p_permutation']:.2g}"
            lines.append(f"  {score:<12} {NAMES[str(metric)]:<4} {interval}{p}  {label}, {row['policy']}{verdict}")
    return list(dict.fromkeys(lines))


def _comparisons(table: pd.DataFrame) -> list[str]:
    """The linear learner on latents alone, against each baseline."""
    kept = table[(table["learner"] == "linear") & (table["features"] == "latents") & (table["status"] == "ok")]
    lines = []
    for row in kept[kept["metric"].isin(list(NAMES))].to_dict("records"):
        difference = f"{row['difference']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
        pair = f"{row['model']} minus {row['against']}, {row['policy']}"
        lines.append(f"  {row['score']:<12} {NAMES[row['metric']]:<4} {difference}  {pair}")
    return lines


if __name__ == "__main__":
    cli(run)
