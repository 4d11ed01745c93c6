"""The local network: what it corrects and sees, cross-fitting, and a nonlinear effect that it adds to a linear part."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import MASK, SETTINGS, SHAPE, cohort

from neurovae.errors import InputError
from neurovae.io.volumes import masked
from neurovae.plan import config, entries
from neurovae.train.engine import loop
from neurovae.train.engine.data import gather
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.models import local_network, principal_components, vae
from neurovae.train.models.network import VAE

LOCAL: dict[str, Any] = {
    **SETTINGS, "network": "local", "cross_fit": 3, "dropout": 0.0, "noise": 0.0, "flip": False,
    "learning_rate": 3e-3, "learning_rate_cycle": True,
}  # fmt: skip


def test_before_training_the_model_is_its_linear_part() -> None:
    volumes, split = cohort()
    tensors, architecture, history = vae.fit(
        volumes, split, MASK, seed=0, device="cpu", **{**LOCAL, "learning_rate": 1e-12}
    )
    dense = vae.fit(volumes, split, MASK, seed=0, device="cpu", **{**LOCAL, "network": "dense", "learning_rate": 1e-12})
    mu = vae.embed(volumes, MASK, tensors, architecture)
    np.testing.assert_allclose(mu, vae.embed(volumes, MASK, *dense[:2]), atol=1e-5)
    decoded = vae.reconstruct(mu[0], MASK, tensors, architecture)
    np.testing.assert_allclose(decoded, vae.reconstruct(mu[0], MASK, *dense[:2]), atol=1e-5)
    np.testing.assert_array_equal(decoded, vae.reconstruct(mu[0], MASK, vae.linear_only(tensors), architecture))
    assert architecture["network"] == "local" and {row["epoch"] for row in history} == {0, 1, 2, 3}


@pytest.mark.parametrize("shape", [(40, 48, 40), (80, 96, 80)])
def test_a_correction_sees_16_mm_and_nothing_beyond(shape: tuple[int, int, int]) -> None:
    """4 and 2 mm: with every weight random, a change of the linear part reaches the voxels around it only."""
    torch.manual_seed(0)
    _, decoder = local_network.parts(shape, 2, 2)
    decoder = decoder.double()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    given = torch.randn(1, 3, *shape, dtype=torch.double)
    changed = given.clone()
    at = [side // 2 for side in shape]
    changed[0, 0, at[0], at[1], at[2]] += 1
    with torch.no_grad():
        moved = np.argwhere((decoder(given) != decoder(changed))[0, 0].numpy())
    farthest = np.abs(moved - at).max() * 4 * 40 / shape[0]
    assert 12 <= farthest <= 18 and len(moved) > 100


def test_a_plain_pca_is_no_choice_where_cross_fitting_leaves_too_few_people() -> None:
    """12 latents of 16 training scans, of which 12 are left without a group."""
    volumes, split = cohort()
    training = int((split == "training").sum())
    fewest = vae._fewest(split, None, 4)
    assert fewest == training - -(-training // 4) and vae._fewest(split, None, 0) is None
    options = {**LOCAL, "linear": "localised", "taper_mm": ["none", 60], "epochs": 1, "patience": 1, "cross_fit": 4}
    taper = {}
    for n_latent in (3, fewest):
        given = {**options, "n_latent": n_latent, "blur": 0.0}
        taper[n_latent] = vae.fit(volumes, split, MASK, seed=0, device="cpu", **given)[1]["taper_mm"]
    assert taper == {3: "none", fewest: 60}


def test_the_dry_run_counts_those_left_in_cross_fitting() -> None:
    model = {"name": "v", "kind": "vae", "linear": "pca", "n_latent": 60}
    section = config.validate(
        {"cohort": {"name": "a", "bids": "b"}, "train": {"models": [model]}}, config.load_schema()
    )
    found = entries.models(section["train"], section["cohort"])
    assert "only about 52 people are left to train on in cross-fitting" in entries.impossible(section, found, 100)[0]
    assert not entries.impossible(section, found, 130)


def test_groups_keep_the_scans_of_a_person_together_and_are_of_about_equal_size() -> None:
    people = np.repeat([f"sub-{k:02d}" for k in range(22)], 2)
    group = vae.groups(people, 4)
    assert pd.Series(group).groupby(people).nunique().eq(1).all()
    assert sorted(np.bincount(group)) == [10, 10, 12, 12]
    np.testing.assert_array_equal(group, vae.groups(people, 4))


def test_cross_fitting_leaves_each_group_out_of_the_linear_part_that_it_is_trained_with() -> None:
    volumes, split = cohort()
    people = np.array([f"p{k // 2}" for k in range(len(split))])
    hp = Hyperparameters(**LOCAL)
    model = VAE(
        mask=torch.from_numpy(MASK),
        n_latent=3,
        base_channels=4,
        dropout=0.0,
        parts=local_network.parts(SHAPE, 3, 4),
        corrects=True,
    )
    chosen = vae._start(model, volumes, split, MASK, hp)
    group = vae._cross_fit(model, volumes, split, people, MASK, hp, chosen)
    training = split == "training"
    assert (group[~training] == -1).all() and len(model.without) == 3
    x = torch.from_numpy(volumes.astype(np.float32))[:, None]
    for one in range(3):
        own = principal_components.principal(
            volumes, np.flatnonzero(training & (group != one)), MASK, n_latent=3, flip=False, blur=0.0
        )
        scale = np.sqrt(own.variances) / (own.variances + 1)
        expected = (masked(volumes, MASK) - model.mean.numpy()[MASK]) @ (own.components * scale[:, None]).T
        model.group = one
        with torch.no_grad():
            np.testing.assert_allclose(model.encode(x)[0].numpy(), expected, atol=1e-4)
            decoded = model.decode(torch.eye(3))[:, 0].numpy()[:, MASK] - model.mean.numpy()[MASK]
        np.testing.assert_allclose(decoded, own.components * np.sqrt(own.variances)[:, None], atol=1e-5)
    data = gather(volumes, split, MASK, torch.device("cpu"), 0, 1, group)
    order = loop._order(data, hp, (0, 1))
    assert sorted(np.concatenate(order)) == list(np.flatnonzero(training))
    assert all(len(set(group[rows])) == 1 for rows in order)


def test_training_repeats_to_the_bit_and_goes_on_from_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes, split = cohort()

    def fit(**more: Any) -> tuple[Any, ...]:
        return vae.fit(volumes, split, MASK, seed=3, device="cpu", **{**LOCAL, **more})

    def killed(rows: list[dict[str, Any]]) -> None:
        if rows[0]["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("neurovae.train.engine.checkpoint.EVERY", 0.0)
    whole, other = fit(), volumes.copy()
    with pytest.raises(KeyboardInterrupt):
        fit(state=tmp_path / "s", watch=killed)
    other[split == "test"] *= 2  # people who are not trained on
    for again in (fit(state=tmp_path / "s"), vae.fit(other, split, MASK, seed=3, device="cpu", **LOCAL)):
        assert all(np.array_equal(whole[0][name], again[0][name]) for name in whole[0])


def bent(people: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """People whose smooth fields are seen through a nonlinear curve, and their splits."""
    rng = np.random.default_rng(2)
    volumes, _ = cohort(people, seed=2)
    wide = np.where(volumes > 1.3, 1.3 + 3 * (volumes - 1.3), volumes) + 0.05 * rng.normal(size=volumes.shape)
    split = np.array(["training"] * (people - 25) + ["validation"] * 5 + ["test"] * 20)
    return np.where(MASK, wide, 0).astype(np.float16), split


def test_the_network_adds_what_a_linear_part_cannot_draw() -> None:
    """In every person of the test set but few; the latents are the linear ones."""
    volumes, split = bent()
    options = {**LOCAL, "base_channels": 8, "epochs": 25, "patience": 25, "sigma": 0.3}
    tensors, architecture, _ = vae.fit(volumes, split, MASK, seed=0, device="cpu", **options)
    test = volumes[split == "test"]
    mu, _ = vae.embed(test, MASK, tensors, architecture)
    np.testing.assert_allclose(mu, vae.embed(test, MASK, vae.linear_only(tensors), architecture)[0], atol=1e-6)
    errors = [
        np.square(masked(test, MASK) - vae.reconstruct(mu, MASK, weights, architecture)).sum(axis=1)
        for weights in (tensors, vae.linear_only(tensors))
    ]
    assert errors[0].sum() < 0.8 * errors[1].sum() and (errors[0] < errors[1]).sum() >= 16


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"linear": "none"}, "there is none; set linear: localised"),
        ({"network": "local", "latents": "map"}, "there is none; set linear: localised"),
        ({"network": "dense", "cross_fit": 4}, "cross_fit is 4, but network is dense"),
        ({"network": "local", "cross_fit": 1}, "cross_fit is 1, so no participants are left to fit the components"),
    ],
)
def test_what_a_local_network_cannot_correct_is_refused(entry: dict[str, Any], said: str) -> None:
    models = [{"name": "v", "kind": "vae", **entry}]
    schema = config.load_schema()
    section = config.validate({"cohort": {"name": "a", "bids": "b"}, "train": {"models": models}}, schema)
    with pytest.raises(InputError, match=said):
        entries.models(section["train"], section["cohort"])


def test_defaults_follow_the_network() -> None:
    models = [{"name": "v", "kind": "vae", "epochs": 9}, {"name": "w", "kind": "vae", "network": "dense"}]
    section = config.validate({"cohort": {"name": "a", "bids": "b"}, "train": {"models": models}}, config.load_schema())
    local, dense = section["train"]["models"]
    keys = ("linear", "cross_fit", "sigma", "mixup", "epochs", "patience")
    assert [local[key] for key in keys] == ["localised", 4, "learned", 0, 9, 24]
    assert [dense[key] for key in keys] == ["pca", 0, 1, 0.5, 150, 15]
