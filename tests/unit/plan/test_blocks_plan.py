"""Blocks before the first job: each fault of keys, headers, sidecars and grids with its message."""

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from functional import NAMES, confounds, courses, write_tsv, xcpd

from neurovae.plan import blocks, graph, index
from neurovae.plan.config import load_schema, validate

SCHEMA = load_schema()
PEOPLE = ("01", "02", "03")


def look(folder: Path, *entries: dict[str, Any], models: list[dict[str, Any]] | None = None) -> blocks.Plan:
    table = folder / "participants.tsv"
    pd.DataFrame({"participant_id": [f"sub-{one}" for one in PEOPLE]}).to_csv(table, sep="\t", index=False)
    given = {"name": "c", "participants": str(table), "blocks": list(entries)}
    config = validate(
        {"cohort": given, "train": {"models": models or [{"name": "m", "kind": "table", "path": "v.tsv"}]}}, SCHEMA
    )
    return blocks.look(config["cohort"], index.look(config["cohort"]), config["train"]["models"])


def rest(folder: Path, **more: Any) -> dict[str, Any]:
    return {"name": "rest", "type": "timeseries", "path": str(folder / "xcpd"), **more}


def only(plan: blocks.Plan) -> str:
    assert len(plan.problems) == 1, plan.problems
    return plan.problems[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k, person in enumerate(PEOPLE):
        xcpd(tmp_path / "xcpd", person, k)
    return tmp_path


def test_default_is_the_scans_alone():
    config = validate({"cohort": {"name": "c", "bids": "x"}}, SCHEMA)
    assert config["cohort"]["blocks"] == [{"name": "image", "type": "volumes"}]
    assert blocks.look(config["cohort"], index.Index([], [], [], [], []), []) == blocks.Plan({}, {}, [], [])
    assert "blocks" not in graph.cohort_section(config["cohort"]) and "blocks" not in graph.fold_section(
        config["cohort"]
    )


def test_files_and_notes_of_sound_data(folder):
    plan = look(folder, rest(folder, scrub_mm=0.5, high_pass_hz=0.01, low_pass_hz=0.1))
    assert not plan.problems and not plan.notes and len(plan.files["rest"]) == 9  # series, sidecar and motion of each


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"high_pass_hz": 0.1, "low_pass_hz": 0.01}, "the band is empty: swap them"),
        ({"connectivity": "tangent", "constant": "mask"}, "the tangent space needs every parcel"),
        ({"tr_s": 0.8}, "RepetitionTime is 2 s, tr_s of cohort.blocks 'rest' is 0.8"),
        ({"low_pass_hz": 0.3}, "a repetition time of 2 s holds frequencies below 0.25 only"),
        ({"regions": "no.tsv"}, "file 'no.tsv' not found"),
        ({"entities": {"seg": "HO"}}, "none of 3 files"),
        ({"path": "/no"}, "folder '/no' not found"),
    ],
)
def test_keys(folder, more, message):
    assert message in look(folder, rest(folder, **more)).problems[0]


def test_names_and_types(folder):
    volumes = {"name": "image", "type": "volumes"}
    assert "'rest' is given 2 times" in look(folder, rest(folder), rest(folder)).problems[0]
    assert "a cohort without images has no block of type volumes" in only(look(folder, volumes, rest(folder)))
    both = look(folder, volumes, {"name": "other", "type": "volumes"}).problems
    assert "image and other are of type volumes; a cohort has one" in both[0]
    assert "path is not given; give the folder" in only(look(folder, {"name": "rest", "type": "timeseries"}))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"block": "rest", "path": "v.tsv", "n_latent": 2}, "found path and block; give one of them"),
        ({"block": "dti", "n_latent": 2}, "no block 'dti' in cohort.blocks; there are rest"),
        ({"block": "rest"}, "n_latent is null, and block 'rest' has a feature per pair of parcels"),
    ],
)
def test_models_that_read_a_block(folder, model, message):
    assert message in only(look(folder, rest(folder), models=[{"name": "m", "kind": "table", **model}]))


