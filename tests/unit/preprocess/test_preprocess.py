"""Preprocessing: orientation, the affine's columns, normalisation, quality limits, packing, and files that are broken."""

import gzip
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from neurovae.errors import InputError
from neurovae.io.files import write_tsv
from neurovae.preprocess import affine, batch, columns, extract, grid, grids, normalise, pack, qc, register
from neurovae.preprocess.names import derivative, in_space
from neurovae.preprocess.scan import read_canonical

BLOB = np.array([-38.0, -30.0, 20.0])  # in the left hemisphere, mm


def phantom(blob: float = 1.5) -> nib.Nifti1Image:
    """The stripped template at 4 mm with a bright blob in the left hemisphere."""
    image = grid.template(4)
    world = nib.affines.apply_affine(image.affine, np.moveaxis(np.indices(image.shape), 0, -1))
    near = np.exp(-np.square(world - BLOB).sum(-1) / 2 / 7**2)
    data = image.get_fdata(dtype=np.float32)
    return nib.Nifti1Image((data * (1 + blob * near)).astype(np.float32), image.affine)


def chain(folder: Path, images: dict[str, nib.Nifti1Image], *, transform: str = "affine") -> pd.DataFrame:
    """Extract (already stripped), register, normalise and judge; returns the manifest."""
    rows = []
    for scan, image in images.items():
        nib.save(image, folder / f"{scan}.nii.gz")
        rows.append(f"{scan}\t{folder / f'{scan}.nii.gz'}")
    (folder / "list").write_text("\n".join(rows) + "\n")
    common = dict(derivatives=folder, stamp="x", max_failed=1.0)
    extract.run(
        list=folder / "list", manifest=folder / "e.tsv", seconds=folder / "s", method="none", nonfinite="fail", **common
    )
    register.run(
        extracted=folder / "e.tsv", list=folder / "list", manifest=folder / "r.tsv", seconds=folder / "s", suffix="T1w", transform=transform,
        bias_field="none", template_mm=4, voxel_mm=4, nonfinite="fail", **common,
    )  # fmt: skip
    normalise.run(
        registered=folder / "r.tsv", manifest=folder / "n.tsv", seconds=folder / "s", suffix="T1w", method="zscore",
        reference=None, voxel_mm=4, **common,
    )  # fmt: skip
    return qc.read_manifest(folder / "n.tsv")


def preproc(folder: Path, scan: str) -> nib.Nifti1Image:
    return nib.load(in_space(folder, scan, 4, "desc-preproc_T1w.nii.gz"))


