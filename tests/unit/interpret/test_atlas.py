"""The built-in regions at known MNI coordinates, and a user's atlas put on the grid or refused."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine

from neurovae.errors import InputError
from neurovae.interpret import atlas, regions
from neurovae.preprocess import grid

pytestmark = pytest.mark.filterwarnings("error")
KNOWN = {  # right hemisphere, MNI mm
    "thalamus": [(11, -19, 8)],
    "putamen and pallidum": [(25, 4, 1), (20, -4, 0)],
    "caudate": [(12, 12, 9)],
    "hippocampus": [(27, -21, -15)],
    "amygdala": [(23, -4, -18)],
    "lateral ventricle": [(8, 0, 20), (24, -44, 8)],
    "insular cortex (box)": [(38, 4, 2)],
    "cingulate cortex (box)": [(5, 36, 18), (5, 4, 40), (6, -42, 34)],
    "medial temporal cortex (box)": [(22, -20, -26), (22, -30, -18)],
    "frontal cortex (box)": [(24, 32, -16), (6, 2, 60)],
    "temporal cortex (box)": [(58, -14, 2), (40, 14, -32), (36, -46, -18)],
    "parietal cortex (box)": [(46, -62, 38), (56, -36, 34)],
    "occipital cortex (box)": [(10, -78, 8), (36, -86, 4)],
    "frontal white matter (box)": [(26, 26, 20)],
    "cerebellum": [(20, -60, -30), (36, -60, -40)],
}
MIDDLE = {"brain stem": (0, -28, -32), "corpus callosum": (0, 10, 20), "third ventricle": (0, -20, 2)}


@pytest.fixture(scope="module")
def builtin() -> tuple[np.ndarray, np.ndarray, list[dict[str, str]]]:
    return regions.builtin()


@pytest.fixture(scope="module")
def mask(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mask") / "mask.nii.gz"
    shape, affine = grid.box(4)
    points = np.moveaxis(apply_affine(affine, np.indices(shape).reshape(3, -1).T).reshape(*shape, 3), -1, 0)
    inside = sum((p - c) ** 2 / r**2 for p, c, r in zip(points, (0, -18, 8), (68, 84, 66), strict=True)) < 1
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), affine), path)
    return path


def at(found: tuple[np.ndarray, np.ndarray, list[dict[str, str]]], point: tuple[int, ...]) -> tuple[str, str]:
    labels, affine, rows = found
    label = labels[tuple(np.rint(apply_affine(np.linalg.inv(affine), point)).astype(int))]
    return (rows[label - 1]["name"], rows[label - 1]["hemisphere"]) if label else ("", "")


@pytest.mark.parametrize(("name", "point"), [(name, point) for name, points in KNOWN.items() for point in points])
def test_known_coordinates_lie_in_their_region_on_either_side(builtin, name, point):
    x, *rest = point
    assert at(builtin, point) == (name, "right") and at(builtin, (-x, *rest)) == (name, "left")


@pytest.mark.parametrize(("name", "point"), MIDDLE.items())
def test_what_lies_on_the_midline_has_no_side(builtin, name, point):
    assert at(builtin, point) == (name, "midline")


def test_volumes_are_those_of_a_brain_and_the_sides_are_alike(builtin):
    labels, affine, rows = builtin
    millilitres = np.bincount(labels.ravel())[1:] * abs(np.linalg.det(affine)) / 1000
    size = {(row["name"], row["hemisphere"]): ml for row, ml in zip(rows, millilitres, strict=True)}
    assert min(size.values()) > 0.4
    ranges = {"thalamus": (4, 9), "caudate": (2, 6), "hippocampus": (2, 6), "amygdala": (0.8, 2.5),
              "putamen and pallidum": (4, 9), "lateral ventricle": (4, 20), "cerebellum": (50, 100)}  # fmt: skip
    for name, (low, high) in ranges.items():
        left, right = size[name, "left"], size[name, "right"]
        assert low < left < high and abs(left - right) < 0.1 * left, name
    assert 15 < size["brain stem", "midline"] < 45
    assert all(row["licence"] and row["source"] and row["made"] for row in rows)


def test_the_rule_gives_every_voxel_of_the_mask_a_region_and_says_which(tmp_path, mask, builtin, monkeypatch):
    monkeypatch.setattr(atlas, "builtin", lambda: builtin)
    image, table = tmp_path / "atlas.nii.gz", tmp_path / "atlas.tsv"
    atlas.run(mask=mask, image=image, table=table)
    labels, parts = atlas.read_atlas(image, mask)
    inside = np.asarray(nib.load(mask).dataobj) > 0
    assert (labels > 0).all() and set(labels) == set(parts["index"])
    points = apply_affine(nib.load(mask).affine, np.argwhere(inside))
    named = parts.set_index("index")
    nearest = np.abs(points - [-26, -7, 2]).sum(axis=1).argmin()
    assert named.loc[labels[nearest], ["name", "hemisphere"]].tolist() == ["putamen and pallidum", "left"]
    left = named.loc[labels, "hemisphere"].to_numpy() == "left"
    assert (points[left, 0] < 0).mean() > 0.99
    whole = pd.read_csv(table, sep="\t")
    assert whole["voxels"].sum() == inside.sum() and list(whole["index"]) == list(range(1, len(whole) + 1))


def test_the_table_names_the_radii_that_tubes_have(builtin):
    made = {row["name"]: row["made"] for row in builtin[2]}
    for name, radius in regions.RADII.items():
        assert f"tube of radius {radius:g} mm" in made[name]


def user(folder: Path, shift: float = 0.0, step: float = 3.0) -> Path:
    """Labels 1 (left), 7 (right) on another grid than the mask's, stored from right to left."""
    data = np.zeros((60, 80, 60), np.int16)
    affine = np.diag([-step, step, step, 1.0])
    affine[:3, 3] = [89 + shift, -130, -80]
    x = affine[0, 0] * np.arange(60) + affine[0, 3] - shift
    data[x < 0], data[x > 0] = 1, 7
    nib.save(nib.Nifti1Image(data, affine), folder / "mine.nii.gz")
    (folder / "mine.tsv").write_text("index\tname\n0\toutside\n1\tleft half\n7\tright half\n")
    return folder / "mine.nii.gz"


