"""Nuisances that a latent may encode instead of disease: columns of the quality and cohort tables, regional volumes."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neurovae.design.design import used_confounds
from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.io.missing import BUILTIN, Codes
from neurovae.plan.user_tables import volumes
from neurovae.stats.basis import expand, independent

GROUPS = {  # of the quality table, with the reason why each is not disease
    "head size": ("head_size",),  # of the head: registration removes most of it
    "rotation": ("rotation_x", "rotation_y", "rotation_z"),  # how the head lay; the affine removes nearly all of it
    "translation": ("translation_x", "translation_y", "translation_z"),  # where it lay: coil profile, field of view
    "head proportions": ("scale_x", "scale_y", "scale_z"),  # long or broad heads, and gradients that are out of scale
    "shear": ("shear_xy", "shear_xz", "shear_yz"),  # what else the affine removed: shape of the head, distortion
    "noise": ("noise", "clipped"),  # thermal noise, receive coil, clipped intensities
    "sharpness": ("sharpness",),  # blur by motion of the head, by reconstruction or by resampling
    "registration": ("misalignment_mm",),  # how far the registered brain still lies from the template
}  # not mask_ml, mask_dice, template_r and snr: atrophy moves them, whatever the scanner does
WORDS = {
    "noise": "image noise",
    "sharpness": "image sharpness",
    "registration": "residual misalignment",
    "mean_fd": "mean framewise displacement",
}  # in sentences
KEYS = ("scan", "person", "session", "acquisition", "run", "fold", "session_order")
ALWAYS = ("age", "sex", "site")  # checked in every cohort; the table says where such a column is missing
LEVELS = 20  # a text column with more levels than this is not a category
DISTINCT = 5  # a number with fewer distinct values than this is a category


class Nuisance(NamedTuple):
    """A named group of columns of the joined table; `declared`: the tests account for all of it."""

    name: str
    kind: str  # nuisance, region, or score (a score may explain another score; a latent that it explains is no caveat)
    columns: dict[str, str]  # column -> continuous or categorical
    declared: bool
    reason: str = ""  # why it cannot be used, if it cannot


PARTS = ("event", "entry")  # columns of a survival score beside its time


def nuisances(
    table: pd.DataFrame, scores: list[dict[str, Any]], confounds: list[dict[str, Any]], regions: list[str]
) -> list[Nuisance]:
    """List age, sex, site, declared confounds, all other columns of the cohort table, quality groups and regions.

    A group is declared when all of its columns are confounds (`from: preprocess`). A group that is declared in part is
    tested for what its other columns add. A site column with several sites is a confound of every test, and counts as
    declared.
    """
    used = {str(column.name): kind for _, kind, column in used_confounds(table, {"name": ""}, confounds, False)[0]}
    used |= {"site": "categorical"} if "site" in used or table["site"].nunique() > 1 else {}
    score_names = {entry["name"] for entry in scores}
    of_survival = {f"{entry['name']}_{part}" for entry in scores if entry["type"] == "survival" for part in PARTS}
    internal = {*KEYS, *of_survival, *latent_table.columns(table), *regions, *score_names}
    extra = [c for c in table.columns if c not in internal and not c.startswith(("latents_", "qc_"))]
    all_names = list(dict.fromkeys([*ALWAYS, *(c for c in used if not c.startswith("qc_")), *extra]))
    entries = [_column(table, name, used) for name in all_names]
    entries = [
        entry._replace(kind="score") if entry.name in score_names and not entry.declared else entry for entry in entries
    ]
    single = [c for c in used if c.startswith("qc_") and not any(c[3:] in group for group in GROUPS.values())]
    for name, group in [*GROUPS.items(), *((c[3:], (c[3:],)) for c in single)]:
        columns = {f"qc_{c}": "continuous" for c in group if f"qc_{c}" in table}
        reason = "" if columns else f"the quality table has none of {', '.join(group)}"
        entries.append(Nuisance(name, "nuisance", columns, bool(columns) and set(columns) <= set(used), reason))
    return entries + [Nuisance(name, "region", {name: "continuous"}, False) for name in regions]


def _column(table: pd.DataFrame, name: str, used: dict[str, str]) -> Nuisance:
    if name not in table:
        return Nuisance(name, "nuisance", {}, False, f"the cohort table has no column '{name}'")
    observed = table[name].replace("n/a", None).dropna()
    number = pd.api.types.is_numeric_dtype(observed)
    kind = used.get(name) or ("continuous" if number and observed.nunique() >= DISTINCT else "categorical")
    reason = ""
    if observed.nunique() < 2:
        reason = f"every one of {len(table)} people has the same value" if len(observed) else "every value is missing"
    elif kind == "categorical" and observed.nunique() > max(LEVELS, 2) and name not in used:
        reason = f"{observed.nunique()} levels: text, not a category"
    return Nuisance(name, "nuisance", {name: kind}, name in used, reason)


def columns_of(table: pd.DataFrame, nuisance: Nuisance, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those of `rows` (positions) with all values, and the nuisance as columns (n, k): splines of 3 df, dummies."""
    values = table[list(nuisance.columns)].iloc[rows].replace("n/a", None)
    complete = values.notna().all(axis=1).to_numpy()
    values = values[complete]
    blocks = [expand(name, kind, values[name], values[name])[1] for name, kind in nuisance.columns.items()]
    x = np.hstack([np.ones((int(complete.sum()), 1)), *blocks]) if complete.any() else np.ones((0, 1))
    return rows[complete], x[:, independent(x)][:, 1:] if len(x) else x[:, 1:]


def read_regions(path: Path | None, table: pd.DataFrame, codes: Codes = BUILTIN) -> tuple[pd.DataFrame, list[str]]:
    """Add regional volumes to the joined table; return it with the regions' names.

    An empty path: no volumes.

    Raises:
        InputError: the table cannot be read, a cell is no number, ids match nobody, or a region has a taken name.
    """
    if path is None or str(path) in ("", "."):
        return table, []
    keys = [(scan, f"{person}_ses-{session}", person) for scan, person, session in table[list(KEYS[:3])].to_numpy()]
    regional = volumes(path, keys, codes)
    clashes = [name for name in regional.regions if name in table]
    problems = [f"{path}: the cohort table has a column '{name}' too; rename it" for name in clashes]
    if regional.problems or problems:
        raise InputError(regional.problems + problems)
    print(*(f"warning: {note}" for note in regional.notes), sep="\n", flush=True)
    rows = [regional.values.get(scan, {}) for scan in table["scan"]]
    regions = pd.DataFrame(rows, columns=regional.regions, dtype=float)
    return pd.concat([table.reset_index(drop=True), regions], axis=1), regional.regions
