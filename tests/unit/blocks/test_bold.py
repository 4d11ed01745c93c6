"""BOLD images through nilearn: means of labels, voxels of a mask, fMRIPrep's confounds, and other grids."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from functional import confounds

from neurovae.blocks import bold, series
from neurovae.errors import InputError
from neurovae.plan.block_files import find

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One run of 80 volumes with drift and motion in every voxel, and an atlas of the labels 3, 7 and 12."""
    rng = np.random.default_rng(77)
    labels = np.zeros((6, 6, 6), np.int16)
    labels[:2, 1:5, 1:5], labels[2:4, 1:5, 1:5], labels[4:, 1:5, 1:5] = 3, 7, 12
    table = pd.read_csv(confounds(tmp_path, "01"), sep="\t")
    own = rng.normal(size=(13, 80))
    values = 100 + own[labels] + 30 * table["trans_x"].to_numpy() + np.linspace(0, 9, 80)
    image = nib.Nifti1Image(values.astype(np.float32), AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((3, 3, 3, 2.5))
    name = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    nib.save(image, tmp_path / "sub-01" / "func" / name)
    nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / "atlas.nii.gz")
    np.save(tmp_path / "own.npy", own)
    return tmp_path


def entry(folder: Path, **more: Any) -> dict[str, Any]:
    given = {"name": "rest", "type": "bold", "path": str(folder), "entities": {}, "atlas": str(folder / "atlas.nii.gz")}
    given |= {"mask": None, "smoothing_mm": None, "confounds": [], "motion": "basic", "wm_csf": "basic"}
    given |= {"global_signal": "basic", "n_compcor": 5, "tr_s": None, "drop_first": 0, "detrend": True, "zscore": True}
    return given | {"high_pass_hz": None, "low_pass_hz": None, "scrub_mm": None, **more}


def read(folder: Path, **more: Any) -> bold.Bold:
    return bold.read(find(entry(folder))[0][0], entry(folder, **more))


def test_means_of_labels_in_the_order_of_their_numbers(folder):
    found = read(folder)
    data = nib.load(next(folder.rglob("*_bold.nii.gz"))).get_fdata()
    labels = nib.load(folder / "atlas.nii.gz").get_fdata()
    expected = np.column_stack([data[labels == k].mean(axis=0) for k in (3, 7, 12)])
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)
    assert found.names == ["3", "7", "12"] and found.tr_s == 2.5 and found.confounds is None


def test_voxels_of_a_mask(folder):
    found = read(folder, atlas=None, mask=str(folder / "atlas.nii.gz"))
    assert found.values.shape == (80, 96) and found.names[0] == "0_1_1"
    np.testing.assert_allclose(found.values[:, 0], nib.load(next(folder.rglob("*_bold.nii.gz"))).get_fdata()[0, 1, 1])


def test_confounds_are_removed(folder):
    file, own = find(entry(folder))[0][0], np.load(folder / "own.npy")[[3, 7, 12]].T
    raw = series.one(file, entry(folder))[0]
    cleaned = series.one(file, entry(folder, confounds=["motion", "high_pass"], motion="full"))[0]
    before, after = (np.corrcoef(one.values[:, 0], own[:, 0])[0, 1] for one in (raw, cleaned))
    assert before < 0.5 and after > 0.8
    assert read(folder, confounds=["motion"], motion="full").confounds.shape == (80, 24)
    assert cleaned.mean_fd == pytest.approx(
        pd.read_csv(file.motion, sep="\t")["framewise_displacement"].fillna(0).mean()
    )


def test_other_grid_is_refused(folder):
    nib.save(nib.Nifti1Image(np.ones((6, 6, 6), np.int16), np.eye(4)), folder / "atlas.nii.gz")
    with pytest.raises(
        InputError, match=r"its grid \(6, 6, 6\) is not that of atlas.nii.gz \(6, 6, 6\), or lies elsewhere"
    ):
        read(folder, atlas=str(folder / "atlas.nii.gz"))


def test_confounds_that_are_not_there(folder):
    path = next(folder.rglob("*_desc-confounds_timeseries.tsv"))
    table = pd.read_csv(path, sep="\t")
    table.drop(columns=[name for name in table.columns if name.startswith("csf")]).to_csv(path, sep="\t", index=False)
    with pytest.raises(InputError, match="desc-confounds_timeseries.tsv: confounds cannot be read"):
        read(folder, confounds=["wm_csf"])
