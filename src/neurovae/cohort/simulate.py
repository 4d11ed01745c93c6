"""Simulate the demo cohort: T1w-like heads as a BIDS folder and, kept aside, the true values that made them.

A design, checked with 72 people at 3 mm and seeds 0, 1, 2 (true mask, N4, ANTs affine, z-score, 4 mm): severity
explains .031, .033, .037 of the between-person voxel variance (.045, .047, .051 before subtracting what shuffled
severity explains). It is predicted, in 5 folds, by ridge on 16 principal components with R2 .90, .91, .89 (.87, .86,
.86 if these are fitted per fold), by voxel-wise ridge with .87, .83, .80, by ventricle and brain volume with .56, .52,
.39, and by mask volume, mean intensity and affine with -.08, -.15, -.09. deepbet's mask against the true one: Dice
.982-.985 (8 heads).
"""

import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from joblib import Parallel, delayed
from nibabel.orientations import axcodes2ornt, ornt_transform
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from neurovae.cli import Json, cli
from neurovae.cohort.anatomy import (
    MODES,
    REGIONS,
    SPACING,
    Anatomy,
    build,
    combine,
    deform,
    sample,
    sample_flow,
    transform_points,
)
from neurovae.cohort.longitudinal import Person, draw_visits, session_row
from neurovae.cohort.people import FOLLOW_UP, SCORES, draw_person
from neurovae.io.files import write_beside, write_json, write_tsv

FIELD = np.array([[-104.0, 104.0], [-134.0, 118.0], [-122.0, 108.0]])  # mm, field of view
STORED = {"A": "LAS", "B": "PIR"}  # axes of the stored array: code that ignores the affine fails on them
ISOCENTRE = {"A": (0.0, 0.0, 0.0), "B": (2.0, -18.0, 14.0)}  # mm, where the scanner's origin lies in the head
STRETCH = {"A": (1.0, 1.0, 1.0), "B": (1.0, 1.04, 0.96)}  # of voxel_mm, along the stored axes
RESIDUE = 0.35  # mm root mean square, each brain's own fine flow ...
FINENESS = 10.0  # mm, ... smoothed by a Gaussian of this standard deviation
MODE = 0.68  # mm root mean square, per mode

README = """Simulated T1w-like heads, drawn by neurovae around the MNI152 brain that nilearn ships.
No person was scanned; participants.tsv was drawn too.
"""


def run(
    *,
    out: Path,
    truth: Path,
    people: int = 72,
    voxel_mm: float = 3.0,
    seed: int = 0,
    visits: Json | None = None,
    jobs: int = 2,
) -> None:
    """Write the demo cohort into the BIDS folder `out`, and its true values into the folder `truth`.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun simulate

    Args:
        out: BIDS folder to write.
        truth: folder to write, with the true values of the simulated people.
        people: number of people.
        voxel_mm: voxel size, mm.
        seed: of all random draws.
        visits: of cohort.simulate, where people come several times: most, years, dropout, new_scanner.
        jobs: people simulated at a time; the numbers do not depend on it.
    """
    out, truth = Path(out), Path(truth)
    anatomy = build(seed=seed)
    simulated = simulate_visits if visits else simulate_person
    options = {"visits": visits} if visits else {}
    tasks = (
        delayed(simulated)(anatomy, number, seed=seed, voxel_mm=voxel_mm, out=out, truth=truth, **options)
        for number in range(1, people + 1)
    )
    start, rows = time.monotonic(), []
    truths: list[dict[str, Any]] = []
    for row, true_values in Parallel(n_jobs=jobs, return_as="generator", max_nbytes="1M")(tasks):
        rows.append(row)
        truths += true_values if visits else [true_values]
        rate = len(rows) / (time.monotonic() - start)
        seconds_left = (people - len(rows)) / rate
        print(
            f"simulate {row['participant_id']} {len(rows)}/{people}: {rate:.2f}/s, {seconds_left:.0f} s left",
            flush=True,
        )
    every_column = ["participant_id", "age", "sex", "site", *SCORES, *FOLLOW_UP]
    write_tsv(out / "participants.tsv", rows, ["participant_id", "sex"] if visits else every_column)
    write_tsv(truth / "truth.tsv", truths, list(truths[0]))
    write_json(
        out / "dataset_description.json", {"Name": "neurovae demo", "BIDSVersion": "1.8.0", "DatasetType": "raw"}
    )
    with write_beside(out / "README") as temporary:
        temporary.write_text(README)


