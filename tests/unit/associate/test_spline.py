"""Spline, polynomials and the penalised curve: planted bends, straight truths, closed forms."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import expit

from neurovae.associate.glm import glm
from neurovae.associate.permute import COLUMNS as COLUMNS_PERMUTED
from neurovae.associate.permute import permute
from neurovae.associate.spline import COLUMNS, CURVE, GRID, polynomials, spline
from neurovae.design.rows import standard
from neurovae.design.tables import tidy
from neurovae.report.figures import scores
from neurovae.stats import families
from neurovae.stats.basis import curvature, natural_spline, polynomial, spline_knots
from neurovae.stats.curve import band, turned
from neurovae.stats.penalised import DRAWABLE, penalised, penalised_knots

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


def like(kind: str, y: np.ndarray, x: np.ndarray, z: np.ndarray) -> tuple[families.Fit, np.ndarray]:
    columns = np.column_stack([x, natural_spline(z, spline_knots(z))])
    full = families.fit(kind, y, columns)
    return full, columns @ full.coef[: columns.shape[1]]


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


def test_curvature_is_the_integral_of_the_squared_second_derivative():
    knots = np.array([-2.0, -0.7, -0.4, 0.3, 1.1, 2.5])
    coef = np.random.default_rng(1).normal(size=4)

    def second(x: float, step: float = 1e-3) -> float:
        return float(np.diff(natural_spline(np.array([x - step, x, x + step]), knots)[:, 1:] @ coef, 2)[0] / step**2)

    whole = sum(quad(lambda x: second(x) ** 2, a + 1e-3, b - 1e-3)[0] for a, b in zip(knots, knots[1:], strict=False))
    assert coef @ curvature(knots) @ coef == pytest.approx(whole, rel=0.01)
    # between knots the second derivative is a line: Simpson's rule on its squares is exact
    at = np.array([second(k) for k in knots])
    at[[0, -1]] = 0
    exact = np.sum(np.diff(knots) * (at[:-1] ** 2 + at[:-1] * at[1:] + at[1:] ** 2) / 3)
    assert coef @ curvature(knots) @ coef == pytest.approx(exact, rel=0.005)


# --- tests ---


@pytest.mark.parametrize("entry", TYPES, ids=lambda entry: entry["type"])
def test_a_planted_u_is_found_by_spline_and_quadratic_and_missed_by_the_line(entry: dict[str, Any]):
    made = table(entry, lambda z: 0.6 * (z**2 - 1))
    rows, points = spline(made, entry, [{"name": "age", "type": "continuous"}])
    found = rows[0]
    assert found["status"] == found["polynomial_status"] == "ok"
    assert max(found["p_nonlinear"], found["p_quadratic"]) < 1e-4 < found["p_cubic"]
    assert found["q_quadratic"] < 1e-3 and glm(made, entry, [])[0]["p"] > 1e6 * found["p_quadratic"]
    curve = pd.DataFrame(points).query("latent == 'mu_000'").groupby("curve")["fitted"].apply(np.array)
    for fitted in curve:
        assert fitted[GRID // 2] < fitted[0] and fitted[GRID // 2] < fitted[-1]


def test_a_cubic_is_found_where_the_quadratic_is_blind():
    rows, _ = spline(table(MEMORY, lambda z: z**3 - 3 * z, people=150, seed=3), MEMORY, [])
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
    rows, _ = spline(table(MEMORY, lambda z: z**2, size=6), MEMORY, [])
    for test in ("quadratic", "cubic", "nonlinear", "overall"):
        p = [row[f"p_{test}"] for row in rows]
        assert np.allclose([row[f"q_{test}"] for row in rows], stats.false_discovery_control(p))
    z = standard(np.random.default_rng(5).normal(size=120))
    y, x = (z**2 > 1).astype(float), np.ones((120, 1))
    found = polynomials("binary", y, x, z, families.fit("binary", y, np.column_stack([x, z])))
    assert found == {"polynomial_status": "quadratic: separation"}


# --- the penalised curve ---


def test_the_weight_runs_from_the_unpenalised_spline_to_the_line():
    rng = np.random.default_rng(6)
    z, x = standard(rng.normal(size=120)), np.column_stack([np.ones(120), rng.normal(size=120)])
    y = np.sin(2 * z) + 0.3 * rng.normal(size=120)
    given = ("continuous", y, x, z, *like("continuous", y, x, z))
    knots = penalised_knots("continuous", y, x, z)
    assert knots is not None and (len(knots), knots[0], knots[-1]) == (10, z.min(), z.max())
    columns = np.column_stack([x, natural_spline(z, knots)])
    for weight, kept, edf in ((1e-9, columns.shape[1], 9), (1e9, 3, 1)):
        found = penalised(*given, weight=weight)
        fitted = columns[:, :kept] @ np.linalg.lstsq(columns[:, :kept], y, rcond=None)[0]
        assert found.edf == pytest.approx(edf, abs=1e-4) and np.abs(columns @ found.coef - fitted).max() < 1e-5
    ridge = np.zeros((columns.shape[1],) * 2)
    ridge[3:, 3:] = 0.2 * curvature(knots)
    assert np.allclose(penalised(*given, weight=0.2).coef, np.linalg.solve(columns.T @ columns + ridge, columns.T @ y))


@pytest.mark.parametrize("by", ["GCV", "REML"])
def test_the_weight_is_the_best_of_a_fine_grid(by: str):
    """REML by its definition: the marginal likelihood of y with the bends as Gaussian effects (dense matrices)."""
    rng = np.random.default_rng(7)
    n = 100
    z, x = standard(rng.normal(size=n)), np.ones((n, 1))
    y = np.sin(1.5 * z) + rng.normal(size=n)
    given = ("continuous", y, x, z, *like("continuous", y, x, z))
    found = penalised(*given, by=by)
    fixed = np.column_stack([x, z])
    bends = natural_spline(z, found.knots)[:, 1:]

    def cost(weight: float) -> float:
        if by == "GCV":
            at = penalised(*given, weight=weight)
            return n * at.deviance / (n - at.edf - 1) ** 2
        v = np.eye(n) + bends @ np.linalg.solve(weight * curvature(found.knots), bends.T)
        inner = fixed.T @ np.linalg.solve(v, fixed)
        rest = y - fixed @ np.linalg.solve(inner, fixed.T @ np.linalg.solve(v, y))
        square = rest @ np.linalg.solve(v, rest)
        return (n - 2) * np.log(square) + np.linalg.slogdet(v)[1] + np.linalg.slogdet(inner)[1]

    grid = found.weight * np.exp(np.linspace(-4, 4, 81))  # its middle is the weight found
    assert np.argmin([cost(weight) for weight in grid]) == 40


@pytest.mark.parametrize("kind", DRAWABLE)
def test_bands_cover_the_truth(kind: str):
    """Mean coverage across a curve (Nychka 1988), a bend and 3 confound columns; 40 draws of 200 people."""
    rng = np.random.default_rng(8)
    covered = []
    for _ in range(40):
        z, x = standard(rng.normal(size=200)), np.column_stack([np.ones(200), rng.normal(size=(200, 3))])
        y = draw(kind, np.sin(1.5 * z) + 0.3 * x[:, 1], rng)
        y = (y - 10) / 20 if kind == "bounded" else y
        full, eta = like(kind, y, x, z)
        found = penalised(kind, y, x, z, full, eta)
        grid = np.linspace(*np.quantile(z, (0.025, 0.975)), 41)
        at = np.column_stack([np.repeat(x.mean(axis=0)[None, :], 41, axis=0), natural_spline(grid, found.knots)])
        _, low, high = turned("identity", at, found.coef, found.cov, found.df)
        truth = np.sin(1.5 * grid) + 0.3 * x[:, 1].mean() + (0.5 if kind == "count" else 0)
        covered.append(np.mean((low < truth) & (truth < high)))
    assert 0.9 < np.mean(covered) < 0.99


def test_a_straight_truth_is_drawn_straight():
    """Of 60 straight binary truths with 70 people and 11 confounds, few get more than 4 df and none is a comb."""
    rng, edf = np.random.default_rng(9), []
    for _ in range(60):
        z, x = standard(rng.normal(size=70)), np.column_stack([np.ones(70), rng.normal(size=(70, 11))])
        y = (rng.random(70) < expit(0.7 * z)).astype(float)
        full, eta = like("binary", y, x, z)
        if full.status == "ok":
            edf.append(penalised("binary", y, x, z, full, eta).edf)
    assert len(edf) > 45 and np.median(edf) < 1.5 and np.mean(np.array(edf) > 4) < 0.15 and max(edf) < 7


def test_knots_are_fewer_where_ten_would_separate():
    rng = np.random.default_rng(10)
    z = standard(rng.normal(size=40))
    y, x = (np.abs(z) > 1).astype(float), np.ones((40, 1))
    y[:3] = 1 - y[:3]
    ten = natural_spline(z, np.quantile(z, np.linspace(0, 1, 10)))
    knots = penalised_knots("binary", y, x, z)
    assert families.fit("binary", y, np.column_stack([x, ten])).status == "separation" and 4 <= len(knots) < 10
    y = (np.abs(z) > 1).astype(float)
    assert penalised_knots("binary", y, x, z) is None
    full, eta = like("continuous", y, x, z)
    assert penalised("binary", y, x, z, full, eta).status == "separation"


# --- the tables and the picture ---


@pytest.mark.parametrize("entry", TYPES, ids=lambda entry: entry["type"])
def test_every_curve_says_what_was_drawn(entry: dict[str, Any]):
    rows, points = spline(table(entry, lambda z: z), entry, [])
    assert not {name for row in rows for name in row} - set(COLUMNS)
    curve = pd.DataFrame(points)
    assert not set(curve) - set(CURVE) and curve.notna().all(axis=None)
    assert (curve["low"] <= curve["fitted"]).all() and (curve["fitted"] <= curve["high"]).all()
    for (kind, latent), drawn in curve.groupby(["curve", "latent"]):
        assert len(drawn) == GRID and drawn["drawn"].nunique() == 1, latent
        edf = drawn["edf"].iloc[0]
        assert drawn["drawn"].iloc[0] == ("spline, 3 df" if kind == "spline" else f"penalised, edf {edf:.1f}")
    assert set(curve["curve"]) == ({"spline"} if entry["type"] == "ordinal" else {"penalised", "spline"})
    low, high = entry.get("bounds", (0, 1) if entry["type"] == "binary" else (-np.inf, np.inf))
    assert curve["low"].min() >= low and curve["high"].max() <= high


@pytest.mark.parametrize(("entry", "link"), [(TYPES[1], "sqrt"), (TYPES[2], "probit"), (TYPES[3], "cloglog"),
                                             (TYPES[5], "inverse"), (TYPES[5], "identity")])  # fmt: skip
def test_curves_of_another_link_lie_on_the_scores_scale(entry: dict[str, Any], link: str):
    made = table(entry, lambda z: 0.3 * z, people=300)
    curves = {}
    for name in (None, link):
        rows, points = spline(made, entry | {"link": name}, [])
        assert rows[0]["status"] == "ok"
        curve = pd.DataFrame(points).query("latent == 'mu_000' and curve == curve.iloc[0]")
        assert (curve["low"] <= curve["fitted"]).all() and (curve["fitted"] <= curve["high"]).all()
        curves[name] = curve["fitted"].to_numpy()
    assert rows[0]["link"] == link
    assert np.abs(curves[link] - curves[None]).max() < 0.15 * np.ptp(made[entry["name"]])


def test_a_band_beyond_the_domain_of_its_link_ends_at_the_border():
    at = np.array([[1.0, 0.0], [1.0, 1.0]])
    for link, fitted in (("sqrt", 0.25), ("inverse", 2.0), ("log", np.exp(0.5)), ("identity", 0.5)):
        middle, low, high = turned(link, at, np.array([0.5, 0.0]), np.eye(2), np.inf)
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
    tidy(permute(made, entries, [], 99, 0), COLUMNS_PERMUTED).to_parquet(tmp_path / "permute.parquet")
    tests, points = [], []
    for entry in entries:
        rows, drawn = spline(made, entry, [])
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
    scores.run(**given, scores=entries, confounds=[], most=2, name="vae", out=tmp_path / "scores.png")
    assert (tmp_path / "scores.png").stat().st_size > 10_000
    line = scores.curve(curves, "mmse", "mu_000")
    assert set(line["curve"]) == {"spline"} and len(line) == GRID
    of_score = scores.participants(made, entries[2], [])
    assert np.allclose(of_score["drawn"], of_score["mmse"]) and scores.label(entries[0]) == "ill (1: patient)"
