"""What was found for each score, in one sentence with its evidence and caveats: for the first screen and summary.txt.

A score counts as associated if the joint test of all latents (omnibus) has q < .05 over the scores. Max-T names the
latents, and is controlled within a score only: a linear or quadratic effect that it finds without the joint test is
reported as just that. A quadratic effect is found if its own test, which does not assume residuals of constant
variance, has p < .05 as well.
"""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.report.results import LEVEL, Row, of_fit, tested
from neurovae.report.text import listed, p_value, shown, unsigned
from neurovae.train.health.verdicts import NOT_APPLICABLE

ASSOCIATED, SINGLE, QUADRATIC, NONE, UNTESTED = "associated", "single latent", "quadratic", "none", "not tested"
HEADLINES = {
    ASSOCIATED: "Associated with the latents",
    SINGLE: "Association of single latents only",
    QUADRATIC: "Nonlinear association only",
    NONE: "No association found",
    UNTESTED: "Not tested",
}
EFFECTS = {SINGLE: ("linear", "p_maxt"), QUADRATIC: ("quadratic", "p_quadratic_maxt")}  # found without the joint test
JOINT = "Joint test of all latents"
FRACTION = "odds ratio (fractional logit; score rescaled to 0-1)"
RATIOS = {("count", "log"): "rate ratio", ("gamma", "log"): "ratio of means", ("binary", "logit"): "odds ratio",
          ("ordinal", "logit"): "odds ratio of a higher level", ("survival", "log hazard"): "hazard ratio",
          ("bounded", "logit"): FRACTION}  # fmt: skip
LARGE = 0.5  # correlation from which an effect is large (Cohen 1988)
EVERY = "all scores"  # a model that was not tested has one row for all of them


def conclusions(
    tests: pd.DataFrame, omnibus: pd.DataFrame | None, power: pd.DataFrame | None, fit: str, primary: str
) -> list[Row]:
    """One dict per score of the primary model, associated ones first: headline, evidence, row, caveats."""
    found = []
    for score, rows in of_fit(tests[tests["model"] == primary], fit).groupby("score", sort=False, dropna=False):
        name = score if isinstance(score, str) else EVERY
        known = tested(rows)
        whole = _omnibus(omnibus, fit, primary, score)
        one = _untested(rows) if known.empty else _conclusion(known, whole)
        found.append({"score": name} | _with_power(one, power, name))
    order = list(HEADLINES)
    return sorted(found, key=lambda one: order.index(one["status"]))


def _untested(rows: pd.DataFrame) -> Row:
    first = rows.iloc[0].to_dict()
    reason = str(first["reason"]) or str(first["status"])
    return {"status": UNTESTED, "headline": f"{HEADLINES[UNTESTED]}: {reason}", "evidence": "", "caveats": [],
            "type": first.get("type"), "row": first}  # fmt: skip


def _conclusion(known: pd.DataFrame, whole: Row) -> Row:
    known = known.assign(p_quadratic_maxt=confirmed(known))
    best, bent = known.iloc[0].to_dict(), known.sort_values("p_quadratic_maxt", kind="stable").iloc[0].to_dict()
    status = _status(best, bent, whole)
    row = bent if status == QUADRATIC else best
    return {"status": status, "headline": _headline(status, known, whole),
            "evidence": evidence(status, known, best, bent, whole),
            "caveats": caveats(row, status not in (NONE, QUADRATIC)), "type": best["type"], "row": row,
            "significant": significant(known), "omnibus": whole}  # fmt: skip


def _with_power(one: Row, power: pd.DataFrame | None, score: str) -> Row:
    """A conclusion with what its participants could show: beside a negative result, and where only large effects."""
    least = detectable(power, score)
    if one["status"] == NONE and least:
        return one | {"evidence": f"{one['evidence']} {least.capitalize()}."}
    if one["status"] in (ASSOCIATED, SINGLE) and preliminary(power, score):
        return one | {"caveats": [f"{least}, so the effect is probably overestimated", *one["caveats"]]}
    return one


def confirmed(known: pd.DataFrame) -> pd.Series:
    """Max-T p of the quadratic effects; missing where their own test was not significant as well (or not possible)."""
    return known["p_quadratic_maxt"].where(known["p_quadratic"] < LEVEL)


def _status(best: Row, bent: Row, whole: Row) -> str:
    if whole.get("status") == "ok" and whole["q"] < LEVEL:
        return ASSOCIATED
    if best["p_maxt"] < LEVEL:
        return SINGLE
    return QUADRATIC if bent["p_quadratic_maxt"] < LEVEL else NONE