def ran(mask: Path, image: Path) -> tuple[np.ndarray, pd.DataFrame]:
    folder = image.parent
    atlas.run(mask=mask, image=folder / "a.nii.gz", table=folder / "a.tsv", atlas=str(image))
    return atlas.read_atlas(folder / "a.nii.gz", mask)


def test_a_users_atlas_is_sampled_by_world_coordinates(tmp_path, mask):
    labels, parts = ran(mask, user(tmp_path))
    grid_mask = nib.load(mask)
    x = apply_affine(grid_mask.affine, np.argwhere(np.asarray(grid_mask.dataobj) > 0))[:, 0]
    np.testing.assert_array_equal(labels, np.where(x < 0, 1, 7))
    assert parts["name"].tolist() == ["left half", "right half"] and parts["index"].tolist() == [1, 7]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "table not found"),
        ("number\tname\n1\ta\n", "no column 'index'"),
        ("index\tname\n1\ta\n", "1 labels without a name \\(7\\)"),
        ("index\tname\n1\ta\n1\tb\n", "row 3: index 1 was already given in row 2"),
        ("index\tname\n1\ta\n7\t\n", "row 3: index 7 has no name"),
        ("index\tname\n1\ta\nx\tb\n", "row 3: index is 'x'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, mask, table, message):
    image = user(tmp_path)
    (tmp_path / "mine.tsv").unlink()
    if table is not None:
        (tmp_path / "mine.tsv").write_text(table)
    with pytest.raises(InputError, match=message):
        ran(mask, image)


def test_an_atlas_that_is_not_in_mni_space_or_no_labels_is_refused(tmp_path, mask):
    with pytest.raises(InputError, match="has to be in MNI space"):
        ran(mask, user(tmp_path, shift=120))
    image = user(tmp_path)
    loaded = nib.load(image)
    nib.save(nib.Nifti1Image(np.asarray(loaded.dataobj) * 0.3, loaded.affine), image)
    with pytest.raises(InputError, match="labels, not probabilities"):
        ran(mask, image)


@pytest.mark.parametrize("mirrored", ["sform", "qform"])
def test_an_atlas_whose_header_names_two_sides_left_is_refused(tmp_path, mask, mirrored):
    """By the mirrored sform, every voxel of the left half was named right."""
    image = nib.load(user(tmp_path))
    getattr(image, f"set_{mirrored}")(np.diag([-1.0, 1, 1, 1]) @ image.affine, 1)
    other = {"sform": image.set_qform, "qform": image.set_sform}[mirrored]
    other(nib.load(tmp_path / "mine.nii.gz").affine, 1)
    nib.save(image, tmp_path / "mine.nii.gz")
    with pytest.raises(InputError, match="mine.nii.gz: sform .* and qform .* disagree about left and right"):
        ran(mask, tmp_path / "mine.nii.gz")


def test_an_atlas_without_orientation_is_refused(tmp_path, mask):
    image = nib.load(user(tmp_path))
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, image.header), tmp_path / "mine.nii.gz")
    with pytest.raises(InputError, match="neither sform nor qform is set, so left and right are unknown"):
        ran(mask, tmp_path / "mine.nii.gz")
