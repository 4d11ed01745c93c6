"""The demo cohort's anatomy: a T1w-like head around nilearn's MNI152 brain, and the flows that change its regions.

A region's log-volume change d is the divergence of a flow, div v = d inside the region, compensated in its neighbours
so that the brain keeps its outline; v is the gradient of the potential that solves Poisson's equation (by DCT), and the
deformation is exp(v) by scaling and squaring (Arsigny 2006, "A log-Euclidean framework for statistics on
diffeomorphisms", section 3). nilearn ships no atlas of regions. The lateral ventricles are derived from the template:
CSF-dark, near the midline, connected. The hippocampi are ellipsoids at (+-27, -21, -15) mm within grey matter, the
cerebellum is a box within the brain, the cortex is the grey matter outside the deep nuclei, hippocampi and cerebellum.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from nilearn.datasets import (
    load_mni152_brain_mask,
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)
from scipy import fft, ndimage

from neurovae.cohort.head import add_head
from neurovae.cohort.sampling import linear

REGIONS = ("ventricles", "hippocampi", "cortex", "cerebellum")
MODES = 6  # smooth directions in which the demo's brains differ, independent of their regions
BOX = np.array([[-86.0, 85.0], [-122.0, 88.0], [-88.0, 98.0]])  # mm, where the flows live: the brain and a margin
SPACING = 3.0  # mm, of the flows


@dataclass(frozen=True)
class Anatomy:
    """Anatomy that all heads share; flows in mm, `(3, x, y, z)` each, on the grid of BOX and SPACING."""

    head: np.ndarray  # T1w-like intensity, white matter near 1
    brain: np.ndarray  # 0-1, same grid as head
    head_affine: np.ndarray
    regions: np.ndarray  # (region, x, y, z), 0-1
    flows: np.ndarray  # (region, 3, x, y, z), unit mean divergence in the region and 0 in the others
    modes: np.ndarray  # (mode, 3, x, y, z), 1 mm root mean square in the brain
    inside: np.ndarray  # 0-1, the brain on the flows' grid


def build(*, seed: int) -> Anatomy:
    """Build head, regions and flows; `seed` draws the modes."""
    template = load_mni152_template(resolution=2)
    maps = {
        "t1": template.get_fdata(dtype=np.float32),
        "brain": load_mni152_brain_mask(resolution=2).get_fdata(dtype=np.float32),
        "gm": load_mni152_gm_template(resolution=2).get_fdata(dtype=np.float32),
        "wm": load_mni152_wm_template(resolution=2).get_fdata(dtype=np.float32),
    }
    head, brain, head_affine = add_head(maps["t1"], maps["brain"] > 0.5, template.affine)
    to_voxel = np.linalg.inv(template.affine)
    points = grid()
    t1, inside, gm, wm = (sample(maps[name], to_voxel, points) for name in ("t1", "brain", "gm", "wm"))
    regions = draw_regions(points, t1, inside, gm)
    flows = region_flows(regions, inside, sulci=inside * (gm + wm < 0.5) * (t1 < 0.5))
    return Anatomy(head, brain, head_affine, regions, flows, draw_modes(inside, seed), inside)


def grid() -> np.ndarray:
    """World coordinates `(3, x, y, z)` in mm of the flows' grid."""
    axes = (np.arange(low, high, SPACING, dtype=np.float32) for low, high in BOX)
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def sample(image: np.ndarray, to_voxel: np.ndarray, points: np.ndarray, mode: str = "constant") -> np.ndarray:
    """Read `image` linearly at world `points (3, ...)`; `to_voxel` is 4 x 4."""
    voxels = transform_points(to_voxel, points)
    return linear(image[None], voxels.reshape(3, -1), mode == "nearest").reshape(points.shape[1:])


def transform_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a 4 x 4 affine to points `(3, ...)`."""
    x, y, z = points
    return np.stack([a * x + b * y + c * z + d for a, b, c, d in matrix[:3].astype(np.float32)])


def sample_flow(flow: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Read a flow, displacement or regions `(k, x, y, z)` at world points; beyond the box its border counts."""
    start = BOX[:, 0].astype(np.float32).reshape(3, *[1] * (points.ndim - 1))
    voxels = (points - start) / np.float32(SPACING)
    return linear(flow, voxels.reshape(3, -1), True).reshape(len(flow), *points.shape[1:])


def draw_regions(points: np.ndarray, t1: np.ndarray, inside: np.ndarray, gm: np.ndarray) -> np.ndarray:
    """Regions `(region, x, y, z)` in the order of REGIONS, 0-1, not overlapping."""
    x, y, z = points
    dark = (t1 < 0.42) & (inside > 0.5) & (np.abs(x) < 40) & (y > -62) & (y < 45) & (z > -2) & (z < 36)
    near_midline = np.abs(x) < np.where(y < -30, 36, 22)
    labels, _ = ndimage.label(dark & near_midline)
    sizes = np.bincount(labels[(np.abs(x) < 20) & (labels > 0)])
    ventricles = labels == sizes.argmax()
    long_axis, short_axis = (y + 21) + 0.5 * (z + 15), (z + 15) - 0.5 * (y + 21)  # the hippocampus rises backwards
    ellipsoid = ((np.abs(x) - 27) / 9) ** 2 + (long_axis / 18) ** 2 + (short_axis / 11) ** 2 < 1
    hippocampi = ellipsoid & (gm > 0.35) & ~ventricles
    cerebellum = (inside > 0.5) & (y < -40) & (z < -20) & ~ventricles
    deep = (np.abs(x) < 38) & (y > -40) & (y < 30) & (np.abs(z - 5) < 20)
    deep |= (np.abs(x) < 16) & (y > -48) & (y < -5) & (z < 5)  # the brain stem
    cortex = (gm > 0.5) & ~deep & ~hippocampi & ~cerebellum & ~ventricles
    return np.stack([ventricles, hippocampi, cortex, cerebellum]).astype(np.float32)


