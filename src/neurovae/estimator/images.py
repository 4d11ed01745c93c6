"""The brains of a table, as LatentModel reads them: on the model's grid, in half precision, preprocessed alike."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io.images import read_image
from neurovae.io.volumes import read_mask
from neurovae.preprocess import grid
from neurovae.preprocess.pack import half

SIDECAR_KEYS = ("Normalisation", "SpatialReference")  # of a brain's sidecar, which must equal those of the training


def is_table(x: Any) -> bool:
    """Whether it is a table of images, and not of numbers."""
    return isinstance(x, pd.DataFrame) and "path" in x


class Images:
    """Preprocessed brains of a table, read when they are asked for, in half precision as `pack` holds them."""

    ndim = 4

    def __init__(
        self, paths: list[Path], affine: np.ndarray | None, shape: tuple[int, ...], sidecar: dict[str, Any]
    ) -> None:
        self.paths, self.affine, self.shape, self.sidecar = paths, affine, (len(paths), *shape), sidecar

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, part: slice) -> np.ndarray:
        return np.stack([self._read(path) for path in self.paths[part]])

    def _read(self, path: Path) -> np.ndarray:
        image = read_image(path)
        other_affine = self.affine is not None and not np.allclose(image.affine, self.affine, atol=1e-4)
        if image.shape != self.shape[1:] or other_affine:
            raise InputError(
                f"{path}: shape {image.shape} or affine is not the model's {self.shape[1:]}; "
                "preprocess it in the same way"
            )
        sidecar = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
        sidecar_content = (
            json.loads(sidecar.read_text(encoding="utf-8")) if self.sidecar and sidecar.is_file() else self.sidecar
        )
        for key in SIDECAR_KEYS:
            if self.sidecar.get(key) != sidecar_content.get(key):
                raise InputError(
                    f"{sidecar}: {key} is {sidecar_content.get(key)}, of the model {self.sidecar.get(key)}; "
                    "preprocess it in the same way"
                )
        return half(image.get_fdata(dtype=np.float32), path.name)


def images(table: pd.DataFrame, mask: np.ndarray, affine: np.ndarray | None, sidecar: dict[str, Any]) -> Images:
    """The brains of a table on the grid of a mask.

    Raises:
        InputError: files that are not there, each of them named.
    """
    paths = [Path(path) for path in table["path"]]
    missing = [f"{path}: no such file; correct the column path" for path in paths if not path.is_file()]
    if missing or not paths:
        raise InputError(missing[:5] or "a table without rows; give at least one scan")
    return Images(paths, affine, mask.shape, sidecar)


def template_mask(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The fixed mask and the affine of the grid that a preprocessed brain lies on.

    Raises:
        InputError: it lies on none of the grids of `preprocess`.
    """
    image = read_image(path)
    voxel_mm = float(image.header.get_zooms()[0])
    shape, affine = grid.box(voxel_mm)
    if image.shape != shape or not np.allclose(image.affine, affine, atol=1e-4):
        raise InputError(f"{path}: not on the grid of {voxel_mm:g} mm that `preprocess` makes; give mask, a NIfTI file")
    return grid.brain_mask(voxel_mm), affine


def where(mask: Any, x: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """The voxels that count, and the affine where they are known to lie in space: of a file, or of a table's grid.

    Without a mask every voxel of volumes counts; features are not counted here (no voxels).
    """
    if isinstance(mask, str | Path):
        return read_mask(Path(mask)), read_image(mask).affine
    if mask is not None:
        return np.asarray(mask, bool), None
    if is_table(x):
        return template_mask(Path(x["path"].iloc[0]))
    return np.ones(x.shape[1:] if getattr(x, "ndim", 0) == 4 else 0, bool), None
