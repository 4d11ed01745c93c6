"""Kernel test of all latents, cross-fitted direction and its pattern: closed forms, the null, planted truths."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from simulated_tests import CONFOUNDS, KINDS, draw, people, score
from sklearn.linear_model import Ridge

from neurovae.associate import omnibus
from neurovae.report.figures import directions as picture
from neurovae.stats import direction, exchangeability, kernel, rao, ridge

pytestmark = pytest.mark.filterwarnings("error")


def problem(kind: str, n: int, size: int, seed: int, effect: np.ndarray | float = 0.0) -> kernel.Space:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 3))])
    z = rng.normal(size=(n, size)) * np.linspace(2, 0.5, size) + 0.5 * x[:, [1]]
    y = draw(kind, z @ (np.ones(size) * effect) + 0.4 * x[:, 1], rng)
    found = rao.fit_null(kind, y, x, None)[1]
    assert found is not None
    return kernel.space(found, z, x)


# --- the statistic ---


@pytest.mark.parametrize(("kind", "size"), [("continuous", 7), ("count", 7), ("ordinal", 7), ("binary", 90)])
def test_kernels_are_q_computed_directly(kind: str, size: int):
    data = problem(kind, 60, size, 0)
    moved = data.e[np.random.default_rng(1).permutation(60)]
    outside = np.eye(60) - data.x @ np.linalg.pinv(data.x)
    left, e = outside @ data.z, outside @ moved
    ours = kernel.kernels(data, moved[None])[0] * (e @ e)
    for value, name in zip(ours, data.names, strict=False):
        metric, k = kernel.KERNELS[name]
        z = left / np.linalg.norm(left, axis=0) if metric == "standardised" else left
        gram = z.T @ z
        mean = np.trace(gram) / np.linalg.matrix_rank(gram)
        if metric == "whitened":
            k = 0.0
        weight = np.eye(size) / mean if k == np.inf else np.linalg.pinv(gram + k * mean * np.eye(size))
        direct = e @ z @ weight @ z.T @ e
        assert np.isclose(value, direct, rtol=1e-8)
    assert ("whitened" in data.names) == (size < 56) and len(data.names) == 4 + (size < 56)
    assert np.isclose(ours[-1], max(np.square(left.T @ e) / np.square(left).sum(axis=0)))


def test_whitened_kernel_is_partial_r2_and_a_single_latent_its_squared_r():
    data = problem("continuous", 60, 7, 0)
    null, full = (sm.OLS(data.e, x).fit() for x in (data.x, np.hstack([data.x, data.z])))
    assert data.names[4] == "whitened"
    assert np.isclose(kernel.kernels(data, data.e[None])[0, 4], 1 - full.ssr / null.ssr)
    binary = problem("binary", 60, 1, 0)
    fit = sm.OLS(binary.z[:, 0], binary.x).fit()
    top = (binary.e @ binary.z[:, 0]) ** 2 / fit.ssr
    assert np.isclose(kernel.kernels(binary, binary.e[None])[0, -1] * (binary.e @ binary.e), top)


def test_a_binary_score_that_a_confound_explains_well_keeps_its_level():
    """Weighted residuals, whose skewness follows the fitted mean, rejected 19 % here."""
    rng, hits, draws = np.random.default_rng(3), 0, 200
    for seed in range(draws):
        age = rng.normal(size=118)
        x, z = np.column_stack([np.ones(118), age]), rng.normal(size=(118, 8)) + 0.5 * age[:, None]
        y = (rng.random(118) < 1 / (1 + np.exp(3 - 3 * age))).astype(float)
        data = kernel.space(rao.fit_null("binary", y, x, None)[1], z, x)
        drawn = omnibus.permuted_statistics(data, ridge.folds(z, x, 0), np.zeros(118, int), 99, seed, 1)[0]
        hits += omnibus.kernel_test(drawn, kernel.kernels(data, data.e[None])[0])[0] <= 0.05
    assert hits <= stats.binom.ppf(0.9995, draws, 0.05)


@pytest.mark.parametrize(("kind", "size"), [("continuous", 6), ("count", 20), ("binary", 60)])
def test_p_is_uniform_under_the_null(kind: str, size: int):
    p = []
    for seed in range(100):
        data = problem(kind, 45, size, seed)
        parts = ridge.folds(data.z, data.x, seed)
        draws, r = omnibus.permuted_statistics(data, parts, np.zeros(45, int), 99, seed, 1)
        one = omnibus.kernel_test(draws, kernel.kernels(data, data.e[None])[0])[0]
        p.append((one, (1 + np.sum(r >= ridge.cross_fit(parts, data.e[None])[0])) / 100))
    for values in np.transpose(p):
        assert stats.kstest(values, "uniform").pvalue > 1e-3
        assert np.mean(values <= 0.05) <= stats.binom.ppf(0.999, 100, 0.05) / 100


@pytest.mark.parametrize("size", [32, 120])
@pytest.mark.parametrize("which", ["dense", "sparse"])
def test_the_combination_keeps_most_of_the_power_of_the_kernel_that_knows_the_truth(size: int, which: str):
    """Residual R2 .3, 100 people; dense: normal effects, for which the raw kernel is the locally most powerful."""
    found = []
    for seed in range(40):
        rng, effect = np.random.default_rng([9, seed]), np.zeros(size)
        if which == "dense":
            effect = rng.normal(size=size)
        else:
            effect[rng.integers(size)] = 1.0
        effect *= np.sqrt(0.3 / 0.7) / np.linalg.norm(effect * np.linspace(2, 0.5, size))
        data = problem("continuous", 100, size, seed, effect)
        draws = kernel.kernels(data, data.e[exchangeability.shuffle(np.zeros(100, int), 199, seed)])
        seen = kernel.kernels(data, data.e[None])[0]
        knows = 0 if which == "dense" else len(seen) - 1
        best = (1 + np.sum(draws[:, knows] >= seen[knows])) / 200
        found.append((omnibus.kernel_test(draws, seen)[0] <= 0.05, best <= 0.05))
    ours, oracle = np.sum(found, axis=0)
    assert oracle >= 16 and ours >= 0.8 * oracle


# --- the ridge ---


def scales(z: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
    """What the latents are multiplied by in each metric, written from scratch."""
    left = z - x @ np.linalg.lstsq(x, z, rcond=None)[0]
    found = {"raw": np.eye(z.shape[1]), "standardised": np.diag(1 / np.linalg.norm(left, axis=0))}
    if z.shape[1] < len(x) - x.shape[1]:
        value, vector = np.linalg.eigh(left.T @ left)
        found["whitened"] = vector / np.sqrt(value) @ vector.T
    return found


@pytest.mark.parametrize(
    ("size", "truth"), [(8, "broad"), (8, "narrow"), (8, "oblique"), (70, "broad"), (70, "narrow")]
)
def test_metric_and_weight_are_those_of_the_restricted_likelihood(size: int, truth: str):
    """The likelihood written out; it may be compared across metrics, since the fixed part is the same."""
    rng, spread = np.random.default_rng(3), np.geomspace(3, 0.1, size)
    x = np.column_stack([np.ones(50), rng.normal(size=(50, 3))])
    z = rng.normal(size=(50, size))
    matters = np.arange(size) < size // 4 if truth == "broad" else np.arange(size) >= size - size // 4
    e, z = z @ (rng.normal(size=size) * matters) + 0.5 * rng.normal(size=50), z * spread
    z = z @ np.linalg.qr(rng.normal(size=(size, size)))[0] if truth == "oblique" else z
    basis = np.linalg.svd(x)[0][:, 4:].T  # contrasts free of the confounds
    found = {}
    for name, scale in scales(z, x).items():
        moved, y = basis @ z @ scale, basis @ e
        for k in ridge.GRID * np.trace(moved.T @ moved) / np.linalg.matrix_rank(moved):
            v = np.eye(46) + moved @ moved.T / k
            found[name, k] = -46 * np.log(y @ np.linalg.solve(v, y)) - np.linalg.slogdet(v)[1]
    best, weight = max(found, key=lambda key: found[key])
    assert best in {"broad": ["raw"], "narrow": ["standardised", "whitened"], "oblique": ["whitened"]}[truth]
    beta, metric, k = ridge.direction(z, x, e)
    left, scale = z - x @ np.linalg.lstsq(x, z, rcond=None)[0], scales(z, x)[best]
    expected = scale @ Ridge(alpha=weight, fit_intercept=False).fit(left @ scale, e).coef_
    assert ridge.METRICS[metric] == best and np.allclose(beta, expected)
    assert np.allclose(ridge.fixed(z, x, e, metric, k), beta)


def test_a_latent_that_the_confounds_explain_is_not_blown_up():
    rng = np.random.default_rng(0)
    x, z = np.column_stack([np.ones(40), rng.normal(size=40)]), rng.normal(size=(40, 3))
    beta = [ridge.fixed(of, x, z[:, 0], 1, 1.0) for of in (z, np.column_stack([z, 1e3 + 10 * x[:, 1]]))]
    assert np.allclose(beta[1], [*beta[0], 0])


@pytest.mark.parametrize("size", [8, 70])
def test_cross_fit_is_a_ridge_fitted_fold_by_fold(size: int):
    data = problem("continuous", 50, size, 4, 0.2)
    parts = ridge.folds(data.z, data.x, 0)
    e = np.stack([data.e, data.e[np.random.default_rng(0).permutation(50)]])
    r, share = ridge.cross_fit(parts, e)
    for row in range(2):
        correlations, left, after = [], 0.0, 0.0
        for fold in parts:
            train, test = fold.train, fold.test
            assert not set(train) & set(test)
            gamma, eta = (np.linalg.lstsq(data.x[train], of[train], rcond=None)[0] for of in (e[row], data.z))
            beta = ridge.direction(data.z[train], data.x[train], e[row][train])[0]  # metric of these people alone
            predicted, truth = (data.z[test] - data.x[test] @ eta) @ beta, e[row][test] - data.x[test] @ gamma
            correlations.append(np.corrcoef(predicted, truth)[0, 1])
            left, after = left + truth @ truth, after + np.sum((truth - predicted) ** 2)
        assert np.isclose(r[row], np.mean(correlations)) and np.isclose(share[row], 1 - after / left)


@pytest.mark.parametrize("turned", [False, True])
def test_an_effect_on_axes_of_small_variance_is_found(turned: bool):
    """R2 .2 on the three smallest of six axes, 1 % of the variance; beside the F test, whose power is about .98."""
    found = []
    for seed in range(30):
        rng, x = np.random.default_rng([8, seed]), np.ones((100, 1))
        z = rng.normal(size=(100, 6))
        y, z = (
            z @ np.repeat([0, np.sqrt(0.2 / 3)], 3) + np.sqrt(0.8) * rng.normal(size=100),
            z * np.geomspace(3, 0.1, 6),
        )
        z = z @ np.linalg.qr(rng.normal(size=(6, 6)))[0] if turned else z
        null = rao.fit_null("continuous", y, x, None)[1]
        assert null is not None
        data = kernel.space(null, z, x)
        parts = ridge.folds(data.z, data.x, seed)
        draws, r = omnibus.permuted_statistics(data, parts, np.zeros(100, int), 199, seed, 1)
        one = omnibus.kernel_test(draws, kernel.kernels(data, data.e[None])[0])[0]
        p_r = (1 + np.sum(r >= ridge.cross_fit(parts, data.e[None])[0])) / 200
        f = sm.OLS(y, sm.add_constant(z)).fit().f_pvalue
        found.append((one <= 0.05, p_r <= 0.05, f <= 0.05))
    ours, along, oracle = np.sum(found, axis=0)
    assert oracle >= 24 and ours >= 0.8 * oracle and along >= 0.8 * oracle


def test_share_and_r_of_noise_are_about_zero_and_of_a_planted_effect_about_its_size():
    noise, planted = [], []
    for seed in range(60):
        for found, effect in ((noise, 0.0), (planted, 0.3)):
            data = problem("continuous", 80, 8, seed, effect)
            r, share = ridge.cross_fit(ridge.folds(data.z, data.x, seed), data.e[None])
            found.append((r[0], share[0]))
    r, share = np.mean(noise, axis=0)
    assert abs(r) < 3 * np.std([one for one, _ in noise]) / np.sqrt(60) + 0.02 and -0.2 < share < 0.01
    truth = 0.09 * np.sum(np.linspace(2, 0.5, 8) ** 2)
    assert abs(np.mean(planted, axis=0)[1] - truth / (1 + truth)) < 0.1


# --- the direction ---


def test_pattern_is_not_the_filter():
    """Haufe et al. 2014, section 2.2: z0 = signal + distractor, z1 = distractor."""
    rng = np.random.default_rng(5)
    signal, distractor = rng.normal(size=(2, 2000))
    z, x = np.column_stack([signal + distractor, distractor]), np.ones((2000, 1))
    found = rao.fit_null("continuous", signal + 0.1 * rng.normal(size=2000), x, None)[1]
    assert found is not None
    numbers = direction.directions(kernel.space(found, z, x), z, x, ["mu_000", "mu_001"], np.zeros(2000, int), 0)
    assert abs(numbers["mu_001"]["weight"] / numbers["mu_000"]["weight"]) > 0.6  # -1 per unit, / sqrt(2) per SD
    assert abs(numbers["mu_001"]["pattern"]) < 0.06 and abs(numbers["mu_000"]["pattern"] - np.sqrt(0.5)) < 0.05
    assert numbers["mu_001"]["pattern_low"] < 0 < numbers["mu_001"]["pattern_high"]
    assert numbers["mu_000"]["pattern_low"] > 0.6 and numbers["mu_000"]["same_sign"] == 1


def test_halves_tell_noise_from_a_direction():
    noise, planted = [], []
    for seed in range(10):
        for found, effect in ((noise, 0.0), (planted, 0.5)):
            data = problem("continuous", 80, 6, seed, effect)
            numbers = direction.directions(data, data.z, data.x, ["a", "b", "c", "d", "e", "f"], np.zeros(80, int), 0)
            found.append((numbers["a"]["stability"], numbers["a"]["halves"]))
    assert np.mean(planted, axis=0).min() > 0.9
    stability, halves = np.mean(noise, axis=0)
    assert abs(halves) < 0.25 and 0.5 < stability < 0.85  # as its docstring says


# --- tables, files, picture ---


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_is_found_and_signs_of_latents_change_nothing(kind: str):
    table = people(effect=1.0, n=100)
    rows, by_latent = omnibus.omnibus(table, [score(kind)], CONFOUNDS, 199, 0)
    assert rows[0]["p"] <= 0.02 and rows[0]["latents"] == 5 and rows[0]["partial_r2_cv"] > 0.05
    strongest = max(by_latent, key=lambda row: abs(row["pattern"]))
    assert strongest["latent"] == "mu_000" and strongest["pattern"] > 0.5 and strongest["p_r"] <= 0.02
    signs = np.array([-1, 1, -1, -1, 1])
    mu = [row["latent"] for row in by_latent]
    flipped, other = omnibus.omnibus(table.assign(**table[mu] * signs), [score(kind)], CONFOUNDS, 199, 0)
    for name in ("statistic", "p", "q", "partial_r2_cv"):
        assert np.isclose(flipped[0][name], rows[0][name])
    assert flipped[0]["ridge"] == rows[0]["ridge"]
    for sign, one, two in zip(signs, by_latent, other, strict=True):
        assert np.isclose(two["pattern"], sign * one["pattern"]) and np.isclose(two["weight"], sign * one["weight"])
        for name in ("r", "p_r", "stability", "halves", "same_sign"):
            assert np.isclose(two[name], one[name])


def _files(folder: Path, table: pd.DataFrame, verdict: str):
    table = table.assign(session=None, acquisition=None, run=None, scan=table["person"])
    mu = [name for name in table if name.startswith("mu_")]
    latents = table[["scan", "person", *mu]].assign(model="vae", fold=0, seed=0, split="test")
    cohort = table.drop(columns=[name for name in table if name.startswith(("mu_", "latents_"))])
    parts = {"cohort": cohort, "latents": latents, "qc": table[["scan"]].assign(excluded=False)}
    for name, part in parts.items():
        part.to_parquet(folder / f"{name}.parquet")
    (folder / "health.json").write_text(json.dumps({"verdict": verdict, "reason": "no active unit"}))
    given = {name: folder / f"{name}.parquet" for name in parts} | {"health": folder / "health.json"}
    return given | {"confounds": CONFOUNDS, "permutations": 100, "seed": 5}


def test_files_statuses_and_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(omnibus, "ELEMENTS", 2**11)
    table = people(n=60, size=70, sites="AB").assign(mu_003=0.0, flat=1.0)
    scores = [score("count"), {"name": "flat", "type": "continuous"}, score("binary")]
    given = _files(tmp_path, table, "overfit")
    for name, threads in (("a", 1), ("b", 2)):
        omnibus.run(
            **given,
            scores=scores,
            out=tmp_path / f"{name}.parquet",
            directions=tmp_path / f"{name}_d.parquet",
            threads=threads,
        )
    for stem in ("", "_d"):
        assert (tmp_path / f"a{stem}.tsv").read_bytes() == (tmp_path / f"b{stem}.tsv").read_bytes()
    rows, by_latent = (pd.read_parquet(tmp_path / f"a{stem}.parquet") for stem in ("", "_d"))
    assert list(rows.columns) == list(omnibus.COLUMNS) and list(by_latent.columns) == list(direction.DIRECTIONS)
    assert rows["status"].tolist() == ["ok", "constant score", "ok"] and len(by_latent) == 210
    assert set(by_latent.loc[by_latent["status"] == "ok", "metric"]) <= {"raw", "standardised"}  # 69 latents, 60 people
    assert rows["latents"].tolist()[0] == 69 and rows["family_size"].tolist() == [2, 2, 2]
    assert set(by_latent.loc[by_latent["latent"] == "mu_003", "status"]) == {"constant latent", "constant score"}
    assert set(rows["verdict"]) == set(by_latent["verdict"]) == {"overfit"}
    assert rows["exchangeability"].tolist()[0] == "people within site"
    picture.draw(
        omnibus=tmp_path / "a.parquet", directions=tmp_path / "a_d.parquet", name="vae", out=tmp_path / "a.png"
    )
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_a_collapsed_model_gives_one_row_and_a_picture_that_says_so(tmp_path: Path):
    given = _files(tmp_path, people(n=30), "collapsed")
    paths = {"out": tmp_path / "a.parquet", "directions": tmp_path / "d.parquet"}
    omnibus.run(**given, scores=[score("count")], **paths)
    for path in paths.values():
        row = pd.read_parquet(path).to_dict("records")
        assert len(row) == 1 and (row[0]["status"], row[0]["verdict"]) == ("not tested", "collapsed")
    picture.draw(omnibus=paths["out"], directions=paths["directions"], name="vae", out=tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()
