"""Losses against closed forms, anchors of the measures, weights on disk, determinism, and that no score is read."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import pdist, squareform

from neurovae import latents
from neurovae.errors import InputError
from neurovae.train import fit, health, pca, vae, weights
from neurovae.train.losses import gaussian_nll, kl_per_dimension
from neurovae.train.model import LOGVAR, VAE, plan, sample
from neurovae.volumes import SPLITS, masked, splits

SHAPE = (16, 24, 16)
MASK = np.zeros(SHAPE, dtype=bool)
MASK[2:14, 3:21, 2:14] = True
SETTINGS = dict(
    latent=3, width=4, dropout=0.1, beta=1.0, sigma=1.0, noise=0.1, learning_rate=1e-3, weight_decay=0.01, batch=4,
    epochs=3, patience=3, linear="pca", flip=True,
)  # fmt: skip


def cohort(people: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Volumes of people who differ along three smooth fields, and their splits."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    fields = np.stack([x * y, np.sin(3 * z), x**2 - y])
    volumes = 1 + np.tensordot(rng.normal(size=(people, 3)), fields, 1) + 0.1 * rng.normal(size=(people, *SHAPE))
    split = np.array(
        list(itertools.islice(itertools.cycle(["weights", "weights", "weights", "stop", "report"]), people))
    )
    return np.where(MASK, volumes, 0).astype(np.float16), split


def test_kl_equals_torch() -> None:
    mu, logvar = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    ours = kl_per_dimension(mu, logvar)
    posterior = torch.distributions.Normal(mu, (logvar / 2).exp())
    theirs = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(ours, theirs)
    assert (ours >= 0).all()
    assert kl_per_dimension(torch.zeros(1, 2), torch.zeros(1, 2)).sum() == 0


def test_the_likelihood_is_a_sum_with_its_closed_form() -> None:
    torch.manual_seed(0)
    sigma, mask = 0.7, torch.rand(20, 20, 20) < 0.5
    x_hat = torch.randn(3, 1, 20, 20, 20, dtype=torch.float64)
    x = x_hat + sigma * torch.randn_like(x_hat)
    nll = gaussian_nll(x, x_hat, mask, sigma)
    normal = torch.distributions.Normal(x_hat, sigma)
    assert torch.allclose(nll, -(normal.log_prob(x) * mask).sum(dim=(1, 2, 3, 4)))
    expected = math.log(2 * math.pi * sigma**2) / 2 + 0.5  # nats a voxel
    assert float(nll.mean()) / int(mask.sum()) == pytest.approx(expected, abs=0.02)
    doubled = [
        volume.repeat_interleave(2, -1).repeat_interleave(2, -2).repeat_interleave(2, -3) for volume in (x, x_hat)
    ]
    finer = mask.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.allclose(gaussian_nll(*doubled, finer, sigma), 8 * nll)


def test_a_masked_loss_ignores_the_background_to_the_bit() -> None:
    mask = torch.from_numpy(MASK)
    x, x_hat = torch.randn(2, 1, *SHAPE), torch.randn(2, 1, *SHAPE)
    noisy = torch.where(mask, x, torch.randn(2, 1, *SHAPE) * 1e6)
    assert torch.equal(gaussian_nll(x, x_hat, mask, 1.0), gaussian_nll(noisy, x_hat, mask, 1.0))


def test_the_anchors_of_the_share() -> None:
    x = np.random.default_rng(0).normal(size=(10, 50))
    mean = x.mean(axis=0)

    def share(x_hat: np.ndarray) -> float:
        return health.variance_share(np.square(x - x_hat).sum(axis=1), np.square(x - mean).sum(axis=1))

    assert share(np.broadcast_to(mean, x.shape)) == 0
    assert share(x) == 1
    assert share(mean + (x - mean) / 2) == pytest.approx(0.75)


def test_classical_scaling_equals_pca_up_to_sign() -> None:
    volumes, _ = cohort()
    tensors, architecture, _ = pca.fit(
        volumes, np.full(24, "weights"), MASK, seed=0, device="cpu", latent=3, flip=False
    )
    scores, _ = pca.embed(volumes, MASK, tensors, architecture)
    squared = squareform(pdist(masked(volumes, MASK).astype(float))) ** 2
    centre = np.eye(24) - 1 / 24
    values, vectors = np.linalg.eigh(-centre @ squared @ centre / 2)
    scaled = vectors[:, ::-1][:, :3] * np.sqrt(values[::-1][:3])
    for k in range(3):
        assert min(np.abs(scores[:, k] - sign * scaled[:, k]).max() for sign in (1, -1)) < 1e-3 * np.abs(scaled).max()


@pytest.mark.parametrize(
    ("training", "held_out", "active", "verdict"),
    [(0.01, 0.0, 5, "collapsed"), (0.5, 0.4, 0, "collapsed"), (float("nan"), 0.2, 3, "collapsed"), (0.9, 0.2, 3, "overfit"),
     (0.2, -0.1, 3, "overfit"), (0.5, 0.4, 3, "healthy"), (0.5, 0.4, None, "healthy")],
)  # fmt: skip
def test_verdicts(training: float, held_out: float, active: int | None, verdict: str) -> None:
    found = health.judge({"weights": training, "stop": 0.1, "report": held_out}, active)
    assert found["verdict"] == verdict
    assert found["reason"]


@pytest.mark.parametrize(
    ("shape", "small"), [((40, 48, 40), (5, 6, 5)), ((80, 96, 80), (5, 6, 5)), ((160, 192, 160), (5, 6, 5))]
)
def test_the_network_fits_every_grid(shape: tuple[int, int, int], small: tuple[int, int, int]) -> None:
    assert plan(shape, 32)[0] == small


def test_logvar_is_clamped_and_the_untrained_decoder_gives_the_mean() -> None:
    model = VAE(shape=SHAPE, voxels=int(MASK.sum()), latent=3, width=4, dropout=0.0)
    model.mask.copy_(torch.from_numpy(MASK))
    model.mean.fill_(2.0)
    with torch.no_grad():
        model.encoder[-1].bias.fill_(100.0)
        _, logvar = model.encode(torch.randn(2, 1, *SHAPE))
        assert (logvar == LOGVAR[1]).all()
        assert (model.decode(torch.randn(2, 3)) == 2).all()


def test_samples_have_the_posterior_s_moments() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = sample(torch.full((200_000, 1), 1.5), torch.full((200_000, 1), math.log(0.25)), generator)
    assert float(drawn.mean()) == pytest.approx(1.5, abs=0.01)
    assert float(drawn.std()) == pytest.approx(0.5, abs=0.01)


def test_the_linear_part_is_the_posterior_of_probabilistic_pca() -> None:
    volumes, split = cohort()
    tensors, architecture, _ = vae.fit(volumes, split, MASK, seed=0, device="cpu", **{**SETTINGS, "epochs": 1, "learning_rate": 1e-9, "flip": False})  # fmt: skip
    mu, logvar = vae.embed(volumes[split == "weights"], MASK, tensors, architecture)
    x = masked(volumes[split == "weights"], MASK)
    found = pca.principal(volumes[split == "weights"], MASK, 3, False)
    w = found.components_.T * np.sqrt(found.explained_variance_)  # (voxels, latents), sigma = 1
    inverse = np.linalg.inv(w.T @ w + np.eye(3))
    assert np.allclose(mu, (x - x.mean(axis=0)) @ w @ inverse, atol=1e-3)  # Tipping and Bishop 1999, equation 12
    assert np.allclose(np.exp(logvar), np.diag(inverse), rtol=1e-3)


def test_training_learns_what_three_fields_do_and_repeats_to_the_bit() -> None:
    volumes, split = cohort(40)
    settings = {**SETTINGS, "linear": "none", "flip": False, "epochs": 40, "patience": 40, "width": 8, "dropout": 0.0}
    runs = [vae.fit(volumes, split, MASK, seed=0, device="cpu", **settings) for _ in range(2)]
    assert all(np.array_equal(runs[0][0][name], runs[1][0][name]) for name in runs[0][0])
    assert runs[0][2] == runs[1][2]
    other = vae.fit(volumes, split, MASK, seed=1, device="cpu", **{**settings, "epochs": 1})
    assert not np.array_equal(other[0]["encoder.0.weight"], runs[0][0]["encoder.0.weight"])
    held = [row["share"] for row in runs[0][2] if row["split"] == "report"]
    assert held[0] == pytest.approx(0, abs=1e-6)  # an untrained network gives the mean
    assert max(held) > 0.6


def test_the_kept_weights_are_those_of_the_smallest_stopping_loss() -> None:
    volumes, split = cohort()
    tensors, architecture, history = vae.fit(
        volumes, split, MASK, seed=0, device="cpu", **{**SETTINGS, "linear": "none", "flip": False}
    )
    best = min((row for row in history if row["split"] == "stop"), key=lambda row: row["loss"])
    mu, _ = vae.embed(volumes[split == "stop"], MASK, tensors, architecture)
    x = masked(volumes[split == "stop"], MASK)
    x_hat = vae.reconstruct(mu, MASK, tensors, architecture)
    mean = tensors["mean"][MASK]
    assert 1 - np.square(x - x_hat).sum() / np.square(x - mean).sum() == pytest.approx(best["share"], abs=1e-5)
    assert fit.kept_epoch(history) == best["epoch"]


def test_the_report_people_change_nothing_that_is_fitted() -> None:
    volumes, split = cohort()
    noise = volumes.copy()
    noise[split == "report"] = np.random.default_rng(1).normal(size=noise[split == "report"].shape)
    for module, settings in ((vae, SETTINGS), (pca, {"latent": 3, "flip": True})):
        one, other = (module.fit(x, split, MASK, seed=0, device="cpu", **settings)[0] for x in (volumes, noise))
        assert all(np.array_equal(one[name], other[name]) for name in one), module.__name__


@pytest.mark.parametrize("kind", ["vae", "pca"])
def test_a_latent_does_not_depend_on_its_batch(kind: str) -> None:
    volumes, split = cohort()
    module, settings = (vae, SETTINGS) if kind == "vae" else (pca, {"latent": 3, "flip": True})
    tensors, architecture, _ = module.fit(volumes, split, MASK, seed=0, device="cpu", **settings)
    together, _ = module.embed(volumes, MASK, tensors, architecture)
    alone = np.concatenate(
        [module.embed(volumes[i : i + 1], MASK, tensors, architecture)[0] for i in range(len(volumes))]
    )
    backwards, _ = module.embed(volumes[::-1].copy(), MASK, tensors, architecture)
    crowd = volumes.copy()
    crowd[1:] = np.random.default_rng(2).normal(size=crowd[1:].shape)
    assert np.allclose(together, alone, atol=1e-5 * np.abs(together).max())
    assert np.allclose(together, backwards[::-1], atol=1e-5 * np.abs(together).max())
    found = module.embed(crowd, MASK, tensors, architecture)[0][0]
    assert np.allclose(together[0], found, atol=1e-5 * np.abs(together).max())
    assert np.array_equal(together, module.embed(volumes, MASK, tensors, architecture)[0])


def test_a_mirrored_cohort_gives_the_same_principal_space() -> None:
    volumes, _ = cohort()
    one = pca.principal(volumes, MASK, 3, True)
    other = pca.principal(volumes[:, ::-1], MASK, 3, True)
    assert np.allclose(np.abs(np.sum(one.components_ * other.components_, axis=1)), 1, atol=1e-4)


def test_weights_come_back_as_they_were_even_from_fortran_order(tmp_path: Path) -> None:
    tensors = {"a": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)), "b": np.ones(2, dtype=np.float32)}
    weights.save(tmp_path / "w.safetensors", tensors, {"kind": "pca"})
    back, meta = weights.load(tmp_path / "w.safetensors")
    assert meta == {"kind": "pca"}
    assert all(np.array_equal(back[name], tensors[name]) for name in tensors)
    assert weights.model_hash(back, meta) == weights.model_hash(tensors, meta)
    back["a"][0, 0] += 1
    assert weights.model_hash(back, meta) != weights.model_hash(tensors, meta)


def packed(folder: Path) -> dict[str, Path]:
    """Packed files of a small cohort."""
    import nibabel as nib

    volumes, _ = cohort()
    people = [f"sub-{i:02d}" for i in range(24)]
    np.save(folder / "v.npy", volumes)
    table = pd.DataFrame({"scan": people, "person": people, "session": "", "acquisition": "", "run": ""})
    table.assign(preproc_sha256=[f"{i:x}" for i in range(24)]).to_parquet(folder / "v.parquet")
    nib.save(nib.Nifti1Image(MASK.astype(np.uint8), np.eye(4)), folder / "m.nii.gz")
    roles = ["weights", "weights", "weights", "stop", "report", "report"] * 4
    pd.DataFrame({"person": people, "site": "n/a", "fold": 0, "split_0": roles}).to_csv(
        folder / "f.tsv", sep="\t", index=False
    )
    return {
        "volumes": folder / "v.npy",
        "rows": folder / "v.parquet",
        "mask": folder / "m.nii.gz",
        "folds": folder / "f.tsv",
    }


@pytest.mark.parametrize(("kind", "options"), [("vae", SETTINGS), ("pca", {"latent": 3, "flip": True})])
def test_train_and_latents_from_files(tmp_path: Path, kind: str, options: dict) -> None:
    files = packed(tmp_path)
    fit.run(
        **files, out=tmp_path / "w.safetensors", history=tmp_path / "h.parquet", checkup=tmp_path / "health.json",
        kind=kind, fold=0, seed=0, device="cpu", options=options,
    )  # fmt: skip
    found = json.loads((tmp_path / "health.json").read_text())
    assert found["verdict"] == "healthy", found
    assert found["share_report"] > 0.6
    assert [found[f"people_{name}"] for name in SPLITS] == [12, 4, 8]
    tables = []
    for name in ("a", "b"):
        arguments = {key: files[key] for key in ("volumes", "rows", "mask")}
        latents.run(**arguments, model=tmp_path / "w.safetensors", name=kind, out=tmp_path / f"{name}.parquet")
        tables.append((tmp_path / f"{name}.parquet").read_bytes())
    assert tables[0] == tables[1]
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert table["split"].tolist() == ["weights", "weights", "weights", "stop", "report", "report"] * 4
    mu, logvar = (table[[f"{name}_{k:03d}" for k in range(3)]].to_numpy() for name in ("mu", "logvar"))
    if kind == "vae":
        kl = kl_per_dimension(torch.from_numpy(mu), torch.from_numpy(logvar)).numpy()
        assert np.allclose(table[[f"kl_{k:03d}" for k in range(3)]], kl)
        assert found["active_units"] == 3
    else:
        assert np.isnan(logvar).all()
    assert np.corrcoef(mu.T).shape == (3, 3) and (mu.std(axis=0) > 0.1).all()
    pd.read_parquet(files["rows"]).assign(preproc_sha256="other").to_parquet(files["rows"])
    with pytest.raises(InputError, match="fitted on other volumes"):
        latents.run(**arguments, model=tmp_path / "w.safetensors", name=kind, out=tmp_path / "c.parquet")


def test_people_without_a_fold_and_empty_splits_are_refused(tmp_path: Path) -> None:
    files = packed(tmp_path)
    table = pd.read_parquet(files["rows"])
    with pytest.raises(InputError, match="no fold for sub-99"):
        splits(table.assign(person=["sub-99", *table["person"][1:]]), files["folds"], 0)
    with pytest.raises(InputError, match="nobody left in stop"):
        splits(table.iloc[:3], files["folds"], 0)


def test_impossible_requests_are_refused() -> None:
    volumes, split = cohort()
    with pytest.raises(InputError, match="20 latents need more than 20 training scans"):
        pca.fit(volumes, split, MASK, seed=0, device="cpu", latent=20, flip=False)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="torch sees no GPU"):
            vae.choose("cuda")
    with pytest.raises(InputError, match="the loss is not finite"):
        vae.fit(volumes, split, MASK, seed=0, device="cpu", **{**SETTINGS, "learning_rate": 1e30, "epochs": 20})
