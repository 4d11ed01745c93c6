"""The simulated cohort: planted numbers come back, sides are kept, bytes are the same twice, severity stays hidden."""

import csv
import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neurovae.cohort import anatomy as anatomies
from neurovae.cohort import simulate
from neurovae.cohort.head import CAPSULE
from neurovae.cohort.people import FOLLOW_UP, SCORES, draw_person
from neurovae.cohort.simulate import own_flow, pose, run, scan

PEOPLE, VOXEL_MM = 4, 5.0


@pytest.fixture(scope="module")
def anatomy():
    """The anatomy that all heads of one seed share."""
    return anatomies.build(seed=3)


@pytest.fixture(scope="module")
def cohort(anatomy, tmp_path_factory):
    """A tiny coarse cohort on that anatomy: the BIDS folder and the truth's. A second run builds its own."""
    root = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "build", lambda seed: {3: anatomy}[seed])
        run(out=root / "bids", truth=root / "truth", people=PEOPLE, voxel_mm=VOXEL_MM, seed=3, jobs=1)
    return root / "bids", root / "truth"


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a TSV file."""
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def digests(folder: Path) -> dict[str, str]:
    """Digest of each file under a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_bytes_with_one_and_two_jobs(cohort, tmp_path):
    """A second run in two processes writes the same bytes, and nothing else."""
    run(out=tmp_path / "bids", truth=tmp_path / "truth", people=PEOPLE, voxel_mm=VOXEL_MM, seed=3, jobs=2)
    for first, second in zip(cohort, ("bids", "truth"), strict=True):
        assert digests(first) == digests(tmp_path / second)


def test_bids_folder_is_complete_and_keeps_the_secret(cohort):
    """Each person has a scan and a row; no file of the BIDS folder names the severity."""
    bids, truth = cohort
    scans = sorted(path.name for path in bids.rglob("*.nii.gz"))
    assert scans == [f"sub-{i:03d}_T1w.nii.gz" for i in range(1, PEOPLE + 1)]
    rows = table(bids / "participants.tsv")
    assert list(rows[0]) == ["participant_id", "age", "sex", "site", *SCORES, *FOLLOW_UP]
    assert [row["site"] for row in rows] == ["A", "B", "A", "B"]
    hidden = [row["severity"] for row in table(truth / "truth.tsv")]
    text = "".join(path.read_text() for path in bids.iterdir() if path.is_file())
    assert not any(value in text for value in hidden)
    assert "severity\t" not in text and not list(bids.rglob("*truth*")) and not list(bids.rglob("*mask*"))


def test_scores_have_their_shapes_and_some_are_missing():
    """Over 400 people: linear, count, binary, bounded, U-shaped and ordinal scores, about 3 % of the cells n/a."""
    drawn = [draw_person(np.random.default_rng(i), i) for i in range(1, 401)]
    severity = np.array([known["severity"] for _, known in drawn])
    age = np.array([float(row["age"]) for row, _ in drawn])
    cells = {name: [row[name] for row, _ in drawn] for name in SCORES}
    missing = np.mean([[cell is None for cell in column] for column in cells.values()])
    assert 0.01 < missing < 0.06
    assert 0.15 < np.corrcoef(severity, age)[0, 1] < 0.45
    assert set(cells["diagnosis"]) == {"patient", "control", None}
    assert {cell for cell in cells["stage"] if cell is not None} == {0, 1, 2, 3, 4}
    assert all(0 <= cell <= 30 for cell in cells["mmse"] if cell is not None)
    for name, sign in (("motor", 1), ("falls", 1), ("stage", 1), ("mmse", -1)):
        there = np.array([cell is not None for cell in cells[name]])
        values = np.array([float(cell) for cell in cells[name] if cell is not None])
        assert sign * np.corrcoef(values, severity[there])[0, 1] > 0.5
    there = np.array([cell is not None for cell in cells["ushape"]])
    curve = np.polyfit(severity[there], [float(cell) for cell in cells["ushape"] if cell is not None], 2)
    assert curve[0] == pytest.approx(40, rel=0.1)


def test_planted_volumes_come_back_two_ways(anatomy):
    """Prescribed ratio = volume of the deformed region (2 %) = integral of the Jacobian over the region (6 %).

    The ventricles are two or three voxels of the flows' grid wide, so that central differences blunt their Jacobian.
    """
    points = anatomies.grid()
    wanted = np.array([0.45, -0.2, -0.08, 0.03])
    row, known = draw_person(np.random.default_rng(0), 1)
    flow = own_flow(anatomy, known, np.random.default_rng(1))
    back, millilitres = anatomies.deform(anatomy, flow, wanted)
    before = anatomy.regions.sum((1, 2, 3)) * anatomies.SPACING**3 / 1000
    assert millilitres / before == pytest.approx(np.exp(wanted), rel=0.02)
    forward = invert(back, points)
    jacobian = determinant(forward)
    integral = np.array([(region * jacobian).sum() for region in anatomy.regions]) * anatomies.SPACING**3 / 1000
    assert integral / before == pytest.approx(np.exp(wanted), rel=0.06)
    assert determinant(back).min() > 0.1  # nothing folds


