"""Spline, polynomials and the fitted curve: planted nonlinearity, linear truths, closed forms."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit
from univariate_rows import glm_rows, permute_rows, spline_rows

from neurovae.associate.permute import COLUMNS as COLUMNS_PERMUTED
from neurovae.associate.spline import COLUMNS, CURVE, GRID, polynomials
from neurovae.design.rows import standard
from neurovae.design.tables import tidy
from neurovae.report.figures import scores
from neurovae.stats import families
from neurovae.stats.basis import natural_spline, polynomial, spline_knots
from neurovae.stats.curve import back_transformed, band

pytestmark = pytest.mark.filterwarnings("error")
MEMORY = {"name": "memory", "type": "continuous"}
TYPES: list[dict[str, Any]] = [
    MEMORY,
    {"name": "falls", "type": "count"},
    {"name": "ill", "type": "binary"},
    {"name": "stage", "type": "ordinal"},
    {"name": "mmse", "type": "bounded", "bounds": [10, 30]},
    {"name": "seconds", "type": "gamma"},
]


def draw(kind: str, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scores of a type whose linear predictor is eta."""
    n = len(eta)
    return {
        "continuous": lambda: eta + rng.normal(size=n),
        "count": lambda: rng.poisson(np.exp(0.5 + eta)).astype(float),
        "binary": lambda: (rng.random(n) < expit(eta)).astype(float),
        "ordinal": lambda: np.digitize(eta + rng.logistic(size=n), [-1.5, 0, 1.5]).astype(float),
        "bounded": lambda: 10.0 + rng.binomial(20, rng.beta(5 * expit(eta), 5 * expit(-eta))),
        "gamma": lambda: rng.gamma(4, np.exp(eta) / 4),
    }[kind]()


