"""MDS, Isomap and LLE on planted shapes: what they keep, what they unroll, people not seen, batches, disk, refusals."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from scipy.stats import spearmanr
from shapes import FIELDS, MASK, SHAPE, spiral

from neurovae.errors import InputError
from neurovae.io.volumes import masked
from neurovae.train import weights
from neurovae.train.models import isomap, lle, manifold, mds, pca

KINDS: list[tuple[ModuleType, dict[str, Any]]] = [(mds, {}), (isomap, {"neighbours": 10}), (lle, {"neighbours": 10})]
Drawn = tuple[np.ndarray, np.ndarray]


def cohort(people: int = 60, seed: int = 0) -> Drawn:
    """Volumes of people who differ along six fields of falling size, and their splits."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(people, 6)) * [3.0, 2.5, 2.0, 0.8, 0.6, 0.4]
    volumes = 100 + np.tensordot(scores, FIELDS, 1) + 0.2 * rng.normal(size=(people, *SHAPE))
    split = np.array(["training", "training", "training", "validation", "test"] * (people // 5))
    return np.where(MASK, volumes, 0).astype(np.float16), split


def fitted(module: ModuleType, drawn: Drawn, **options: Any) -> tuple[weights.Tensors, dict[str, Any]]:
    tensors, architecture, history = module.fit(*drawn, MASK, seed=0, device="cpu", **options)
    assert history == []
    assert architecture["n_latent"] == options["n_latent"] and architecture["kl"] is False
    return tensors, architecture


def stress(positions: np.ndarray, distances: np.ndarray) -> float:
    return float(np.square(pdist(positions) - distances).sum() / np.square(distances).sum())


@pytest.mark.parametrize("flip", [True, False])
def test_coordinates_keep_every_distance_and_begin_with_the_scores_of_a_pca(flip: bool) -> None:
    volumes, split = cohort()
    tensors = manifold.gather(volumes, split, MASK, n_latent=3, flip=flip)
    known = manifold.training(tensors)
    assert len(known) == (72 if flip else 36)
    assert np.allclose(pdist(known), pdist(tensors["voxels"].astype(float)), rtol=1e-9)
    placed, x = manifold.place(volumes, MASK, tensors), masked(volumes, MASK).astype(float)
    assert np.allclose(cdist(placed, known), cdist(x, tensors["voxels"].astype(float)), rtol=1e-6, atol=1e-4)
    assert np.allclose(placed[split == "training"], known[:36], atol=1e-4)
    principal = pca.fit(volumes, split, MASK, seed=0, device="cpu", n_latent=3, flip=flip, blur=0)
    scores, _ = pca.embed(volumes, MASK, *principal[:2])
    signs = np.sign((scores * placed[:, :3]).sum(axis=0))
    assert np.allclose(scores, signs * placed[:, :3], atol=1e-3 * np.abs(scores).max())


def test_the_voxels_of_pca_scores_are_the_pca_s_own() -> None:
    volumes, split = cohort()
    tensors = manifold.gather(volumes, split, MASK, n_latent=3, flip=True)
    principal = pca.fit(volumes, split, MASK, seed=0, device="cpu", n_latent=3, flip=True, blur=0)
    components = manifold.decoder(tensors, tensors["coordinates"][:, :3])
    mu = manifold.place(volumes, MASK, tensors)[:, :3].astype(np.float32)
    ours = pca.reconstruct(mu, MASK, {"mean": tensors["mean"], "components": components}, {})
    theirs = pca.reconstruct(pca.embed(volumes, MASK, *principal[:2])[0], MASK, *principal[:2])
    assert np.allclose(ours, theirs, atol=1e-2)


def test_mds_lowers_the_stress_of_classical_scaling_and_keeps_unseen_people_s_distances() -> None:
    volumes, split = cohort()
    tensors, architecture = fitted(mds, (volumes, split), n_latent=3, flip=False)
    known = manifold.training(tensors)
    found, classical = (stress(positions, pdist(known)) for positions in (tensors["positions"], known[:, :3]))
    assert found < 0.8 * classical
    mu, logvar = mds.embed(volumes, MASK, tensors, architecture)
    assert np.isnan(logvar).all()
    seen, x = split == "training", masked(volumes, MASK).astype(float)
    moved = np.linalg.norm(mu[seen] - tensors["positions"], axis=1)
    assert moved.max() < 1e-3 * np.linalg.norm(tensors["positions"], axis=1).mean()
    scores, _ = pca.embed(volumes, MASK, *pca.fit(volumes, split, MASK, seed=0, device="cpu", n_latent=3, flip=False, blur=0)[:2])  # fmt: skip
    assert stress(mu[~seen], pdist(x[~seen])) < 0.8 * stress(scores[~seen], pdist(x[~seen]))
    assert np.corrcoef(pdist(mu[~seen]), pdist(x[~seen]))[0, 1] > 0.9
    assert mu[~seen].std() == pytest.approx(mu[seen].std(), rel=0.25)


def test_mds_puts_a_point_where_its_distances_are_met_exactly() -> None:
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(30, 3))
    positions -= positions.mean(axis=0)
    for point in (*rng.normal(size=(5, 3)), positions[4]):
        found = mds.add_point(np.linalg.norm(positions - point, axis=1), positions)
        assert np.allclose(found, point, atol=1e-8)


@pytest.mark.parametrize("module", [isomap, lle])
def test_a_spiral_is_unrolled_where_pca_fails(module: ModuleType) -> None:
    volumes, split, way = spiral()
    tensors, architecture = fitted(module, (volumes, split), n_latent=1, flip=False, neighbours=5)
    mu, _ = module.embed(volumes, MASK, tensors, architecture)
    principal = pca.fit(volumes, split, MASK, seed=0, device="cpu", n_latent=1, flip=False, blur=0)
    scores, _ = pca.embed(volumes, MASK, *principal[:2])
    for part in (split == "training", split == "test"):
        assert abs(spearmanr(mu[part, 0], way[part]).statistic) > 0.95
        assert abs(spearmanr(scores[part, 0], way[part]).statistic) < 0.6


@pytest.mark.parametrize(("module", "options"), KINDS)
def test_unseen_people_change_nothing_and_are_reconstructed(module: ModuleType, options: dict[str, Any]) -> None:
    volumes, split = cohort()
    noise = volumes.copy()
    unseen = split != "training"
    noise[unseen] = np.random.default_rng(1).normal(size=noise[unseen].shape)
    one, architecture = fitted(module, (volumes, split), n_latent=3, flip=True, **options)
    other, _ = fitted(module, (noise, split), n_latent=3, flip=True, **options)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    mu, _ = module.embed(volumes, MASK, one, architecture)
    x, x_hat = masked(volumes, MASK), module.reconstruct(mu, MASK, one, architecture)
    assert x_hat.shape == x.shape and x_hat.dtype == np.float32
    for part in (~unseen, unseen):
        assert 1 - np.square(x - x_hat)[part].sum() / np.square(x - one["mean"])[part].sum() > 0.3


@pytest.mark.parametrize(("module", "options"), KINDS)
def test_a_latent_depends_on_neither_batch_nor_disk(
    module: ModuleType, options: dict[str, Any], tmp_path: Path
) -> None:
    volumes, split = cohort()
    tensors, architecture = fitted(module, (volumes, split), n_latent=3, flip=True, **options)
    together, _ = module.embed(volumes, MASK, tensors, architecture)
    close = 1e-5 * np.abs(together).max()
    backwards, _ = module.embed(volumes[::-1], MASK, tensors, architecture)
    assert np.allclose(together, backwards[::-1], rtol=0, atol=close)
    crowd = volumes.copy()
    crowd[1:] = np.random.default_rng(2).normal(size=crowd[1:].shape)
    assert np.allclose(together[0], module.embed(crowd, MASK, tensors, architecture)[0][0], rtol=0, atol=close)
    for i in range(0, len(volumes), 7):
        alone, _ = module.embed(volumes[i : i + 1], MASK, tensors, architecture)
        assert np.allclose(together[i], alone[0], rtol=0, atol=close)
    weights.save(tmp_path / "w.safetensors", tensors, {"architecture": architecture})
    back, meta = weights.load(tmp_path / "w.safetensors")
    assert np.array_equal(together, module.embed(volumes, MASK, back, meta["architecture"])[0])
    again, _ = fitted(module, (volumes, split), n_latent=3, flip=True, **options)
    assert all(np.array_equal(tensors[name], again[name]) for name in tensors)


def test_a_model_is_not_mistaken_for_the_one_that_is_remembered() -> None:
    draws = [cohort(seed=seed) for seed in (0, 1)]
    models = [fitted(isomap, drawn, n_latent=2, flip=False, neighbours=6) for drawn in draws]
    once = [isomap.embed(drawn[0], MASK, *model)[0] for drawn, model in zip(draws, models, strict=True)]
    model = isomap.embedding(manifold.training(models[0][0]), n_latent=2, neighbours=6)
    assert isomap.embedding(manifold.training(models[0][0]), n_latent=2, neighbours=6) is model
    assert np.array_equal(isomap.embed(draws[1][0], MASK, *models[1])[0], once[1])
    assert np.array_equal(isomap.embed(draws[0][0], MASK, *models[0])[0], once[0])


@pytest.mark.parametrize(("module", "options"), KINDS[1:])
def test_how_far_the_map_moves_training_people(module: ModuleType, options: dict[str, Any]) -> None:
    volumes, split = cohort()
    tensors, architecture = fitted(module, (volumes, split), n_latent=3, flip=False, **options)
    mu, _ = module.embed(volumes[split == "training"], MASK, tensors, architecture)
    sizes = {"n_latent": 3, **options}
    positions = tensors["positions"] if module is lle else isomap.embedding(manifold.training(tensors), **sizes).embedding_  # fmt: skip
    moved = np.linalg.norm(mu - positions) / np.linalg.norm(positions)
    assert moved < (0.05 if module is lle else 1e-5)


@pytest.mark.parametrize("module", [isomap, lle])
def test_neighbours_that_cannot_be_are_refused(module: ModuleType) -> None:
    volumes, split = cohort()
    with pytest.raises(InputError, match="36 neighbours need more than 36 training scans.*found 36; lower neighbours"):
        fitted(module, (volumes, split), n_latent=3, flip=False, neighbours=36)
    apart = volumes.copy()
    apart[:25] += np.float16(200) * MASK
    with pytest.raises(InputError, match="the graph of 6 neighbours is in 2 pieces.*raise neighbours from 6"):
        fitted(module, (apart, split), n_latent=3, flip=False, neighbours=6)


@pytest.mark.parametrize(("module", "options"), KINDS)
def test_sizes_that_cannot_be_are_refused(
    module: ModuleType, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes, split = cohort()
    with pytest.raises(InputError, match="36 latents need more than 36 training scans, found 36; lower n_latent"):
        fitted(module, (volumes, split), n_latent=36, flip=True, **options)
    flat = np.tensordot(np.linspace(0, 1, 60)[:, None], FIELDS[:1], 1)
    with pytest.raises(InputError, match="differ in . directions only; lower n_latent from 5"):
        fitted(module, (flat, split), n_latent=5, flip=False, **options)
    monkeypatch.setattr(manifold, "MAX_SCANS", 70)
    with pytest.raises(InputError, match="72 training scans with mirror images are too many.*set flip: false or use"):
        fitted(module, (volumes, split), n_latent=3, flip=True, **options)


def test_more_latents_than_paths_have_directions_are_refused() -> None:
    volumes, split = cohort()
    with pytest.raises(InputError, match="paths over 6 neighbours have fewer than 35 directions; lower n_latent"):
        fitted(isomap, (volumes, split), n_latent=35, flip=False, neighbours=6)