def test_a_left_blob_stays_left_in_all_48_orientations_and_obliquely(tmp_path: Path) -> None:
    image = phantom()
    images = {}
    for number, (order, signs) in enumerate(
        itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
    ):
        turned = image.as_reoriented(np.array(list(zip(order, signs, strict=True)), dtype=float))
        images[f"sub-{number:02d}"] = nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine)
    assert len(images) == 48
    for scan, turned in images.items():  # what is read is the same image, so that one in eleven is enough below
        nib.save(turned, tmp_path / "turned.nii.gz")
        read = read_canonical(tmp_path / "turned.nii.gz")
        assert np.array_equal(read.get_fdata(), image.get_fdata(dtype=np.float32)), scan
        assert np.allclose(read.affine, image.affine, rtol=0, atol=1e-4), scan
    images = {scan: images[scan] for scan in ("sub-00", "sub-11", "sub-22", "sub-33", "sub-44")}
    oblique = np.eye(4)
    oblique[:3, :3] = Rotation.from_euler("xyz", [8, -12, 10], degrees=True).as_matrix()
    images["sub-oblique"] = nib.Nifti1Image(image.get_fdata(dtype=np.float32), oblique @ image.affine)
    manifest = chain(tmp_path, images)
    assert (manifest["status"] == "ok").all(), manifest["cause"].tolist()
    assert set(columns.QUALITY) <= set(manifest.columns)
    assert (manifest["orientation_lead"] > 0.3).all() and (manifest[["outside_fov", "negative"]] == 0).all(axis=None)
    reference = preproc(tmp_path, "sub-00").get_fdata()
    mask = grid.brain_mask(4)
    for scan in images:
        found = preproc(tmp_path, scan)
        data = found.get_fdata()
        assert np.corrcoef(data[mask], reference[mask])[0, 1] > 0.99, scan
        difference = np.clip(data - data[::-1], 0, None)  # brighter than its mirror image: only the blob
        peak = nib.affines.apply_affine(found.affine, np.argwhere(difference > difference.max() / 2)).mean(axis=0)
        assert peak[0] < 0, scan
        assert np.linalg.norm(peak - BLOB) < 4, (scan, peak)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_scale_rotation_and_shift_come_back(tmp_path: Path, axis: int) -> None:
    angles, shift = np.zeros(3), np.zeros(3)
    angles[axis], shift[axis] = 5.0, 6.0
    planted = np.eye(4)
    planted[:3, :3] = 1.10 * Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    planted[:3, 3] = shift
    image = grid.template(4)
    manifest = chain(tmp_path, {"sub-1": nib.Nifti1Image(image.get_fdata(dtype=np.float32), planted @ image.affine)})
    row = manifest.iloc[0]
    assert row["head_size"] == pytest.approx(1.10, abs=0.01)
    for other in range(3):
        assert row[f"rotation_{'xyz'[other]}"] == pytest.approx(angles[other], abs=0.3)
        assert row[f"translation_{'xyz'[other]}"] == pytest.approx(shift[other], abs=0.3)


def test_the_decomposition_is_exact() -> None:
    stretch = np.array([[1.1, 1.1 * 0.02, -1.1 * 0.03], [0, 0.9, 0.9 * 0.05], [0, 0, 1.2]])
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [3, -4, 5], degrees=True).as_matrix() @ stretch
    matrix[:3, 3] = [1, 2, 3]
    found = affine.columns(matrix)
    wanted = {"rotation_x": 3, "rotation_y": -4, "rotation_z": 5, "translation_z": 3, "scale_x": 1.1, "scale_y": 0.9}
    wanted |= {
        "scale_z": 1.2,
        "shear_xy": 0.02,
        "shear_xz": -0.03,
        "shear_yz": 0.05,
        "head_size": (1.1 * 0.9 * 1.2) ** (1 / 3),
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-5)


def test_a_larger_brain_has_a_larger_jacobian(tmp_path: Path) -> None:
    planted = np.diag([1.2 ** (1 / 3)] * 3 + [1.0])
    image = grid.template(4)
    chain(
        tmp_path, {"sub-1": nib.Nifti1Image(image.get_fdata(dtype=np.float32), planted @ image.affine)}, transform="syn"
    )
    jacobian = nib.load(in_space(tmp_path, "sub-1", 4, "desc-jacobian_T1w.nii.gz")).get_fdata()
    assert np.log(jacobian[grid.brain_mask(4)]).mean() == pytest.approx(np.log(1.2), abs=0.03)


@pytest.mark.parametrize("voxel_mm", [1.5, 2, 4])
def test_grids_are_symmetric_and_hold_the_brain(voxel_mm: float) -> None:
    mask = grid.brain_mask(voxel_mm)
    assert mask.shape == grid.box(voxel_mm)[0]
    assert np.array_equal(mask, mask[::-1])
    assert mask.sum() * voxel_mm**3 / 1000 == pytest.approx(1886.5, rel=0.01)  # the template's mask at 1 mm, ml
    for axis in range(3):
        assert not mask.take([0, -1], axis=axis).any()
    template = grid.template(voxel_mm).get_fdata()
    assert np.corrcoef(template[mask], template[::-1][mask])[0, 1] > 0.9999


@pytest.fixture
def no_grids() -> Iterator[None]:
    """What other tests computed is forgotten before, and what this one takes from a file after."""

    def forget() -> None:
        grid._kept.clear()
        for function in (grid.template, grid.brain_mask, grid.white_matter):
            function.cache_clear()

    forget()
    yield
    forget()


