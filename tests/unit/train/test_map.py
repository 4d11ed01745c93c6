"""A map of latents: its grid, what each latent sees and draws, training, resume, and a local effect found in place."""

from pathlib import Path
from typing import Any

import collapse_models
import numpy as np
import pandas as pd
import pytest
import torch
from tiny import MASK, SETTINGS, SHAPE, cohort

from neurovae.io.volumes import masked
from neurovae.plan import latent_maps
from neurovae.preprocess import grid as boxes
from neurovae.stats import families, maxt, rao
from neurovae.train.engine.loop import one_cycle
from neurovae.train.models import map_grid, map_network, vae
from neurovae.train.models.network import VAE

WITH_MAP: dict[str, Any] = {
    **SETTINGS, "latents": "map", "map_mm": 32, "map_channels": 1, "n_global": 0, "linear": "none", "n_latent": None,
    "base_channels": 8, "dropout": 0.0, "flip": False, "mosaic": 0.5, "mosaic_mm": 60.0, "learning_rate_cycle": True,
}  # fmt: skip
MAP_KEYS = (
    "latents",
    "n_latent",
    "map_mm",
    "map_channels",
    "n_global",
    "linear",
    "mosaic",
    "mosaic_mm",
    "learning_rate_cycle",
)
PLANTED = np.array([5.5, 13.5, 5.5])  # voxels; the middle of a cell
SIDES = {4: (16, 24, 16), 8: (24, 32, 24), 16: (48, 64, 48)}  # voxels of a cell -> of the grid


