"""The data of a training: the volumes, the split of each scan, and the device."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neurovae.io.volumes import SPLITS, chunks, evenly, masked
from neurovae.train.engine.loader import resident

MAX_SCANS = 1000  # training scans for the loss of an epoch, the linear part and the intensities


@dataclass(frozen=True, kw_only=True)
class Data:
    """Volumes with their splits, on one device of one of `world` processes."""

    volumes: np.ndarray  # (scans, x, y, z), as packed
    index: dict[str, np.ndarray]  # rows by split; splits without people are absent
    centre: Tensor  # (x, y, z), mean of the training people, on the device
    low: float  # intensity that counts as black, for SSIM
    data_range: float  # of intensities in the mask, for SSIM
    held: Tensor | None  # the volumes on the GPU, where they fit
    device: torch.device
    rank: int
    world: int
    group: np.ndarray | None = None  # of each scan (scans,), of which a batch holds one only; None: no groups


def gather(
    volumes: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    device: torch.device,
    rank: int,
    world: int,
    group: np.ndarray | None = None,
) -> Data:
    """The data of a training; intensities and centre are of the people in "training"."""
    index = {name: np.flatnonzero(split == name) for name in SPLITS if (split == name).any()}
    training = index["training"]
    low, width = intensities(volumes[some(training)], mask)
    return Data(
        volumes=volumes,
        index=index,
        centre=mean(volumes, training).to(device),
        low=low,
        data_range=width,
        held=resident(volumes, device),
        device=device,
        rank=rank,
        world=world,
        group=group,
    )


def some(rows: np.ndarray) -> np.ndarray:
    """At most MAX_SCANS of the rows, evenly spaced: neighbouring ids often come from one site."""
    return rows[evenly(len(rows), MAX_SCANS)]


def mean(volumes: np.ndarray, rows: np.ndarray, flip: bool = False) -> Tensor:
    """Mean volume (x, y, z) of some rows; with flip, of them and their mirror images."""
    total = sum(volumes[rows[part]].sum(axis=0, dtype=np.float64) for part in chunks(len(rows)))
    average = total / len(rows)
    return torch.from_numpy(((average + average[::-1]) / 2 if flip else average).astype(np.float32))


def intensities(volumes: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """The 0.1 percentile of the masked intensities, and its distance to the 99.9: two numbers for a cohort."""
    low, high = np.percentile(masked(volumes, mask), [0.1, 99.9])
    return float(low), float(high - low)


def data_range(volumes: np.ndarray, mask: np.ndarray) -> float:
    """The second of `intensities`."""
    return intensities(volumes, mask)[1]
