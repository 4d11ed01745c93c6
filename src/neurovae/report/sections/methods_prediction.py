"""The methods text after inference: prediction, sensitivity checks, maps, software, as the tables have it."""

import pandas as pd

from neurovae.audit.nuisances import WORDS
from neurovae.report.results import PREDICTIONS, Row, Run, read, undecoded
from neurovae.report.sections.provenance import versions
from neurovae.report.text import count, listed
from neurovae.train.health.verdicts import FORWARD

FEATURES = {"confounds": "confounds alone", "latents": "latents alone", "latents + confounds": "latents and confounds",
            "latents without confounds": "latents residualised on the confounds", "voxels": "all voxels",
            "voxels + confounds": "voxels and confounds",
            "voxels without confounds": "voxels residualised on the confounds"}  # fmt: skip
AFFINE = {"head size": "overall scaling [head size]", "rotation": "rotation", "translation": "translation",
          "head proportions": "scaling along each axis [head proportions]", "shear": "shear"}  # fmt: skip
LEARNERS = {"linear": "ridge regression (L2-penalised logistic regression for binary scores, L2-penalised Cox "
                      "regression for times to events)",
            "svm": "support vector machines with a radial basis function kernel"}  # fmt: skip


def prediction(run: Run) -> str:
    """How scores were predicted."""
    table = read(run, PREDICTIONS)
    if table is None or not (table["status"] == "ok").any():
        return ""
    good, settings = table[table["status"] == "ok"], run.config.get("predict", {})
    used = {name: set(good[name].dropna().astype(str)) for name in ("features", "learner", "type", "policy")}
    permuted = pd.to_numeric(good["permutations"]).max()
    trained = [model for model in run.models if not undecoded(run, model)]
    own = set(good.loc[good["model"].isin(trained), "policy"].dropna())
    binary = "binary" in used["type"]
    said = [
        f"Prediction. Scores were predicted by nested cross-validation over participants "
        f"({good['folds'].max():.0f} outer and {settings.get('inner')} inner folds) with "
        f"{listed([words for name, words in LEARNERS.items() if name in used['learner']])}. Feature sets were "
        f"{'; '.join(words for name, words in FEATURES.items() if name in used['features'])}.",
        "The latent variable models had been trained without scores, but on scans that included those of participants "
        "in the outer test folds (transductive)." if any("transductive" in policy for policy in own) else
        "Each outer fold used a latent variable model trained without its test participants." if own else "",
        "R² was computed relative to the mean of the training folds" + (", AUC as the mean over test folds" if binary
        else "") + f"; 95 % confidence intervals were obtained from {settings.get('bootstraps'):,} bootstrap samples "
        "of participants with the fitted models held fixed." if settings.get("bootstraps") else "",
        "Whether latents improved prediction beyond the confounds was tested by repeating the whole cross-validation "
        f"{permuted:,.0f} times, with {_permuted(used['type'])}." if permuted > 0 else "",
        _survival(run, good),
        "Missing confounds were replaced by their expected value given the other confounds and the predictors, learnt "
        "in each training set without any score." if (good.get("n_imputed", pd.Series([0])) > 0).any() else "",
        "Latents were harmonised over sites with ComBat [combat] within each training set."
        if settings.get("harmonise") == "combat" else "",
        "Models and baselines were compared with the corrected resampled t test [nadeau].",
    ]  # fmt: skip
    return " ".join(words for words in said if words)


def _permuted(kinds: set[str]) -> str:
    """What replaced the scores under the null hypothesis."""
    moved = "permuted residuals of the score given the confounds [freedman]"
    drawn = "labels permuted conditionally on the confounds [berrett]"
    latents = "outcomes and confounds permuted against the residuals of the latents given the confounds [potter, werft]"
    words = [moved] if kinds - {"binary", "survival"} else []
    words += [f"for binary scores {drawn}" if words else drawn] if "binary" in kinds else []
    words += [f"for times to events {latents}" if words else latents] if "survival" in kinds else []
    return "; ".join(words)


def _survival(run: Run, good: pd.DataFrame) -> str:
    """How the predictions of times to events were tuned and judged."""
    if not (good["type"] == "survival").any():
        return ""
    return ("For times to events, penalties were chosen by the cross-validated partial likelihood [cvpl]; predictions "
            "were judged by Harrell's C [harrell_c] among pairs within test folds, Uno's C [uno] and the integrated "
            "Brier score [graf] relative to the Kaplan-Meier curve of the training folds (index of prediction accuracy "
            "[ipa]), weighted by the inverse probability of censoring; of more than 50 latents, and of voxels, the "
            "first 50 principal components of each training set were used.")  # fmt: skip


