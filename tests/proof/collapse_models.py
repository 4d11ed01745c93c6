"""Tiny models whose truth is decided by how they are made: healthy ones, and collapsed, ruined or diverged on purpose."""

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter

from neurovae.train import fit
from neurovae.train.health.examine import Model
from neurovae.train.health.health import examine

SHAPE = (16, 24, 16)
MASK = np.zeros(SHAPE, dtype=bool)
MASK[2:14, 3:21, 2:14] = True
LATENT, FACTORS = 6, 6
SPLIT = np.array((["training"] * 3 + ["validation", "test"]) * 12)  # of 60 people
PERSON = np.array([f"sub-{i:02d}" for i in range(len(SPLIT))])
SETTINGS = dict(
    n_latent=LATENT, base_channels=8, dropout=0.1, reconstruction="gaussian", sigma=1.0, noise=0.1, jitter=0.0, mixup=0.0, flip=False,
    blur=0.0, learning_rate=2e-3, weight_decay=0.01, clip=1e4, batch=6, accumulate=1, epochs=40, patience=40, linear="none",
)  # fmt: skip
VAE = {**SETTINGS, "divergence": "kl", "beta": 1.0}
PCA = {"n_latent": LATENT, "flip": False, "blur": 0.0}
SHORT = {"epochs": 6, "patience": 6}
LINEAR = {"linear": "pca", **SHORT}
Trained = tuple[str, dict[str, Any], dict[str, np.ndarray], dict[str, Any], pd.DataFrame]


def people(count: int = len(SPLIT), seed: int = 11, noise: float = 0.3) -> np.ndarray:
    """Volumes (count, x, y, z) of people who differ along six smooth fields of falling size, and by noise."""
    rng = np.random.default_rng(seed)
    fields = np.stack([gaussian_filter(rng.normal(size=SHAPE), 3) for _ in range(FACTORS)])
    fields *= (np.linspace(1.4, 0.6, FACTORS) / fields[:, MASK].std(axis=1))[:, None, None, None]
    amount = rng.normal(size=(count, FACTORS))
    volumes = 1 + np.tensordot(amount, fields, 1) / FACTORS**0.5 + noise * rng.normal(size=(count, *SHAPE))
    return np.where(MASK, volumes, 0).astype(np.float16)


def train(kind: str, options: dict[str, Any], volumes: np.ndarray, seed: int = 0) -> Trained:
    """Fit a model as the rule `train` does."""
    torch.use_deterministic_algorithms(True)
    module = importlib.import_module(f"neurovae.train.models.{kind}")
    tensors, architecture, rows = module.fit(volumes, SPLIT, MASK, seed=seed, device="cpu", **options)
    return kind, options, tensors, architecture, pd.DataFrame(rows, columns=list(fit.HISTORY))


def judged(trained: Trained, volumes: np.ndarray, shuffled: bool = False) -> dict[str, Any]:
    """Measures and verdict as the rule `health` finds them; shuffled: the encoder is given another person's scan."""
    kind, options, tensors, architecture, history = trained
    module: Any = importlib.import_module(f"neurovae.train.models.{kind}")
    if shuffled:
        embed = module.embed
        module = SimpleNamespace(
            embed=lambda *given: tuple(np.roll(found, 1, axis=0) for found in embed(*given)),
            reconstruct=module.reconstruct,
        )
    known = {name: sorted(PERSON[SPLIT == name]) for name in ("training", "validation", "test")}
    meta = {"kind": kind, "architecture": architecture, "options": options, "people": known}
    model = Model(module=module, tensors=tensors, meta=meta, mask=MASK)
    return examine(model, volumes, PERSON, history, 0)


def healthy() -> dict[str, tuple[str, dict[str, Any]]]:
    """Ordinary settings on people who do differ: none may be stopped."""
    neighbours = {"n_latent": LATENT, "flip": False, "neighbours": 10}
    return {
        "vae, Gaussian": ("vae", VAE),
        "vae, Gaussian, half beta": ("vae", {**VAE, "beta": 0.5}),
        "vae, warm-up and free bits": ("vae", {**VAE, "warmup": 10, "free_bits": 0.1}),
        "vae, no divergence": ("vae", {**VAE, "divergence": "none", "beta": 0.0}),
        "vae, MMD": ("vae", {**VAE, "divergence": "mmd", "beta": 0.0, "mmd_weight": 0.1}),
        "vae, DSSIM": ("vae", {**VAE, "reconstruction": "dssim"}),
        "vae, linear, Gaussian": ("vae", {**VAE, **LINEAR}),
        "vae, linear, learned sigma": ("vae", {**VAE, **LINEAR, "sigma": "learned"}),
        "vae, linear, both": ("vae", {**VAE, **LINEAR, "reconstruction": "both"}),
        "vae, linear, MMD and KL": ("vae", {**VAE, **LINEAR, "divergence": "mmd", "mmd_weight": 0.1}),
        "autoencoder": ("autoencoder", SETTINGS),
        "autoencoder, linear": ("autoencoder", {**SETTINGS, **LINEAR}),
        "pca": ("pca", PCA),
        "pca, three": ("pca", {**PCA, "n_latent": 3}),
        "pca, smoothed": ("pca", {**PCA, "blur": 20.0}),
        "mds": ("mds", {"n_latent": LATENT, "flip": False}),
        "isomap": ("isomap", neighbours),
        "lle": ("lle", neighbours),
    }


