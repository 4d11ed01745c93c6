"""Augmentation: each kind can be switched off, keeps shapes, is seeded, does what it says, and reaches no latents."""

import math

import numpy as np
import pytest
import torch
from scipy.special import gamma, hyp2f1
from tiny import MASK, SETTINGS, cohort
from torch import Tensor

from neurovae.train.engine.augment import augmented, fields, flipped, jittered, mixed, pieced, rotation, transformed
from neurovae.train.engine.windows import BOX, axes, taper
from neurovae.train.models import autoencoder, vae

OFF = dict(flip=False, mixup=0.0, jitter=0.0, mosaic=0.0, mosaic_mm=60.0, centre=torch.zeros(8, 16, 24))
ONE = [dict(flip=True), dict(mixup=0.8), dict(jitter=2.0), dict(mosaic=0.8)]
SHAPE = (40, 48, 40)  # 4 mm


def drawn(seed: int = 0) -> torch.Generator:
    """A generator."""
    return torch.Generator().manual_seed(seed)


def scans(count: int = 6, shape: tuple[int, int, int] = (8, 16, 24)) -> Tensor:
    """Noise (scans, 1, x, y, z)."""
    return torch.randn(count, 1, *shape, generator=drawn(9))


def blob(at: tuple[float, float, float], shape: tuple[int, int, int] = SHAPE) -> Tensor:
    """A Gaussian of 8 mm at a point, mm from the middle of the grid."""
    squared = sum((axis - point) ** 2 for axis, point in zip(millimetres(shape), at, strict=True))
    return torch.exp(-squared / (2 * 8.0**2))[None, None]