def _headline(status: str, known: pd.DataFrame, whole: Row) -> str:
    """In brackets the effect that max-T found without the joint test, and the result of the joint test."""
    if status not in EFFECTS:
        return HEADLINES[status]
    effect, p = EFFECTS[status]
    number = int((known[p] < LEVEL).sum())
    latents = "one latent" if number == 1 else f"{number} latents"
    result = "not significant" if whole.get("status") == "ok" else "not available"
    return f"{HEADLINES[status]} ({effect} effect of {latents}; joint test {result})"


def _omnibus(omnibus: pd.DataFrame | None, fit: str, primary: str, score: Any) -> Row:
    """The primary model's joint test of all latents; empty where there is none."""
    if omnibus is None:
        return {}
    rows = of_fit(omnibus[(omnibus["model"] == primary) & (omnibus["score"] == score)], fit)
    return {} if rows.empty else rows.iloc[0].to_dict()


def evidence(status: str, known: pd.DataFrame, best: Row, bent: Row, whole: Row) -> str:
    """The numbers behind a headline, in sentences: the test that decides comes first."""
    curved = _curved(bent) if bent["p_quadratic_maxt"] < LEVEL else ""
    what = "Linear effect" if status == QUADRATIC else "Latent"
    smallest = f"{what} with the smallest max-T p: {best['latent']}, {maxt(best)}."
    first = f"Latent with the smallest max-T p, {best['latent']}: {estimate(best)}, {maxt(best)}; {significant(known)}."
    said = {ASSOCIATED: [joint(whole), first, curved], SINGLE: [first, joint(whole), curved],
            QUADRATIC: [curved, joint(whole), smallest],
            NONE: [joint(whole), smallest]}  # fmt: skip
    return " ".join(words for words in said[status] if words)


def _curved(bent: Row) -> str:
    maximum, own = p_value(bent["p_quadratic_maxt"]), p_value(bent["p_quadratic"])
    return f"Quadratic effect of {bent['latent']}: max-T p {maximum}, p {own} without assuming constant variance."


def joint(whole: Row) -> str:
    """The joint test of all latents, in a sentence."""
    if not whole:
        return ""
    if whole["status"] != "ok":
        return f"{JOINT}: {whole['status']}."
    r2 = f"cross-validated partial R² = {shown(round(whole['partial_r2_cv'], 2) + 0.0)}"
    return f"{JOINT}: p {p_value(whole['p'])}, q {p_value(whole['q'])}, {r2}."


def maxt(row: Row) -> str:
    """Max-T's p of a latent, or why it was not run."""
    if pd.isna(row["p_maxt"]):
        return f"max-T not run ({row['maxt_status']}: {row['maxt_reason']})"
    return f"max-T p {p_value(row['p_maxt'])}"


def significant(rows: pd.DataFrame) -> str:
    """ "max-T p < 0.05 for 2 of 16 latents", of the tested rows of a score."""
    if rows["p_maxt"].isna().all():
        return f"{len(rows)} latents were tested"
    return f"max-T p < {LEVEL:g} for {int((rows['p_maxt'] < LEVEL).sum())} of {len(rows)} latents"


def estimate(row: Row, positive: Any = None) -> str:
    """A latent's effect per standard deviation with its 95 % interval, or why there is none."""
    if row["status"] != "ok":
        return f"no estimate ({row['status']})"
    of = "" if positive is None else f" of {positive}"
    values = [row[name] for name in ("effect", "ci_low", "ci_high")]
    if (ratio := RATIOS.get((row["type"], row["link"]))) is not None:
        return f"{ratio}{of} {unsigned(*np.exp(values))} per SD"
    if (row["type"], row["link"]) == ("continuous", "identity"):
        return f"standardised beta {unsigned(*values)}"
    return f"effect {unsigned(*values)} ({row['link']} scale) per SD"


def caveats(row: Row, associated: bool = True) -> list[str]:
    """What limits a finding: nuisances of latent and score, days to the score, the model's caveats, other seeds."""
    found = []
    if associated and str(row.get("flagged")) == "True":
        found.append(f"{row['latent']}: {row['nuisance']}")
    if associated and row.get("p_proportional", np.nan) < LEVEL:
        p = p_value(row["p_proportional"])
        found.append(
            f"{row['latent']}: its hazard ratio changes with time (p {p}), and is an average over the follow-up"
        )
    of_score = [row.get(name) for name in ("score_nuisance", "score_delay")]
    found += [words for words in of_score if isinstance(words, str) and words]
    verdict, *more = str(row.get("verdict")).split("; ")
    found += [*([] if verdict in ("healthy", NOT_APPLICABLE) else [f"the model is {verdict}"]), *more]
    seeds = row.get("replicated")
    if associated and isinstance(seeds, str) and (seeds.startswith("0 of") or seeds == "no counterpart"):
        found.append("not replicated with other seeds" if seeds.startswith("0 of") else "no counterpart in other seeds")
    return found


