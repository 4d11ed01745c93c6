"""The forward model of latents without a decoder: scikit-learn's ridge, planted fields, held-out scans, pure noise."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tiny
from sklearn.linear_model import Ridge

from neurovae import latents
from neurovae.interpret import maps, shift
from neurovae.interpret.decoder import read
from neurovae.io.volumes import masked
from neurovae.train import fit
from neurovae.train.health import health
from neurovae.train.health.measures import gain
from neurovae.train.health.verdicts import forward_explains, no_forward_map
from neurovae.train.models import forward
from neurovae.train.weights import load

N = 60
RNG = np.random.default_rng(0)
Z = RNG.normal(size=(N, 2)) * [3.0, 0.01] + [1e4, 0]  # columns of very different size, far from zero
FIELDS = RNG.normal(size=(2, *tiny.SHAPE)) / np.array([3.0, 0.01])[:, None, None, None]  # per unit of a column
VOLUMES = (np.tensordot(Z - Z.mean(axis=0), FIELDS, 1) + 1.0).astype(np.float32)  # without noise
NOISY = VOLUMES + RNG.normal(size=VOLUMES.shape).astype(np.float32)
NOISE = RNG.normal(size=(N, 4))
PEOPLE = np.array([f"sub-{k:02d}" for k in range(N)])


def test_it_is_scikit_learns_ridge_of_standardised_latents_at_the_penalty_that_it_chose() -> None:
    rows = np.arange(5, 45)
    tensors, penalty = forward.fit(NOISY, rows, PEOPLE[rows], tiny.MASK, Z[rows])
    assert penalty is not None and tensors["forward"].shape == (2, tiny.MASK.sum())
    spread = Z[rows].std(axis=0, ddof=1)
    expected = Ridge(penalty).fit(Z[rows] / spread, masked(NOISY[rows], tiny.MASK).astype(float))
    others = Z[45:]
    np.testing.assert_allclose(forward.predict(others, tensors), expected.predict(others / spread), atol=1e-5)


def test_the_penalty_has_the_smallest_error_over_all_voxels_in_people_left_out() -> None:
    people = np.repeat(PEOPLE[: N // 2], 2)  # two scans each, which stay together
    z = np.column_stack([Z / Z.std(axis=0), NOISE])
    z = (z - z.mean(axis=0)) / z.std(axis=0, ddof=1)
    x = masked(NOISY, tiny.MASK).astype(float)
    chosen = forward.penalty(NOISY, np.arange(N), people, tiny.MASK, z)
    folds = list(forward.GroupKFold(10).split(z, groups=people))
    assert all(not set(people[train]) & set(people[test]) for train, test in folds)
    errors = [
        np.mean(
            [np.square(x[test] - Ridge(a).fit(z[train], x[train]).predict(z[test])).mean() for train, test in folds]
        )
        for a in forward.PENALTIES
    ]
    assert chosen == pytest.approx(forward.PENALTIES[int(np.argmin(errors))])


def test_a_latent_that_does_not_vary_has_no_coefficients_and_nobody_is_needed_twice() -> None:
    z = np.column_stack([Z, np.full(N, 7.0)])
    tensors, penalty = forward.fit(VOLUMES, np.arange(N), PEOPLE, tiny.MASK, z)
    assert penalty == forward.PENALTIES[0] and not tensors["forward"][2].any() and tensors["forward"][:2].all()
    assert forward.fit(VOLUMES, np.arange(3), np.array(["a"] * 3), tiny.MASK, Z[:3])[1] is None


def test_the_coefficients_are_the_fields_and_no_scan() -> None:
    tensors = forward.fit(NOISY, np.arange(N), PEOPLE, tiny.MASK, Z)[0]
    for k in range(2):
        assert np.corrcoef(tensors["forward"][k], FIELDS[k][tiny.MASK])[0, 1] > 0.97
    assert {len(tensors[name]) for name in ("forward", "forward_centre")} == {2}  # latents, not people
    scans = masked(NOISY, tiny.MASK) - tensors["forward_mean"]
    left = scans - scans @ np.linalg.pinv(tensors["forward"].astype(float)) @ tensors["forward"]
    assert (np.square(left).sum(axis=1) > 0.8 * (1 - 2 / N) * tiny.MASK.sum()).all()  # what is a scan's own stays out


def written(folder: Path, z: np.ndarray, volumes: np.ndarray) -> dict[str, Path]:
    """Weights, health and latents of a table of latents of these volumes, with what `maps` reads."""
    files = tiny.packed(folder, N)
    np.save(files["volumes"], volumes)
    table = folder / "z.csv"
    frame = pd.DataFrame(z).add_prefix("z_").assign(person=PEOPLE)
    frame.to_csv(table, index=False)
    model, history = folder / "w.safetensors", folder / "h.parquet"
    options: dict[str, Any] = {"n_latent": None, "standardise": False, "columns": None, "seen": "no"}
    fit.run(
        **files, out=model, history=history, kind="table", fold=0, seed=0, device="cpu", options=options,
        table=str(table),
    )  # fmt: skip
    del files["folds"]
    judged = folder / "health.json"
    health.run(**files, model=model, history=history, out=judged, seed=0, table=str(table))
    out = folder / "l.parquet"
    latents.run(**files, model=model, name="given", out=out, index=folder / "i.parquet", table=str(table))
    return {"model": model, "latents": out, "mask": files["mask"], "health": judged}


def mapped(folder: Path, given: dict[str, Path], score: np.ndarray) -> tuple[pd.Series, pd.DataFrame, Path]:
    """Rows of maps and regions for one score, and the folder of its images."""
    keys = {
        "scan": PEOPLE,
        "person": PEOPLE,
        "session": "",
        "acquisition": "",
        "run": "",
        "fold": 0,
        "site": "A",
        "session_order": 1,
    }
    pd.DataFrame(keys | {"motor": score}).to_parquet(folder / "cohort.parquet")
    pd.DataFrame({"scan": PEOPLE, "status": "ok", "excluded": False}).to_parquet(folder / "qc.parquet")
    labels = tiny.MASK.astype(np.int16)
    nib.save(nib.Nifti1Image(labels, np.eye(4)), folder / "atlas.nii.gz")
    (folder / "atlas.tsv").write_text("index\tname\themisphere\tvoxels\n1\tall\tboth\t9\n")
    out = {"out_folder": folder / "maps", "out": folder / "maps.parquet", "regions": folder / "regions.parquet"}
    maps.run(
        cohort=folder / "cohort.parquet", qc=folder / "qc.parquet", **given, atlas=folder / "atlas.nii.gz",
        scores=[{"name": "motor", "type": "continuous"}], confounds=[], permutations=19, seed=0, **out,
    )  # fmt: skip
    return pd.read_parquet(out["out"]).iloc[0], pd.read_parquet(out["regions"]), out["out_folder"]


def test_a_score_map_is_the_true_pattern_and_the_variance_explained_that_of_held_out_scans(tmp_path: Path) -> None:
    given = written(tmp_path, Z, NOISY)
    split = np.array(tiny.roles(N))
    tensors, meta = load(given["model"])
    decoder = read(**given)
    x = masked(np.load(tmp_path / "v.npy")[split == "test"], tiny.MASK).astype(float)
    mean = masked(NOISY[split == "training"], tiny.MASK).astype(float).mean(axis=0)
    spread = Z[split == "training"].std(axis=0, ddof=1)
    ridge = Ridge(meta["architecture"]["forward_penalty"]).fit(
        Z[split == "training"] / spread, masked(NOISY[split == "training"], tiny.MASK).astype(float)
    )
    expected = 1 - np.square(x - ridge.predict(Z[split == "test"] / spread)).sum() / np.square(x - mean).sum()
    assert decoder.health["forward_explained_test"] == pytest.approx(expected, abs=1e-6) and expected > 0.5
    assert decoder.health["forward_explained_test_low"] < expected < decoder.health["forward_explained_test_high"]
    np.testing.assert_allclose(decoder.decode(Z), forward.predict(Z, tensors), rtol=1e-6)
    score = Z[:, 0] + 2 * RNG.normal(size=N)
    row, regions, folder = mapped(tmp_path, given, score)
    assert row["status"] == "ok" and row["mapped_by"] == "linear forward model, not a decoder"
    assert row["variance_explained_test"] == pytest.approx(expected, abs=1e-6)
    assert set(regions["mapped_by"]) == {"linear forward model, not a decoder"}
    slope = [np.cov(Z[:, k], score)[0, 1] / score.std(ddof=1) for k in range(2)]  # latents per SD of the score
    truth = np.tensordot(slope, FIELDS, 1)[tiny.MASK]
    image = nib.load(folder / "motor_map.nii.gz").get_fdata()[tiny.MASK]
    assert np.corrcoef(image, truth)[0, 1] > 0.97
    assert np.abs(image - truth).max() < 0.35 * np.abs(truth).max()


def test_without_noise_the_score_map_is_the_true_pattern_itself(tmp_path: Path) -> None:
    given = written(tmp_path, Z, VOLUMES)
    row, _, folder = mapped(tmp_path, given, Z[:, 0])
    confounds = np.column_stack([np.ones(N), np.array(tiny.roles(N)) == "training"])
    slope = shift.slope(Z, confounds, Z[:, 0]) * Z[:, 0].std(ddof=1)  # (1 SD, 0)
    truth = np.tensordot(slope, FIELDS, 1)[tiny.MASK]
    image = nib.load(folder / "motor_map.nii.gz").get_fdata()[tiny.MASK]
    np.testing.assert_allclose(image, truth, atol=0.01 * np.abs(truth).max())  # what the smallest penalty shrinks
    assert row["variance_explained_test"] > 0.999


def test_noise_has_no_map_and_the_number_says_why(tmp_path: Path) -> None:
    given = written(tmp_path, NOISE, NOISY)
    row, regions, folder = mapped(tmp_path, given, NOISE[:, 0])
    explained = read(**given).health["forward_explained_test"]
    assert row["status"] == "no map" and list(regions["status"]) == ["no map"] and not list(folder.iterdir())
    assert row["reason"].startswith(f"the linear forward model explains {100 * explained + 0.0:.1f} % [95 % CI ")
    assert row["reason"].endswith("] of the variance of scans in the test set, an interval that is not above 0")


def test_noise_rarely_has_a_map() -> None:
    """Of tables of noise, few have an interval above 0, though the penalty alone leaves many a value above 0."""
    training, test = np.arange(40), np.arange(40, N)
    x, lows = masked(NOISY, tiny.MASK), []
    for seed in range(8):
        z = np.random.default_rng(seed).normal(size=(N, 4))
        tensors, _ = forward.fit(NOISY, training, PEOPLE[training], tiny.MASK, z[training])
        error = np.square(x[test] - forward.predict(z[test], tensors)).sum(axis=1)
        total = np.square(x[test] - tensors["forward_mean"]).sum(axis=1)
        lows.append(gain(error, total, total, PEOPLE[test], 0)[1])
    assert sum(low > 1e-9 for low in lows) <= 2


def test_weights_without_a_forward_model_have_no_map() -> None:
    assert no_forward_map({"verdict": "not applicable"}) == (
        "the latents have no decoder, and these weights hold no forward model; train again"
    )
    assert forward_explains({}) == ""
