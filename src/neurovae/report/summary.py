"""The findings as text: participants, model verdicts, and per score its association, prediction and map."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.cli import cli
from neurovae.io.files import write_beside
from neurovae.io.parquet import read_parquet
from neurovae.report import conclusions as judged
from neurovae.report.results import analysed, of_seed, passed, read_tsv
from neurovae.report.sections.joint import summary_lines as joint_lines
from neurovae.report.sections.supervised import sentences as supervised_sentences
from neurovae.report.text import count, listed, p_value, region, two_digits, unsigned
from neurovae.report.words import HEADLINE, METRICS, PASSED
from neurovae.train.health.verdicts import FORWARD

MAX_MODELS = 8  # models that are listed with their reasons; beyond that, healthy ones share a line
WIDTH = 110  # characters of a line
BOTH = "latents + confounds"
NOT_SHOWN = "the primary model is not among interpret.models"
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
    simulated: bool = False,
    images: bool = True,
    supervised: str = "",
    joint: list[Path] | None = None,
) -> None:
    """Write the summary as text, and print it.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun summary

    Args:
        cohort: cohort.parquet.
        excluded: excluded.tsv of the cohort.
        qc: quality table.
        power: table of the smallest detectable effects.
        health: folder that holds <model>/<fit>/health.json.
        associations: table of the tests of single latents.
        omnibus: table of the joint tests of all latents.
        predictions: table of all prediction metrics.
        maps: folder that holds <model>/<fit>/maps.parquet.
        models: names of the models.
        primary: the model that was named beforehand.
        fit: fold and seed that is shown ("fold-0_seed-0").
        out: text file to write; the report lies beside it.
        simulated: are the participants simulated?
        images: has the cohort images, so that there can be maps?
        supervised: table of the tests of supervised models; empty: there are none.
        joint: tables of the scores of joint models.
    """
    checks, detectable = read_parquet(qc), read_tsv(power)
    people = analysed(read_parquet(cohort), checks)
    found = judged.conclusions(read_tsv(associations), read_tsv(omnibus), detectable, fit, primary)
    verdicts = {model: json.loads((health / model / fit / "health.json").read_text("utf-8")) for model in models}
    table = maps / primary / fit / "maps.parquet"
    mapped = read_parquet(table) if table.is_file() else None
    limits = judged.general(found, detectable, verdicts[primary], simulated)
    lines = [
        analysed_people(people, len(read_tsv(excluded)), int(checks["excluded"].sum()), images),
        *smallest(detectable),
        "",
        *verdict_lines(verdicts, primary),
        "",
        *wrapped(f"{judged.preliminary(detectable)} {judged.overview(found, primary)}".strip()),
        f"(primary model {primary}, {fit}; brackets: 95 % confidence intervals; prediction of held-out participants, "
        "linear learner)",
        *(["caveats for all scores"] if limits else []),
        *(line for words in limits for line in wrapped(words, "  ")),
    ]
    for one in found:
        lines += ["", *score_lines(one, of_seed(read_tsv(predictions), fit), mapped, primary, images)]
    of_track = supervised_sentences(read_tsv(Path(supervised))) if supervised else []
    of_track += joint_lines(joint or [])
    if of_track:
        lines += ["", "supervised models (a score entered their fit; left-out participants alone)"]
        lines += [line for words in of_track for line in wrapped(words, "  ")]
    lines += ["", f"report: {out.parent / 'report.html'}"]
    with write_beside(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def analysed_people(people: pd.DataFrame, without: int, out: int, images: bool) -> str:
    """How many were analysed and excluded: without a counterpart among scans and table rows, and afterwards."""
    n, rows = people["person"].nunique(), len(people)
    if images:
        return (
            f"{count(n, 'participant')}, {count(rows, 'scan')} analysed; excluded: {without} without a matching scan "
            f"or table row, {out} by quality control"
        )
    sessions = f", {count(rows, 'session')}" if rows > n else ""
    return f"{count(n, 'participant')}{sessions} analysed; excluded: {count(without, 'row')}, and {out} by hand"


def wrapped(words: str, indent: str = "") -> list[str]:
    """A text in lines."""
    return (
        textwrap.wrap(words, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
        if words
        else []
    )


def smallest(power: pd.DataFrame) -> list[str]:
    """Score with the fewest participants: the smallest detectable effects, and the warning if there is one."""
    if power.empty:
        return []
    rows = power[power["n"] == power["n"].min()]
    warned = [text for text in rows["reason"] if isinstance(text, str) and text]
    score = rows["score"].iloc[0]
    return [f"power: {text}" for text in rows["text"].iloc[:2]] + [f"warning: {score}: {text}" for text in warned[:1]]


def verdict_lines(verdicts: dict[str, Row], primary: str) -> list[str]:
    """A line per model, and more on the primary one; of many models, healthy ones share a line."""
    short = [name for name, one in verdicts.items() if one["verdict"] == "healthy" and name != primary]
    short = short if len(verdicts) > MAX_MODELS else []
    lines = [f"  {name:<14} {passed(one)}: {one['reason']}" for name, one in verdicts.items() if name not in short]
    lines += [f"  also {PASSED}: {', '.join(short)}"] if short else []
    main, more = verdicts[primary], []
    if main.get("gain_test") is not None:
        interval = f"[{main['gain_test_low']:+.3f}, {main['gain_test_high']:+.3f}]"
        more.append(f"gain in variance explained over its linear part {main['gain_test']:+.3f} {interval}, test set")
    if main.get("kept_epoch") == 0:
        more.append("epoch 0 was kept: " + ("not trained" if main.get("linear") == "none" else "only the linear part"))
    if main.get("advice"):
        more.append(f"suggested change: {main['advice']}")
    return ["models", *lines, *(f"  {primary}: {text}" for text in more)]


def score_lines(
    one: Row, predictions: pd.DataFrame, maps: pd.DataFrame | None, primary: str, images: bool = True
) -> list[str]:
    """A score's conclusion, evidence, prediction, map and caveats; maps: None where there is no table of maps."""
    lines = [f"{one['score']}: {one['headline']}", *wrapped(one["evidence"], "  ")]
    if one["status"] == judged.UNTESTED:
        return lines
    lines += wrapped(f"Prediction: {prediction(predictions, one['score'], primary)}.", "  ")
    lines += wrapped(f"Map: {mapped(maps, one['score'])}.", "  ") if images else []
    return lines + wrapped(f"Caveats: {'; '.join(one['caveats']) or 'none beyond those for all scores'}.", "  ")


