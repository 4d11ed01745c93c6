"""How much of each block a model of several blocks explains, from what; and the verdict."""

from typing import Any

import numpy as np

from neurovae.io.progress import steps
from neurovae.io.volumes import SPLITS, chunks
from neurovae.train.health import judge
from neurovae.train.health.measures import ACTIVE
from neurovae.train.side_by_side import IMAGE, present, slices, standardised

INPUTS = ("all", "own", "shared", "other")
IGNORED = 0.01  # training variance explained by the shared latents below which a block's decoder ignores them
AT_ONCE = 64  # scans
Errors = dict[str, np.ndarray]


def errors(model: Any, array: Any, rows: np.ndarray, reference: dict[str, np.ndarray]) -> Errors:
    """Squared errors (scans, blocks) by what a block is decoded from, and `total`, squared departures from the mean.

    `all`: shared latents of all blocks and the block's private ones; `own`: both from this block alone; `shared`:
    shared latents of all blocks; `other`: those of the other blocks alone. NaN where a scan lacks the block or its
    source.

    Args:
        model: weights with their module (`examine.Model`).
        array: blocks side by side.
        rows: of the scans.
        reference: `mean` and `scale` (all features) of the training people, in whose units errors are.
    """
    described = model.meta["architecture"]["blocks"]
    found = {name: np.full((len(rows), len(described)), np.nan) for name in (*INPUTS, "total")}
    for part in steps(chunks(len(rows), AT_ONCE), "scans by block", len(rows)):
        values = array[rows[part]]
        there = present(values, described)
        standard = (values - reference["mean"]) / reference["scale"]
        for m, (name, where) in enumerate(slices(described).items()):
            alone, others = np.zeros_like(there), there.copy()
            alone[m], others[m] = there[m], False
            sources = {"all": (there, True), "own": (alone, True), "shared": (there, False), "other": (others, False)}
            found["total"][part, m] = np.where(there[m], np.nansum(standard[:, where] ** 2, axis=1), np.nan)
            for source, (use, private) in sources.items():
                mu = model.module.embed(values, model.mask, model.tensors, model.meta["architecture"], use)[0]
                decoded = model.module.decoded(mu, model.mask, model.tensors, model.meta["architecture"], private)[name]
                departure = (values[:, where] - decoded) / reference["scale"][where]
                known = there[m] & use.any(axis=0)
                found[source][part, m] = np.where(known, np.nansum(departure**2, axis=1), np.nan)
    return found


def explained(found: Errors, source: str, block: int) -> float:
    """Variance explained of a block in some scans: 1 - sum of squared errors / sum of squared departures."""
    error, total = found[source][:, block], found["total"][:, block]
    known = ~np.isnan(error)
    return float(1 - error[known].sum() / total[known].sum()) if known.any() else float("nan")


def reference(array: Any, training: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and standard deviation of each feature in the training people (voxels: 1), infinite where it is constant."""
    found = standardised(array, training)
    return {"mean": np.concatenate([one[1] for one in found]), "scale": np.concatenate([one[2] for one in found])}


def measure(
    model: Any,
    array: Any,
    person: np.ndarray,
    split: np.ndarray,
    seed: int,
    *,
    kept_epoch: int | None,
    has_trained: bool,
) -> dict[str, Any]:
    """Measures with verdict and reason; arguments as of `examine.measure`."""
    architecture = model.meta["architecture"]
    names = [one["name"] for one in architecture["blocks"]]
    units = reference(array, np.flatnonzero(split == "training"))
    found = {name: errors(model, array, np.flatnonzero(split == name), units) for name in SPLITS}
    table = {
        name: {source: {one: explained(found[one], source, m) for one in SPLITS} for source in INPUTS}
        for m, name in enumerate(names)
    }
    training = np.flatnonzero(split == "training")
    latents = [model.module.embed(array[training[part]], model.mask, model.tensors, architecture)
               for part in chunks(len(training), AT_ONCE)]  # fmt: skip
    mu, logvar = (np.concatenate([one[k] for one in latents]) for k in (0, 1))
    whole = {one: float(np.mean([table[name]["all"][one] for name in names])) for one in SPLITS}
    active = int((mu.var(axis=0) > ACTIVE).sum())
    verdict, reason = _judge(table, whole, active, mu.shape[1])
    kl = (mu**2 + np.exp(logvar) - 1 - logvar).mean(axis=0) / 2
    n_shared = architecture["n_shared"]
    results: dict[str, Any] = {"verdict": verdict, "reason": reason, "finite": True, "active_units": active}
    results |= {f"variance_explained_{one}": value for one, value in whole.items()}
    results |= {"image": any(one["type"] == IMAGE for one in architecture["blocks"])}
    results |= {"blocks": names, "n_shared": architecture["n_shared"], "n_private": architecture["n_private"]}
    options = model.meta.get("options", {})
    results |= {key: options[key] for key in ("twin", "cross_weight") if key in options}
    results["kl_shared"] = float(kl[:n_shared].sum() / kl.sum()) if np.isfinite(kl).all() and kl.sum() else None
    results["shared_active"] = int((mu[:, :n_shared].var(axis=0) > ACTIVE).sum())
    return results | {"explained_by_block": table}


def _judge(table: dict[str, Any], whole: dict[str, float], active: int, latents: int) -> tuple[str, str]:
    """Verdict and reason: diverged, collapsed, overfit, partial or healthy."""
    blocks = "; ".join(
        f"{name}: {one['all']['test']:.3f}, from the shared latents alone {one['shared']['test']:.3f}, "
        f"from the other blocks {one['other']['test']:.3f}"
        for name, one in table.items()
    )
    text = f"variance explained, test: {blocks}; {active} of {latents} latents active"
    training, test = whole["training"], whole["test"]
    ignored = [name for name, one in table.items() if one["shared"]["training"] < IGNORED]
    if not np.isfinite([training, test]).all():
        return "diverged", "latents or reconstructions are not finite"
    if training < judge.COLLAPSED or not active:
        return "collapsed", f"the output does not depend on the input ({text})"
    if training - test > judge.GAP or test <= 0:
        return "overfit", f"training {training:.3f}, test {test:.3f} ({text})"
    if ignored:
        remedy = "raise cross_weight, or lower n_private; the blocks may also have nothing in common"
        return "partial", f"the decoder of {' and '.join(ignored)} ignores the shared latents: {remedy} ({text})"
    return "healthy", text
