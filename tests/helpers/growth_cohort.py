"""Latents of a simulated longitudinal cohort, without images: levels and slopes of people are known."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd


class Latents(NamedTuple):
    """The joined table of visits as `trajectory.frame.timed` gives it, and the true levels and slopes (P, latents)."""

    table: pd.DataFrame
    level: np.ndarray
    slope: np.ndarray


def draw(
    seed: int,
    people: int = 60,
    latents: int = 8,
    visits: tuple[int, int] = (2, 4),
    slope_sd: float = 0.3,
    noise: float = 0.4,
    score_on_change: float = 0.0,
    score_on_level: float = 0.5,
) -> Latents:
    """Draw people with `visits` (fewest, most) at irregular times; age acts differently between and within people.

    score_on_change: change of the first latent's slope, in its SD, per SD of the score; score_on_level likewise of all
    levels. The score also depends on age, which moves the slopes of all latents.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(visits[0], visits[1] + 1, people)
    person = np.repeat(np.arange(people), counts)
    gaps = [np.concatenate([[0.0], rng.uniform(0.7, 1.6, count - 1)]).cumsum() for count in counts]
    t, age = np.concatenate(gaps), rng.normal(70, 8, people)
    score = 0.4 * (age - 70) / 8 + rng.normal(size=people)
    size = np.sqrt(1 - 0.3**2) * slope_sd
    level = rng.normal(size=(people, latents))
    slope = 0.3 * slope_sd * level + size * rng.normal(size=(people, latents))
    slope += 0.2 + 0.1 * ((age - 70) / 8)[:, None]
    slope[:, 0] += score_on_change * slope_sd * score
    level = level + score_on_level * score[:, None] + 0.03 * (age - 70)[:, None]
    z = level[person] + slope[person] * t[:, None] + noise * rng.normal(size=(len(t), latents))
    names = [f"mu_{k:02d}" for k in range(latents)]
    table = pd.DataFrame(z, columns=names).assign(
        scan=[f"sub-{i:03d}_ses-{k}" for i, count in enumerate(counts) for k in range(1, count + 1)],
        person=[f"sub-{i:03d}" for i in person],
        session=[str(k) for count in counts for k in range(1, count + 1)],
        years=t,
        age_first=age[person],
        sex=np.where(rng.random(people) < 0.5, "F", "M")[person],
        site="n/a",
        latents_split="test",
        latents_model="pca",
        latents_fold=0,
        latents_seed=0,
        score=score[person],
    )
    return Latents(table, level, slope)


SCORE: dict[str, Any] = {"name": "score", "type": "continuous"}
CONFOUNDS: list[dict[str, Any]] = [{"name": "sex", "type": "categorical"}]
