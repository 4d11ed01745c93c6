"""Numbers that are probably codes for missing values: usual codes outside the other values, and distant values."""

import re
from collections.abc import Sequence

NINES = re.compile(r"9{2,}(\.9+)?")  # 99, 999, 99.9: the most frequent codes, and rare as values
DIGITS = re.compile(r"-?([1-9])\1*(\.\1+)?|9{2,}\.?0?")  # 9, 99, 999, 88, 777, -4, 99.9
USUAL = "a usual code for missing"
MIN_VALUES = 8  # with fewer values none is suspicious
TAIL = 0.2  # at most this fraction of the values counts as far away


def suspects(values: Sequence[float]) -> dict[float, str]:
    """Return suspicious values with the reason; the others must be the large majority.

    A usual code (a repeated digit such as 888 or -9) is suspicious where it lies outside all other values: negative
    where the others are 0 or more, or farther away than half of their range (99, 999 and the like: than a quarter). Any
    value is suspicious where the gap to the others is larger than their whole range.
    """
    if len(values) < MIN_VALUES:
        return {}
    repeated = {value for value in set(values) if is_code(value)}
    others = [value for value in values if value not in repeated]
    suspicious = {}
    if len(others) >= max(MIN_VALUES, len(values) // 2):
        low, high = min(others), max(others)
        for value in sorted(repeated, key=lambda value: max(low - value, value - high)):  # the nearest first
            gap = max(low - value, value - high)
            share = 0.25 if NINES.fullmatch(f"{value:.15g}") else 0.5
            if high > low and gap > 0 and ((value < 0 <= low) or gap > share * (high - low)):
                suspicious[value] = USUAL
            else:
                low, high = min(low, value), max(high, value)
    return (
        dict.fromkeys(_far([value for value in values if value not in suspicious]), "far from all other values")
        | suspicious
    )


def is_code(value: float) -> bool:
    """Whether a value is a repeated digit, such as 999 or -9, as codes for missing values are."""
    return value != 0 and DIGITS.fullmatch(f"{value:.15g}") is not None and (value < 0 or value >= 7)


def _far(values: list[float]) -> set[float]:
    """Values beyond a gap that is larger than the range of the others, at either end."""
    ordered, tail = sorted(values), int(TAIL * len(values))
    for cut in range(max(len(ordered) - tail, 1), len(ordered)):
        if ordered[cut] - ordered[cut - 1] > ordered[cut - 1] - ordered[0] > 0:
            return set(ordered[cut:]) | _far(ordered[:cut])
    for cut in range(tail, 0, -1):
        if ordered[cut] - ordered[cut - 1] > ordered[-1] - ordered[cut] > 0:
            return set(ordered[:cut]) | _far(ordered[cut:])
    return set()
