"""Words in the messages about levels: those that were read as missing, and those that are probably one."""

from collections import Counter
from collections.abc import Iterable

from neurovae.io.levels import similar
from neurovae.io.tables import Keyed


def read_as_missing(tables: Iterable[Keyed], column: str) -> str:
    """That a word such as `NA` was read as missing although it looks like a level, with the remedy."""
    counts = sum((table.words.get(column, Counter()) for table in tables), Counter[str]())
    if not counts:
        return ""
    shown = " and ".join(f"'{word}' in {count} row{'s' * (count > 1)}" for word, count in counts.most_common(3))
    listed = ", ".join(f'"{word}"' for word, _ in counts.most_common(3))
    return (
        f"; {shown} of column '{column}' {'was' if sum(counts.values()) == 1 else 'were'} read as missing: if it is a "
        f"value, set cohort.not_missing: {{{column}: [{listed}]}}"
    )


def same_words(levels: Iterable[str]) -> str:
    """Levels that differ in capitals, blanks, leading zeros or look-alike letters only, with their counts."""
    groups = [" and ".join(f"{text!a} ({count})" for text, count in group) for group in similar(levels)]
    return f"; {'; '.join(groups)} look like one level: write one spelling if they are" if groups else ""
