"""The plain autoencoder: the VAE's network with z = mu, no divergence and no posterior variance."""

from pathlib import Path
from typing import Any

import numpy as np

from neurovae.train.engine.loop import Row, Watch
from neurovae.train.models import vae
from neurovae.train.models.vae import embed as embed
from neurovae.train.models.vae import linear_only as linear_only
from neurovae.train.models.vae import reconstruct as reconstruct
from neurovae.train.weights import Tensors

EPOCHS = True


def fit(
    volumes: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int,
    device: str,
    people: np.ndarray | None = None,
    state: Path | None = None,
    watch: Watch = lambda rows: None,
    **options: Any,
) -> tuple[Tensors, dict[str, Any], list[Row]]:
    """As `vae.fit`, with nothing sampled and nothing but the reconstruction in the loss."""
    same: dict[str, Any] = {"seed": seed, "device": device, "people": people, "state": state, "watch": watch}
    return vae.fit(volumes, split, mask, sampled=False, **same, **options)
