"""Which files are a functional block: names of XCP-D, C-PAC and fMRIPrep; each fault with its message."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from functional import NAMES, confounds, courses, cpac, write_tsv, xcpd

from neurovae.plan import block_files
from neurovae.plan.block_files import by_scan, columns, find, tr_of


def entry(path: Path, **more: Any) -> dict[str, Any]:
    return {"name": "rest", "type": "timeseries", "path": str(path), "entities": {}, **more}


def only(problems: list[str]) -> str:
    assert len(problems) == 1, problems
    return problems[0]


def keys(*people: str) -> list[tuple[str, str, str]]:
    return [(f"sub-{one}", f"sub-{one}_ses-", f"sub-{one}") for one in people]


def test_xcpd_files_with_sidecar_and_motion(tmp_path):
    for k, person in enumerate(("01", "02")):
        xcpd(tmp_path, person, k)
    files, problems = find(entry(tmp_path))
    assert not problems and [file.key for file in files] == ["sub-01", "sub-02"]
    assert all(file.motion.endswith("_task-rest_motion.tsv") for file in files)
    assert [tr_of(file) for file in files] == [(2.0, ""), (2.0, "")]
    assert columns(files[0].path) == NAMES


def test_cpac_files_have_names_in_their_last_comment(tmp_path):
    cpac(tmp_path, "0050003")
    files, problems = find(entry(tmp_path))
    assert not problems and files[0].key == "sub-0050003_ses-1" and files[0].entities["desc"] == "Mean"
    assert columns(files[0].path) == ["1", "2", "3", "4", "5"]


def test_1d_file_without_names_has_numbered_parcels(tmp_path):
    path = tmp_path / "sub-01" / "sub-01_task-rest_timeseries.1D"
    path.parent.mkdir()
    np.savetxt(path, courses(0))
    assert columns(str(path)) == ["001", "002", "003", "004", "005"]


def test_tables_of_confounds_are_never_a_block(tmp_path):
    confounds(tmp_path, "01")
    found = only(find(entry(tmp_path))[1])
    assert "1 tables of confounds (sub-01_task-rest_desc-confounds_timeseries.tsv), which are no parcels" in found
    xcpd(tmp_path, "01")
    files, problems = find(entry(tmp_path))
    assert not problems and len(files) == 1 and files[0].motion.endswith("desc-confounds_timeseries.tsv")


def test_gzipped_tables_and_arrays_are_found(tmp_path):
    write_tsv(tmp_path / "sub-01" / "func" / "sub-01_task-rest_atlas-HO_timeseries.tsv.gz", courses(0))
    (tmp_path / "sub-02").mkdir()
    np.save(tmp_path / "sub-02" / "sub-02_task-rest_atlas-HO_timeseries.npy", courses(1))
    files, problems = find(entry(tmp_path))
    assert not problems and [Path(file.path).suffix for file in files] == [".gz", ".npy"]
    assert columns(files[0].path) == NAMES and columns(files[1].path) is None


def test_several_parcellations_need_a_choice(tmp_path):
    xcpd(tmp_path, "01", atlas="Glasser")
    xcpd(tmp_path, "01", atlas="Gordon")
    assert "2 files of one run" in only(find(entry(tmp_path))[1])
    assert "which differ in seg: Glasser or Gordon; choose with entities" in only(find(entry(tmp_path))[1])
    files, problems = find(entry(tmp_path, entities={"seg": "Gordon"}))
    assert not problems and len(files) == 1
    assert "none of 2 files such as sub-01" in only(find(entry(tmp_path, entities={"seg": "HO"}))[1])


def test_several_tasks_need_a_choice(tmp_path):
    for task in ("rest", "movie"):
        write_tsv(tmp_path / "sub-01" / "func" / f"sub-01_task-{task}_timeseries.tsv", courses(0))
    assert "files of the tasks movie, rest; choose one" in only(find(entry(tmp_path))[1])


def test_missing_folder_and_folder_without_files(tmp_path):
    assert "folder '/no/where' not found; correct path" in only(find(entry(Path("/no/where")))[1])
    assert "no file sub-*_timeseries{.tsv,.tsv.gz,.1D,.npy} in" in only(find(entry(tmp_path))[1])


def test_runs_are_grouped_and_people_without_files_are_listed(tmp_path):
    for person in ("01", "03"):
        for run in (1, 2):
            write_tsv(tmp_path / f"sub-{person}" / f"sub-{person}_task-rest_run-{run}_timeseries.tsv", courses(run))
    files, problems = find(entry(tmp_path))
    assert not problems
    found, faults, notes = by_scan(files, keys("01", "02"), "rest")
    assert not faults and {scan: len(runs) for scan, runs in found.items()} == {"sub-01": 2}
    assert notes == [
        "rest: 1 without a file (sub-02); they do not have this block",
        "rest: files of 1 who are not in the cohort (sub-03)",
    ]


def test_only_session_is_used_where_the_cohort_has_none(tmp_path):
    cpac(tmp_path, "01")
    files = find(entry(tmp_path))[0]
    found, faults, _ = by_scan(files, keys("01"), "rest")
    assert not faults and list(found) == ["sub-01"]
    other = files[0]._replace(entities={**files[0].entities, "ses": "2"})
    faults = by_scan([*files, other], keys("01"), "rest")[1]
    assert "sub-01 has the sessions 1 and 2, and the cohort has none; choose one, as entities: {ses: 1}" in only(faults)


def test_files_of_strangers_alone(tmp_path):
    xcpd(tmp_path, "01")
    assert "no file is of a participant of the cohort" in only(by_scan(find(entry(tmp_path))[0], keys("7"), "rest")[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "RepetitionTime cannot be read"),
        ('{"RepetitionTime": "two"}', "RepetitionTime cannot be read"),
        ('{"RepetitionTime": 2000}', "RepetitionTime is 2000; give seconds"),
        ("[]", "RepetitionTime cannot be read"),
    ],
)
def test_faults_of_sidecars(tmp_path, text, message):
    path = xcpd(tmp_path, "01")
    path.with_suffix(".json").write_text(text)
    assert message in tr_of(find(entry(tmp_path))[0][0])[1]


def test_sampling_frequency_is_a_repetition_time(tmp_path):
    path = xcpd(tmp_path, "01")
    path.with_suffix(".json").write_text('{"SamplingFrequency": 0.5}')
    assert tr_of(find(entry(tmp_path))[0][0]) == (2.0, "")
    assert block_files.tr_of(block_files.File("a", {})) == (None, "")
