"""Volume change in a year: a ball that grows by 20 % in four years, and a row for a model without a map."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from neurovae.interpret.images import read_maps, write_image
from neurovae.io.files import write_tsv
from neurovae.trajectory import volume_change

pytestmark = pytest.mark.filterwarnings("error")
SIDE, YEARS = 24, 4.0
R = np.sqrt(np.square(np.indices((SIDE,) * 3) - SIDE / 2).sum(axis=0))
MASK, BALL = R < 10, R < 5


def folder_with(path: Path, status: str) -> dict[str, Path]:
    """The files of `yearly` of one model: a dark ball in a textured brain, before and after."""
    labels = np.where(BALL, 1, np.where(MASK & (R > 6.5), 2, 0)).astype(np.uint8)
    for name, data in (("mask", MASK.astype(np.uint8)), ("atlas", labels)):
        nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1])), path / f"{name}.nii.gz")
    parts = [{"index": k, "name": name, "hemisphere": "left"} for k, name in enumerate(("ball", "rim"), 1)]
    write_tsv(path / "atlas.tsv", parts, ["index", "name", "hemisphere"])
    texture = gaussian_filter(np.random.default_rng(0).normal(size=R.shape), 1.5)
    (path / "yearly").mkdir()
    for name, volume in (("first", 1.0), ("later", 1.2)):
        values = 1 + texture - 0.7 / (1 + np.exp(4 * (R - 5 * volume ** (1 / 3))))
        write_image(path / f"yearly/{name}.nii.gz", values[MASK], path / "mask.nii.gz", "ball", Years=YEARS)
    row = {"model": "pca", "fold": 0, "seed": 0, "n": 20, "status": status, "verdict": "healthy"}
    write_tsv(path / "regions.tsv", [row], [*row, "reason"])
    return {"yearly": path / "yearly", "regions": path / "regions.tsv", "mask": path / "mask.nii.gz",
            "atlas": path / "atlas.nii.gz", "images": path / "out", "out": path / "out.tsv"}  # fmt: skip


def test_growth_per_year(tmp_path: Path) -> None:
    files = folder_with(tmp_path, "ok")
    volume_change.run(**files)
    per_year = read_maps(tmp_path / "out/logjacobian.nii.gz", MASK)
    assert per_year[BALL[MASK]].mean() == pytest.approx(np.log(1.2) / YEARS, abs=0.05 / YEARS)
    with files["out"].open() as file:
        ball, rim = csv.DictReader(file, delimiter="\t")
    assert float(ball["log_jacobian"]) == pytest.approx(per_year[BALL[MASK]].mean(), abs=1e-6)
    assert float(ball["percent"]) == pytest.approx(100 * np.expm1(float(ball["log_jacobian"])), rel=1e-6)
    assert (ball["rank"], ball["region"], float(ball["years"])) == ("1", "ball", YEARS) and float(rim["percent"]) < 0


def test_a_model_without_a_map_has_a_row(tmp_path: Path) -> None:
    files = folder_with(tmp_path, "too few people")
    volume_change.run(**files)
    with files["out"].open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["status"] for row in rows] == ["too few people"] and not list((tmp_path / "out").iterdir())