def table(entry: dict[str, Any], shape: Any, people: int = 200, seed: int = 0, size: int = 3) -> pd.DataFrame:
    """The joined table of one score that follows shape(mu_000), one site, everybody unseen in training."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(people, size))
    made = pd.DataFrame({"person": np.arange(people), "site": "A", "age": rng.uniform(20, 85, people)})
    made = made.assign(latents_split="test", latents_model="vae", latents_fold=0, latents_seed=0)
    made[[f"mu_{k:03d}" for k in range(size)]] = z
    return made.assign(**{entry["name"]: draw(entry["type"], shape(z[:, 0]), rng)})


# --- columns ---


def test_polynomials_are_orthogonal_and_span_the_powers():
    x = np.random.default_rng(0).gamma(2, size=60) + 100
    made = polynomial(x, 3)
    assert np.allclose(made.T @ made / 60, np.eye(3), atol=1e-10) and np.abs(made.mean(axis=0)).max() < 1e-10
    assert np.allclose(made[:, 0], standard(x) * np.sqrt(60 / 59))
    full = np.column_stack([np.ones(60), made])
    powers = np.column_stack([standard(x) ** 2, standard(x) ** 3])
    assert np.abs(full @ np.linalg.lstsq(full, powers, rcond=None)[0] - powers).max() < 1e-9
    assert np.corrcoef(made[:, 1], standard(x) ** 2)[0, 1] > 0  # a U has a positive quadratic term


# --- tests ---


@pytest.mark.parametrize("entry", TYPES, ids=lambda entry: entry["type"])
def test_a_planted_u_is_found_by_spline_and_quadratic_and_missed_by_the_line(entry: dict[str, Any]):
    made = table(entry, lambda z: 0.6 * (z**2 - 1))
    rows, points = spline_rows(made, entry, [{"name": "age", "type": "continuous"}])
    found = rows[0]
    assert found["status"] == found["polynomial_status"] == "ok"
    assert max(found["p_nonlinear"], found["p_quadratic"]) < 1e-4 < found["p_cubic"]
    assert found["q_quadratic"] < 1e-3 and glm_rows(made, entry, [])[0]["p"] > 1e6 * found["p_quadratic"]
    fitted = pd.DataFrame(points).query("latent == 'mu_000'")["fitted"].to_numpy()
    assert fitted[GRID // 2] < fitted[0] and fitted[GRID // 2] < fitted[-1]


def test_a_cubic_is_found_where_the_quadratic_is_blind():
    rows, _ = spline_rows(table(MEMORY, lambda z: z**3 - 3 * z, people=150, seed=3), MEMORY, [])
    assert rows[0]["p_cubic"] < 1e-6 and rows[0]["p_cubic"] < rows[0]["p_quadratic"]


def test_tests_are_nominal_under_a_straight_truth():
    rng = np.random.default_rng(4)
    p: dict[str, list[float]] = {"spline": [], "quadratic": [], "cubic": []}
    draws, n = 600, 80
    for _ in range(draws):
        z = standard(rng.normal(size=n))
        x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
        y = z + x[:, 1] + rng.normal(size=n)
        line = families.fit("continuous", y, np.column_stack([x, z]))
        full = families.fit("continuous", y, np.column_stack([x, natural_spline(z, spline_knots(z))]))
        p["spline"].append(families.nested_p(line, full, 2, n))
        found = polynomials("continuous", y, x, z, line)
        p["quadratic"].append(found["p_quadratic"])
        p["cubic"].append(found["p_cubic"])
    low, high = stats.binom.interval(0.999, draws, 0.05)
    rejected = {name: int(np.sum(np.array(values) < 0.05)) for name, values in p.items()}
    assert all(count <= high for count in rejected.values()), (rejected, low, high)
    assert all(rejected[name] >= low for name in ("spline", "quadratic")), (rejected, low, high)


def test_q_is_within_the_score_and_a_separated_polynomial_says_so():
    rows, _ = spline_rows(table(MEMORY, lambda z: z**2, size=6), MEMORY, [])
    for test in ("quadratic", "cubic", "nonlinear", "overall"):
        p = [row[f"p_{test}"] for row in rows]
        assert np.allclose([row[f"q_{test}"] for row in rows], stats.false_discovery_control(p))
    z = standard(np.random.default_rng(5).normal(size=120))
    y, x = (z**2 > 1).astype(float), np.ones((120, 1))
    found = polynomials("binary", y, x, z, families.fit("binary", y, np.column_stack([x, z])))
    assert found == {"polynomial_status": "quadratic: separation"}


# --- the curve ---


@pytest.mark.parametrize("kind", [entry["type"] for entry in TYPES])
def test_bands_cover_the_truth(kind: str):
    """Mean coverage across the curve of a truth that the spline can take, 3 confound columns; 60 draws of 200 people."""
    rng, covered = np.random.default_rng(8), []
    mean = {"continuous": lambda eta: eta, "count": lambda eta: np.exp(0.5 + eta), "gamma": np.exp, "binary": expit,
            "bounded": expit, "ordinal": lambda eta: expit(eta[:, None] - [-1.5, 0, 1.5]).sum(axis=1)}[kind]  # fmt: skip
    for _ in range(60):
        z, x = standard(rng.normal(size=200)), np.column_stack([np.ones(200), rng.normal(size=(200, 3))])
        knots = spline_knots(z)
        assert knots is not None
        y = draw(kind, natural_spline(z, knots) @ [0.5, -1.0, 1.5] + 0.3 * x[:, 1], rng)
        y = (y - 10) / 20 if kind == "bounded" else y
        full = families.fit(kind, y, np.column_stack([x, natural_spline(z, knots)]))
        grid = np.linspace(*np.quantile(z, (0.025, 0.975)), 41)
        at = np.column_stack([np.repeat(x.mean(axis=0)[None, :], 41, axis=0), natural_spline(grid, knots)])
        _, low, high = band(kind, y, at, full)
        truth = mean(natural_spline(grid, knots) @ [0.5, -1.0, 1.5] + 0.3 * x[:, 1].mean())
        covered.append(np.mean((low < truth) & (truth < high)))
    assert 0.92 < np.mean(covered) < 0.975


# --- the tables and the figure ---


@pytest.mark.parametrize("entry", TYPES, ids=lambda entry: entry["type"])
def test_every_curve_lies_in_its_band_and_in_the_scores_range(entry: dict[str, Any]):
    rows, points = spline_rows(table(entry, lambda z: z), entry, [])
    assert not {name for row in rows for name in row} - set(COLUMNS)
    curve = pd.DataFrame(points)
    assert not set(curve) - set(CURVE) and curve.notna().all(axis=None)
    assert (curve["low"] <= curve["fitted"]).all() and (curve["fitted"] <= curve["high"]).all()
    assert (curve.groupby("latent").size() == GRID).all() and (curve["df"] == 3).all()
    low, high = entry.get("bounds", (0, 1) if entry["type"] == "binary" else (-np.inf, np.inf))
    assert curve["low"].min() >= low and curve["high"].max() <= high


@pytest.mark.parametrize(("entry", "link"), [(TYPES[1], "sqrt"), (TYPES[2], "probit"), (TYPES[3], "cloglog"),
                                             (TYPES[5], "inverse"), (TYPES[5], "identity")])  # fmt: skip
def test_curves_of_another_link_lie_on_the_scores_scale(entry: dict[str, Any], link: str):
    made = table(entry, lambda z: 0.3 * z, people=300)
    curves = {}
    for name in (None, link):
        rows, points = spline_rows(made, entry | {"link": name}, [])
        assert rows[0]["status"] == "ok"
        curve = pd.DataFrame(points).query("latent == 'mu_000'")
        assert (curve["low"] <= curve["fitted"]).all() and (curve["fitted"] <= curve["high"]).all()
        curves[name] = curve["fitted"].to_numpy()
    assert rows[0]["link"] == link
    assert np.abs(curves[link] - curves[None]).max() < 0.15 * np.ptp(made[entry["name"]])


def test_a_band_beyond_the_domain_of_its_link_ends_at_the_border():
    at = np.array([[1.0, 0.0], [1.0, 1.0]])
    for link, fitted in (("sqrt", 0.25), ("inverse", 2.0), ("log", np.exp(0.5)), ("identity", 0.5)):
        middle, low, high = back_transformed(link, at, np.array([0.5, 0.0]), np.eye(2), np.inf)
        assert np.allclose(middle, fitted) and (low <= middle).all() and (middle <= high).all()
        assert link not in ("sqrt", "inverse") or (low >= 0).all()


def test_band_of_least_squares_is_the_delta_method():
    rng = np.random.default_rng(11)
    x = np.column_stack([np.ones(50), rng.normal(size=50)])
    y = x[:, 1] + rng.normal(size=50)
    full = families.fit("continuous", y, x)
    fitted, low, high = band("continuous", y, x[:3], full)
    half = stats.t.ppf(0.975, 48) * np.sqrt(np.diag(x[:3] @ full.cov @ x[:3].T))
    assert (
        np.allclose(fitted, x[:3] @ full.coef)
        and np.allclose(high - fitted, half)
        and np.allclose(low + high, 2 * fitted)
    )


def test_the_figure_shows_the_tested_spline_on_the_scale_of_the_score(tmp_path: Path):
    entries = [TYPES[2] | {"positive": "patient"}, TYPES[3], TYPES[4]]
    made = table(entries[2], lambda z: z, people=80)
    rng = np.random.default_rng(12)
    made["ill"], made["stage"] = draw("binary", made["mu_000"].to_numpy(), rng), rng.integers(0, 3, 80)
    made = made.assign(scan=made["person"].astype(str), fold=0, split=np.where(made.index < 20, "test", "training"))
    made = made.assign(session="", acquisition="", run="", model="vae", seed=0, excluded=False)
    tidy(permute_rows(made, entries, [], 99, 0), COLUMNS_PERMUTED).to_parquet(tmp_path / "permute.parquet")
    tests, points = [], []
    for entry in entries:
        rows, drawn = spline_rows(made, entry, [])
        tests += [row | {"verdict": "healthy", "p": row["p_overall"], "q": row["q_overall"]} for row in rows]
        points += drawn
    columns = {
        "latents": "scan person model fold seed split mu_000 mu_001 mu_002",
        "cohort": "scan person session acquisition run site fold ill stage mmse",
        "qc": "scan excluded",
    }
    for name, names in columns.items():
        made[names.split()].to_parquet(tmp_path / f"{name}.parquet")
    pd.DataFrame(tests).to_parquet(tmp_path / "glm.parquet")
    curves = pd.DataFrame(points)
    curves[curves["score"] != "ill"].to_parquet(tmp_path / "curves.parquet")  # a score may have no curve
    given = {name: tmp_path / f"{name}.parquet" for name in (*columns, "glm", "permute", "curves")}
    scores.draw(**given, scores=entries, confounds=[], most=2, name="vae", out=tmp_path / "scores.png")
    assert (tmp_path / "scores.png").stat().st_size > 10_000
    line = scores.curve(curves, "mmse", "mu_000")
    assert len(line) == GRID
    of_score = scores.participants(made, entries[2], [])
    assert np.allclose(of_score["drawn"], of_score["mmse"]) and scores.label(entries[0]) == "ill (1: patient)"
