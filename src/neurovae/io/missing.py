"""Codes for missing values: one built-in list for every column, extended or restricted by the configuration."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

MISSING = frozenset(
    {
        "",
        "n/a",
        "na",
        "<na>",
        "n.a.",
        "n.a",
        "nan",
        "-nan",
        "nat",
        "null",
        "nil",
        "none",
        "missing",
        "not available",
        "-",
        "--",
        "---",
        "\u2013",
        "\u2014",
        ".",
        "..",
        "...",
        "?",
        "\\n",
        "#n/a",
        "#n/a n/a",
        "#na",
        "#null!",
        "#div/0!",
        "#value!",
        "#ref!",
        "#name?",
        "#num!",
        "1.#ind",
        "-1.#ind",
        "1.#qnan",
        "-1.#qnan",
    }
)  # fmt: skip - compared without regard to capitals
IDS = ("participant_id", "person", "session_id", "scan", "session", "acquisition", "run", "path")  # BUILTIN alone
NUMERAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


class Codes(NamedTuple):
    """By column (`*`: every column), additional codes for missing values, and built-in codes that are values."""

    missing: Mapping[str, frozenset[str]]
    values: Mapping[str, frozenset[str]]


BUILTIN = Codes({}, {})


def codes(section: dict[str, Any]) -> Codes:
    """Read `missing` and `not_missing` of the cohort section: a list for all columns, or lists by column."""
    return Codes(_by_column(section.get("missing")), _by_column(section.get("not_missing")))


def _by_column(setting: Any) -> dict[str, frozenset[str]]:
    by_column = setting if isinstance(setting, dict) else {"*": setting or []}
    return {
        str(column): frozenset(spelling(str(code)) for code in codes_of_column)
        for column, codes_of_column in by_column.items()
    }


def spelling(text: str) -> str:
    """Return one spelling per number and word, to compare codes: `-9.0` is `-9`, `9.99E+02` is 999, `NA` is `na`."""
    numeral = text.replace("\u2212", "-")  # the Unicode minus
    return repr(float(numeral) + 0.0) if NUMERAL.fullmatch(numeral) else text.casefold()


def is_missing(column: str, cell: str, codes: Codes) -> bool:
    """Whether a cell holds no value; an empty cell never holds one."""
    code = spelling(cell)
    if not cell:
        return True
    if codes.values and any(code in codes.values.get(name, ()) for name in (column, "*")):
        return False
    if code in MISSING or not codes.missing or column in IDS:
        return code in MISSING
    return any(code in codes.missing.get(name, ()) for name in (column, "*"))


def label_like(word: str, labels: set[str]) -> bool:
    """Whether a word of the built-in list could be one of these labels (`NA` beside `EU`, `none` beside `mild`).

    `NA` among single letters (`F`, `M`) is read as missing; so are `n/a`, empty cells and the errors of spreadsheets.
    """
    if word.casefold() in ("none", "nil", "null", "missing"):
        return any(re.fullmatch(r"[^\W\d_]{3,}.*", label) for label in labels)
    if word.casefold() in ("na", "nan", "nat"):
        codes = any(re.fullmatch(r"[A-Z]{2,4}", label) for label in labels)
        return word.casefold() == "na" and (codes or all(re.fullmatch(r"[a-z]{2}", label) for label in labels))
    return word in ("-", "\u2013", "--") and any(re.fullmatch(r"[+\u00b1]+(/[+-])?", label) for label in labels)
