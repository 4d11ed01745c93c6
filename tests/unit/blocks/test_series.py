"""A functional block from files to features: who has it, which parcels, runs joined, the same bytes again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from functional import NAMES, courses, write_tsv, xcpd

from neurovae.blocks import series
from neurovae.errors import InputError
from neurovae.io import blocks
from neurovae.plan.config import load_schema, validate

PEOPLE = [f"{k:02d}" for k in range(1, 7)]
LOWER = np.tril_indices(5, -1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Runs of five people; sub-06 has no file."""
    for k, person in enumerate(PEOPLE[:5]):
        xcpd(tmp_path / "xcpd", person, k)
    table = pd.DataFrame({"participant_id": [f"sub-{one}" for one in PEOPLE]})
    table.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    return tmp_path


def run(folder: Path, **more: Any) -> tuple[blocks.Block, pd.DataFrame]:
    entry = {"name": "rest", "type": "timeseries", "path": str(folder / "xcpd"), **more}
    given = {"name": "c", "participants": str(folder / "participants.tsv"), "blocks": [entry]}
    cohort = validate({"cohort": given}, load_schema())["cohort"]
    series.run(cohort=cohort, block=cohort["blocks"][0], out=folder / "out")
    return blocks.read(folder / "out"), pd.read_csv(folder / "out" / "quality.tsv", sep="\t", keep_default_na=False)


def series_file(folder: Path, person: str) -> Path:
    return next((folder / "xcpd" / f"sub-{person}").rglob("*_timeseries.tsv"))


def test_block_has_a_row_per_person_with_a_file(folder):
    block, quality = run(folder)
    assert list(block.rows["scan"]) == [f"sub-{one}" for one in PEOPLE[:5]]
    assert list(quality["status"]) == ["ok"] * 5 + ["no file"]
    assert block.values.shape == (5, 10) and block.features["feature"].iloc[0] == "Vis_1-Vis_2"
    assert (block.rows["n_time"] == 80).all() and (block.rows["tr_s"] == 2).all()
    expected = np.corrcoef(courses(0).T)[LOWER]
    np.testing.assert_allclose(np.tanh(block.values[0]), expected, atol=0.05)  # shrunk towards 0
    assert np.corrcoef(np.tanh(block.values[0]), expected)[0, 1] > 0.95


def test_series_on_disk_are_the_cleaned_runs(folder):
    run(folder)
    runs = pd.read_parquet(folder / "out" / "series.parquet")
    values = np.load(folder / "out" / "series.npy")
    assert values.shape == (400, 5) and list(runs["start"]) == [0, 80, 160, 240, 320]
    one = values[160:240]
    np.testing.assert_allclose(one.mean(axis=0), 0, atol=1e-6)
    detrended = (
        courses(2) - np.polynomial.polynomial.polyval(np.arange(80), np.polyfit(np.arange(80), courses(2), 1)[::-1]).T
    )
    np.testing.assert_allclose(one, detrended / detrended.std(axis=0, ddof=1), atol=1e-4)
    assert not list((folder / "out").glob("*.raw"))


def test_with_masks_a_person_without_two_parcels_does_not_have_the_block(folder):
    values = courses(1)
    values[:, 1:] = 0
    write_tsv(series_file(folder, "02"), values)
    block, quality = run(folder, constant="mask")
    assert quality.loc[1, "status"] == "excluded" and quality.loc[1, "reason"].startswith("4 of 5 parcels are constant")
    assert len(block.rows) == 4 and np.isfinite(block.values).all()


