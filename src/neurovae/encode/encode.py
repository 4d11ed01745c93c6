"""Embed every packed scan by a pretrained encoder; of an autoencoder, keep the decoder too."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurovae.cli import cli
from neurovae.encode import autoencoder, dry, geometry, programs
from neurovae.errors import InputError
from neurovae.io import embeddings
from neurovae.io.images import read_image
from neurovae.io.progress import steps
from neurovae.io.volumes import chunks, read_mask, read_volumes
from neurovae.plan import encoder_cards
from neurovae.train import weights
from neurovae.train.engine import devices

THREADS = 2  # fixed: on a CPU another number of threads would give other bits
DESCRIBED = ("name", "format", "sha256", "licence", "citation")


def run(*, volumes: Path, rows: Path, mask: Path, encoder: str, out: Path, decoder: Path, device: str) -> None:
    """Write `embeddings.parquet` (a row per scan) and `decoder.safetensors` (empty for an encoder without a decoder).

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun encode

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        encoder: folder of the encoder and its card, or either of them.
        out: Parquet to write, with the description of the encoder in its metadata.
        decoder: safetensors to write.
        device: auto (cuda, then cpu), cpu, cuda or mps.

    Raises:
        InputError: the card, its files, or the encoder itself (see `dry.check`); a scan without contrast, or one whose
            embedding is not finite.
    """
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True, warn_only=True)
    card = encoder_cards.read(encoder)
    folder = encoder_cards.card_path(encoder).parent
    encode = programs.load(card, folder, devices.choose(device))
    dry.check(encode, card)
    array, scans = read_volumes(volumes, rows)
    affine = read_image(mask).affine
    values = embedded(encode, card, array, read_mask(mask), affine, list(scans["scan"]))
    of_card = encoder_cards.digest(card)
    table = pd.DataFrame(
        {"scan": scans["scan"], "preproc_sha256": [_joined(one, of_card) for one in scans["preproc_sha256"]]}
    )
    columns = pd.DataFrame(values, columns=embeddings.names(values.shape[1]))
    described = {key: card[key] for key in DESCRIBED} | {"input": card["input"], "affine": affine.tolist()}
    _write_decoder(decoder, card, folder, described)
    embeddings.write(out, pd.concat([table, columns], axis=1), described)
    print(f"{card['name']}: {values.shape[1]} numbers of {len(values)} scans", flush=True)


def embedded(
    encode: programs.Encode,
    card: dict[str, Any],
    array: np.ndarray,
    mask: np.ndarray,
    affine: np.ndarray,
    scans: list[str],
) -> np.ndarray:
    """Embeddings (scans, size), single precision, of packed volumes (scans, x, y, z).

    Raises:
        InputError: a scan without contrast, or whose embedding is not finite; its key.
    """
    values = np.empty((len(array), card["output"]["size"]), np.float32)
    for part in steps(chunks(len(array), card["input"]["batch"]), "scans", len(array)):
        try:
            images = [geometry.prepared(volume, mask, affine, card["input"]) for volume in array[part]]
        except InputError as error:
            raise InputError(f"{', '.join(scans[part])}: {error}") from None
        values[part] = encode(np.stack(images)[:, None])
        if not np.isfinite(values[part]).all():
            raise InputError(f"{', '.join(scans[part])}: the embedding is not finite; inspect the scan")
    return values


def _joined(scan: str, card: str) -> str:
    """Digest of a scan and an encoder: equal digests show equal embeddings, to rounding."""
    return hashlib.sha256(f"{scan} {card}".encode()).hexdigest()


def _write_decoder(path: Path, card: dict[str, Any], folder: Path, described: dict[str, Any]) -> None:
    """Write the whole autoencoder, whose decoder turns latents into images; nothing for other formats."""
    state: dict[str, torch.Tensor] = {}
    if card["format"] in encoder_cards.DECODER:
        arguments = folder / card["arguments"]
        state = autoencoder.decoding(autoencoder.load(folder / card["file"], arguments))
        described["arguments"] = json.loads(arguments.read_text(encoding="utf-8"))
    weights.save(path, {name: one.numpy() for name, one in state.items()}, {})


if __name__ == "__main__":
    cli(run)
