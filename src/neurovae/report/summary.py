"""The run on one screen: people, exclusions, verdicts, a line per score for inference, prediction and map."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.cli import cli
from neurovae.io.files import write_beside
from neurovae.report.blocks import TEXTS, of_fit
from neurovae.report.sections.tested import LEVEL, analysed, below, brief, estimate, tested

METRICS = {"r2": "R2", "auc": "AUC"}
FEW = 8  # models whose verdicts are shown with their numbers; of more, those that are healthy share a line
FULL, NONE = "latents + confounds", float("nan")
Row = dict[Any, Any]


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
    maps: Path,
    models: list[str],
    fit: str,
    primary: str,
    out: Path,
) -> None:
    """Write the summary as text, and print it.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun summary

    Args:
        cohort: cohort.parquet.
        excluded: excluded.tsv of the cohort.
        qc: quality table.
        power: table of the design check.
        health: folder that holds <model>/<fit>/health.json.
        associations: table of the tests of single latents.
        omnibus: table of the tests of whole latent spaces.
        predictions: table of all prediction metrics.
        maps: folder that holds <model>/<fit>/maps.parquet.
        models: names of the models.
        primary: the model that was named beforehand.
        fit: fold and seed that is shown ("fold-0_seed-0").
        out: text file to write; the report lies beside it.
    """
    checks = pd.read_parquet(qc)
    people = analysed(pd.read_parquet(cohort), checks)
    tests, whole, told = (read(path) for path in (associations, omnibus, predictions))
    verdicts = {model: json.loads((health / model / fit / "health.json").read_text("utf-8")) for model in models}
    lines = [
        f"{people['person'].nunique()} people, {len(people)} scans analysed; {len(read(excluded))} left out by the "
        f"tables, {int(checks['excluded'].sum())} by quality",
        *design(read(power)),
        "",
        *verdict_lines(verdicts, primary),
        "",
        f"inference: primary model {primary}; {fit}; strongest latent of each score, effect per SD [95 % interval]",
        *inference(of_fit(tests, fit), of_fit(whole, fit), primary),
        "",
        "prediction of people left out of the fit (linear learner) [95 % interval]",
        *prediction(of_seed(told, fit), primary),
        "",
        f"map of each score: what is decoded from {primary}",
        *mapped(maps / primary / fit / "maps.parquet"),
        "",
        f"report: {out.parent / 'report.html'}",
    ]
    with write_beside(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def read(path: Path) -> pd.DataFrame:
    """A table of ours: only n/a is missing, a score may be called NA or 007."""
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values=["n/a"], dtype=dict.fromkeys(TEXTS, "object"))


def of_seed(table: pd.DataFrame, fit: str) -> pd.DataFrame:
    """The rows of one seed, and those that have none, such as those of the voxels; the best over seeds is a search."""
    return table[table["seed"].isna() | (table["seed"] == int(fit.rsplit("-", 1)[1]))]


def design(table: pd.DataFrame) -> list[str]:
    """The score with the fewest people: the smallest effect that could be found, and the warning if there is one."""
    if table.empty:
        return []
    rows = table[table["n"] == table["n"].min()]
    warned = [text for text in rows["reason"] if isinstance(text, str) and text]
    return [f"design: {text}" for text in rows["text"].iloc[:2]] + [f"warning: {text}" for text in warned[:1]]


def verdict_lines(verdicts: dict[str, Row], primary: str) -> list[str]:
    """A line per model, and below the primary what it says of itself; many healthy models share one."""
    short = [name for name, found in verdicts.items() if found["verdict"] == "healthy" and name != primary]
    short = short if len(verdicts) > FEW else []
    lines = [
        f"  {name:<14} {with_caveats(verdicts[name])}: {verdicts[name]['reason']}"
        for name in verdicts
        if name not in short
    ]
    lines += [f"  healthy, too: {', '.join(short)}"] if short else []
    main, more = verdicts[primary], []
    if main.get("gain_test") is not None:
        interval = f"[{main['gain_test_low']:+.3f}, {main['gain_test_high']:+.3f}]"
        more.append(f"network beyond the linear part {main['gain_test']:+.3f} {interval}")
    if main.get("kept_epoch") == 0:
        more.append("epoch 0 kept: " + ("the linear part alone" if main.get("linear") == "pca" else "nothing learned"))
    if main.get("advice"):
        more.append(f"to change: {main['advice']}")
    return ["models", *lines, *(f"  {primary}: {text}" for text in more)]


def said(score: Any) -> str:
    """A score's name; a model that is not tested has one row for all."""
    return score if isinstance(score, str) else "every score"


def with_caveats(health: Row) -> str:
    """Verdict with its caveats."""
    return "; ".join([health["verdict"], *health.get("caveats", [])])