def noise(seed: int) -> np.ndarray:
    """Volumes of people who differ by nothing but independent noise: there is nothing to learn."""
    drawn = np.random.default_rng(seed).normal(size=(len(SPLIT), *SHAPE))
    return np.where(MASK, drawn, 0).astype(np.float16)


def of_noise() -> dict[str, tuple[str, dict[str, Any]]]:
    """Ordinary settings, to be trained on noise: they may know their training people by heart, but nobody else."""
    return {
        "vae, of noise": ("vae", VAE),
        "vae, linear, of noise": ("vae", {**VAE, **LINEAR}),
        "autoencoder, of noise": ("autoencoder", SETTINGS),
        "pca, of noise": ("pca", PCA),
    }


SHUFFLED = ("vae, Gaussian", "vae, DSSIM", "vae, MMD", "autoencoder", "pca", "isomap")  # also judged so


def collapsed() -> dict[str, tuple[str, dict[str, Any]]]:
    """Trained so that the input cannot reach the output: a KL that costs more than all voxels, or no learning."""
    still = {"learning_rate": 1e-9, **SHORT}
    return {
        "vae, Gaussian, beta 1e6": ("vae", {**VAE, **SHORT, "beta": 1e6}),
        "vae, DSSIM, beta 1e6": ("vae", {**VAE, **SHORT, "reconstruction": "dssim", "beta": 1e6}),
        "vae, MMD, beta 1e6": ("vae", {**VAE, **SHORT, "divergence": "mmd", "mmd_weight": 0.1, "beta": 1e6}),
        "vae, both, beta 1e6": ("vae", {**VAE, **SHORT, "reconstruction": "both", "beta": 1e6}),
        "vae, learning rate 1e-9": ("vae", {**VAE, **still}),
        "vae, DSSIM, learning rate 1e-9": ("vae", {**VAE, **still, "reconstruction": "dssim"}),
        "autoencoder, learning rate 1e-9": ("autoencoder", {**SETTINGS, **still}),
        "autoencoder, no epoch": ("autoencoder", {**SETTINGS, "epochs": 0}),
        "vae, no epoch": ("vae", {**VAE, "epochs": 0}),
    }


def ruined() -> dict[str, tuple[str, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]]]:
    """What is done to the weights of a healthy model, by the healthy model's name, so that the input is cut off."""
    rng = np.random.default_rng(5)
    return {
        "vae, decoder cut": ("vae, Gaussian", lambda t: _cut(t, "decoder")),
        "vae, encoder cut": ("vae, Gaussian", lambda t: _cut(t, "encoder")),
        "vae, encoder constant": ("vae, Gaussian", lambda t: _cut(t, "encoder", bias=1.0)),
        "vae, linear, latents not decoded": ("vae, linear, Gaussian", lambda t: _cut(t, "decoder")),
        "vae, MMD, decoder cut": ("vae, MMD", lambda t: _cut(t, "decoder")),
        "vae, DSSIM, encoder cut": ("vae, DSSIM", lambda t: _cut(t, "encoder")),
        "autoencoder, encoder cut": ("autoencoder", lambda t: _cut(t, "encoder")),
        "autoencoder, decoder times 1e3": ("autoencoder", lambda t: _last(t, "decoder", lambda value: 1e3 * value)),
        "autoencoder, one weight NaN": ("autoencoder", lambda t: {**t, "encoder.0.bias": np.nan * t["encoder.0.bias"]}),
        "vae, weights infinite": ("vae, Gaussian", lambda t: _last(t, "decoder", lambda value: value + np.inf)),
        "pca, components zero": ("pca", lambda t: {**t, "components": 0 * t["components"]}),
        "pca, components random": ("pca", lambda t: {**t, "components": _random(rng, t["components"].shape)}),
        "pca, components NaN": ("pca", lambda t: {**t, "components": np.nan * t["components"]}),
    }


def _last(
    tensors: dict[str, np.ndarray], part: str, change: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """Weights with the last layer of a network changed."""
    number = max(int(name.split(".")[1]) for name in tensors if name.startswith(f"{part}."))
    names = [f"{part}.{number}.weight", f"{part}.{number}.bias"]
    return {name: change(value) if name in names else value for name, value in tensors.items()}


def _cut(tensors: dict[str, np.ndarray], part: str, bias: float = 0.0) -> dict[str, np.ndarray]:
    """Weights with a network's last layer and the linear part beside it at zero; its bias may be a constant."""
    cut = _last(tensors, part, lambda value: np.full_like(value, bias if value.ndim == 1 else 0.0))
    beside = "inward" if part == "encoder" else "outward"
    return {**cut, beside: np.zeros_like(cut[beside])}


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Orthonormal rows in random directions."""
    return np.linalg.qr(rng.normal(size=shape).T)[0].T.astype(np.float32)
