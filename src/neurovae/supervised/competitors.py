"""What other methods predict of left-out people: scores from the image, and the image from the scores."""

from typing import NamedTuple

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import RidgeCV

from neurovae.stats import reml_ridge, ridge_cca
from neurovae.stats.products import centred

RANK = 1e-10  # smallest eigenvalue over the largest
PENALTIES = 10.0 ** np.arange(-2.0, 6.0)  # of ridge from the scores, chosen by leaving one person out
FEWEST = 5  # people with a score, below which their mean is predicted
MOST = 5  # pairs of directions, and components


class Images(NamedTuple):
    """Images of one fold in principal coordinates of the others, about their mean: (people, coordinates)."""

    train: np.ndarray
    test: np.ndarray
    total: np.ndarray  # (test people,) squared distance from that mean, over all voxels


def coordinates(gram: np.ndarray, train: np.ndarray, test: np.ndarray) -> Images:
    """Coordinates of training and test scans from products of all scans (scans, scans)."""
    among, across = centred(gram, train, test)
    values, vectors = np.linalg.eigh(among)
    kept = values > RANK * values[-1]
    lengths, vectors = np.sqrt(values[kept]), vectors[:, kept]
    own = gram[test, test] - 2 * gram[np.ix_(test, train)].mean(axis=1) + gram[np.ix_(train, train)].mean()
    return Images(vectors * lengths, across @ (vectors / lengths), own)


def scores_from_image(images: Images, y: np.ndarray) -> dict[str, np.ndarray]:
    """Predicted scores (test people, scores) of each method, fitted on those whose score is known.

    y: scores of the training people (people, scores), NaN where missing; for canonical correlation, which needs all of
    them, missing ones count as the mean.
    """
    found = {"ridge on voxels": ridge(images.train, images.test, y),
             "PLS on voxels": np.tile(np.nanmean(y, axis=0), (len(images.test), 1))}  # fmt: skip
    for j in range(y.shape[1]):
        known = ~np.isnan(y[:, j])
        if known.sum() >= FEWEST and np.ptp(y[known, j]) > 0:
            fitted = PLSRegression(n_components=1, scale=False).fit(images.train[known], y[known, j])
            found["PLS on voxels"][:, j] = np.ravel(fitted.predict(images.test))
    standard, middle, spread = standardised(y)
    pairs = ridge_cca.fit(images.train, standard, min(MOST, y.shape[1]))
    found["CCA with ridge on voxels"] = middle + spread * pairs.y_from_x(images.test)
    return found


def ridge(train: np.ndarray, test: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ridge regression of each score (test people, scores), with its penalty by restricted maximum likelihood."""
    found = np.tile(np.nanmean(y, axis=0), (len(test), 1))
    for j in range(y.shape[1]):
        known = ~np.isnan(y[:, j]) & ~np.isnan(train).any(axis=1)
        if known.sum() >= FEWEST and np.ptp(y[known, j]) > 0:
            found[:, j] = reml_ridge.fit(train[known], y[known, j]).predict(test)
    return found


def image_from_scores(images: Images, y: np.ndarray, new: np.ndarray) -> dict[str, np.ndarray]:
    """Squared errors (test people,) of images that each method predicts from scores; missing ones count as the mean.

    Args:
        images: of `coordinates`.
        y, new: scores of training and test people (people, scores).
    """
    standard, middle, spread = standardised(y)
    given = np.nan_to_num((new - middle) / spread)
    methods = {"ridge": RidgeCV(PENALTIES), "PLS": PLSRegression(min(MOST, y.shape[1]), scale=False)}
    found = {name: np.asarray(method.fit(standard, images.train).predict(given)) for name, method in methods.items()}
    found["CCA with ridge"] = ridge_cca.fit(images.train, standard, min(MOST, y.shape[1])).x_from_y(given)
    return {name: images.total - 2 * (images.test * x).sum(axis=1) + np.square(x).sum(axis=1)
            for name, x in found.items()}  # fmt: skip


def standardised(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores in standard deviations from their mean, missing ones 0; means; deviations."""
    middle, spread = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return np.nan_to_num((y - middle) / spread), middle, spread
