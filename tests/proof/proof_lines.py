"""What the checks of the proof share: a line each, exact binomial intervals, and work shared out over processes."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import binom

ALPHA, LEVEL = 0.05, 0.999
USELESS = 0.2  # a test that rejects less than this share of its nominal level is faulty, not only conservative
OUT = Path("results/proof")


@dataclass(frozen=True)
class Check:
    """One line of the proof; passed None: not judged, since it was skipped (the bar has the reason) or informs only.

    information: what is no fault but worth its number: a conservative test, an oracle that wins, a known liberal test
    whose rows carry a caveat.
    """

    text: str
    value: str
    bar: str
    passed: bool | None
    n: int
    information: str = ""

    @property
    def word(self) -> str:
        return "info" if self.information else {True: "ok", False: "FAILED", None: "skipped"}[self.passed]

    def __str__(self) -> str:
        return f"{self.word:<8}{self.text:<78} {self.value:>14}   {self.bar}, n {self.n}{'; ' * bool(self.information)}{self.information}"


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


def rate(text: str, hits: int, n: int, sides: int = 2, share: float = ALPHA, caveat: str = "") -> Check:
    """Rejections not above the exact 99.9 % interval around alpha; two-sided: below it the test is conservative.

    caveat: where the tables warn of this test, so that a rate above the interval, up to twice alpha, is information.
    """
    if not n:
        return Check(text, "none", "at least one cohort tested", False, 0)
    low, high = interval(n, share)
    bar = f"at most {high:.4f}" if sides == 1 else f"{low:.4f} to {high:.4f}"
    found = hits / n
    if found > high and caveat and found <= 2 * share:
        return Check(text, f"{found:.4f}", bar, None, n, f"caveat in {caveat}")
    if sides == 2 and USELESS * share <= found < low:
        return Check(text, f"{found:.4f}", bar, None, n, "conservative")
    return Check(text, f"{found:.4f}", bar, found <= high and (sides == 1 or found >= low), n)


def reached(text: str, value: float, bar: float, n: int, against: str) -> Check:
    """A power or a ratio of powers at least at its bar; below it, but above half of it, it informs."""
    if bar / 2 <= value < bar:
        return Check(text, f"{value:.3f}", f"at least {bar:g} {against}", None, n, "less than the oracle")
    return Check(text, f"{value:.3f}", f"at least {bar:g} {against}", bool(value >= bar), n)


def blocks(count: int, size: int) -> list[tuple[int, int]]:
    """(start, stop) of pieces of a range; a cohort's seed is its number, so that pieces and order change nothing."""
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def shared(pool: Executor | None, work: Callable[..., Any], jobs: list[tuple[Any, ...]]) -> Iterator[Any]:
    """Results of the jobs in their order, over the processes of the pool (None: here)."""
    return pool.map(work, *zip(*jobs, strict=True)) if pool else (work(*job) for job in jobs)


def listed(checks: list[Check]) -> pd.DataFrame:
    """The checks as a table."""
    rows = [(one.word, one.text, one.value, one.bar, one.n, one.information) for one in checks]
    return pd.DataFrame(rows, columns=["found", "check", "value", "bar", "n", "information"])


def write(out: Path, name: str, table: pd.DataFrame) -> None:
    """Write a table of the proof."""
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / f"{name}.tsv", sep="\t", index=False, float_format="%.5g", na_rep="n/a")
