"""Report the progress of a long loop: how far, how fast, and the time left; a short loop prints nothing."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
EVERY = 10.0  # seconds between two lines


def steps(values: Sequence[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield each of the values; print every ten seconds a line "permutations 2000/10000, 310/s, 26 s left".

    what: name of the things that are counted; total: their number, if it differs from the number of values.
    """
    n_total = len(values) if total is None else total
    start = last_line = time.monotonic()
    for k, value in enumerate(values):
        now = time.monotonic()
        if k and now - last_line >= EVERY:
            print(line(what, n_total * k // len(values), n_total, now - start), flush=True)
            last_line = now
        yield value


def line(what: str, done: int, total: int, seconds: float) -> str:
    """Format one line of progress: so many done in so many seconds."""
    rate = done / seconds if seconds > 0 and done else float("nan")
    return f"{what} {done}/{total}, {rate:.3g}/s, {(total - done) / rate:.0f} s left"
