"""The methods text on statistical inference, as the rows of the tests have it."""

import pandas as pd

from neurovae.report.results import (
    ASSOCIATIONS,
    OMNIBUS,
    Run,
    of_fit,
    pooled,
    read,
    tested,
)
from neurovae.report.text import listed, shown
from neurovae.report.words import participants as in_participants

REGRESSION = {
    "continuous": "ordinary least squares with HC2 standard errors and Bell-McCaffrey degrees of freedom [hc2]",
    "count": "negative binomial (NB2) regression with likelihood-ratio tests",
    "binary": "logistic regression with likelihood-ratio tests",
    "ordinal": "proportional-odds regression [ordinal] with likelihood-ratio tests",
    "bounded": "fractional logit regression [fractional] with quasi-likelihood F tests",
    "gamma": "gamma regression with likelihood-ratio tests",
    "survival": "Cox proportional hazards regression [cox] with Efron's approximation for ties [efron] and "
    "likelihood-ratio tests",
}
LINKS = {"continuous": "identity", "count": "log", "binary": "logit", "ordinal": "logit", "bounded": "logit",
         "gamma": "log", "survival": "log hazard"}  # fmt: skip

IMPUTED = (
    "Missing confounds were imputed several times by chained equations with predictive mean matching [mice], given "
    "the other confounds, the score and the latents. Effects were pooled by Rubin's rules [rubin] with small-sample "
    "degrees of freedom [barnard], tests of several coefficients by the D2 statistic [d2]; the statistic of max-T was "
    "reduced by the variance between imputations. Joint tests of all latents, mixed models, sensitivity checks and "
    "maps used complete cases."
)


MINP = (
    "Min-P p values [maxt] were corrected across latents and across all scores available in exactly the same "
    "participants."
)  # fmt: skip


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
        f"Regression models were {_series(_regressions(ok))}." if len(ok) else "",
        f"Without a finite estimate, tested by permutation only: {none}." if none else "",
        *_confounds(used),
        _hazards(used),
        _maxt(used),
        "For each score, the false discovery rate (q) across latents was controlled with the Benjamini-Hochberg "
        f"procedure [bh]{_of_permutation(ok)}.",
        "Nonlinearity was tested with a natural cubic spline (3 df) against the nested linear model [harrell].",
        _omnibus(whole),
        repeated(run),
        "Activation patterns [haufe], not the weights of a predictive (backward) model, were reported.",
    ]
    return " ".join(words for words in said if words)


def _of_permutation(rows: pd.DataFrame) -> str:
    """The scores whose q rests on the permutation."""
    names = rows.loc[rows["q_of"] == "p_permutation", "score"].drop_duplicates()
    if not len(names):
        return ""
    rest = " and to parametric p values otherwise" if (rows["q_of"] == "p").any() else ""
    return (
        f", applied to permutation p values for counts more or less dispersed than a Poisson ({', '.join(names)}){rest}"
    )


def _series(parts: list[str]) -> str:
    """ "a; b; and c"."""
    return "; ".join([*parts[:-1], f"and {parts[-1]}"]) if len(parts) > 1 else "".join(parts)


def _regressions(rows: pd.DataFrame) -> list[str]:
    """ "logistic regression with likelihood-ratio tests for diagnosis (n = 69)", by type and link."""
    parts = []
    for (kind, link), part in rows.groupby(["type", "link"], sort=False):
        each = part.drop_duplicates("score").to_dict("records")
        scores = listed([f"{row['score']} (n = {row['n']:.0f})" for row in each])
        other = "" if LINKS.get(kind) == link else f" and a {link} link"
        parts.append(f"{REGRESSION.get(kind, kind)}{other} for {scores}")
    return parts