def invert(back: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Displacement of the inverse map, by fixed point."""
    forward = np.zeros_like(back)
    for _ in range(30):
        forward = -anatomies.sample_flow(back, points + forward)
    return forward


def determinant(displacement: np.ndarray) -> np.ndarray:
    """Jacobian determinant of x -> x + displacement(x)."""
    rows = [np.stack(np.gradient(part, anatomies.SPACING), -1) for part in displacement]
    return np.linalg.det(np.stack(rows, -2) + np.eye(3))


def test_truth_volumes_agree_with_the_prescription(cohort, anatomy):
    """truth.tsv: ml of each region = template's ml x exp(planted) x head size, and the brain's as the mask says."""
    before = anatomy.regions.sum((1, 2, 3)) * anatomies.SPACING**3 / 1000
    for row in table(cohort[1] / "truth.tsv"):
        size = np.prod([float(row[f"scale_{axis}"]) for axis in "xyz"])
        for name, volume in zip(anatomies.REGIONS, before, strict=True):
            expected = volume * np.exp(float(row[f"log_{name}"])) * size
            assert float(row[f"{name}_ml"]) == pytest.approx(expected, rel=0.02)
        mask = nib.load(cohort[1] / f"{row['participant_id']}_mask.nii.gz")
        voxel = abs(np.linalg.det(mask.affine)) / 1000
        assert float(row["brain_ml"]) == pytest.approx(mask.get_fdata().sum() * voxel, rel=1e-4)


def test_stored_axes_differ_and_the_capsule_is_on_the_right(cohort):
    """Sites store other axes, both affines say so, and the capsule lies at the right temple of every head."""
    bids, truth = cohort
    for row, axes in zip(table(truth / "truth.tsv"), ("LAS", "PIR", "LAS", "PIR"), strict=True):
        person = row["participant_id"]
        image = nib.load(bids / person / "anat" / f"{person}_T1w.nii.gz")
        assert "".join(nib.aff2axcodes(image.affine)) == axes
        assert image.get_data_dtype() == np.int16
        assert image.header["sform_code"] == image.header["qform_code"] == 1
        assert np.allclose(image.get_sform(), image.get_qform(), atol=1e-3)
        matrix = pose({key: float(value) for key, value in row.items() if key != "participant_id"})
        isocentre = {"LAS": (0, 0, 0), "PIR": (2, -18, 14)}[axes]
        right, left = (brightness(image, matrix, side, isocentre) for side in (1, -1))
        assert right > 2 * left


def brightness(image: nib.Nifti1Image, matrix: np.ndarray, side: int, isocentre: tuple[float, ...]) -> float:
    """Mean intensity within 8 mm of where the capsule, or its mirror image, lies."""
    where = matrix @ [side * CAPSULE[0], *CAPSULE[1:], 1]
    world = nib.affines.apply_affine(image.affine, np.indices(image.shape).reshape(3, -1).T)
    near = np.linalg.norm(world - (where[:3] - isocentre), axis=1) < 8
    return float(image.get_fdata().reshape(-1)[near].mean())


def test_undoing_the_pose_gives_the_template_back(anatomy):
    """An undeformed posed scan, read back at its true pose, is the head on both sites' grids; at another it is not."""
    known = {"rotation_x": 8, "rotation_y": -5, "rotation_z": 6, "translation_x": 5, "translation_y": -4}
    known |= {"translation_z": 3, "scale_x": 0.93, "scale_y": 0.95, "scale_z": 0.9}
    points = anatomies.grid()
    expected = anatomies.sample(anatomy.head, np.linalg.inv(anatomy.head_affine), points)
    for site, isocentre in (("A", (0, 0, 0)), ("B", (2, -18, 14))):
        head, _, affine = scan(anatomy, known, np.zeros_like(points), site=site, voxel_mm=3.0)
        shift = np.eye(4)
        shift[:3, 3] = isocentre
        inside = anatomy.inside > 0.5
        similar = {}
        for name, matrix in (("true", pose(known)), ("turned back", pose(known | {"rotation_z": -6}))):
            back = anatomies.sample(head, np.linalg.inv(shift @ affine) @ matrix, points)
            similar[name] = np.corrcoef(back[inside], expected[inside])[0, 1]
        assert similar["true"] > 0.95
        assert similar["turned back"] < 0.6
