"""The model of another cohort, used as it is: same latents, no training, refused by name where it cannot be used."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tiny

from neurovae import latents
from neurovae.errors import InputError
from neurovae.estimator.model import LatentModel
from neurovae.export import export, source
from neurovae.io.files import sha256
from neurovae.io.latent_table import columns
from neurovae.plan import baselines as pcas
from neurovae.plan import config, entries, source_models
from neurovae.report.sections import methods_models
from neurovae.train import fit, weights
from neurovae.train.health import health
from neurovae.train.models import frozen

WAY = {"Normalisation": "zscore", "Transform": "affine", "SpatialReference": "MNI152NLin2009aSym"}
RUN: dict[str, Any] = {"fold": 0, "seed": 0, "device": "cpu"}


def exported(folder: Path, kind: str = "pca", options: dict[str, Any] | None = None) -> Path:
    """The exported model of a cohort."""
    files = tiny.packed(folder / "a")
    model = folder / "a" / "w.safetensors"
    fit.run(**files, out=model, history=folder / "a" / "h.parquet", kind=kind, options=options or tiny.LINEAR, **RUN)
    return given_away(files, model, folder / "a", folder / "exported", "cc-by-4.0")


def given_away(files: dict[str, Path], model: Path, folder: Path, out: Path, licence: str) -> Path:
    verdict, derivatives = folder / "health.json", folder / "derivatives"
    verdict.write_text(json.dumps({"verdict": "healthy", "reason": "", "caveats": []}))
    derivatives.mkdir(exist_ok=True)
    (derivatives / "sub-01_desc-preproc_T1w.json").write_text(json.dumps(WAY))
    export.run(model=model, mask=files["mask"], health=verdict, derivatives=derivatives, out=out, licence=licence)
    return out


def taken(folder: Path, path: Path, **options: Any) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Path], Path]:
    """Latents and health of a frozen model in a cohort of other people, its files and weights."""
    files = tiny.packed(folder)
    np.save(files["volumes"], tiny.cohort(seed=5)[0])
    model, history, out = folder / "w.safetensors", folder / "h.parquet", folder / "l.parquet"
    same = {key: files[key] for key in ("volumes", "rows", "mask")}
    options = {"n_latent": None, "centre": "source"} | options
    fit.run(**files, out=model, history=history, kind="frozen", options=options, source=str(path), **RUN)
    latents.run(**same, model=model, name="b", out=out, index=folder / "i.parquet")
    health.run(**same, model=model, history=history, out=folder / "health.json", seed=0)
    return pd.read_parquet(out), json.loads((folder / "health.json").read_text()), files, model


@pytest.mark.parametrize(("kind", "options"), [("pca", tiny.LINEAR), ("vae", tiny.SETTINGS)])
def test_latents_are_those_of_the_source_and_provenance_names_it(tmp_path, kind, options):
    path = exported(tmp_path, kind, options)
    found, judged, files, model = taken(tmp_path / "b", path)
    expected = LatentModel.load(path).transform(np.load(files["volumes"]))
    np.testing.assert_allclose(found[columns(found)], expected, rtol=0, atol=0)
    assert set(found["kind"]) == {"frozen"} and judged["verdict"] in ("healthy", "partial", "overfit")
    record = judged["source"]
    assert record["exported_from"] == weights.load(path / "weights.safetensors")[1]["exported_from"]
    assert (record["licence"], record["people"]["training"], record["kind"]) == ("cc-by-4.0", 15, kind)
    text = methods_models._model("b", judged)
    assert record["exported_from"] in text and "15 training and 5 validation" in text and "cc-by-4.0" in text


@pytest.mark.parametrize(("kind", "options"), [("pca", tiny.LINEAR), ("vae", tiny.SETTINGS)])
def test_the_own_mean_is_that_of_training_people_and_nothing_else_changes(tmp_path, kind, options):
    read = source.read(exported(tmp_path, kind, options))
    volumes, split = tiny.cohort(seed=5)
    same: dict[str, Any] = {"seed": 0, "device": "cpu", "source": read}
    own, architecture, _ = frozen.fit(volumes, split, tiny.MASK, **same, centre="own")
    training = volumes[split == "training"].astype(float)
    expected = np.concatenate([training, training[:, ::-1]]).mean(axis=0)[tiny.MASK]
    np.testing.assert_allclose(own["mean"] if kind == "pca" else own["mean"][tiny.MASK], expected, atol=1e-5)
    assert all((own[name] == read.tensors[name]).all() for name in own if name != "mean")
    shifted = np.where(tiny.MASK, volumes.astype(np.float32) + 0.3, 0).astype(np.float16)  # as another scanner might
    again = frozen.fit(shifted, split, tiny.MASK, **same, centre="own")[0]
    before, after = (frozen.embed(x, tiny.MASK, t, architecture)[0] for x, t in ((volumes, own), (shifted, again)))
    np.testing.assert_allclose(before, after, atol=0.1 * before.std())
    kept = frozen.fit(volumes, split, tiny.MASK, **same)[0]
    moved = [frozen.embed(x, tiny.MASK, kept, architecture)[0] for x in (volumes, shifted)]
    assert np.abs(moved[1] - moved[0]).max() > 0.2 * before.std()


def test_another_mean_image_is_no_collapse_and_a_model_that_tells_nobody_apart_is_one(tmp_path):
    path = exported(tmp_path)
    files = tiny.packed(tmp_path / "b")
    np.save(files["volumes"], np.where(tiny.MASK, tiny.cohort(seed=5)[0].astype(np.float32) + 3, 0).astype(np.float16))
    same = {key: files[key] for key in ("volumes", "rows", "mask")}
    model, history, out = (tmp_path / "b" / name for name in ("w.safetensors", "h.parquet", "health.json"))

    def judged(centre: str) -> dict[str, Any]:
        options = {"n_latent": 3, "centre": centre}
        fit.run(**files, out=model, history=history, kind="frozen", options=options, source=str(path), **RUN)
        health.run(**same, model=model, history=history, out=out, seed=0)
        return json.loads(out.read_text())

    shifted, own = judged("source"), judged("own")
    assert shifted["variance_explained_training"] < -1 and shifted["verdict"] == "partial"
    assert "variance explained here below 0.05" in shifted["reason"] and shifted["advice"] == "set centre: own"
    assert own["variance_explained_training"] > 0.5 and own["verdict"] == "healthy"
    tensors, meta = weights.load(path / "weights.safetensors")
    weights.save(path / "weights.safetensors", tensors | {"components": 0 * tensors["components"]}, meta)
    assert judged("own")["verdict"] == "collapsed"


def test_a_frozen_model_can_be_exported_again_with_its_chain(tmp_path):
    path = exported(tmp_path)
    _, _, files, model = taken(tmp_path / "b", path)
    again = given_away(files, model, tmp_path / "b", tmp_path / "again", "cc0-1.0")
    read = source.read(again, files["mask"])
    assert read.record["kind"] == "pca" and read.record["licence"] == "cc0-1.0"
    assert read.record["source"]["exported_from"] == source.read(path).record["exported_from"]
    volumes = np.load(files["volumes"])
    np.testing.assert_array_equal(LatentModel.load(again).transform(volumes), LatentModel.load(path).transform(volumes))
    found = taken(tmp_path / "c", again)[0]
    assert len(columns(found)) == 3


def test_another_grid_or_mask_is_refused_with_both_values(tmp_path):
    path = exported(tmp_path)
    own = tmp_path / "m.nii.gz"

    def refused(mask: np.ndarray, affine: np.ndarray, words: str) -> None:
        nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), own)
        with pytest.raises(InputError, match=words):
            source.read(path, own)

    refused(tiny.MASK[:-1], np.eye(4), "16 x 24 x 16, that of this run 15 x 24 x 16")
    refused(tiny.MASK, np.diag([2.0, 2, 2, 1]), r"affine of its grid is \[\[1.*that of this run \[\[2")
    smaller = tiny.MASK.copy()
    smaller[2] = False
    refused(smaller, np.eye(4), f"mask has {tiny.MASK.sum()} voxels, that of this run {smaller.sum()}")


def settings(path: Path | None, **more: Any) -> dict[str, Any]:
    entry = {"name": "other", "kind": "frozen", **({"path": str(path)} if path else {}), **more}
    given = {"cohort": {"name": "b", "bids": "x", "scores": []}, "train": {"models": [entry]}}
    found = config.validate(given, config.load_schema())
    found["preprocess"]["voxel_mm"] = 1
    return found


def test_the_plan_takes_size_and_kind_from_the_folder_and_gives_a_baseline(tmp_path):
    found = settings(exported(tmp_path))
    found["train"], notes = source_models.sized(found)
    models = entries.models(found["train"], found["cohort"])
    assert (models["other"]["n_latent"], models["other"]["inner"], notes) == (3, "pca", [])
    assert models["pca-3"]["capped"] and pcas.baselines(models, found["train"]["search"]) == {"other": ["pca-3"]}
    codes = entries.model_codes(models, "latents")
    assert codes["other"].count("-") == 2 and codes["other"].endswith(codes["pca-3"].split("-")[1])
    assert source_models.sized(found)[0] == found["train"] and "--source" in source_models.flags(models)["other"]
    assert not entries.impossible(found, models, 4)


def test_what_the_plan_refuses(tmp_path):
    path = exported(tmp_path)

    def refused(words: str, change: dict[str, Any] | None = None, at: Path | None = path, **more: Any) -> None:
        found = settings(at, **more)
        for section, values in (change or {}).items():
            found["preprocess"][section] = found["preprocess"][section] | values if isinstance(values, dict) else values
        with pytest.raises(InputError, match=words):
            source_models.sized(found)

    refused("voxel_mm is 2 in this run, but 1.0 in", {"voxel_mm": 2})
    refused("normalise.method is percentile in this run, but zscore", {"normalise": {"method": "percentile"}})
    refused("register.transform is syn in this run, but affine", {"register": {"transform": "syn"}})
    refused("path is not given", at=None)
    other = settings(path)
    other["cohort"]["suffix"] = "T2w"
    with pytest.raises(InputError, match="cohort.suffix is T2w in this run, but the model in .* to T1w images"):
        source_models.sized(other)
    refused("is no folder", at=tmp_path / "nowhere")
    refused("has no weights.safetensors, preprocessing.json, README.md", at=_half(tmp_path / "half", path))
    refused("n_latent is 7, but the model has 3", n_latent=7)
    mds = exported(tmp_path / "mds", "mds", {"n_latent": 2, "flip": True})
    refused("centre is own, but a mds has no mean image", at=mds, centre="own")
    _as_trained(tmp_path / "raw", path, tmp_path / "a" / "w.safetensors")
    refused("list the people of that cohort", at=tmp_path / "raw")


def test_another_reference_region_is_refused_and_another_extraction_noted(tmp_path):
    path = exported(tmp_path)
    file = path / "preprocessing.json"
    way = json.loads(file.read_text()) | {"Normalisation": "reference", "normalise.reference": "brain"}
    file.write_text(json.dumps(way | {"methods": ["antspyx 0.5", "deepbet 1.0"]}))
    region = tmp_path / "cerebellum.nii.gz"
    region.write_bytes(b"a region")
    found = settings(path)
    found["preprocess"]["normalise"] = {"method": "reference", "reference": str(region)}
    with pytest.raises(InputError, match="normalise.reference is a mask with SHA-256 .* in this run, but brain in"):
        source_models.sized(found)
    file.write_text(json.dumps(way | {"normalise.reference": sha256(region)}))
    assert source_models.sized(found)[1] == []
    found["preprocess"]["extract"]["method"] = "none"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"methods": "deepbet 1.0"}))
    (note,) = source_models.sized(found)[1]
    assert "preprocess.extract.method is none in this run, but deepbet in" in note


def _half(folder: Path, path: Path) -> Path:
    folder.mkdir()
    (folder / "mask.nii.gz").write_bytes((path / "mask.nii.gz").read_bytes())
    return folder


def _as_trained(folder: Path, path: Path, model: Path) -> None:
    folder.mkdir()
    for file in path.iterdir():
        (folder / file.name).write_bytes((model if file.name.startswith("weights") else file).read_bytes())
