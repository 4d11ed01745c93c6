"""The methods text after the models: inference, prediction, sensitivity checks, maps, software, as the tables say."""

import pandas as pd

from neurovae.report.results import (
    ASSOCIATIONS,
    OMNIBUS,
    PREDICTIONS,
    Row,
    Run,
    of_fit,
    read,
    tested,
)
from neurovae.report.sections.provenance import versions
from neurovae.report.text import count, listed, shown

REGRESSION = {
    "continuous": "ordinary least squares with HC2 standard errors and Bell-McCaffrey degrees of freedom [hc2]",
    "count": "negative binomial (NB2) regression with likelihood-ratio tests",
    "binary": "logistic regression with likelihood-ratio tests",
    "ordinal": "proportional-odds regression [ordinal] with likelihood-ratio tests",
    "bounded": "fractional logit regression [fractional] with quasi-likelihood F tests",
    "gamma": "gamma regression with likelihood-ratio tests",
}
LINKS = {"continuous": "identity", "count": "log", "binary": "logit", "ordinal": "logit", "bounded": "logit",
         "gamma": "log"}  # fmt: skip
FEATURES = {"confounds": "confounds alone", "latents": "latents alone", "latents + confounds": "latents and confounds",
            "latents without confounds": "latents residualised on the confounds", "voxels": "all voxels",
            "voxels + confounds": "voxels and confounds",
            "voxels without confounds": "voxels residualised on the confounds"}  # fmt: skip
LEARNERS = {"linear": "ridge regression (L2-penalised logistic regression for binary scores)",
            "svm": "support vector machines with a radial basis function kernel"}  # fmt: skip


def inference(run: Run) -> str:
    """Tests, families, confounds and permutations as the rows have them."""
    tests, whole = read(run, ASSOCIATIONS), read(run, OMNIBUS)
    if tests is None:
        return ""
    used = tested(of_fit(tests[tests["model"] == run.primary], run.fit))
    if used.empty:
        return "Inference. No test of the primary model was possible."
    ok, lost = used[used["status"] == "ok"], used[used["status"] != "ok"].to_dict("records")
    none = "; ".join(f"{row['score']}, {row['latent']}: {row['status']}" for row in lost)
    said = [
        "Statistical inference. Each latent variable was tested against each score in a separate regression, adjusted "
        "for confounds, on one scan per participant (the first with complete data).",
        f"We used {'; '.join(_regressions(ok))}." if len(ok) else "",
        f"Without a finite estimate, tested by permutation only: {none}." if none else "",
        *_confounds(used),
        _maxt(used),
        "False discovery rates (q) over the latents of one score were controlled by the Benjamini-Hochberg procedure "
        "[bh].",
        "Nonlinearity was tested with a natural cubic spline (3 df) against the nested linear model [harrell].",
        _omnibus(whole),
        repeated(run),
        "We report activation patterns [haufe], not decoding weights.",
    ]
    return " ".join(words for words in said if words)


def _regressions(rows: pd.DataFrame) -> list[str]:
    """ "logistic regression with likelihood-ratio tests (diagnosis, n = 69)", by type and link."""
    parts = []
    for (kind, link), part in rows.groupby(["type", "link"], sort=False):
        each = part.drop_duplicates("score").to_dict("records")
        scores = "; ".join(f"{row['score']}, n = {row['n']:.0f}" for row in each)
        other = "" if LINKS.get(kind) == link else f" and a {link} link"
        parts.append(f"{REGRESSION.get(kind, kind)}{other} ({scores})")
    return parts


def _confounds(used: pd.DataFrame) -> list[str]:
    """Confounds with the scores that they belong to, and how many participants were excluded for each score."""
    by: dict[str, list[str]] = {}
    lost: list[str] = []
    for row in used.drop_duplicates("score").to_dict("records"):
        text, _, left = str(row["confounds"]).partition("; left out: ")
        by.setdefault(text.replace("split (2 levels)", "membership in the training set"), []).append(row["score"])
        lost += [f"{row['score']}: {left}"] if left else []
    said = [text if len(by) == 1 else f"{text} (for {listed(scores)})" for text, scores in by.items()]
    return [f"Confounds were {'; '.join(said)}.", f"Excluded from these tests: {'; '.join(lost)}." if lost else ""]


def _people(text: object) -> str:
    return str(text).replace("people", "participants")


def _maxt(used: pd.DataFrame) -> str:
    """How max-T was run over latents, and for which scores it was not."""
    done, refused = used[used["p_maxt"].notna()], used[used["p_maxt"].isna()].drop_duplicates("score")
    said = []
    if len(done):
        gaussian = (done["type"] == "continuous") & (done["link"] == "identity")
        moved = [(gaussian, "residuals of the score [freedman]" + " for continuous scores" * bool((~gaussian).any())),
                 (~gaussian, "residuals of the latent" + " for all others" * bool(gaussian.any()))]  # fmt: skip
        rules = listed([_people(rule) for rule in sorted(done["exchangeability"].unique())])
        said += [f"P values were corrected over the latents of one score by max-T [maxt] with "
                 f"{done['permutations'].max():,.0f} permutations of {rules} [blocks], which moved "
                 f"{listed([words for rows, words in moved if rows.any()])}."]  # fmt: skip
    if len(refused):
        whys = [f"{row['score']} ({row['maxt_status']}: {row['maxt_reason']})" for row in refused.to_dict("records")]
        said += [f"Max-T was not run for {'; '.join(whys)}."]
    return " ".join(said)


