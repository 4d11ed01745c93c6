"""Simulate blocks with known truth: two tables with shared and private factors, and 4-D data with planted networks.

Two blocks of features follow 2 shared and 2 private factors each; `signal_to_noise` is the ratio of their variance to
that of the noise, in every feature on average. In 4-D data each of 8 networks is two patches of the brain with a course
of events that a hemodynamic response blurs; at its peak its variance is `signal_to_noise` times that of the noise. The
head's translation moves the edges of the brain (to first order), and displacement adds noise to its volume.
"""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.glm.first_level import spm_hrf
from scipy.ndimage import gaussian_filter

from neurovae.cli import cli
from neurovae.io.files import write_beside, write_json
from neurovae.io.parquet import write_table
from neurovae.io.progress import steps
from neurovae.preprocess import grid

SIZES = (100, 150)  # features of the two blocks
EACH = 2  # shared factors, and private ones of each block
NETWORKS, PATCHES = 8, 2
EVENTS = 0.08  # probability of an event in a volume
STEP_MM = 0.03  # standard deviation of the head's movement from one volume to the next
JERKS = 0.02  # fraction of volumes with a movement ten times as large
HEAD_MM = 50.0  # radius at which rotations are displacements (Power 2012)
RADIUS_MM = 14.0  # standard deviation of a patch
SMOOTH_MM = 6.0  # standard deviation of the noise's spatial correlation
BRAIN = 10.0  # signal of the brain, in units of the noise
FMRIPREP = "sub-{person}_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"


class Factors(NamedTuple):
    """Shared factors (people, 2), private ones of each block (people, 2), and features of each block."""

    shared: np.ndarray
    private: list[np.ndarray]
    features: list[np.ndarray]


def run(*, out: Path, people: int = 200, volumes: int = 120, tr_s: float = 2.0, voxel_mm: float = 8.0,
        signal_to_noise: float = 1.0, seed: int = 0, bold: bool = True) -> None:  # fmt: skip
    """Write simulated blocks and, in `truth/`, the factors and networks that made them.

    Example:
        python -m neurovae simulate_blocks --out simulated --people 40

    Args:
        out: folder to write: participants.tsv, structure.tsv, function.tsv, bold/ (as fMRIPrep names its files, with
            mask.nii.gz) and truth/ (factors.tsv, networks.nii.gz).
        people: number of people.
        volumes: of the run of each person.
        tr_s: repetition time, s.
        voxel_mm: voxel size of 4-D data, mm.
        signal_to_noise: ratio of variances.
        seed: of all random draws.
        bold: write 4-D data.
    """
    ids = [f"sub-{k:04d}" for k in range(people)]
    made = factors(people, SIZES, signal_to_noise, seed)
    names = ["shared_0", "shared_1", "structure_0", "structure_1", "function_0", "function_1"]
    truth = pd.DataFrame(np.hstack([made.shared, *made.private]), columns=names)
    truth.insert(0, "participant_id", ids)
    for folder in (out / "truth", out / "bold"):
        folder.mkdir(parents=True, exist_ok=True)
    write_table(out / "truth" / "factors.tsv", truth)
    score = made.shared[:, 0] + np.random.default_rng([seed, 9]).standard_normal(people)
    write_table(out / "participants.tsv", pd.DataFrame({"participant_id": ids, "score": score.round(4)}))
    for name, values in zip(("structure", "function"), made.features, strict=True):
        table = pd.DataFrame(values.round(5), columns=[f"{name}_{k:03d}" for k in range(values.shape[1])])
        table.insert(0, "participant_id", ids)
        write_table(out / f"{name}.tsv", table)
    if bold:
        mask, maps = networks(voxel_mm, seed)
        affine = grid.box(voxel_mm)[1]
        _save(maps, mask, affine, out / "truth" / "networks.nii.gz")
        _save(np.ones((1, int(mask.sum()))), mask, affine, out / "bold" / "mask.nii.gz")
        for k in steps(range(people), "runs", people):
            values, motion = one_run(maps, mask, voxel_mm, volumes, tr_s, signal_to_noise, [seed, 1, k])
            _write_run(out / "bold" / ids[k] / "func", ids[k], values, motion, mask, affine, tr_s)


def factors(people: int, sizes: tuple[int, ...], signal_to_noise: float, seed: int) -> Factors:
    """Independent standard normal factors, and features (people, size) of each block that follow them with noise."""
    rng = np.random.default_rng([seed, 0])
    shared = rng.standard_normal((people, EACH))
    private = [rng.standard_normal((people, EACH)) for _ in sizes]
    features = []
    for size, own in zip(sizes, private, strict=True):
        loadings = rng.standard_normal((2 * EACH, size)) * np.sqrt(signal_to_noise / (2 * EACH))
        features.append(np.hstack([shared, own]) @ loadings + rng.standard_normal((people, size)))
    return Factors(shared, private, features)


