"""What LatentModel is given, laid out as the rules have it: volumes in a box, a mask, a split; and back again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurovae.errors import InputError
from neurovae.io.volumes import SPLITS, chunks
from neurovae.plan import config
from neurovae.plan.entries import NOT_OPTIONS, PERIODS
from neurovae.train.fit import THREADS
from neurovae.train.weights import Tensors

MULTIPLE = 8  # the networks' sides divide by it


@dataclass(frozen=True)
class Layout:
    """Where the voxels lie: `own`, the mask as it was given, (x, y, z) or (features,), and `mask`, in its box."""

    own: np.ndarray
    mask: np.ndarray
    flat: bool  # reconstructions come back as features (n, voxels)

    def boxes(self, values: np.ndarray) -> np.ndarray:
        """Volumes (n, x, y, z) in the box, of volumes or features (n, voxels of the mask)."""
        if values.ndim == 4 and self.mask.shape == self.own.shape:
            return values if values.dtype in (np.float16, np.float32) else values.astype(np.float32)
        found = np.zeros((len(values), *self.mask.shape), np.float32)
        found[:, self.mask] = values[:, self.own] if values.ndim == 4 else values
        return found

    def back(self, voxels: np.ndarray) -> np.ndarray:
        """Voxels of the mask (n, voxels) in the form that was fitted."""
        if self.flat:
            return voxels
        found = np.zeros((len(voxels), *self.own.shape), np.float32)
        found[:, self.own] = voxels
        return found


def layout(own: np.ndarray, kind: str, flat: bool, flip: bool) -> Layout:
    """The box of a mask: for networks its sides are filled up to multiples of 8, features without a mask in rows.

    Raises:
        InputError: mirror images of what has no midline.
    """
    networks = kind in PERIODS
    if own.ndim == 1:
        mask = np.zeros(
            (-(-len(own) // MULTIPLE**2) * MULTIPLE, MULTIPLE, MULTIPLE) if networks else (len(own), 1, 1), bool
        )
        mask.ravel()[: len(own)] = True
    else:
        more = [-side % MULTIPLE if networks else 0 for side in own.shape]
        mask = np.pad(own, [(side // 2, side - side // 2) for side in more])
    if flip and (own.ndim == 1 or (mask != mask[::-1]).any()):
        raise InputError(
            "flip mirrors the first axis about its middle, and the mask is not symmetric there; give "
            "options={'flip': False}, or arrays on a grid that is symmetric about the midline"
        )
    return Layout(own, mask, flat)


def entry(kind: str, n_latent: int, options: dict[str, Any] | None, brain: bool) -> dict[str, Any]:
    """The values of an entry in train.models with the schema's defaults; what is no brain has no mirror image.

    Raises:
        InputError: unknown options, or impossible values.
    """
    known = config.load_schema()["properties"]["train"]["properties"]["models"]
    given = {"name": "model", "kind": kind, "n_latent": n_latent, **(options or {})}
    for key, off in () if brain else (("flip", False), ("blur", 0), ("taper_mm", ["none"])):
        if kind in known["items"]["properties"][key].get("kinds", [kind]):
            given.setdefault(key, off)
    checked = config.validate({"models": [given]}, {"type": "object", "properties": {"models": known}})
    return {key: value for key, value in checked["models"][0].items() if key not in NOT_OPTIONS}


def same_voxels(path: Path, tensors: Tensors, meta: dict[str, Any], mask: np.ndarray) -> None:
    """Raise InputError where a mask cannot be that of the weights."""
    held = tensors["inward"].shape[1] if "inward" in tensors else len(tensors["mean"])
    shape, voxels = list(mask.shape), int(mask.sum())
    if meta["architecture"].get("shape", shape) != shape or held != voxels:
        raise InputError(f"{path}: of {held} voxels, the mask has {voxels} on {shape}; give the mask of its training")


def finite(values: Any) -> None:
    """Raise InputError where a volume holds NaN or infinity."""
    for part in chunks(len(values)):
        if not np.isfinite(values[part]).all():
            raise InputError(f"volumes {part.start} to {part.stop - 1} contain NaN or infinity; mend or leave them out")


def settled(split: Any, groups: Any, count: int, validation: float, kind: str, seed: int) -> np.ndarray:
    """Split of each row, as given or drawn by person.

    Raises:
        InputError: lengths that do not fit, or no training or, for networks, no validation participants.
    """
    for name, values in (("split", split), ("groups", groups)):
        if values is not None and len(values) != count:
            raise InputError(f"{name}: {len(values)} values for {count} rows; give one per row")
    if split is not None:
        found = np.asarray(split, dtype=str)
    else:
        person = np.unique(np.arange(count) if groups is None else np.asarray(groups), return_inverse=True)[1]
        people = person.max() + 1
        least = int(kind in PERIODS and validation > 0)
        ended = np.random.default_rng(seed).permutation(people)[: max(round(validation * people), least)]
        found = np.where(np.isin(person, ended), "validation", "training")
    needed = ["training", *(["validation"] if kind in PERIODS else [])]
    wrong = sorted(set(found) - set(SPLITS)) or [name for name in needed if name not in found]
    if wrong:
        raise InputError(f"split: {', '.join(wrong)} unknown or without rows; a {kind} needs {' and '.join(needed)}")
    return found


@contextmanager
def as_the_rules(threads: int = THREADS) -> Iterator[None]:
    """Torch as a rule runs it (threads, deterministic), and afterwards as it was, its random numbers included."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = memory  # type: ignore[attr-defined]
