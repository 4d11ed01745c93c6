"""What the joint model of one fold says of its test people, from what it is given of them; and its health."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurovae.train.health.by_block import IGNORED
from neurovae.train.losses.divergence import kl_per_dimension
from neurovae.train.models import joint, joint_inputs
from neurovae.train.models.joint_network import CLINICAL, IMAGE, Joint
from neurovae.train.weights import Tensors

INPUTS = {"image": (IMAGE,), "clinical": (CLINICAL,), "clinical+image": (IMAGE, CLINICAL)}
BLOCKS = {IMAGE: "image", CLINICAL: "clinical"}
LEVEL = (0.025, 0.975)  # of the interval of a prediction
REMEDY = {
    "collapsed": "its decoder ignores the shared latents: image and scores share nothing that was found. Use more "
    "participants or scores of more variance, raise cross_weight, or lower beta; do not interpret shared latents",
    "not predicted": "the shared latents are used, but do not predict this block in validation participants from the "
    "other one; raise dropout or lower epochs, and take the shared latents as unconfirmed",
    "healthy": "",
}  # fmt: skip


@dataclass(frozen=True)
class Fold:
    """A model with its people: components (people, components), scores (people, scores) in their own units."""

    model: Joint
    items: list[dict[str, Any]]
    tensors: Tensors
    x: np.ndarray
    y: np.ndarray
    seed: int

    def parts(self, x: np.ndarray, y: np.ndarray) -> list[Tensor]:
        """Standardised blocks of components and scores."""
        codes = [joint_inputs.coded(one, column) for one, column in zip(self.items, y.T, strict=True)]
        values = np.concatenate([x, np.column_stack(codes)], axis=1).astype(np.float32)
        return self.model.split(torch.from_numpy(values))


@torch.no_grad()
def predicted(fold: Fold, inputs: str, relatives: dict[str, list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected scores and the ends of their 95 % intervals, each (people, scores) in their own units.

    An expected score is a mean over samples of the latents. Its interval is that of the likelihood at their mean: the
    dispersion of a score that is decoded from the other block was learned over samples, and holds what they add.

    relatives: scores that are left out of the clinical encoder where one of them is predicted: itself, items, totals.
    """
    use, names = INPUTS[inputs], [one["name"] for one in fold.items]
    found = [np.empty(fold.y.shape) for _ in range(3)]
    clinical: Any = fold.model.blocks[CLINICAL]
    for j, item in enumerate(fold.items):
        hidden = fold.y.copy()
        hidden[:, [k for k, name in enumerate(names) if name in relatives[item["name"]]]] = np.nan
        rng = np.random.default_rng((fold.seed, j))
        s, p = joint.from_image(fold.model, fold.parts(fold.x, hidden), joint.PAIRS, rng, use)
        decoded = torch.stack([fold.model.decode(CLINICAL, s[k], p[k]) for k in range(len(s))])
        expected = clinical.expected(decoded).mean(dim=0)[:, j].double().numpy() * item["scale"] + item["mean"]
        middle = fold.model.decode(CLINICAL, s.mean(dim=0), p.mean(dim=0)).expand_as(decoded)
        drawn = clinical.items.draw(middle, clinical.log_sigma_cross, rng)[..., j]
        for into, codes in zip(found, (expected, *np.quantile(drawn, LEVEL, axis=0)), strict=True):
            into[:, j] = joint_inputs.uncoded(item, codes)
    return found[0], found[1], found[2]


@torch.no_grad()
def image_from_scores(fold: Fold, y: np.ndarray) -> np.ndarray:
    """Masked voxels (people, voxels) decoded from scores (people, scores) alone; private latents are at their mean."""
    parts = fold.parts(np.full((len(y), fold.x.shape[1]), np.nan), y)
    s = fold.model.encode(parts).joint()[0]
    return joint.voxels(fold.model, fold.tensors, s, torch.zeros(len(y), fold.model.n_private))


