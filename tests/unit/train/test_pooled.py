"""Pooled components: eigenvectors of the explicit pooled matrix, the choice of its weight, and what a source must hold."""

from typing import Any

import numpy as np
import pytest
from tiny import MASK, SETTINGS, SHAPE, cohort

from neurovae.errors import InputError
from neurovae.export.source import Source
from neurovae.io.volumes import masked
from neurovae.train.engine.windows import axes, taper
from neurovae.train.models import autoencoder, localised_components, pca, pca_localised, source_covariance, vae
from neurovae.train.models.pooled_components import WEIGHTS, pooled
from neurovae.train.models.principal_components import principal
from neurovae.train.models.source_covariance import Covariance

SMALL = MASK & (np.indices(SHAPE).sum(axis=0) % 4 == 0)  # 648 voxels: few enough for a matrix of their pairs
AT = np.argwhere(SMALL)
FITTED: dict[str, Any] = {"seed": 0, "device": "cpu", "flip": False, "blur": 0.0}


def blocks(people: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Volumes of 64 blocks that vary on their own, the same blocks for every seed, and splits."""
    values = np.random.default_rng(seed).normal(size=(people, 4, 4, 4)) * np.geomspace(3, 0.1, 64).reshape(4, 4, 4)
    noise = 0.1 * np.random.default_rng(seed + 100).normal(size=(people, *SHAPE))
    volumes = np.where(MASK, np.kron(values, np.ones((1, 4, 6, 4))) + noise, 0).astype(np.float16)
    return volumes, cohort(people)[1]


def exported(
    kind: str, tensors: dict[str, np.ndarray], architecture: dict[str, Any], mask: np.ndarray = SMALL
) -> Source:
    """A model as its exported folder gives it."""
    people = {"training": 60, "validation": 20, "test": 20}
    meta = {"kind": kind, "architecture": architecture, "exported_from": "aa", "people": people, "fold": 0, "seed": 0}
    return Source(tensors, meta, {}, mask, "cc-by-4.0")


def larger(n_latent: int = 24, seed: int = 1, **options: Any) -> Source:
    """A PCA of 60 other people."""
    return exported("pca", *pca.fit(*blocks(100, seed), SMALL, **FITTED, n_latent=n_latent, **options)[:2])


def explicit(volumes: np.ndarray, rows: np.ndarray, source: Covariance, weight: float, length: float | None) -> Any:
    """Eigenvalues and eigenvectors (columns) of the pooled matrix in units of the own trace, largest first."""
    own = np.cov(masked(volumes[rows], SMALL).astype(np.float64), rowvar=False)
    own = own if length is None else own * taper(axes(SHAPE, length), AT, AT)
    theirs = source.components.T.astype(np.float64) @ np.diag(source.variances) @ source.components
    whole = np.trace(theirs) + source.left * len(theirs)
    values, vectors = np.linalg.eigh(np.trace(own) * (weight * theirs / whole + (1 - weight) * own / np.trace(own)))
    return values[::-1], vectors[:, ::-1]


@pytest.mark.parametrize("length", [None, 60.0])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_components_are_eigenvectors_of_the_pooled_matrix(weight: float, length: float | None) -> None:
    volumes, split = blocks(24, 0)
    rows, none = np.flatnonzero(split == "training"), np.array([], dtype=int)
    source = source_covariance.of(larger(), SMALL)
    tapers = ["none"] if length is None or weight == 1 else [length]
    options: dict[str, Any] = {"n_latent": 10, "flip": False, "blur": 0.0, "tapers": tapers, "weights": [weight]}
    found = pooled(volumes, rows, none, SMALL, source, **options).principal
    values, vectors = explicit(volumes, rows, source, weight, length if weight < 1 else None)
    assert np.allclose(found.components @ found.components.T, np.eye(10), atol=1e-4)
    captured = np.square((found.components @ vectors) * np.sqrt(values.clip(min=0))).sum()
    assert captured == pytest.approx(values[:10].sum(), rel=1e-3 if length is None else 0.01)
    assert np.allclose(np.abs(np.sum(found.components[:3].T * vectors[:, :3], axis=0)), 1, atol=0.02)
    assert np.allclose(found.variances[:5], values[:5], rtol=0.01)
    assert found.variances.sum() + found.left * len(AT) == pytest.approx(
        np.var(masked(volumes[rows], SMALL).astype(float), axis=0, ddof=1).sum(), rel=1e-4
    )
    if weight == 0 and length is None:
        plain = principal(volumes, rows, SMALL, n_latent=10, flip=False, blur=0.0)
        assert np.allclose(found.components, plain.components, atol=1e-4)
        assert np.allclose(found.variances, plain.variances, rtol=1e-4) and found.left == pytest.approx(plain.left)
    if weight == 1:
        assert np.allclose(np.abs(found.components @ source.components[:10].T), np.eye(10), atol=1e-3)


def test_the_weight_does_not_depend_on_units_and_mirror_images_and_blurred_copies_count_as_in_a_pca() -> None:
    volumes, split = blocks(24, 0)
    rows, none = np.flatnonzero(split == "training"), np.array([], dtype=int)
    source = source_covariance.of(larger(), SMALL)
    options: dict[str, Any] = {"n_latent": 8, "flip": False, "blur": 12.0, "weights": [0.5]}
    one = pooled(volumes, rows, none, SMALL, source, **options).principal
    louder = Covariance(source.components, 9 * source.variances, 9 * source.left)
    other = pooled(volumes, rows, none, SMALL, louder, **options).principal
    assert np.allclose(one.components, other.components, atol=1e-4)
    assert np.allclose(one.variances, other.variances, rtol=1e-4)
    for flip, blur in ((True, 0.0), (False, 12.0)):
        alone = pooled(volumes, rows, none, SMALL, source, n_latent=8, flip=flip, blur=blur, weights=[0.0]).principal
        plain = principal(volumes, rows, SMALL, n_latent=8, flip=flip, blur=blur)
        assert np.allclose(np.abs(np.sum(alone.components * plain.components, axis=1)), 1, atol=1e-3)
        assert np.allclose(alone.variances, plain.variances, rtol=1e-3)


def test_the_validation_people_choose_the_weight_and_test_people_have_no_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    volumes, split = blocks(24, 0)
    tensors, architecture, _ = pca.fit(volumes, split, SMALL, **FITTED, n_latent=12, source=larger())
    assert architecture["source_weight"] >= 0.5 and architecture["source"]["people"]["training"] == 60
    assert "start_from: weight 0.5, taper_mm none: variance explained 0." in capsys.readouterr().out
    own, _, _ = pca.fit(volumes, split, SMALL, **FITTED, n_latent=12)
    test = masked(volumes[split == "test"], SMALL) - own["mean"]
    shares = [
        1 - np.square(test - test @ c.T @ c).sum() / np.square(test).sum()
        for c in (own["components"], tensors["components"])
    ]
    assert shares[1] > shares[0] + 0.02
    noise = np.linalg.qr(np.random.default_rng(0).normal(size=(len(AT), 24)))[0].T.astype(np.float32)
    useless = larger()
    useless.tensors["components"] = noise
    assert pca.fit(volumes, split, SMALL, **FITTED, n_latent=12, source=useless)[1]["source_weight"] == 0
    volumes[split == "test"] = 7
    again, same, _ = pca.fit(volumes, split, SMALL, **FITTED, n_latent=12, source=larger())
    assert same == architecture and all(np.array_equal(again[name], tensors[name]) for name in tensors)


def test_localised_components_choose_weight_and_taper_together_on_a_fine_grid_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    volumes, split = blocks(24, 0)
    source = exported("pca", *pca.fit(*blocks(100, 1), MASK, **FITTED, n_latent=30)[:2], MASK)
    options: dict[str, Any] = {**FITTED, "n_latent": 30, "taper_mm": ["none", 60.0], "source": source}
    whole, architecture, _ = pca_localised.fit(volumes, split, MASK, **options)
    assert 0 < architecture["source_weight"] < 1 and whole["components"].shape == (30, MASK.sum())
    monkeypatch.setattr(localised_components, "COARSE", 20.0)  # of voxels of 10 x 8 x 10 mm every second one
    carried, chosen, _ = pca_localised.fit(volumes, split, MASK, **options)
    assert chosen["source_weight"] == pytest.approx(architecture["source_weight"], abs=0.25)
    assert carried["variances"].sum() == pytest.approx(whole["variances"].sum(), rel=0.05)


@pytest.mark.parametrize("rotate", ["none", "varimax"])
def test_weights_give_back_their_covariance(rotate: str) -> None:
    volumes, split = cohort(40)
    plain = principal(volumes, np.flatnonzero(split == "training"), SMALL, n_latent=3, flip=False, blur=0.0)
    linear = {**SETTINGS, "flip": False, "n_latent": 3, "epochs": 1, "rotate": rotate, "sigma": "learned"}
    alone = {key: value for key, value in linear.items() if key not in ("divergence", "beta")}
    fits: dict[str, Any] = {
        "pca": (pca, {**FITTED, "n_latent": 3, "rotate": rotate}),
        "pca_localised": (pca_localised, {**FITTED, "n_latent": 3, "rotate": rotate, "taper_mm": ["none"]}),
        "vae": (vae, {"seed": 0, "device": "cpu", **linear}),
        "autoencoder": (autoencoder, {"seed": 0, "device": "cpu", **alone}),
    }
    for kind, (module, options) in fits.items():
        mask = SMALL if kind.startswith("pca") else MASK
        expected = principal(volumes, np.flatnonzero(split == "training"), mask, n_latent=3, flip=False, blur=0.0)
        tensors, architecture, _ = module.fit(volumes, split, mask, **options)
        found = source_covariance.of(exported(kind, tensors, architecture, mask), mask)
        assert np.allclose(np.abs(np.sum(found.components * expected.components, axis=1)), 1, atol=1e-4), kind
        assert np.allclose(found.variances, expected.variances, rtol=1e-3) and found.left == pytest.approx(
            expected.left
        )
    assert plain.left > 0


def test_a_vae_starts_at_the_pooled_linear_part_and_at_the_network_of_its_own_kind() -> None:
    volumes, split = cohort(40)
    target, target_split = cohort(20, seed=5)
    first = {**SETTINGS, "flip": False, "epochs": 6, "patience": 6, "learning_rate": 0.003}
    tensors, architecture, _ = vae.fit(volumes, split, MASK, seed=0, device="cpu", **first)
    source = exported("vae", tensors, architecture, MASK)
    still = {**first, "learning_rate": 1e-12, "epochs": 1}
    tuned, found, _ = vae.fit(target, target_split, MASK, seed=0, device="cpu", source=source, **still)
    assert found["source_network"] and found["source_weight"] == 1 and found["left"] == architecture["left"]
    unlike = [name for name in tensors if not np.allclose(tuned[name], tensors[name], atol=1e-6)]
    assert unlike == ["mean"]  # of the people here
    other = {**still, "base_channels": 6}
    begun, found, _ = vae.fit(target, target_split, MASK, seed=0, device="cpu", source=source, **other)
    assert not found["source_network"] and begun["outward"].shape == tensors["outward"].shape
    local = {**still, "network": "local", "linear": "localised", "taper_mm": [60.0], "dropout": 0.0}
    tensors, architecture, _ = vae.fit(volumes, split, MASK, seed=0, device="cpu", **{**local, "learning_rate": 0.01})
    source = exported("vae", tensors, architecture, MASK)
    wider = {**local, "n_latent": 5, "cross_fit": 2}
    tuned, found, _ = vae.fit(target, target_split, MASK, seed=0, device="cpu", source=source, **wider)
    assert found["source_network"] and len(tuned["outward"]) == 5
    decoder = [name for name in tensors if name.startswith("decoder.")]
    assert all(np.allclose(tuned[name], tensors[name], atol=1e-6) for name in decoder)


def test_what_cannot_be_pooled_is_refused_by_name() -> None:
    volumes, split = blocks(24, 0)
    old = larger()
    del old.meta["architecture"]["left"]
    with pytest.raises(InputError, match="this pca holds no variances .* earlier version of neurovae"):
        pca.fit(volumes, split, SMALL, **FITTED, n_latent=4, source=old)
    old.meta["kind"] = "vae"
    with pytest.raises(InputError, match="this vae .* linear: pca or localised"):
        pca.fit(volumes, split, SMALL, **FITTED, n_latent=4, source=old)
    old.meta["kind"] = "isomap"
    with pytest.raises(InputError, match="this isomap holds no variances"):
        pca.fit(volumes, split, SMALL, **FITTED, n_latent=4, source=old)
    with pytest.raises(InputError, match=r"mask has 648 voxels on a grid of .* run's 2592 on"):
        pca.fit(volumes, split, MASK, **FITTED, n_latent=4, source=larger())
    few = {**FITTED, "n_latent": 40, "source": larger(4)}
    with pytest.raises(
        InputError, match="n_latent is 40, but the source has 4 components and 15 training scans have 14"
    ):
        pca.fit(volumes, split, SMALL, **few)
    nobody = np.where(split == "validation", "test", split)
    with pytest.raises(InputError, match="weight of the source is to be chosen, but nobody is in validation"):
        pca.fit(volumes, nobody, SMALL, **FITTED, n_latent=4, source=larger())