def audits(run: Run) -> str:
    """Sensitivity checks."""
    seeds = run.config.get("train", {}).get("seeds") or [0]
    least = run.config.get("audit", {}).get("min_variance_explained", 0.1)
    table = read(run, f"audit/{run.primary}/{run.fit}/confounds.tsv")
    said = []
    if table is not None and (table["status"] == "ok").any():
        used = table[(table["status"] == "ok") & (table["nuisance_kind"] == "nuisance")]
        names = _grouped(list(dict.fromkeys(used["nuisance"].astype(str))))
        share = f"at least {100 * least:.0f} %"
        said += [f"For each latent and score, the variance explained (adjusted R²) by potential nuisance variables was "
                 f"computed: {names}. A nuisance variable that was not among the confounds was reported as a caveat to "
                 f"a score if it explained {share} of the score's variance beyond the confounds (q < 0.05), and as a "
                 f"caveat to an association if it explained {share} of the latent's variance beyond the confounds (q < "
                 "0.05) and was also associated with the score (q < 0.05)."]  # fmt: skip
    if len(seeds) > 1:
        said += [f"Agreement between {count(len(seeds), 'random seed')} was measured in test participants by centred "
                 "kernel alignment [cka]."]  # fmt: skip
    elif any(not undecoded(run, model) for model in run.models):  # a table has no seed
        said += ["Models were trained with one random seed; robustness to the seed was not assessed."]
    if read(run, "audit/dimension.tsv") is not None:
        said += ["Intrinsic dimension was estimated by TwoNN [twonn] and maximum likelihood [mle]."]
    return f"Sensitivity checks. {' '.join(said)}"


def _grouped(names: list[str]) -> str:
    """Nuisance variables in words, those of the affine registration together."""
    affine = [words for name, words in AFFINE.items() if name in names]
    together = f"the parameters of the affine registration ({listed(affine)})"
    rest = [WORDS.get(name, name) for name in names if name not in AFFINE]
    place = next((k for k, name in enumerate(rest) if name in WORDS.values()), len(rest))
    return listed([*rest[:place], *([together] if affine else []), *rest[place:]])


def maps(run: Run) -> str:
    """How maps were computed, if any were."""
    rows = [row for row in _rows(run, "maps") if row["status"] == "ok"]
    if not rows:
        return ""
    said = [
        "Maps. For each score, the activation pattern [haufe], that is, the difference in expected latents per "
        "standard deviation of the score (binary scores: between the groups) at fixed confounds, was decoded into a "
        "map. At each voxel, the association of the score with the intensity of the participants' decoded volumes was "
        "tested, with the family-wise error rate across voxels controlled by max-T "
        f"({max(row['permutations'] for row in rows):,.0f} permutations; [maxt]); 95 % confidence intervals were "
        "obtained from bootstrap samples of participants with the decoder held fixed.",
        "For latents without a decoder, the linear forward model took the place of the decoder, and no volume change "
        "was computed."
        if any(row.get("mapped_by") == FORWARD for row in rows)
        else "",
        "Local volume change was quantified by the log-Jacobian determinant [ashburner] of the SyN registration [syn] "
        "between the volumes decoded at the 5th and at the 95th percentile of the score (binary scores: the two "
        "groups), averaged within regions and expressed in per cent; it was not tested."
        if any(row["status"] == "ok" for row in _rows(run, "jacobian"))
        else "",
    ]  # fmt: skip
    return " ".join(words for words in said if words)


def _rows(run: Run, name: str) -> list[Row]:
    """All rows of a table of the stage interpret, of the models that are shown."""
    found = [read(run, f"interpret/{model}/{run.fit}/{name}.tsv") for model in run.shown]
    return [row for table in found if table is not None for row in table.to_dict("records")]


def software(run: Run) -> str:
    """Versions, as installed where the report was made."""
    cites = {"torch": " [torch]", "numpy": " [numpy]", "scipy": " [scipy]", "scikit-learn": " [sklearn]",
             "statsmodels": " [statsmodels]", "antspyx": " [ants]", "snakemake": " [snakemake]"}  # fmt: skip
    method = run.config.get("preprocess", {}).get("extract", {}).get("method")
    unused = set() if method == "deepbet" else {"deepbet"}
    unused |= set() if run.images else {"deepbet", "antspyx"}
    used = [pair for pair in versions() if pair[1] != "not installed" and pair[0] not in unused]
    names = [f"{name} {version}{cites.get(name, '')}" for name, version in used]
    return f"Software. Analyses were run with {listed(names)}. The approach followed a published tutorial [tutorial]."
