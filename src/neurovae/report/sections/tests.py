"""Sections of the report about tests: associations, predictions, audits, proof."""

from typing import Any

import pandas as pd

from neurovae.report.blocks import Block, Run, absent, figure, folded, heading, note, of_fit, read, shown, table, text
from neurovae.report.figures import charts, thumbnails
from neurovae.report.sections.findings import ASSOCIATIONS, PREDICTED, audits, together
from neurovae.report.sections.models import why
from neurovae.report.sections.tested import estimate, positive, tested

TESTS = {"score": "score", "model": "model", "seed": "seed", "latent": "latent", "effect": "effect per SD",
         "ci_low": "95 % low", "ci_high": "high", "p": "p", "q": "q", "p_maxt": "max-T p", "p_minp": "min-P p",
         "p_nonlinear": "p of the bend", "p_quadratic_maxt": "U: max-T p", "partial_r2": "partial R²", "n": "n",
         "replicated": "other seeds", "audits": "audits", "family": "family", "status": "status",
         "reason": "reason", "maxt_status": "max-T", "maxt_reason": "reason of max-T"}  # fmt: skip
OMNIBUS = {"score": "score", "model": "model", "seed": "seed", "p": "p", "q": "q", "partial_r2_cv": "share told",
           "latents": "latents", "n": "n", "permutations": "permutations", "exchangeability": "permuted",
           "score_nuisance": "the score goes with", "verdict": "verdict", "status": "status",
           "reason": "reason"}  # fmt: skip
JOINT = {"part": "part", "score": "score", "model": "model", "term": "term", "effect": "effect", "p": "p", "q": "q",
         "partial_r2": "partial R²", "n": "n", "status": "status", "reason": "reason"}  # fmt: skip
MIXED = {"score": "score", "model": "model", "latent": "latent", "term": "term", "effect": "effect", "p": "p", "q": "q",
         "p_permutation": "permutation p", "icc": "ICC", "n": "people", "n_scans": "scans", "status": "status",
         "reason": "reason"}  # fmt: skip
COMPARED = {"score": "score", "model": "model", "features": "features", "against": "against", "learner": "learner",
            "metric": "metric", "difference": "difference", "ci_low": "95 % low", "ci_high": "high", "p": "p",
            "favours": "favours", "policy": "policy", "status": "status", "reason": "reason"}  # fmt: skip
SITES = {"latent": "latent", "r2_before": "R² of site", "p_before": "p", "q_before": "q",
         "r2_after": "R² after ComBat", "q_after": "q after", "accuracy_before": "site told from latents",
         "accuracy_after": "after", "chance": "chance", "n": "n", "status": "status",
         "reason": "reason"}  # fmt: skip
CONFOUNDS = {"kind": "kind", "latent": "latent", "score": "score", "nuisance": "nuisance", "declared": "declared",
             "r2_adjusted": "adjusted R²", "p": "p", "q": "q", "r2_beyond": "R² beyond confounds", "flagged": "flagged",
             "status": "status", "reason": "reason"}  # fmt: skip
STABLE = {"seed": "seed", "other_seed": "other seed", "kind": "kind", "score": "score", "cka": "CKA",
          "procrustes_r2": "Procrustes R²", "matched": "matched latents", "latents": "latents",
          "r_people": "r over people", "r_map": "r of maps", "p": "p", "p_other": "p in the other", "n": "n",
          "status": "status", "reason": "reason"}  # fmt: skip
DIMENSION = {"what": "of", "model": "model", "split": "people", "measure": "measure", "value": "value", "low": "low",
             "high": "high", "expected": "expected", "n": "n", "status": "status", "reason": "reason"}  # fmt: skip


def associations(run: Run) -> list[Block]:
    """A block per score, the pictures of every model, and the tables of all tests."""
    tests = read(run, ASSOCIATIONS)
    if tests is None:
        return [absent(ASSOCIATIONS, "the stage associate has not written it")]
    tests = tests.assign(audits=[audits(row) for row in tests.to_dict("records")])
    whole = read(run, "findings/omnibus.tsv")
    blocks: list[Block] = []
    mine = of_fit(tests[tests["model"] == run.primary], run.fit)
    for score, part in mine.groupby("score", sort=False, dropna=False):
        blocks += _score(run, score, part, whole)
    for model in run.ordered():
        names = {"scores": "scores against top latents", "directions": "patterns of latents"}
        pictures = [
            thumbnails.picture(run, f"{model}_{run.fit}_{name}.png", f"{model}: {words}", why(run, model))
            for name, words in names.items()
        ]
        blocks += folded(model, [heading(f"{model}: scores against their top latents"), *pictures], run, model)
    blocks += [heading("All tests")]
    blocks += [
        table(
            tests.sort_values("p", kind="stable"),
            TESTS,
            ASSOCIATIONS,
            "Every latent against every score, all models, smallest p first",
            mark="audits",
        )
    ]
    for name, heads, caption in (
        ("omnibus", OMNIBUS, "All latents together against each score"),
        ("multivariable", JOINT, "Several latents at once, and products of two"),
        ("mixed", MIXED, "Repeated sessions"),
    ):
        blocks += _all(run, f"findings/{name}.tsv", heads, caption)
    return blocks