def region_flows(regions: np.ndarray, inside: np.ndarray, sulci: np.ndarray) -> np.ndarray:
    """Make a flow per region: mean divergence 1 in its own region, 0 in the other three, none in the whole brain."""
    all_regions = regions.max(0)
    compensation = [
        inside * (1 - all_regions),
        inside * (1 - all_regions),
        sulci * (1 - all_regions),
        inside * (1 - all_regions),
    ]
    flows = []
    for region, compensating in zip(regions, compensation, strict=True):
        source, sink = (ndimage.gaussian_filter(part, 0.7) for part in (region, compensating))
        flows.append(poisson_flow(source - sink * (source.sum() / sink.sum())))
    gain = np.array([mean_divergence(flow, regions) for flow in flows])  # (flow, region)
    return np.stack([combine(row, np.stack(flows)) for row in np.linalg.inv(gain)])


def poisson_flow(divergence: np.ndarray) -> np.ndarray:
    """Flow `(3, x, y, z)` in mm with the given divergence: the potential's gradient, none through the walls."""
    spectrum = fft.dctn(divergence.astype(np.float64), type=2)
    waves = [2 * np.cos(np.pi * np.arange(n) / n) - 2 for n in divergence.shape]
    laplacian = (waves[0][:, None, None] + waves[1][:, None] + waves[2]) / SPACING**2
    laplacian[0, 0, 0] = 1
    spectrum /= laplacian
    spectrum[0, 0, 0] = 0
    return np.stack(np.gradient(fft.idctn(spectrum, type=2), SPACING)).astype(np.float32)


def draw_modes(inside: np.ndarray, seed: int) -> np.ndarray:
    """Random smooth flows `(mode, 3, x, y, z)` that end at the box's walls, 1 mm root mean square in the brain."""
    rng = np.random.default_rng(seed)
    shape = inside.shape
    ramps = [np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / 4, 0, 1) for n in shape]
    window = ramps[0][:, None, None] * ramps[1][:, None] * ramps[2]
    modes = np.zeros((MODES, 3, *shape), np.float32)
    for mode in modes:
        spectrum = np.zeros((3, *shape))
        spectrum[:, :5, :5, :5] = rng.normal(size=(3, 5, 5, 5))
        spectrum[:, :2, :2, :2] = 0  # shifts and stretches belong to the pose
        mode[:] = window * fft.idctn(spectrum, type=2, axes=(1, 2, 3))
        mode /= np.sqrt((mode**2).sum(0)[inside > 0.5].mean())
    return modes


def combine(weights: Iterable[float], flows: np.ndarray) -> np.ndarray:
    """Weighted sum of flows, added in a fixed order so that its bits do not depend on a linear-algebra library."""
    total = np.zeros(flows.shape[1:], np.float32)
    for weight, flow in zip(weights, flows, strict=True):
        total += np.float32(weight) * flow
    return total


def mean_divergence(flow: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Mean divergence of a flow in each region: its log-volume change to first order."""
    divergence = sum(np.gradient(part, SPACING, axis=axis) for axis, part in enumerate(flow))
    return np.array([(divergence * region).sum() / region.sum() for region in regions])


def exponential(flow: np.ndarray, points: np.ndarray, halvings: int = 5) -> np.ndarray:
    """Displacement `(3, x, y, z)` in mm of exp(flow) on the flows' grid, by scaling and squaring."""
    displacement = flow / np.float32(2**halvings)
    for _ in range(halvings):
        displacement = displacement + sample_flow(displacement, points + displacement)
    return displacement


def deform(anatomy: Anatomy, flow: np.ndarray, log_volumes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Complete `flow` so that each region changes by its log-volume; return the displacement and the volumes in ml.

    The displacement `(3, x, y, z)` in mm leads from the deformed brain to the template, as resampling needs it. The
    volumes are met to first order, then corrected once by the measured ones.
    """
    points = grid()
    before = anatomy.regions.sum((1, 2, 3)) * SPACING**3 / 1000
    flow = flow + combine(log_volumes - mean_divergence(flow, anatomy.regions), anatomy.flows)
    measured = np.log(volumes(anatomy, exponential(-flow, points), points) / before)
    displacement = exponential(-flow - combine(log_volumes - measured, anatomy.flows), points)
    return displacement, volumes(anatomy, displacement, points)


def volumes(anatomy: Anatomy, displacement: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Volumes in ml of the deformed regions; `displacement` is the displacement from the deformed brain to the
    template.
    """
    deformed = sample_flow(anatomy.regions, points + displacement)
    return np.array([region.sum() for region in deformed]) * SPACING**3 / 1000