def test_grids_from_the_file_are_those_that_are_computed(tmp_path: Path, no_grids: None) -> None:
    grids.run(voxel_mm=4.0, template_mm=4.0, out=tmp_path / "grids.npz")
    computed = [(grid.template(size), grid.brain_mask(size)) for size in (4.0, 8.0)]
    white = grid.white_matter(4.0)
    for function in (grid.template, grid.brain_mask, grid.white_matter):
        function.cache_clear()
    grid.use(tmp_path / "grids.npz")
    for size, (image, mask) in zip((4.0, 8.0), computed, strict=True):
        kept = grid.template(size)
        assert kept is not image and np.array_equal(kept.get_fdata(), image.get_fdata())
        assert np.array_equal(kept.affine, image.affine) and kept.header.get_xyzt_units() == ("mm", "sec")
        assert np.array_equal(grid.brain_mask(size), mask) and mask.any()
    assert np.array_equal(grid.white_matter(4.0), white) and white.any()
    (tmp_path / "grids.npz").write_bytes(b"half a file")
    with pytest.raises(InputError, match="grids.npz: cannot be read.*--forcerun grids"):
        grid.use(tmp_path / "grids.npz")


@pytest.mark.parametrize("command", ["register", "normalise"])
def test_a_job_per_batch_takes_the_grids_from_the_file(tmp_path: Path, command: str) -> None:
    """Importing nilearn and resampling took two seconds of every job."""
    script = (
        "import sys, pathlib; from neurovae.preprocess import grid, grids, " + command + "; "
        "f = pathlib.Path('grids.npz'); a, b = grid.white_matter, grid.template; "
        "grids.run(voxel_mm=4.0, template_mm=4.0, out=f) if sys.argv[1] == 'write' else grid.use(f); "
        "a(4.0), b(4.0), b(8.0), grid.brain_mask(8.0); print('nilearn.datasets' in sys.modules)"
    )
    for turn, imported in (("write", "True"), ("read", "False")):
        done = subprocess.run([sys.executable, "-c", script, turn], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.split() == [imported], done.stderr


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [
        ("zscore", 500.0, 50.0),
        ("percentile", 0.0, 1.0),
        ("white-matter", 0.0, 1.0),
        ("reference", 0.0, 1.0),
        ("none", 0.0, 1.0),
    ],
)
def test_normalisation_does_not_see_the_scanners_gain(method: normalise.Method, low: float, high: float) -> None:
    data = np.random.default_rng(0).normal(500, 50, (20, 20, 20))
    brain = np.ones(data.shape, dtype=bool)
    one = normalise.normalise(data, brain, method, region=brain, white=brain)
    other = normalise.normalise(3 * data, brain, method, region=brain, white=brain)
    assert np.allclose(one, other / (3 if method == "none" else 1))
    if method == "zscore":
        assert (one.mean(), one.std()) == pytest.approx((0, 1), abs=1e-6)
    if method == "white-matter":
        assert one.mean() == pytest.approx(1, abs=0.02)
    if method == "reference":
        assert one.mean() == pytest.approx(1)


def test_limits_exclude_and_a_person_overrules(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "scan": ["sub-1", "sub-2", "sub-3"],
            "status": ["ok", "ok", "failed"],
            "cause": ["", "", "cut short"],
            "mask_dice": [0.9, 0.5, None],
        }
    )
    judged = qc.apply_thresholds(table, {"mask_dice": [0.8, None]})
    assert judged["reason"].tolist() == ["", "mask_dice 0.5 below 0.8", "failed: cut short"]
    (tmp_path / "o.tsv").write_text("scan\tkeep\treason\nsub-1\tno\tghost\nsub-2\tyes\tlooked at it\n")
    assert qc.apply_override(judged, tmp_path / "o.tsv")["excluded"].tolist() == [True, False, True]
    (tmp_path / "o.tsv").write_text("scan\tkeep\treason\nsub-9\tno\tx\nsub-2\tperhaps\tx\nsub-3\tyes\tx\n")
    with pytest.raises(
        InputError, match=r"row 2: no scan 'sub-9'(.|\n)*row 3: keep is 'perhaps'(.|\n)*sub-3 has failed"
    ):
        qc.apply_override(judged, tmp_path / "o.tsv")
    with pytest.raises(InputError, match="no such quality column"):
        qc.apply_thresholds(table, {"dice": [0.8, None]})


