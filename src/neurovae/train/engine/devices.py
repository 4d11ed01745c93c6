"""The device of a training, its precision, and the message where its memory is too small."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from neurovae.errors import InputError

GIB = 2**30


def choose(device: str) -> torch.device:
    """Return the requested device; auto takes cuda, then cpu (mps must be named and is untested).

    Deterministic products on a GPU need a fixed workspace, which is read from the environment at the first product.

    Raises:
        InputError: the requested device is not available.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "train.device is cuda, but torch sees no GPU here; set train.device: auto, or ask for a GPU node"
        )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Networks in bf16 where that is asked for, or by auto on a GPU; losses and the linear part stay in float32."""
    enabled = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


@contextmanager
def memory(device: torch.device, part: int, n_own: int) -> Iterator[None]:
    """Turn an exhausted GPU into a message with the part of a batch that would fit; elsewhere it does nothing.

    Args:
        part: scans that are on the device at a time.
        n_own: scans of a step that this process computes.

    Raises:
        InputError: out of GPU memory.
    """
    cuda = device.type == "cuda"
    base = torch.cuda.memory_allocated(device) if cuda else 0
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    try:
        yield
    except torch.OutOfMemoryError:
        if not cuda:
            raise
        peak = torch.cuda.max_memory_allocated(device)
        total = torch.cuda.get_device_properties(device).total_memory
        raise InputError(exhausted(part, n_own, base, peak, total)) from None


def exhausted(part: int, n_own: int, base: int, peak: int, total: int) -> str:
    """Return the message: memory used and available, and `accumulate` for a part that takes 0.8 of it.

    Args:
        part: scans that were on the device at a time.
        n_own: scans of a step that this process computes.
        base: bytes taken before the first step.
        peak: bytes taken when memory ran out; those of a whole part are more, so that the advice may be repeated.
        total: bytes of the device.
    """
    a_scan = max(peak - base, 0) / part
    message = (
        f"out of GPU memory with {part} scan{'s' * (part > 1)} at a time: at least {peak / GIB:.1f} of "
        f"{total / GIB:.1f} GiB were taken, {base / GIB:.1f} GiB before the first scan and {a_scan / GIB:.2f} GiB or "
        "more for each"
    )
    if part == 1:
        return f"{message}; a single scan does not fit: lower base_channels or n_latent, or take a GPU with more memory"
    room = int((0.8 * total - base) / a_scan) if a_scan else part
    fits = max(1, min(part // 2, room))
    return (
        f"{message}; about {fits} at a time would fit: set accumulate: {-(-n_own // fits)} (the step stays the same), "
        "or lower batch or base_channels"
    )
