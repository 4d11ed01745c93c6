"""Numbers as the report, its captions and the summary print them."""

from typing import Any

import numpy as np
import pandas as pd


def shown(value: Any) -> str:
    """A number in three significant digits (whole numbers in full), a missing one as n/a, texts unchanged."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return "n/a"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer) or (float(value).is_integer() and abs(value) < 1e9):
        return str(int(value))
    return f"{value:.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def p_value(value: Any) -> str:
    """ "= 0.012", "= 0.0001", or "n/a": a p after the letter, in two significant digits."""
    return "n/a" if value is None or pd.isna(value) else f"= {float(value):.2g}"


def two_digits(value: float) -> str:
    """Two decimals, never -0.00."""
    return f"{round(value, 2) + 0.0:.2f}"


def unsigned(value: float, low: float, high: float) -> str:
    """ "0.52 [0.40, 0.65]"; a third digit where the interval would have no width."""
    digits = 3 if round(low, 2) == round(high, 2) else 2
    value, low, high = (round(one, digits) + 0.0 for one in (value, low, high))  # never -0.00
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def region(name: Any) -> str:
    """A region's name; those that are bounded by planes instead of anatomy say so."""
    return str(name).replace("(box)", "(box-shaped region)")


def plain(words: Any, longest: int = 24) -> str:
    """A text for a figure, shortened."""
    short = str(words)
    return short if len(short) <= longest else short[: longest - 1] + "…"


def limit(pair: list[float | None]) -> str:
    """ "between 700 and 2200" of [700, 2200], "at least 700" of [700, null]; null is no limit."""
    low, high = pair
    if low is not None and high is not None:
        return f"between {low:g} and {high:g}"
    return f"at most {high:g}" if low is None else f"at least {low:g}"


def listed(words: list[str], last: str = "and") -> str:
    """ "a, b and c"."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def count(number: int, noun: str, several: str = "") -> str:
    """ "1 score", "2 scores"; several: the plural, if it is not the noun with an s."""
    return f"{number} {noun if number == 1 else several or noun + 's'}"
