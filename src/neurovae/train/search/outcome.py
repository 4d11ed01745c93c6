"""The result of a trial: objective and verdict, from training and validation people only."""

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
        volumes = self.network.decode(torch.from_numpy(mu.astype(np.float32)).to(self.on))
        return volumes[:, 0].cpu().numpy()[:, self.mask]


def nothing(state: str, reason: str) -> Row:
    """Return the record of a trial without weights."""
    return {"state": state, "reason": reason, "verdict": None, "feasible": False, **dict.fromkeys(MEASURES)}


def violation(record: Row, min_active: int) -> float:
    """Return how far a trial is from the constraint; 0 meets it, and a pruned trial counts as unknown."""
    if record["state"] == "failed":
        return 2.0
    if record["state"] == "pruned":
        return 0.0
    n_missing = 0 if record["active"] is None else max(0, min_active - record["active"])
    return float(record["verdict"] not in PASSED) + n_missing / min_active


def measure(
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
    mean = measures.mean_image(lambda row_numbers: masked(array[row_numbers], model.mask), rows["training"])
    rows["training"] = some(rows["training"])
    scans = {name: _scans(model, array, row_numbers, mean) for name, row_numbers in rows.items()}
    kept_epoch, last_epoch = _epochs(history)
    record = nothing("complete", "") | {"kept_epoch": kept_epoch, "last_epoch": last_epoch}
    if not all(np.isfinite(values).all() for part in scans.values() for values in part.values()):
        return {**record, "state": "failed", "reason": "latents or reconstructions are not finite"}
    record |= _measures(model, array, people, rows, scans, mean, kept_epoch)
    if model.architecture["kl"]:
        record["rate_validation"] = evidence.rate(scans["validation"]["mu"], scans["validation"]["logvar"])
    if objective == "elbo":
        record["elbo_validation"] = _bound(model, array, rows["validation"], scans["validation"], seed)
    return {**record, "objective": record[f"{objective}_validation"], "reached": record[f"{objective}_validation"]}


def _scans(model: Fitted, array: np.ndarray, rows: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    """Latents (scans, latents), squared errors and squared distances to the mean (scans,) of rows."""
    arrays: dict[str, np.ndarray] = {}
    for part in chunks(len(rows)):
        x, (mu, logvar) = masked(array[rows[part]], model.mask), model.encode(array[rows[part]])
        values = {"mu": mu.astype(np.float64), "logvar": logvar.astype(np.float64)}
        values["error"] = np.square(x - model.decode(mu)).sum(axis=1, dtype=np.float64)
        values["total"] = np.square(x - mean).sum(axis=1, dtype=np.float64)
        keep(arrays, values, part, len(rows))
    return arrays


def _measures(
    model: Fitted,
    array: np.ndarray,
    people: np.ndarray,
    rows: dict[str, np.ndarray],
    scans: dict[str, dict[str, np.ndarray]],
    mean: np.ndarray,
    kept_epoch: int,
) -> Row:
    """Variance explained, active units, identification and verdict."""
    explained = {name: measures.variance_explained(part["error"], part["total"]) for name, part in scans.items()}
    identification = {name: _identified(model, array, people, rows[name], scans[name]["mu"], mean) for name in rows}
    mu = scans["training"]["mu"]
    active = measures.active_units(mu) if model.architecture["kl"] else None
    verdict, reason = judge.judge(
        explained={"training": explained["training"], "test": explained["validation"]},
        identification={"training": identification["training"], "test": identification["validation"]},
        variance=mu.var(axis=0),
        active=active,
        linear=bool(np.any(model.weights["outward"])),
        kept_epoch=kept_epoch,
    )
    record: Row = {"verdict": verdict, "reason": f"{verdict}: {reason}", "active": active}
    for name in rows:
        record |= {
            f"variance_explained_{name}": explained[name],
            f"identification_accuracy_{name}": identification[name].rate,
        }
        record[f"chance_{name}"] = identification[name].chance
    return record


def _identified(
    model: Fitted, array: np.ndarray, people: np.ndarray, rows: np.ndarray, mu: np.ndarray, mean: np.ndarray
) -> measures.Identified:
    """Identification among the first scans of at most `measures.MAX_PEOPLE` people; one component is not tried."""
    first = np.sort(np.unique(people[rows], return_index=True)[1])
    first = first[evenly(len(first), measures.MAX_PEOPLE)]
    at = dict(zip(rows, range(len(rows)), strict=True))  # row of the array -> row of mu
    rate = measures.identification(
        lambda row_numbers: model.decode(mu[[at[row] for row in row_numbers]]),
        lambda row_numbers: masked(array[row_numbers], model.mask),
        mean,
        rows[first],
    )
    return measures.Identified(rate, len(first), measures.chance(len(first)), math.nan)


def _bound(model: Fitted, array: np.ndarray, rows: np.ndarray, scans: dict[str, np.ndarray], seed: int) -> float:
    """Evidence lower bound at beta = 1, nats a scan."""
    sigma = float(np.exp(model.weights["log_sigma"]))
    bounds = evidence.bounds_of(
        lambda row_numbers: masked(array[row_numbers], model.mask),
        model.decode,
        rows,
        scans["mu"],
        scans["logvar"],
        sigma,
        seed,
    )
    return float(bounds["elbo"])


def _epochs(history: list[Row]) -> tuple[int, int]:
    """The epoch whose weights were kept, and the last."""
    stop = [row for row in history if row["split"] == "validation"]
    return int(min(stop, key=lambda row: row["loss"])["epoch"]), int(stop[-1]["epoch"])
