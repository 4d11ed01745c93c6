"""A pretrained encoder as a model: the latents of a table of its embeddings; decoded where its decoder came with it."""

import json
from pathlib import Path
from typing import Any

import encoders
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from encoders import KL_SIZE
from sklearn.decomposition import PCA

from neurovae import latents
from neurovae.encode import encode, geometry
from neurovae.errors import InputError
from neurovae.estimator.model import LatentModel
from neurovae.export import export
from neurovae.io import embeddings
from neurovae.report.figures import reconstructions
from neurovae.report.sections import methods_models
from neurovae.train import fit, inputs, weights
from neurovae.train.health import health
from neurovae.train.models import pretrained, table

AFFINE = np.diag([8.0, 8, 8, 1])
AFFINE[:3, 3] = [-60, -109, -55]
OPTIONS: dict[str, Any] = {"n_latent": 3, "standardise": True, "seen": "no"}
PEOPLE = 15
SPLIT = np.array(tiny.roles(PEOPLE))
Made = dict[str, Any]


def packed(folder: Path) -> dict[str, Path]:
    files = tiny.packed(folder, PEOPLE)
    nib.save(nib.Nifti1Image(tiny.MASK.astype(np.uint8), AFFINE), files["mask"])
    return files


def embedded(folder: Path, files: dict[str, Path], name: str) -> Path:
    """Embeddings of the packed scans by the encoder of a folder."""
    read = {key: files[key] for key in ("volumes", "rows", "mask")}
    out = folder / name / "embeddings.parquet"
    encode.run(**read, encoder=str(folder / name), out=out, decoder=out.with_name("decoder.safetensors"), device="cpu")
    return out


def trained(files: dict[str, Path], path: Path, folder: Path, kind: str = "pretrained", **options: Any) -> Made:
    """Weights, latents and health of a model of these embeddings."""
    folder.mkdir(exist_ok=True)
    read, shared = {key: files[key] for key in ("volumes", "rows", "mask")}, {"table": str(path)}
    made = {"model": folder / "w.safetensors", "history": folder / "h.parquet"}
    one = {**OPTIONS, **options} | ({"columns": "emb_*"} if kind == "table" else {})
    fit.run(
        **files,
        out=made["model"],
        history=made["history"],
        kind=kind,
        fold=0,
        seed=0,
        device="cpu",
        options=one,
        **shared,
    )
    out, index = folder / "l.parquet", folder / "i.parquet"
    latents.run(**read, model=made["model"], name="e", out=out, index=index, **shared)
    health.run(**read, **made, out=folder / "health.json", seed=0, **shared)
    return made | {"latents": out, "health": folder / "health.json", **read, "embeddings": path}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model of an encoder without a decoder, and the same embeddings as a user's table."""
    folder = tmp_path_factory.mktemp("plain")
    files = packed(folder / "packed")
    (folder / "enc").mkdir()
    module = encoders.seeded(encoders.Convolutions())
    encoders.card(encoders.scripted(folder / "enc", module), "torchscript", 12, input_voxel_mm=4, name="Plain")
    path = embedded(folder, files, "enc")
    copy = folder / "table.parquet"
    pd.read_parquet(path).drop(columns="preproc_sha256").astype({n: float for n in embeddings.names(12)}).to_parquet(
        copy
    )
    return {"own": trained(files, path, folder / "own"), "table": trained(files, copy, folder / "t", "table"),
            "files": files, "folder": folder}  # fmt: skip


