"""Copies of a scan under another id or session: planted in synthetic volumes, and through the real preprocessing."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tiny

from neurovae.errors import InputError
from neurovae.preprocess import duplicates, extract, grid, normalise, pack, qc, register

BLANK = np.ones((4, 4, 4), np.float32)


def table(names: list[str]) -> pd.DataFrame:
    """Rows of scans "sub-a_ses-1"."""
    return pd.DataFrame([{"scan": name, **pack.split_key(name)} for name in names])


def sources(folder: Path, images: dict[str, np.ndarray]) -> dict[str, tuple[Path, str]]:
    """Files of the scans, 50 mm voxels so that the field of view is that of a head."""
    for name, data in images.items():
        image = nib.Nifti1Image(data.astype(np.float32), np.diag([8.0, 8, 8, 1]))
        nib.save(image, folder / f"{name}.nii.gz")
    return {name: (folder / f"{name}.nii.gz", "") for name in images}


def test_planted_copies_are_found_and_other_people_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    volumes = tiny.cohort(24)[0].astype(np.float32)
    first = volumes[0]
    copies = [first, 3 * first, first + np.where(tiny.MASK, 0.01 * rng.normal(size=first.shape), 0)]
    names = [f"sub-{k:02d}" for k in range(24)] + ["sub-x", "sub-00_ses-2", "sub-00_run-2"]
    raw = dict(zip(names, np.stack([*volumes, *copies]) + 1, strict=True))
    found = duplicates.duplicates(
        np.stack([*volumes, *copies]).astype(np.float16), table(names), tiny.MASK, sources(tmp_path, raw)
    )
    found = found[found["duplicate"]]
    pairs = {(row.scan_a, row.scan_b): (row.kind, row.same_voxels) for row in found.itertuples()}
    assert pairs == {
        ("sub-00", "sub-x"): ("other person", True),
        ("sub-00", "sub-00_ses-2"): ("other session", False),
        ("sub-00", "sub-00_run-2"): ("other run", False),
        ("sub-x", "sub-00_ses-2"): ("other person", False),
        ("sub-x", "sub-00_run-2"): ("other person", False),
        ("sub-00_ses-2", "sub-00_run-2"): ("other session", False),
    }
    assert (found["r"] > 0.999).all()


def test_alike_scans_are_judged_by_their_sources(tmp_path: Path) -> None:
    """r = .97 after preprocessing: a copy where the sources correlate, two people where they do not."""
    rng = np.random.default_rng(1)
    base = np.where(tiny.MASK, rng.normal(size=tiny.SHAPE), 0)
    near = np.where(tiny.MASK, base + 0.25 * rng.normal(size=tiny.SHAPE), 0)
    volumes = np.stack([base, near, near]).astype(np.float16)
    head = np.abs(rng.normal(100, 50, size=(12, 12, 12)))
    other = head + rng.normal(0, 15, size=head.shape)
    names = ["sub-a", "sub-b", "sub-c"]
    files = sources(tmp_path, {"sub-a": head, "sub-b": 2 * head + 40, "sub-c": other})
    found = duplicates.duplicates(volumes[:2], table(names[:2]), tiny.MASK, files)
    assert 0.95 < found["r"].iloc[0] < 0.999 < found["r_source"].iloc[0]
    found = duplicates.duplicates(volumes[::2], table(names[::2]), tiny.MASK, files)
    assert (
        found["duplicate"].tolist() == [False] and list(found.columns) == duplicates.COLUMNS
    )  # written, and not refused
    assert 0.95 < found["r"].iloc[0] < 0.99


def test_where_sources_cannot_be_compared_less_is_enough(tmp_path: Path) -> None:
    """A copy that was padded: r = .995 after preprocessing."""
    rng = np.random.default_rng(2)
    base = np.where(tiny.MASK, rng.normal(size=tiny.SHAPE), 0)
    near = np.where(tiny.MASK, base + 0.1 * rng.normal(size=tiny.SHAPE), 0)
    head = np.abs(rng.normal(100, 50, size=(12, 12, 12)))
    files = sources(tmp_path, {"sub-a": head, "sub-b": np.pad(head, 1)})
    found = duplicates.duplicates(
        np.stack([base, near]).astype(np.float16), table(["sub-a", "sub-b"]), tiny.MASK, files
    )
    assert 0.99 < found["r"].iloc[0] < 0.999 and np.isnan(found["r_source"].iloc[0]) and found["duplicate"].all()


def test_no_pair_is_missed_by_the_blocks(tmp_path: Path) -> None:
    """Differences that vanish in no block mean, and such that do: candidates hold every pair with r > .95."""
    rng = np.random.default_rng(2)
    base = np.where(tiny.MASK, rng.normal(size=(12, *tiny.SHAPE)).cumsum(axis=1), 0)
    rough = np.where(tiny.MASK, base + rng.uniform(0, 1.2, size=(12, 1, 1, 1)) * rng.normal(size=base.shape), 0)
    volumes = np.concatenate([base, rough])
    r = np.corrcoef(volumes[:, tiny.MASK])
    near = {(int(a), int(b)) for a, b in np.argwhere(np.triu(r > duplicates.NEAR, k=1))}
    blocks = duplicates.block_means(volumes, tiny.MASK)
    found = set(duplicates.candidates(blocks))
    assert 3 < len(near) < len(r) ** 2 / 4 and near <= found
    assert blocks.shape[1] < tiny.MASK.sum() and len(found) < len(r) * (len(r) - 1) / 2
    assert (np.square(blocks).sum(axis=1) <= 1 + 1e-5).all()  # a projection of vectors of length 1


def head(strength: float, seed: int) -> np.ndarray:
    """The stripped template at 4 mm in scanner units, with a smooth field of its own."""
    image = grid.template(4)
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij")
    field = sum(np.cos(3 * rng.normal() * axis + rng.uniform(0, 6)) for axis in axes)
    return (image.get_fdata() * (1 + strength * field) * 400).astype(np.float32)


def plant(folder: Path) -> dict[str, Path]:
    """One head, five copies of it under other names, and another head."""
    affine, one = grid.template(4).affine, np.round(head(0.1, 0))
    image = nib.Nifti1Image(one, affine)
    noisy = one + np.random.default_rng(0).integers(-1, 2, one.shape) * (one > 0)
    images = {
        "sub-a": image,
        "sub-b": image,  # to be compressed again
        "sub-c": image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]])),
        "sub-d": nib.Nifti1Image(3.7 * one, affine),
        "sub-a_ses-2": nib.Nifti1Image(noisy.astype(np.float32), affine),
        "sub-e_run-2": nib.Nifti1Image(head(0.1, 1), affine),
    }
    for name, picture in images.items():
        nib.save(picture, folder / f"{name}.nii.gz")
    raw = gzip.decompress((folder / "sub-b.nii.gz").read_bytes())
    (folder / "sub-b.nii.gz").write_bytes(gzip.compress(raw, compresslevel=1))
    return {name: folder / f"{name}.nii.gz" for name in images}


def preprocess(folder: Path, override: Path | None = None) -> dict[str, Path]:
    """Extract (already stripped), register, normalise, judge, pack the planted scans."""
    (folder / "0.list").write_text("".join(f"{name}\t{path}\n" for name, path in plant(folder).items()))
    (folder / "n").mkdir(exist_ok=True)
    common = dict(derivatives=folder / "d", seconds=folder / "s", stamp="x", max_failed=0.0)
    extract.run(list=folder / "0.list", manifest=folder / "e", method="none", nonfinite="fail", **common)
    register.run(
        extracted=folder / "e", list=folder / "0.list", manifest=folder / "r", suffix="T1w", transform="affine",
        bias_field="none", template_mm=4, voxel_mm=4, nonfinite="fail", **common,
    )  # fmt: skip
    normalise.run(
        registered=folder / "r", manifest=folder / "n" / "0.tsv", suffix="T1w", method="zscore", reference=None,
        voxel_mm=4, **common,
    )  # fmt: skip
    table = dict(manifests=folder / "n", batches=["0"])
    qc.run(**table, thresholds={}, override=override, max_failed=0.0, out=folder / "qc.parquet")
    packed = {"volumes": folder / "v.npy", "rows": folder / "v.parquet", "mask": folder / "m.nii.gz"}
    pack.run(**table, qc=folder / "qc.parquet", derivatives=folder / "d", suffix="T1w", voxel_mm=4, **packed)
    return packed


def test_copies_are_refused_after_the_real_preprocessing_until_they_are_excluded(tmp_path: Path) -> None:
    packed = preprocess(tmp_path)
    options = dict(lists=tmp_path, batches=["0"], nonfinite="fail", out=tmp_path / "duplicates.tsv")
    with pytest.raises(InputError, match="preprocess.qc.override") as error:
        duplicates.run(**packed, **options)
    found = pd.read_csv(tmp_path / "duplicates.tsv", sep="\t").query("duplicate")
    copies = ["sub-a", "sub-a_ses-2", "sub-b", "sub-c", "sub-d"]
    pairs = {(a, b) for i, a in enumerate(copies) for b in copies[i + 1 :]}
    assert set(zip(found["scan_a"], found["scan_b"], strict=True)) == pairs and len(error.value.problems) == 10
    same = found.set_index(["scan_a", "scan_b"])["same_voxels"]
    assert same["sub-a", "sub-b"] and same["sub-b", "sub-c"] and not same["sub-a", "sub-d"]
    assert set(found.loc[found["kind"] == "other session", "scan_b"]) == {"sub-a_ses-2"}
    assert (found["r_source"] > 0.999).all()
    array, rows = np.load(packed["volumes"]), pd.read_parquet(packed["rows"])
    mask = nib.load(packed["mask"]).get_fdata() > 0
    other = np.corrcoef(array[:, mask].astype(float))[list(rows["scan"]).index("sub-e_run-2"), :-1]
    assert other.max() < 0.999  # alike, and still another head
    verdicts = "".join(f"{scan}\tno\tcopy\n" for scan in copies[1:])
    (tmp_path / "override.tsv").write_text("scan\tkeep\treason\n" + verdicts)
    duplicates.run(**preprocess(tmp_path, tmp_path / "override.tsv"), **options)
    assert not pd.read_csv(tmp_path / "duplicates.tsv", sep="\t")["duplicate"].any()