def _score(run: Run, score: Any, part: pd.DataFrame, whole: pd.DataFrame | None) -> list[Block]:
    known = tested(part)
    if known.empty:
        return [
            note(f"{'every score' if pd.isna(score) else score}: {part['status'].iloc[0]}: {part['reason'].iloc[0]}")
        ]
    best = known.iloc[0].to_dict()
    one, bend = together(run, whole, score), known.sort_values("p_quadratic_maxt").iloc[0]
    families, links = (", ".join(sorted(known[name].dropna().unique())) or "n/a" for name in ("family", "link"))
    maxt = shown(best["p_maxt"]) if best["maxt_status"] == "ok" else f"n/a ({best['maxt_status']})"
    said = (
        f"{best['latent']}, effect per SD ({links} link): {estimate(best, positive(run, score))}, "
        f"p {shown(best['p'])}, q {shown(best['q'])}, max-T p {maxt}, n {best['n']:.0f}. "
        f"Bend: p {shown(best['p_nonlinear'])}; U: strongest along {bend['latent']}, "
        f"max-T p {shown(bend['p_quadratic_maxt'])}. "
        f"All latents together: p {shown(one.get('omnibus'))}, share {shown(one.get('partial_r2_cv'))}. "
        f"Other seeds: {shown(best['replicated'])}."
    )
    verdict = audits(best)
    image = thumbnails.drawn(charts.effects(known))
    caption = "Effects with 95 % intervals. Filled: max-T p < .05. Crosses: no estimate. Orange: the latent goes with "
    caption += f"an undeclared nuisance. Family: {families}. Confounds: {best['confounds']}. {best['split_policy']}. "
    caption += f"{shown(best['maxt_family'])}."
    return [
        heading(f"{score} ({best['type']})"),
        text(said),
        note(verdict, "warn" if verdict.startswith("FLAGGED") else "info"),
        figure(image, caption, ASSOCIATIONS, f"{score}: effect of each latent"),
    ]


def _all(run: Run, path: str, heads: dict[str, str], caption: str, mark: str = "") -> list[Block]:
    found = read(run, path)
    if found is None:
        return [absent(path, "this run has not written it")]
    return [table(found, heads, path, caption, mark=mark)]


def predictions(run: Run) -> list[Block]:
    """Models and baselines side by side, calibration, importance, and the tables."""
    blocks = [
        thumbnails.picture(run, "baselines.png", "prediction by all models and baselines", "this run has not drawn it")
    ]
    for model in run.ordered():
        names = {"calibration": "predicted against observed", "importance": "importance of latents"}
        pictures = [
            thumbnails.picture(run, f"{model}_{run.seed}_{name}.png", f"{model}: {words}", why(run, model))
            for name, words in names.items()
        ]
        blocks += folded(model, [heading(model), *pictures], run, model)
    blocks += _all(run, "predict/predictions.tsv", PREDICTED, "Every metric of every model, learner and feature set")
    return blocks + _all(
        run, "predict/comparisons.tsv", COMPARED, "Each model against its baselines, same people and folds"
    )


def audit(run: Run) -> list[Block]:
    """What could be mistaken for an effect: nuisances, sites, seeds, dimension."""
    blocks: list[Block] = []
    for model in run.ordered():
        names = {f"{model}_{run.fit}_confounds.png": "nuisances", f"{model}_{run.fold}_stability.png": "other seeds"}
        found = [thumbnails.picture(run, name, f"{model}: {words}", why(run, model)) for name, words in names.items()]
        folder = f"audit/{model}"
        found += _all(
            run, f"{folder}/{run.fit}/confounds.tsv", CONFOUNDS, f"{model}: latents and scores against nuisances"
        )
        found += _all(run, f"{folder}/{run.fit}/sites.tsv", SITES, f"{model}: latents against sites")
        found += _all(run, f"{folder}/{run.fold}/stability.tsv", STABLE, f"{model}: pairs of seeds")
        blocks += folded(model, [heading(model), *found], run, model)
    if (run.cohort / "report" / "dimension.png").exists():
        blocks += [thumbnails.picture(run, "dimension.png", "intrinsic dimension", "")]
    return blocks + _all(run, "audit/dimension.tsv", DIMENSION, "Intrinsic dimension of scans and latents")


def proof(run: Run) -> list[Block]:
    """What `make proof` showed about this version on simulated data, if it was run beside this cohort."""
    folder = run.cohort.parent / "proof"
    if not (folder / "checks.tsv").exists():
        return [absent("../proof/checks.tsv", "`make proof` was not run beside this cohort")]
    checks = pd.read_csv(folder / "checks.tsv", sep="\t", keep_default_na=False)
    checks = checks.sort_values("found", key=lambda found: found == "ok", kind="stable")
    bad = int((checks["found"] != "ok").sum())
    heads = {name: name for name in checks}
    said = f"{len(checks) - bad} of {len(checks)} checks of the method on simulated data hold; not of this cohort."
    return [text(said), table(checks, heads, "../proof/checks.tsv", "Checks, those that do not hold first")]
