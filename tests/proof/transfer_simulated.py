"""Packed volumes of simulated heads on a run's grid: a source cohort of which no scan was registered.

Heads are those of the demo without their pose (the affine of each is undone exactly), sampled at half the voxel size
and averaged, noise, contrast and bias field included, z-scored inside the brain. The mask is the run's.
"""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from joblib import Parallel, delayed

from neurovae.cohort import anatomy as template
from neurovae.cohort.people import draw_person
from neurovae.cohort.simulate import acquire, log_volumes, own_flow
from neurovae.preprocess.normalise import normalise


def volumes(mask: nib.Nifti1Image, people: int, seed: int = 7, jobs: int = 1) -> np.ndarray:
    """Simulated heads (people, x, y, z) in half precision on the grid of a mask."""
    anatomy = template.build(seed=seed)
    brain = mask.get_fdata() > 0.5
    tasks = (delayed(_volume)(anatomy, number, seed, brain, mask.affine) for number in range(1, people + 1))
    found = np.zeros((people, *brain.shape), np.float16)
    for k, one in enumerate(Parallel(n_jobs=jobs, return_as="generator", max_nbytes="1M")(tasks)):
        found[k] = one
        if k % 50 == 49:
            print(f"simulated head {k + 1}/{people}", flush=True)
    return found


def _volume(anatomy: Any, number: int, seed: int, mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    true_values = draw_person(rng, number)[1]
    displacement, _ = template.deform(anatomy, own_flow(anatomy, true_values, rng), log_volumes(true_values))
    points = fine_points(mask.shape, affine)
    moved = points + template.sample_flow(displacement, points)
    to_voxel = np.linalg.inv(anatomy.head_affine)
    head = template.sample(anatomy.head, to_voxel, moved, "nearest")
    brain = halved(template.sample(anatomy.brain, to_voxel, moved)) > 0.5
    image = halved(acquire(head, true_values, rng).astype(np.float32)) * brain
    scaled = normalise(image, brain & mask, "zscore", region=None, white=mask)
    return np.where(mask, scaled, 0).astype(np.float16)


def fine_points(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """World coordinates (3, 2x, 2y, 2z) in mm of the centres of the eighths of a grid's voxels."""
    index = np.meshgrid(*(np.arange(2 * n) / 2 - 0.25 for n in shape), indexing="ij")
    return template.transform_points(affine, np.stack(index).astype(np.float32))


def halved(image: np.ndarray) -> np.ndarray:
    """Mean of each 2 x 2 x 2 voxels."""
    x, y, z = (n // 2 for n in image.shape)
    mean: np.ndarray = image.reshape(x, 2, y, 2, z, 2).mean(axis=(1, 3, 5))
    return mean


def kept(mask: nib.Nifti1Image, people: int, path: Path, jobs: int = 1) -> np.ndarray:
    """`volumes`, from a file if they were made before."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, volumes(mask, people, jobs=jobs))
    found: np.ndarray = np.load(path)
    return found
