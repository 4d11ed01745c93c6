"""Scans, ids, batches and tables as they are known when the Snakefile is read."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from bids_tree import DATA, ENV, ids, only, plant

from neurovae.cohort.check import check
from neurovae.errors import InputError
from neurovae.io import tables
from neurovae.plan import derivatives, index


def test_needs_no_third_party_package():
    """The launcher that reads the Snakefile has no pandas: -S hides site-packages."""
    code = "import neurovae.plan.index, neurovae.cohort.check, sys; assert not {'pandas', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-S", "-c", code], check=True, env=ENV)


def test_entities_sessions_and_ignored_folders(tmp_path):
    """Keys hold every entity; derivatives, sourcedata and hidden files are not scans."""
    cohort = plant(tmp_path, ["sub-01", "sub-02", "sub-03"])
    for place in (
        "sub-01/ses-1/anat/sub-01_ses-1_acq-mp_rec-x_run-2_T1w.nii",
        "derivatives/sub-01/anat/sub-01_desc-y_T1w.nii.gz",
        "sourcedata/sub-09/anat/sub-09_T1w.nii.gz",
        "sub-02/.git/sub-02_run-9_T1w.nii.gz",
        "sub-02/anat/._sub-02_T1w.nii.gz",
        "sub-02/func/sub-02_task-rest_bold.nii.gz",
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    scans = index.read(cohort)
    assert [scan.scan for scan in scans] == ["sub-01", "sub-01_ses-1_acq-mp_rec-x_run-2", "sub-02", "sub-03"]
    assert scans[1][1:5] == ("sub-01", "1", "mp", "2")
    assert scans[0].path == f"{tmp_path}/sub-01/anat/sub-01_T1w.nii.gz"
    assert [scan.scan for scan in index.read({**cohort, "suffix": "bold"})] == ["sub-02_task-rest"]


def test_relative_path_stays_relative(tmp_path, monkeypatch):
    """No absolute path enters the graph."""
    plant(tmp_path / "in", ["sub-01"])
    monkeypatch.chdir(tmp_path)
    assert index.read({"bids": "./in/"})[0].path == "in/sub-01/anat/sub-01_T1w.nii.gz"


def test_scan_without_row_and_row_without_scan_are_left_out(tmp_path):
    """Either is left out with its reason, and look-alike ids are pointed at."""
    table = "participant_id\tage\nsub-1\t20\n02\t30\nsub-9\t40\n"
    found = index.look(plant(tmp_path, ["sub-01", "sub-02"], table=table))
    assert [scan.scan for scan in found.scans] == ["sub-02"] and not found.problems
    assert found.excluded == [
        ("sub-01", "sub-01", "no row in participants.tsv; row 2 is of sub-1: use the same participant ID in both"),
        (
            None,
            "sub-1",
            "participants.tsv, row 2: no T1w scan; there is one of sub-01: use the same participant ID in both",
        ),
        (None, "sub-9", "participants.tsv, row 4: no T1w scan"),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sub-02", "Sub-02/"),
        ("sub-02", "SUB2/"),
        ("sub-02/anat/sub-02_T1w.nii.gz", "sub-02/anat/sub-02_t1w.nii.gz"),
        ("sub-02/anat/sub-02_T1w.nii.gz", "sub-02/anat/sub-02-T1w.nii.gz"),
        ("sub-02/anat/sub-02_T1w.nii.gz", "sub-02/anat/sub-02_T1w (1).nii.gz"),
        ("sub-02/anat", "sub-02/Ses-1/"),
    ],
)
def test_a_name_that_is_nearly_bids_is_named_beside_the_row_without_scan(tmp_path, old, new):
    cohort = plant(tmp_path, ["sub-01", "sub-02"])
    (tmp_path / old).rename(tmp_path / new)
    if new == "sub-02/Ses-1/":
        (tmp_path / new / "anat").mkdir()
        (tmp_path / new / "sub-02_T1w.nii.gz").rename(tmp_path / new / "anat/sub-02_T1w.nii.gz")
    reason = f"no T1w scan; '{new}' is not named as sub-*/[ses-*/]*/*_T1w.nii[.gz]: rename it"
    assert index.look(cohort).excluded == [(None, "sub-02", f"participants.tsv, row 3: {reason}")]


def test_no_id_matches(tmp_path):
    """Ids that match nowhere are a problem, shown from both sides."""
    message = only(check(plant(tmp_path, ["sub-01"], table="participant_id\tage\nsub-1\t20\n")))
    assert "participants.tsv" in message and "none of the 1 scans" in message
    assert "sub-01" in message and "rows of sub-1 " in message and "use the same participant ID" in message


@pytest.mark.parametrize("name", ["sub-01;rm", "sub-..", "sub-$(id)", "sub-", "sub-a b", "sub-a_b"])
def test_folder_that_is_no_id(tmp_path, name):
    """A folder name that could not be a file name or shell word is refused."""
    cohort = plant(tmp_path, ["sub-01", "sub-02", "sub-03"])
    (tmp_path / name / "anat").mkdir(parents=True)
    message = only(check(cohort))
    assert repr(name) in message and "letters or digits; rename the folder" in message
    with pytest.raises(InputError):
        index.read(cohort)


@pytest.mark.parametrize("name", ["../x", "sub-1/2", "a;b", "sub_01", "$HOME", ""])
def test_row_that_has_no_id(tmp_path, name):
    """So is such an id in a table."""
    table = f"participant_id\tage\nsub-01\t1\nsub-02\t2\n{name}\t3\nsub-03\t4\n"
    message = only(check(plant(tmp_path, ["sub-01", "sub-02", "sub-03"], table=table)))
    assert message.startswith("participants.tsv, row 4: participant_id is ")
    assert (repr(name) if name else "empty") in message and "give sub- and letters or digits" in message


def test_two_files_of_one_key_and_misnamed_files(tmp_path):
    """Ambiguous, misnamed and dangling files are each named."""
    cohort = plant(tmp_path, ["sub-01", "sub-02", "sub-03"])
    for name in ("sub-01_T1w.nii", "sub-02_T1w.nii.gz", "sub-01_acq-a b_T1w.nii.gz"):
        (tmp_path / "sub-01/anat" / name).touch()
    (tmp_path / "sub-03/anat/sub-03_run-1_T1w.nii.gz").symlink_to(tmp_path / "nowhere")
    one, two, three, four = sorted(check(cohort))
    assert "sub-01_T1w.nii" in one + two + three and "keep one of the two" in one + two + three
    assert sum("not named sub-01[_acq-<label>]" in text for text in (one, two, three)) == 2
    assert "sub-03_run-1_T1w.nii.gz" in four and "link to a file that is not there" in four


def test_no_scan_says_what_was_looked_for(tmp_path):
    """The wrong suffix is told with those that exist."""
    message = only(check(plant(tmp_path, ["sub-01"], ending="_T2w.nii.gz")))
    assert f"{tmp_path}: no scan found as sub-*/[ses-*/]*/*_T1w.nii[.gz]" in message
    assert "images there end in T2w" in message and "correct cohort.bids or cohort.suffix" in message


@pytest.mark.parametrize(
    "cohort, found",
    [({}, "none"), ({"bids": "a", "table": "b"}, "bids and table")],
)
def test_exactly_one_source(cohort, found):
    """None or two sources are refused."""
    also = ", or cohort.participants alone for a cohort without images" if found == "none" else ""
    assert only(check(cohort)) == f"cohort: found {found} of bids, files, table, simulate; give exactly one{also}"


def test_folder_or_table_not_found(tmp_path):
    """A wrong path is refused."""
    assert "folder '/no/where' not found; correct the path" in only(check({"bids": "/no/where"}))
    assert "no.tsv: table not found (/no/no.tsv); give the table" in only(check({"table": "/no/no.tsv"}))
    cohort = plant(tmp_path, ["sub-01"])
    (tmp_path / "participants.tsv").unlink()
    assert "participants.tsv: table not found" in only(check(cohort))


def test_simulated_cohort_reads_nothing():
    """The demo is known before it exists."""
    cohort = {"name": "demo", "simulate": {"people": 3, "voxel_mm": 4, "seed": 0}, "site": "site", "folds": {"n": 3}}
    scans = index.read(cohort)
    assert [(scan.scan, scan.site) for scan in scans] == [("sub-001", "A"), ("sub-002", "B"), ("sub-003", "A")]
    assert scans[0].path == "results/demo/cohort/bids/sub-001/anat/sub-001_T1w.nii.gz"
    assert index.inputs(cohort) == ["results/demo/cohort/bids/participants.tsv"] and check(cohort) == []
    assert "set folds.stratify to null" in only(check({**cohort, "folds": {"n": 3, "stratify": "sex"}}))


def test_plain_table(tmp_path):
    """A row and a path per scan, paths relative to the table."""
    lines = ["path;participant_id;session;run;age", "a.nii;01;1;;30", "b.nii.gz;sub-01;ses-2;1;31", "n/a;02;;;9"]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    for name in ("a.nii", "b.nii.gz"):
        (tmp_path / name).touch()
    found = index.look({"table": str(tmp_path / "t.csv")})
    assert [scan.scan for scan in found.scans] == ["sub-01_ses-1", "sub-01_ses-2_run-1"] and not found.problems
    assert found.scans[0].path == str(tmp_path / "a.nii")
    assert found.excluded == [("sub-02", "sub-02", "t.csv, row 4: no path")]


def test_plain_table_bad_rows(tmp_path):
    """Each bad row of a plain table is named."""
    (tmp_path / "a.nii").touch()
    (tmp_path / "b.nii").touch()
    rows = ["a.nii,1", "c.nii,2", "x.png,3", "b.nii,1", "a.nii,4", "b.nii,../5"]
    (tmp_path / "t.csv").write_text("path,participant_id\n" + "\n".join(rows))
    problems = index.look({"table": str(tmp_path / "t.csv")}).problems
    expected = [
        "t.csv, row 3: path is 'c.nii', there is no such file",
        "t.csv, row 4: path is 'x.png'; give a .nii, .nii.gz or .mgz file",
        "t.csv, row 5: sub-1 was already given in row 2; keep one",
        "t.csv, row 6: path 'a.nii' is already that of sub-1; give each scan its own file, or source_volume",
        "t.csv, row 7: participant_id is '../5'; give sub- and letters",
    ]
    assert all(found.startswith(start) for found, start in zip(problems, expected, strict=True)), problems
    (tmp_path / "t.csv").write_text("file,participant_id\na.nii,1\n")
    assert "t.csv, row 1: no column 'path'; there are file, participant_id" in only(
        index.look({"table": str(tmp_path / "t.csv")}).problems
    )


def test_plain_table_of_volumes_and_masks(tmp_path):
    """Volumes of a 4-D file count from 0; each is one scan's, and exists; masks go with the method that uses them."""
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 3), np.uint8), np.eye(4)), tmp_path / "all.nii.gz")
    (tmp_path / "m.nii.gz").touch()
    rows = ["all.nii.gz,1,0,m.nii.gz", "all.nii.gz,2,2.0,m.nii.gz", "all.nii.gz,3,1,m.nii.gz"]
    (tmp_path / "t.csv").write_text("path,participant_id,source_volume,mask\n" + "\n".join(rows))
    scans = index.look({"table": str(tmp_path / "t.csv")}).scans
    assert [(scan.scan, scan.volume) for scan in scans] == [("sub-1", "0"), ("sub-2", "2"), ("sub-3", "1")]
    assert {scan.mask for scan in scans} == {str(tmp_path / "m.nii.gz")}
    sources = [(scan.path, scan.mask) for scan in scans]
    settings = {"cohort": {}, "preprocess": {"extract": {"method": "deepbet"}}}
    assert "method is deepbet; set it to mask" in only(derivatives.check(settings, sources)[0])
    settings["preprocess"]["extract"]["method"] = "mask"
    assert derivatives.check(settings, sources)[0] == []
    assert "1 of 4 scans have none" in only(derivatives.check(settings, [*sources, ("x.nii", "")])[0])
    rows = ["all.nii.gz,4,0,n/a", "all.nii.gz,5,0,", "all.nii.gz,6,3,", "all.nii.gz,7,x,", "all.nii.gz,8,1,no.nii"]
    (tmp_path / "t.csv").write_text("path,participant_id,source_volume,mask\n" + "\n".join(rows))
    expected = ["row 3: volume 0 of 'all.nii.gz' is already that of sub-4", "row 4: source_volume is '3'",
                "row 5: source_volume is 'x', the file has 3 volumes; give a number from 0 to 2",
                "row 6: mask is 'no.nii', there is no such file"]  # fmt: skip
    problems = index.look({"table": str(tmp_path / "t.csv")}).problems
    assert all(line in problem for line, problem in zip(expected, problems, strict=True)), problems


