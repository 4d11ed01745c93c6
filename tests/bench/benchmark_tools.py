"""What every part of the benchmark shares: settings, simulated brains made on the device, clocks, rows of the table."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MODES = 24  # shared directions of anatomy
GPU_COMMAND = "python tests/bench/benchmark.py --device cuda --grid 96 112 96"


@dataclass(kw_only=True)
class Settings:
    """One run of the benchmark: where, how large, how often."""

    device: torch.device
    grid: tuple[int, int, int]
    people: int  # in training
    held_out: int
    stored: int  # volumes on disk
    repeats: int
    budget: float  # seconds of MONAI's training, and of each architecture's
    memory_batches: tuple[int, int]
    options: dict[str, Any]  # of the model's entry: the schema's defaults, and what the command line says

    @property
    def gpu(self) -> bool:
        return self.device.type == "cuda"


@dataclass(kw_only=True)
class Row:
    """One line of the table; `met` is None where no bar holds on this device."""

    number: str
    what: str
    measured: str
    goal: str = "-"
    n: str = "-"
    met: bool | None = None
    needs_gpu: bool = False  # the goal is about a GPU, and none is here

    def text(self, device: str) -> str:
        """The row as Markdown."""
        bare = "SKIPPED (measured, no bar on cpu)" if self.needs_gpu else "measured"
        verdict = bare if self.met is None else ("passed" if self.met else "FAILED")
        return f"| {' | '.join((self.number, self.what, self.measured, self.goal, self.n, device, verdict))} |"


def judged(settings: Settings, met: bool) -> dict[str, Any]:
    """Verdict of a goal that is about a GPU."""
    return {"met": met} if settings.gpu else {"needs_gpu": True}


@torch.no_grad()
def brains(
    count: int, grid: tuple[int, int, int], device: torch.device, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Smooth brains with between-person deformations (count, x, y, z) in float16, and their mask; made on the device."""
    own = torch.Generator(device).manual_seed(seed)
    image, mask = _template(grid, device)
    modes = torch.randn(MODES, 3 * 5**3, generator=own, device=device)
    modes *= (0.06 / (1 + torch.arange(MODES, device=device)).sqrt())[:, None]
    packed = np.empty((count, *grid), np.float16)
    for first in range(0, count, 16):
        size = min(16, count - first)
        flow = torch.randn(size, MODES, generator=own, device=device) @ modes
        flow = flow.view(size, 3, 5, 5, 5)
        fine = 0.015 * torch.randn(size, 3, 10, 10, 10, generator=own, device=device)
        x = _deformed(image, _enlarged(flow, grid) + _enlarged(fine, grid))
        x += 0.1 * torch.randn(x.shape, generator=own, device=device)
        packed[first : first + size] = (x[:, 0] * mask).half().cpu().numpy()
    return packed, mask.cpu().numpy()


def _template(grid: tuple[int, int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """A brain of rim, interior, two ventricles and folds (1, 1, x, y, z), of mean 0 and variance 1 in the mask."""
    x, y, z = torch.meshgrid(*(torch.linspace(-1, 1, side, device=device) for side in grid), indexing="ij")
    radius = (x.square() + y.square() + z.square()).sqrt() / 0.85
    folds = torch.cos(14 * x) * torch.cos(14 * y) * torch.cos(14 * z)
    image = torch.sigmoid((0.8 - radius + 0.08 * folds) * 30) + 0.5 * torch.sigmoid((1 - radius) * 30)
    for side in (-1, 1):
        hole = ((x - 0.15 * side) / 0.1).square() + (y / 0.35).square() + ((z - 0.1) / 0.15).square()
        image -= torch.sigmoid((1 - hole) * 6)
    mask = radius < 1
    return ((image - image[mask].mean()) / image[mask].std())[None, None], mask


def _enlarged(flow: Tensor, grid: tuple[int, int, int]) -> Tensor:
    return functional.interpolate(flow, grid, mode="trilinear", align_corners=True)


def _deformed(image: Tensor, flow: Tensor) -> Tensor:
    """The image (1, 1, x, y, z) moved along each flow (n, 3, x, y, z)."""
    still = torch.eye(3, 4, device=flow.device).expand(len(flow), 3, 4)
    where = functional.affine_grid(still, [len(flow), 1, *flow.shape[2:]], align_corners=True)
    whole = image.expand(len(flow), -1, -1, -1, -1)
    return functional.grid_sample(whole, where + flow.movedim(1, -1), padding_mode="border", align_corners=True)


def now(device: torch.device) -> float:
    """Wall time on a GPU; processor time on the CPU, which others on the same machine disturb less."""
    return time.perf_counter() if device.type == "cuda" else time.process_time()


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Time that some work takes, with the device idle before and after."""
    _wait(device)
    start = now(device)
    work()
    _wait(device)
    return now(device) - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(work: dict[str, Callable[[], Any]], settings: Settings) -> dict[str, list[float]]:
    """Seconds of each piece of work, one after another in turn, after a warm-up of each."""
    for piece in work.values():
        piece()
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(settings.repeats):
        for name, piece in work.items():
            found[name].append(seconds(piece, settings.device))
    return found


def ratio(above: list[float], below: list[float], digits: int = 2) -> tuple[float, str]:
    """Median of the ratios of neighbours in time, and the same in words with its spread."""
    found = [a / b for a, b in zip(above, below, strict=True)]
    low, middle, high = min(found), statistics.median(found), max(found)
    return middle, f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def digits(value: float) -> str:
    """A number with three digits that count."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0}f}"
