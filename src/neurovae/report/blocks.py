"""The pieces of the report as plain data; the template alone turns them into HTML.

A block is a dict with a `kind`: text, note, heading, lead, caveats, legend, findings, figure, table, missing, details,
gallery, facts, pre, methods, html. The template escapes every text; only "html" holds markup of our own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Template

from neurovae.report.figures import thumbnails
from neurovae.report.results import LEAST, Run, read, why
from neurovae.report.text import shown
from neurovae.report.words import GIVEN, PASSED, in_words

Block = dict[str, Any]
NOT_WRITTEN = "this run has not written it"
MAX_ROWS = 3000  # rows of a table that the page holds
NARROW, WIDE = 26, 50  # characters of the longest text of a column that never wraps; that gets room
GOOD = ("none", PASSED, "partial", GIVEN)  # beginnings of verdicts and caveats that need no attention
FIRST = 15  # rows of a table that are drawn before the reader asks for more
ALIKE = 4  # rows from which a column of one value is a note on the table instead
SAME: dict[str, Any] = {  # how a column of one value is stated
    "confound_columns": "{} confound regressors", "power": "power {}", "seed": "seed {}", "n": "n = {}",
    "replicated": {"one seed": "models trained with one seed only"}, "status": {"ok": ""}, "maxt_status": {"ok": ""},
    "excluded": {"no": "not excluded"},
}  # fmt: skip


def text(words: str) -> Block:
    """A paragraph."""
    return {"kind": "text", "text": words}


def note(words: str, level: str = "warn") -> Block:
    """A highlighted paragraph; level: "warn" or "info"."""
    return {"kind": "note", "text": words, "level": level}


def heading(words: str) -> Block:
    """A heading below the section's."""
    return {"kind": "heading", "text": words}


def missing(path: str, reason: str) -> Block:
    """A result that does not exist, with the reason."""
    return {"kind": "missing", "path": path, "why": reason}


def details(title: str, blocks: list[Block]) -> Block:
    """Blocks that are closed until the reader opens them."""
    return {"kind": "details", "title": title, "blocks": blocks}


def by_model(run: Run, model: str, blocks: list[Block]) -> list[Block]:
    """The primary model's blocks as they are, those of another model closed."""
    return blocks if model == run.primary else [details(f"Model {model}", blocks)]


def facts(pairs: Sequence[tuple[str, Any]], source: str) -> Block:
    """Names with values, and the file they come from."""
    return {"kind": "facts", "pairs": [(name, shown(value)) for name, value in pairs], "source": source}


def figure(src: str, caption: str, source: str, alt: str, wide: bool = True) -> Block:
    """A picture as data URI; wide: on a phone it scrolls in its box instead of shrinking until it is illegible."""
    return {"kind": "figure", "src": src, "caption": caption, "source": source, "alt": alt, "wide": wide}


def picture(run: Run, name: str, alt: str, reason: str = "") -> Block:
    """A PNG of the report's folder with its caption; `reason` is shown if the file does not exist."""
    path = run.cohort / "report" / name
    if not path.exists():
        return missing(f"report/{name}", reason or "this run has not drawn it")
    return figure(thumbnails.png(path), caption(run, path.stem.split("_")[-1]), f"report/{name}", alt)


def pictures(run: Run, model: str, part: str, names: Mapping[str, str]) -> list[Block]:
    """The PNGs <model>_<part>_<name>.png of a model, by name, with what each shows."""
    return [picture(run, f"{model}_{part}_{name}.png", f"{model}: {alt}", why(run, model))
            for name, alt in names.items()]  # fmt: skip


def caption(run: Run, name: str) -> str:
    """The caption of a kind of figure, or nothing; values of the configuration are filled in as Snakemake does."""
    path = run.captions / f"{name}.rst"
    words = " ".join(path.read_text(encoding="utf-8").split()) if path.exists() else ""
    return Template(run.worded(words)).render(
        snakemake={"config": {"audit": {"min_variance_explained": LEAST}} | run.config}
    )


def file_table(run: Run, path: str, columns: Mapping[str, str], title: str, mark: str = "") -> Block:
    """A table of the results folder, or that it does not exist."""
    found, heads = read(run, path), {name: run.worded(head) for name, head in columns.items()}
    block = missing(path, NOT_WRITTEN) if found is None else table(found, heads, path, title, mark=mark)
    return {**block, "why": run.worded(block["why"])} if block["kind"] == "missing" else block


def table(
    frame: pd.DataFrame, columns: Mapping[str, str], source: str, caption: str, first: int = FIRST, mark: str = ""
) -> Block:
    """A sortable table: `columns` (name -> heading) of the frame, without those that are absent or empty.

    If no row is ok, all for one reason, that reason. A column with one value in all rows is stated once, above it. Rows
    hold [text, number or text to sort by, highlighted], the number exactly as in the file, texts as of `in_words`.
    `mark` names a column of verdicts or caveats, highlighted unless they are GOOD. Beyond MAX_ROWS the page says how
    many rows are left out.
    """
    judged = len(frame) and {"status", "reason"} <= set(frame)
    if judged and not (frame["status"] == "ok").any() and frame["reason"].nunique() == 1:
        return missing(f"{caption} ({source})", str(frame["reason"].iloc[0]))  # nothing of it could be done
    frame = in_words(frame)
    cut = frame.head(MAX_ROWS)
    kept = {
        name: head for name, head in columns.items() if name in cut and (cut[name].notna() & (cut[name] != "")).any()
    }
    same = {name for name in kept if len(frame) >= ALIKE and name != mark and frame[name].nunique(dropna=False) == 1}
    stated = (_stated(name, head, _cell(cut[name].iloc[0], False)[0]) for name, head in kept.items() if name in same)
    said = ", ".join(filter(None, stated))
    said = f"Identical in all rows (columns not shown): {said}." if said else ""
    done = "The analysis of every row was completed." if "status" in same and frame["status"].iloc[0] == "ok" else ""
    kept = {name: head for name, head in kept.items() if name not in same}
    cells = [[_cell(value, name == mark) for value in cut[name]] for name in kept]  # (columns, rows)
    heads = [
        {"name": head, "kind": "mark" if name == mark else _kind(column)}
        for (name, head), column in zip(kept.items(), cells, strict=True)
    ]
    rows = [list(row) for row in zip(*cells, strict=True)]
    return {"kind": "table", "heads": heads, "rows": rows, "first": first, "caption": caption, "source": source,
            "total": len(frame), "same": f"{said} {done}".strip()}  # fmt: skip


def _stated(name: str, head: str, value: str) -> str:
    """What all rows of a column share, in words."""
    words = SAME.get(name)
    if isinstance(words, str):
        return words.format(value)
    return (words or {}).get(value, f"{head}: {value}")


def _kind(cells: list[list[Any]]) -> str:
    """number, or by the longest text short (never wraps), long, or text."""
    if all(not isinstance(value, str) for _, value, _ in cells):
        return "number"
    longest = max(len(words) for words, _, _ in cells)
    return "short" if longest <= NARROW else "long" if longest > WIDE else "text"


def _cell(value: Any, mark: bool) -> list[Any]:
    if isinstance(value, bool | np.bool_):
        return ["yes" if value else "no", int(value), False]
    if value is None or value is pd.NA or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return ["n/a" if value is None or value is pd.NA or np.isnan(value) else str(value), None, False]
    if isinstance(value, int | float | np.number):
        return [shown(value), value.item() if isinstance(value, np.number) else value, False]
    return [str(value), str(value), mark and not str(value).startswith(GOOD)]
