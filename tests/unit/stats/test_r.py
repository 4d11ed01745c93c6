"""Our numbers against those of R, MASS and mgcv, frozen in tests/r/reference.json; R is not needed to run this.

To remake them (Debian: apt-get install --no-install-recommends r-base-core r-cran-mass r-cran-mgcv):
    python tests/r/simulate.py      writes tests/r/data.tsv, by numpy with a seed
    Rscript tests/r/reference.R     writes tests/r/reference.json, 12 digits, with the versions
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from neurovae.associate.spline import polynomials
from neurovae.stats import families
from neurovae.stats.basis import natural_spline, spline_knots

pytestmark = pytest.mark.filterwarnings("error")
HERE = Path(__file__).parent / "r"
DATA = pd.read_csv(HERE / "data.tsv", sep="\t", float_precision="round_trip")
R: dict[str, Any] = json.loads((HERE / "reference.json").read_text(encoding="utf-8"))
CONFOUNDS = np.column_stack([np.ones(len(DATA)), DATA["age"], DATA["group"]])
Z = DATA["z"].to_numpy()
LINE = np.column_stack([CONFOUNDS, Z])
SPLINE = np.column_stack([CONFOUNDS, natural_spline(Z, spline_knots(Z))])
N = len(DATA)


def y(score: str) -> np.ndarray:
    return DATA[score].to_numpy(float)


def pair(kind: str, score: str, full: np.ndarray, null: np.ndarray, link: str | None = None):
    return families.fit(kind, y(score), null, link), families.fit(kind, y(score), full, link)


def close(ours: Any, theirs: Any, rtol: float = 1e-5) -> bool:
    return np.allclose(ours, theirs, rtol=rtol, atol=0)


# --- regressions ---


def test_least_squares_and_its_robust_errors():
    null, full = pair("continuous", "gauss", LINE, CONFOUNDS)
    r = R["lm"]
    assert close(full.coef, r["coef"]) and close(full.deviance, r["deviance"])
    assert close(full.se, r["hc2_z"]) and close(full.df, r["bm_df"]) and close(np.sqrt(np.diag(full.cov)), r["hc3"])
    assert close(families.nested_p(null, full, 1, N), r["p"], 1e-4)  # at 1e-16: 1e-5 of t is more of p
    assert close(families.partial_r2("continuous", y("gauss"), CONFOUNDS, LINE, null, full), r["partial_r2"])
    f = (null.deviance - full.deviance) / (full.deviance / (N - 4))
    assert close(f, r["F"])


@pytest.mark.parametrize(("name", "link"), [("binomial", None), ("probit", "probit"), ("cloglog", "cloglog")])
def test_binary(name: str, link: str | None):
    null, full = pair("binary", "binary", LINE, CONFOUNDS, link)
    r = R[name]
    assert close(full.coef, r["coef"]) and close(np.sqrt(np.diag(full.cov)), r["se"]) and close(full.se, r["se"][-1])
    assert close(full.loglike, r["loglik"]) and close(full.deviance, r["deviance"])
    assert close(null.deviance, r["null_deviance"]) and close(null.deviance - full.deviance, r["LR"])
    assert close(families.nested_p(null, full, 1, N), r["p_LR"])
    partial = families.partial_r2("binary", y("binary"), CONFOUNDS, LINE, null, full)
    assert close(partial, 1 - r["deviance"] / r["null_deviance"])


def test_poisson():
    null, full = pair("count", "few", LINE, CONFOUNDS)
    r = R["poisson"]
    assert full.alpha == null.alpha == 0 and close(full.coef[:4], r["coef"]) and close(full.se, r["se"][-1])
    assert close(np.sqrt(np.diag(full.cov))[:4], r["se"]) and close(full.loglike, r["loglik"])
    assert close(families.nested_p(null, full, 1, N), r["p_LR"])
    partial = families.partial_r2("count", y("few"), CONFOUNDS, LINE, null, full)
    assert close(partial, 1 - r["deviance"] / r["null_deviance"])


def test_negative_binomial():
    null, full = pair("count", "count", LINE, CONFOUNDS)
    r = R["negative_binomial"]
    assert close(1 / full.alpha, r["theta"]) and close(full.coef[:4], r["coef"]) and close(full.loglike, r["loglik"])
    assert close(2 * (full.loglike - null.loglike), r["LR"]) and close(families.nested_p(null, full, 1, N), r["p"])


def test_gamma():
    null, full = pair("gamma", "gamma", LINE, CONFOUNDS)
    r, shaped = R["gamma"], R["gamma_shape"]
    assert close(full.coef[:4], r["coef"]) and close(full.deviance, r["deviance"])
    assert close(null.deviance, r["null_deviance"]) and close(full.dispersion, r["dispersion"])
    assert close(full.loglike, shaped["loglik"]) and close(2 * (full.loglike - null.loglike), shaped["LR"])
    assert close(families.nested_p(null, full, 1, N), shaped["p"])
    assert close(full.se, r["se"][-1] / np.sqrt(shaped["shape"] * r["dispersion"]))  # R's error takes Pearson's


def test_fractional_logit_is_quasibinomial():
    null, full = pair("bounded", "share", LINE, CONFOUNDS)
    r = R["quasibinomial"]
    assert close(full.coef, r["coef"]) and close(np.sqrt(np.diag(full.cov)), r["se"])
    assert close(full.deviance, r["deviance"]) and close(full.dispersion, r["dispersion"])
    assert close(families.nested_p(null, full, 1, N), r["p_F"])


@pytest.mark.parametrize(("name", "link"), [("polr", None), ("polr_probit", "probit")])
def test_proportional_odds(name: str, link: str | None):
    null, full = pair("ordinal", "level", LINE, CONFOUNDS, link)
    r = R[name]
    assert close(full.coef, r["coef"] + r["thresholds"]) and close(full.loglike, r["loglik"])
    assert close(np.sqrt(np.diag(full.cov)), r["se"])
    assert close(2 * (full.loglike - null.loglike), r["LR"])
    assert close(families.nested_p(null, full, 1, N), chi2.sf(r["LR"] * (N - 4) / N, 1))  # three slopes, one intercept


# --- spline and polynomials: mgcv's unpenalised gam has other columns, the same curve and the same test ---


def test_spline_of_least_squares():
    line, full = pair("continuous", "gauss", SPLINE, LINE)
    r = R["spline_gauss"]
    assert close(SPLINE @ full.coef, r["fitted"]) and close(full.deviance, r["deviance"])
    assert close((line.deviance - full.deviance) / 2 / (full.deviance / (N - 6)), r["F"])
    assert close(families.nested_p(line, full, 2, N), r["p"])


@pytest.mark.parametrize(("kind", "score"), [("binary", "binary"), ("count", "few"), ("bounded", "share")])
def test_spline_of_other_types(kind: str, score: str):
    line, full = pair(kind, score, SPLINE, LINE)
    r = R[f"spline_{score}"]
    eta = SPLINE @ full.coef[:6]
    assert close(np.exp(eta) if kind == "count" else 1 / (1 + np.exp(-eta)), r["fitted"])
    assert close(families.nested_p(line, full, 2, N), r["p_F" if kind == "bounded" else "p_LR"])
    assert kind == "count" or close([line.deviance, full.deviance], [r["line_deviance"], r["deviance"]])
    partial = families.partial_r2(kind, y(score), LINE, SPLINE, line, full)
    assert close(partial, 1 - r["deviance"] / r["line_deviance"])


def test_polynomials():
    line = families.fit("binary", y("binary"), LINE)
    unit = (Z - Z.mean()) / Z.std(ddof=1)
    found = polynomials("binary", y("binary"), CONFOUNDS, unit, line)
    assert close(found["p_quadratic"], R["quadratic_binary"]["p_LR"])
    drop = R["quadratic_binary"]["deviance"] - R["cubic_binary"]["deviance"]
    assert close(found["p_cubic"], chi2.sf(drop * (N - CONFOUNDS.shape[1] - 3) / N, 1))
