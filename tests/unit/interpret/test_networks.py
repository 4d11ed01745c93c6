"""Maps of networks: LASSO and dual regression against closed forms, test-retest, and the files of a 4-D block."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from neurovae.blocks import series
from neurovae.cohort import simulate_blocks
from neurovae.errors import InputError
from neurovae.interpret import network_maps, networks, retest
from neurovae.plan.config import load_schema, validate
from neurovae.train import fit


def test_lasso_of_uncorrelated_courses_is_the_correlation_less_the_penalty():
    rng = np.random.default_rng(0)
    z = np.linalg.qr(rng.normal(size=(200, 4)) - rng.normal(size=(200, 4)).mean(axis=0))[0]
    z = network_maps.standardised(z - z.mean(axis=0))
    z = np.linalg.qr(z)[0] * np.sqrt(200)
    x = z[:, :2] @ rng.normal(size=(2, 30)) + rng.normal(size=(200, 30))
    r = network_maps.standardised(z).T @ network_maps.standardised(x) / 200
    soft = np.sign(r) * np.maximum(np.abs(r) - 0.1, 0)
    np.testing.assert_allclose(network_maps.lasso(x, z), soft, atol=0.02)
    assert (network_maps.lasso(x, z, 0.999) == 0).all()


def test_dual_regression_finds_a_persons_own_map():
    rng = np.random.default_rng(1)
    group = np.hstack([np.kron(np.eye(3), np.ones(20)), np.zeros((3, 60))])
    own = group.copy()
    own[0, 60:65] = 1  # the first network is larger in this person
    x = rng.normal(size=(400, 3)) @ own + 0.3 * rng.normal(size=(400, 120))
    found = network_maps.dual(x, group)
    assert found[0, 60:65].min() > 0.9 and np.abs(found[0, 65:]).max() < 0.2


def test_identical_halves_agree_and_identify_and_shuffled_ones_do_not():
    rng = np.random.default_rng(2)
    first = rng.normal(size=(40, 12))
    noisy = first + 0.3 * rng.normal(size=first.shape)
    assert retest.identified(first, noisy).all() and (retest.agreement(first, noisy) > 0.8).all()
    expected = [np.corrcoef(first[:, k], noisy[:, k])[0, 1] for k in range(12)]
    np.testing.assert_allclose(retest.agreement(first, noisy), expected)
    assert retest.identified(first, rng.permutation(noisy)).mean() < 0.2
    assert np.isnan(retest.agreement(first[:2], noisy[:2])).all()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A block of 4-D images of 12 people and a PCA of 8 networks."""
    folder = tmp_path_factory.mktemp("bold")
    simulate_blocks.run(out=folder, people=12, volumes=60, voxel_mm=16.0)
    bold = {"name": "rest", "type": "bold", "path": str(folder / "bold"), "mask": str(folder / "bold/mask.nii.gz"),
            "confounds": ["motion"], "connectivity": "none"}  # fmt: skip
    cohort = {"name": "c", "participants": str(folder / "participants.tsv"), "blocks": [bold]}
    section = validate({"cohort": cohort}, load_schema())["cohort"]
    series.run(cohort=section, block=section["blocks"][0], out=folder / "rest")
    runs = pd.read_parquet(folder / "rest" / "rows.parquet")
    table = runs[["scan", "person", "session"]].assign(acquisition="", run="", row=range(len(runs)))
    table.assign(preproc_sha256="").to_parquet(folder / "rows.parquet")
    split = {"fold": 0, **{f"split_{k}": ["training"] * 6 + ["validation"] * 2 + ["test"] * 4 for k in range(1)}}
    pd.DataFrame({"person": runs["person"], "site": "n/a", **split}).to_csv(folder / "folds.tsv", sep="\t", index=False)
    fit.run(volumes=Path(), rows=folder / "rows.parquet", mask=Path(), folds=folder / "folds.tsv",
            out=folder / "w.safetensors", history=folder / "h.parquet", kind="networks", fold=0, seed=0, device="cpu",
            options={"n_latent": 8, "method": "pca", "rotate": "varimax"}, table=str(folder / "rest" / "series.npy"))  # fmt: skip
    return {"folder": folder, "block": section["blocks"][0]}


def call(folder: Path, block: dict, **more: str) -> Path:
    networks.run(volumes=Path(), rows=folder / "rows.parquet", model=folder / "w.safetensors", name="nets",
                 table=str(folder / "rest" / "series.npy"), block=block, out=folder / "networks.parquet",
                 maps=folder / "network_maps.parquet", people=folder / "network_people.parquet",
                 images=folder / "networks", **more)  # fmt: skip
    return folder


def test_maps_are_written_where_the_voxels_lie(written):
    folder = call(written["folder"], written["block"])
    template = shutil.copy(folder / "networks" / "group_regression.nii.gz", folder / "template.nii.gz")
    call(folder, written["block"], template=str(template))
    truth, found = nib.load(folder / "truth" / "networks.nii.gz"), nib.load(folder / "networks" / "group_dual.nii.gz")
    assert found.shape == truth.shape and np.allclose(found.affine, truth.affine)
    assert len(list((folder / "networks").glob("*_dual.nii.gz"))) == 13
    table, maps = (pd.read_parquet(folder / f"{name}.parquet") for name in ("networks", "network_maps"))
    assert (table["template_r"] > 0.999).all() and table["template_map"].tolist() == list(range(1, 9))
    inside = nib.load(folder / "bold" / "mask.nii.gz").get_fdata() > 0
    one = maps.query("network == 3")["dual"].to_numpy()
    np.testing.assert_allclose(found.get_fdata()[..., 3][inside], one, rtol=1e-5)
    people = pd.read_parquet(folder / "network_people.parquet")
    assert len(people) == 12 and set(people.loc[people["split"] == "test", "identified_of"]) == {4}


def test_a_template_needs_places(written):
    with pytest.raises(InputError, match="the parcels of block 'rest' have no place in the brain"):
        call(written["folder"], {**written["block"], "type": "timeseries"}, template="t.nii.gz")
