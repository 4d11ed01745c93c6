"""The network and its linear part, anchors, weights on disk, determinism, and what reaches the latents."""

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from tiny import LINEAR, MASK, NETWORK, PLAIN, ROLES, SETTINGS, SHAPE, cohort, packed, roles

from neurovae import latents
from neurovae.errors import InputError
from neurovae.io.volumes import masked, splits
from neurovae.train import fit, weights
from neurovae.train.engine import devices
from neurovae.train.losses.divergence import kl_per_dimension
from neurovae.train.models import autoencoder, pca, principal_components, vae
from neurovae.train.models.network import LOGVAR, VAE, plan, sample

MODELS = [(vae, SETTINGS), (autoencoder, NETWORK), (pca, LINEAR)]


def named(models: list) -> list:
    """The same as pytest's parameters with readable names."""
    return [pytest.param(module, options, id=module.__name__.rpartition(".")[2]) for module, options in models]


def test_classical_scaling_equals_pca_up_to_sign() -> None:
    volumes, _ = cohort()
    options = {**LINEAR, "flip": False}
    tensors, architecture, _ = pca.fit(volumes, np.full(24, "training"), MASK, seed=0, device="cpu", **options)
    scores, _ = pca.embed(volumes, MASK, tensors, architecture)
    squared = squareform(pdist(masked(volumes, MASK).astype(float))) ** 2
    centre = np.eye(24) - 1 / 24
    values, vectors = np.linalg.eigh(-centre @ squared @ centre / 2)
    scaled = vectors[:, ::-1][:, :3] * np.sqrt(values[::-1][:3])
    for k in range(3):
        assert min(np.abs(scores[:, k] - sign * scaled[:, k]).max() for sign in (1, -1)) < 1e-3 * np.abs(scaled).max()


@pytest.mark.parametrize(
    ("shape", "small"), [((40, 48, 40), (5, 6, 5)), ((80, 96, 80), (5, 6, 5)), ((160, 192, 160), (5, 6, 5))]
)
def test_the_network_fits_every_grid(shape: tuple[int, int, int], small: tuple[int, int, int]) -> None:
    assert plan(shape, 32)[0] == small
    with pytest.raises(ValueError, match="does not divide by 8"):
        plan((shape[0] + 4, *shape[1:]), 32)


def test_logvar_is_clamped_and_the_untrained_decoder_gives_the_mean() -> None:
    model = VAE(mask=torch.from_numpy(MASK), n_latent=3, base_channels=4, dropout=0.0)
    model.mean.fill_(2.0)
    with torch.no_grad():
        model.encoder[-1].bias.fill_(100.0)
        _, logvar = model.encode(torch.randn(2, 1, *SHAPE))
        assert (logvar == LOGVAR[1]).all()
        assert (model.decode(torch.randn(2, 3)) == 2).all()


def test_samples_have_the_posterior_s_moments() -> None:
    eps = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    drawn = sample(torch.full((200_000, 1), 1.5), torch.full((200_000, 1), math.log(0.25)), eps)
    assert float(drawn.mean()) == pytest.approx(1.5, abs=0.01)
    assert float(drawn.std()) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("sigma", [1.0, 0.3])
def test_the_linear_part_is_the_posterior_of_probabilistic_pca(sigma: float) -> None:
    volumes, split = cohort()
    options = {**SETTINGS, "epochs": 1, "learning_rate": 1e-9, "flip": False, "sigma": sigma}
    tensors, architecture, _ = vae.fit(volumes, split, MASK, seed=0, device="cpu", **options)
    mu, logvar = vae.embed(volumes[split == "training"], MASK, tensors, architecture)
    x = masked(volumes[split == "training"], MASK)
    found = principal_components.principal(
        volumes, np.flatnonzero(split == "training"), MASK, n_latent=3, flip=False, blur=0.0
    )
    w = found.components.T * np.sqrt(found.variances)  # (voxels, latents)
    inverse = np.linalg.inv(w.T @ w + sigma**2 * np.eye(3))
    assert np.allclose(mu, (x - x.mean(axis=0)) @ w @ inverse, atol=1e-3)  # Tipping and Bishop 1999, equation 12
    assert np.allclose(np.exp(logvar), sigma**2 * np.diag(inverse), rtol=1e-3)
    x_hat = vae.reconstruct(mu, MASK, vae.linear_only(tensors), architecture)
    assert np.allclose(x_hat, x.mean(axis=0) + mu @ w.T, atol=1e-3)


