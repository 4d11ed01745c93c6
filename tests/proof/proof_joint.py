"""A joint model on simulated cohorts of 300: two shared factors of image and scores, and two private ones of each.

The signal is such that ridge on voxels predicts the scores with R2 of .4 to .6. Scores are four continuous ones, two
ordinal, one bounded and one count. Missing values are those of the people who are fitted on.
"""

from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd
import proof_lines as lines
import torch
from proof_lines import Check
from scipy.stats import t
from simulated_joint import MASK, cohort, explained, fitted, r2, with_holes, without_scores

from neurovae.train.models import joint

PEOPLE, FIRST = 300, 7000
MISSING = 0.3
CASES = ("all scores", "30 % of scores missing", "half of the people without scores", "scores of nothing")


def one(case: str, number: int) -> dict[str, Any]:
    """Shared factors explained by latents of the image alone, and mean R2 of the scores from it, in test people."""
    torch.set_num_threads(1)
    given = cohort(PEOPLE, FIRST + number, null=case == "scores of nothing")
    given = with_holes(given, MISSING, number) if case.startswith("30") else given
    given = without_scores(given, 0.5, number) if case.startswith("half") else given
    tensors, architecture, _ = fitted(given)
    mu = joint.embed(given.volumes, MASK, tensors, architecture)[0][:, : architecture["n_shared"]]
    own, ridge = r2(given, tensors, architecture).mean(axis=0)
    factors = explained(mu, given.shared, given.split)
    return {"case": case, "cohort": number, "factors": factors.mean(), "factors_least": factors.min(), "joint": own,
            "ridge": ridge}  # fmt: skip


def table(pool: Executor | None, cohorts: int) -> pd.DataFrame:
    """A row per case and cohort."""
    jobs = [(case, number) for number in range(cohorts) for case in CASES]
    return pd.DataFrame(lines.shared(pool, one, jobs))


def checks(found: pd.DataFrame) -> list[Check]:
    """The bars of each case, on means over cohorts."""
    mean, n = found.groupby("case")[["factors", "joint", "ridge"]].mean(), found["cohort"].nunique()
    whole, words = mean.loc[CASES[0]], f"joint, {PEOPLE} people"
    cost = {case: whole["joint"] - mean.loc[case, "joint"] for case in CASES[1:3]}
    null = found.loc[found["case"] == CASES[3], "joint"]
    half = t.ppf(0.975, len(null) - 1) * null.std() / np.sqrt(len(null))
    low, high = null.mean() - half, null.mean() + half
    return [
        Check(f"{words}: signal, R2 of ridge on voxels", f"{whole['ridge']:.3f}", ".4 to .6",
              0.4 <= whole["ridge"] <= 0.6, n),
        Check(f"{words}: shared factors explained from the image alone", f"{whole['factors']:.3f}", ">= .6",
              whole["factors"] >= 0.6, n),
        Check(f"{words}: R2 of scores from the image", f"{whole['joint']:.3f}", f">= {whole['ridge'] - 0.05:.3f}",
              whole["joint"] >= whole["ridge"] - 0.05, n),
        Check(f"{words}: cost of 30 % missing scores", f"{cost[CASES[1]]:.3f}", "<= .1", cost[CASES[1]] <= 0.1, n),
        Check(f"{words}: R2, half of the people without scores", f"{mean.loc[CASES[2], 'joint']:.3f}",
              f">= {mean.loc[CASES[2], 'ridge'] - 0.05:.3f}",
              mean.loc[CASES[2], "joint"] >= mean.loc[CASES[2], "ridge"] - 0.05, n),
        Check(f"{words}: R2 of scores of nothing, interval over cohorts", f"{low:.3f} to {high:.3f}", "not above 0",
              low <= 0, n),
    ]  # fmt: skip
