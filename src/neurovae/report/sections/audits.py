"""Sensitivity checks (audit): nuisance variables, sites, seeds, dimension; and checks on simulated data."""

import pandas as pd

from neurovae.report.blocks import (
    NOT_WRITTEN,
    Block,
    by_model,
    file_table,
    heading,
    missing,
    picture,
    pictures,
    table,
    text,
)
from neurovae.report.results import LEAST, Run, read, undecoded

DIMENSIONS = "audit/dimension.tsv"
SITES = {"latent": "latent", "r2_before": "R² of site", "p_before": "p", "q_before": "q",
         "r2_after": "R² of site after ComBat", "q_after": "q after ComBat",
         "accuracy_before": "site classification accuracy (balanced)",
         "accuracy_after": "site classification accuracy after ComBat", "chance": "chance accuracy", "n": "n",
         "status": "status", "reason": "note"}  # fmt: skip
NUISANCES = {"kind": "kind", "latent": "latent", "score": "score", "nuisance": "nuisance variable",
             "declared": "declared", "r2_adjusted": "adjusted R²", "p": "p (adjusted R²)", "q": "q (adjusted R²)",
             "r2_beyond": "adjusted R² beyond confounds", "p_beyond": "p (beyond confounds)",
             "q_beyond": "q (beyond confounds)", "flagged": "flagged", "status": "status",
             "reason": "note"}  # fmt: skip
MEASURES = {"spread of |z|^2": "SD of |z|²", "mean |z|^2": "mean |z|²",
            "components above smooth noise": "principal components above smooth noise",
            "share in the shell": "fraction of a ball's volume in its outer shell"}  # fmt: skip
STABLE = {"seed": "seed", "other_seed": "other seed", "kind": "kind", "score": "score", "cka": "CKA",
          "procrustes_r2": "Procrustes R²", "matched": "matched latents", "latents": "latents",
          "r_people": "r across participants", "r_map": "r of maps", "p": "p", "p_other": "p, other seed", "n": "n",
          "status": "status", "reason": "note"}  # fmt: skip
DIMENSION = {"what": "data", "model": "model", "split": "set", "measure": "measure", "value": "value",
             "low": "95 % CI low", "high": "95 % CI high", "expected": "expected", "n": "n", "status": "status",
             "reason": "note"}  # fmt: skip


def audits(run: Run) -> list[Block]:
    """What could be mistaken for an effect."""
    blocks: list[Block] = [
        text("Nuisance variables, sites and random seeds that could explain or limit the associations.")
    ]
    least = 100 * run.config.get("audit", {}).get("min_variance_explained", LEAST)
    for model in run.ordered():
        found = [
            heading(model),
            *pictures(run, model, run.fit, {"confounds": "variance explained by nuisance variables"}),
            *_seeds(run, model),
            file_table(run, f"audit/{model}/{run.fit}/confounds.tsv", NUISANCES,
                       f"{model}: nuisance variables; 'flagged': not declared as a confound, and explains at least "
                       f"{least:g} % of the variance of the latent or score beyond the confounds (q < 0.05)"),
            file_table(run, f"audit/{model}/{run.fit}/sites.tsv", SITES, f"{model}: sites"),
        ]  # fmt: skip
        blocks += by_model(run, model, found)
    if (run.cohort / "report" / "dimension.png").exists():
        blocks += [picture(run, "dimension.png", "intrinsic dimension")]
    title = f"Intrinsic dimension of {'scans and ' * run.images}latents"
    return [*blocks, _dimension(run, title), *proof(run)]


def _dimension(run: Run, title: str) -> Block:
    rows = read(run, DIMENSIONS)
    if rows is None:
        return missing(DIMENSIONS, NOT_WRITTEN)
    return table(rows.assign(measure=rows["measure"].replace(MEASURES)), DIMENSION, DIMENSIONS, title)


def _seeds(run: Run, model: str) -> list[Block]:
    """Agreement of the seeds in a figure and a table; of one seed, that there is nothing to compare."""
    path = f"audit/{model}/{run.fold}/stability.tsv"
    if len(run.config.get("train", {}).get("seeds") or []) == 1:
        if undecoded(run, model):  # read from a table, without a seed
            return []
        return [
            missing(
                f"{model}: agreement between random seeds ({path})",
                "the model was trained with one seed; add seeds to train.seeds",
            )
        ]
    return [*pictures(run, model, run.fold, {"stability": "agreement between random seeds"}),
            file_table(run, path, STABLE, f"{model}: pairs of seeds")]  # fmt: skip


def proof(run: Run) -> list[Block]:
    """What `make proof` showed about this version on simulated data, if it was run beside this cohort."""
    path = run.cohort.parent / "proof" / "checks.tsv"
    if not path.exists():
        return []
    checks = pd.read_csv(path, sep="\t", keep_default_na=False)
    checks = checks.sort_values("found", key=lambda found: found == "ok", kind="stable")
    bad = int((checks["found"] != "ok").sum())
    said = (
        f"{len(checks) - bad} of {len(checks)} checks of the method on simulated data passed; they do not concern this "
    )
    title = "Checks of the method on simulated data, failed ones first"
    return [heading("Validation of the method"), text(f"{said}cohort."),
            table(checks, {name: name for name in checks}, "../proof/checks.tsv", title)]  # fmt: skip