def test_block_without_features_is_no_latents(folder):
    plan = look(
        folder,
        rest(folder, connectivity="none"),
        models=[{"name": "m", "kind": "table", "block": "rest", "n_latent": 2}],
    )
    assert "block 'rest' has no features (connectivity: none)" in only(plan)


@pytest.mark.parametrize(
    ("block", "more", "message"),
    [
        (None, {}, "block is not given; give one of type timeseries or bold (there are rest)"),
        ("dti", {}, "block 'dti' holds no series"),
        ("rest", {"constant": "mask"}, "networks need every parcel of every participant"),
    ],
)
def test_models_of_networks(folder, block, more, message):
    model = {"name": "m", "kind": "networks", "n_latent": 5, **({"block": block} if block else {})}
    assert message in only(look(folder, rest(folder, **more), models=[model]))
    assert not look(folder, rest(folder, connectivity="none"), models=[{**model, "block": "rest"}]).problems


def test_other_columns_in_one_file(folder):
    xcpd_file = next((folder / "xcpd" / "sub-02").rglob("*_timeseries.tsv"))
    write_tsv(xcpd_file, courses(0), ["Vis_1", "Vis_2", "Mot_1", "Mot_2", "Lim_1"])
    message = f"{xcpd_file.name}, row 1: columns differ from those of most files (5): has Lim_1; lacks Def_1; use one"
    assert message in only(look(folder, rest(folder)))
    write_tsv(xcpd_file, courses(0), NAMES[::-1])
    assert "another order" in only(look(folder, rest(folder)))
    write_tsv(xcpd_file, courses(0), [*NAMES[:4], "Mot_1"])
    assert "row 1: column Mot_1 is there twice" in only(look(folder, rest(folder)))
    xcpd_file.write_bytes(b"")
    assert "the file is empty" in only(look(folder, rest(folder)))


def test_damaged_compressed_file(tmp_path):
    for person in PEOPLE:
        path = write_tsv(tmp_path / "xcpd" / f"sub-{person}" / f"sub-{person}_timeseries.tsv.gz", courses(0))
    path.write_bytes(gzip.compress(b"a\tb\n" * 9)[:12])
    assert "sub-03_timeseries.tsv.gz: the file is empty" in only(look(tmp_path, rest(tmp_path)))


def test_repetition_times(folder):
    sidecars = sorted((folder / "xcpd").rglob("*_timeseries.json"))
    sidecars[1].write_text(json.dumps({"RepetitionTime": 2.5}))
    assert "RepetitionTime is 2.5 s, most files have 2; leave it out" in only(look(folder, rest(folder)))
    assert not look(folder, rest(folder, mixed_tr=True)).problems
    sidecars[1].unlink()
    assert not look(folder, rest(folder)).problems  # not needed without a filter
    problem = only(look(folder, rest(folder, low_pass_hz=0.1)))
    assert "a filter needs the repetition time, which no JSON sidecar states for sub-02" in problem
    for sidecar in sidecars:
        sidecar.unlink(missing_ok=True)
    assert not look(folder, rest(folder, low_pass_hz=0.1, tr_s=2)).problems


def test_motion_tables(folder):
    tables = sorted((folder / "xcpd").rglob("*_motion.tsv"))
    tables[0].unlink()
    pd.DataFrame({"rot_x": [0.0]}).to_csv(tables[1], sep="\t", index=False)
    problems = look(folder, rest(folder, scrub_mm=0.5)).problems
    assert "no table of confounds beside it" in problems[0] and "sub-01" in problems[0]
    assert f"{tables[1].name}, row 1: no column framewise_displacement" in problems[1]
    assert not look(folder, rest(folder)).problems


