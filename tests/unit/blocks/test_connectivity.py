"""Connectivity: numpy's correlations, nilearn's tangent space, and what training people alone decide."""

import numpy as np
import pytest
from nilearn.connectome import ConnectivityMeasure
from sklearn.covariance import ledoit_wolf

from neurovae.blocks import connectivity

LOWER = np.tril_indices(6, -1)


def courses(seed: int, n: int = 150, p: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 2)) @ np.random.default_rng(99).normal(size=(2, p)) + rng.normal(size=(n, p))
    return (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)


def correlation(matrix: np.ndarray) -> np.ndarray:
    spread = np.sqrt(np.diag(matrix))
    return matrix / np.outer(spread, spread)


def test_correlation_is_that_of_the_shrunk_covariance():
    expected = correlation(ledoit_wolf(courses(0))[0])[LOWER]
    np.testing.assert_allclose(connectivity.vector(courses(0), "correlation", False), expected, rtol=1e-5)
    np.testing.assert_allclose(connectivity.vector(courses(0), "correlation", True), np.arctanh(expected), rtol=1e-5)


def test_partial_correlation_is_that_of_the_inverse():
    precision = np.linalg.inv(ledoit_wolf(courses(0))[0])
    expected = -correlation(precision)[LOWER]
    np.testing.assert_allclose(connectivity.vector(courses(0), "partial", False), expected, rtol=1e-4, atol=1e-6)


def test_masked_parcels_have_no_connections_and_change_no_other():
    values = courses(0)
    whole = connectivity.vector(values[:, [0, 1, 2, 4, 5]], "correlation", True)
    values[:, 3] = np.nan
    found = connectivity.vector(values, "correlation", True)
    first, second = connectivity.pairs(6, False)
    of_masked = (first == 3) | (second == 3)
    assert np.isnan(found[of_masked]).all() and of_masked.sum() == 5
    np.testing.assert_array_equal(found[~of_masked], whole)


def test_a_parcel_that_one_of_several_runs_lacks_is_masked():
    values = courses(0)
    whole = connectivity.vector(values[:, [0, 1, 2, 4, 5]], "correlation", True)
    values[:70, 3] = np.nan
    found = connectivity.vector(values, "correlation", True)
    first, second = connectivity.pairs(6, False)
    np.testing.assert_array_equal(np.isnan(found), (first == 3) | (second == 3))
    np.testing.assert_array_equal(found[~np.isnan(found)], whole)


def test_tangent_space_equals_nilearns():
    people = [courses(seed) for seed in range(12)]
    measure = ConnectivityMeasure(kind="tangent", vectorize=True, standardize=False)
    measure.fit(people[:8])
    vectors = np.array([connectivity.vector(one, "tangent", True) for one in people])
    whitening = connectivity.reference(vectors[:8].astype(np.float64))
    np.testing.assert_allclose(whitening, measure.whitening_, atol=1e-5)
    np.testing.assert_allclose(connectivity.tangent(vectors, whitening), measure.transform(people), atol=1e-5)


def test_reference_itself_is_the_origin():
    vectors = np.array([connectivity.vector(courses(seed), "tangent", True) for seed in range(8)], np.float64)
    whitening = connectivity.reference(vectors)
    mean = np.linalg.inv(whitening @ whitening)
    origin = connectivity.tangent(mean[np.tril_indices(6)][None], whitening)
    np.testing.assert_allclose(origin, 0, atol=1e-8)
    np.testing.assert_allclose(connectivity.tangent(vectors, whitening).mean(axis=0), 0, atol=1e-4)


def test_matrices_undo_the_triangle():
    matrix = np.cov(courses(3).T)
    np.testing.assert_array_equal(
        connectivity.matrices(matrix[np.tril_indices(6)][None])[0], np.tril(matrix) + np.tril(matrix, -1).T
    )


@pytest.mark.parametrize(("diagonal", "count"), [(False, 15), (True, 21)])
def test_pairs(diagonal, count):
    first, second = connectivity.pairs(6, diagonal)
    assert len(first) == count and (first >= second).all()
