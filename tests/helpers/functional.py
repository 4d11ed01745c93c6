"""Folders of functional data with the names that XCP-D, C-PAC and fMRIPrep give, filled with random courses."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd

XCPD = "sub-{person}_task-rest_space-MNI152NLin2009cAsym_seg-{atlas}_stat-mean_timeseries.tsv"
CPAC = "sub-{person}_ses-1_task-rest_run-1_atlas-CC200_space-MNI152NLin6ASym_reg-36Parameter_desc-Mean_timeseries.1D"
FMRIPREP = "sub-{person}_task-rest_desc-confounds_timeseries.tsv"
NAMES = ["Vis_1", "Vis_2", "Mot_1", "Mot_2", "Def_1"]


def courses(seed: int, n_time: int = 80, n_parcels: int = 5) -> np.ndarray:
    """Correlated courses (time, parcels)."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n_time, 1))
    return 100 + shared + rng.normal(size=(n_time, n_parcels))


def write_tsv(path: Path, values: np.ndarray, names: list[str] = NAMES, empty: int = 0) -> Path:
    """A table of courses, with rows of n/a before them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(names), *["\t".join(["n/a"] * len(names))] * empty]
    lines += ["\t".join("n/a" if np.isnan(one) else f"{one:.5f}" for one in row) for row in values]
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def xcpd(root: Path, person: str, seed: int = 0, atlas: str = "4S156Parcels", tr: float = 2.0, empty: int = 0) -> Path:
    """A run as XCP-D 0.10 leaves it, with its sidecar, motion and outliers."""
    func = root / f"sub-{person}" / "func"
    path = write_tsv(func / XCPD.format(person=person, atlas=atlas), courses(seed), empty=empty)
    path.with_suffix(".json").write_text(json.dumps({"RepetitionTime": tr}))
    fd = np.abs(np.random.default_rng(seed + 1000).normal(0.1, 0.05, 80 + empty))
    motion = pd.DataFrame({"framewise_displacement": fd}).assign(trans_x=0.0)
    motion.to_csv(func / f"sub-{person}_task-rest_motion.tsv", sep="\t", index=False, na_rep="n/a")
    pd.DataFrame({"framewise_displacement": (fd > 0.3).astype(int)}).to_csv(
        func / f"sub-{person}_task-rest_outliers.tsv", sep="\t", index=False
    )
    return path


def cpac(root: Path, person: str, seed: int = 0) -> Path:
    """A run as C-PAC 1.8 leaves it: comments, then names with # before each."""
    path = root / "pipeline_cpac" / f"sub-{person}_ses-1" / "func" / CPAC.format(person=person)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "# CPAC version 1.8.5\n" + "\t".join(f"#{k}" for k in range(1, 6))
    np.savetxt(path, courses(seed), fmt="%.5f", delimiter="\t", header=head, comments="")
    return path


def confounds(root: Path, person: str, n_time: int = 80, seed: int = 0) -> Path:
    """fMRIPrep's table of confounds: derivatives and framewise displacement have no first value."""
    rng, columns = np.random.default_rng(seed), {}
    for name in [f"{way}_{axis}" for way in ("trans", "rot") for axis in "xyz"] + [
        "csf",
        "white_matter",
        "global_signal",
    ]:
        one = rng.normal(0, 0.1, n_time).cumsum()
        step = np.r_[np.nan, np.diff(one)]
        columns |= {
            name: one,
            f"{name}_derivative1": step,
            f"{name}_power2": one**2,
            f"{name}_derivative1_power2": step**2,
        }
    columns["framewise_displacement"] = np.r_[np.nan, np.abs(rng.normal(0.1, 0.05, n_time - 1))]
    columns |= {f"cosine{k:02d}": np.cos(np.pi * (k + 1) * (np.arange(n_time) + 0.5) / n_time) for k in range(2)}
    path = root / f"sub-{person}" / "func" / FMRIPREP.format(person=person)
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False, na_rep="n/a")
    path.with_suffix(".json").write_text("{}")
    return path
