"""Simulated blocks: variances and factors as stated, networks that lie apart, files as fMRIPrep leaves them."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from neurovae.blocks import clean, series
from neurovae.cohort import simulate_blocks
from neurovae.plan import block_files
from neurovae.plan.config import load_schema, validate
from neurovae.train.models import networks

VOXEL_MM = 12.0


def test_signal_and_noise_have_the_stated_ratio():
    made = simulate_blocks.factors(4000, (60, 80), 0.5, 0)
    for own, x in zip(made.private, made.features, strict=True):
        known = np.hstack([made.shared, own])
        error = x - known @ np.linalg.lstsq(known, x, rcond=None)[0]
        assert abs(error.var() - 1) < 0.02 and abs(x.var(axis=0).mean() - 1.5) < 0.1
    again = simulate_blocks.factors(4000, (60, 80), 0.5, 0)
    np.testing.assert_array_equal(made.features[1], again.features[1])


def test_planted_networks_come_back_after_motion_is_regressed_out():
    mask, maps = simulate_blocks.networks(VOXEL_MM, 0)
    assert maps.shape == (8, mask.sum()) and np.abs(np.corrcoef(maps)[np.tril_indices(8, -1)]).max() < 0.2
    entry = dict.fromkeys(("high_pass_hz", "low_pass_hz", "scrub_mm")) | {"drop_first": 0, "detrend": True}
    runs = []
    for k in range(10):
        values, motion = simulate_blocks.one_run(maps, mask, VOXEL_MM, 100, 2.0, 2.0, [0, 1, k])
        table = motion.filter(regex="^(trans|rot)_").fillna(0).to_numpy()
        still = np.zeros(len(maps[0]), bool)
        runs.append(clean.run(values, still, None, table, None, 2.0, entry | {"zscore": True}, "run").values)
    tensors = networks.components(runs, 20)
    tensors["rotation"] = networks.independent(tensors["components"][:8], 0)
    found = networks.maps(tensors, {"n_latent": 8, "method": "ica"}, runs)
    r = np.abs(np.corrcoef(maps, found)[:8, 8:])
    assert r[linear_sum_assignment(-r)].mean() > 0.8


def test_files_are_read_as_a_block(tmp_path: Path):
    simulate_blocks.run(out=tmp_path, people=3, volumes=60, voxel_mm=16.0)
    assert nib.load(tmp_path / "truth" / "networks.nii.gz").shape[-1] == 8
    truth = pd.read_csv(tmp_path / "truth" / "factors.tsv", sep="\t")
    assert list(truth["participant_id"]) == list(pd.read_csv(tmp_path / "structure.tsv", sep="\t")["participant_id"])
    bold = {"name": "rest", "type": "bold", "path": str(tmp_path / "bold"), "mask": str(tmp_path / "bold/mask.nii.gz"),
            "confounds": ["motion"], "connectivity": "none"}  # fmt: skip
    given = {"cohort": {"name": "c", "participants": "p.tsv", "blocks": [bold]}}
    entry = validate(given, load_schema())["cohort"]["blocks"][0]
    files, problems = block_files.find(entry)
    assert len(files) == 3 and not problems and block_files.tr_of(files[0]) == (2.0, "")
    cleaned, quiet, names, _ = series.one(files[0], entry)
    assert cleaned.values.shape == (60, len(names)) and not quiet.any() and 0.05 < cleaned.mean_fd < 0.5