def prediction(table: pd.DataFrame, score: str, primary: str) -> str:
    """Metric from latents and confounds, its gain's permutation p, and that of confounds, voxels and other models."""
    rows = table[(table["score"] == score) & table["metric"].isin(HEADLINE) & (table["learner"] == "linear")]
    own = rows[(rows["model"] == primary) & (rows["status"] == "ok")].drop_duplicates("features").set_index("features")
    if own.empty:
        lost = table[((table["score"] == score) | table["score"].isna()) & (table["status"] != "ok")]
        return f"none ({lost['status'].iloc[0]}: {lost['reason'].iloc[0]})" if len(lost) else "none"
    best = BOTH if BOTH in own.index else "latents"
    p = table.loc[(table["score"] == score) & (table["model"] == primary) & (table["learner"] == "linear"),
                  "p_permutation"].min()  # it stands in the row of its statistic  # fmt: skip
    parts = [f"{METRICS[own['metric'].iloc[0]]} {unsigned(*own.loc[best, ['value', 'ci_low', 'ci_high']])} from {best}"]
    parts[0] += "" if pd.isna(p) else f" (gain over confounds: permutation p {p_value(p)})"
    others = [f"confounds alone {two_digits(own.loc['confounds', 'value'])}"] if "confounds" in own.index else []
    for model, part in rows[rows["model"] != primary].groupby("model", sort=False):
        of = {name: value for name, value in part[["features", "value"]].itertuples(index=False)}
        name = next((name for name in (BOTH, "voxels + confounds", "latents", "voxels") if name in of), None)
        others += [] if name is None else [f"{model}{' + confounds' * ('+' in name)} {two_digits(of[name])}"]
    parts += [", ".join(others)] if others else []
    seen = listed([str(name) for name in dict.fromkeys(rows.loc[rows["policy"] == "transductive", "model"])])
    parts += (
        [f"transductive: {seen} trained on scans that included those of participants in the test folds"] if seen else []
    )
    return "; ".join(parts)


def mapped(maps: pd.DataFrame | None, score: str) -> str:
    """Voxels below .05 by max-T, the place of the peak, and what a forward model explains."""
    if maps is None:
        return f"none ({NOT_SHOWN})"
    rows = maps[(maps["score"] == score) | maps["score"].isna()].to_dict("records")  # without a score: for all of them
    if not rows or rows[0]["status"] != "ok":
        return f"none ({rows[0]['status']}: {rows[0]['reason']})" if rows else "none"
    row = rows[0]
    place = f"({row['peak_x']:.0f}, {row['peak_y']:.0f}, {row['peak_z']:.0f}) mm, {region(row['peak_region'])}"
    by = ""
    if row.get("mapped_by") == FORWARD:
        by = f" ({FORWARD}, which explains {100 * row['variance_explained_test']:.1f} % in the test set)"
    return f"{row['voxels_below_05']} of {row['voxels']} voxels with max-T p < 0.05; peak at {place}{by}"


if __name__ == "__main__":
    cli(run)
