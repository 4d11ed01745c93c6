"""Does the local volume change of the demo follow what was planted? Printed by `make demo`, fails below a bar.

The true severity, which no file of the chain holds, is the score: decoded at its 5 and 95 % quantile, confounds at
their means, and registered. Beside what is found stands the planted log-volume change over the same step, regressed
on the severity and the same confounds. A shuffled severity, through the same steps, should move nothing: its decoded
volumes still differ by whatever 72 people leave to chance, so that the mean over shuffles is held against zero.
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import yaml
from nibabel.affines import apply_affine

from neurovae.cohort import anatomy
from neurovae.design.design import design, join
from neurovae.interpret import jacobian, shift
from neurovae.interpret.decoder import Decoder, read
from neurovae.io.volumes import read_mask

SHUFFLES = 2
BARS = {"ventricles": 1, "hippocampi": -1}  # sign of the planted change
BESIDE = ("cortex", "cerebellum")  # printed, without a bar
SCORE = {"name": "severity", "type": "continuous"}


def planted(mask: Path) -> dict[str, np.ndarray]:
    """Share of each voxel of the mask, (voxels,), that lies in each region of the simulation, as it was drawn."""
    regions = anatomy.build(seed=0).regions
    points = apply_affine(nib.Nifti1Image.from_filename(mask).affine, np.argwhere(read_mask(mask))).T.astype(np.float32)
    return {
        name: anatomy.sample_flow(part[None], points)[0] for name, part in zip(anatomy.REGIONS, regions, strict=True)
    }


def changes(decoder: Decoder, table: pd.DataFrame, mask: Path, confounds: list) -> np.ndarray:
    """Log-Jacobian (voxels,) between the decoded ends of the severity in the table."""
    cases = design(table, SCORE, confounds)
    z = table[decoder.names].to_numpy(float)[cases.rows]
    ends = decoder.decode(shift.ends(z, cases.y, shift.slope(z, cases.x, cases.y), "continuous"))
    affine, images = nib.Nifti1Image.from_filename(mask).affine, []
    for values in ends:
        data = np.zeros(decoder.mask.shape, np.float32)
        data[decoder.mask] = values
        images.append(nib.Nifti1Image(data, affine))
        images[-1].header.set_xyzt_units("mm", "sec")
    low, high = images
    return jacobian.log_jacobian(low, high, decoder.mask)


def made(table: pd.DataFrame, confounds: list, name: str) -> float:
    """Planted change of a region's log-volume over the same step."""
    cases = design(table, SCORE, confounds)
    true = table[f"log_{name}"].to_numpy()[cases.rows, None]
    low, high = shift.ends(true, cases.y, shift.slope(true, cases.x, cases.y), "continuous")[:, 0]
    return float(high - low)


def line(what: str, value: float, bar: str, met: bool, n: int) -> bool:
    """Print one check: measured value, bar, sample size."""
    print(f"{'passed' if met else 'FAILED'}: {what} {value:+.3f} (bar {bar}), n {n}")
    return met


def checks(results: Path, model: str = "vae") -> list[bool]:
    """The signs of the planted regions with the true severity, and near nothing with shuffled ones."""
    jacobian.ants.config.set_ants_deterministic(True, seed_value=1)
    fit, mask = Path(model) / "fold-0_seed-0", results / "preprocess" / "mask.nii.gz"
    train = results / "train" / fit
    latents = results / "latents" / fit / "latents.parquet"
    decoder = read(train / "weights.safetensors", latents, mask, train / "health.json")
    cohort = pd.read_parquet(results / "cohort" / "cohort.parquet")
    truth = pd.read_csv(results / "cohort" / "truth" / "truth.tsv", sep="\t")
    known = truth.rename(columns={"participant_id": "person"}).filter(regex="person|severity|log_")
    table = join(cohort, decoder.latents, pd.read_parquet(results / "preprocess" / "qc.parquet"))
    table = table.merge(known, on="person", validate="many_to_one")
    confounds = yaml.safe_load((Path(__file__).parents[2] / "config" / "demo.yaml").read_text())["cohort"]["confounds"]
    parts = planted(mask)

    def means(found: np.ndarray) -> dict[str, float]:
        return {name: float(found @ part / part.sum()) for name, part in parts.items()}

    found = means(changes(decoder, table, mask, confounds))
    rng = np.random.default_rng(0)
    severity = table["severity"].to_numpy()
    shuffled = pd.DataFrame(
        [
            means(changes(decoder, table.assign(severity=rng.permutation(severity)), mask, confounds))
            for _ in range(SHUFFLES)
        ]
    )
    for name in (*BARS, *BESIDE):
        chance = ", ".join(f"{value:+.3f}" for value in shuffled[name])
        print(
            f"{name}: planted log-volume change {made(table, confounds, name):+.3f}, mean log-Jacobian found "
            f"{found[name]:+.3f}; severity shuffled: {chance}"
        )
    n = len(design(table, SCORE, confounds).rows)
    met = []
    for name, sign in BARS.items():
        bar = "above 0" if sign > 0 else "below 0"
        met.append(line(f"mean log-Jacobian in the {name}", found[name], bar, sign * found[name] > 0, n))
        mean = shuffled[name].mean()
        near = abs(mean) < abs(found[name]) / 2
        met.append(line(f"the same, severity shuffled, mean of {SHUFFLES}", mean, "less than half of that", near, n))
    return met


if __name__ == "__main__":
    done = checks(Path(sys.argv[1]), *sys.argv[2:])
    print(f"{sum(done)} passed, {len(done) - sum(done)} failed, 0 skipped")
    sys.exit(not all(done))