def test_training_learns_what_three_fields_do_and_repeats_to_the_bit() -> None:
    volumes, split = cohort(40)
    options = {
        **SETTINGS,
        "linear": "none",
        "flip": False,
        "epochs": 30,
        "patience": 30,
        "base_channels": 8,
        "dropout": 0.0,
    }
    runs = [vae.fit(volumes, split, MASK, seed=0, device="cpu", **options) for _ in range(2)]
    assert all(np.array_equal(runs[0][0][name], runs[1][0][name]) for name in runs[0][0])
    assert repr(runs[0][2]) == repr(runs[1][2])
    other = vae.fit(volumes, split, MASK, seed=1, device="cpu", **{**options, "epochs": 1})
    assert not np.array_equal(other[0]["encoder.0.weight"], runs[0][0]["encoder.0.weight"])
    held = [row["variance_explained"] for row in runs[0][2] if row["split"] == "test"]
    assert held[0] == pytest.approx(0, abs=0.02)  # an untrained network gives the mean
    assert max(held) > 0.6


def test_the_network_adds_to_its_linear_part_where_people_lie_on_a_curve() -> None:
    rng = np.random.default_rng(0)
    x, _, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    at = rng.uniform(0, 1.4 * np.pi, 300)[:, None, None, None]
    volumes = np.cos(at) * np.sin(3 * z) + np.sin(at) * np.sin(3 * x) + 0.1 * rng.normal(size=(300, *SHAPE))
    volumes, split = np.where(MASK, volumes, 0).astype(np.float16), np.array(roles(300))
    settings = {**SETTINGS, **PLAIN, "n_latent": 1, "base_channels": 8, "epochs": 25, "patience": 25, "batch": 16}
    tensors, architecture, _ = vae.fit(volumes, split, MASK, seed=0, device="cpu", **settings)
    held = volumes[split == "test"]
    mean = masked(volumes[split == "training"], MASK).mean(axis=0)

    def explained(of: dict[str, np.ndarray]) -> float:
        x_hat = vae.reconstruct(vae.embed(held, MASK, of, architecture)[0], MASK, of, architecture)
        return float(1 - np.square(masked(held, MASK) - x_hat).sum() / np.square(masked(held, MASK) - mean).sum())

    alone, whole = explained(vae.linear_only(tensors)), explained(tensors)
    assert alone < 0.75 and whole > alone + 0.1, (alone, whole)


def test_the_kept_weights_are_those_of_the_smallest_stopping_loss() -> None:
    volumes, split = cohort()
    options = {**SETTINGS, "linear": "none", "epochs": 8, "learning_rate": 3e-3}
    tensors, architecture, history = vae.fit(volumes, split, MASK, seed=0, device="cpu", **options)
    rows = [row for row in history if row["split"] == "validation"]
    best = min(rows, key=lambda row: row["loss"])
    mu, logvar = vae.embed(volumes[split == "validation"], MASK, tensors, architecture)
    x = masked(volumes[split == "validation"], MASK)
    error = np.square(x - vae.reconstruct(mu, MASK, tensors, architecture)).sum(axis=1)
    total = np.square(x - masked(volumes[split == "training"], MASK).mean(axis=0)).sum(axis=1)
    assert 1 - error.sum() / total.sum() == pytest.approx(best["variance_explained"], abs=1e-5)
    kl = float(kl_per_dimension(torch.from_numpy(mu), torch.from_numpy(logvar)).sum(dim=1).mean())
    nll = error.mean() / 2 + MASK.sum() * math.log(2 * math.pi) / 2  # sigma 1
    assert (nll, kl, nll + kl) == pytest.approx((best["nll"], best["kl"], best["loss"]), rel=1e-5)
    assert 0 < best["epoch"] and len(rows) > 3


def test_training_ends_when_patience_does() -> None:
    volumes, split = cohort()
    options = {**SETTINGS, "learning_rate": 0.03, "epochs": 12, "patience": 2}
    tensors, architecture, history = vae.fit(volumes, split, MASK, seed=0, device="cpu", **options)
    losses = [row["loss"] for row in history if row["split"] == "validation"]
    assert len(losses) - 1 == int(np.argmin(losses)) + 2 < 12
    assert architecture.pop("left") == pytest.approx(0.01, rel=0.2)  # the noise
    assert architecture == {"shape": list(SHAPE), "n_latent": 3, "base_channels": 4, "kl": True, "sampled": True}


