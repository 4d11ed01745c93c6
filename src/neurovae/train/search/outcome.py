"""What came of a trial: the objective and the verdict, of the people trained and stopped on alone."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from neurovae.io.volumes import chunks, evenly, keep, masked
from neurovae.train.engine.data import some
from neurovae.train.health import evidence, judge, measures
from neurovae.train.models import vae
from neurovae.train.models.network import VAE
from neurovae.train.weights import Tensors

PASSED = ("healthy", "partial")  # verdicts of models that know people; min_active bounds what is partial
MEASURES = (
    "objective", "variance_explained_training", "variance_explained_validation",
    "elbo_validation", "rate_validation", "active",
    "identification_accuracy_training", "identification_accuracy_validation",
    "chance_training", "chance_validation", "kept_epoch", "last_epoch", "reached",
)  # fmt: skip
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Weights of a VAE that was just trained, used where it was trained."""

    weights: Tensors
    architecture: Row
    mask: np.ndarray
    on: torch.device

    @cached_property
    def network(self) -> VAE:
        """The network in single precision, without dropout."""
        return vae.network(self.mask, self.weights, self.architecture).to(self.on)

    @torch.no_grad()
    def encode(self, volumes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior means and log-variances, each (scans, latents), of volumes (scans, x, y, z)."""
        mu, logvar = self.network.encode(torch.from_numpy(volumes.astype(np.float32))[:, None].to(self.on))
        return mu.cpu().numpy(), logvar.cpu().numpy()

    @torch.no_grad()
    def decode(self, mu: np.ndarray) -> np.ndarray:
        """Masked voxels (scans, voxels) of latents (scans, latents)."""
        found = self.network.decode(torch.from_numpy(mu.astype(np.float32)).to(self.on))
        return found[:, 0].cpu().numpy()[:, self.mask]


def nothing(state: str, reason: str) -> Row:
    """The record of a trial that has no weights to be measured."""
    return {"state": state, "reason": reason, "verdict": None, "feasible": False, **dict.fromkeys(MEASURES)}


def violation(found: Row, min_active: int) -> float:
    """How far a trial is from what may be chosen; 0 is close enough, and nothing is known of a pruned one."""
    if found["state"] == "failed":
        return 2.0
    if found["state"] == "pruned":
        return 0.0
    lacking = 0 if found["active"] is None else max(0, min_active - found["active"])
    return float(found["verdict"] not in PASSED) + lacking / min_active


def measured(
    model: Fitted,
    array: np.ndarray,
    people: np.ndarray,
    split: np.ndarray,
    history: list[Row],
    objective: str,
    seed: int,
) -> Row:
    """The record of a trained model; the verdict takes the validation set for the test set.

    Args:
        model: the weights that were kept.
        array: packed volumes (scans, x, y, z).
        people: person of each scan (scans,).
        split: "training", "validation" or "" of each scan (scans,).
        history: a row per epoch and split.
        objective: variance_explained or elbo.
        seed: of the draws of the bound.
    """
    rows = {"training": np.flatnonzero(split == "training"), "validation": np.flatnonzero(split == "validation")}
    mean = measures.mean_image(lambda own: masked(array[own], model.mask), rows["training"])
    rows["training"] = some(rows["training"])
    scans = {name: _scans(model, array, own, mean) for name, own in rows.items()}
    kept, last = _epochs(history)
    found = nothing("complete", "") | {"kept_epoch": kept, "last_epoch": last}
    if not all(np.isfinite(values).all() for part in scans.values() for values in part.values()):
        return {**found, "state": "failed", "reason": "latents or reconstructions are not finite"}
    found |= _known(model, array, people, rows, scans, mean, kept)
    if model.architecture["kl"]:
        found["rate_validation"] = evidence.rate(scans["validation"]["mu"], scans["validation"]["logvar"])
    if objective == "elbo":
        found["elbo_validation"] = _bound(model, array, rows["validation"], scans["validation"], seed)
    return {**found, "objective": found[f"{objective}_validation"], "reached": found[f"{objective}_validation"]}


def _scans(model: Fitted, array: np.ndarray, rows: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    """Latents (scans, latents), squared errors and squared distances to the mean (scans,) of rows."""
    found: dict[str, np.ndarray] = {}
    for part in chunks(len(rows)):
        x, (mu, logvar) = masked(array[rows[part]], model.mask), model.encode(array[rows[part]])
        values = {"mu": mu.astype(np.float64), "logvar": logvar.astype(np.float64)}
        values["error"] = np.square(x - model.decode(mu)).sum(axis=1, dtype=np.float64)
        values["total"] = np.square(x - mean).sum(axis=1, dtype=np.float64)
        keep(found, values, part, len(rows))
    return found


def _known(
    model: Fitted,
    array: np.ndarray,
    people: np.ndarray,
    rows: dict[str, np.ndarray],
    scans: dict[str, dict[str, np.ndarray]],
    mean: np.ndarray,
    kept: int,
) -> Row:
    """Share, active units, identification and verdict."""
    explained = {name: measures.variance_explained(part["error"], part["total"]) for name, part in scans.items()}
    identified = {name: _identified(model, array, people, rows[name], scans[name]["mu"], mean) for name in rows}
    mu = scans["training"]["mu"]
    active = measures.active_units(mu) if model.architecture["kl"] else None
    verdict, reason = judge.judge(
        explained={"training": explained["training"], "test": explained["validation"]},
        identified={"training": identified["training"], "test": identified["validation"]},
        variance=mu.var(axis=0),
        active=active,
        linear=bool(np.any(model.weights["outward"])),
        kept=kept,
    )
    found: Row = {"verdict": verdict, "reason": f"{verdict}: {reason}", "active": active}
    for name in rows:
        found |= {
            f"variance_explained_{name}": explained[name],
            f"identification_accuracy_{name}": identified[name].rate,
        }
        found[f"chance_{name}"] = identified[name].chance
    return found


def _identified(
    model: Fitted, array: np.ndarray, people: np.ndarray, rows: np.ndarray, mu: np.ndarray, mean: np.ndarray
) -> measures.Identified:
    """Identification among the first scans of at most `measures.MOST` people; one component is not tried."""
    first = np.sort(np.unique(people[rows], return_index=True)[1])
    first = first[evenly(len(first), measures.MOST)]
    at = dict(zip(rows, range(len(rows)), strict=True))  # row of the array -> row of mu
    rate = measures.identification(
        lambda own: model.decode(mu[[at[row] for row in own]]),
        lambda own: masked(array[own], model.mask),
        mean,
        rows[first],
    )
    return measures.Identified(rate, len(first), measures.chance(len(first)), math.nan)


def _bound(model: Fitted, array: np.ndarray, rows: np.ndarray, scans: dict[str, np.ndarray], seed: int) -> float:
    """Evidence lower bound at beta = 1, nats a scan."""
    sigma = float(np.exp(model.weights["log_sigma"]))
    found = evidence.bounded(
        lambda own: masked(array[own], model.mask), model.decode, rows, scans["mu"], scans["logvar"], sigma, seed
    )
    return float(found["elbo"])


def _epochs(history: list[Row]) -> tuple[int, int]:
    """The epoch whose weights were kept, and the last."""
    stop = [row for row in history if row["split"] == "validation"]
    return int(min(stop, key=lambda row: row["loss"])["epoch"]), int(stop[-1]["epoch"])