def change_per_unit(fold: Fold) -> np.ndarray:
    """Change of the decoded image (scores, voxels) by a unit of each score, around its mean, no other score known."""
    found = []
    for j, item in enumerate(fold.items):
        middle, half = joint_inputs.uncoded(item, np.array(item["mean"])), item["scale"] / 2
        ends = np.full((2, len(fold.items)), np.nan)
        ends[:, j] = np.array([0.0, 1.0]) if item["type"] == "binary" else [middle - half, middle + half]
        low, high = _exact(fold, ends, j)
        found.append((high - low) / (ends[1, j] - ends[0, j]))
    return np.array(found)


@torch.no_grad()
def _exact(fold: Fold, ends: np.ndarray, j: int) -> np.ndarray:
    """Images of a score between its levels too, which `image_from_scores` would round."""
    item, model = fold.items[j], fold.model
    levels = np.asarray(item.get("levels", [0.0, 1.0]))
    codes = np.interp(ends[:, j], levels, np.arange(len(levels))) if item["type"] == "ordinal" else ends[:, j]
    standard = torch.full((2, len(fold.items)), torch.nan)
    standard[:, j] = torch.from_numpy((codes - item.get("lowest", 0.0) - item["mean"]) / item["scale"]).float()
    s = model.encode([torch.full((2, fold.x.shape[1]), torch.nan), standard]).joint()[0]
    return joint.voxels(model, fold.tensors, s, torch.zeros(2, model.n_private))


@torch.no_grad()
def health(fold: Fold, split: np.ndarray) -> list[dict[str, Any]]:
    """Rows by split and block: variance explained from itself, from the other one, by the shared latents; KL; verdict.

    Variance explained is in standard deviations of features: 1 - squared errors / squared departures from the mean of
    the training people. A person without the block, or without the other one, is left out of what needs it.
    """
    parts, model = fold.parts(fold.x, fold.y), fold.model
    found = model.encode(parts)
    joint_s, rows = found.joint(), []
    kl_shared = kl_per_dimension(*joint_s).sum(dim=1).numpy()
    for m, name in BLOCKS.items():
        other = 1 - m
        own, none = found.private[m][0], torch.zeros_like(found.private[m][0])
        block: Any = model.blocks[m]
        sources = {
            "own": (found.single(m)[0], own),
            "cross": (found.single(other)[0], none),
            "shared": (joint_s[0], none),
        }
        errors = {key: _squares(parts[m], block.expected(model.decode(m, *z))) for key, z in sources.items()}
        kl_private = kl_per_dimension(*found.private[m]).sum(dim=1).numpy()
        there = {"own": found.present[m].numpy(), "cross": found.present.all(dim=0).numpy()}
        there["shared"] = there["own"]
        of_block = []
        for one in ("training", "validation", "test"):
            row: dict[str, Any] = {"block": name, "split": one}
            for key, (error, total) in errors.items():
                used = there[key] & (split == one)
                row[f"variance_explained_{key}"] = 1 - error[used].sum() / max(total[used].sum(), 1e-300)
            used = there["own"] & (split == one)
            row |= {"n": int(used.sum()), "kl_shared": kl_shared[used].mean(), "kl_private": kl_private[used].mean()}
            of_block.append(row | {"kl_shared_fraction": row["kl_shared"] / (row["kl_shared"] + row["kl_private"])})
        judged = _verdict(of_block)
        rows += [row | {"verdict": judged, "remedy": REMEDY[judged]} for row in of_block]
    return rows


def _squares(x: Tensor, expected: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors of known features and their squared departures from 0 (people,)."""
    known = ~x.isnan()
    given = torch.nan_to_num(x)
    error = torch.where(known, given - expected, 0).double().square().sum(dim=1)
    return error.numpy(), given.double().square().sum(dim=1).numpy()


def _verdict(rows: list[dict[str, Any]]) -> str:
    """Of a block, from its rows of training and validation people; test people decide nothing."""
    training, validation = rows[0], rows[1]
    if training["variance_explained_shared"] < IGNORED:
        return "collapsed"
    return "healthy" if validation["variance_explained_cross"] > 0 else "not predicted"
