"""Sections of the report about people and scans: cohort, exclusions, quality, copies."""

from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from neurovae.design.design import first_scans, in_order
from neurovae.preprocess.names import MASK, in_space
from neurovae.report.blocks import Block, Run, absent, note, read, shown, table, text
from neurovae.report.figures import charts, thumbnails
from neurovae.report.sections.tested import COHORT, QUALITY, analysed, levels, positive

MOST_EXCLUDED = 60  # excluded scans that are drawn beside the worst ones
NUMBERS = {"template_r": "correlation with the template", "mask_dice": "Dice of the masks", "mask_ml": "mask, ml",
           "snr": "SNR", "clipped": "share clipped"}  # fmt: skip
POSE = {"rotation_x": "rotation x, °", "rotation_y": "rotation y, °", "rotation_z": "rotation z, °",
        "translation_x": "shift x, mm", "translation_y": "shift y, mm", "translation_z": "shift z, mm",
        "head_size": "head_size"}  # fmt: skip
POWER = {"score": "score", "n": "n", "confound_columns": "confound columns", "tests": "tests", "level": "level",
         "power": "power", "partial_r": "smallest partial r", "odds_ratio": "odds ratio per SD",
         "cases": "cases"}  # fmt: skip
COPIES = {"scan_a": "scan", "scan_b": "other scan", "r": "r in MNI space", "r_source": "r of the files",
          "same_voxels": "same voxels", "kind": "kind", "duplicate": "duplicate"}  # fmt: skip


def cohort(run: Run) -> list[Block]:
    """People, sites, scores and confounds in a table and as histograms, what was left out, and what could be found."""
    whole = read(run, COHORT)
    if whole is None:
        return [absent(COHORT, "the stage cohort has not written it")]
    people, named = analysed(whole, read(run, QUALITY)), declared(run, whole)
    first = first_scans(in_order(people))
    sites, unknown = first["site"].value_counts(), int(first["site"].isna().sum())
    counts = [f"{name}: {n}" for name, n in sites.items()] + [f"not known: {unknown}"] * bool(unknown)
    said = f"{len(first)} people with {len(people)} scans analysed, of {whole['person'].nunique()} with {len(whole)} "
    said += f"before quality control; {len(sites) or 'no'} site{'s' * (len(sites) > 1)}{'' if len(sites) else ' given'}"
    blocks = [text(said + (f" ({', '.join(counts)})." if len(counts) > 1 else "."))]
    if run.config.get("cohort", {}).get("simulate"):
        blocks += [note("These people are simulated; nothing here is about real brains.", "info")]
    heads = {
        "column": "column",
        "role": "role",
        "type": "type",
        "n": "people",
        "missing": "missing",
        "value": "mean ± SD, or levels",
    }
    heads |= {"range": "range"} | {f"site {site}": f"site {site}" for site in sites.index if len(sites) > 1}
    source, caption = f"{COHORT}, {QUALITY}", "Table 1: the first scan of each person that was analysed"
    blocks += [table(summary(run, first, named), heads, source, caption, 40)]
    if named:
        coded = first.assign(**{name: levels(first[name], positive(run, name)) for name in named})
        image = thumbnails.drawn(charts.columns(coded, named))
        blocks += [thumbnails.figure(image, "Scores and confounds over people.", source, "histograms of the columns")]
    return [*blocks, *_power(run), *_excluded(run)]


def declared(run: Run, people: pd.DataFrame) -> list[str]:
    """Scores and confounds of the configuration that the cohort's table has, each once."""
    section = run.config.get("cohort", {})
    names = [entry["name"] for key in ("scores", "confounds") for entry in section.get(key, [])]
    return [name for name in dict.fromkeys(names) if name in people]