def test_several_runs_without_standardisation(folder):
    func = folder / "xcpd" / "sub-01" / "func"
    for path in [*func.iterdir()]:
        path.rename(func / path.name.replace("task-rest", "task-rest_run-1"))
    xcpd(folder / "xcpd", "01")
    for path in [one for one in func.iterdir() if "run-1" not in one.name]:
        path.rename(func / path.name.replace("task-rest", "task-rest_run-2"))
    assert not look(folder, rest(folder)).problems
    assert "zscore is false, but sub-01 have several runs" in only(look(folder, rest(folder, zscore=False)))


def bold(folder: Path, person: str, shape: tuple[int, ...], space: str = "MNI152NLin2009cAsym") -> Path:
    path = folder / "xcpd" / f"sub-{person}" / "func" / f"sub-{person}_task-rest_space-{space}_desc-preproc_bold.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), path)
    return path


def of_bold(folder: Path, **more: Any) -> dict[str, Any]:
    atlas = folder / "atlas.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), atlas)
    return rest(folder, type="bold", **{"atlas": str(atlas), **more})


def test_bold_images(tmp_path):
    for person in PEOPLE:
        bold(tmp_path, person, (4, 4, 4, 80))
        confounds(tmp_path / "xcpd", person)
    assert not look(tmp_path, of_bold(tmp_path)).problems
    bold(tmp_path, "02", (4, 4, 5, 80))
    assert "its grid is (4, 4, 5), most files have (4, 4, 4)" in only(look(tmp_path, of_bold(tmp_path)))
    path = bold(tmp_path, "02", (4, 4, 4))
    assert "3-D, (4, 4, 4); give a series of volumes (4-D)" in only(look(tmp_path, of_bold(tmp_path)))
    path.unlink()
    bold(tmp_path, "02", (4, 4, 4, 80), "T1w")
    assert "its space is T1w, most files have MNI152NLin2009cAsym" in only(look(tmp_path, of_bold(tmp_path)))


def test_bold_keys_and_confounds(tmp_path):
    for person in PEOPLE:
        bold(tmp_path, person, (4, 4, 4, 80))
        table = confounds(tmp_path / "xcpd", person)
    assert "neither of atlas and mask" in only(look(tmp_path, of_bold(tmp_path, atlas=None)))
    mask = str(tmp_path / "atlas.nii.gz")
    assert "connections of voxels are too many" in only(look(tmp_path, of_bold(tmp_path, atlas=None, mask=mask)))
    assert "filter twice" in only(look(tmp_path, of_bold(tmp_path, high_pass_hz=0.01)))
    pd.read_csv(table, sep="\t").drop(columns=["trans_x", "rot_z"]).to_csv(table, sep="\t", index=False)
    assert "row 1: no column trans_x, rot_z; give the motion of this run" in only(look(tmp_path, of_bold(tmp_path)))


def test_table_is_read_as_one_of_latents(tmp_path):
    path = tmp_path / "fs.tsv"
    rows = pd.DataFrame({"participant_id": ["sub-01", "sub-02", "sub-03"], "a": [1, 2, 4], "b": ["1", "x", "3"]})
    rows.to_csv(path, sep="\t", index=False)
    structure = {"name": "structure", "type": "table", "path": str(path)}
    assert "fs.tsv, row 3: b is 'x'; give a number or n/a" in only(look(tmp_path, structure))
    assert look(tmp_path, structure | {"columns": ["a"]}).files == {"structure": [str(path)]}
    assert "file 'no.tsv' not found" in only(look(tmp_path, structure | {"path": "no.tsv"}))
    path.rename(tmp_path / "fs.xlsx")
    assert "ends in none of" in only(look(tmp_path, structure | {"path": str(tmp_path / "fs.xlsx")}))


def test_keys_of_another_type_are_refused(folder):
    with pytest.raises(Exception, match="a table has no 'low_pass_hz' \\(it belongs to timeseries, bold\\)"):
        look(folder, {"name": "t", "type": "table", "path": "x.tsv", "low_pass_hz": 0.1})
