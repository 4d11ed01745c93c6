"""An exported model embeds as the one it was made from, names nobody, and says what a scan must go through."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import yaml

from neurovae import latents
from neurovae.errors import InputError
from neurovae.estimator.model import LatentModel
from neurovae.export import export
from neurovae.train import fit, weights

SIDECAR = {"Normalisation": "zscore", "SpatialReference": "MNI152NLin2009aSym", "SkullStripped": True}
HEALTH = {"verdict": "healthy", "reason": "share .5", "caveats": [], "variance_explained_test": 0.5, "elbo": None}


def trained(folder: Path, kind: str = "pca", options: dict | None = None) -> tuple[dict[str, Path], dict[str, Path]]:
    """Packed files, and the files of a model with its derivatives' sidecars."""
    files = tiny.packed(folder)
    own = {"model": folder / "w.safetensors", "mask": files["mask"], "health": folder / "health.json"}
    run = {"fold": 0, "seed": 0, "device": "cpu", "kind": kind, "options": options or tiny.LINEAR}
    fit.run(**files, out=own["model"], history=folder / "h.parquet", **run)
    own["health"].write_text(json.dumps(HEALTH))
    own["derivatives"] = folder / "derivatives"
    own["derivatives"].mkdir()
    (own["derivatives"] / "sub-01_desc-preproc_T1w.json").write_text(json.dumps(SIDECAR))
    return files, own


def test_an_exported_model_embeds_as_before_and_names_nobody(tmp_path):
    files, own = trained(tmp_path)
    export.run(**own, out=tmp_path / "given", licence="cc-by-4.0")
    volumes = np.load(files["volumes"])
    before, after = LatentModel.load(own["model"], own["mask"]), LatentModel.load(tmp_path / "given")
    np.testing.assert_array_equal(after.transform(volumes), before.transform(volumes))
    assert b"sub-" in own["model"].read_bytes() and after.verdict_ == "healthy"
    assert all(b"sub-" not in path.read_bytes() for path in (tmp_path / "given").iterdir() if path.suffix != ".md")
    given = tmp_path / "given" / "weights.safetensors"
    with pytest.raises(InputError, match="does not name the people"):
        latents.run(
            **{key: files[key] for key in ("volumes", "rows", "mask")},
            model=given,
            name="a",
            out=tmp_path / "l.parquet",
            index=tmp_path / "i.parquet",
        )
    meta = weights.load(given)[1]
    assert meta["people"] == {"training": 15, "validation": 5, "test": 4} and "scans" not in meta
    way = json.loads((tmp_path / "given" / "preprocessing.json").read_text())
    assert way["Normalisation"] == "zscore" and way["shape"] == list(tiny.SHAPE)


def test_the_card_has_a_front_and_says_what_is_known(tmp_path):
    _, own = trained(tmp_path)
    export.run(**own, out=tmp_path / "given", licence="cc-by-4.0")
    _, front, text = (tmp_path / "given" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "cc-by-4.0"
    assert "sets comprised 15, 5 and" in text and "**Verdict: healthy.** share .5" in text
    assert "held-out participants | 0.5 |" in text and "lower bound" not in text and "contain brain scans" not in text


def test_weights_that_hold_scans_say_so(tmp_path, capsys):
    _, own = trained(tmp_path, "mds", {"n_latent": 2, "flip": True})
    export.run(**own, out=tmp_path / "given")
    assert "These weights contain brain scans" in (tmp_path / "given" / "README.md").read_text()
    assert "hold the voxels of 30 training scans" in capsys.readouterr().out


def test_a_scan_that_was_normalised_otherwise_is_refused(tmp_path):
    import nibabel as nib
    import pandas as pd

    _, own = trained(tmp_path)
    export.run(**own, out=tmp_path / "given")
    brain = tmp_path / "sub-99_desc-preproc_T1w.nii.gz"
    nib.save(nib.Nifti1Image(np.where(tiny.MASK, 1, 0).astype(np.float32), np.eye(4)), brain)
    model, table = LatentModel.load(tmp_path / "given"), pd.DataFrame({"path": [brain]})
    assert model.transform(table).shape == (1, 3)
    brain.with_name("sub-99_desc-preproc_T1w.json").write_text(json.dumps(SIDECAR | {"Normalisation": "percentile"}))
    with pytest.raises(InputError, match="Normalisation is percentile, of the model zscore"):
        model.transform(table)


def test_nothing_is_overwritten_unasked_and_a_missing_file_is_named(tmp_path):
    _, own = trained(tmp_path)
    export.run(**own, out=tmp_path / "given")
    with pytest.raises(InputError, match="is there already"):
        export.run(**own, out=tmp_path / "given")
    export.run(**own, out=tmp_path / "given", force=True)
    with pytest.raises(InputError, match="health.json: not there"):
        export.run(**{**own, "health": tmp_path / "no" / "health.json"}, out=tmp_path / "other")
    assert not (tmp_path / "other").exists() and not list(tmp_path.glob(".*given"))
