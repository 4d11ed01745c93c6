"""Varimax: planted axes come back, the space stays, and a VAE's posterior is rotated as its covariance is."""

import numpy as np
import pytest
from scipy.stats import ortho_group
from tiny import LINEAR, MASK, SETTINGS, cohort

from neurovae.train.models import pca, pca_localised, vae
from neurovae.train.models.rotation import posterior, varimax


def test_planted_axes_that_concern_few_voxels_each_are_found() -> None:
    sparse = np.zeros((5, 400))
    for k in range(5):
        sparse[k, 80 * k : 80 * k + 60 - 8 * k] = 1.0  # latent 0 explains most
    mixed = ortho_group.rvs(5, random_state=0) @ sparse
    rotation = varimax(mixed)
    assert np.allclose(rotation.T @ rotation, np.eye(5), atol=1e-9)
    assert np.allclose(rotation.T @ mixed, sparse, atol=1e-4)


def test_the_posterior_s_variances_are_those_of_the_rotated_covariance() -> None:
    rng = np.random.default_rng(0)
    mu, logvar, rotation = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), ortho_group.rvs(4, random_state=1)
    means, logs = posterior(mu, logvar, rotation)
    assert np.allclose(means, mu @ rotation)
    for one, log in zip(logvar, logs, strict=True):
        assert np.allclose(np.exp(log), np.diag(rotation.T @ np.diag(np.exp(one)) @ rotation))


@pytest.mark.parametrize("kind", ["pca", "pca_localised", "vae"])
def test_a_rotated_model_reconstructs_the_same(kind: str) -> None:
    volumes, split = cohort()
    module, options = {
        "pca": (pca, LINEAR),
        "pca_localised": (pca_localised, {"n_latent": 3, "flip": False, "blur": 0.0, "taper_mm": ["none"]}),
        "vae": (vae, {**SETTINGS, "epochs": 1}),
    }[kind]
    plain, turned = (
        module.fit(volumes, split, MASK, seed=0, device="cpu", **options, rotate=how)[:2] for how in ("none", "varimax")
    )
    embedded = [module.embed(volumes, MASK, *model)[0] for model in (plain, turned)]
    x_hat = [module.reconstruct(mu, MASK, *model) for mu, model in zip(embedded, (plain, turned), strict=True)]
    assert np.allclose(x_hat[0], x_hat[1], atol=1e-4) and not np.allclose(embedded[0], embedded[1], atol=0.05)
    assert np.allclose(np.linalg.norm(embedded[0], axis=1), np.linalg.norm(embedded[1], axis=1), rtol=1e-4)
