"""Fit one model on one fold with one seed: weights and history."""

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from neurovae.cli import Json, cli
from neurovae.export.source import read as read_source
from neurovae.io.embeddings import DECODER
from neurovae.io.parquet import write_table
from neurovae.io.volumes import SPLITS, data_hash, digests, read_mask, splits
from neurovae.train import inputs, supervision, weights
from neurovae.train.engine import checkpoint, processes

THREADS = 2  # fixed: on a CPU another number of threads would give other bits
HISTORY = {
    "epoch": "int64",
    "split": "string",
    "nll": "float64",
    "dssim": "float64",
    "kl": "float64",
    "mmd": "float64",
    "beta": "float64",
    "loss": "float64",
    "variance_explained": "float64",
    "sigma": "float64",
    "active": "int64",
    "kl_dimensions": "object",
}


def run(
    *,
    volumes: Path,
    rows: Path,
    mask: Path,
    folds: Path,
    out: Path,
    history: Path,
    kind: str,
    fold: int,
    seed: int,
    device: str,
    options: Json,
    state: Path | None = None,
    code: str = "",
    chosen: str = "",
    table: str = "",
    missing: Json | None = None,
    source: str = "",
    blocks: Json | None = None,
    scores: str = "",
) -> None:
    """Fit a model and write its weights and history.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun train

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        folds: table of folds and splits.
        out: safetensors to write.
        history: Parquet to write, a row per epoch and split.
        kind: the module of this package that fits, embeds and reconstructs: vae, autoencoder, pca, pca_localised,
            mds, isomap, lle; aligned and joint, which are supervised; table and pretrained, whose latents exist already
            (with a decoder, or with a forward model in its place); or frozen, the model of `source`.
        fold: the fold whose people are the test set.
        seed: of initial weights, batches and samples.
        device: auto (cuda, then cpu), cpu, cuda or mps.
        options: the entry of the model in train.models.
        state: folder for checkpoints, from which a training that was killed continues.
        code: fingerprint of the code; a checkpoint of other code, options, data or scores is not used.
        chosen: JSON of options that a search has chosen, in place of those of the entry; empty: there was no search.
        table: file with latents that exist already (kinds table and pretrained); empty: the model reads the volumes.
        missing: `missing` and `not_missing` of the cohort section, for that file.
        blocks: folder of each block by name (kind fused and its linear twins); an empty one is that of the volumes.
        source: folder of another cohort's exported model (kind frozen, or start_from); empty: none.
        scores: of the rule `training_scores`, for a supervised model: the declared scores and the confounds of people
            outside the test fold; empty: the model is unsupervised, and reads no score.
    """
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    given = inputs.read(volumes, rows, table, options.get("columns"), missing, several=blocks, mask=mask)
    array, scans, brain = given.array, given.table, read_mask(mask)
    split = splits(scans, folds, fold)
    values = {**options, **(json.loads(Path(chosen).read_text(encoding="utf-8")) if chosen else {})}
    module = importlib.import_module(f"neurovae.train.models.{kind}")
    people = {name: sorted(set(scans.loc[split == name, "person"])) for name in SPLITS}
    meta = {"kind": kind, "fold": fold, "seed": seed, "data_hash": data_hash(scans), "people": people}
    meta |= {"searched": bool(chosen), "scans": digests(scans)}
    meta |= {"block": given.block} if given.block else {}
    meta |= {"track": supervision.SUPERVISED} if scores else {}
    source_model = read_source(Path(source), mask) if source else None
    beside: dict[str, Any] = {"source": source_model} if source_model else {}
    if scores:
        of_fold = supervision.read(Path(scores), options["supervised_by"], scans, split, fold)
        beside |= {"scores": of_fold, "scans": scans}
        digest = hashlib.sha256(Path(scores).read_bytes()).hexdigest()
        code += f"-{digest}"
        meta |= {"scores_sha256": digest}
    if not getattr(module, "EPOCHS", False):
        if processes.rank() == 0:  # nothing to share among processes
            beside |= {"names": given.names, "volumes": given.volumes, "rows": given.rows} if table else {}
            beside |= {"people": scans["person"].to_numpy()} if table or blocks else {}
            beside |= {"encoder": given.encoder, "decoder": Path(table).with_name(DECODER)} if given.encoder else {}
            result = module.fit(array, split, brain, seed=seed, device=device, **beside, **values)
            _write(out, history, result, meta, values)
        return
    of_source = {"source": source_model.record} if source_model else {}
    state_folder = state / f"fold-{fold}_seed-{seed}" if state else None
    folder = (
        state_folder / weights.model_hash({"mask": brain}, {**meta, "options": values, "code": code, **of_source})
        if state_folder
        else None
    )
    names_of_scans = scans["person"].to_numpy()
    beside |= {"people": names_of_scans, "state": folder}
    result = module.fit(array, split, brain, seed=seed, device=device, **beside, **values)
    if processes.rank() == 0:
        _write(out, history, result, meta, values)
        if state_folder:
            checkpoint.clear(state_folder)  # and what killed trainings with other options have left
    processes.stop()


def _write(out: Path, history: Path, result: tuple[Any, ...], meta: dict[str, Any], options: dict[str, Any]) -> None:
    tensors, architecture, epochs = result
    weights.save(out, tensors, {**meta, "architecture": architecture, "options": options})
    table = pd.DataFrame(epochs, columns=list(HISTORY)).astype(HISTORY)
    write_table(history, table)
    stop = table[table["split"] == "validation"]
    if len(stop):
        best = int(stop["epoch"].to_numpy()[stop["loss"].argmin()])
        print(f"the weights of epoch {best} are kept: it had the smallest validation loss (0: before the first step)")


if __name__ == "__main__":
    cli(run)
