"""Records: a result's command, files, versions and code are noted; `provenance` follows them to the raw data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from project import ROOT, Project
from recorded import COMMAND, made, python  # noqa: F401

from neurovae.errors import InputError
from neurovae.plan import fingerprint
from neurovae.provenance import record, trace

NO_NUMBERS = {"jsonargparse", "jsonschema", "yaml"}  # they read options; no number depends on them


def test_a_record_says_what_was_run_and_read(made: Path) -> None:  # noqa: F811
    known = record.read(made / "results/tiny/predict/predictions.tsv")
    assert known is not None
    read = {f"results/tiny/predict/{name}/predict.parquet" for name in ("vae/seed-0", "voxels")}
    read |= {f"results/tiny/{name}.parquet" for name in ("cohort/cohort", "preprocess/qc")}
    assert known["inputs"] == {path: record.sha256(made / path) for path in read}  # of two, only a folder was named
    assert known["sha256"] == record.sha256(made / known["path"]) and known["command"] == "predict.summary"
    assert known["arguments"] == COMMAND[2:] and known["packages"]["pandas"] == pd.__version__
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert known["commit"].startswith(git.stdout.strip() or "not known")


def test_full_paths_are_noted_from_the_working_directory(made: Path) -> None:  # noqa: F811
    words = [str(made / word) if word.startswith("results/") else word for word in COMMAND]
    assert python(made, *words).returncode == 0
    known = record.read(made / "results/tiny/predict/predictions.tsv")
    assert known is not None and known["arguments"] == COMMAND[2:] and str(made) not in json.dumps(known)
    text = record.relative('{"bids": "' + str(Path.cwd().parent) + '/bids", "what": "a / b", "n": 1}')
    assert text == '{"bids": "../bids", "what": "a / b", "n": 1}'


def test_only_the_first_of_several_processes_writes_a_record(made: Path) -> None:  # noqa: F811
    place = record.place(made / "results/tiny/predict/predictions.tsv")
    place.unlink()
    assert python(made, *COMMAND, WORLD_SIZE="2", RANK="1").returncode == 0 and not place.exists()
    assert python(made, *COMMAND, WORLD_SIZE="2", RANK="0").returncode == 0 and place.exists()


def test_a_command_that_fails_leaves_the_old_record_which_no_longer_fits(made: Path) -> None:  # noqa: F811
    table = made / "results/tiny/predict/predictions.tsv"
    before = record.read(table)
    words = [word.replace('["vae"]', '["gone"]') for word in COMMAND]
    assert python(made, *words).returncode != 0 and record.read(table) == before
    table.write_text("by hand")
    root, name = trace.locate(table)
    assert trace.chain(root, name)["results"][name]["now"] == "CHANGED since it was recorded"
    table.unlink()
    with pytest.raises(InputError, match=r"missing; by its record, predict.summary made it"):
        trace.locate(table)


WATCHED = """
from pathlib import Path
from neurovae.provenance import record
from neurovae.io.files import write_json
from neurovae.interpret.images import write_folder

def folder():
    with write_folder(Path("results/maps")) as hidden:
        write_json(hidden / "a.json", 1)
        write_json(hidden / "b.json", 2)

watch = record.Watch(["--table", "t.tsv", "--out_folder", "results/maps", "--derivatives", "d"])
folder()
write_json(Path("d/sub-01/anat/x.json"), 1)
write_json(Path("results/tiny/benchmarks/s.json"), 1)
open("sub-02.nii").read()
open("t.tsv").read()
__import__("subprocess").run("echo more >> t.tsv", shell=True)
watch.write("first")
Path("results/maps/.snakemake_timestamp").touch()  # as Snakemake does
watch = record.Watch(["--maps", "results/maps"])
for name in "ab":
    open(f"results/maps/{name}.json").read()
