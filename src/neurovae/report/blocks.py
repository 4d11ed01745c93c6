"""The pieces a section of the report is made of, as plain data; the template alone turns them into HTML.

A block is a dict with a `kind`: text, note, heading, figure, table, absent, details, cards, facts, tiles, pre, methods,
html. Every text in it is shown as text, since the template escapes it. Only "html" holds markup of our own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Block = dict[str, Any]
MOST = 3000  # rows of a table that the page holds
NARROW, WIDE = 26, 50  # letters of the longest text of a column that is never broken; that gets room
SHOWN = 15  # rows of a table that are drawn before anybody asks for more
TEXTS = ["scan", "person", "session", "acquisition", "run", "site", "score", "model", "latent", "against", "term",
         "maxt_status", "maxt_reason",
         "scan_a", "scan_b", "person_a", "person_b", "reason", "nuisance", "replicated", "score_nuisance"]  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What one report is about: the folder of results, the models, the fit shown, the whole validated configuration."""

    cohort: Path
    models: list[str]
    fit: str
    primary: str
    shown: list[str]
    captions: Path
    config: dict[str, Any]

    @property
    def fold(self) -> str:
        """ "fold-0" of "fold-0_seed-0"."""
        return self.fit.split("_")[0]

    @property
    def seed(self) -> str:
        """ "seed-0" of "fold-0_seed-0"."""
        return self.fit.split("_")[1]

    def ordered(self) -> list[str]:
        """The primary model first."""
        return sorted(self.models, key=lambda model: model != self.primary)


def read(run: Run, path: str) -> pd.DataFrame | None:
    """A table below the cohort's folder, by its ending; None if it is not there. In TSV only n/a is missing."""
    file = run.cohort / path
    if not file.exists():
        return None
    if file.suffix == ".parquet":
        return pd.read_parquet(file)
    types = dict.fromkeys(TEXTS, "object")
    return pd.read_csv(file, sep="\t", keep_default_na=False, na_values=["n/a"], dtype=types)


def of_fit(table: pd.DataFrame, fit: str) -> pd.DataFrame:
    """The rows of one fold and seed ("fold-0_seed-0")."""
    fold, seed = (part.split("-")[1] for part in fit.split("_"))
    return table[(table["fold"].astype(str) == fold) & (table["seed"].astype(str) == seed)]


def text(words: str) -> Block:
    """A paragraph."""
    return {"kind": "text", "text": words}


def note(words: str, level: str = "warn") -> Block:
    """A paragraph that stands out; level: "warn" or "info"."""
    return {"kind": "note", "text": words, "level": level}


def heading(words: str) -> Block:
    """A heading below the section's."""
    return {"kind": "heading", "text": words}


def absent(path: str, why: str) -> Block:
    """What should stand here and does not, with the reason."""
    return {"kind": "absent", "path": path, "why": why}


def details(title: str, blocks: list[Block]) -> Block:
    """Blocks folded away below a title."""
    return {"kind": "details", "title": title, "blocks": blocks}


def folded(title: str, blocks: list[Block], run: Run, model: str) -> list[Block]:
    """The primary model's blocks as they are, those of another model folded away."""
    return blocks if model == run.primary else [details(title, blocks)]


def facts(pairs: Sequence[tuple[str, Any]], source: str) -> Block:
    """Names with values, and the file they are from."""
    return {"kind": "facts", "pairs": [(name, shown(value)) for name, value in pairs], "source": source}


def figure(src: str, caption: str, source: str, alt: str, wide: bool = True) -> Block:
    """A picture as data URI; wide: on a phone it scrolls in its box instead of shrinking beyond reading."""
    return {"kind": "figure", "src": src, "caption": caption, "source": source, "alt": alt, "wide": wide}


def table(
    frame: pd.DataFrame, columns: Mapping[str, str], source: str, caption: str, first: int = SHOWN, mark: str = ""
) -> Block:
    """A sortable table: `columns` (name -> heading) of the frame, without those it lacks and those that are empty.

    Rows hold [text, number or text to sort by], the number exactly as in the file. `mark` names a column of verdicts or
    audits. Of more than MOST rows the first are kept, and the page says so.
    """
    cut = frame.head(MOST)
    kept = {
        name: head for name, head in columns.items() if name in cut and (cut[name].notna() & (cut[name] != "")).any()
    }
    cells = [[_cell(value) for value in cut[name]] for name in kept]  # (columns, rows)
    heads = [
        {"name": head, "kind": "mark" if name == mark else _kind(column)}
        for (name, head), column in zip(kept.items(), cells, strict=True)
    ]
    rows = [list(row) for row in zip(*cells, strict=True)]
    return {"kind": "table", "heads": heads, "rows": rows, "first": first, "caption": caption, "source": source,
            "total": len(frame)}  # fmt: skip


def _kind(cells: list[list[Any]]) -> str:
    """number, or by the longest text short (never broken), long, or text."""
    if all(not isinstance(value, str) for _, value in cells):
        return "number"
    longest = max(len(words) for words, _ in cells)
    return "short" if longest <= NARROW else "long" if longest > WIDE else "text"


def _cell(value: Any) -> list[Any]:
    if isinstance(value, bool | np.bool_):
        return ["yes" if value else "no", int(value)]
    if value is None or value is pd.NA or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return ["n/a" if value is None or value is pd.NA or np.isnan(value) else str(value), None]
    if isinstance(value, int | float | np.number):
        return [shown(value), value.item() if isinstance(value, np.number) else value]
    return [str(value), str(value)]


def shown(value: Any) -> str:
    """A number in three significant digits (whole numbers in full), a missing one as n/a, texts as they are."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return "n/a"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer) or (float(value).is_integer() and abs(value) < 1e9):
        return str(int(value))
    return f"{value:.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def interval(value: float, low: float, high: float) -> str:
    """ "+0.52 [+0.40, +0.65]"."""
    return "n/a" if pd.isna(value) else f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
