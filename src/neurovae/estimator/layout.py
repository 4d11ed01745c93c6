"""Arrange the input of LatentModel as the rules do: volumes in a box, a mask, a split; and convert back."""

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
from neurovae.plan.kinds import GIVEN, NOT_OPTIONS, PERIODS, SEVERAL
from neurovae.plan.latent_maps import is_map
from neurovae.train.fit import THREADS
from neurovae.train.weights import Tensors

MULTIPLE = 8  # the networks' sides divide by it


@dataclass(frozen=True)
class Layout:
    """The arrangement of voxels: `own`, the given mask, (x, y, z) or (features,), and `mask`, the same in its box."""

    own: np.ndarray
    mask: np.ndarray
    flat: bool  # reconstructions come back as features (n, voxels)

    def boxes(self, values: np.ndarray) -> np.ndarray:
        """Volumes (n, x, y, z) in the box, of volumes or features (n, voxels of the mask)."""
        if values.ndim == 4 and self.mask.shape == self.own.shape:
            return values if values.dtype in (np.float16, np.float32) else values.astype(np.float32)
        boxes = np.zeros((len(values), *self.mask.shape), np.float32)
        boxes[:, self.mask] = values[:, self.own] if values.ndim == 4 else values
        return boxes

    def back(self, voxels: np.ndarray) -> np.ndarray:
        """Voxels of the mask (n, voxels) in the form that was fitted."""
        if self.flat:
            return voxels
        volumes = np.zeros((len(voxels), *self.own.shape), np.float32)
        volumes[:, self.own] = voxels
        return volumes


def layout(own_mask: np.ndarray, kind: str, flat: bool, flip: bool) -> Layout:
    """The box of a mask: for networks its sides are filled up to multiples of 8, features without a mask in rows.

    Raises:
        InputError: mirror images of data without a midline.
    """
    networks = kind in PERIODS
    if own_mask.ndim == 1:
        mask = np.zeros(
            (-(-len(own_mask) // MULTIPLE**2) * MULTIPLE, MULTIPLE, MULTIPLE) if networks else (len(own_mask), 1, 1),
            bool,
        )
        mask.ravel()[: len(own_mask)] = True
    else:
        padding = [-side % MULTIPLE if networks else 0 for side in own_mask.shape]
        mask = np.pad(own_mask, [(side // 2, side - side // 2) for side in padding])
    if flip and (own_mask.ndim == 1 or (mask != mask[::-1]).any()):
        raise InputError(
            "flip mirrors the first axis about its middle, and the mask is not symmetric there; give "
            "options={'flip': False}, or arrays on a grid that is symmetric about the midline"
        )
    return Layout(own_mask, mask, flat)


def entry(kind: str, n_latent: int, options: dict[str, Any] | None, brain: bool) -> dict[str, Any]:
    """Return an entry of train.models with the schema's defaults; data other than brains have no mirror images.

    Raises:
        InputError: unknown options, or impossible values.
    """
    schema = config.load_schema()["properties"]["train"]["properties"]["models"]
    if kind in GIVEN:
        raise InputError(f"kind {kind!r}: its latents exist already and need no model; use them as they are")
    if kind in SEVERAL:
        raise InputError(f"kind {kind!r}: reads several blocks, and the estimator one array; use the pipeline")
    if kind == "frozen":
        raise InputError(
            "kind 'frozen': the model of another cohort, which is not fitted; use LatentModel.load(folder)"
        )
    values = {"name": "model", "kind": kind, "n_latent": n_latent, **(options or {})}
    if is_map(values):
        del values["n_latent"]  # it follows from the grid
    for key, off_value in () if brain else (("flip", False), ("blur", 0), ("taper_mm", ["none"]), ("network", "dense")):
        if kind in schema["items"]["properties"][key].get("kinds", [kind]):
            values.setdefault(key, off_value)
    validated = config.validate({"models": [values]}, {"type": "object", "properties": {"models": schema}})
    return {key: value for key, value in validated["models"][0].items() if key not in NOT_OPTIONS}


def same_voxels(path: Path, tensors: Tensors, meta: dict[str, Any], mask: np.ndarray) -> None:
    """Raise InputError where a mask cannot be that of the weights."""
    n_voxels = tensors["inward"].shape[1] if "inward" in tensors else len(tensors["mean"])
    shape, voxels = list(mask.shape), int(mask.sum())
    if meta["architecture"].get("shape", shape) != shape or n_voxels != voxels:
        raise InputError(
            f"{path}: of {n_voxels} voxels, the mask has {voxels} on {shape}; give the mask of its training"
        )


def finite(values: Any) -> None:
    """Raise InputError where a volume holds NaN or infinity."""
    for part in chunks(len(values)):
        if not np.isfinite(values[part]).all():
            raise InputError(f"volumes {part.start} to {part.stop - 1} contain NaN or infinity; mend or leave them out")


def splits_of(split: Any, groups: Any, count: int, validation: float, kind: str, seed: int) -> np.ndarray:
    """Split of each row, as given or drawn by person.

    Raises:
        InputError: lengths that do not fit, or no training or, for networks, no validation participants.
    """
    for name, values in (("split", split), ("groups", groups)):
        if values is not None and len(values) != count:
            raise InputError(f"{name}: {len(values)} values for {count} rows; give one per row")
    if split is not None:
        split_of = np.asarray(split, dtype=str)
    else:
        person = np.unique(np.arange(count) if groups is None else np.asarray(groups), return_inverse=True)[1]
        people = person.max() + 1
        least = int(kind in PERIODS and validation > 0)
        validation_people = np.random.default_rng(seed).permutation(people)[: max(round(validation * people), least)]
        split_of = np.where(np.isin(person, validation_people), "validation", "training")
    required = ["training", *(["validation"] if kind in PERIODS else [])]
    problems = sorted(set(split_of) - set(SPLITS)) or [name for name in required if name not in split_of]
    if problems:
        raise InputError(
            f"split: {', '.join(problems)} unknown or without rows; a {kind} needs {' and '.join(required)}"
        )
    return split_of


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
