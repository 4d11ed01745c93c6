"""The hyperparameters of a network: the values of one entry of train.models (described in train.schema.yaml)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Options of a VAE; an autoencoder has no divergence, and its code is the posterior mean."""

    n_latent: int
    latents: Literal["vector", "map"] = "vector"
    map_mm: float = 32.0
    map_channels: int = 1
    n_global: int = 0
    flip: bool
    blur: float
    linear: Literal["pca", "localised", "none"]
    taper_mm: list[float | Literal["none"]] | None = None
    network: Literal["dense", "local"] = "dense"
    cross_fit: int = 0
    base_channels: int
    rotate: Literal["none", "varimax"] = "none"
    dropout: float
    reconstruction: Literal["gaussian", "dssim", "both"]
    sigma: float | Literal["learned"]
    dssim_weight: float | None = None
    noise: float
    jitter: float
    mixup: float
    mosaic: float = 0.0
    mosaic_mm: float = 60.0
    learning_rate: float
    learning_rate_cycle: bool = False
    weight_decay: float
    clip: float
    batch: int
    accumulate: int
    epochs: int
    patience: int
    precision: Literal["auto", "float32", "bf16"] = "auto"
    compile: bool = False
    divergence: Literal["kl", "mmd", "none"] = "none"
    beta: float = 0.0
    warmup: int = 0
    cycles: int = 0
    free_bits: float = 0.0
    mmd_weight: float = 0.0
    samples: int = 1
    sampled: bool = True  # False: z = mu

    @property
    def kl(self) -> bool:
        """Whether the loss contains a KL. Without one the posterior variance is not calibrated."""
        return self.divergence != "none" and self.beta > 0

    @property
    def gaussian(self) -> bool:
        """Whether the loss contains the Gaussian likelihood."""
        return self.reconstruction != "dssim"

    @property
    def dssim(self) -> bool:
        """Whether the loss contains the structural dissimilarity."""
        return self.reconstruction != "gaussian"
