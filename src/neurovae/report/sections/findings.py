"""The first screen: what was found, in one sentence, and a card per score with its evidence and caveats."""

from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.design.design import join
from neurovae.io.latent_table import whole
from neurovae.report import conclusions as judged
from neurovae.report.blocks import Block, missing, note, text
from neurovae.report.conclusions import ASSOCIATED, SINGLE, UNTESTED
from neurovae.report.figures import finding, thumbnails
from neurovae.report.figures.scores import participants
from neurovae.report.results import (
    ASSOCIATIONS,
    EXCLUDED,
    OMNIBUS,
    POWER,
    PREDICTIONS,
    QUALITY,
    Row,
    Run,
    counted,
    entry,
    forward,
    health,
    of_seed,
    passed,
    positive,
    read,
    scans,
    stopped,
    why,
)
from neurovae.report.text import count, p_value, shown, unsigned
from neurovae.report.words import HEADLINE, METRICS, OTHER

REGIONS = 4  # regions with the largest change of volume
FEATURES = {"latents + confounds": "latents and confounds", "latents": "latents alone", "confounds": "confounds alone",
            "voxels + confounds": "voxels and confounds", "voxels": "voxels alone"}  # fmt: skip
LEGEND = (
    "Brackets: 95 % confidence intervals. Plots: participants (orange: test set) and a natural spline (3 df) with "
    "confounds held at their means, with its pointwise 95 % confidence band."
)
OF_MAPS = " Maps: change in decoded intensity with the score; outlines: max-T p < 0.05, corrected across voxels."


def findings(run: Run) -> list[Block]:
    """Participants and model in a line, the overview, caveats that hold for all scores, and a card per score."""
    tests = read(run, ASSOCIATIONS)
    blocks: list[Block] = [text(_analysed(run))]
    found = health(run, run.primary)
    if found and stopped(found):
        blocks += [note(f"Primary model: {why(run, run.primary)}")]
    if tests is None:
        return [*blocks, missing(ASSOCIATIONS, "the associations have not been tested")]
    cards = judged.conclusions(tests, read(run, OMNIBUS), read(run, POWER), run.fit, run.primary)
    few = judged.preliminary(read(run, POWER))
    blocks.insert(0, {"kind": "lead", "text": f"{few} {judged.overview(cards, run.primary)}".strip()})
    blocks += [{"kind": "caveats", "title": "Caveats for all scores", "items": general(run, cards)}]
    blocks += (
        [{"kind": "legend", "text": LEGEND + OF_MAPS * run.images}]
        if any(card["status"] != UNTESTED for card in cards)
        else []
    )
    return [*blocks, {"kind": "findings", "cards": [_card(run, one) for one in cards]}]


def _analysed(run: Run) -> str:
    people, left, checks, found = scans(run), read(run, EXCLUDED), read(run, QUALITY), health(run, run.primary)
    said = []
    if people is not None:
        said += [f"{counted(run, people)} were analysed."]
    if checks is not None and left is not None and not run.images:
        out = int(checks["excluded"].astype(bool).sum())
        said += [f"Excluded: {count(out, 'row')} by hand, {count(len(left), 'row')} without a counterpart."
                 if out or len(left) else "No row was excluded."]  # fmt: skip
    elif checks is not None and left is not None:
        out = int(checks["excluded"].astype(bool).sum())
        rows = count(len(left), "scan or table row", "scans or table rows")
        said += [f"Excluded: {count(out, 'scan')} by quality control, {rows} without a counterpart."
                 if out or len(left) else "No scan was excluded."]  # fmt: skip
    if found and found.get("variance_explained_test") is not None:
        said += [f"Primary model: {run.primary} ({passed(found)}), which explains "
                 f"{100 * found['variance_explained_test']:.0f} % of the variance of the scans in the test "
                 "set."]  # fmt: skip
    else:
        said += [f"Primary model: {run.primary} ({passed(found) if found else 'not evaluated'})."]
    return " ".join(said)


def general(run: Run, cards: list[Row]) -> list[str]:
    """What limits every finding of the run: stated once, so that the cards hold what is theirs."""
    simulated = bool(run.config.get("cohort", {}).get("simulate"))
    return judged.general(cards, read(run, POWER), health(run, run.primary), simulated)


def _card(run: Run, one: Row) -> Block:
    score, status, row = one["score"], one["status"], one["row"]
    kind = entry(run, score).get("type", one["type"])
    n = f", n = {row['n']:.0f}" if status != UNTESTED and pd.notna(row.get("n")) else ""
    card = {"score": str(score), "about": f"{kind}{n}" if isinstance(kind, str) else "", "status": status,
            "headline": one["headline"], "evidence": one["evidence"],
            "caveats": one["caveats"],
            "figures": [], "map": "", "prediction": [], "predicted": ""}  # fmt: skip
    if status == UNTESTED:
        return card
    card["figures"] += _association(run, score, row)
    if run.images and status in (ASSOCIATED, SINGLE):
        figures, card["map"] = _map(run, score)
        card["figures"] += figures
    card["predicted"], card["prediction"] = prediction(run, score)
    return card