@pytest.mark.parametrize(("rule", "people", "parcels"), [("drop_parcel", 5, 4), ("mask", 5, 5), ("drop_person", 4, 5)])
def test_constant_parcel(folder, rule, people, parcels):
    values = courses(1)
    values[:, 3] = 0
    write_tsv(series_file(folder, "02"), values)
    block, quality = run(folder, constant=rule)
    assert block.values.shape == (people, parcels * (parcels - 1) // 2)
    assert quality.loc[1, "constant"] == "Mot_2" and quality.loc[1, "status"] == (
        "excluded" if rule == "drop_person" else "ok"
    )
    assert np.isnan(block.values).any(axis=1).sum() == (1 if rule == "mask" else 0)
    kept = pd.read_parquet(folder / "out" / "parcels.parquet").set_index("parcel")
    assert kept.loc["Mot_2", "n_constant"] == 1 and kept["kept"].sum() == parcels


def test_others_do_not_change_where_a_person_is_dropped(folder):
    whole = run(folder)[0].values[[0, 2, 3, 4]]
    values = courses(1)
    values[:, 3] = 0
    write_tsv(series_file(folder, "02"), values)
    np.testing.assert_array_equal(run(folder, constant="drop_person")[0].values, whole)


def test_thresholds_exclude_with_a_reason(folder):
    write_tsv(series_file(folder, "01"), courses(0)[:40])
    series_file(folder, "01").with_name("sub-01_task-rest_motion.tsv").write_text(
        "framewise_displacement\n" + "0.9\n" * 40
    )
    block, quality = run(folder, thresholds={"mean_fd": [None, 0.5]})
    assert len(block.rows) == 4
    assert (
        quality.loc[0, "reason"] == "40 volumes are used, at least 50; 0.9 mm mean framewise displacement, at most 0.5"
    )
    with pytest.raises(InputError, match="nobody of 6 is left \\(40 volumes are used, at least 400; 0.9 mm"):
        run(folder, thresholds={"volumes": [400, None], "mean_fd": [None, 0.5]})


def test_unknown_measure_with_a_threshold_excludes(folder):
    series_file(folder, "03").with_name("sub-03_task-rest_motion.tsv").unlink()
    quality = run(folder, thresholds={"mean_fd": [None, 0.5]})[1]
    assert quality.loc[2, "reason"] == "mean_fd is not known, and thresholds.mean_fd is set"


def test_runs_are_joined_after_standardisation(folder):
    func = series_file(folder, "01").parent
    for path in list(func.iterdir()):
        path.unlink()
    for k in (1, 2):
        write_tsv(func / f"sub-01_task-rest_run-{k}_timeseries.tsv", courses(k) * 10**k)
    block, quality = run(folder)
    assert quality.loc[0, "n_runs"] == 2 and block.rows.loc[0, "n_time"] == 160
    mean = (np.corrcoef(courses(1).T) + np.corrcoef(courses(2).T))[LOWER] / 2
    np.testing.assert_allclose(np.tanh(block.values[0]), mean, atol=0.05)


def test_all_faults_of_all_files_are_listed_at_once(folder):
    for person in ("02", "04"):
        path = series_file(folder, person)
        path.write_text(path.read_text().replace("99.", "x", 1))
    with pytest.raises(InputError) as caught:
        run(folder)
    assert len(caught.value.problems) == 2 and all("give a number or n/a" in line for line in caught.value.problems)


def test_regions_give_names_networks_and_places(folder):
    table = pd.DataFrame({"column": NAMES, "name": [f"region {one}" for one in NAMES], "x": [1, 2, 3, 4, 5]})
    table = table.assign(network=["Vis", "Vis", "Mot", "Mot", "Def"])
    table.to_csv(folder / "regions.tsv", sep="\t", index=False)
    block, _ = run(folder, regions=str(folder / "regions.tsv"))
    assert (
        block.features.loc[1, "name"] == "region Vis_1 - region Mot_1"
        and block.features.loc[1, "network"] == "Mot - Vis"
    )
    table.head(4).to_csv(folder / "regions.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match="no row for 1 parcels of the files \\(Def_1\\)"):
        run(folder, regions=str(folder / "regions.tsv"))


def test_tangent_keeps_the_covariance_and_none_keeps_nothing(folder):
    assert run(folder, connectivity="tangent")[0].values.shape == (5, 15)
    assert run(folder, connectivity="none")[0].values.shape == (5, 0)


def test_same_files_give_the_same_bytes(folder):
    run(folder)
    first = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    run(folder)
    assert first == {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def test_sidecar_of_each_run_sets_its_filter(folder):
    slow = run(folder, low_pass_hz=0.05)[0].values
    for path in (folder / "xcpd").rglob("*.json"):
        path.write_text(json.dumps({"RepetitionTime": 4.0}))
    assert np.abs(run(folder, low_pass_hz=0.05)[0].values - slow).max() > 0.05
