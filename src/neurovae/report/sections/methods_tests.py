"""The methods text of what came after the models: tests, prediction, audits, maps, software; as the tables have it."""

import pandas as pd

from neurovae.report.blocks import Run, of_fit, read, shown
from neurovae.report.sections.provenance import versions
from neurovae.report.sections.tested import tested

FREEDMAN = "the score (continuous scores, identity link) [freedman]"


def inference(run: Run) -> str:
    """What was tested how: families, confounds and permutations as the rows say."""
    tests, whole = read(run, "findings/associations.tsv"), read(run, "findings/omnibus.tsv")
    if tests is None:
        return ""
    used = tested(of_fit(tests[tests["model"] == run.primary], run.fit))
    if used.empty:
        return "Inference. No test of the primary model was possible."
    known = used["status"] == "ok"
    pairs = used[known].drop_duplicates(["score", "family"]).to_dict("records")
    lost = "; ".join(f"{r['score']}, {r['latent']}: {r['status']}" for r in used[~known].to_dict("records"))
    families = "; ".join(
        f"{r['score']} ({r['type']}): {r['family']}, {r['link']} link, n = {r['n']:.0f}" for r in pairs
    )
    beside: dict[str, list[str]] = {}  # confounds: the scores that they are those of, and who was left out
    for row in used.drop_duplicates("score").to_dict("records"):
        text, _, left = str(row["confounds"]).partition("; left out: ")
        beside.setdefault(text, []).append(row["score"] + (f" ({left} left out)" if left else ""))
    together = whole is not None and (whole["status"] == "ok").any()
    said = [
        "Inference. Each latent was tested against each score with the confounds accounted for, on one scan per "
        "person (the first with score and confounds).",
        f"Families: {families}." if families else "",
        f"Without a finite estimate, tested by max-T alone: {lost}." if lost else "",
        "Confounds: " + "; ".join(f"{', '.join(scores)}: {text}" for text, scores in beside.items()) + ".",
        _maxt(used),
        "q values [bh] are over the latents of one score.",
        "Bends were tested by natural cubic splines (3 df) nested over the line.",
        f"All latents together were tested by {shown(whole['permutations'].max())} permutations of kernel statistics."
        if together and whole is not None
        else "",
        repeated(run),
        "What goes along with a score is described by patterns [haufe], not by weights.",
    ]
    return " ".join(words for words in said if words)


def _maxt(used: pd.DataFrame) -> str:
    """How max-T was taken over latents, and for which scores it was not."""
    done, refused = used[used["p_maxt"].notna()], used[used["p_maxt"].isna()].drop_duplicates("score")
    gaussian = (done["type"] == "continuous") & (done["link"] == "identity")
    permuted = [words for words, rows in ((FREEDMAN, gaussian), ("the latent", ~gaussian)) if rows.any()]
    said = []
    if len(done):
        said += [
            f"Multiplicity over latents: max-T [maxt] with {shown(done['permutations'].max())} permutations of "
            f"{' or '.join(sorted(done['exchangeability'].unique()))} [blocks], of residuals of "
            f"{' and of '.join(permuted)}."
        ]
    if len(refused):
        whys = [f"{row['score']}: {row['maxt_status']}, {row['maxt_reason']}" for row in refused.to_dict("records")]
        said += [f"Max-T was not run for {'; '.join(whys)}."]
    return " ".join(said)


def repeated(run: Run) -> str:
    """How repeated sessions were tested, where there were any."""
    table = read(run, "findings/mixed.tsv")
    if table is None:
        return ""
    used = of_fit(table[(table["model"] == run.primary) & (table["status"] == "ok")], run.fit)
    each = [
        f"{row['score']}, {row['term']}: {row['family']}, n = {shown(row['n'])} people with {shown(row['n_scans'])} "
        f"scans, permuted: {shown(row['exchangeability'])}"
        for row in used.drop_duplicates(["score", "term", "family"]).to_dict("records")
    ]
    return f"Repeated sessions were tested between and within people. {'; '.join(each)}." if each else ""


def prediction(run: Run) -> str:
    """How scores were predicted."""
    table = read(run, "predict/predictions.tsv")
    if table is None or not (table["status"] == "ok").any():
        return ""
    good, made = table[table["status"] == "ok"], run.config.get("predict", {})
    used = {
        name: sorted(good[name].dropna().astype(str).unique()) for name in ("features", "learner", "policy", "interval")
    }
    policies = sorted(good.loc[good["model"].isin(run.models), "policy"].dropna().unique())
    permuted = pd.to_numeric(good["permutations"]).max()
    said = [
        f"Prediction. Scores were predicted by nested cross-validation over {shown(good['folds'].max())} folds of "
        f"people ({made.get('inner')} inner folds) from {', '.join(used['features'])}, with "
        f"{' and '.join(used['learner'])} learners; "
        f"latents were {' or '.join(policies)}.",
        f"Intervals: {'; '.join(used['interval'])} ({made.get('bootstraps')} resamples).",
        f"The whole cross-validation was permuted {shown(permuted)} times." if permuted > 0 else "",
        "Latents were harmonised over sites by ComBat [combat] inside every training set."
        if made.get("harmonise") == "combat"
        else "",
        "Models were compared over folds with a correction for their overlap [nadeau].",
    ]
    return " ".join(words for words in said if words)


def audits(run: Run) -> str:
    """What was looked at that could be mistaken for an effect."""
    seeds, flag = run.config.get("train", {}).get("seeds", []), run.config.get("audit", {}).get("flag", 0.1)
    said = [f"Audits. Latents of which an undeclared nuisance explains a share of more than {flag:g} are flagged."]
    said += [
        f"Agreement of {len(seeds)} seeds was measured by CKA [cka] on held-out people."
        if len(seeds) > 1
        else "One seed was trained; stability over seeds was not looked at."
    ]
    estimated = read(run, "audit/dimension.tsv") is not None
    return " ".join(said + ["Intrinsic dimension was estimated by TwoNN [twonn]."] * estimated)


def maps(run: Run) -> str:
    """How maps were made, if any were."""
    said = [
        "Maps. The pattern E[z | score + 1 SD, confounds] - E[z | score, confounds] [haufe] was decoded; voxels were "
        "tested by max-T under the permutations of the tests, with bootstrap intervals over people, given the decoder.",
        "Local volume change is the log-Jacobian of a SyN registration [ants] of the volume decoded at the 5 % "
        "quantile of the score to that at its 95 % quantile (binary: of one class to the other); it was not tested.",
    ]
    return " ".join(said[: 1 + _ok(run, "jacobian")]) if _ok(run, "maps") else ""


def _ok(run: Run, name: str) -> bool:
    """Has a table of the stage interpret a row with numbers, of any model that is shown?"""
    found = [read(run, f"interpret/{model}/{run.fit}/{name}.tsv") for model in run.shown]
    return any((table["status"] == "ok").any() for table in found if table is not None)


def software(run: Run) -> str:
    """Versions, as installed where the report was made."""
    named = ", ".join(f"{name} {version}" for name, version in versions() if version != "not installed")
    return (
        f"Software. {named}; PyTorch [torch], scikit-learn [sklearn] and statsmodels [statsmodels], run by Snakemake "
        "[snakemake]."
    )
