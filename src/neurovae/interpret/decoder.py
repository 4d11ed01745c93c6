"""A trained model for interpretation: its verdict, its people's latents, and volumes decoded from latents."""

import importlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.tables import STOPPING, read_verdict
from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.io.volumes import chunks, read_mask
from neurovae.train import weights
from neurovae.train.health.verdicts import DECODER, FORWARD, NO_DECODER, no_forward_map

Row = dict[str, Any]


@dataclass(frozen=True)
class Decoder:
    """Weights of one fit and the latents computed with them."""

    tensors: weights.Tensors
    meta: dict[str, Any]
    mask: np.ndarray  # bool, (x, y, z)
    latents: pd.DataFrame  # a row per scan: keys, split, mu_*, logvar_*
    verdict: str
    reason: str
    health: dict[str, Any] = field(default_factory=dict)  # the measures from which the verdict was reached

    @property
    def decodes(self) -> bool:
        """Whether latents can be decoded into volumes; if not, a forward model can still give maps."""
        return weights.has_decoder(self.meta)

    @property
    def absent(self) -> Row:
        """Status and reason of the row in place of what only a decoder gives; empty for a model that decodes."""
        if self.verdict.split(";")[0] in STOPPING:
            return {"status": "not tested", "reason": self.reason}
        return {} if self.decodes else {"status": "no decoder", "reason": NO_DECODER}

    @property
    def unmapped(self) -> Row:
        """Likewise in place of score maps, which a forward model gives too where it explains held-out scans."""
        if self.decodes or self.verdict.split(";")[0] in STOPPING:
            return self.absent
        reason = no_forward_map(self.health)
        return {"status": "no map", "reason": reason} if reason else {}

    @property
    def mapped_by(self) -> Row:
        """Columns of a map: what turned latents into voxels, and its variance explained in held-out scans."""
        key = "variance_explained_test" if self.decodes else "forward_explained_test"
        source = DECODER if self.decodes else FORWARD
        return {"mapped_by": source, "variance_explained_test": self.health.get(key)}

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
        module = importlib.import_module(f"neurovae.train.models.{self.meta['kind']}")
        voxels = module.reconstruct if self.decodes else module.forward
        z = np.asarray(z, np.float32 if self.decodes else np.float64)  # columns of a table can be large numbers
        parts = [voxels(z[part], self.mask, self.tensors, self.meta["architecture"]) for part in chunks(len(z))]
        return np.concatenate(parts)


def read(model: Path, latents: Path, mask: Path, health: Path) -> Decoder:
    """Read weights, latents, mask and verdict of one fit.

    Raises:
        InputError: the latents were not computed with these weights.
    """
    tensors, meta = weights.load(model)
    table = latent_table.read(latents)
    stamp = weights.model_hash(tensors, meta)
    if len(table) and (table["model_hash"] != stamp).any():
        raise InputError(f"{latents}: given by other weights than {model} holds; rerun with --forcerun latents")
    verdict, reason = read_verdict(health)
    measures = json.loads(health.read_text(encoding="utf-8"))
    return Decoder(tensors, meta, read_mask(mask), table, verdict, reason, measures)