def _association(run: Run, score: str, row: Row) -> list[Block]:
    """The score against one latent; nothing where its tables do not exist."""
    folder = Path("associate") / run.primary / run.fit
    paths = ["cohort/cohort.parquet", f"latents/{run.primary}/{run.fit}/latents.parquet", "preprocess/qc.parquet"]
    found, lines = [read(run, path) for path in paths], read(run, f"{folder}/curves.parquet")
    if lines is None or any(table is None for table in found) or not entry(run, score):
        return []
    cohort, latents, qc = found
    points = participants(
        join(cohort, whole(latents), qc), entry(run, score), run.config["cohort"].get("confounds", [])
    )
    image = thumbnails.drawn(finding.association(points, entry(run, score), lines, row["latent"]), 150)
    return [{"src": image, "alt": f"{score} against {row['latent']}"}]


def _map(run: Run, score: str) -> tuple[list[Block], str]:
    """The map's slices where a voxel passes, and the regions that differ most in volume, in words."""
    folder = f"interpret/{run.primary}/{run.fit}"
    maps = read(run, f"{folder}/maps.parquet")
    if maps is None:
        return [], "No map: interpret has not been run for this model."
    rows = maps[(maps["score"] == score) | maps["score"].isna()].to_dict("records")  # without a score: for all of them
    if not rows or rows[0]["status"] != "ok":
        return [], f"No map: {rows[0]['reason'] if rows else 'no row in the table of maps'}."
    row, by = rows[0], forward(run, run.primary)
    by = f" ({by})" if by else ""
    if not row["voxels_below_05"]:
        return [], f"Map{by}: no voxel has max-T p < 0.05 (smallest p {p_value(row['smallest_p'])})."
    image = thumbnails.drawn(finding.score_map(run.cohort / folder / "maps", run.cohort / "preprocess/mask.nii.gz",
                                               score, row), 150)  # fmt: skip
    said = f"Map ({row['unit']}){by}: max-T p < 0.05 in {row['voxels_below_05']:,} of {row['voxels']:,} voxels."
    said = f"{said} {volumes(read(run, f'{folder}/jacobian.tsv'), score, positive(run, score))}".strip()
    return [{"src": image, "alt": f"map of {score}"}], said


def volumes(table: pd.DataFrame | None, score: str, up: Any = None) -> str:
    """The regions whose volume differs most between the low and the high end of a score; up: see `positive`."""
    if table is None:
        return ""
    rows = table[(table["score"] == score) & (table["status"] == "ok")]
    top = rows.reindex(rows["log_jacobian"].abs().sort_values(ascending=False).index).head(REGIONS)
    if top.empty:
        return ""
    parts = [f"{_side(row['hemisphere'])}{row['region']} {row['percent']:+.0f} %" for row in top.to_dict("records")]
    binary = (rows["type"] == "binary").all()
    ends = _groups(up, " relative to ") if binary else "95th relative to 5th percentile of the score"
    return f"Largest differences in regional volume, {ends} (not tested): {', '.join(parts)}."


def _groups(up: Any, between: str) -> str:
    """The groups of a binary score: "PD relative to other group"; of unnamed ones, that of the larger value first."""
    return f"larger{between}smaller value" if up is None else f"{shown(up)}{between}{OTHER}"


def _side(hemisphere: Any) -> str:
    return f"{hemisphere} " if hemisphere in ("left", "right") else ""


def prediction(run: Run, score: str) -> tuple[str, list[tuple[str, str]]]:
    """Metric with its permutation p, and per feature set its value with the interval (linear learner)."""
    table = read(run, PREDICTIONS)
    if table is None:
        return "Prediction has not been run.", []
    mine = of_seed(table, run.fit)
    mine = mine[(mine["score"] == score) & mine["model"].isin([run.primary, "voxels"]) & (mine["learner"] == "linear")]
    kept = mine[mine["metric"].isin(HEADLINE) & (mine["status"] == "ok")].drop_duplicates("features")
    if kept.empty:
        lost = table[((table["score"] == score) | table["score"].isna()) & (table["status"] != "ok")]
        whys = [f"{row['status']} ({row['reason']})" for row in lost.head(1).to_dict("records")]
        return f"Not predicted: {', '.join(whys) or 'no row in the table of predictions'}.", []
    by = kept.set_index("features")
    rows = [(words, unsigned(*by.loc[name, ["value", "ci_low", "ci_high"]]))
            for name, words in FEATURES.items() if name in by.index]  # fmt: skip
    p = mine.loc[mine["model"] == run.primary, "p_permutation"].min()  # it stands in the row of its statistic
    rows += [] if pd.isna(p) else [("gain over confounds, permutation test", f"p {p_value(p)}")]
    up = positive(run, score)
    of = "" if up is None else f", {_groups(up, ' vs ')}"
    return f"{METRICS[kept['metric'].iloc[0]]}{of} [95 % CI]", rows
