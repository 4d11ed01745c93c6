"""Does a model encode people, or only the average brain? Measures and verdict of the stored weights."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.io.files import write_json
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import SPLITS, data_hash, read_mask
from neurovae.train import inputs, weights
from neurovae.train.health import by_block, forward, judge, volumes_explained
from neurovae.train.health.examine import Measures, Model, lost, measure
from neurovae.train.health.verdicts import (
    KEPT_COLLAPSED,
    LOST,
    NOT_APPLICABLE,
    SEEN,
    STOPPING,
    TRANSDUCTIVE,
)

STATED = ("n_latent", "latents", "map_mm", "network", "cross_fit", "learning_rate_cycle",
          "reconstruction", "divergence", "beta", "sigma", "linear", "epochs", "batch",
          "flip", "blur", "rotate", "mixup", "mosaic", "noise", "jitter")  # fmt: skip


def run(
    *,
    volumes: Path,
    rows: Path,
    mask: Path,
    model: Path,
    history: Path,
    out: Path,
    seed: int,
    kept_collapsed: bool = False,
    transductive: bool = False,
    table: str = "",
    missing: Json | None = None,
    blocks: Json | None = None,
) -> None:
    """Write `health.json` (verdict, reason, advice and measures of one model).

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun health

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        model: weights of the model.
        history: history.parquet of the training; without rows for a model that has no epochs.
        out: JSON to write.
        seed: of the draws of the bounds and of the bootstrap.
        kept_collapsed: test the latents even of a collapsed or untrained model; every later table has the caveat.
        transductive: the model's values were chosen while looking at people who are tested: likewise a caveat.
        table: file with latents that exist already (kinds table and pretrained); empty: none.
        missing: `missing` and `not_missing` of the cohort section, for that file.
        blocks: folder of each block by name (kind fused and its linear twins).

    Raises:
        InputError: the weights were fitted on other packed data, or on other values of the table.
    """
    torch.set_num_threads(1)
    tensors, meta = weights.load_own(model)
    columns = meta["architecture"].get("columns")
    given = inputs.read(volumes, rows, table, columns, missing, several=blocks, mask=mask)
    if meta["data_hash"] != data_hash(given.table):
        what, source = ("values", Path(table).name) if table else ("volumes", rows.name)
        raise InputError(f"{model.name}: fitted on other {what} than {source} describes; rerun with --forcerun train")
    module = importlib.import_module(f"neurovae.train.models.{meta['kind']}")
    own = {name: value for name, value in tensors.items() if name != "rotation"}  # where a VAE's posterior is diagonal
    fitted = Model(module=module, tensors=own, meta=meta, mask=read_mask(mask))
    person = given.table["person"].to_numpy()
    found = examine(fitted, given.scans, person, read_parquet(history), seed, read=given.array)
    if found["finite"] and meta["kind"] == "networks":
        found |= volumes_explained.explained(fitted, given, seed)
    elif found["finite"] and not weights.has_decoder(meta) and not blocks:
        found |= forward.explained(fitted, given, seed)
    judged = with_caveats(found["verdict"], found["finite"], kept_collapsed, transductive)
    judged["caveats"] += [caveat for caveat in [SEEN.get(str(found.get("seen")), "")] if caveat]
    write_json(out, {**found, **judged})
    print(
        f"{found['verdict']}: {found['reason']}", *([f"advice: {found['advice']}"] if found["advice"] else []), sep="\n"
    )


def with_caveats(verdict: str, finite: bool, kept_collapsed: bool, transductive: bool) -> Measures:
    """Whether the latents may be tested (never where they are not finite), and the caveats of all later tables."""
    kept_collapsed = kept_collapsed and finite and verdict in STOPPING
    caveats = {KEPT_COLLAPSED: kept_collapsed, TRANSDUCTIVE: transductive}
    return {"kept_collapsed": kept_collapsed, "caveats": [caveat for caveat, is_true in caveats.items() if is_true]}


def examine(
    model: Model, array: Any, person: np.ndarray, history: pd.DataFrame, seed: int, read: Any = None
) -> Measures:
    """The measures of a model, verdict included.

    Args:
        model: weights as they are stored.
        array: packed volumes (scans, x, y, z).
        person: person of each scan (scans,).
        history: a row per epoch and split, or none.
        seed: of the draws.
        read: what the model reads, a row per scan; None: the volumes.
    """
    split_of = {name: split for split in SPLITS for name in model.meta["people"][split]}
    split = np.array([split_of.get(name, "") for name in person])
    options = model.meta.get("options", {})
    kept_epoch, last_epoch = epochs(history)
    description = {
        "kind": model.meta["kind"],
        "kept_epoch": kept_epoch,
        "last_epoch": last_epoch,
        **_described_options(options),
    }
    description |= {name: model.meta["architecture"].get(name) for name in ("n_latent", "taper_mm")}  # as it was fitted
    of_source = ("inner", "centre", "source", "source_weight", "source_network")
    description |= {name: model.meta["architecture"][name] for name in of_source if name in model.meta["architecture"]}
    description |= {f"people_{name}": len(model.meta["people"][name]) for name in SPLITS}
    description["logvar_calibrated"] = model.meta["architecture"]["kl"]
    search_note = "searched in this fold's training and validation sets"
    description["hyperparameters"] = search_note if model.meta.get("searched") else "as given"
    if not weights.reads_scans(model.meta) and "blocks" not in model.meta["architecture"]:
        description |= {name: options[name] for name in ("seen", "standardise") if name in options}
        description["components"] = options["n_latent"] is not None
        description |= {"encoder": model.meta["architecture"].get("encoder")}
        description |= {name: given for name in ("block",) if (given := model.meta.get(name))}
        description |= {name: options[name] for name in ("method", "rotate") if name in options}
    if not all(np.isfinite(tensor).all() for tensor in model.tensors.values()):
        measures = lost("weights are not finite")
    elif "blocks" in model.meta["architecture"]:
        trained = has_trained(history)
        measures = by_block.measure(model, read, person, split, seed, kept_epoch=kept_epoch, has_trained=trained)
    elif not weights.has_decoder(model.meta):
        measures = {"verdict": NOT_APPLICABLE, "reason": "no decoder, and so no reconstruction to judge"}
        measures |= {"finite": True, "active_units": None}
    else:
        trained = has_trained(history)
        measures = measure(model, array, person, split, seed, kept_epoch=kept_epoch, has_trained=trained, read=read)
    if last_epoch is not None and not np.isfinite(_last_loss(history)):
        measures |= {"verdict": "diverged", "reason": f"{LOST} in epoch {last_epoch} ({measures['reason']})"}
    measures["advice"] = judge.advice(measures["verdict"], options, kept_epoch, last_epoch)
    return {**description, **measures}


def epochs(history: pd.DataFrame) -> tuple[int | None, int | None]:
    """The epoch with the smallest loss on the validation people (0: before the first step), and the last; or None."""
    stop = history[history["split"] == "validation"]
    if stop.empty:
        return None, None
    return int(stop["epoch"].to_numpy()[stop["loss"].argmin()]), int(stop["epoch"].max())


def _last_loss(history: pd.DataFrame) -> float:
    """Validation loss of the last epoch; not finite where training diverged."""
    return float(history.loc[history["split"] == "validation", "loss"].iloc[-1])


def has_trained(history: pd.DataFrame) -> bool:
    """Whether the training people's loss changed from that before the first step."""
    loss = history.loc[history["split"] == "training", "loss"].to_numpy(float)
    return bool(len(loss) and np.abs(loss - loss[0]).max() > judge.MOVED * abs(loss[0]))


def _described_options(options: dict[str, Any]) -> Measures:
    """Values of the entry that figures and methods name, as the search left them."""
    return {name: options.get(name) for name in STATED}


if __name__ == "__main__":
    cli(run)