def millimetres(shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
    """Each voxel's x, y and z, mm from the middle of the grid."""
    sides = [mm * ((torch.arange(side) + 0.5) / side - 0.5) for side, mm in zip(shape, BOX, strict=True)]
    return torch.meshgrid(*sides, indexing="ij")


def centroid(x: Tensor) -> np.ndarray:
    """Centre of mass of one image (1, 1, x, y, z), mm."""
    image = x[0, 0].double()
    return np.array([float((image * axis).sum() / image.sum()) for axis in millimetres(tuple(image.shape))])


def test_switched_off_nothing_is_done_to_the_bit() -> None:
    x = scans()
    assert augmented(x, drawn(), **OFF) is x


@pytest.mark.parametrize("on", ONE, ids=lambda on: next(iter(on)))
def test_each_keeps_shape_and_type_is_seeded_and_leaves_its_argument_alone(on: dict) -> None:
    x = scans()
    kept = x.clone()
    found = augmented(x, drawn(), **{**OFF, **on})
    assert found.shape == x.shape and found.dtype == x.dtype and torch.isfinite(found).all()
    assert torch.equal(x, kept) and not torch.equal(found, x)
    assert torch.equal(found, augmented(x, drawn(), **{**OFF, **on}))
    assert not torch.equal(found, augmented(x, drawn(1), **{**OFF, **on}))


def test_a_mirror_is_world_x_to_minus_x_for_half_of_the_scans() -> None:
    x = scans(400, (4, 3, 2))
    found = flipped(x, drawn())
    same = (found == x).flatten(1).all(dim=1)
    assert torch.equal(found[~same], x[~same][:, :, torch.arange(3, -1, -1)])
    assert 0.4 < float(same.float().mean()) < 0.6
    left = blob((-40.0, 20.0, 12.0))
    mirrored = flipped(left.expand(20, -1, -1, -1, -1), drawn())[~same[:20]][:1]
    assert np.allclose(centroid(mirrored), [40, 20, 12], atol=1e-3)


def test_mixing_averages_the_share_asked_for_with_weights_that_sum_to_1() -> None:
    x = scans(1000, (2, 2, 2))
    found = mixed(x, drawn(), 0.3)
    changed = (found != x).flatten(1).any(dim=1)
    assert 0.25 < float(changed.float().mean()) < 0.35
    constant = torch.full((50, 1, 2, 2, 2), 3.0)
    assert torch.allclose(mixed(constant, drawn(), 1.0), constant)
    people = torch.eye(50).view(50, 1, 50, 1, 1)  # each scan says who is in it, and by how much
    weights = mixed(people, drawn(), 1.0)[:, 0, :, 0, 0]
    assert torch.allclose(weights.sum(dim=1), torch.ones(50)) and (weights >= 0).all()
    assert ((weights > 0).sum(dim=1) <= 2).all() and ((weights > 0).sum(dim=1) == 2).sum() > 40


def induced(correlation: np.ndarray, people: int) -> np.ndarray:
    """Mean cosine of two Gaussian vectors of so many elements with a correlation, which scaled fields have."""
    factor = 2 / people * (gamma((people + 1) / 2) / gamma(people / 2)) ** 2
    return factor * correlation * hyp2f1(0.5, 0.5, people / 2 + 1, correlation**2)


def test_a_mosaic_s_covariance_is_the_tapered_covariance() -> None:
    shape, people, count = (4, 5, 4), 8, 6_000
    at = np.argwhere(np.ones(shape))
    linear = taper(axes(shape, 90.0), at, at)  # the taper of localised components
    exact = induced(linear, people)
    assert np.abs(exact - linear).max() < 0.03 and np.abs(induced(linear, 2) - linear).max() < 0.11
    drawn_fields = torch.stack([fields(people, shape, 90.0, drawn(i), torch.device("cpu")) for i in range(count)])
    assert torch.allclose(drawn_fields.square().sum(dim=1), torch.ones(count, *shape), atol=1e-5)
    x = 3 + scans(people, shape)
    centre = x.mean(dim=0)[0]
    found = (drawn_fields * (x[:, 0] - centre)).sum(dim=1).flatten(1).double()
    covariance = np.cov((x[:, 0] - centre).flatten(1).double().numpy(), rowvar=False, ddof=0)
    expected = covariance * exact
    products = found.T @ found / count
    spread = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert np.abs(products.numpy() - expected).max() < 6 * (spread * 2 / np.sqrt(count)).max()
    assert float(found.mean(dim=0).abs().max()) < 6 * np.sqrt(spread.max() / count)


def test_a_mosaic_is_of_the_scans_of_the_batch_and_as_many_as_asked_for() -> None:
    x = scans(300, (2, 2, 2))
    found = pieced(x, x, drawn(), 0.3, 60.0, torch.zeros(2, 2, 2))
    changed = (found != x).flatten(1).any(dim=1)
    assert 0.2 < float(changed.float().mean()) < 0.4
    same = torch.full((4, 1, 2, 2, 2), 5.0)
    assert torch.allclose(pieced(same, same, drawn(), 1.0, 60.0, same[0, 0]), same)  # nobody departs from the mean
    one = x[:1]
    assert augmented(one, drawn(), **{**OFF, "mosaic": 1.0}) is one  # of one scan there is no mosaic


@pytest.mark.parametrize("shape", [SHAPE, (40, 32, 64)])  # the second: not isotropic, which the code must not assume
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_planted_shift_turn_and_scale_move_a_blob_by_the_predicted_mm(axis: int, shape: tuple[int, int, int]) -> None:
    start = (-24.0, 30.0, 18.0)
    image, still = blob(start, shape), dict(angles=torch.zeros(1, 3), move=torch.zeros(1, 3), scale=torch.ones(1, 3))
    unit = torch.eye(3)[axis][None]
    assert np.allclose(centroid(transformed(image, **still)), centroid(image), atol=1e-3)
    shifted = np.array(start) + 10 * unit[0].numpy()
    assert np.allclose(centroid(transformed(image, **{**still, "move": 10 * unit})), shifted, atol=0.1)
    grown = np.array(start) * (1 + 0.2 * unit[0].numpy())
    assert np.allclose(centroid(transformed(image, **{**still, "scale": 1 + 0.2 * unit})), grown, atol=0.3)
    angle = math.radians(20)
    turned = centroid(transformed(image, **{**still, "angles": angle * unit}))
    one, two = (axis + 1) % 3, (axis + 2) % 3  # right-handed: about z, x goes to y
    expected = np.array(start)
    expected[one] = math.cos(angle) * start[one] - math.sin(angle) * start[two]
    expected[two] = math.sin(angle) * start[one] + math.cos(angle) * start[two]
    assert np.allclose(turned, expected, atol=0.2)


def test_all_together_it_is_scale_then_turn_then_shift() -> None:
    start = torch.tensor([-20.0, 25.0, 15.0])
    turn, move, scale = (
        torch.tensor([[0.2, -0.1, 0.3]]),
        torch.tensor([[5.0, -8.0, 6.0]]),
        torch.tensor([[1.1, 0.9, 1.2]]),
    )
    found = centroid(transformed(blob(tuple(start.tolist())), angles=turn, move=move, scale=scale))
    assert np.allclose(found, (rotation(turn)[0] @ (scale[0] * start) + move[0]).numpy(), atol=0.4)


def test_jitter_has_the_size_asked_for() -> None:
    at = (-24.0, 30.0, 18.0)
    found = jittered(blob(at).expand(60, -1, -1, -1, -1), drawn(), 3.0)
    steps = np.stack([centroid(image[None]) - at for image in found])
    a_degree = 3 * math.pi / 180  # each axis: 3 mm of shift, 3 degrees of the other two axes, 3 percent
    expected = [math.sqrt(9 + a_degree**2 * (sum(p**2 for p in at) - q**2) + (0.03 * q) ** 2) for q in at]
    assert np.allclose(steps.std(axis=0), expected, rtol=0.25)
    assert (np.abs(steps.mean(axis=0)) < 4 * np.array(expected) / math.sqrt(60)).all()


@pytest.mark.parametrize("module", [vae, autoencoder])
def test_no_augmentation_reaches_the_latents(module: object) -> None:
    volumes, split = cohort()
    plain = {key: value for key, value in SETTINGS.items() if module is vae or key not in ("divergence", "beta")}
    plain |= {"epochs": 1, "learning_rate": 1e-30}  # the weights stay where they were
    strong = {**plain, "jitter": 5.0, "mixup": 1.0, "mosaic": 0.5, "noise": 3.0, "dropout": 0.5}
    found = [module.fit(volumes, split, MASK, seed=0, device="cpu", **options) for options in (plain, strong)]
    assert found[0][1] == found[1][1] and not {"jitter", "mixup", "noise", "flip", "dropout"} & found[0][1].keys()
    assert all(np.array_equal(found[0][0][name], found[1][0][name]) for name in found[0][0])
    latents = [module.embed(volumes, MASK, tensors, architecture) for tensors, architecture, _ in found]
    assert np.array_equal(latents[0], latents[1], equal_nan=True)
    assert repr(found[0][2]) == repr(found[1][2])  # nor the numbers by which an epoch is judged