def test_every_packed_row_decodes_to_its_key(tmp_path: Path) -> None:
    shape, world = grid.box(4)
    names = [f"sub-{number:02d}" for number in (7, 3, 11, 1, 9, 2)]
    rows = []
    for name in names:
        path = in_space(tmp_path, name, 4, "desc-preproc_T1w.nii.gz")
        path.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.full(shape, int(name[4:]), dtype=np.float32), world), path)
        rows.append({"scan": name, "status": "ok", "cause": "", "preproc_sha256": pack.sha256(path)})
    tables = []
    for number, order in enumerate([rows, rows[::-1]]):
        write_tsv(tmp_path / f"{number}" / "0000.tsv", order[:2], list(rows[0]))
        write_tsv(tmp_path / f"{number}" / "0001.tsv", order[2:], list(rows[0]))
        verdicts = pd.DataFrame({"scan": names, "excluded": [name == "sub-11" for name in names]})
        verdicts.sample(frac=1, random_state=number).to_parquet(tmp_path / "qc.parquet")
        pack.run(
            manifests=tmp_path / f"{number}", batches=["0000", "0001"], qc=tmp_path / "qc.parquet", derivatives=tmp_path,
            suffix="T1w", voxel_mm=4, volumes=tmp_path / "v.npy", rows=tmp_path / "v.parquet", mask=tmp_path / "m.nii.gz",
        )  # fmt: skip
        tables.append(pd.read_parquet(tmp_path / "v.parquet"))
        found = np.load(tmp_path / "v.npy")[:, 5, 5, 5]
        assert [f"sub-{int(value):02d}" for value in found] == tables[-1]["scan"].tolist()
    assert tables[0].equals(tables[1])
    assert "sub-11" not in set(tables[0]["scan"])
    in_space(tmp_path, "sub-03", 4, "desc-preproc_T1w.nii.gz").unlink()
    with pytest.raises(InputError, match="sub-03.*not on disk"):
        pack.run(
            manifests=tmp_path / "0", batches=["0000", "0001"], qc=tmp_path / "qc.parquet", derivatives=tmp_path,
            suffix="T1w", voxel_mm=4, volumes=tmp_path / "w.npy", rows=tmp_path / "w.parquet", mask=tmp_path / "m.nii.gz",
        )  # fmt: skip
    assert not (tmp_path / "w.npy").exists()


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_intensities_that_half_precision_cannot_hold_are_refused(factor: float) -> None:
    data = np.linspace(0, 1, 100, dtype=np.float32)
    assert np.abs(pack.half(data, "a") - data).max() < 1e-3
    with pytest.raises(InputError, match="choose another normalise.method"):
        pack.half(data * factor, "a")


def write(path: Path, data: np.ndarray, world: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1]) if world is None else world), path)
    return path