def networks(voxel_mm: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The brain mask (x, y, z) and planted maps (networks, voxels), at most 1: patches that lie far from each other."""
    mask, affine = grid.brain_mask(voxel_mm).astype(bool), grid.box(voxel_mm)[1]
    places = nib.affines.apply_affine(affine, np.argwhere(mask))
    rng = np.random.default_rng([seed, 2])
    centres = [int(rng.integers(len(places)))]
    while len(centres) < NETWORKS * PATCHES:  # each as far as possible from those before it
        distance = np.min([np.linalg.norm(places - places[one], axis=1) for one in centres], axis=0)
        centres.append(int(distance.argmax()))
    order = rng.permutation(centres).reshape(NETWORKS, PATCHES)
    patch = {one: np.exp(-np.square(places - places[one]).sum(axis=1) / (2 * RADIUS_MM**2)) for one in centres}
    return mask, np.array([np.max([patch[int(one)] for one in own], axis=0) for own in order])


def one_run(maps: np.ndarray, mask: np.ndarray, voxel_mm: float, volumes: int, tr_s: float, signal_to_noise: float,
            seed: list[int]) -> tuple[np.ndarray, pd.DataFrame]:  # fmt: skip
    """A run (volumes, voxels) in units of the noise, and its motion as fMRIPrep's table has it."""
    rng = np.random.default_rng(seed)
    response = spm_hrf(tr_s, oversampling=1)
    events = (rng.random((volumes + 20, len(maps))) < EVENTS) * rng.normal(1, 0.3, (volumes + 20, len(maps)))
    courses = np.array([np.convolve(one, response)[20 : volumes + 20] for one in events.T]).T
    courses = (courses - courses.mean(axis=0)) / courses.std(axis=0)
    moves = rng.normal(0, STEP_MM, (volumes, 6)) * np.where(rng.random((volumes, 1)) < JERKS, 10, 1)
    moves[0] = 0
    position = moves.cumsum(axis=0)
    displacement = np.abs(moves).sum(axis=1)  # rotations as mm at the radius of the head
    brain = BRAIN * gaussian_filter(mask.astype(float), 0.7)
    edges = np.array([axis[mask] for axis in np.gradient(brain, voxel_mm)])  # per mm
    white = rng.standard_normal((volumes, *mask.shape))
    smooth = gaussian_filter(white, (0, *[SMOOTH_MM / voxel_mm] * 3))[:, mask]
    noise = (white[:, mask] + smooth / smooth.std()) / np.sqrt(2)
    signal = np.sqrt(signal_to_noise) * courses @ maps - position[:, :3] @ edges
    values = brain[mask] + signal + noise * (1 + displacement[:, None])
    return values + np.linspace(0, rng.normal(), volumes)[:, None], _motion(position, displacement, values)


def _motion(position: np.ndarray, displacement: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """fMRIPrep's columns of motion with their expansions, and displacement (mm), missing in the first volume."""
    columns: dict[str, np.ndarray] = {}
    scale = [1, 1, 1, HEAD_MM, HEAD_MM, HEAD_MM]
    for k, name in enumerate([f"{way}_{axis}" for way in ("trans", "rot") for axis in "xyz"]):
        one = position[:, k] / scale[k]
        step = np.r_[np.nan, np.diff(one)]
        columns |= {name: one, f"{name}_derivative1": step, f"{name}_power2": one**2,
                    f"{name}_derivative1_power2": step**2}  # fmt: skip
    columns["global_signal"] = values.mean(axis=1)
    columns["framewise_displacement"] = np.r_[np.nan, displacement[1:]]
    return pd.DataFrame(columns)


def _write_run(folder: Path, person: str, values: np.ndarray, motion: pd.DataFrame, mask: np.ndarray,
               affine: np.ndarray, tr_s: float) -> None:  # fmt: skip
    """Image, sidecar and table of confounds of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FMRIPREP.format(person=person.removeprefix("sub-"))
    _save(values, mask, affine, path, tr_s)
    write_json(path.with_name(path.name.replace(".nii.gz", ".json")), {"RepetitionTime": tr_s})
    write_table(folder / f"{person}_task-rest_desc-confounds_timeseries.tsv", motion)


def image(values: np.ndarray, mask: np.ndarray, affine: np.ndarray, tr_s: float = 1.0) -> nib.Nifti1Image:
    """Values (volumes, voxels) as an image in single precision, 3-D of one volume; 0 outside the mask."""
    data = np.zeros((*mask.shape, len(values)), np.float32)
    data[mask] = values.T
    if len(values) == 1:
        return nib.Nifti1Image(data[..., 0], affine)
    made = nib.Nifti1Image(data, affine)
    made.header.set_zooms((*made.header.get_zooms()[:3], tr_s))
    made.header.set_xyzt_units("mm", "sec")
    return made


def _save(values: np.ndarray, mask: np.ndarray, affine: np.ndarray, path: Path, tr_s: float = 1.0) -> None:
    with write_beside(path) as temporary:
        nib.save(image(values, mask, affine, tr_s), temporary)


if __name__ == "__main__":
    cli(run)
