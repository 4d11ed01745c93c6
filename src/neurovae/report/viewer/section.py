"""The report's 3-D viewer: maps of `interpret` as small NIfTI files inside the page, drawn by NiiVue (BSD-2).

Every map has one form: a change per frame in 8 bits, over the model's decoded centre in 16 bits; the page adds them.
"""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from neurovae.report.viewer.maps import Map, centre, deviations, listed
from neurovae.report.viewer.volumes import Grid, encode, read_grid, underlay

ASSETS = Path(__file__).parents[1] / "assets"
SCRIPTS = ("niivue.umd.js", "viewer.js")


def section(
    cohort: Path, models: list[str], fit: str, primary: str, budget_mb: float = 8, people: Sequence[str] = ()
) -> str:
    """HTML of the viewer: the best-ranked maps of all models that fit in the budget, and a list of the others.

    Safe to insert as is: all that comes from data is escaped. One viewer per page.

    Args:
        cohort: results folder (results/<cohort>), with preprocess/mask.nii.gz and interpret/.
        models: those interpreted.
        fit: fold and seed ("fold-0_seed-0").
        primary: the model that comes first and gets the most room.
        budget_mb: size of the embedded volumes; NiiVue itself adds 2.3 MB.
        people: participants whose deviation from the norm is shown.
    """
    grid = read_grid(cohort / "preprocess" / "mask.nii.gz")
    maps: list[Map] = []
    notes: list[str] = []
    for model in sorted(models, key=lambda name: name != primary):
        found, missing = listed(cohort, model, fit, model == primary)
        maps, notes = maps + found + list(deviations(cohort, model, people)), notes + missing
    entries, data, left = embed(sorted(maps, key=lambda one: one.tier), grid, cohort, fit, budget_mb * 1e6)
    notes += [f"not embedded, to keep the maps in this page below {budget_mb:g} MB: {text}" for text in left]
    if grid.factor > 1 and entries:
        size = np.linalg.norm(grid.affine[:3, 0])
        notes.insert(0, f"averaged to {size:g}-mm voxels for this page; the files have the original resolution")
    place = {(one.model, one.label): k for k, one in enumerate(maps)}
    return _html(sorted(entries, key=lambda one: place[one["model"], one["label"]]), data, notes)


def embed(
    maps: list[Map], grid: Grid, cohort: Path, fit: str, budget: float
) -> tuple[list[dict[str, Any]], dict[str, str], list[str]]:
    """Entries for the page and their volumes as base64 by name, in the order given until the budget (bytes) is spent.

    Also a line per model and kind on the maps that are left out, with their files.
    """
    entries: list[dict[str, Any]] = []
    data: dict[str, str] = {}
    middles: dict[str, tuple[np.ndarray, dict[str, Any], str]] = {}
    full, left = False, []
    for one in maps:
        if not full:
            if one.model not in middles:
                middles[one.model] = underlay(centre(cohort, one.model, fit), grid, len(middles))
            volume, about, text = middles[one.model]
            entry, coded = encode(one, volume, grid)
            new = {f"change-{len(entries)}": coded, f"centre-{about['centre']}": text}
            full = sum(map(len, (data | new).values())) > budget
        if full:
            left.append(one)
            continue
        data |= new
        path = one.files[0].relative_to(cohort).as_posix()
        entries.append(entry | about | {"id": len(entries), "file": path})
    return entries, data, _grouped(left, cohort)


def _grouped(left: list[Map], cohort: Path) -> list[str]:
    """A line per model and folder on the maps that are left out."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in left:
        folder = one.files[0].parent.relative_to(cohort).as_posix()
        groups.setdefault((one.model, folder), []).append(one.label.split(" (")[0])
    return [f"{', '.join(labels)} of {model} (in {folder})" for (model, folder), labels in groups.items()]


def _html(entries: list[dict[str, Any]], data: dict[str, str], notes: list[str]) -> str:
    """Controls, canvas, volumes and scripts; only the notes where there is no map."""
    noted = "".join(f"<li>{escape(note)}</li>" for note in notes)
    if notes:
        noted = f"<details><summary>Maps that are not shown ({len(notes)})</summary><ul>{noted}</ul></details>"
    if not entries:
        return f'<div id="viewer"><p>No map is available.</p>{noted}</div>'
    groups: dict[str, list[str]] = {}
    for k, entry in enumerate(entries):
        name = escape(f"{entry['model']}, {entry['label']}")
        groups.setdefault(entry["model"], []).append(f'<option value="{k}">{name}</option>')
    options = "".join(f'<optgroup label="{escape(model)}">{"".join(one)}</optgroup>' for model, one in groups.items())
    kept = ("id", "centre", "grey", "frames", "start", "limit", "peak", "adds", "shown", "unit", "file")
    index = [{name: entry[name] for name in kept} for entry in entries]
    held = "".join(_json(name, value) for name, value in {"index": index, **data}.items())
    scripts = "".join(f"<script>{(ASSETS / name).read_text(encoding='utf-8')}</script>\n" for name in SCRIPTS)
    markup = (ASSETS / "viewer.html").read_text(encoding="utf-8")
    return markup.replace("<!-- options -->", options).replace("<!-- notes -->", noted) + held + scripts


def _json(name: str, value: Any) -> str:
    """A script element that holds data; without <, > and &, which could end it."""
    text = json.dumps(value, ensure_ascii=True)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="viewer-{name}">{text}</script>\n'
