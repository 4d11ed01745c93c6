"""Where a training runs: the device, its precision, and what to say when its memory is too small."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from neurovae.errors import InputError

GIB = 2**30


def choose(device: str) -> torch.device:
    """The device asked for; auto takes cuda, then cpu (mps is opt-in and untested).

    Raises:
        InputError: the device asked for is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "train.device is cuda, but torch sees no GPU here; set train.device: auto, or ask for a GPU node"
        )
    return torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Networks in bf16 where that is asked for, or by auto on a GPU; losses and the linear part stay in float32."""
    enabled = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


@contextmanager
def memory(device: torch.device, part: int, batch: int) -> Iterator[None]:
    """Turn an exhausted GPU into a message with the part of a batch that would fit.

    Args:
        part: scans that were on the device at a time.
        batch: scans per step.

    Raises:
        InputError: out of GPU memory.
    """
    base = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    try:
        yield
    except torch.OutOfMemoryError:
        total = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        raise InputError(exhausted(part, batch, base, peak, total)) from None


def exhausted(part: int, batch: int, base: int, peak: int, total: int) -> str:
    """The message: what was asked for, what there is, and `accumulate` for a part that takes 0.8 of it.

    Args:
        part: scans that were on the device at a time.
        batch: scans per step.
        base: bytes taken before the first step.
        peak: bytes taken when memory ran out; those of a whole part are more, so that the advice may be repeated.
        total: bytes of the device.
    """
    a_scan = max(peak - base, 1) / part
    fits = max(1, min(part // 2, int((0.8 * total - base) / a_scan)))
    return (
        f"out of GPU memory with {part} scans at a time: at least {peak / GIB:.1f} of {total / GIB:.1f} GiB were "
        f"taken, {a_scan / GIB:.2f} GiB a scan; about {fits} scans at a time would fit: set accumulate: {-(-batch // fits)} "
        "(the step stays the same), or lower batch or width"
    )
