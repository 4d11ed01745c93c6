"""Local volume change: what grew is positive, by how much, the same bits again, and rows for what was not tested."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from neurovae.errors import InputError
from neurovae.interpret import jacobian
from neurovae.io.files import write_tsv

pytestmark = pytest.mark.filterwarnings("error")
SHAPE = (24, 26, 24)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
AFFINE[:3, 3] = [-46, -67, -41]
R = np.sqrt(
    sum((np.arange(n).reshape([-1 if k == a else 1 for k in range(3)]) - n / 2) ** 2 for a, n in enumerate(SHAPE))
)
MASK = R < 10
BALL = R < 5


def ball(volume: float, contrast: float = 1.0) -> nib.Nifti1Image:
    """A dark ball of this relative volume in a textured brain, smooth as a decoded volume is."""
    texture = gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 1.5)
    dark = 1 / (1 + np.exp(4 * (R - 5 * volume ** (1 / 3))))
    image = nib.Nifti1Image((contrast * MASK * (1 + texture - 0.7 * dark)).astype(np.float32), AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    return image


@pytest.fixture(autouse=True)
def _deterministic() -> None:
    jacobian.ants.config.set_ants_deterministic(True, seed_value=1)


@pytest.mark.parametrize(("volume", "contrast"), [(1.2, 1.0), (1.2, 0.85), (0.8, 1.0)])
def test_a_ball_that_grows_is_larger(volume: float, contrast: float) -> None:
    found = np.zeros(SHAPE)
    found[MASK] = jacobian.log_jacobian(ball(1.0), ball(volume, contrast), MASK)
    assert found[BALL].mean() == pytest.approx(np.log(volume), abs=0.05)
    assert np.sign(found[MASK & (R > 6.5)].mean()) == -np.sign(np.log(volume))  # the rim pays


def test_nothing_changed_is_zero() -> None:
    assert np.abs(jacobian.log_jacobian(ball(1.0), ball(1.0), MASK)).max() < 1e-6


def save(folder: Path, names: list[str]) -> dict[str, Path]:
    """Files of an interpreted model: two regions, a score with maps, and one without."""
    maps = folder / "maps"
    maps.mkdir()
    for end, volume in (("from", 1.0), ("to", 1.2)):
        nib.save(ball(volume), maps / f"a%2Fb_{end}.nii.gz")
    labels = np.where(BALL, 1, np.where(MASK & (R > 6.5), 2, 0)).astype(np.uint8)
    for name, data in (("mask", MASK.astype(np.uint8)), ("atlas", labels)):
        nib.save(nib.Nifti1Image(data, AFFINE), folder / f"{name}.nii.gz")
    regions = [{"index": k, "name": name, "hemisphere": "left"} for k, name in enumerate(("ball", "rim", "none"), 1)]
    write_tsv(folder / "atlas.tsv", regions, ["index", "name", "hemisphere"])
    shared = {"type": "continuous", "model": "vae", "fold": 0, "seed": 0, "n": 20, "verdict": "healthy"}
    rows = [shared | {"score": "a/b", "status": "ok"}, shared | {"score": "c", "status": "too few people"}]
    columns = [*jacobian.SHARED, "status", "reason", "verdict"]
    write_tsv(folder / "maps.tsv", [row for row in rows if row["score"] in names], columns)
    files = {name: folder / f"{name}.nii.gz" for name in ("mask", "atlas")}
    outputs = {"out_folder": folder / "out" / "jacobian", "out": folder / "out" / "jacobian.tsv"}
    return {"maps": maps, "table": folder / "maps.tsv", **files, **outputs}


def test_a_row_per_region_the_same_twice(tmp_path: Path) -> None:
    files = save(tmp_path, ["a/b", "c"])
    bits = []
    for _ in range(2):
        jacobian.run(**files)
        bits.append([(files["out_folder"] / "a%2Fb_logjacobian.nii.gz").read_bytes(), files["out"].read_bytes()])
    assert bits[0] == bits[1]
    with files["out"].open() as file:
        first, second, other = csv.DictReader(file, delimiter="\t")
    assert [first["region"], second["region"], other["status"]] == ["ball", "rim", "too few people"]
    image = nib.load(files["out_folder"] / "a%2Fb_logjacobian.nii.gz")
    inside = image.get_fdata()[BALL]
    assert np.array_equal(image.affine, AFFINE)
    assert float(first["log_jacobian"]) == pytest.approx(inside.mean(), abs=1e-6)
    assert float(first["percent"]) == pytest.approx(100 * (np.exp(inside.mean()) - 1), abs=1e-3)
    assert float(first["fraction_larger"]) == pytest.approx((inside > 0).mean())
    assert [first["rank"], second["rank"], other["rank"]] == ["1", "2", "n/a"]
    assert sorted(path.name for path in files["out"].parent.iterdir()) == ["jacobian", "jacobian.tsv"]


def test_a_stopped_model_has_its_row_and_no_image(tmp_path: Path) -> None:
    files = save(tmp_path, ["c"])
    jacobian.run(**files)
    assert "too few people" in files["out"].read_text() and not list(files["out_folder"].iterdir())


def test_missing_volumes_are_named(tmp_path: Path) -> None:
    files = save(tmp_path, ["a/b"])
    (files["maps"] / "a%2Fb_to.nii.gz").unlink()
    with pytest.raises(InputError, match=r"a%2Fb_to.nii.gz: not there"):
        jacobian.run(**files)
    assert not files["out_folder"].exists() and not list(files["out"].parent.glob(".*"))