def summary(run: Run, people: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Table 1: a row per column, mean and SD or counts of levels, in all and by site."""
    section = run.config.get("cohort", {})
    rows: list[dict[str, Any]] = []
    for name in names:
        roles = [
            key[:-1] for key in ("scores", "confounds") if name in [entry["name"] for entry in section.get(key, [])]
        ]
        kinds = [entry for key in ("scores", "confounds") for entry in section.get(key, []) if entry["name"] == name]
        values = levels(people[name], positive(run, name))
        known = values.dropna()
        row = {"column": name, "role": ", ".join(roles), "type": kinds[0]["type"], "n": len(known)}
        row |= {"missing": int(values.isna().sum()), "value": described(known)}
        row |= {"range": f"{shown(known.min())} to {shown(known.max())}" if numeric(known) else ""}
        by_site = values.groupby(people["site"])
        rows.append(row | {f"site {site}": described(part.dropna()) for site, part in by_site})
    return pd.DataFrame(rows)


def numeric(values: pd.Series) -> bool:
    """Whether a column has a mean: numbers of more than two values."""
    return bool(pd.api.types.is_numeric_dtype(values) and values.nunique() > 2)


def described(values: pd.Series) -> str:
    """ "63.1 ± 8.2", or "F: 31, M: 41"."""
    if values.empty:
        return "n/a"
    if numeric(values):
        return f"{shown(float(values.mean()))} ± {shown(float(values.std()))}"
    counts = values.value_counts()
    more = f", and {len(counts) - 8} more" if len(counts) > 8 else ""
    return ", ".join(f"{shown(level)}: {n}" for level, n in counts.sort_index().head(8).items()) + more


def _power(run: Run) -> list[Block]:
    power = read(run, "audit/power.tsv")
    if power is None:
        return [absent("audit/power.tsv", "the design check has not run")]
    few = power[power["reason"].fillna("") != ""].drop_duplicates("score").sort_values("n")
    warned = (
        [note(f"Of {len(few)} scores, the one with the fewest people: {few['reason'].iloc[0]}.")] if len(few) else []
    )
    caption = "What effect could be found: the smallest partial correlation, for one test and for all latents"
    lost = [
        f"{row['score']}: {row['status']}: {row['reason']}" for row in power[power["status"] != "ok"].to_dict("records")
    ]
    warned += [note("; ".join(lost))] if lost else []
    return [*warned, table(power[power["status"] == "ok"], POWER, "audit/power.tsv", caption)]


def _excluded(run: Run) -> list[Block]:
    left = read(run, "cohort/excluded.tsv")
    if left is None:
        return [absent("cohort/excluded.tsv", "the stage cohort has not written it")]
    if left.empty:
        return [
            text("Nobody was left out by the tables: every scan has a row and every row a scan (cohort/excluded.tsv).")
        ]
    heads = {"scan": "scan", "person": "person", "reason": "reason"}
    return [
        table(left, heads, "cohort/excluded.tsv", f"{len(left)} scans or rows left out by the tables, with the reason")
    ]


def quality(run: Run) -> list[Block]:
    """Slices of the worst and of all excluded scans, and every quality number of every scan, worst first."""
    checks = read(run, "preprocess/qc.tsv")
    if checks is None:
        return [absent("preprocess/qc.tsv", "the stage preprocess has not written it")]
    checks = checks.sort_values(
        ["excluded", "template_r"], ascending=[False, True], na_position="first", ignore_index=True
    )
    out = int(checks["excluded"].astype(bool).sum())
    thresholds = run.config.get("preprocess", {}).get("qc", {}).get("thresholds", {})
    said = "; ".join(
        f"{NUMBERS.get(name, name)} {limit(pair)}" for name, pair in thresholds.items() if pair != [None, None]
    )
    heads = {"scan": "scan", "excluded": "excluded", "reason": "reason", "cause": "failure", **NUMBERS, **POSE}
    caption = "Every scan, the excluded first, then by correlation with the template"
    return [
        text(f"{len(checks) - out} of {len(checks)} scans pass, {out} are excluded. Limits: {said or 'none'}."),
        *_cards(run, checks),
        table(checks, heads, "preprocess/qc.tsv", caption),
    ]


def limit(pair: list[float | None]) -> str:
    """ "at least 700 and at most 2200" of [700, 2200]; null is no limit."""
    ends = zip(("at least", "at most"), pair, strict=True)
    return " and ".join(f"{word} {value:g}" for word, value in ends if value is not None)


def _cards(run: Run, checks: pd.DataFrame) -> list[Block]:
    most = int(run.config.get("report", {}).get("scans", 24))
    bad = checks["excluded"].astype(bool)
    chosen = pd.concat([checks[bad].head(MOST_EXCLUDED), checks[~bad].head(most)])
    cards = [_card(run, row) for row in chosen.to_dict("records")]
    numbers = {name: head for name, head in NUMBERS.items() if name in checks}
    drawn, best = min(int(bad.sum()), MOST_EXCLUDED), min(most, int((~bad).sum()))
    caption = f"{drawn} of {int(bad.sum())} excluded scans and the {best} "
    caption += "least like the template, in MNI space; outline: the scan's own brain mask. Left is left."
    return [
        {"kind": "cards", "cards": cards, "numbers": numbers, "caption": caption, "source": "preprocess/derivatives"}
    ]


def _card(run: Run, row: dict[Any, Any]) -> dict[str, Any]:
    settings, suffix = run.config.get("preprocess", {}), run.config.get("cohort", {}).get("suffix", "T1w")
    folder, size = run.cohort / "preprocess" / "derivatives", float(settings.get("voxel_mm", 2))
    brain, mask = (in_space(folder, str(row["scan"]), size, end) for end in (f"desc-brain_{suffix}.nii.gz", MASK))
    src = ""
    if brain.exists() and mask.exists():
        inside = np.asarray(nib.Nifti1Image.from_filename(mask).dataobj) >= 0.5
        src = thumbnails.scan(np.asarray(nib.Nifti1Image.from_filename(brain).dataobj, dtype=np.float32), inside)
    values = {name: None if pd.isna(row.get(name)) else float(row[name]) for name in NUMBERS if name in row}
    reasons = [str(row.get(key)) for key in ("reason", "cause") if row.get(key) and not pd.isna(row.get(key))]
    line = f"r {shown(values.get('template_r'))}, Dice {shown(values.get('mask_dice'))}"
    return {"title": str(row["scan"]), "src": src, "excluded": bool(row["excluded"]), "reason": "; ".join(reasons),
            "values": values, "lines": [line]}  # fmt: skip


def duplicates(run: Run) -> list[Block]:
    """Pairs of scans that are alike: copies, and people who were scanned twice under two ids."""
    pairs = read(run, "preprocess/duplicates.tsv")
    if pairs is None:
        return [absent("preprocess/duplicates.tsv", "the check for copies has not run")]
    if pairs.empty:
        return [text("No two scans are alike enough to be copies (preprocess/duplicates.tsv).")]
    copies = int(pairs["duplicate"].astype(bool).sum()) if "duplicate" in pairs else 0
    return [
        *([note(f"{copies} pairs are copies: the same scan twice.")] if copies else []),
        table(pairs, COPIES, "preprocess/duplicates.tsv", f"{len(pairs)} pairs of scans that are alike"),
    ]
