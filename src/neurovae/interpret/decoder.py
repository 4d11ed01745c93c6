"""A trained model for interpretation: its verdict, its people's latents, and volumes decoded from latents."""

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.tables import STOPPING, read_verdict
from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import chunks, read_mask
from neurovae.train import weights
from neurovae.train.health.verdicts import NO_DECODER, NOT_APPLICABLE


@dataclass(frozen=True)
class Decoder:
    """Weights of one fit and the latents computed with them."""

    tensors: weights.Tensors
    meta: dict[str, Any]
    mask: np.ndarray  # bool, (x, y, z)
    latents: pd.DataFrame  # a row per scan: keys, split, mu_*, logvar_*
    verdict: str
    reason: str

    @property
    def stopped(self) -> bool:
        """Whether the model is not to be interpreted (collapsed, untrained, diverged), or cannot be."""
        return self.verdict.split(";")[0] in STOPPING or not self.decodes

    @property
    def decodes(self) -> bool:
        """Whether latents can be decoded into volumes."""
        return self.verdict.split(";")[0] != NOT_APPLICABLE

    @property
    def status(self) -> str:
        """Of the row that stands for a model without maps."""
        return "not tested" if self.decodes else "no decoder"

    @property
    def names(self) -> list[str]:
        """The latent columns."""
        return latent_table.columns(self.latents)

    @property
    def mu(self) -> np.ndarray:
        """Posterior means, (scans, latents)."""
        return self.latents[self.names].to_numpy(np.float64)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Voxels of the mask (rows, voxels), single precision, decoded from latents (rows, latents), in parts."""
        module, z = importlib.import_module(f"neurovae.train.models.{self.meta['kind']}"), np.asarray(z, np.float32)
        parts = [
            module.reconstruct(z[part], self.mask, self.tensors, self.meta["architecture"]) for part in chunks(len(z))
        ]
        return np.concatenate(parts)


def read(model: Path, latents: Path, mask: Path, health: Path) -> Decoder:
    """Read weights, latents, mask and verdict of one fit.

    Raises:
        InputError: the latents were not computed with these weights.
    """
    tensors, meta = weights.load(model)
    table = read_parquet(latents)
    stamp = weights.model_hash(tensors, meta)
    if len(table) and (table["model_hash"] != stamp).any():
        raise InputError(f"{latents}: given by other weights than {model} holds; rerun with --forcerun latents")
    decoder = Decoder(tensors, meta, read_mask(mask), table, *read_verdict(health))
    return decoder if decoder.decodes else replace(decoder, reason=NO_DECODER)