@pytest.mark.parametrize(("module", "options"), named(MODELS))
def test_the_report_people_change_nothing_that_is_fitted(module: ModuleType, options: dict) -> None:
    volumes, split = cohort()
    noise = volumes.copy()
    noise[split == "test"] = np.random.default_rng(1).normal(size=noise[split == "test"].shape)
    one, other = (module.fit(x, split, MASK, seed=0, device="cpu", **options)[0] for x in (volumes, noise))
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("module", "options"), named(MODELS))
def test_a_latent_does_not_depend_on_its_batch(module: ModuleType, options: dict) -> None:
    volumes, split = cohort()
    tensors, architecture, _ = module.fit(volumes, split, MASK, seed=0, device="cpu", **{**options, "n_latent": 3})
    together = module.embed(volumes, MASK, tensors, architecture)
    alone = [module.embed(volumes[i : i + 1], MASK, tensors, architecture) for i in range(len(volumes))]
    backwards = module.embed(volumes[::-1].copy(), MASK, tensors, architecture)
    crowd = volumes.copy()
    crowd[1:] = np.random.default_rng(2).normal(size=crowd[1:].shape)
    noisy = module.embed(crowd, MASK, tensors, architecture)
    for part in (0, 1):
        close = dict(atol=1e-5 * float(np.abs(together[0]).max()), equal_nan=True)
        assert np.allclose(together[part], np.concatenate([pair[part] for pair in alone]), **close)
        assert np.allclose(together[part], backwards[part][::-1], **close)
        assert np.allclose(together[part][0], noisy[part][0], **close)
    assert np.array_equal(together[0], module.embed(volumes, MASK, tensors, architecture)[0])
    assert np.isnan(together[1]).all() == (module is not vae)


def test_an_autoencoder_has_neither_samples_nor_a_divergence() -> None:
    volumes, split = cohort()
    tensors, architecture, history = autoencoder.fit(volumes, split, MASK, seed=0, device="cpu", **NETWORK)
    assert all(row["loss"] == row["nll"] and math.isnan(row["kl"]) and row["kl_dimensions"] == [] for row in history)
    assert not architecture["kl"] and not architecture["sampled"]
    ends = [name for name in tensors if name.startswith("encoder.") and name.endswith("weight")]
    assert (tensors[ends[-1]][3:] == 0).all()  # the half of the last layer that gives log-variances


def test_a_mirrored_cohort_gives_the_same_principal_space() -> None:
    volumes, _ = cohort()
    one, other = (
        principal_components.principal(x, np.arange(len(x)), MASK, n_latent=3, flip=True, blur=0.0)
        for x in (volumes, volumes[:, ::-1])
    )
    assert np.allclose(np.abs(np.sum(one.components * other.components, axis=1)), 1, atol=1e-4)


