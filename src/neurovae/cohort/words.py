"""Messages about levels of a text column: words that were read as missing, and levels that probably mean the same."""

from collections import Counter
from collections.abc import Iterable

from neurovae.io.levels import similar
from neurovae.io.tables import Keyed


def read_as_missing(tables: Iterable[Keyed], column: str) -> str:
    """Say that a word such as `NA` was read as missing although it looks like a level, with the remedy."""
    counts = sum((table.words.get(column, Counter()) for table in tables), Counter[str]())
    if not counts:
        return ""
    examples = " and ".join(f"'{word}' in {count} row{'s' * (count > 1)}" for word, count in counts.most_common(3))
    quoted = ", ".join(f'"{word}"' for word, _ in counts.most_common(3))
    return (
        f"; {examples} of column '{column}' {'was' if sum(counts.values()) == 1 else 'were'} read as missing: "
        f"if it is a value, set cohort.not_missing: {{{column}: [{quoted}]}}"
    )


def same_words(levels: Iterable[str]) -> str:
    """Say which levels differ only in capitals, blanks, leading zeros or look-alike letters, with their counts."""
    groups = [" and ".join(f"{text!a} ({count})" for text, count in group) for group in similar(levels)]
    return f"; {'; '.join(groups)} look like one level: write one spelling if they are" if groups else ""
