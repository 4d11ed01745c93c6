"""Ridge on latents weighted by a power of their size in the image."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from neurovae import latents
from neurovae.io import latent_table
from neurovae.predict import linear
from neurovae.predict.features import LATENTS, Split, feature_maker, split_rows, weighted

PEOPLE, LATENT, VOXELS = 90, 50, 60


def images(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scans whose principal components have very different sizes: voxels, scores, sizes."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(VOXELS, LATENT)))[0].T
    scores = rng.normal(size=(PEOPLE, LATENT)) * np.geomspace(8, 0.05, LATENT)
    return scores @ axes, scores, scores.std(axis=0) / np.sqrt(VOXELS)


def split_of(scores: np.ndarray, size: np.ndarray | None) -> Split:
    rows = np.arange(PEOPLE)
    return split_rows(feature_maker(LATENTS, scores, []), rows, rows[30:], rows[:30], 3, 0, size)


@pytest.mark.parametrize("alpha", [1.0, 100.0])
def test_with_the_full_size_ridge_on_all_components_is_ridge_on_voxels(alpha: float) -> None:
    x, scores, _ = images(0)
    y = np.random.default_rng(1).normal(size=PEOPLE)
    size = scores[30:].std(axis=0) / np.sqrt(VOXELS)
    part, weights = weighted(split_of(scores, size), 1.0)
    assert np.isclose(np.mean(weights**2), 1)
    intercept, coef = linear.solve(False, linear.decompose(part.x_train), y[part.train][:, None], (1.0, alpha))
    voxels = x / np.sqrt(np.square(scores[30:].std(axis=0)).mean())
    ridge = Ridge(alpha).fit(voxels[part.train], y[part.train])
    np.testing.assert_allclose((intercept + part.x_test @ coef)[:, 0], ridge.predict(voxels[part.test]), atol=1e-6)


def test_the_power_is_chosen_within_training_people_and_for_each_target() -> None:
    """Scores of the large latents gain by the size; those of a single small latent lose nothing."""
    gained = []
    for seed in range(8):
        _, scores, size = images(seed)
        rng = np.random.default_rng([seed, 1])
        z = scores / scores.std(axis=0)
        y = np.column_stack([z[:, :3].sum(axis=1), 2 * z[:, -1]]) + rng.normal(size=(PEOPLE, 2))
        gained.append(_r2(split_of(scores, size), y) - _r2(split_of(scores, None), y))
        equal = linear.fitted(split_of(scores, np.full(LATENT, 2.0)), y, False)
        np.testing.assert_allclose(equal[1], linear.fitted(split_of(scores, None), y, False)[1], atol=1e-12)
    mean = np.mean(gained, axis=0)
    assert mean[0] > 0.1 and mean[1] > -0.05, mean


def _r2(split: Split, y: np.ndarray) -> np.ndarray:
    intercept, coef, _ = linear.fitted(split, y, False)
    error = np.square(y[split.test] - intercept - split.x_test @ coef).sum(axis=0)
    return np.asarray(1 - error / np.square(y[split.test] - y[split.train].mean(axis=0)).sum(axis=0))


def test_the_sizes_of_principal_components_are_their_standard_deviations() -> None:
    x, scores, size = images(4)
    mask = np.ones((VOXELS, 1, 1), bool)
    axes = np.linalg.lstsq(scores, x, rcond=None)[0].astype(np.float32)
    tensors = {"mean": np.zeros(VOXELS, np.float32), "components": axes}
    meta = {"kind": "pca", "architecture": {"n_latent": LATENT, "kl": False}}
    np.testing.assert_allclose(latents.sizes(scores, mask, tensors, meta), size, rtol=1e-4)


def test_unknown_sizes_are_not_used(tmp_path: Path) -> None:
    index = pd.DataFrame({"position": [1, 0], "size": [2.0, 1.0]})
    index.to_parquet(tmp_path / latent_table.INDEX)
    found = latent_table.sizes([tmp_path / latent_table.INDEX])
    assert found is not None and found[0].tolist() == [1.0, 2.0]
    index.assign(size=np.nan).to_parquet(tmp_path / latent_table.INDEX)
    assert latent_table.sizes([tmp_path / latent_table.INDEX]) is None and latent_table.sizes([]) is None