CLEAN = "participant_id\tage\tname\nsub-01\t20.5\tÉva\nsub-02\tn/a\tx\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + CLEAN.encode(),
        CLEAN.replace("\n", "\r\n").encode(),
        CLEAN.replace("\n", "\r").encode(),
        CLEAN.replace("\t", ";").encode(),
        CLEAN.replace("\t", ",").encode(),
        CLEAN.replace("\t", " ; ").replace("n/a", "NaN").encode(),
        b"\xef\xbb\xbf" + CLEAN.replace("\t", '";"').replace("\n", '"\r\n"').join('""')[:-2].encode(),
        CLEAN.replace("n/a", "").encode(),
    ],
    ids=["bom", "crlf", "cr", "semicolon", "comma", "spaces", "quoted-bom-crlf", "empty"],
)
def test_any_spreadsheet_reads_like_the_clean_table(tmp_path, data):
    """BOM, line ends, separators, quotes and spellings of missing make no difference."""
    (tmp_path / "clean.tsv").write_bytes(CLEAN.encode())
    (tmp_path / "other.tsv").write_bytes(data)
    clean, none = tables.read(str(tmp_path / "clean.tsv"), file="p.tsv", rename={})
    other, problems = tables.read(str(tmp_path / "other.tsv"), file="p.tsv", rename={})
    assert other == clean and problems == none == []
    assert clean.rows[1] == ("p.tsv", 3, {"participant_id": "sub-02", "age": None, "name": "x"})


