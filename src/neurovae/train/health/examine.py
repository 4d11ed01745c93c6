"""Measure a model's stored weights on every scan, with the functions of `measures`, `judge` and `evidence`."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch

from neurovae.io.progress import steps
from neurovae.io.volumes import SPLITS, chunks, evenly, keep, masked
from neurovae.train import weights
from neurovae.train.health import evidence, judge, measures
from neurovae.train.losses.ssim import ssim

FITTED = 1000  # training scans of which the data range and the one principal component are found
Measures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Model:
    """Weights with the module that knows how to use them, and the mask."""

    module: ModuleType
    tensors: weights.Tensors
    meta: dict[str, Any]
    mask: np.ndarray

    @property
    def linear(self) -> bool:
        """Whether there is a linear part beside a network."""
        return bool(np.any(self.tensors.get("outward", 0)))

    def encode(self, volumes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latents and log-variances, each (scans, latents), of volumes (scans, x, y, z)."""
        mu, logvar = self.module.embed(volumes, self.mask, self.tensors, self.meta["architecture"])
        return mu, logvar

    def decode(self, mu: np.ndarray) -> np.ndarray:
        """Masked voxels (scans, voxels) of latents (scans, latents)."""
        x_hat: np.ndarray = self.module.reconstruct(mu, self.mask, self.tensors, self.meta["architecture"])
        return x_hat

    def linear_only(self) -> "Model":
        """The model with its networks' last layers at zero."""
        tensors = self.module.linear_only(self.tensors)
        return Model(module=self.module, tensors=tensors, meta=self.meta, mask=self.mask)


def lost(reason: str) -> Measures:
    """Return the measures of a model whose numbers are not finite."""
    return {"verdict": "diverged", "reason": reason, "finite": False, "active_units": None}


def measure(
    model: Model,
    array: Any,
    person: np.ndarray,
    split: np.ndarray,
    seed: int,
    *,
    kept_epoch: int | None,
    has_trained: bool,
    read: Any = None,
) -> Measures:
    """Measures with verdict and reason; scans are read a few at a time.

    Args:
        model: finite weights.
        array: packed volumes (scans, x, y, z).
        person, split: of each scan (scans,).
        seed: of the draws.
        kept_epoch: epoch of the weights; None for a model without epochs.
        has_trained: did the loss change while it was trained?
        read: what the model embeds, a row per scan; None: the volumes.
    """

    def seen(rows: np.ndarray) -> np.ndarray:
        return masked(array[rows], model.mask)

    training = np.flatnonzero(split == "training")
    mean = measures.mean_image(seen, training)
    embedded = array if read is None else read
    scans = _scans(model, array, embedded, mean, split == "test", measures.limits(seen, training[:FITTED]))
    if not all(np.isfinite(scans[name]).all() for name in ("mu", "error")):
        return lost("latents or reconstructions are not finite")
    explained = {
        name: measures.variance_explained(scans["error"][split == name], scans["total"][split == name])
        for name in SPLITS
    }
    mu, variance = scans["mu"], scans["mu"][training].var(axis=0)
    kl = bool(model.meta["architecture"]["kl"])
    active = measures.active_units(mu[training]) if kl else None
    component = measures.first_component(seen, training[:FITTED], mean, seed)
    identification = {
        name: _identified(model, seen, mean, component, _first(person, split == name), mu)
        for name in ("training", "test")
    }
    verdict, reason = judge.judge(
        explained=explained, identification=identification, variance=variance, active=active, linear=model.linear,
        kept_epoch=kept_epoch, has_trained=has_trained, elsewhere=model.meta["kind"] == "frozen",
    )  # fmt: skip
    results: Measures = {"verdict": verdict, "reason": reason, "finite": True, "active_units": active}
    results |= {f"variance_explained_{name}": value for name, value in explained.items()}
    results |= {f"identification_accuracy_{name}": value._asdict() for name, value in identification.items()}
    results["ssim_test"] = float(scans["ssim"][split == "test"].mean())
    results |= _linear(scans, person, split, seed) if model.linear else {}
    results |= _evidence(model, seen, scans, split, seed) if kl else {}
    return results


