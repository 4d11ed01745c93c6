"""Aligned latents and their tests: other implementations, closed forms, a planted effect, and nothing under the null."""

import warnings
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from scipy.stats import binom
from simulated_supervised import CONFOUNDS, cases, people
from sklearn.cross_decomposition import PLSRegression

from neurovae.stats.aligned import Direction, coefficients, decomposed, out_of_fold, partial_r
from neurovae.stats.basis import residual
from neurovae.stats.combine import exchangeable, ruger
from neurovae.stats.products import centred
from neurovae.stats.ridge import reml
from neurovae.supervised import inference, patterns
from neurovae.train.supervision import design


def directions(direction: Direction) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Voxels about their mean, score, design and the direction (voxels,) of all people."""
    table, x = people(60, 1, effect=0.3)
    x, y, c = x - x.mean(axis=0), table["score"].to_numpy(), design(table, CONFOUNDS)
    return x, y, c, x.T @ coefficients(decomposed(x @ x.T, c), y[None], direction)[0]


def test_ridge_is_the_primal_solution_at_its_own_weight() -> None:
    x, y, c, w = directions("ridge")
    axes = decomposed(x @ x.T, c)
    e = residual(y, c)
    k = float(reml(axes, (y @ axes.u)[None], np.array([e @ e]))[0][0])
    adjusted = residual(x, c)
    np.testing.assert_allclose(w, np.linalg.solve(adjusted.T @ adjusted + k * np.eye(x.shape[1]), adjusted.T @ e), rtol=1e-6, atol=1e-9)  # fmt: skip


def test_pls_is_that_of_scikit_learn_without_confounds() -> None:
    table, x = people(60, 2, effect=0.3)
    x, y = x - x.mean(axis=0), table["score"].to_numpy()
    w = x.T @ coefficients(decomposed(x @ x.T, np.ones((60, 1))), y[None], "pls")[0]
    expected = PLSRegression(n_components=1, scale=False).fit(x, y).predict(x).ravel() - y.mean()
    np.testing.assert_allclose(x @ w, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("direction", ["ridge", "pls"])
def test_many_draws_are_the_single_ones_and_the_score_of_test_people_is_not_used(direction: Direction) -> None:
    table, x = people(80, 3)
    data = cases(table, x)
    y = np.random.default_rng(0).normal(size=(4, 80))
    together = out_of_fold(data.gram, data.parts, y, direction)
    np.testing.assert_allclose(together[2], out_of_fold(data.gram, data.parts, y[2:3], direction)[0], rtol=1e-9)
    part, changed = data.parts[1], y.copy()
    changed[:, part.test] = 1e6
    again = out_of_fold(data.gram, data.parts, changed, direction)
    assert np.array_equal(together[:, part.test], again[:, part.test])
    assert not np.allclose(together[:, part.train], again[:, part.train])


def test_products_about_the_mean_of_the_training_people() -> None:
    x = np.random.default_rng(0).normal(3, 1, (9, 5))
    train, test = np.arange(6), np.arange(6, 9)
    among, across = centred((x - 1) @ (x - 1).T, train, test)
    mean = x[train].mean(axis=0)
    np.testing.assert_allclose(among, (x[train] - mean) @ (x[train] - mean).T, atol=1e-12)
    np.testing.assert_allclose(across, (x[test] - mean) @ (x[train] - mean).T, atol=1e-12)


def test_partial_correlation_is_that_of_residuals() -> None:
    rng = np.random.default_rng(1)
    z, y, x = (
        rng.normal(size=(1, 40)),
        rng.normal(size=(1, 40)),
        np.column_stack([np.ones(40), rng.normal(size=(40, 3))]),
    )
    expected = np.corrcoef(residual(z[0], x), residual(y[0], x))[0, 1]
    assert partial_r(z, y, x)[0] == pytest.approx(expected, abs=1e-12)


def test_combination_by_hand_and_under_full_dependence() -> None:
    p = np.array([0.5, 0.01, 0.02, 0.9, 0.03])
    assert ruger(p) == pytest.approx(5 / 3 * 0.03)
    # first 1: .5; 2: the 2nd of (.5, .01) = .5; 3: the 2nd of 3 = .02; 4: the 3rd of 4 = .5; 5: the 3rd of 5 = .03
    assert exchangeable(p) == pytest.approx(5 / 3 * 0.02)
    assert ruger(np.full(7, 0.04)) == pytest.approx(7 / 4 * 0.04) == exchangeable(np.full(7, 0.04))
    assert ruger(np.array([0.9])) == 0.9 and ruger(np.array([0.9, 0.8])) == 1.0
    rng = np.random.default_rng(2)
    draws = rng.uniform(size=(4000, 11)) * 0.3 + rng.uniform(size=(4000, 1)) * 0.7
    draws = np.argsort(np.argsort(draws, axis=0), axis=0) / 4000  # each uniform, dependent on each other
    for rule in (ruger, exchangeable):
        rejected = sum(rule(one) <= 0.05 for one in draws)
        assert rejected <= binom.ppf(0.995, 4000, 0.05)


def test_a_planted_effect_is_found_by_every_test() -> None:
    data = cases(*people(200, 4, effect=0.3))
    row = inference.permutation(data, "ridge", 199, 0)
    assert row["p_permutation"] == 1 / 200 and row["partial_r"] > 0.3
    z = out_of_fold(data.gram, data.parts, data.y[None], "ridge")[0]
    found = inference.interval(data, z, 200, 0)
    assert 0 < found["ci_low"] < row["partial_r"] < found["ci_high"] and found["effect_low"] > 0
    combined = inference.combined(inference.halves(data, "ridge", 10, 0), "splits")
    assert combined["splits"] == 10 and combined["p_splits"] <= combined["p_splits_ruger"] < 0.01


def test_under_the_null_the_tests_hold_and_the_in_sample_route_does_not() -> None:
    """40 cohorts of 90: at most the 99.5 % quantile of binomial(40, .05) = 6 rejections; in-sample all of them."""
    rejected = {"permutation": 0, "splits": 0, "in-sample": 0}
    for seed in range(40):
        table, x = people(90, 100 + seed)
        data = cases(table, x)
        rejected["permutation"] += inference.permutation(data, "ridge", 39, seed)["p_permutation"] <= 0.05
        splits = inference.combined(inference.halves(data, "ridge", 6, seed), "splits")
        rejected["splits"] += splits["p_splits"] <= 0.05
        z = data.gram @ coefficients(decomposed(data.gram, data.x), data.y[None], "pls")[0]
        r, df = float(partial_r(z[None], data.y[None], data.x)[0]), len(z) - data.x.shape[1] - 1
        rejected["in-sample"] += inference.one_sided(r, df) <= 0.05
    assert max(rejected["permutation"], rejected["splits"]) <= binom.ppf(0.995, 40, 0.05) == 6
    assert rejected["in-sample"] >= 39


def test_halves_hold_their_level_where_people_are_related() -> None:
    """Pairs correlated .9 in score and images, without any association; with both of a pair tested 12 % are rejected."""

    def p(seed: int) -> float:
        rng, family = np.random.default_rng(seed), np.arange(60) // 2
        x, y = (
            np.sqrt(0.9) * rng.normal(size=(30, *size))[family] + np.sqrt(0.1) * rng.normal(size=(60, *size))
            for size in ((3,), ())
        )
        related = inference.Cases(x @ x.T, y, np.ones((60, 1)), family % 5, [], np.zeros(60, int), family)
        return float(inference.halves(related, "pls", 1, seed)[0])

    assert np.sum([p(seed) <= 0.05 for seed in range(300)]) <= binom.ppf(0.995, 300, 0.05)


def test_a_fold_with_one_test_person_has_no_pattern_and_the_mean_is_over_the_others(tmp_path: Path) -> None:
    """The regression of each voxel on the latent by hand; the fold of one person is missing, without a warning."""
    rng, z = np.random.default_rng(0), np.random.default_rng(1).normal(size=21)
    volumes, brain = rng.normal(size=(21, 2, 2, 2)) + z[:, None, None, None], np.ones((2, 2, 2), bool)
    tests = [np.arange(10), np.arange(10, 20), np.array([20])]
    parts = [SimpleNamespace(test=rows) for rows in tests]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        maps = patterns.patterns(volumes, np.arange(21), brain, z, np.ones((21, 1)), parts)  # type: ignore[arg-type]
        nib.save(nib.Nifti1Image(brain.astype(np.float32), np.eye(4)), tmp_path / "mask.nii")
        patterns.write(
            tmp_path / "mean.nii", tmp_path / "sd.nii", tmp_path / "mask.nii", np.stack([maps, maps + np.nan])
        )
    unit = (z - z.mean()).std(ddof=1)
    slopes = [np.polyfit(z[rows], volumes[rows].reshape(len(rows), -1), 1)[0] * unit for rows in tests[:2]]
    np.testing.assert_allclose(maps[:2], slopes, rtol=1e-5)
    assert np.isnan(maps[2]).all() and list(patterns.known(maps)) == [True, True, False]
    mean = np.asarray(nib.load(tmp_path / "mean.nii").dataobj)
    np.testing.assert_allclose(mean[..., 0].ravel(), np.mean(slopes, axis=0), rtol=1e-5)
    assert np.isnan(mean[..., 1]).all()
