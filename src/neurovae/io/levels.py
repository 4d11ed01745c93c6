"""Levels of a text column (site, sex, group): one spelling per number, and levels that probably mean the same."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from neurovae.io.tables import number

CYRILLIC, GREEK = "АВЕКМНОРСТХаеорсух", "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"
TWINS = str.maketrans(CYRILLIC + GREEK, "ABEKMHOPCTXaeopcyxABEZHIKMNOPTYXo")  # letters that print like Latin ones


def level(text: str) -> str:
    """Return one spelling per number: `1.0` is `1`, `1.50` is `1.5`; `01` and `1E5` are labels and stay unchanged."""
    match = re.fullmatch(r"([+-]?\d+)\.(\d*?)0*", text, re.ASCII)
    return text if not match else match[1] + (f".{match[2]}" if match[2] else "")


def similar(levels: Iterable[str]) -> list[list[tuple[str, int]]]:
    """Group levels that differ only in capitals, blanks, leading zeros or look-alike letters, with their counts."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for text, count in sorted(Counter(levels).items()):
        groups.setdefault(_loose(text), []).append((text, count))
    return [group for group in groups.values() if len(group) > 1]


def _loose(text: str) -> str:
    value = number(text)
    if value is not None:
        return repr(value)
    folded = unicodedata.normalize("NFKC", text.translate(TWINS)).casefold()
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_-]", "", folded)) or text