write_json(Path("results/o.json"), 1)
watch.write("second")
"""


def test_folders_scans_and_what_changes_while_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "sub-02.nii").write_text("scan")
    (tmp_path / "t.tsv").write_text("table")
    done = python(tmp_path, "-c", WATCHED)
    assert done.returncode == 0, done.stderr
    records = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob(".provenance/*")}
    assert records == {"results/.provenance/maps.json", "results/.provenance/o.json.json"}
    maps, other = record.read(tmp_path / "results/maps"), record.read(tmp_path / "results/o.json")
    assert maps is not None and other is not None and list(maps["files"]) == ["a.json", "b.json"]
    assert maps["inputs"] == {"sub-02.nii": record.sha256(tmp_path / "sub-02.nii"), "t.tsv": None}
    assert other["inputs"] == {"results/maps": maps["sha256"]}
    lines = list(trace.tree_lines(trace.chain(tmp_path, "results/o.json")))
    assert any("t.tsv  None" in line and "CHANGED while it was read" in line for line in lines), lines


def test_a_touched_file_is_hashed_once_more_and_then_known(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    path = made / "results/tiny/predict/predictions.tsv"
    os.utime(path, ns=(1, 1))
    before = record.sha256(path)
    assert record.digest(path) == before
    monkeypatch.setattr(record, "sha256", lambda path: pytest.fail("it was hashed again"))
    assert record.digest(path) == before


def test_every_package_that_is_imported_is_noted() -> None:
    modules = [".".join(path.relative_to(ROOT / "src").with_suffix("").parts) for path in (ROOT / "src").rglob("*.py")]
    third = {name for module in modules for name in fingerprint.imports(module, ROOT / "src")[1]}
    assert third - set(sys.stdlib_module_names) - NO_NUMBERS <= set(record.PACKAGES)


def test_a_file_without_record_is_refused_by_name(made: Path) -> None:  # noqa: F811
    done = python(made, "-m", "neurovae", "provenance", "results/tiny/predict/voxels/predict.parquet")
    assert done.returncode == 1 and "voxels/predict.parquet: no record of how it was made" in done.stderr
    done = python(made, "-m", "neurovae", "provenance", "results/nowhere")
    assert done.returncode == 1 and "results/nowhere: there is no such file" in done.stderr


def test_the_tree_says_what_was_made_anew_since(made: Path, tmp_path: Path) -> None:  # noqa: F811
    done = python(tmp_path, "-m", "neurovae", "provenance", "results/tiny/predict/predictions.tsv")
    assert done.returncode == 0 and "predictions.tsv: as recorded" in done.stdout, done.stderr
    assert "seed-0/predict.parquet" in done.stdout and "(raw)" in done.stdout and "--seeds [0]" in done.stdout
    assert "made by     python -m neurovae predict.summary (rule predictions)" in done.stdout
    told = python(tmp_path, "-m", "neurovae", "provenance", "results/tiny/predict/predictions.tsv", "--json", "true")
    assert len(json.loads(told.stdout)["raw"]) == 4
    known = record.read(made / "results/tiny/predict/predictions.tsv")
    assert known is not None
    name = "results/tiny/predict/voxels/predict.parquet"
    other = {**known, "path": name, "sha256": "0" * 64, "inputs": {}, "command": "predict.voxels"}
    record.write_json(record.place(made / name), other)
    done = python(tmp_path, "-m", "neurovae", "provenance", "results/tiny/predict/predictions.tsv")
    assert "MADE AGAIN since: it is 000000000000 now" in done.stdout


def test_the_report_is_followed_to_every_scan_and_table(finished: Project) -> None:
    root, name = trace.locate(finished.results / "report" / "report.html")
    found = trace.chain(root, name)
    scans = {f"../{path.relative_to(finished.bids.parent)}" for path in finished.bids.glob("sub-*/anat/*")}
    assert scans | {"../bids/participants.tsv"} <= set(found["raw"]) and len(scans) == 25
    assert {one["now"] for one in found["results"].values()} == {"as recorded"}
    assert all(None not in one["inputs"].values() for one in found["results"].values())
    trained = found["results"]["results/tiny/train/vae/fold-0_seed-0/weights.safetensors"]
    assert trained["command"] == "train.fit" and "torch" in trained["packages"]
