"""Lines 4 and 5: waiting for data on disk, and memory per volume."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import benchmark_ours as ours
import numpy as np
import torch
from benchmark_tools import Row, Settings, brains, interleaved, judged, ratio

from neurovae.train.engine import loader, loop

GIB = 2**30


def waiting(settings: Settings, volumes: np.ndarray, mask: np.ndarray) -> list[Row]:
    """Line 4: the same pass with volumes on the device and streamed from disk; what is longer is waiting."""
    made = ours.trainer(settings, volumes, mask, linear="none")
    held = torch.from_numpy(volumes).to(settings.device)[:, None]
    made.data = ours.dataclasses.replace(made.data, held=held)
    count, everyone = settings.stored, np.arange(settings.stored)
    with tempfile.TemporaryDirectory(dir=os.environ.get("NEUROVAE_SCRATCH")) as folder:
        disk = _stored(Path(folder) / "volumes.npy", volumes, count)
        clock = Clock()
        work = {
            "held": lambda: made.one_pass(everyone % settings.people),
            "warm": lambda: made.one_pass(everyone, volumes=disk),
            "timed": lambda: clock.around(lambda: made.one_pass(everyone, volumes=disk)),
            "cold": lambda: (_forget(Path(folder) / "volumes.npy"), made.one_pass(everyone, volumes=disk)),
        }
        with mock.patch("benchmark_tools.now", lambda device: time.perf_counter()):
            times = interleaved(work, settings)
    warm, cold = (ratio([1 - h / s for h, s in zip(times["held"], times[name], strict=True)],
                        [1.0] * settings.repeats, 3) for name in ("warm", "cold"))  # fmt: skip
    size = count * volumes[0].nbytes / GIB
    n = f"{count:,} volumes, {size:.2f} GiB float16, {settings.repeats} repeats, wall time"
    return [
        Row(number="4", what="share of time waiting for data on disk: 1 - pass on the device / streamed pass",
            measured=warm[1], goal="<= 0.02 on a GPU, 10,000 volumes", n=n, **judged(settings, warm[0] <= 0.02)),
        Row(number="4", what="the same, page cache dropped before each pass", measured=cold[1], n=n),
        Row(number="4", what="share of a streamed pass inside next(batches), as the host sees it",
            measured=f"{clock.inside / clock.total:.3f}", n=n),
    ]  # fmt: skip


class Clock:
    """Time inside `next` of the feed, and of all."""

    inside = total = 0.0

    def around(self, work: Any) -> None:
        start = time.perf_counter()
        with mock.patch.object(loop, "batches", self.batches):
            work()
        self.total += time.perf_counter() - start

    def batches(self, *arguments: Any) -> Iterator[torch.Tensor]:
        source = loader.batches(*arguments)
        while True:
            start = time.perf_counter()
            x = next(source, None)
            self.inside += time.perf_counter() - start
            if x is None:
                return
            yield x


def _stored(path: Path, volumes: np.ndarray, count: int) -> np.ndarray:
    """So many volumes on disk, the given ones again and again, opened as the training opens them."""
    disk = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(count, *volumes.shape[1:]))
    for first in range(0, count, len(volumes)):
        disk[first : first + len(volumes)] = volumes[: count - first]
    disk.flush()
    del disk
    opened: np.ndarray = np.load(path, mmap_mode="r")
    return opened


def _forget(path: Path) -> None:
    """Ask the kernel to drop the file from its cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def memory(settings: Settings) -> list[Row]:
    """Line 5: growth of the peak with the batch, ours and MONAI's, and the largest batch of ours."""
    few, many = settings.memory_batches
    rows = []
    for who in ("ours", "MONAI"):
        peaks = [_elsewhere(who, settings, batch) for batch in (few, many)]
        if any(peak is None for peak in peaks):
            continue
        each = (peaks[1] - peaks[0]) / (many - few)
        free = 0.8 * _kilobytes("/proc/meminfo", "MemAvailable") * 1024
        largest = _largest(who, settings) if settings.gpu else f"about {int(free / max(each, 1))}, from free memory"
        rows.append(
            Row(number="5", what=f"{who}: peak memory per volume, and the largest batch",
                measured=f"{each / 2**20:.1f} MiB; {largest}", n=f"peaks at batch {few} and {many}")
        )  # fmt: skip
    return rows


def _kilobytes(path: str, name: str) -> int:
    return next(int(line.split()[1]) for line in Path(path).read_text().splitlines() if line.startswith(name + ":"))


def _largest(who: str, settings: Settings) -> str:
    """By doubling until the GPU's memory is exhausted."""
    batch = settings.memory_batches[1]
    while _elsewhere(who, settings, 2 * batch) is not None and batch < 2**15:
        batch *= 2
    return f"{batch} (twice that does not fit)"


def _elsewhere(who: str, settings: Settings, batch: int) -> int | None:
    """Peak bytes of one step in a process of its own; None where memory or MONAI is missing."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(one_step, (who, settings, batch))


def one_step(who: str, settings: Settings, batch: int) -> int | None:
    """Peak bytes of this process (on a GPU: of its tensors) after one step with so many volumes."""
    torch.set_num_threads(1)
    few, mask = brains(32, settings.grid, settings.device)
    volumes = np.resize(few, (batch + 32, *settings.grid))
    wide = ours.dataclasses.replace(settings, people=batch, held_out=32)
    try:
        if who == "ours":
            ours.trainer(wide, volumes, mask, linear="none", batch=batch).one_pass()
        else:
            import benchmark_monai

            benchmark_monai.Loop(wide, volumes, mask, ours.options(settings)["n_latent"], batch).one_pass()
    except (ModuleNotFoundError, torch.OutOfMemoryError):
        return None
    if settings.gpu:
        return torch.cuda.max_memory_allocated(settings.device)
    return _kilobytes("/proc/self/status", "VmHWM") * 1024  # getrusage would count the parent's memory too
