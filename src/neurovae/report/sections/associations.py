"""Associations: each score's latents, figures of every model, and the tables of all tests."""

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
from neurovae.report.results import ASSOCIATIONS, LEAST, OMNIBUS, POWER, Row, Run, of_fit, pooled, read, tested

PLACES = {"places": "where in the brain the latents of the map are associated with each score"}
TESTS = {"score": "score", "model": "model", "seed": "seed", "latent": "latent",
         "effect": "effect per SD of the latent", "ci_low": "95 % CI low", "ci_high": "95 % CI high", "p": "p",
         "q": "q", "p_maxt": "max-T p", "p_minp": "min-P p", "p_nonlinear": "nonlinearity p",
         "p_quadratic_maxt": "quadratic max-T p", "p_proportional": "proportional hazards p",
         "n_events": "events", "partial_r2": "partial R²", "n": "n", "family": "regression",
         "replicated": "other seeds", "caveats": "caveats", "status": "status", "reason": "note",
         "maxt_status": "max-T status", "maxt_reason": "max-T note"}  # fmt: skip
WHOLE = {"score": "score", "model": "model", "seed": "seed", "p": "p", "q": "q",
         "partial_r2_cv": "cross-validated partial R²", "latents": "latents", "n": "n", "permutations": "permutations",
         "exchangeability": "permutation", "score_nuisance": "caveat for the score", "verdict": "model verdict",
         "status": "status", "reason": "note"}  # fmt: skip
SEVERAL = {"part": "test", "score": "score", "model": "model", "term": "term", "effect": "effect", "p": "p", "q": "q",
           "partial_r2": "partial R²", "n": "n", "status": "status", "reason": "note"}  # fmt: skip
REPEATED = {"score": "score", "model": "model", "latent": "latent", "term": "term", "effect": "effect", "p": "p",
            "q": "q", "p_permutation": "permutation p", "icc": "ICC", "n": "participants", "n_scans": "scans",
            "status": "status", "reason": "note"}  # fmt: skip

LEGEND = (
    "Effect of each latent of the primary model on each score, per standard deviation of the latent, with 95 % "
    "confidence intervals. Filled symbols: max-T p < 0.05; crosses: no estimate; orange: a nuisance variable that was "
    "not declared as a confound explains at least {least:.0f} % of the variance in the latent beyond the confounds and "
    "is also associated with the score. Confounds and corrections are given in Methods."
)
SCALES = {("continuous", "identity"): "standardised beta", ("count", "log"): "log rate ratio", ("gamma", "log"):
          "log ratio of "
          "means", ("binary", "logit"): "log odds ratio", ("bounded", "logit"): "log odds ratio "
          "(fractional logit; score rescaled to 0-1)", ("ordinal", "logit"): "log odds ratio of a higher "
          "level", ("survival", "log hazard"): "log hazard ratio"}  # fmt: skip
NAMES = {
    "Gaussian (HC2)": "ordinary least squares with HC2 standard errors",
    "Cox (Efron)": "Cox proportional hazards regression",
}  # of families in tables; others are clear
MULTIVARIABLE = (
    "Multivariable regressions and interactions: parametric tests, unlike the joint test above, which is a permutation "
    "test. The regression on all latents and the confounds is compared with that on the confounds alone; interactions "
    "between two latents are adjusted for both main effects"
)


def associations(run: Run) -> list[Block]:
    """Effects of each score's latents, the figures of every model, and the tables."""
    tests = read(run, ASSOCIATIONS)
    if tests is None:
        return [missing(ASSOCIATIONS, "the associations have not been tested")]
    found = judged.conclusions(tests, read(run, OMNIBUS), read(run, POWER), run.fit, run.primary)
    least = 100 * run.config.get("audit", {}).get("min_variance_explained", LEAST)
    legend = text(LEGEND.format(least=least))
    blocks: list[Block] = [legend] if any(one["status"] != judged.UNTESTED for one in found) else []
    for one in found:
        blocks += _score(one, of_fit(tests[tests["model"] == run.primary], run.fit))
    names = {
        "scores": "scores against the latents with the smallest max-T p",
        "directions": "activation patterns over the latents",
    }
    for model in run.ordered():
        more = PLACES if (run.cohort / f"report/{model}_{run.fit}_places.png").exists() else {}
        blocks += by_model(run, model, [heading(model), *pictures(run, model, run.fit, {**names, **more})])
    said = [judged.caveats(row) for row in tests.to_dict("records")]
    listed = tests.assign(caveats=["; ".join(words) or "none" for words in said]).sort_values("p", kind="stable")
    title = (
        "Tests of every latent against every score (q and max-T p: corrected across the latents, separately for each "
        "score). Effects: standardised beta, or on the log scale (log odds ratio, log rate ratio, log hazard "
        "ratio; exponentiated in the findings)"
    )
    heads = TESTS if pooled(tests) else {name: head for name, head in TESTS.items() if name != "p_minp"}
    blocks += [heading("All tests"), table(listed, heads, ASSOCIATIONS, title, mark="caveats")]
    for path, heads, title in (
        (OMNIBUS, WHOLE, "Joint test of all latents against each score (omnibus test; q: FDR-corrected across scores)"),
        ("findings/multivariable.tsv", SEVERAL, MULTIVARIABLE),
        ("findings/mixed.tsv", REPEATED, "Associations across repeated sessions (mixed models or GEE)"),
    ):
        blocks += [file_table(run, path, heads, title)]
    return blocks


def _score(one: Row, rows: pd.DataFrame) -> list[Block]:
    """The effect of every latent of the primary model on one score."""
    if one["status"] == judged.UNTESTED:
        return [note(f"{one['score']}: {one['headline']}")]
    known = tested(rows[rows["score"] == one["score"]])
    families = [NAMES.get(name, f"{name} regression") for name in sorted(known["family"].dropna().unique())]
    kind, link = known[["type", "link"]].iloc[0]
    scale = SCALES.get((kind, link), f"effect on the {link} scale")
    said = f"{one['score']}: {', '.join(families) or 'no estimate'}; {scale}, n = {known['n'].iloc[0]:.0f}."
    return [figure(thumbnails.drawn(effects.effects(known)), said, ASSOCIATIONS,
                   f"{one['score']}: effect of each latent")]  # fmt: skip