@pytest.mark.parametrize(("flip", "blur"), [(False, 0.0), (True, 12.0)])
def test_components_of_many_scans_are_found_a_few_at_a_time(
    flip: bool, blur: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes, split = cohort(300)
    rows = np.flatnonzero(split == "training")
    exact = principal_components.principal(volumes, rows, MASK, n_latent=3, flip=flip, blur=blur)
    monkeypatch.setattr(principal_components, "MAX_SCANS", 100)
    monkeypatch.setattr(principal_components, "FIRST", 40)
    found, _, _ = pca.fit(volumes, split, MASK, seed=0, device="cpu", n_latent=3, flip=flip, blur=blur)
    assert len(rows) > 100
    assert np.allclose(np.abs(np.sum(found["components"] * exact.components, axis=1)), 1, atol=1e-4)
    assert np.allclose(found["mean"], exact.mean, atol=1e-5)
    streamed = principal_components.streamed(volumes, rows, MASK, n_latent=3, flip=flip, blur=blur)
    assert np.allclose(streamed.variances, exact.variances, rtol=1e-3)
    assert streamed.left == pytest.approx(exact.left, rel=1e-3)


def test_blurred_copies_make_components_smoother() -> None:
    volumes, _ = cohort(12)
    noisy = volumes + np.random.default_rng(3).normal(size=volumes.shape).astype(np.float16)
    plain, smooth = (
        principal_components.principal(noisy, np.arange(len(noisy)), MASK, n_latent=8, flip=False, blur=blur)
        for blur in (0.0, 12.0)
    )

    def roughness(components: np.ndarray) -> float:
        boxes = np.zeros((8, *SHAPE))
        boxes[:, MASK] = components
        return float(np.square(np.diff(boxes, axis=2)[:, 2:14, 3:20, 2:14]).sum())

    assert np.allclose(smooth.components @ smooth.components.T, np.eye(8), atol=1e-5)
    assert roughness(smooth.components) < 0.9 * roughness(plain.components)
    assert smooth.variances.sum() <= plain.variances.sum() * (1 + 1e-6)  # no components hold more than the plain ones


def test_weights_come_back_as_they_were_even_from_fortran_order(tmp_path: Path) -> None:
    tensors = {
        "a": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
        "b": np.ones(2, dtype=np.float32),
        "c": np.array(0.5, dtype=np.float32),
        "d": np.zeros((0, 3), dtype=np.float32),
    }
    weights.save(tmp_path / "w.safetensors", tensors, {"kind": "pca"})
    back, meta = weights.load(tmp_path / "w.safetensors")
    assert meta == {"kind": "pca"}
    assert all(
        np.array_equal(back[name], tensors[name]) and back[name].shape == tensors[name].shape for name in tensors
    )
    assert weights.model_hash(back, meta) == weights.model_hash(tensors, meta)
    back["a"][0, 0] += 1
    assert weights.model_hash(back, meta) != weights.model_hash(tensors, meta)


@pytest.mark.parametrize(("module", "options"), named([MODELS[0], MODELS[2]]))
def test_train_and_latents_from_files(tmp_path: Path, module: ModuleType, options: dict) -> None:
    files, kind = packed(tmp_path), module.__name__.rpartition(".")[2]
    out = dict(out=tmp_path / "w.safetensors", history=tmp_path / "h.parquet", state=tmp_path / "state")
    fit.run(**files, **out, kind=kind, fold=0, seed=0, device="cpu", options=options)
    assert not list((tmp_path / "state").glob("*"))
    tables = []
    for name in ("a", "b"):
        arguments = {key: files[key] for key in ("volumes", "rows", "mask")}
        latents.run(
            **arguments,
            model=tmp_path / "w.safetensors",
            name=kind,
            out=tmp_path / f"{name}.parquet",
            index=tmp_path / "i.parquet",
        )
        tables.append((tmp_path / f"{name}.parquet").read_bytes())
    assert tables[0] == tables[1]
    table, history = pd.read_parquet(tmp_path / "a.parquet"), pd.read_parquet(tmp_path / "h.parquet")
    assert table["split"].tolist() == (ROLES * 5)[:24]
    assert list(history.columns) == list(fit.HISTORY)
    mu, logvar = (table[[f"{name}_{k:03d}" for k in range(3)]].to_numpy() for name in ("mu", "logvar"))
    if kind == "vae":
        kl = kl_per_dimension(torch.from_numpy(mu), torch.from_numpy(logvar)).numpy()
        assert np.allclose(table[[f"kl_{k:03d}" for k in range(3)]], kl)
        assert history["epoch"].tolist() == [epoch for epoch in range(4) for _ in range(3)]
    else:
        assert np.isnan(logvar).all() and not len(history)
    assert (mu.std(axis=0) > 0.1).all()
    pd.read_parquet(files["rows"]).assign(preproc_sha256="other").to_parquet(files["rows"])
    with pytest.raises(InputError, match="fitted on other values"):
        latents.run(
            **arguments,
            model=tmp_path / "w.safetensors",
            name=kind,
            out=tmp_path / "c.parquet",
            index=tmp_path / "i.parquet",
        )


def test_people_without_a_fold_and_empty_splits_are_refused(tmp_path: Path) -> None:
    files = packed(tmp_path)
    table = pd.read_parquet(files["rows"])
    with pytest.raises(InputError, match="no fold for sub-99"):
        splits(table.assign(person=["sub-99", *table["person"][1:]]), files["folds"], 0)
    with pytest.raises(InputError, match="nobody left in validation"):
        splits(table.iloc[:3], files["folds"], 0)


def test_impossible_requests_are_refused() -> None:
    volumes, split = cohort()
    with pytest.raises(InputError, match="20 latents need more than 20 training scans, found 15"):
        pca.fit(volumes, split, MASK, seed=0, device="cpu", **{**LINEAR, "n_latent": 20, "flip": False})
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="torch sees no GPU"):
            devices.choose("cuda")


@pytest.mark.parametrize(
    "options", [{"learning_rate": 1e30}, {"learning_rate": 1e30, "reconstruction": "dssim"}, {"sigma": "learned", "learning_rate": 1e3}]
)  # fmt: skip
@pytest.mark.parametrize("module", [vae, autoencoder])
def test_a_loss_that_is_not_finite_ends_the_training_with_the_best_weights_before(
    module: ModuleType, options: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    volumes, split = cohort()
    chosen = {**(SETTINGS if module is vae else NETWORK), "epochs": 20, "patience": 20, **options}
    tensors, _, history = module.fit(volumes, split, MASK, seed=0, device="cpu", **chosen)
    lost = [row["epoch"] for row in history if row["split"] == "validation" and not np.isfinite(row["loss"])]
    assert lost == [history[-1]["epoch"]] and lost[0] < 20
    assert f"epoch {lost[0]}: the loss is not finite; lower learning_rate (now" in capsys.readouterr().out
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())


def test_volumes_that_are_not_finite_are_named() -> None:
    volumes, split = cohort()
    volumes[split == "validation"] = np.nan
    with pytest.raises(InputError, match="epoch 0: the loss is not finite; look at the packed volumes"):
        vae.fit(volumes, split, MASK, seed=0, device="cpu", **{**SETTINGS, **PLAIN})