def _omnibus(whole: pd.DataFrame | None) -> str:
    if whole is None or not (whole["status"] == "ok").any():
        return ""
    return (f"All latents were tested jointly against each score by variance-component score tests [goeman, liu] with "
            f"{whole['permutations'].max():,.0f} permutations, and q values were computed over scores; partial R² was "
            "cross-validated with ridge regression.")  # fmt: skip


def repeated(run: Run) -> str:
    """How repeated sessions were tested, where there were any."""
    table = read(run, "findings/mixed.tsv")
    if table is None:
        return ""
    used = of_fit(table[(table["model"] == run.primary) & (table["status"] == "ok")], run.fit)
    each = [
        f"{row['score']}, {row['term']}: {row['family']}, {shown(row['n'])} participants with {shown(row['n_scans'])} "
        f"scans, permuting {_people(row['exchangeability'])}"
        for row in used.drop_duplicates(["score", "term", "family"]).to_dict("records")
    ]
    said = "Repeated sessions were analysed between and within participants [within] with mixed models or generalised "
    return f"{said}estimating equations [gee]: {'; '.join(each)}." if each else ""


def prediction(run: Run) -> str:
    """How scores were predicted."""
    table = read(run, PREDICTIONS)
    if table is None or not (table["status"] == "ok").any():
        return ""
    good, settings = table[table["status"] == "ok"], run.config.get("predict", {})
    used = {name: set(good[name].dropna().astype(str)) for name in ("features", "learner", "type", "policy")}
    permuted = pd.to_numeric(good["permutations"]).max()
    own = set(good.loc[good["model"].isin(run.models), "policy"].dropna())
    binary = "binary" in used["type"]
    said = [
        f"Prediction. Scores were predicted by nested cross-validation over participants "
        f"({good['folds'].max():.0f} outer and {settings.get('inner')} inner folds) with "
        f"{listed([words for name, words in LEARNERS.items() if name in used['learner']])}. Feature sets were "
        f"{'; '.join(words for name, words in FEATURES.items() if name in used['features'])}.",
        "The latent variable models had been trained, without scores, on scans of participants in the outer test "
        "folds (transductive)." if any("transductive" in policy for policy in own) else
        "Each outer fold used a latent variable model trained without its test participants.",
        "R² is relative to the mean of the training folds" + (", AUC is the mean over test folds" if binary else "") +
        f"; 95 % confidence intervals are from {settings.get('bootstraps'):,} bootstrap samples of participants with "
        "the fitted models held fixed." if settings.get("bootstraps") else "",
        "Whether latents predict beyond the confounds was tested by repeating the whole cross-validation on "
        f"{permuted:,.0f} permutations of the score's residuals given the confounds [freedman]"
        + (" (binary scores: labels drawn given the confounds [berrett])." if binary else ".") if permuted > 0 else "",
        "Latents were harmonised over sites with ComBat [combat] within each training set."
        if settings.get("harmonise") == "combat" else "",
        "Models were compared by the corrected resampled t test [nadeau].",
    ]  # fmt: skip
    return " ".join(words for words in said if words)


def audits(run: Run) -> str:
    """Sensitivity checks."""
    seeds = run.config.get("train", {}).get("seeds") or [0]
    least = run.config.get("audit", {}).get("min_variance_explained", 0.1)
    table = read(run, f"audit/{run.primary}/{run.fit}/confounds.tsv")
    said = []
    if table is not None and (table["status"] == "ok").any():
        used = table[(table["status"] == "ok") & (table["nuisance_kind"] == "nuisance")]
        names = listed(list(dict.fromkeys(used["nuisance"].astype(str))))
        said += [f"For each latent and score, we computed the adjusted R² of potential nuisance variables ({names}); "
                 f"undeclared ones that explained at least {100 * least:.0f} % of the variance in a score beyond the "
                 "declared confounds (q < .05) are reported as its caveats, and those that explained as much of a "
                 "latent and were associated with the score as well, as caveats of their association."]  # fmt: skip
    if len(seeds) > 1:
        said += [f"Agreement of {count(len(seeds), 'random seed')} was measured on test participants by centred kernel "
                 "alignment [cka]."]  # fmt: skip
    else:
        said += ["One random seed was trained, so stability over seeds was not assessed."]
    if read(run, "audit/dimension.tsv") is not None:
        said += ["Intrinsic dimension was estimated by TwoNN [twonn] and maximum likelihood [mle]."]
    return f"Sensitivity checks. {' '.join(said)}"


def maps(run: Run) -> str:
    """How maps were computed, if any were."""
    rows = [row for row in _rows(run, "maps") if row["status"] == "ok"]
    if not rows:
        return ""
    said = [
        "Maps. For each score, the activation pattern [haufe], that is, the difference in expected latents per "
        "standard deviation of the score (binary scores: between the classes) at fixed confounds, was decoded into a "
        f"map. Voxels were tested by max-T [maxt] with {max(row['permutations'] for row in rows):,.0f} permutations on "
        "decoded volumes; intervals are from bootstrap samples of participants, for a fixed decoder.",
        "Local volume change was the log-Jacobian determinant [ashburner] of the SyN registration [syn] of the volume "
        "decoded at the 5th percentile of the score to that decoded at the 95th (binary scores: between the classes), "
        "averaged over regions; it was not tested."
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
    used = [pair for pair in versions() if pair[1] != "not installed" and pair[0] not in unused]
    names = [f"{name} {version}{cites.get(name, '')}" for name, version in used]
    return f"Software. Analyses were run with {listed(names)}. The approach follows a published tutorial [tutorial]."
