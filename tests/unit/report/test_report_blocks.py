"""Blocks in the report: who has them, the mean matrix, and the methods text; nothing where there are scans alone."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from functional import NAMES, xcpd
from PIL import Image

from neurovae.blocks import series
from neurovae.io import blocks as io_blocks
from neurovae.plan.config import load_schema, validate
from neurovae.report.figures import functional, networks
from neurovae.report.results import Run
from neurovae.report.sections import networks as network_section
from neurovae.report.sections.blocks import blocks
from neurovae.report.sections.methods_blocks import blocks as methods

PEOPLE = [f"{k:02d}" for k in range(1, 5)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    for k, person in enumerate(PEOPLE[:3]):
        xcpd(tmp_path / "xcpd", person, k)
    table = pd.DataFrame({"participant_id": [f"sub-{one}" for one in PEOPLE]})
    table.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    entry = {"name": "rest", "type": "timeseries", "path": str(tmp_path / "xcpd"), "scrub_mm": 0.5, "low_pass_hz": 0.1}
    given = {"name": "c", "participants": str(tmp_path / "participants.tsv"), "blocks": [entry]}
    config = validate({"cohort": given}, load_schema())
    series.run(cohort=config["cohort"], block=config["cohort"]["blocks"][0], out=tmp_path / "blocks" / "rest")
    return Run(tmp_path, [], "fold-0_seed-0", "", [], tmp_path, config)


def test_section_lists_everybody_those_without_it_first(run: Run) -> None:
    parts = blocks(run)
    assert [part["kind"] for part in parts] == ["heading", "text", "missing", "table"]
    assert parts[1]["text"] == "3 of 4 participants have rest, with 10 features. 5 of 5 parcels are used."
    assert [cell[0] for cell in parts[3]["rows"][0]][:2] == ["sub-04", "no file"]


def test_methods_say_what_was_done(run: Run) -> None:
    said = methods(run)
    assert said.startswith("Blocks. The block rest was computed from BOLD time series of 5 of 5 parcels, which were")
    assert "detrended, low-pass filtered (0.1 Hz) and standardised within each run with nilearn [nilearn]." in said
    assert "framewise displacement [fd] above 0.5 mm were censored" in said
    assert (
        "was their correlation, from covariances shrunk by the Ledoit-Wolf estimator [ledoit], Fisher-transformed"
        in said
    )
    assert said.endswith("3 of 4 participants had rest.")


def test_scans_alone_have_neither(run: Run, tmp_path: Path) -> None:
    config: dict[str, Any] = {"cohort": {"blocks": [{"name": "image", "type": "volumes"}]}}
    other = Run(tmp_path / "other", [], "fold-0_seed-0", "", [], tmp_path, config)
    assert blocks(other) == [] and methods(other) == ""


def test_mean_matrix_is_that_of_the_features(run: Run, tmp_path: Path) -> None:
    block = io_blocks.read(tmp_path / "blocks" / "rest")
    parcels = pd.read_parquet(tmp_path / "blocks" / "rest" / "parcels.parquet")
    matrix = functional.mean_matrix(block, parcels)
    np.testing.assert_allclose(matrix[np.tril_indices(5, -1)], block.values.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(matrix, matrix.T)
    order, how = functional.ordered(matrix, parcels.assign(network=["b", "a", "b", "a", "c"]))
    assert how == "by network" and [NAMES[k] for k in order] == ["Vis_2", "Mot_2", "Vis_1", "Mot_1", "Def_1"]
    functional.draw(folder=tmp_path / "blocks" / "rest", out=tmp_path / "rest_block.png")
    assert (tmp_path / "rest_block.png").stat().st_size > 10_000


def test_connections_are_drawn_in_the_brain_where_parcels_have_places(run: Run, tmp_path: Path) -> None:
    folder, out = tmp_path / "blocks" / "rest", tmp_path / "rest_block.png"
    functional.draw(folder=folder, out=out)
    with Image.open(out) as image:
        low = image.height
    parcels = pd.read_parquet(folder / "parcels.parquet")
    places = np.random.default_rng(0).uniform(-40, 40, (len(parcels), 3))
    parcels.assign(x_mm=places[:, 0], y_mm=places[:, 1], z_mm=places[:, 2]).to_parquet(folder / "parcels.parquet")
    functional.draw(folder=folder, out=out)
    with Image.open(out) as image:
        assert image.height > 1.4 * low


@pytest.mark.parametrize("kind", ["brains", "places", "matrix"])
def test_networks_are_drawn_in_the_brain_or_as_a_matrix(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [{"network": k, "parcel": str(p), "dual": rng.normal(), "x_mm": 10.0 * p - 50, "y_mm": -20.0 + 5 * p, "z_mm": 30.0}
            for k in range(2) for p in range(10)]  # fmt: skip
    table = pd.DataFrame(rows)
    (table if kind == "places" else table.assign(x_mm=np.nan)).to_parquet(tmp_path / "network_maps.parquet")
    if kind == "brains":
        (tmp_path / "networks").mkdir()
        data = np.zeros((20, 24, 20, 2), np.float32)
        data[5:8, 10:13, 8:11, 0] = data[12:15, 4:7, 10:13, 1] = 1
        affine = np.array([[8.0, 0, 0, -76], [0, 8, 0, -109], [0, 0, 8, -71], [0, 0, 0, 1]])
        nib.save(nib.Nifti1Image(data, affine), tmp_path / "networks" / "group_dual.nii.gz")
    networks.draw(folder=tmp_path, out=tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 5_000


def test_section_on_networks_counts_who_is_identified() -> None:
    people = pd.DataFrame({"split": ["test"] * 4 + ["training"], "identified": [True, True, False, True, True]})
    assert "identified 3 of 4 test participants" in network_section.line(people) and "1 of 4" in network_section.line(
        people
    )
