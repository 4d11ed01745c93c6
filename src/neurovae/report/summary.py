"""The run on one screen: people, exclusions, verdicts, top findings, predictions."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.cli import cli
from neurovae.files import write_beside

NAMES = {"r2": "R2", "auc": "AUC"}
SHOWN = ("confounds", "latents", "latents + confounds", "voxels", "voxels + confounds")


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
    primary: str,
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
        primary: the model that was named beforehand.
        fit: fold and seed that the verdicts are shown for ("fold-0_seed-0").
        out: text file to write.
    """
    people, checks = pd.read_parquet(cohort), pd.read_parquet(qc)
    left_out, tests, whole = (_table(path) for path in (excluded, associations, omnibus))
    lines = [
        f"{people['person'].nunique()} people, {len(people)} scans; {len(left_out)} left out by the tables, "
        f"{int(checks['excluded'].sum())} by quality (preprocess/qc.tsv)",
        "",
        "design: the smallest partial correlation that these people can show",
        *_design(_table(power)),
        "",
        "models",
        *(
            f"  {model:<12} {_verdict(json.loads((health / model / fit / 'health.json').read_text()))}"
            for model in models
        ),
        "",
        f"inference, {fit}: primary model {primary}: strongest latent, effect per SD [95 % CI], max-T p",
        *_findings(_of_fit(tests, fit), _of_fit(whole, fit)),
        "",
        "prediction of each score in people left out of the fit, nested cross-validation [95 % interval]",
        *_predictions(_table(predictions), primary),
        "",
        "the same against baselines: difference [95 % interval over folds, Nadeau-Bengio]",
        *_comparisons(_table(comparisons), primary),
    ]
    with write_beside(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _table(path: Path) -> pd.DataFrame:
    """A table of ours: only n/a is missing, a score may be called NA."""
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values=["n/a"])


def _design(table: pd.DataFrame) -> list[str]:
    warned = table[table["reason"].fillna("") != ""].sort_values("n")
    most = [f"  warning, of {warned['score'].nunique()} scores: {warned['reason'].iloc[0]}"] if len(warned) else []
    return [f"  {text}" for text in table["text"]] + most


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
    """Per score the primary model's strongest latent, all of its latents together, and the other models in a line."""
    lines = []
    for score, rows in table.groupby("score", sort=False, dropna=False):
        main, rest = rows[rows["primary"]], rows[~rows["primary"]]
        lines += _finding(score, main, whole) if len(main) else []
        others = [_short(model, part) for model, part in rest.groupby("model", sort=False)]
        lines += [f"  {'':<12} other models: {', '.join(others)}"] if others else []
    return lines


def _finding(score: Any, rows: pd.DataFrame, whole: pd.DataFrame) -> list[str]:
    tested, model = rows[rows["status"] == "ok"].sort_values(["p_maxt", "p"]), rows["model"].iloc[0]
    if tested.empty:
        return [f"  {_name(score):<12} {model:<12} {rows['status'].iloc[0]}: {rows['reason'].iloc[0]}"]
    best, found = tested.iloc[0], int((tested["p_maxt"] < 0.05).sum())
    interval = f"{best['effect']:+.2f} [{best['ci_low']:+.2f}, {best['ci_high']:+.2f}]"
    lines = [
        f"  {score:<12} {model:<12} {best['latent']:<7} {interval}  p {best['p_maxt']:.2g}; "
        f"{found} of {len(tested)} latents below .05, n {best['n']:.0f}"
    ]
    one = whole[(whole["score"] == score) & (whole["model"] == model)].iloc[0]
    together = f"p {one['p']:.2g}, cross-fitted share {one['share']:+.2f}" if one["status"] == "ok" else one["status"]
    marks = [f"all latents together: {together}"]
    bend = rows.sort_values("p_quadratic_maxt").iloc[0]
    if bend["p_quadratic_maxt"] < 0.05:
        robust = f"robust q {bend['q_quadratic']:.2g}"
        marks.append(f"a U or bend along {bend['latent']}: max-T p {bend['p_quadratic_maxt']:.2g}, {robust}")
    marks += [f"the latent goes with {best['nuisance']}"] if str(best["flagged"]) == "True" else []
    marks += [best["score_nuisance"]] if isinstance(best["score_nuisance"], str) else []
    marks += [f"other seeds: {best['replicated']}"] if isinstance(best["replicated"], str) else []
    return lines + [f"  {'':<12} {mark}" for mark in marks]


def _short(model: Any, rows: pd.DataFrame) -> str:
    """Smallest max-T p of a model, or why there is none."""
    tested = rows[rows["status"] == "ok"]
    return f"{model} p {tested['p_maxt'].min():.2g}" if len(tested) else f"{model} {rows['status'].iloc[0]}"


def _predictions(table: pd.DataFrame, primary: str) -> list[str]:
    """Per score, by the linear learner: confounds, voxels, the primary model; then the latents of the other models."""
    lines = [
        f"  {_name(row['score']):<12} {row['model']}: {row['status']}: {row['reason']}"
        for row in table[table["status"] != "ok"].drop_duplicates(["score", "model"]).to_dict("records")
    ]
    kept = table[table["metric"].isin(list(NAMES)) & (table["learner"] == "linear") & table["features"].isin(SHOWN)]
    for (score, metric), rows in kept.groupby(["score", "metric"], sort=False):
        shown = rows[(rows["model"] == primary) | rows["features"].str.startswith("voxels")]
        for row in shown.to_dict("records"):
            label = (
                row["features"]
                if row["features"] not in ("latents", "latents + confounds")
                else f"{row['features']} of {primary}"
            )
            interval = f"{row['value']:+.2f} [{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]"
            p = "" if pd.isna(row["p_permutation"]) else f", p {row['p_permutation']:.2g}"
            verdict = f"; {row['verdict']}" if "latents" in row["features"] and row["verdict"] != "healthy" else ""
            lines.append(f"  {score:<12} {NAMES[str(metric)]:<4} {interval}{p}  {label}, {row['policy']}{verdict}")
        rest = rows[(rows["features"] == "latents") & (rows["model"] != primary)].drop_duplicates("model")
        others = [f"{row['model']} {row['value']:+.2f}" for row in rest.to_dict("records")]
        lines += [f"  {'':<12} latents of other models: {', '.join(others)}"] if others else []
    return list(dict.fromkeys(lines))


def _comparisons(table: pd.DataFrame, primary: str) -> list[str]:
    """The primary model against each baseline, linear learner; without confounds, but against them with them."""
    kept = table[(table["learner"] == "linear") & (table["model"] == primary)]
    kept = kept[(kept["features"] == "latents") | (kept["against"] == "confounds")]
    lines = []
    for row in (
        kept[kept["metric"].isin(list(NAMES))]
        .drop_duplicates(["score", "metric", "features", "against"])
        .to_dict("records")
    ):
        difference = f"{row['difference']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
        shown = difference if row["status"] == "ok" else f"{row['status']}: {row['reason']}"
        pair = f"{row['features']} of {primary} minus {row['against']}"
        lines.append(f"  {row['score']:<12} {NAMES[row['metric']]:<4} {shown}  {pair}")
    return lines


if __name__ == "__main__":
    cli(run)
