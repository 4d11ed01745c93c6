"""Real heads with a planted effect: the lateral ventricles (or another region) of each person grow or shrink as prescribed.

The log of the volume changes by `sd` times a score that is standard normal and independent of everything else. The
warp acts on the brain on the run's grid in MNI space (2 mm), which is then resampled to 4 mm and normalised, as the
pipeline does it. `sd` is found by bisection: the variance over people of the planted change, summed over the voxels
of the mask, is a given share of that of the scans. Scans without a planted effect take the same way.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
from planted_warp import growth, source, velocity, warped
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter
from scipy.optimize import bisect

from neurovae.preprocess import grid
from neurovae.preprocess.names import SPACE, derivative, in_space
from neurovae.preprocess.normalise import normalise

REGIONS = {"ventricles": (51, 52), "hippocampi": (47, 48)}  # DLMUSE labels, right and left
FINE, COARSE = 2.0, 4.0  # mm: of the warp, of the packed volumes
REACH = 30.0  # mm around the region that make room for it
NODES = (-1.5, -0.8, -0.3, 0.3, 0.8, 1.5)  # log changes between which `Tuning` interpolates; none is beyond them
TUNING, JUDGING = (0, 1, 2, 3, 4), 100  # seeds of scores: for choices, and the first of those for judgements
SHARES = (0.01, 0.025, 0.05)  # of the voxel variance


@dataclass(frozen=True)
class Head:
    """A brain on the fine grid with its region; intensities are raw, zero outside the brain."""

    brain: np.ndarray  # (x, y, z)
    region: np.ndarray  # share of each voxel in the region (x, y, z)

    @cached_property
    def flow(self) -> np.ndarray:
        """The velocity (3, x, y, z) at which the region grows."""
        return velocity(source(self.region, self.brain > 0, REACH / FINE))

    @cached_property
    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Log volume of the region over time: rising logs, and their times."""
        times, logs = growth(self.region, self.flow)
        return logs, times

    def time(self, log_change: float) -> float:
        """How long the velocity acts until the log of the region's volume has changed by so much."""
        logs, times = self.curve
        if not logs[0] <= log_change <= logs[-1]:
            raise ValueError(f"a log change of {log_change:.2f} is beyond [{logs[0]:.2f}, {logs[-1]:.2f}]")
        return float(np.interp(log_change, logs, times))

    def planted(self, log_change: float) -> np.ndarray:
        """The packed volume (coarse grid), float32, with the region changed."""
        image = warped(self.brain, self.flow, self.time(log_change)) if log_change else self.brain
        return packed(np.where(self.brain > 0, image, 0))

    def reached(self, log_change: float) -> float:
        """Log change of the region's volume, measured in the warped label."""
        moved = warped(self.region, self.flow, self.time(log_change), order=1)
        return float(np.log(moved.sum() / self.region.sum()))


def packed(fine: np.ndarray) -> np.ndarray:
    """A brain of the fine grid on the coarse one, normalised: blurred (`register`), means of blocks, z-scores."""
    coarse, own = coarsened(fine), coarsened(np.float32(fine > 0)) >= 0.5
    inside = grid.brain_mask(COARSE)
    z = normalise(coarse, own & inside, "zscore", region=None, white=inside)
    return np.asarray(np.where(inside, z, 0), np.float16).astype(np.float32)


def coarsened(fine: np.ndarray) -> np.ndarray:
    """An image of the fine grid on the coarse one: the blur's full width makes up the wider voxel."""
    ratio = round(COARSE / FINE)
    sd = np.sqrt(ratio**2 - 1) / np.sqrt(8 * np.log(2))  # voxels
    sides = [part for side in fine.shape for part in (side // ratio, ratio)]
    blocks: np.ndarray = gaussian_filter(np.asarray(fine, np.float32), sd).reshape(sides).mean(axis=(1, 3, 5))
    return blocks


def head(results: Path, data: Path, person: str, region: str = "ventricles") -> Head:
    """A person's head from a run at FINE mm and the DLMUSE labels of the data set."""
    derivatives = results / "preprocess" / "derivatives"
    label_file = data / "derivatives" / "dlmuse" / person / "anat" / f"{person}_desc-dlmuse_dseg.nii.gz"
    labels = nib.as_closest_canonical(nib.Nifti1Image.from_filename(label_file))
    own = np.isin(np.asarray(labels.dataobj), REGIONS[region]).astype(np.float32)
    region_image = nib.Nifti1Image(own, labels.affine)
    region_image.header.set_xyzt_units("mm", "sec")  # else ANTs warns
    moving = ants.from_nibabel_nifti(region_image)
    matrix = derivative(derivatives, person, f"from-T1w_to-{SPACE}_mode-image_xfm.mat")
    on_grid = ants.apply_transforms(ants.from_nibabel_nifti(grid.template(FINE)), moving, [str(matrix)])
    brain_file = in_space(derivatives, person, FINE, "desc-brain_T1w.nii.gz")
    brain = nib.Nifti1Image.from_filename(brain_file).get_fdata(dtype=np.float32)
    return Head(brain, np.where(brain > 0, on_grid.numpy(), 0).clip(0, 1))


def limited(log_changes: np.ndarray) -> np.ndarray:
    """Log changes, of which those beyond NODES (volume times 4.5 or divided by it) are set to the largest there."""
    return np.clip(log_changes, NODES[0], NODES[-1])


def scores(seed: int, people: int) -> np.ndarray:
    """The planted score of each person (people,)."""
    return np.random.default_rng([18, seed]).standard_normal(people)


@dataclass(frozen=True)
class Tuning:
    """Changes (people, nodes, voxels) of some people's scans at NODES, from which those at other log changes follow."""

    changes: np.ndarray
    variance: float  # of the scans, summed over voxels

    def share(self, sd: float) -> float:
        """Variance over people of the planted change over that of the scans, mean over the scores of TUNING."""
        nodes = np.insert(np.array(NODES), len(NODES) // 2, 0.0)
        values = np.insert(self.changes, len(NODES) // 2, 0, axis=1)
        people = len(values)
        weights = CubicSpline(nodes, np.eye(len(nodes)))
        shares = []
        for seed in TUNING:
            z = limited(sd * scores(seed, people))
            change = np.einsum("pn,pnv->pv", weights(z).astype(np.float32), values)
            shares.append(change.var(axis=0, ddof=1, dtype=np.float64).sum() / self.variance)
        return float(np.mean(shares))

    def sd(self, share: float) -> float:
        """Standard deviation of the log change at which the planted change has this share of the variance."""
        return float(bisect(lambda sd: self.share(sd) - share, 0.01, 1.2, xtol=1e-3))