def untrained(side: int, *, channels: int = 1, n_global: int = 0) -> tuple[VAE, np.ndarray]:
    """A network whose every weight is random, so that nothing cancels, and its mask."""
    mask = np.zeros(SIDES[side], bool)
    mask[tuple(slice(side // 2 + 1, length - side) for length in mask.shape)] = True  # cuts cells on every side
    points = map_grid.of_side(mask, side)
    sizes = {"channels": channels, "n_global": n_global, "base_channels": 4}
    torch.manual_seed(0)
    parts = map_network.Encoder(points, dropout=0.0, **sizes), map_network.Decoder(points, **sizes)
    n_latent = map_grid.size(points.exists, channels, n_global)
    model = (
        VAE(mask=torch.from_numpy(mask), n_latent=n_latent, base_channels=4, dropout=0.0, parts=parts).double().eval()
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model, mask


@pytest.mark.parametrize("voxel_mm", [4, 2])
@pytest.mark.parametrize("map_mm", [16, 32])
def test_the_plan_knows_the_points_in_the_brain(voxel_mm: float, map_mm: int) -> None:
    mask = boxes.brain_mask(voxel_mm)
    found = map_grid.grid(mask, map_mm)
    assert found.exists.sum() == latent_maps.POINTS[voxel_mm, map_mm]
    assert found.side * voxel_mm == map_mm and found.exists.shape == tuple(n // found.side for n in mask.shape)


def test_points_exist_where_their_cell_overlaps_the_mask_and_have_names_and_places() -> None:
    mask = boxes.brain_mask(4)
    found, affine = map_grid.grid(mask, 32), boxes.box(4)[1]
    for point in np.ndindex(found.exists.shape):
        cell = tuple(slice(8 * at, 8 * at + 8) for at in point)
        assert found.exists[point] == mask[cell].any()
    ids = map_grid.ids(found.exists, 2, 1)
    assert len(ids) == len(set(ids)) == map_grid.size(found.exists, 2, 1) == 2 * 121 + 1 and ids[-1] == "global_00"
    table = map_grid.places(mask, affine, {"side": 8, "channels": 2, "n_global": 1})
    at = table.iloc[ids.index("c1_i02_j03_k04")]
    assert [at["role"], at["channel"], at["i"], at["j"], at["k"]] == ["map", 1, 2, 3, 4]
    assert (at["x_mm"], at["radius_mm"]) == (0.0, 64.0)  # the middle of five cells is the midline
    inside = affine[:3, :3] @ [8 * 2 + 3.5, 8 * 3 + 3.5, 8 * 4 + 3.5] + affine[:3, 3]
    np.testing.assert_allclose(at[["x_mm", "y_mm", "z_mm"]].to_numpy(float), inside)
    assert table.iloc[-1]["role"] == "global" and table.iloc[-1].drop("role").isna().all()
    labels = np.where(np.indices(mask.shape)[0] < 20, 3, 7) * (np.indices(mask.shape)[2] < 30)
    named = {3: ("lower", "left"), 7: ("lower", "right")}
    regions = map_grid.regions(mask, labels, named, {"side": 8, "channels": 2, "n_global": 1})
    side = np.select([table["x_mm"] < 0, table["x_mm"] > 0], ["left lower", "right lower"], "lower")
    assert regions == [*np.where(table["k"][:-1] < 4, side[:-1], None), None]


@pytest.mark.parametrize("side", SIDES)
def test_a_latent_draws_up_to_its_radius_and_nothing_beyond(side: int) -> None:
    model, mask = untrained(side, channels=2)
    places = map_grid.places(mask, np.eye(4), {"side": side, "channels": 2, "n_global": 0})
    z = torch.zeros(1, len(places), dtype=torch.float64)
    for k in range(0, len(places), 7):
        with torch.no_grad():
            changed = (model.decode(z + torch.eye(len(places))[k]) - model.decode(z))[0, 0].numpy() != 0
        middle = places.loc[k, ["x_mm", "y_mm", "z_mm"]].to_numpy(float)
        distance = np.abs(np.argwhere(changed) - middle).max(axis=0)
        room = np.maximum(middle, np.array(mask.shape) - 1 - middle)  # as far as the volume goes
        np.testing.assert_array_equal(distance, np.minimum(places.loc[k, "radius_mm"] - 0.5, room))


@pytest.mark.parametrize("side", SIDES)
def test_a_latent_sees_a_region_and_an_input_outside_it_changes_nothing(side: int) -> None:
    model, mask = untrained(side)
    places = map_grid.places(mask, np.eye(4), {"side": side, "channels": 1, "n_global": 0})
    x = torch.randn(1, 1, *mask.shape, dtype=torch.float64, requires_grad=True)
    k = len(places) // 2
    mu, logvar = model.encode(x)
    (gradient,) = torch.autograd.grad(mu[0, k] + logvar[0, k], x)
    seen = np.argwhere(gradient[0, 0].numpy() != 0)
    middle = places.loc[k, ["x_mm", "y_mm", "z_mm"]].to_numpy(float)
    reach = np.abs(seen - middle).max()
    assert reach < places.loc[k, "radius_mm"] and np.abs(seen - middle).max(axis=0).min() > side / 2
    assert mask[tuple(seen.T)].all()  # nothing outside the mask is seen
    far = np.abs(np.indices(mask.shape) - middle[:, None, None, None]).max(axis=0) > reach
    other = torch.where(torch.from_numpy(far & mask), torch.randn_like(x), x)
    assert (other != x).any()
    with torch.no_grad():
        changed = [(a != b)[0] for a, b in zip(model.encode(other), (mu, logvar), strict=True)]
    assert not any(one[k] for one in changed) and changed[0].any()


def test_a_global_latent_sees_and_draws_the_whole_brain() -> None:
    model, mask = untrained(8, n_global=1)
    x = torch.randn(1, 1, *mask.shape, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.encode(x)[0][0, -1], x)
    assert (gradient[0, 0].numpy() != 0)[mask].mean() > 0.99
    z = torch.zeros(1, len(model.encode(x)[0][0]), dtype=torch.float64)
    with torch.no_grad():
        changed = model.decode(z + torch.eye(z.shape[1])[-1]) - model.decode(z)
    assert (changed[0, 0].numpy() != 0).mean() > 0.99


def test_an_untrained_network_gives_the_mean_and_embeds_a_scan_alone_as_in_a_batch() -> None:
    volumes, split = cohort()
    tensors, architecture, history = vae.fit(
        volumes, split, MASK, seed=0, device="cpu", **{**WITH_MAP, "epochs": 2, "learning_rate": 1e-12}
    )
    mean = masked(volumes[split == "training"], MASK).mean(axis=0)
    mu, _ = vae.embed(volumes, MASK, tensors, architecture)
    assert mu.shape == (24, architecture["n_latent"]) and mu.std() > 1e-3
    np.testing.assert_allclose(vae.reconstruct(mu, MASK, tensors, architecture), np.tile(mean, (24, 1)), atol=1e-4)
    alone = np.concatenate([vae.embed(volumes[[k]], MASK, tensors, architecture)[0] for k in (5, 2)])
    np.testing.assert_allclose(alone, mu[[5, 2]], atol=1e-5)
    assert architecture["latents"] == map_grid.ids(map_grid.of_side(MASK, 4).exists, 1, 0)
    assert [row["epoch"] for row in history[::3]] == [0, 1, 2]


def test_training_repeats_to_the_bit_and_goes_on_from_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes, split = cohort()
    options = {**WITH_MAP, "n_global": 1, "epochs": 4, "patience": 4}

    def fit(**more: Any) -> tuple[Any, ...]:
        return vae.fit(volumes, split, MASK, seed=3, device="cpu", **{**options, **more})

    def killed(rows: list[dict[str, Any]]) -> None:
        if rows[0]["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("neurovae.train.engine.checkpoint.EVERY", 0.0)
    whole, again = fit(), fit()
    with pytest.raises(KeyboardInterrupt):
        fit(state=tmp_path / "s", watch=killed)
    resumed = fit(state=tmp_path / "s")
    for other in (again, resumed):
        assert all(np.array_equal(whole[0][name], other[0][name]) for name in whole[0])
        assert pd.DataFrame(whole[2]).equals(pd.DataFrame(other[2])[list(whole[2][0])])


def test_people_who_are_not_trained_on_do_not_change_the_weights() -> None:
    volumes, split = cohort()
    options = {**WITH_MAP, "epochs": 2, "patience": 2}
    other = volumes.copy()
    other[split == "test"] = other[split == "test"][::-1] * 2
    fits = [vae.fit(one, split, MASK, seed=0, device="cpu", **options)[0] for one in (volumes, other)]
    assert all(np.array_equal(fits[0][name], fits[1][name]) for name in fits[0])


def test_a_learning_rate_cycle_rises_and_falls_to_nothing() -> None:
    rates = [one_cycle(k / 1000) for k in range(1001)]
    assert rates[0] == pytest.approx(0.04) and max(rates) == rates[300] == 1.0 and rates[-1] == pytest.approx(0)
    assert (np.diff(rates[:301]) > 0).all() and (np.diff(rates[300:]) < 0).all()
    assert rates[650] == pytest.approx(0.5)


def local(people: int = 70) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Volumes of people with smooth fields all over, split, and a score that darkens the surroundings of one point."""
    rng = np.random.default_rng(1)
    volumes, _ = cohort(people, seed=1)
    score = rng.normal(size=people)
    distance = np.linalg.norm(np.indices(SHAPE) - PLANTED[:, None, None, None], axis=0)
    planted = score[:, None, None, None] * np.exp(-((distance / 3) ** 2))
    noise = np.stack([rng.normal(size=SHAPE) for _ in range(people)]) * 0.3
    split = np.array(["training"] * (people - 30) + ["validation"] * 10 + ["test"] * 20)
    return np.where(MASK, volumes - planted + noise, 0).astype(np.float16), split, score


@pytest.fixture(scope="module")
def planted() -> tuple[dict[str, np.ndarray], dict[str, Any], np.ndarray, np.ndarray, np.ndarray]:
    """Weights and architecture of a network trained on the people of `local`, with these."""
    volumes, split, score = local()
    options = {**WITH_MAP, "epochs": 20, "patience": 20, "batch": 4, "learning_rate": 2e-3}
    tensors, architecture, _ = vae.fit(volumes, split, MASK, seed=0, device="cpu", **options)
    return tensors, architecture, volumes, split, score


def test_a_local_effect_is_found_where_it_was_planted(planted: tuple) -> None:
    tensors, architecture, volumes, _, score = planted
    mu = vae.embed(volumes, MASK, tensors, architecture)[0].astype(np.float64)
    at = map_grid.places(MASK, np.eye(4), architecture["map"])[["x_mm", "y_mm", "z_mm"]].to_numpy(float)
    ones = np.ones((len(score), 1))
    data = maxt.batch(mu, ones, [rao.null("continuous", score, ones, families.fit("continuous", score, ones, None))])
    observed = maxt.statistics(data, np.arange(len(score))[None])[0]
    _, p = maxt.maxt(observed, maxt.exceed([data], np.zeros(len(score), int), 999, 0)[0])
    best = np.abs(observed[0]).argmax()
    np.testing.assert_array_equal(at[best], PLANTED)
    far = np.abs(at - PLANTED).max(axis=1) > map_grid.reach(0)
    assert p[0, best] == 0.001 and far.sum() > 10 and p[0, far].min() > 0.05


def test_verdicts_hold_for_a_map() -> None:
    volumes = collapse_models.people(seed=3)
    options = {**collapse_models.VAE, **{key: WITH_MAP[key] for key in MAP_KEYS}, "epochs": 12, "learning_rate": 2e-3}
    trained = collapse_models.train("vae", options, volumes)
    assert collapse_models.judged(trained, volumes)["verdict"] == "healthy"
    assert collapse_models.judged(trained, volumes, shuffled=True)["verdict"] == "collapsed"
    crushed = collapse_models.train("vae", {**options, "epochs": 4, "beta": 1e6}, volumes)
    assert collapse_models.judged(crushed, volumes)["verdict"] == "collapsed"
