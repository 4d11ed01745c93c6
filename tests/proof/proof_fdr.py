"""False discovery rate of q under a mixture: four latents matter, twelve do not, at two strengths.

As in glm.tsv, q of over-dispersed counts rests on the permutation's p. The four are made independent of the others beyond the confounds, so that "does not matter" is true of each latent
alone as the GLM tests it; the twelve correlate as on ixi.
"""

from concurrent.futures import Executor

import numpy as np
import pandas as pd
import proof_cohort as made
import proof_lines as lines
from proof_lines import Check
from scipy.stats import norm

from neurovae.design.rows import standard
from neurovae.design.tables import bh
from neurovae.stats import families, rao
from neurovae.stats.maxt import batch, exceed, maxt, statistics

N, MATTER, PERMUTATIONS = 120, (2, 5, 9, 13), 999
EFFECTS = {"Gaussian": (0.25, 0.5), "skewed": (0.25, 0.5), "negative binomial": (0.2, 0.4), "binary": (0.5, 1.0)}


def counted(family: str, effect: float, start: int, stop: int) -> list[tuple[int, int]]:
    """(false, all) discoveries at q < .05 of each cohort."""
    found, kind = [], made.KINDS[family]
    for number in range(start, stop):
        rng = np.random.default_rng([202, list(made.SCORES).index(family), number])
        table, z = made.people(N, rng)
        z[:, MATTER] = rng.normal(size=(N, len(MATTER)))
        y = made.score(family, made.predictor(table) + effect * z[:, MATTER].sum(axis=1), rng)
        y, x = standard(y) if kind == "continuous" else y, made.columns(table)
        null = families.fit(kind, y, x)
        fits = [families.fit(kind, y, np.column_stack([x, standard(column)])) for column in z.T]
        p = np.array([families.nested_p(null, full, 1, N) if full.status == "ok" else np.nan for full in fits])
        if null.alpha > 0:
            data = batch(z, x, [rao.null(kind, y, x, null)])
            draws = exceed([data], np.zeros(N, int), PERMUTATIONS, number)[0]
            p[np.isfinite(p)] = maxt(statistics(data, np.arange(N)[None, :])[0], draws)[0][0][np.isfinite(p)]
        called = np.nan_to_num(bh(p, np.isfinite(p))[0], nan=1.0) < lines.ALPHA
        found.append((int(np.delete(called, MATTER).sum()), int(called.sum())))
    return found


def table(pool: Executor | None, linear: int, iterative: int) -> pd.DataFrame:
    """Mean false discovery proportion, its bar and the share of true ones found, per family and effect."""
    rows = []
    for family, effects in EFFECTS.items():
        for effect in effects:
            count = linear if family in made.LINEAR else iterative
            jobs = [(family, effect, *b) for b in lines.blocks(count, 50)]
            found = np.array([pair for part in lines.shared(pool, counted, jobs) for pair in part], float)
            share = found[:, 0] / np.maximum(found[:, 1], 1)
            low = (1 - len(MATTER) / made.LATENTS) * lines.ALPHA
            bar = lines.ALPHA + float(norm.isf(1e-3)) * share.std(ddof=1) / np.sqrt(count)
            true = (found[:, 1] - found[:, 0]).mean() / len(MATTER)
            rows.append((family, N, effect, count, share.mean(), low, bar, true))
    return pd.DataFrame(rows, columns=["family", "n", "effect", "cohorts", "fdr", "expected", "high", "found"])


def checks(found: pd.DataFrame) -> list[Check]:
    """A line per family and effect."""
    listed = []
    for row in found.itertuples():
        text = f"false discoveries at q < .05, {row.family}, effect {row.effect:g} (true ones found {row.found:.2f})"
        listed.append(Check(text, f"{row.fdr:.4f}", f"at most {row.high:.4f}", row.fdr <= row.high, row.cohorts))
    return listed