@pytest.fixture(scope="module")
def decoding(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model of a random autoencoder, whose decoder came with it."""
    pytest.importorskip("monai.networks.nets", reason="needs monai: pip install -e '.[pretrained]'")
    folder = tmp_path_factory.mktemp("decoding")
    files = packed(folder / "packed")
    (folder / "enc").mkdir()
    network = encoders.autoencoder()
    encoders.card(encoders.weighted(folder / "enc", network), "autoencoderkl", KL_SIZE, input_orientation="LPS")
    path = embedded(folder, files, "enc")
    return trained(files, path, folder / "own") | {"network": network, "folder": folder}


def read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path)


def test_its_latents_and_forward_model_are_those_of_a_table_of_its_embeddings(plain: Made) -> None:
    own, other = read(plain["own"]["latents"]), read(plain["table"]["latents"])
    names = ["mu_000", "mu_001", "mu_002"]
    np.testing.assert_allclose(own[names], other[names], rtol=1e-12)
    values = read(plain["own"]["embeddings"])[embeddings.names(12)].to_numpy(float)
    training = values[SPLIT == "training"]
    scaled = (values - training.mean(axis=0)) / training.std(axis=0, ddof=1)
    expected = PCA(3).fit(scaled[SPLIT == "training"]).transform(scaled)
    np.testing.assert_allclose(np.abs(own[names]), np.abs(expected), rtol=1e-8, atol=1e-10)
    assert set(own["inputs"]) == {"image"} and set(other["inputs"]) == {"table"} and set(own["kind"]) == {"pretrained"}
    judged, of_table = (json.loads(plain[name]["health"].read_text()) for name in ("own", "table"))
    for key in ("verdict", "forward_explained_test", "forward_penalty", "components", "seen", "caveats"):
        assert judged[key] == of_table[key], key
    assert judged["encoder"]["name"] == "Plain" and of_table["encoder"] is None
    meta = weights.load(plain["own"]["model"])[1]
    assert not weights.has_decoder(meta) and not weights.reads_scans(meta)


def test_weights_say_which_encoder_and_scans_they_are_of(plain: Made, tmp_path: Path) -> None:
    """Other embeddings of the same scans are refused, frozen or not."""
    folder, files = plain["folder"], plain["files"]
    (tmp_path / "enc").mkdir()
    file = tmp_path / "enc" / "encoder.pt"
    file.write_bytes((folder / "enc" / "encoder.pt").read_bytes())
    encoders.card(file, "torchscript", 12, input_orientation="LPS", name="Plain")
    path = embedded(tmp_path, files, "enc")
    shared = {key: files[key] for key in ("volumes", "rows", "mask")} | {"name": "e", "model": plain["own"]["model"]}
    shared |= {"out": tmp_path / "l.parquet", "index": tmp_path / "i.parquet", "table": str(path)}
    with pytest.raises(InputError, match="fitted on other values than embeddings.parquet describes; rerun with"):
        latents.run(**shared)
    with pytest.raises(InputError, match="e: frozen, but the values of 15 of its 15 scans have changed since training"):
        latents.run(**shared, freeze=True)


def test_it_is_neither_exported_nor_loaded_as_a_model_of_scans(plain: Made, tmp_path: Path) -> None:
    one = plain["own"]
    with pytest.raises(
        InputError, match="latents from a pretrained entry, not a model of scans; share the encoder and"
    ):
        export.run(model=one["model"], out=tmp_path / "e", mask=one["mask"], health=one["health"], derivatives=tmp_path)
    with pytest.raises(InputError, match="not a model of scans; read embeddings.parquet of the rule encode"):
        LatentModel.load(one["model"], mask=one["mask"])


def test_numbers_that_do_not_differ_are_no_latents_but_do_no_harm_to_components() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(PEOPLE, 5))
    values[:, 2] = 4 + 1e-7 * rng.normal(size=PEOPLE)  # rounding of single precision
    shared: dict[str, Any] = dict(
        seed=0, device="cpu", names=list("abcde"), volumes=tiny.cohort(PEOPLE)[0], rows=np.arange(PEOPLE), encoder={},
        people=np.arange(PEOPLE).astype(str), standardise=True,
    )  # fmt: skip
    empty = Path("/dev/null")
    with pytest.raises(
        InputError, match="1 numbers of the embedding do not differ between the 9 training scans: c; set n"
    ):
        pretrained.fit(values, SPLIT, tiny.MASK, n_latent=None, decoder=empty, **shared)
    tensors, _ = table.projection(values[SPLIT == "training"], list("abcde"), 3, True, pretrained.STILL)
    assert tensors["scale"][2] == 1 and np.abs(tensors["components"][:, 2]).max() < 1e-6


def test_decoded_images_are_those_of_the_autoencoder_itself(decoding: Made) -> None:
    tensors, meta = weights.load(decoding["model"])
    assert weights.has_decoder(meta) and not weights.reads_scans(meta)
    mu = read(decoding["latents"])[["mu_000", "mu_001", "mu_002"]].to_numpy()[:3]
    made = pretrained.reconstruct(mu, tiny.MASK, tensors, meta["architecture"])
    flat = mu @ tensors["components"] * tensors["scale"] + tensors["mean"]
    with torch.no_grad():
        z = torch.from_numpy(flat.astype(np.float32).reshape(3, 2, 3, 4, 3))
        images = decoding["network"].decode(z)[:, 0].numpy()
    there = geometry.affine_of(meta["architecture"]["encoder"]["input"])
    back = np.stack([geometry.resampled(one, there, tiny.SHAPE, AFFINE)[tiny.MASK] for one in images])
    np.testing.assert_allclose(made, tensors["slope"] * back + tensors["intercept"], atol=1e-5)
    assert np.abs(images - images.mean()).max() > 1e-3


def test_the_calibration_is_least_squares_and_reproduces_the_mean(decoding: Made) -> None:
    tensors, meta = weights.load(decoding["model"])
    training = SPLIT == "training"
    mu = read(decoding["latents"])[["mu_000", "mu_001", "mu_002"]].to_numpy()[training]
    x = np.load(decoding["volumes"])[training][:, tiny.MASK].astype(float)
    x_hat = pretrained.reconstruct(mu, tiny.MASK, tensors, meta["architecture"]).astype(float)
    np.testing.assert_allclose(x_hat.mean(axis=0), x.mean(axis=0), atol=1e-4)
    decoded = (x_hat - tensors["intercept"]) / tensors["slope"]
    centred, target = (one - one.mean(axis=0) for one in (decoded, x))
    assert tensors["slope"] == pytest.approx((centred * target).sum() / (centred**2).sum(), rel=1e-3)
    judged = json.loads(decoding["health"].read_text())
    explained = 1 - np.square(x - x_hat).sum() / np.square(x - x.mean(axis=0)).sum()
    assert judged["variance_explained_training"] == pytest.approx(explained, abs=1e-4) and explained >= 0
    error = np.square(x - x_hat).mean(axis=1)
    np.testing.assert_allclose(read(decoding["latents"])["error"].to_numpy()[training], error, rtol=1e-3)


def test_reconstructions_are_drawn_and_the_methods_name_the_encoder(
    decoding: Made, plain: Made, tmp_path: Path
) -> None:
    shared = {key: decoding[key] for key in ("volumes", "rows", "mask", "model", "latents", "health")}
    reconstructions.draw(**shared, name="e", out=tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size > 10_000
    text = methods_models._model("e", json.loads(decoding["health"].read_text()))
    for words in (
        "The latents of e are the first 3 principal components of embeddings of the scans by the pretrained encoder Random "
        "(made by a test; licence: CC0-1.0; SHA-256 ",
        "resampled linearly to 12 x 16 x 12 voxels of 16 mm (LPS), with intensities z-scored over the brain.",
        "The encoder had not been trained on these participants.",
        "Latents were decoded by the decoder of the same autoencoder; decoded images were calibrated on the training set",
    ):
        assert words in text, words
    text = methods_models._model("e", json.loads(plain["own"]["health"].read_text()))
    assert "Maps are those of a linear forward model" in text and "decoder of the same" not in text


def test_the_volumes_of_some_scans_are_read_where_they_are_indexed() -> None:
    volumes = np.arange(24.0).reshape(6, 2, 2, 1)
    given = inputs.Inputs(np.zeros((3, 1)), pd.DataFrame(), [], volumes, np.array([4, 0, 5]))
    assert given.scans.shape == (3, 2, 2, 1) and len(given.scans) == 3
    np.testing.assert_array_equal(given.scans[1:], volumes[[0, 5]])
    assert given._replace(rows=np.arange(6)).scans is volumes
