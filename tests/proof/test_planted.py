"""The planted cohort in short: a ball that grows as its closed form says, nothing moves at the border, a made head."""

import ants
import numpy as np
import planted_cohort as cohort
import planted_models as models
import planted_power as single
import planted_warp as warp
import pytest
from scipy.ndimage import gaussian_filter

from neurovae.io.volumes import masked
from neurovae.preprocess import grid
from neurovae.train.models import pca_localised

SIDE, RADIUS, OUTER = 48, 8.0, 20.0  # voxels


@pytest.fixture(scope="module")
def ball() -> tuple[np.ndarray, np.ndarray]:
    """A ball, as shares of voxels, and the velocity of its growth into a shell of constant divergence."""
    at = np.stack(np.meshgrid(*[np.arange(SIDE) - 23.3] * 3, indexing="ij"))
    distance = np.linalg.norm(at, axis=0)
    region = np.clip(RADIUS + 0.5 - distance, 0, 1)
    shell = np.clip(OUTER + 0.5 - distance, 0, 1) - region
    return region, warp.velocity(region - shell * region.sum() / shell.sum())


def closed_form(time: float) -> float:
    """Log growth of the ball: dV/dt = V inside; beyond its first radius dV/dt = (1 + c) V0 - c V, c that of the shell."""
    c = RADIUS**3 / (OUTER**3 - RADIUS**3)
    return time if time < 0 else float(np.log((1 + c) / c - np.exp(-c * time) / c))


@pytest.mark.parametrize("time", [-1.0, -0.3, 0.3, 1.0, 2.5])
def test_a_ball_grows_as_its_closed_form_says(ball: tuple[np.ndarray, np.ndarray], time: float) -> None:
    region, flow = ball
    moved = warp.exponential(np.float32(time) * flow)
    determinant = warp.jacobian(moved)
    by_points = np.interp(time, *warp.growth(region, flow))
    by_label = np.log(warp.warped(region, flow, time, order=1).sum() / region.sum())
    by_jacobian = np.log((region * determinant).sum() / region.sum())
    assert np.abs([by_points, by_label, by_jacobian] - np.float64(closed_form(time))).max() < 0.05
    assert abs(by_points - by_label) < 0.02
    assert determinant.min() > 0
    edges = [np.take(moved[axis], end, axis=axis) for axis in range(3) for end in (0, -1)]
    assert max(np.abs(edge).max() for edge in edges) < 0.01


def test_the_velocity_has_the_divergence_asked_for(ball: tuple[np.ndarray, np.ndarray]) -> None:
    region, flow = ball
    found = sum(np.gradient(flow[axis], axis=axis) for axis in range(3))
    inside = region[2:-2, 2:-2, 2:-2] == 1
    deep = gaussian_filter(region, 1.0)[2:-2, 2:-2, 2:-2] > 0.999
    assert np.abs(np.asarray(found)[2:-2, 2:-2, 2:-2][inside & deep] - 1).max() < 0.01


def test_the_exponential_is_that_of_ants(ball: tuple[np.ndarray, np.ndarray]) -> None:
    _, flow = ball
    constant = np.stack([np.moveaxis(flow, 0, -1)] * 3, axis=3)
    image = ants.from_numpy(constant.astype(np.float32), has_components=True)
    theirs = np.moveaxis(ants.integrate_velocity_field(image, 0, 1, 10).numpy(), -1, 0)
    ours = warp.exponential(flow)
    assert np.abs(ours - theirs).max() < 0.1 and np.abs(ours).max() > 2


def made_head(seed: int) -> cohort.Head:
    """The template's brain with a dark ellipsoid in it, a little different for each seed."""
    rng = np.random.default_rng(seed)
    brain = grid.template(cohort.FINE).get_fdata(dtype=np.float32) * grid.brain_mask(cohort.FINE)
    texture = gaussian_filter(rng.standard_normal(brain.shape), 4)
    at = np.stack(np.meshgrid(*map(np.arange, brain.shape), indexing="ij")).T - np.array(brain.shape) / 2
    region = np.clip(6.5 - np.linalg.norm(at / [1, 1.6, 1], axis=-1).T, 0, 1).astype(np.float32)
    return cohort.Head(np.where(brain > 0, brain * (1 + texture) * (1 - 0.7 * region) + 1e-3, 0), region)


def test_a_head_changes_by_what_is_prescribed_and_nowhere_else() -> None:
    head = made_head(0)
    for change in (-0.5, 0.5):
        assert head.reached(change) == pytest.approx(change, abs=0.03)
    with pytest.raises(ValueError, match="beyond"):
        head.time(9)
    difference = np.abs(head.planted(0.5) - head.planted(0.0))
    near = cohort.coarsened(head.region) > 0
    assert difference[near].max() > 0.3
    assert np.square(difference[near]).sum() > 0.5 * np.square(difference).sum()


def test_the_strength_is_found_where_the_variance_is_known() -> None:
    direction = np.ones(50, np.float32)
    changes = np.repeat(np.array(cohort.NODES, np.float32)[None, :, None] * direction, 40, axis=0)  # linear
    tuning = cohort.Tuning(changes, variance=1000.0)
    spread = np.mean([cohort.scores(seed, 40).var(ddof=1) for seed in cohort.TUNING])
    assert tuning.sd(0.005) == pytest.approx(np.sqrt(0.005 * 1000 / 50 / spread), rel=0.01)
    assert abs(np.corrcoef(cohort.scores(0, 5000), cohort.scores(cohort.JUDGING, 5000))[0, 1]) < 0.05


def test_the_smallest_number_of_latents_near_the_best() -> None:
    assert models.smallest({48: 0.30, 100: 0.395, 200: 0.40}) == 100
    assert models.smallest({48: 0.30, 100: 0.38, 200: 0.40}) == 200


def test_components_from_a_start_are_those_of_the_pipeline() -> None:
    rng = np.random.default_rng(0)
    mask = np.pad(np.ones((12, 16, 12), bool), 4)
    volumes = np.float32([gaussian_filter(rng.standard_normal(mask.shape), 1.5) * mask for _ in range(30)])
    rows, x = np.arange(24), masked(volumes[24:], mask)
    wanted = pca_localised.localised(
        volumes, rows, rows[:0], mask, n_latent=40, flip=True, blur=0, tapers=[90.0]
    ).principal
    first = models.localised(volumes, rows, mask, 90.0, 40)
    again = models.localised(volumes, rows[:22], mask, 90.0, 40, first.components, 2)
    fresh = models.localised(volumes, rows[:22], mask, 90.0, 40)
    expected = models.Components(wanted.mean, wanted.components).explained(x)
    assert np.abs(first.explained(x) - expected).max() < 1e-3
    assert np.abs(again.explained(x) - fresh.explained(x))[[9, 39]].max() < 0.01


def test_varimax_leaves_the_space_and_power_is_what_the_effect_says() -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal((40, 3))
    turned = a @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    assert single.matched(a, a[:, [2, 0, 1]])[0] == pytest.approx(1) and single.matched(a, turned)[0] < 0.99
    training = rng.random(60) < 0.7
    latents = rng.standard_normal((60, 4))
    nothing = single.hits((latents, np.zeros(4)), training, 1)
    strong = single.hits((latents, np.array([2.0, 0, 0, 0])), training, 1)
    assert (nothing > 0).mean() < 0.25 and (strong > 0).all() and strong.mean() < 1.3
