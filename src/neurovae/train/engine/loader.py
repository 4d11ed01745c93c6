"""Move volumes to the device: all at once where they fit, else read from the packed array while the device computes."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

RESIDENT = 0.4  # share of the free GPU memory that volumes may take


class Batches(Dataset[Tensor]):
    """Packed volumes by batch: item i is (scans, 1, x, y, z) of the i-th array of row numbers, as stored."""

    def __init__(self, volumes: np.ndarray, order: list[np.ndarray]) -> None:
        self.volumes, self.order = volumes, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.volumes[self.order[i]]))[:, None]


def resident(volumes: np.ndarray, device: torch.device) -> Tensor | None:
    """All volumes on the GPU, as stored, where they fit beside the network; otherwise None."""
    if device.type != "cuda" or volumes.nbytes > RESIDENT * torch.cuda.mem_get_info(device)[0]:
        return None
    return torch.cat([torch.from_numpy(volumes[i : i + 256]).to(device) for i in range(0, len(volumes), 256)])[:, None]


def batches(
    volumes: np.ndarray, order: list[np.ndarray], device: torch.device, resident_volumes: Tensor | None = None
) -> Iterator[Tensor]:
    """Yield volumes (scans, 1, x, y, z) in single precision on the device, one batch per array of row numbers."""
    if resident_volumes is not None:
        for rows in order:
            yield resident_volumes[torch.from_numpy(rows).to(device)].float()
        return
    cuda = device.type == "cuda"
    for x in loader(volumes, order, workers=2 * (cuda and len(order) > 1), pinned=cuda):
        yield x.to(device, non_blocking=True).float()


def loader(volumes: np.ndarray, order: list[np.ndarray], *, workers: int, pinned: bool) -> Iterator[Tensor]:
    """Batches as stored, read ahead by other processes where there are workers, in memory that a GPU copies from."""
    prefetch = {"prefetch_factor": 4} if workers else {}
    return iter(
        DataLoader(Batches(volumes, order), batch_size=None, num_workers=workers, pin_memory=pinned, **prefetch)  # type: ignore[arg-type]
    )
