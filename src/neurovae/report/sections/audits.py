"""Sensitivity checks (audit): nuisances, sites, seeds, dimension; and the method's checks on simulated data."""

import pandas as pd

from neurovae.report.blocks import Block, by_model, file_table, heading, picture, pictures, table, text
from neurovae.report.results import Run

SITES = {"latent": "latent", "r2_before": "R² of site", "p_before": "p", "q_before": "q",
         "r2_after": "R² after ComBat", "q_after": "q after", "accuracy_before": "accuracy of predicting the site",
         "accuracy_after": "after ComBat", "chance": "chance", "n": "n", "status": "status",
         "reason": "reason"}  # fmt: skip
NUISANCES = {"kind": "kind", "latent": "latent", "score": "score", "nuisance": "nuisance", "declared": "declared",
             "r2_adjusted": "adjusted R²", "p": "p", "q": "q", "r2_beyond": "R² beyond confounds",
             "flagged": "flagged", "status": "status", "reason": "reason"}  # fmt: skip
STABLE = {"seed": "seed", "other_seed": "other seed", "kind": "kind", "score": "score", "cka": "CKA",
          "procrustes_r2": "Procrustes R²", "matched": "matched latents", "latents": "latents",
          "r_people": "r over participants", "r_map": "r of maps", "p": "p", "p_other": "p, other seed", "n": "n",
          "status": "status", "reason": "reason"}  # fmt: skip
DIMENSION = {"what": "data", "model": "model", "split": "participant set", "measure": "measure", "value": "value",
             "low": "95 % CI low", "high": "95 % CI high", "expected": "expected", "n": "n", "status": "status",
             "reason": "reason"}  # fmt: skip


def audits(run: Run) -> list[Block]:
    """What could be mistaken for an effect."""
    blocks: list[Block] = [
        text("Nuisance variables, sites and random seeds that could explain or limit the associations.")
    ]
    for model in run.ordered():
        found = [
            heading(model),
            *pictures(run, model, run.fit, {"confounds": "variance explained by nuisances"}),
            *pictures(run, model, run.fold, {"stability": "agreement of seeds"}),
            file_table(run, f"audit/{model}/{run.fit}/confounds.tsv", NUISANCES, f"{model}: nuisances"),
            file_table(run, f"audit/{model}/{run.fit}/sites.tsv", SITES, f"{model}: sites"),
            file_table(run, f"audit/{model}/{run.fold}/stability.tsv", STABLE, f"{model}: pairs of seeds"),
        ]
        blocks += by_model(run, model, found)
    if (run.cohort / "report" / "dimension.png").exists():
        blocks += [picture(run, "dimension.png", "intrinsic dimension")]
    title = "Intrinsic dimension of scans and latents"
    return [*blocks, file_table(run, "audit/dimension.tsv", DIMENSION, title), *proof(run)]


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
