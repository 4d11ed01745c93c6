"""Simulated volumes as `normalise` leaves them: smooth fields and noise on the 4 mm grid, with manifests and folds."""

import gzip
import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
from scale_measure import person
from scipy.ndimage import gaussian_filter

from neurovae.cohort.folds import assign
from neurovae.io.files import write_tsv
from neurovae.preprocess import grid
from neurovae.preprocess.names import in_space

VOXEL_MM = 4.0
BUCKET = 50  # scans of a manifest
FIELDS, NOISES = 32, 64  # smooth fields along which people differ; volumes of noise, which people share
QUALITY = {"mask_ml": 1400.0, "clipped": 0.0, "mask_dice": 0.95, "template_r": 0.9, "snr": 20.0}


def prepare(folder: Path, count: int) -> list[str]:
    """Write images, manifests, lists and folds of so many scans; the names of their batches."""
    draw, derivatives = Simulated(), folder / "derivatives"
    names = []
    for start in range(0, count, BUCKET):
        names.append(f"{start // BUCKET:04d}")
        rows = [_scan(derivatives, draw, number) for number in range(start, min(start + BUCKET, count))]
        write_tsv(folder / "normalise" / f"{names[-1]}.tsv", rows, list(rows[0]))
        (folder / "extract").mkdir(exist_ok=True)
        lines = [f"{row['scan']}\t{folder}/none/{row['scan']}.nii.gz\n" for row in rows]
        (folder / "extract" / f"{names[-1]}.list").write_text("".join(lines))
    people = [(person(number), "n/a", "n/a") for number in range(count)]
    dealt = assign(people, n=5, seed=0, stop=0.1)
    write_tsv(folder / "folds.tsv", dealt, list(dealt[0]))
    return names


class Simulated:
    """Draws volumes (x, y, z), zero outside the mask; no two of 20,000 correlate above .84."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        shape, self.affine = grid.box(VOXEL_MM)
        self.mask = grid.brain_mask(VOXEL_MM)
        fields = [gaussian_filter(rng.normal(size=shape), 4)[self.mask] for _ in range(FIELDS)]
        self.fields = np.stack([field / field.std() for field in fields]).astype(np.float32)
        self.noises = rng.normal(0, 1.5, (NOISES, int(self.mask.sum()))).astype(np.float32)

    def volume(self, number: int) -> np.ndarray:
        rng = np.random.default_rng([1, number])
        voxels = rng.normal(size=FIELDS).astype(np.float32) @ self.fields + self.noises[number % NOISES]
        found = np.zeros(self.mask.shape, np.float32)
        found[self.mask] = (voxels - voxels.mean()) / voxels.std()
        return found


def _scan(derivatives: Path, draw: Simulated, number: int) -> dict[str, object]:
    """Write one scan's image, not compressed within its .gz; its row of the manifest."""
    name = person(number)
    image = nib.Nifti1Image(draw.volume(number), draw.affine)
    data = gzip.compress(image.to_bytes(), compresslevel=0, mtime=0)
    path = in_space(derivatives, name, VOXEL_MM, "desc-preproc_T1w.nii.gz")
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    digests = {"source_sha256": f"{number:064x}", "preproc_sha256": hashlib.sha256(data).hexdigest()}
    return {"scan": name, "status": "ok", "cause": "", **QUALITY, **digests}
