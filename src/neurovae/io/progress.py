"""Say how far a long loop is, how fast it goes and how long it will still take; a short loop says nothing."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
EVERY = 10.0  # seconds between two lines


def steps(values: Sequence[T], what: str, total: int | None = None) -> Iterator[T]:
    """Give each of the values, and every ten seconds a line "permutations 2000/10000, 310/s, 26 s left".

    what: the things that are counted; total: how many of them all the values stand for, if not one each.
    """
    whole = len(values) if total is None else total
    start = said = time.monotonic()
    for k, value in enumerate(values):
        now = time.monotonic()
        if k and now - said >= EVERY:
            print(line(what, whole * k // len(values), whole, now - start), flush=True)
            said = now
        yield value


def line(what: str, done: int, total: int, seconds: float) -> str:
    """One line of progress, of so many done in so many seconds."""
    rate = done / seconds if seconds > 0 and done else float("nan")
    return f"{what} {done}/{total}, {rate:.3g}/s, {(total - done) / rate:.0f} s left"