def inference(tests: pd.DataFrame, whole: pd.DataFrame, primary: str) -> list[str]:
    """A line per score, and one below it with what speaks against the finding."""
    lines = [f"  {'score':<14} {'latent':<7} {'effect':<24} {'max-T p':<9} {'q':<8} {'all latents p':<14} share"]
    main = tests[tests["model"] == primary]
    for score, rows in main.groupby("score", sort=False, dropna=False):
        name, known = said(score), tested(rows)
        if known.empty:
            lines.append(f"  {name:<14} {rows['status'].iloc[0]}: {rows['reason'].iloc[0]}")
            continue
        best = known.iloc[0].to_dict()
        together = whole[(whole["score"] == score) & (whole["model"] == primary)].iloc[0]
        p = (
            f"{together['p']:<14.2g} {together['partial_r2_cv']:+.2f}"
            if together["status"] == "ok"
            else together["status"]
        )
        maxt, q = brief(best["p_maxt"]), brief(best["q"])
        lines.append(f"  {name:<14} {best['latent']:<7} {estimate(best):<24} {maxt:<9} {q:<8} {p}")
        lines.append(f"  {'':<14} {'; '.join(beside(known, best))}")
    return lines


def beside(rows: pd.DataFrame, best: Row) -> list[str]:
    """What else is to be known of a finding: other latents, bends, nuisances, other seeds. rows: those tested."""
    more = "" if rows["p_maxt"].isna().all() else f" latents below {LEVEL:g}"
    found = [f"{below(rows)}{more}, n {best['n']:.0f}"]
    bend = rows.sort_values("p_quadratic_maxt").iloc[0]
    if bend["p_quadratic_maxt"] < LEVEL:
        found.append(f"a U or bend along {bend['latent']}: max-T p {bend['p_quadratic_maxt']:.2g}")
    found += [f"flagged: the latent goes with {best['nuisance']}"] if str(best["flagged"]) == "True" else []
    found += [str(best["score_nuisance"])] if isinstance(best["score_nuisance"], str) else []
    return found + [f"other seeds: {best['replicated']}" if isinstance(best["replicated"], str) else "other seeds: n/a"]


def prediction(table: pd.DataFrame, primary: str) -> list[str]:
    """A line per score: latents, confounds alone, both with the permutation p, voxels, other models."""
    kept = table[table["metric"].isin(list(METRICS)) & (table["learner"] == "linear")]
    lines = [
        f"  {'score':<14} {'':<4} {'latents':<23} {'confounds':<10} {'with latents':<20} {'voxels':<7} other latents"
    ]
    for (score, metric), rows in kept.groupby(["score", "metric"], sort=False):
        own = rows[(rows["model"] == primary) | (rows["features"] == "voxels")].drop_duplicates("features")
        value, low, high = (own.set_index("features")[name].to_dict() for name in ("value", "ci_low", "ci_high"))
        if "latents" not in value:
            continue
        whole = table[(table["model"] == primary) & (table["features"] == FULL) & (table["learner"] == "linear")]
        p = whole.loc[whole["score"] == score, "p_permutation"].min()  # it stands in the row of its statistic
        both = f"{value.get(FULL, NONE):+.2f}" + ("" if pd.isna(p) else f", p {p:.2g}")
        others = rows[(rows["features"] == "latents") & (rows["model"] != primary)].drop_duplicates("model")
        interval = f"{value['latents']:+.2f} [{low['latents']:+.2f}, {high['latents']:+.2f}]"
        lines.append(
            f"  {score:<14} {METRICS[str(metric)]:<4} {interval:<23} {value.get('confounds', NONE):<+10.2f} {both:<20} "
            f"{value.get('voxels', NONE):<+7.2f} "
            + ", ".join(f"{row['model']} {row['value']:.2f}" for row in others.to_dict("records"))
        )
    policies = sorted({str(policy) for policy in kept.loc[kept["model"] == primary, "policy"]})
    lines += [f"  {primary} is {', '.join(policies)}"] if policies else []
    stopped = table[table["status"] != "ok"].drop_duplicates(["score", "model"])
    return lines + [
        f"  {said(row['score'])}, {row['model']}: {row['status']}: {row['reason']}"
        for row in stopped.to_dict("records")
    ]


def mapped(path: Path) -> list[str]:
    """A line per score: voxels below the level by max-T, and where the peak lies."""
    if not path.is_file():
        return ["  not made: the model is not among interpret.models"]
    lines = []
    for row in pd.read_parquet(path).to_dict("records"):
        name = said(row["score"])
        place = f"({row['peak_x']:.0f}, {row['peak_y']:.0f}, {row['peak_z']:.0f}) mm, {row['peak_region']}"
        found = f"{row['voxels_below_05']} of {row['voxels']} voxels with max-T p < .05; peak at {place}"
        lines.append(f"  {name:<14} {found if row['status'] == 'ok' else row['status'] + ': ' + str(row['reason'])}")
    return lines


if __name__ == "__main__":
    cli(run)
