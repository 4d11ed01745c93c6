"""What the checks of the proof share: a line each, exact binomial intervals, and work shared out over processes."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import binom

ALPHA, LEVEL = 0.05, 0.999
OUT = Path("results/proof")


@dataclass(frozen=True)
class Check:
    """One line of the proof; passed None: skipped, with the reason as its bar."""

    text: str
    value: str
    bar: str
    passed: bool | None
    n: int

    def __str__(self) -> str:
        word = {True: "ok", False: "FAILED", None: "skipped"}[self.passed]
        return f"{word:<8}{self.text:<78} {self.value:>14}   {self.bar}, n {self.n}"


def said(checks: Iterable[Check]) -> list[Check]:
    """Print the checks as they are found."""
    found = []
    for check in checks:
        print(check, flush=True)
        found.append(check)
    return found


def interval(n: int, share: float = ALPHA, level: float = LEVEL) -> tuple[float, float]:
    """Exact binomial interval of a share of n at the level: shares that a test of this size gives, both sides."""
    tail = (1 - level) / 2
    return float(binom.ppf(tail, n, share) / n), float(binom.isf(tail, n, share) / n)


def rate(text: str, hits: int, n: int, sides: int = 2, share: float = ALPHA) -> Check:
    """Rejections inside the exact 99.9 % interval around alpha; one-sided: not above it."""
    if not n:
        return Check(text, "none", "at least one cohort tested", False, 0)
    low, high = interval(n, share)
    if sides == 1:
        return Check(text, f"{hits / n:.4f}", f"at most {high:.4f}", hits / n <= high, n)
    return Check(text, f"{hits / n:.4f}", f"{low:.4f} to {high:.4f}", low <= hits / n <= high, n)


def blocks(count: int, size: int) -> list[tuple[int, int]]:
    """(start, stop) of pieces of a range; a cohort's seed is its number, so that pieces and order change nothing."""
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def shared(pool: Executor | None, work: Callable[..., Any], jobs: list[tuple[Any, ...]]) -> Iterator[Any]:
    """Results of the jobs in their order, over the processes of the pool (None: here)."""
    return pool.map(work, *zip(*jobs, strict=True)) if pool else (work(*job) for job in jobs)


def listed(checks: list[Check]) -> pd.DataFrame:
    """The checks as a table."""
    words = {True: "ok", False: "FAILED", None: "skipped"}
    rows = [(words[one.passed], one.text, one.value, one.bar, one.n) for one in checks]
    return pd.DataFrame(rows, columns=["found", "check", "value", "bar", "n"])


def write(out: Path, name: str, table: pd.DataFrame) -> None:
    """Write a table of the proof."""
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / f"{name}.tsv", sep="\t", index=False, float_format="%.5g", na_rep="n/a")
