"""Associations: each score's latents, figures of every model, and the tables of all tests."""

from typing import Any

import pandas as pd

from neurovae.report import conclusions as judged
from neurovae.report.blocks import (
    Block,
    by_model,
    figure,
    file_table,
    heading,
    missing,
    note,
    pictures,
    table,
    text,
)
from neurovae.report.figures import effects, thumbnails
from neurovae.report.results import ASSOCIATIONS, OMNIBUS, POWER, Row, Run, of_fit, positive, read, tested
from neurovae.report.text import p_value, shown

TESTS = {"score": "score", "model": "model", "seed": "seed", "latent": "latent", "effect": "effect per SD",
         "ci_low": "95 % CI, low", "ci_high": "high", "p": "p", "q": "q", "p_maxt": "max-T p", "p_minp": "min-P p",
         "p_nonlinear": "nonlinearity p", "p_quadratic_maxt": "quadratic max-T p", "partial_r2": "partial R²",
         "n": "n", "replicated": "other seeds", "caveats": "caveats", "family": "family", "status": "status",
         "reason": "reason", "maxt_status": "max-T status", "maxt_reason": "max-T reason"}  # fmt: skip
WHOLE = {"score": "score", "model": "model", "seed": "seed", "p": "p", "q": "q",
         "partial_r2_cv": "cross-validated partial R²", "latents": "latents", "n": "n", "permutations": "permutations",
         "exchangeability": "permuted", "score_nuisance": "nuisance of the score", "verdict": "model verdict",
         "status": "status", "reason": "reason"}  # fmt: skip
SEVERAL = {"part": "part", "score": "score", "model": "model", "term": "term", "effect": "effect", "p": "p", "q": "q",
           "partial_r2": "partial R²", "n": "n", "status": "status", "reason": "reason"}  # fmt: skip
REPEATED = {"score": "score", "model": "model", "latent": "latent", "term": "term", "effect": "effect", "p": "p",
            "q": "q", "p_permutation": "permutation p", "icc": "ICC", "n": "participants", "n_scans": "scans",
            "status": "status", "reason": "reason"}  # fmt: skip


def associations(run: Run) -> list[Block]:
    """Effects of each score's latents, the figures of every model, and the tables."""
    tests = read(run, ASSOCIATIONS)
    if tests is None:
        return [missing(ASSOCIATIONS, "the associations have not been tested")]
    blocks: list[Block] = []
    for one in judged.conclusions(tests, read(run, OMNIBUS), read(run, POWER), run.fit, run.primary):
        blocks += _score(run, one, of_fit(tests[tests["model"] == run.primary], run.fit))
    names = {"scores": "scores against their strongest latents", "directions": "activation patterns over the latents"}
    for model in run.ordered():
        blocks += by_model(run, model, [heading(model), *pictures(run, model, run.fit, names)])
    said = [judged.caveats(row) for row in tests.to_dict("records")]
    listed = tests.assign(caveats=["; ".join(words) or "none" for words in said]).sort_values("p", kind="stable")
    title = "Every latent against every score"
    blocks += [heading("All tests"), table(listed, TESTS, ASSOCIATIONS, title, mark="caveats")]
    for path, heads, title in (
        (OMNIBUS, WHOLE, "All latents together against each score (omnibus)"),
        ("findings/multivariable.tsv", SEVERAL, "Several latents in one model, and products of two latents"),
        ("findings/mixed.tsv", REPEATED, "Repeated sessions"),
    ):
        blocks += [file_table(run, path, heads, title)]
    return blocks


def _score(run: Run, one: Row, rows: pd.DataFrame) -> list[Block]:
    if one["status"] == judged.UNTESTED:
        return [note(f"{one['score']}: {one['headline']}")]
    known = tested(rows[rows["score"] == one["score"]])
    best, blocks = known.iloc[0].to_dict(), [heading(f"{one['score']} ({one['type']})")]
    up = positive(run, one["score"])
    blocks += [text(f"{one['headline']}. {one['evidence']}" + (f" Class 1 is {up}." if up is not None else ""))]
    blocks += [note("; ".join(one["caveats"]))] if one["caveats"] else []
    return [*blocks, figure(thumbnails.drawn(effects.effects(known)), _caption(known, best), ASSOCIATIONS,
                            f"{one['score']}: effect of each latent")]  # fmt: skip


def _caption(known: pd.DataFrame, best: dict[Any, Any]) -> str:
    families, links = (", ".join(sorted(known[name].dropna().unique())) or "n/a" for name in ("family", "link"))
    return (f"Effect of each latent with 95 % CI (family {families}, {links} link; n = {best['n']:.0f}). Filled: "
            "max-T p < .05; cross: no estimate; orange: an undeclared nuisance explains both. "
            f"Nonlinearity of {best['latent']}: p {p_value(best['p_nonlinear'])}. Confounds: {best['confounds']}. "
            f"Sets: {best['split_policy']}. Correction: {shown(best['maxt_family'])}.")  # fmt: skip