def simulate_person(
    anatomy: Anatomy, number: int, *, seed: int, voxel_mm: float, out: Path, truth: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw a person, write scan and true mask, return the rows of participants.tsv and truth.tsv."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    row, true_values = draw_person(rng, number)
    displacement, millilitres = deform(anatomy, own_flow(anatomy, true_values, rng), log_volumes(true_values))
    head, brain, affine = scan(anatomy, true_values, displacement, site=row["site"], voxel_mm=voxel_mm)
    image = acquire(head, true_values, rng)
    person = row["participant_id"]
    save(image, affine, STORED[row["site"]], out / person / "anat" / f"{person}_T1w.nii.gz")
    save((brain > 0.5).astype(np.int16), affine, STORED[row["site"]], truth / f"{person}_mask.nii.gz")
    true_values |= _volumes(true_values, millilitres, brain, affine)
    return row, {"participant_id": person} | {name: f"{value:.6g}" for name, value in true_values.items()}


def simulate_visits(
    anatomy: Anatomy, number: int, *, seed: int, voxel_mm: float, out: Path, truth: Path, visits: dict[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw a person with several visits, write scans, true masks and the sessions table; rows as `simulate_person`.

    A person's own flow, size and regional deviations stay the same; severity, age, pose and scanner change.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    one: Person = draw_visits(rng, number, seed=seed, visits=visits)
    flow, sessions, truths = own_flow(anatomy, one.visits[0].truth, rng), [], []
    for k, visit in enumerate(one.visits, 1):
        key, axes = f"{one.person}_ses-{k}", STORED[visit.site]
        displacement, millilitres = deform(anatomy, flow, log_volumes(visit.truth))
        head, brain, affine = scan(anatomy, visit.truth, displacement, site=visit.site, voxel_mm=voxel_mm)
        save(
            acquire(head, visit.truth, rng), affine, axes, out / one.person / f"ses-{k}" / "anat" / f"{key}_T1w.nii.gz"
        )
        save((brain > 0.5).astype(np.int16), affine, axes, truth / f"{key}_mask.nii.gz")
        true_values = visit.truth | _volumes(visit.truth, millilitres, brain, affine)
        keys = {"participant_id": one.person, "session_id": f"ses-{k}"}
        truths.append(keys | {name: f"{value:.6g}" for name, value in true_values.items()})
        sessions.append(session_row(k, visit))
    write_tsv(out / one.person / f"{one.person}_sessions.tsv", sessions, list(sessions[0]))
    return {"participant_id": one.person, "sex": one.sex}, truths


def _volumes(
    true_values: dict[str, float], millilitres: np.ndarray, brain: np.ndarray, affine: np.ndarray
) -> dict[str, float]:
    """Volumes of regions and brain, in ml, with the head's size."""
    size = float(np.prod([true_values[f"scale_{axis}"] for axis in "xyz"]))
    regions = {f"{name}_ml": volume * size for name, volume in zip(REGIONS, millilitres, strict=True)}
    return regions | {"brain_ml": float((brain > 0.5).sum() * np.linalg.det(affine) / 1000)}


def log_volumes(true_values: dict[str, float]) -> np.ndarray:
    """Return the prescribed log-volume changes, in the order of REGIONS."""
    return np.array([true_values[f"log_{name}"] for name in REGIONS])


def own_flow(anatomy: Anatomy, true_values: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """A person's flow `(3, x, y, z)` in mm apart from the regions: the shared modes and a fine smooth residue."""
    residue = rng.standard_normal(size=anatomy.modes.shape[1:], dtype=np.float32)
    residue = np.stack([ndimage.gaussian_filter(part, FINENESS / SPACING) for part in residue]) * anatomy.inside
    residue *= np.float32(RESIDUE) / np.sqrt((residue**2).sum(0)[anatomy.inside > 0.5].mean())
    return residue + combine([MODE * true_values[f"mode_{k}"] for k in range(MODES)], anatomy.modes)


def pose(true_values: dict[str, float]) -> np.ndarray:
    """The affine from template to person in mm: scale each axis, rotate about x, then y, then z, then translate."""
    matrix = np.eye(4)
    rotation = Rotation.from_euler("xyz", [true_values[f"rotation_{axis}"] for axis in "xyz"], degrees=True)
    matrix[:3, :3] = rotation.as_matrix() * [true_values[f"scale_{axis}"] for axis in "xyz"]
    matrix[:3, 3] = [true_values[f"translation_{axis}"] for axis in "xyz"]
    return matrix


def scan(
    anatomy: Anatomy, true_values: dict[str, float], displacement: np.ndarray, *, site: str, voxel_mm: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return head and brain (0-1) on the site's voxel grid, and the affine from voxels to the scanner's mm."""
    step = voxel_mm * np.array(STRETCH[site])
    axes = [np.arange(low, high, size, dtype=np.float32) for (low, high), size in zip(FIELD, step, strict=True)]
    world = np.stack(np.meshgrid(*axes, indexing="ij"))
    unposed = transform_points(np.linalg.inv(pose(true_values)), world)
    points = unposed + sample_flow(displacement, unposed)
    to_voxel = np.linalg.inv(anatomy.head_affine)
    head, brain = sample(anatomy.head, to_voxel, points, "nearest"), sample(anatomy.brain, to_voxel, points)
    affine = np.diag([*step, 1.0])
    affine[:3, 3] = FIELD[:, 0] - np.array(ISOCENTRE[site])
    return head, brain, affine


def acquire(head: np.ndarray, true_values: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """Apply the site's contrast and gain, a smooth multiplicative bias field and Rician noise."""
    spectrum = np.zeros(head.shape)
    spectrum[:3, :3, :3] = rng.normal(size=(3, 3, 3))
    spectrum[0, 0, 0] = 0
    field = fft.idctn(spectrum, type=2)
    signal = np.clip(head, 0, None) ** true_values["contrast"] * np.exp(true_values["bias"] * field / field.std())
    noise = true_values["noise"] * rng.standard_normal(size=(2, *head.shape), dtype=np.float32)
    return np.clip(true_values["gain"] * np.hypot(signal + noise[0], noise[1]), 0, 32767).round().astype(np.int16)


def save(image: np.ndarray, affine: np.ndarray, axes: str, path: Path) -> None:
    """Store a volume whose array is in RAS order with the given axes, with matching sform and qform."""
    volume = nib.Nifti1Image(image, affine)
    reoriented = volume.as_reoriented(ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes)))
    reoriented.set_sform(reoriented.affine, code=1)
    reoriented.set_qform(reoriented.affine, code=1)
    reoriented.header.set_xyzt_units("mm")
    with write_beside(path) as temporary:
        nib.save(reoriented, temporary)


if __name__ == "__main__":
    cli(run)