def _scans(
    model: Model, array: Any, embedded: Any, mean: np.ndarray, held_out: np.ndarray, limits: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Latents (scans, latents) and errors (scans,) of every scan; SSIM where held out, NaN elsewhere."""
    linear_model = model.linear_only() if model.linear else None
    arrays: dict[str, np.ndarray] = {}
    for part in steps(chunks(len(array)), "scans", len(array)):
        x = masked(array[part], model.mask)
        mu, logvar = model.encode(embedded[part])
        x_hat = model.decode(mu)
        values = {"mu": mu.astype(np.float64), "logvar": logvar.astype(np.float64), "error": _squared(x, x_hat)}
        values["total"] = _squared(x, mean)
        values["linear"] = (
            _squared(x, linear_model.decode(linear_model.encode(embedded[part])[0]))
            if linear_model
            else np.full(len(x), np.nan)
        )
        values["ssim"] = np.full(len(x), np.nan)
        if held_out[part].any():
            values["ssim"][held_out[part]] = _similarity(x[held_out[part]], x_hat[held_out[part]], model.mask, limits)
        keep(arrays, values, part, len(array))
    return arrays


def _squared(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return np.square(x - reference).sum(axis=1, dtype=np.float64)


def _similarity(x: np.ndarray, x_hat: np.ndarray, mask: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """SSIM (scans,) of masked voxels laid back on the grid."""
    images = torch.zeros(2, len(x), 1, *mask.shape)
    images[:, :, 0, torch.from_numpy(mask)] = torch.from_numpy(np.stack([x, x_hat]).astype(np.float32))
    low, high = limits
    return ssim(images[0], images[1], torch.from_numpy(mask), data_range=high - low, low=low).double().numpy()


def _first(person: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Row of the first scan of each person chosen, at most `measures.MAX_PEOPLE` of them, evenly spaced."""
    rows = np.flatnonzero(selected)
    rows = rows[np.sort(np.unique(person[rows], return_index=True)[1])]
    return rows[evenly(len(rows), measures.MAX_PEOPLE)]


def _identified(
    model: Model, scans_of: measures.Read, mean: np.ndarray, component: np.ndarray, rows: np.ndarray, mu: np.ndarray
) -> measures.Identified:
    def decoded(person_rows: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [model.decode(mu[person_rows[part]].astype(np.float32)) for part in chunks(len(person_rows))]
        )

    def alone(person_rows: np.ndarray) -> np.ndarray:
        middle = mean.astype(np.float32)
        return middle + np.outer((scans_of(person_rows) - middle) @ component, component)

    rates = [measures.identification(reconstructed, scans_of, mean, rows) for reconstructed in (decoded, alone)]
    return measures.Identified(rates[0], len(rows), measures.chance(len(rows)), rates[1])


def _linear(scans: dict[str, np.ndarray], person: np.ndarray, split: np.ndarray, seed: int) -> Measures:
    """Variance explained by the linear part alone, and the gain of the network in held-out people."""
    error, linear, total = (scans[name] for name in ("error", "linear", "total"))
    held_out = split == "test"
    value, low, high = measures.gain(error[held_out], linear[held_out], total[held_out], person[held_out], seed)
    shares = {
        f"variance_explained_linear_{name}": measures.variance_explained(linear[split == name], total[split == name])
        for name in SPLITS
    }
    return {**shares, "gain_test": value, "gain_test_low": low, "gain_test_high": high}


def _evidence(
    model: Model, scans_of: measures.Read, scans: dict[str, np.ndarray], split: np.ndarray, seed: int
) -> Measures:
    """Rate, bounds and information; without a Gaussian likelihood there is no bound."""
    held_out = np.flatnonzero(split == "test")
    mu, logvar = scans["mu"], scans["logvar"]
    results: Measures = {"rate": evidence.rate(mu[held_out], logvar[held_out])}
    for name in ("training", "test"):
        rows = np.flatnonzero(split == name)
        rows = rows[evenly(len(rows), measures.MAX_PEOPLE)]
        of_split = evidence.information(mu[rows], logvar[rows], seed)
        results |= {f"information_{name}": of_split["information"], f"information_{name}_max": of_split["most"]}
    results["information_bias"] = (
        "about the people given it is unbiased; about the population it is too small, and never above log N"
    )
    if model.meta.get("options", {}).get("reconstruction") != "dssim":
        sigma = float(np.exp(model.tensors["log_sigma"]))
        results |= evidence.bounds_of(scans_of, model.decode, held_out, mu[held_out], logvar[held_out], sigma, seed)
        results["sigma_found"] = sigma
    return results