def _confounds(used: pd.DataFrame) -> list[str]:
    """Confounds with the scores that they belong to, and how many participants were excluded for each score."""
    by: dict[str, list[str]] = {}
    lost: list[str] = []
    filled: list[str] = []
    for row in used.drop_duplicates("score").to_dict("records"):
        text, _, left = str(row["confounds"]).partition("; left out: ")
        text, _, gaps = text.partition("; imputed (")
        filled += [f"{row['score']}: {gaps.partition('): ')[2]}"] if gaps else []
        by.setdefault(text.replace("split (2 levels)", "membership in the training set"), []).append(row["score"])
        lost += [f"{row['score']}: {left}"] if left else []
    said = [text if len(by) == 1 else f"{text} (for {listed(scores)})" for text, scores in by.items()]
    words = "; ".join(said).replace(", membership", " and membership").replace("head_size", "head size")
    words = words.replace("mean_fd", "mean framewise displacement")
    return [f"Confounds were {words}.",
            f"Participants with missing data were excluded ({'; '.join(lost)})." if lost else "",
            f"{IMPUTED} Imputed: {in_participants('; '.join(filled))}." if filled else ""]  # fmt: skip


def _hazards(used: pd.DataFrame) -> str:
    """Events, delayed entry, and the checks and assumptions of survival scores."""
    rows = used[used["type"] == "survival"].drop_duplicates("score").to_dict("records")
    if not rows:
        return ""
    events = listed([f"{row['score']}: {row['n_events']:.0f}" for row in rows])
    return (f"Events were observed in the following numbers of participants: {events}. Whether hazard ratios changed "
            "with time was tested with Schoenfeld residuals against the rank of time [zph]. The permutation test keeps "
            "entry, time and event with the confounds, and supposes that censoring is independent of the latents given "
            "the confounds.")  # fmt: skip


def _maxt(used: pd.DataFrame) -> str:
    """How max-T was run over latents, and for which scores it was not."""
    done, refused = used[used["p_maxt"].notna()], used[used["p_maxt"].isna()].drop_duplicates("score")
    said = []
    if len(done):
        gaussian = (done["type"] == "continuous") & (done["link"] == "identity")
        mixed = bool(gaussian.any() and (~gaussian).any())
        moved = [(gaussian, "the residuals of the score [freedman]" + " for continuous scores" * mixed),
                 (~gaussian, "the residuals of the latent" + " for all others" * mixed)]  # fmt: skip
        rules = listed([in_participants(rule) for rule in sorted(done["exchangeability"].unique())])
        residuals = [words for rows, words in moved if rows.any()]
        of = " and of ".join(residuals)
        said += ["For each score, the family-wise error rate across latents was controlled with the max-T procedure "
                 f"[maxt], using {done['permutations'].max():,.0f} permutations{_within(rules)} [blocks] of {of}.",
                 "Quadratic effects were tested by max-T in the same way."]  # fmt: skip
        said += [MINP] if pooled(done) else []
    if len(refused):
        whys = [f"{row['score']} ({row['maxt_status']}: {row['maxt_reason']})" for row in refused.to_dict("records")]
        said += [f"Max-T was not run for {'; '.join(whys)}."]
    return " ".join(said)


def _within(rules: str) -> str:
    """ " within site" where single participants were permuted within sites, else what was permuted."""
    return {"participants": "", "participants within site": " within site"}.get(rules, f" (of {rules})")


def _omnibus(whole: pd.DataFrame | None) -> str:
    if whole is None or not (whole["status"] == "ok").any():
        return ""
    return (f"All latents were tested jointly against each score by variance-component tests (Rao score tests; "
            f"[goeman, liu]) with {whole['permutations'].max():,.0f} permutations, with the false discovery rate "
            "controlled across scores; a score was considered associated with the latents if q < 0.05. The partial R² "
            "of all latents was estimated by cross-validated ridge regression.")  # fmt: skip


def repeated(run: Run) -> str:
    """How repeated sessions were tested, where there were any."""
    table = read(run, "findings/mixed.tsv")
    if table is None:
        return ""
    used = of_fit(table[(table["model"] == run.primary) & (table["status"] == "ok")], run.fit)
    each = [
        f"{row['score']}, {row['term']}: {row['family']}, {shown(row['n'])} participants with {shown(row['n_scans'])} "
        f"scans, permuting {in_participants(row['exchangeability'])}"
        for row in used.drop_duplicates(["score", "term", "family"]).to_dict("records")
    ]
    said = "Repeated sessions were analysed between and within participants [within] with mixed models or generalised "
    return f"{said}estimating equations [gee]: {'; '.join(each)}." if each else ""
