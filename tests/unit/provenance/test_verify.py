"""`verify` finds what Snakemake cannot: bytes that changed under the same name, size and time; and says what to do."""

import json
import os
import shutil
from pathlib import Path

import pytest
from project import CUT, PEOPLE, Copy, Project
from recorded import made, python  # noqa: F401

from neurovae.errors import InputError
from neurovae.provenance import record, verify

RESULT = "results/tiny/predict/predictions.tsv"
INPUT = "results/tiny/predict/voxels/predict.parquet"


def replaced(path: Path) -> None:
    """Another byte at the end, under the same size and time."""
    before = path.stat()
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def problems(folder: Path) -> list[str]:
    """What verify finds in a folder's results/tiny, without the count before and the advice after it."""
    try:
        verify.run(cohort=folder / "results" / "tiny")
    except InputError as error:
        return error.problems[1 : -1 - len(verify.ADVICE)]
    return []


def test_results_as_recorded_are_one_line(made: Path) -> None:  # noqa: F811
    done = python(made, "-m", "neurovae", "verify", "results/tiny")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(
        "results/tiny: as recorded: 1 results, 4 files that they were made from"
    )
    elsewhere = python(Path("/"), "-m", "neurovae", "verify", "--cohort", str(made / "results" / "tiny"))
    assert elsewhere.returncode == 0 and "as recorded: 1 results" in elsewhere.stdout


def test_times_that_a_copy_has_lost_are_restored_if_nothing_differs(made: Path, tmp_path: Path) -> None:  # noqa: F811
    copy = tmp_path / "copy"
    shutil.copytree(made / "results", copy / "results", copy_function=shutil.copyfile)
    before, after = (folder / RESULT for folder in (made, copy))
    assert before.stat().st_mtime_ns != after.stat().st_mtime_ns
    done = python(copy, "-m", "neurovae", "verify", "results/tiny", "--restore_times", "true")
    assert done.returncode == 0 and done.stdout.splitlines()[-1].endswith("1 files have their recorded time again")
    assert before.stat().st_mtime_ns == after.stat().st_mtime_ns
    replaced(copy / INPUT)
    os.utime(after)
    done = python(copy, "-m", "neurovae", "verify", "results/tiny", "--restore_times", "true")
    assert done.returncode == 1 and before.stat().st_mtime_ns != after.stat().st_mtime_ns


def test_a_copy_under_another_name_is_not_judged_by_the_original(made: Path) -> None:  # noqa: F811
    shutil.copytree(made / "results" / "tiny", made / "results" / "tiny2")
    (made / "results" / "tiny2" / "predict" / "predictions.tsv").write_text("garbage")
    done = python(made, "-m", "neurovae", "verify", "results/tiny2")
    assert done.returncode == 1 and "which is elsewhere" in done.stderr
    half = made / "results" / "tiny" / "predict" / ".provenance" / ".4711.predictions.tsv.json"
    half.write_text("{")  # of a job that was killed
    assert problems(made) == []
    half.with_name("predictions.tsv.json").write_text("{}")
    done = python(made, "-m", "neurovae", "verify", "results/tiny")
    assert done.returncode == 1 and "a record that cannot be read" in done.stderr


def test_a_result_and_an_input_with_other_bytes_are_named(made: Path) -> None:  # noqa: F811
    replaced(made / INPUT)
    assert problems(made) == [f"{INPUT}: changed since results were made from it; --forcerun {RESULT}"]
    replaced(made / RESULT)
    assert [line.split(":")[0] for line in problems(made)] == [RESULT, INPUT]
    done = python(made, "-m", "neurovae", "verify", "results/tiny")
    assert done.returncode == 1 and "results/tiny: 2 files differ from what was recorded:" in done.stderr
    (made / RESULT).unlink()
    (made / INPUT).unlink()
    assert all("missing" in line for line in problems(made)) and len(problems(made)) == 2


def test_files_and_folders_without_a_record_are_told_of(
    made: Path, capsys: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    (made / "results/tiny/notes.txt").write_text("mine")
    assert problems(made) == []
    assert "1 files have no record and are not compared: results/tiny/notes.txt" in capsys.readouterr().out
    record.place(made / RESULT).write_text("{")
    with pytest.raises(InputError, match="predictions.tsv.json: a record that cannot be read; delete it"):
        verify.run(cohort=made / "results" / "tiny")
    record.place(made / RESULT).unlink()
    with pytest.raises(InputError, match="no records of how results were made"):
        verify.run(cohort=made / "results" / "tiny")


def test_a_finished_run_is_as_recorded(finished: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert problems(finished.folder) == []
    said = capsys.readouterr().out.splitlines()[-1]
    assert f"of these {PEOPLE + 1} scans" in said and said.endswith(f"images, {PEOPLE} packed rows")
    assert "no record" not in said


def test_a_scan_replaced_under_its_size_and_time_is_found_and_remade(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    scan = project.bids / "sub-01" / "anat" / "sub-01_T1w.nii"
    replaced(scan)
    assert project.plan() == set(), "Snakemake sees it by itself: the trap is gone"
    (found,) = problems(project.folder)
    manifest = "results/tiny/preprocess/extract/0001.tsv"
    assert found == (
        f"../bids/sub-01/anat/sub-01_T1w.nii: changed since results were made from it; --forcerun {manifest}"
    )
    kept = {path: path.stat().st_mtime_ns for path in masks(project)}
    project.run("--forcerun", manifest, "--until", "register")
    assert {path.name for path in masks(project) if path.stat().st_mtime_ns != kept[path]} == {
        "sub-01_desc-brain_mask.nii.gz"
    }
    assert not any("sub-01_T1w.nii" in line and manifest in line for line in problems(project.folder))


def masks(project: Project) -> list[Path]:
    return sorted((project.results / "preprocess" / "derivatives").rglob("sub-??_desc-brain_mask.nii.gz"))


def test_an_image_a_row_and_a_table_that_were_changed(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    image = next((project.results / "preprocess" / "derivatives").rglob("sub-02_*desc-preproc_T1w.nii.gz"))
    replaced(image)
    sidecar = next((project.results / "preprocess" / "derivatives").rglob("sub-03_*desc-preproc_T1w.json"))
    said = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**said, "Images": dict.fromkeys(said["Images"], "0")}))
    table = project.bids / "participants.tsv"
    table.write_text(table.read_text().replace("sub-04\t", "sub-04\t1"))  # an age: folds look at none
    found = problems(project.folder)
    assert [line for line in found if line.startswith(f"{image}: differs from its sidecar")]
    assert [line for line in found if line.startswith("sub-03: packed from an image that no sidecar has")]
    named = [line for line in found if line.startswith("../bids/participants.tsv")]
    assert len(named) == 1 and "folds" not in named[0] and "--forcerun results/tiny/cohort/cohort.parquet" in named[0]
    assert len(found) == 4 and CUT not in str(found)