def broken(folder: Path) -> dict[str, tuple[Path, str]]:
    """Broken scans: file and what its message must say."""
    good = np.random.default_rng(0).random((40, 40, 40), dtype=np.float32)
    whole = write(folder / "whole.nii.gz", good).read_bytes()
    (folder / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.nii.gz").touch()
    (folder / "text.nii.gz").write_text("participant_id\tage\n")
    (folder / "gzipped-text.nii.gz").write_bytes(gzip.compress(b"not an image at all"))
    holes = good.copy()
    holes[0, 0, :3], holes[1, 1, 1] = np.nan, np.inf
    unset = nib.Nifti1Image(good, None)
    unset.header.set_zooms((4, 4, 4))
    unset.set_sform(None, 0)
    unset.set_qform(None, 0)
    nib.save(unset, folder / "unset.nii.gz")
    return {
        "truncated": (folder / "truncated.nii.gz", "cut short"),
        "empty": (folder / "empty.nii.gz", "0 bytes"),
        "text": (folder / "text.nii.gz", "not a readable NIfTI"),
        "gzipped-text": (folder / "gzipped-text.nii.gz", "not a readable NIfTI"),
        "nan": (write(folder / "nan.nii.gz", holes), "4 of 64000 voxels are NaN or Inf"),
        "constant": (write(folder / "constant.nii.gz", np.full_like(good, 7)), "every voxel has the value 7"),
        "series": (
            write(folder / "series.nii.gz", np.stack([good, good], axis=-1)),
            r"\(40, 40, 40, 2\), 3-D was expected",
        ),
        "unset": (folder / "unset.nii.gz", "neither sform nor qform"),
        "metres": (write(folder / "metres.nii.gz", good, np.diag([0.004, 0.004, 0.004, 1])), "voxels of 0.004 x"),
        "huge": (write(folder / "huge.nii.gz", good, np.diag([40.0, 40, 40, 1])), "are the units right"),
    }


def test_each_broken_scan_is_named_with_its_cause(tmp_path: Path) -> None:
    for name, (path, message) in broken(tmp_path).items():
        with pytest.raises(InputError, match=message) as caught:
            read_canonical(path)
        assert path.name in str(caught.value), name


def test_a_broken_scan_leaves_its_neighbours_work(tmp_path: Path) -> None:
    images = {"sub-1": phantom(), "sub-3": phantom(0.5)}
    for scan, image in images.items():
        nib.save(image, tmp_path / f"{scan}.nii.gz")
    bad = {f"sub-bad{number}": path for number, (path, _) in enumerate(broken(tmp_path).values())}
    paths = {**{scan: tmp_path / f"{scan}.nii.gz" for scan in images}, **bad, "sub-gone": tmp_path / "gone.nii.gz"}
    (tmp_path / "list").write_text("".join(f"{scan}\t{path}\n" for scan, path in sorted(paths.items())))
    arguments = dict(
        list=tmp_path / "list", derivatives=tmp_path, manifest=tmp_path / "e.tsv", seconds=tmp_path / "s.tsv", stamp="x",
        method="none", nonfinite="fail",
    )  # fmt: skip
    extract.run(**arguments, max_failed=1.0)
    found = qc.read_manifest(tmp_path / "e.tsv").set_index("scan")
    assert found.index[found["status"] == "ok"].tolist() == ["sub-1", "sub-3"]
    assert found.loc["sub-gone", "cause"].endswith("the file is missing; was it moved while the pipeline ran?")
    mask = derivative(tmp_path, "sub-1", "desc-brain_mask.nii.gz")
    before = mask.stat().st_mtime_ns
    with pytest.raises(InputError, match="11 of 13 scans of this batch failed"):
        extract.run(**arguments, max_failed=0.2)
    assert mask.stat().st_mtime_ns == before


def test_work_is_kept_only_while_its_key_holds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz", phantom().get_fdata(dtype=np.float32), phantom().affine)
    (tmp_path / "list").write_text(f"sub-1\t{path}\n")
    calls = []

    def step(row: batch.Row, clock: batch.Clock) -> batch.Work:
        calls.append(row["scan"])
        (tmp_path / "image").write_text("x")
        return batch.Work([tmp_path / "image"], {"value": 1})

    def once(key: str) -> None:
        batch.run(
            batch.read_list(tmp_path / "list"), step, sidecar=lambda row: tmp_path / "side.json", key=lambda row: key,
            manifest=tmp_path / "m.tsv", max_failed=0, seconds=tmp_path / "s.tsv",
        )  # fmt: skip

    once("a")
    once("a")
    assert len(calls) == 1
    once("b")
    assert len(calls) == 2
    (tmp_path / "image").write_text("changed by hand")
    once("b")
    assert len(calls) == 3
    assert json.loads((tmp_path / "side.json").read_text())["Columns"] == {"value": 1}


def test_a_map_with_a_nan_background_is_taken_when_asked(tmp_path: Path) -> None:
    data = phantom().get_fdata(dtype=np.float32)
    data[data == 0] = np.nan
    path = write(tmp_path / "vbm.nii.gz", data, phantom().affine)
    assert np.isfinite(read_canonical(path, nonfinite="zero").get_fdata()).all()


def test_one_file_under_two_people_is_refused() -> None:
    table = pd.DataFrame(
        {"scan": ["sub-1", "sub-2", "sub-3_ses-1", "sub-3_ses-2"], "source_sha256": ["a", "a", "b", "b"]}
    )
    with pytest.raises(InputError, match="sub-1, sub-2: identical files"):
        qc.refuse_copies(table)
    qc.refuse_copies(table.iloc[1:])


def test_columns_of_the_step_before_are_never_kept(tmp_path: Path) -> None:
    rows = [{"scan": "sub-1", "status": "ok", "cause": "", "rotation_x": value} for value in ("5", "-5")]
    for row in rows:
        batch.run(
            [row], lambda row, clock: batch.Work([], {"snr": 1}), sidecar=lambda row: tmp_path / "side.json",
            key=lambda row: "same", manifest=tmp_path / "m.tsv", max_failed=0, seconds=tmp_path / "s.tsv",
        )  # fmt: skip
        assert batch.read_manifest(tmp_path / "m.tsv")[0]["rotation_x"] == row["rotation_x"]


@pytest.mark.parametrize("method", ["deepbet", "template"])
def test_the_brain_of_a_simulated_head_is_found(tmp_path: Path, method: extract.Method) -> None:
    from neurovae.cohort import simulate

    simulate.run(out=tmp_path / "bids", truth=tmp_path / "truth", people=2, voxel_mm=3.0, seed=1, jobs=1)
    scans = sorted((tmp_path / "bids").rglob("*_T1w.nii.gz"))
    (tmp_path / "list").write_text("".join(f"{path.name.split('_')[0]}\t{path}\n" for path in scans))
    extract.run(
        list=tmp_path / "list", derivatives=tmp_path, manifest=tmp_path / "e.tsv", seconds=tmp_path / "s.tsv", stamp="x",
        method=method, nonfinite="fail", max_failed=0.0,
    )  # fmt: skip
    for path in scans:
        person = path.name.split("_")[0]
        known, found = (
            np.asarray(nib.as_closest_canonical(nib.load(name)).dataobj) > 0
            for name in (
                tmp_path / "truth" / f"{person}_mask.nii.gz",
                derivative(tmp_path, person, "desc-brain_mask.nii.gz"),
            )
        )
        dice = 2 * np.count_nonzero(known & found) / (np.count_nonzero(known) + np.count_nonzero(found))
        assert dice > 0.9, (person, dice)


def test_a_reference_region_whose_side_is_unknown_is_refused(tmp_path: Path) -> None:
    """By a mirrored sform, the region lay in the other hemisphere without a word."""
    affine = grid.box(4)[1]
    x = nib.affines.apply_affine(affine, np.moveaxis(np.indices(grid.box(4)[0]), 0, -1))[..., 0]
    image = nib.Nifti1Image((grid.brain_mask(4) & (x < -20)).astype(np.uint8), affine)
    image.set_qform(affine, 1)
    nib.save(image, tmp_path / "left.nii.gz")
    assert (x[normalise.reference_region(str(tmp_path / "left.nii.gz"), 4)] < 0).all()
    image.set_sform(np.diag([-1.0, 1, 1, 1]) @ affine, 1)
    nib.save(image, tmp_path / "left.nii.gz")
    with pytest.raises(InputError, match="left.nii.gz: sform .* and qform .* disagree about left and right"):
        normalise.reference_region(str(tmp_path / "left.nii.gz"), 4)
