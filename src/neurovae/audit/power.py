"""Power, before anything is trained: the smallest effect of one latent on each score that can be detected.

The t test of one latent beside the confounds: t = r sqrt(df) / sqrt(1 - r^2) follows a noncentral t whose noncentrality
is |rho| sqrt(n - 1 - confound columns) / sqrt(1 - rho^2), |rho| the partial correlation in the population, since the
confounds use up that many degrees of freedom of the latent. Membership in the training set is one of them, as in all
tests of a trained model (`design`). Over several latents the level is alpha / latents (Bonferroni, in place of max-T,
which needs latents; correlated ones lose less). A binary score has an odds ratio per SD of the latent too (Hsieh 1998,
eq. 1). For other types the same r is an approximation.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ncfdtr
from scipy.stats import norm, t

from neurovae.cli import Json, cli
from neurovae.design.design import RESIDUAL_DF, Design, design, first_scans, in_order
from neurovae.design.tables import tidy, write_both
from neurovae.io.parquet import read_parquet

SPLINE = 3  # columns of a confound that preprocess measures later
SPLIT = "split (2 levels)"  # membership in the training set, which is not known yet: one column
MIN_STABLE = 300  # people; below, associations with brain scans are unstable (Marek 2022)
COLUMNS = {"score": "object", "type": "object", "n": "Int64", "people": "Int64", "confound_columns": "Int64",
           "confounds": "object", "tests": "Int64", "level": "float64", "power": "float64", "partial_r": "float64",
           "partial_r2": "float64", "odds_ratio": "float64", "hazard_ratio": "float64", "cases": "Int64",
           "text": "object", "status": "object", "reason": "object"}  # fmt: skip


def run(
    *, cohort: Path, scores: Json, confounds: Json, latents: int, power: float, out: Path, alpha: float = 0.05
) -> None:
    """Write and print the smallest detectable effect for each score with these people (.parquet, .tsv).

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun power

    Args:
        cohort: cohort.parquet.
        scores: the scores of the configuration.
        confounds: the declared confounds of the configuration.
        latents: number of latents that are tested.
        power: of the test.
        out: table of score x number of tests.
        alpha: level, two-sided.
    """
    table = read_parquet(cohort)
    rows = [row for score in scores for row in check(table, score, confounds, latents, power, alpha)]
    write_both(out, tidy(rows, COLUMNS))
    warnings = [f"warning: {row['score']}: {row['reason']}" for row in rows if row["reason"] and row["tests"] == 1]
    print(*[row["text"] for row in rows], *warnings, sep="\n", flush=True)


def check(
    table: pd.DataFrame,
    score: dict[str, Any],
    confounds: list[dict[str, Any]],
    latents: int,
    power: float,
    alpha: float,
) -> list[dict[str, Any]]:
    """Two rows of one score: a single test at alpha, and one of `latents` at alpha / latents."""
    people = first_scans(in_order(table)).assign(latents_split="test")
    from_preprocess = [entry for entry in confounds if entry.get("from", "table") == "preprocess"]
    cases = design(
        people, score, [entry for entry in confounds if entry not in from_preprocess], with_split=False, survival=True
    )
    columns = cases.x.shape[1] - 1 + SPLINE * len(from_preprocess) + 1
    texts_later = [f"{entry['name']} ({SPLINE} columns, measured by preprocess)" for entry in from_preprocess]
    row = {
        "score": score["name"],
        "type": score["type"],
        "n": len(cases.y),
        "people": len(people),
        "confound_columns": columns,
        "confounds": ", ".join([text for text in [cases.text] if text != "none"] + texts_later + [SPLIT]),
        "power": power,
    }
    status, reason = cases.status, cases.reason
    if status == "ok" and len(cases.y) - columns - 2 < RESIDUAL_DF:
        status, reason = "too few people", f"{len(cases.y)} participants for {columns} confound regressors"
    caveat = (
        f"{len(cases.y)} participants (fewer than {MIN_STABLE}): effect estimates are imprecise, and those that reach "
        "significance are likely to be inflated"
    )
    row |= {"status": status, "reason": reason if status != "ok" else (caveat if len(cases.y) < MIN_STABLE else "")}
    return [
        row | _detectable(cases, columns, tests, alpha / tests, power, row) for tests in dict.fromkeys((1, latents))
    ]


def _detectable(
    cases: Design, columns: int, tests: int, level: float, power: float, row: dict[str, Any]
) -> dict[str, Any]:
    keys = {"tests": tests, "level": level}
    if row["status"] != "ok":
        return keys | {"text": f"{row['score']}: {row['status']}, {row['reason']}"}
    if row["type"] == "survival":
        return keys | _hazard_ratio(cases, columns, tests, level, power, row)
    r = smallest(len(cases.y), columns, level, power)
    numbers = keys | {"partial_r": r, "partial_r2": r**2}
    text = (
        f"{row['score']}: {len(cases.y)} participants, {columns} confound regressors, {tests} test{'s' * (tests > 1)}: "
    )
    text += f"smallest detectable partial r {r:.2f} (partial R² {r * r:.3f}) with {100 * power:g} % power"
    if row["type"] == "binary":
        numbers |= {"odds_ratio": odds_ratio(cases.y, level, power), "cases": int(cases.y.sum())}
        text += f", odds ratio {numbers['odds_ratio']:.2f} per SD ({numbers['cases']} of {len(cases.y)} cases)"
    elif row["type"] != "continuous":
        text += f" (approximate: the score is {row['type']})"
    return numbers | {"text": text}


def _hazard_ratio(
    cases: Design, columns: int, tests: int, level: float, power: float, row: dict[str, Any]
) -> dict[str, Any]:
    """The smallest hazard ratio above 1 per SD of a latent, given the events (Hsieh & Lavori 2000, Control Clin Trials
    21:552), and no partial correlation: it rests on the events, not on the participants.
    """
    events = int(cases.y[:, 2].sum())
    ratio = float(np.exp((norm.isf(level / 2) + norm.isf(1 - power)) / np.sqrt(events)))
    text = (
        f"{row['score']}: {events} events among {len(cases.y)} participants, {columns} confound regressors, {tests} "
        f"test{'s' * (tests > 1)}: smallest detectable hazard ratio {ratio:.2f} per SD with {100 * power:g} % power"
    )
    return {"hazard_ratio": ratio, "cases": events, "text": text}


def power_of(r: float, people: int, columns: int, level: float) -> float:
    """Return the power of the two-sided t test of a latent whose partial correlation with the score is r."""
    return _power(abs(r) * np.sqrt((people - 1 - columns) / (1 - r**2)), people - columns - 2, level)


def smallest(people: int, columns: int, level: float, power: float) -> float:
    """The smallest |partial r| that the test detects with this power; columns: confounds, without the intercept."""
    df = people - columns - 2
    max_shift = float(t.isf(level / 2, df)) + 10  # beyond it the power is 1, and scipy's tails are not numbers
    shift = brentq(lambda shift: _power(shift, df, level) - power, 0, max_shift)
    return float(shift / np.sqrt(people - 1 - columns + shift**2))


def _power(shift: float, df: int, level: float) -> float:
    """Power of the t test; both tails of the noncentral t are one tail of the noncentral F of its square."""
    return float(1 - ncfdtr(1, df, shift**2, t.isf(level / 2, df) ** 2))  # scipy.stats.ncf.sf is wrong at shift 0


def odds_ratio(y: np.ndarray, level: float, power: float) -> float:
    """Return the smallest odds ratio above 1 per SD of a latent, given the class fractions of y (Hsieh 1998, eq. 1)."""
    fraction = float(np.mean(y))
    return float(np.exp((norm.isf(level / 2) + norm.isf(1 - power)) / np.sqrt(len(y) * fraction * (1 - fraction))))


if __name__ == "__main__":
    cli(run)