def general(found: list[Row], power: pd.DataFrame | None, health: Row | None, simulated: bool) -> list[str]:
    """What limits every finding of a run, in addition to the caveats of each score; health: of the primary model."""
    said = ["The participants are simulated; these results say nothing about real brains."] if simulated else []
    small = pd.Series(dtype=float) if power is None else power.loc[power["reason"].fillna("") != "", "n"].dropna()
    if len(small):
        n = f"{small.min():.0f}" if small.min() == small.max() else f"{small.min():.0f} to {small.max():.0f}"
        said += [f"With {n} participants, effect estimates are imprecise, and those that reach significance are likely "
                 "to be inflated."]  # fmt: skip
    rows = [one["row"] for one in found if one["status"] != UNTESTED]
    given = (health or {}).get("verdict") == NOT_APPLICABLE  # read from a table, without a seed
    if not given and any(str(row.get("replicated")) == "one seed" for row in rows):
        said += ["The model was trained with one random seed, so robustness to the choice of seed is unknown."]
    if any(str(row.get("split_policy")).startswith("transductive") for row in rows):
        said += [
            f"{_seen(health)} of the model, which used their {_used(health)}, but not their scores (transductive)."
        ]
    scores = [one for one in found if one["score"] != EVERY]
    if len(scores) > 1:
        said += [f"q values of the joint tests are FDR-corrected across the {len(scores)} scores; max-T p values are "
                 f"corrected across the {_tested(rows)}latents, separately for each score."]  # fmt: skip
    return said


def _used(health: Row | None) -> str:
    """What of the participants a model was fitted to: where latents exist already, their mean, scale and components."""
    used = {
        "table": "rows of the table of latents",
        "pretrained": "embeddings",
        "networks": "features of functional networks",
    }
    return used.get(str((health or {}).get("kind")), "scans")


def _seen(health: Row | None) -> str:
    """How many participants were in the training or validation set."""
    sets = [int((health or {}).get(f"people_{name}") or 0) for name in ("training", "validation", "test")]
    if not sets[0]:
        return "Most participants were in the training or validation set"
    return (f"{sum(sets[:2])} of the {sum(sets)} participants were in the training set ({sets[0]}) or validation set "
            f"({sets[1]})")  # fmt: skip


def _tested(rows: list[Row]) -> str:
    """ "16 " where every score was tested against as many latents."""
    counts = {row.get("m") for row in rows}
    return "" if len(counts) != 1 or pd.isna(next(iter(counts))) else f"{next(iter(counts)):.0f} "


def overview(found: list[Row], primary: str) -> str:
    """All conclusions, a sentence for each headline."""
    scores = [one for one in found if one["score"] != EVERY]
    if all(one["status"] == UNTESTED for one in scores):
        reason = found[0]["headline"].removeprefix("Not tested: ") if found else "no score is declared"
        return f"No score could be tested: {reason}."
    said: dict[str, list[str]] = {}
    for one in scores:  # in the order of HEADLINES
        words = one["headline"] + f" of {primary}" * (one["status"] == ASSOCIATED)
        said.setdefault(HEADLINES[UNTESTED] if one["status"] == UNTESTED else words, []).append(str(one["score"]))
    return " ".join(f"{words}: {listed(names)}." for words, names in said.items())


def detectable(power: pd.DataFrame | None, score: str) -> str:
    """The smallest effect that could have been detected with a score's participants, over all latents."""
    row = _power(power, score)
    if not row:
        return ""
    if pd.notna(row.get("hazard_ratio")):
        ratio = float(row["hazard_ratio"])
        return (f"with {row['cases']:.0f} events, only hazard ratios of {ratio:.2f} per SD or more (or "
                f"{1 / ratio:.2f} or less) could be detected with {100 * row['power']:.0f} % power")  # fmt: skip
    return (f"with {row['n']:.0f} participants, only partial correlations of {row['partial_r']:.2f} or more could be "
            f"detected with {100 * row['power']:.0f} % power")  # fmt: skip


def preliminary(power: pd.DataFrame | None, score: str | None = None) -> str:
    """A warning where one score, or every score, has participants enough for large effects only (Cohen 1988)."""
    scores = [score] if score else [] if power is None else list(dict.fromkeys(power["score"].dropna()))
    rows = [row for row in (_power(power, name) for name in scores) if row and pd.notna(row["partial_r"])]
    if not rows or any(row["partial_r"] < LARGE for row in rows):
        return ""
    return f"Preliminary: only large effects can be detected with {max(row['n'] for row in rows):.0f} participants."


def _power(power: pd.DataFrame | None, score: str) -> Row:
    """The power of the tests of a score against all latents; empty where there is none."""
    rows = (
        pd.DataFrame() if power is None or power.empty else power[(power["score"] == score) & (power["status"] == "ok")]
    )
    return {} if rows.empty else rows.loc[rows["tests"].idxmax()].to_dict()