@pytest.mark.parametrize(
    "data, where, what, remedy",
    [
        ("a\tb\n1\t2\n3\n", "p.tsv, row 3", "1 cells, the header has 2", "write n/a"),
        ("a\tb\ta\n1\t2\t3\n", "p.tsv, row 1", "two columns are called 'a'", "rename one"),
        ("a\told\n1\t2\n", "p.tsv, row 1", "two columns are called 'a' (from 'a', 'old')", "keep one"),
        ("", "p.tsv", "the file is empty", "give a header"),
        ("a\nx\né\n".encode("latin-1"), "p.tsv, row 3", "byte 0xe9 is not UTF-8", "save the table as UTF-8"),
    ],
)
def test_broken_table(tmp_path, data, where, what, remedy):
    """Ragged rows, repeated columns, an empty file and a wrong encoding are named."""
    (tmp_path / "p.tsv").write_bytes(data if isinstance(data, bytes) else data.encode())
    message = only(tables.read(str(tmp_path / "p.tsv"), file="p.tsv", rename={"old": "a"})[1])
    assert message.startswith(f"{where}: ") and what in message and remedy in message


def test_many_alike_problems_are_counted(tmp_path):
    """A long list is cut and counted."""
    (tmp_path / "p.tsv").write_text("a\tb\n" + "1\n" * 60)
    problems = tables.read(str(tmp_path / "p.tsv"), file="p.tsv", rename={})[1]
    assert len(problems) == 51 and problems[-1] == "p.tsv: and 10 more of this kind"


