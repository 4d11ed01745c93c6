"""Dimension of known manifolds, concentration in closed form, and components against planted ones."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import binom
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from neurovae.audit import components, dimension, intrinsic

pytestmark = pytest.mark.filterwarnings("error")


def ball(people: int, size: int, rng: np.random.Generator) -> np.ndarray:
    x = rng.normal(size=(people, size))
    return x / np.linalg.norm(x, axis=1, keepdims=True) * rng.random((people, 1)) ** (1 / size)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_dimension_of_a_ball_in_a_space_of_thirty(size: int):
    rng = np.random.default_rng(size)
    found = {
        row["measure"]: row for row in intrinsic.intrinsic(ball(600, size, rng) @ rng.normal(size=(size, 30)), seed=0)
    }
    for name, row in found.items():
        assert row["status"] == "ok" and row["n"] == 600
        assert abs(row["value"] / size - 1) < 0.15, (name, row)  # the edge of the ball makes it up to a tenth too small
    assert found["TwoNN"]["low"] < size < found["TwoNN"]["high"]


def test_dimension_of_a_bent_sheet_is_that_of_the_sheet():
    rng = np.random.default_rng(0)
    angle, height = 1.5 * np.pi * (1 + 2 * rng.random(800)), 21 * rng.random(800)
    roll = np.column_stack([angle * np.cos(angle), height, angle * np.sin(angle)])
    found = intrinsic.dimensions(intrinsic.distances(roll))
    assert abs(found["TwoNN"] - 2) < 0.2 and abs(found["MLE"] - 2) < 0.2


def test_few_people_in_many_dimensions_give_too_small_a_number():
    rng = np.random.default_rng(0)
    few, many = (intrinsic.dimensions(intrinsic.distances(rng.normal(size=(n, 20))))["MLE"] for n in (100, 1500))
    assert few < many < 19


def test_estimates_equal_their_formulas():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 4))
    near = NearestNeighbors(n_neighbors=intrinsic.NEIGHBOURS).fit(x).kneighbors()[0]
    found = intrinsic.dimensions(intrinsic.distances(x))
    logs = np.log(near[:, -1:] / near[:, :-1])
    np.testing.assert_allclose(found["MLE"], 1 / logs.mean(), rtol=1e-6)  # Levina & Bickel's eq. 8, pooled
    ratio = np.sort(np.log(near[:, 1] / near[:, 0]))[:72]
    heights = -np.log(1 - np.arange(1, 73) / 80)
    np.testing.assert_allclose(found["TwoNN"], ratio @ heights / (ratio @ ratio), rtol=1e-6)  # line through the origin


def test_twins_and_few_people_are_refused():
    x = np.random.default_rng(0).normal(size=(40, 3))
    assert {row["status"] for row in intrinsic.intrinsic(np.vstack([x, x[:1]]), 0)} == {"equal people"}
    assert {row["status"] for row in intrinsic.intrinsic(x[:10], 0)} == {"too few people"}


def test_coordinates_keep_the_distances_of_the_voxels():
    x = np.random.default_rng(0).normal(3, 1, size=(12, 500))
    found = intrinsic.coordinates(components.products(x))
    np.testing.assert_allclose(intrinsic.distances(found), intrinsic.distances(x), rtol=1e-8)
    np.testing.assert_allclose(components.variances(components.products(x)), PCA().fit(x).explained_variance_[:-1])


def test_shell_is_one_minus_the_inner_ball_and_never_above_one():
    np.testing.assert_allclose(components.shell(0.1, 3), 1 - 0.9**3, rtol=1e-12)
    radii = np.linalg.norm(ball(20000, 32, np.random.default_rng(0)), axis=1)
    assert abs((radii > 0.95).mean() - components.shell(0.05, 32)) < 3.3 * np.sqrt(0.25 / 20000)
    assert components.shell(0.1, 48) < 1 < 48 * 0.1  # the tutorial's n e / R


def test_participation_of_equal_and_of_one_variance():
    np.testing.assert_allclose(components.participation(np.array([2.0] * 7 + [0, 0])), 7)
    np.testing.assert_allclose(components.participation(np.array([5.0, 0, 0])), 1)


def test_norms_of_the_prior_itself_are_the_priors():
    rng = np.random.default_rng(0)
    size, people = 32, 4000
    variance = rng.uniform(0.1, 0.9, size)
    mu = rng.normal(size=(people, size)) * np.sqrt(1 - variance)
    mean, spread = dimension.norms(mu, np.tile(variance, (people, 1)), True)
    assert mean["low"] < mean["value"] < mean["high"] and abs(mean["value"] - size) < 0.5
    assert abs(spread["value"] / spread["expected"] - 1) < 0.04 and spread["expected"] == 8
    drawn = np.square(mu + np.sqrt(variance) * rng.normal(size=mu.shape)).sum(axis=1)
    assert abs(spread["value"] / drawn.std() - 1) < 0.04
    assert dimension.norms(mu, np.full_like(mu, np.nan), False)[0]["status"] == "no variances"
    assert "not calibrated" in dimension.norms(mu, np.tile(variance, (people, 1)), False)[0]["reason"]


def smooth(people: int, shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    fields = [gaussian_filter(rng.normal(size=shape), 1.5, mode="wrap") for _ in range(people)]
    return np.array(fields, np.float32) / np.std(fields)


def egg(shape: tuple[int, int, int]) -> np.ndarray:
    axes = np.meshgrid(*[np.linspace(-1, 1, side) for side in shape], indexing="ij")
    return np.sum(np.square(axes), axis=0) < 0.85**2


def test_components_that_people_share_stand_out_and_smooth_noise_does_not():
    rng = np.random.default_rng(0)
    shape = (14, 16, 14)
    mask = egg(shape)
    found = [components.above_noise(smooth(30, shape, rng), mask, seed=0) for _ in range(5)]
    assert sum(count > 0 for count in found) <= binom.isf(0.001, 5, 1 / 21) and max(found) <= 1, found
    shared = np.einsum("nk,kxyz->nxyz", rng.normal(size=(30, 3)) * 3, smooth(3, shape, rng)).astype(np.float32)
    assert components.above_noise(smooth(30, shape, rng) + shared, mask, seed=0) == 3


def test_smooth_noise_has_the_spread_and_the_smoothness_of_the_scans():
    rng = np.random.default_rng(0)
    shape = (14, 16, 14)
    mask = egg(shape)
    scans = smooth(60, shape, rng)
    lengths = np.arange(1.0, 61)
    noise = components.smooth_noise(lengths, mask, components.smoothness(scans, mask), rng)
    np.testing.assert_allclose(np.linalg.norm(noise, axis=1), lengths, rtol=1e-4)
    again = np.zeros_like(scans)
    again[:, mask] = noise / lengths[:, None]
    own = (scans - scans.mean(axis=0)) * mask
    for lag in (1, 2, 4):
        r = [np.sum(x[:, :-lag] * x[:, lag:]) / np.sum(x**2) for x in (own, again)]
        assert abs(r[0] - r[1]) < 0.05, (lag, r)


def test_table_of_a_small_cohort(tmp_path: Path):
    rng = np.random.default_rng(0)
    shape, people = (8, 8, 8), [f"sub-{k:02d}" for k in range(30)]
    np.save(tmp_path / "volumes.npy", smooth(31, shape, rng).astype(np.float16))
    scans = pd.DataFrame({"person": [*people, people[0]], "scan": [*people, "again"]})
    scans.to_parquet(tmp_path / "volumes.parquet")
    nib.Nifti1Image(np.ones(shape, np.uint8), np.eye(4)).to_filename(tmp_path / "mask.nii.gz")
    split = ["training"] * 20 + ["test"] * 11
    one = scans.assign(model="pca", fold=0, seed=0, split=split, logvar_calibrated=False)
    one = one.assign(**{f"mu_{k:03d}": rng.normal(size=31) for k in range(3)})
    one.assign(**{f"logvar_{k:03d}": np.nan for k in range(3)}).to_parquet(tmp_path / "latents.parquet")
    files = {
        "volumes": tmp_path / "volumes.npy",
        "rows": tmp_path / "volumes.parquet",
        "mask": tmp_path / "mask.nii.gz",
    }
    dimension.run(**files, latents=[tmp_path / "latents.parquet"], out=tmp_path / "out.tsv")
    rows = pd.read_csv(tmp_path / "out.tsv", sep="\t", na_values="n/a", keep_default_na=False)
    assert set(rows.loc[rows["what"] == "volumes", "n"]) == {30}
    found = rows[rows["what"] == "volumes"].set_index("measure")
    assert found.loc["latents suggested", "value"] >= found.loc["MLE", "value"]
    assert "lower bound" in found.loc["latents suggested", "reason"]
    gone = rows[rows["measure"] == "mean |z|^2"]
    assert (
        gone["status"].tolist() == ["no variances"] * 2
        and gone["n"].tolist() == [20, 10]
        and gone["value"].isna().all()
    )