def test_numbers():
    """Only plain decimal numbers are numbers."""
    assert [tables.number(text) for text in ("1", "-1.5e3", ".5")] == [1, -1500, 0.5]
    assert not any(tables.number(text) for text in ("1_0", "inf", "1e999", "0x1", "1,5", "١", "nan", "1 2"))


def test_batches_keep_their_people_when_others_come():
    """New people move nobody; too full a batch says what to set."""

    def scans(count: int) -> list[index.Scan]:
        return [index.Scan(f"{p}_run-{r}", p, "", "", r, "", "n/a", "n/a") for p in ids(count) for r in "12"]

    before, after = index.batches(scans(200), 32), index.batches(scans(300)[::-1], 32)
    assert all(set(held) <= set(after[name]) for name, held in before.items())
    assert all(held == sorted(held) for held in after.values()) and sum(map(len, after.values())) == 600
    assert all(len(name) == 4 and name.isdigit() and int(name) < 32 for name in after)
    assert len(index.batches(scans(2), 1000)) == 2
    with pytest.raises(InputError, match=r"preprocess.batches is 1: batch 0000 would hold 600 .* set .* to 12"):
        index.batches(scans(300), 1)


def test_digest_follows_people_and_sites_only():
    """Another session or path of a person is no change."""
    scan = index.Scan("sub-1", "sub-1", "", "", "", "a.nii", "A", "n/a")
    again = scan._replace(scan="sub-1_ses-2", session="2", path="b.nii")
    assert index.digest([scan]) == index.digest([again, scan])
    assert index.digest([scan]) != index.digest([scan._replace(site="B")])
    one, two = (index.Index(scans, [], [], [], []) for scans in ([scan], [scan, again]))
    assert index.listing(one) != index.listing(two) != index.listing(two._replace(excluded=[(None, "sub-2", "x")]))
    assert index.people([scan, again._replace(site="B")]) == [("sub-1", "A+B", "n/a")]


def test_a_thousand_people(tmp_path):
    """A thousand people are read, checked and spread evenly."""
    cohort = plant(tmp_path, ids(1000))
    assert len(index.read(cohort)) == 1000 and check(cohort) == []
    assert max(map(len, index.batches(index.read(cohort), 32).values())) < 60


@pytest.mark.parametrize("name, people", [("ixi", 120), ("ds000011", 14)])
def test_real_data(name, people):
    """The real folders are read without complaint."""
    if not (DATA / name).is_dir():
        pytest.skip(f"{name}: the real scans are not here ({DATA / name})")
    score = {"name": "age", "type": "continuous"}
    cohort = {"name": name, "bids": str(DATA / name), "scores": [score], "folds": {"n": 5}}
    cohort["confounds"] = [{"name": "sex", "type": "categorical"}]
    found = index.look(cohort)
    assert len(found.scans) == people and found.excluded == [] and check(cohort, found) == []
    assert json.dumps(found.files) == json.dumps([str(DATA / name / "participants.tsv")])
