"""Which session comes first, which ids and sessions meet no scan, and which files of a BIDS folder are scans."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bids_tree import only, plant

from neurovae.cohort.check import check
from neurovae.cohort.table import build
from neurovae.cohort.warn import warnings
from neurovae.design.complete_cases import complete
from neurovae.design.design import first_scans, in_order
from neurovae.design.rows import sessions
from neurovae.plan import config, index
from neurovae.plan.graph import fold_section

PEOPLE = ["sub-01", "sub-02", "sub-03"]


def visits(root: Path, labels: list[str], people: list[str] = PEOPLE, **more) -> dict:
    """Plant people, each with one scan per session."""
    cohort = plant(root, people)
    for person in people:
        (root / person / "anat" / f"{person}_T1w.nii.gz").unlink()
        for label in labels:
            add(root, person, label)
    return {**cohort, **more}


def add(root: Path, person: str, label: str) -> None:
    """One scan of a session."""
    folder = root / person / f"ses-{label}" / "anat"
    folder.mkdir(parents=True)
    (folder / f"{person}_ses-{label}_T1w.nii.gz").touch()


def firsts(cohort: dict) -> tuple[set[str], list[str]]:
    """Sessions that cross-sectional tests use, and the notes."""
    found = index.look(cohort)
    assert not found.problems, found.problems
    return {scan.session for scan in found.scans if found.order[scan.scan] == 1}, found.notes


def table(root: Path, labels: list[str], column: str = "acq_time", values: list[str] | None = None) -> None:
    """Write sessions.tsv in the order of the labels."""
    lines = [f"{p}\tses-{a}\t{b}" for p in PEOPLE for a, b in zip(labels, values or ["n/a"] * len(labels), strict=True)]
    (root / "sessions.tsv").write_text("\n".join([f"participant_id\tsession_id\t{column}", *lines]) + "\n")


def test_words_without_dates_are_named(tmp_path):
    """`post` comes before `pre` in the alphabet: what was taken is said, with the remedy."""
    found, notes = firsts(visits(tmp_path, ["pre", "post"]))
    assert found == {"post"}
    note = only(notes)
    assert (
        "sessions are ordered alphabetically, which need not be the order in time" in note
        and "3 people: ses-post before ses-pre" in note
    )
    assert "cross-sectional tests use ses-post" in note and "cohort.session" in note and "acq_time" in note


@pytest.mark.parametrize("labels", [["1", "2"], ["M06", "M12"], ["2", "10"], ["v1", "V2"]])
def test_numbers_are_in_order_without_a_word(tmp_path, labels):
    """ses-2 comes before ses-10."""
    assert firsts(visits(tmp_path, labels)) == ({labels[0]}, [])


def test_first_sessions_that_differ_are_counted(tmp_path):
    """Who missed the first visit is tested at the second: said in the dry run, and in the row."""
    cohort = visits(tmp_path, ["1", "2"])
    (tmp_path / "sub-03/ses-1/anat/sub-03_ses-1_T1w.nii.gz").unlink()
    assert "the first session of each person: ses-1 of 2, ses-2 of 1 people" in only(index.look(cohort).notes)


def test_the_order_of_the_sessions_table(tmp_path):
    """Its rows are in time, unless they are in the order of the alphabet or against the numbers: then it is said."""
    cohort = visits(tmp_path / "a", ["pre", "post"])
    table(tmp_path / "a", ["pre", "post"])
    assert firsts(cohort) == ({"pre"}, [])
    table(tmp_path / "a", ["post", "pre"])
    found, notes = firsts(cohort)
    assert found == {"post"} and "the sessions table, which is alphabetical" in only(notes)
    cohort = visits(tmp_path / "b", ["1", "2"])
    table(tmp_path / "b", ["2", "1"])
    found, notes = firsts(cohort)
    assert found == {"2"} and "although the numbers in the labels differ" in only(notes)


@pytest.mark.parametrize(
    "column, pre, post",
    [
        ("acq_time", "2011-03-01T10:00:00", "2011-09-01T10:00:00"),
        ("acq_time", "2011-03-01T08:10:00", "2011-03-01T16:20:00"),
        ("acq_time", "1877-12-30T08:10:00.123Z", "1878-01-02"),
        ("acq_time", "18901014T080000", "18901014T123300"),
        ("acq_time", "2011-03-01T23:30:00+02:00", "2011-03-01T22:00:00Z"),
        ("acq_time", "2011-03-01T23:30:00-05:00", "2011-03-02T05:00:00+0000"),
        ("Session_Date", "02/2011", "01/2012"),
        ("scan_date", "0", "182.5"),
    ],
)
def test_dates_decide(tmp_path, column, pre, post):
    """Whatever the labels and the order of the table: the earlier date is first, also within one day."""
    cohort = visits(tmp_path, ["pre", "post"])
    table(tmp_path, ["post", "pre"], column, [post, pre])
    assert firsts(cohort) == ({"pre"}, [])


def test_dates_that_do_not_decide_are_named(tmp_path):
    """One missing, unreadable or the same: the next rule, and a word."""
    cohort = visits(tmp_path, ["pre", "post"])
    for values, word in (
        (["2011-03-01", "n/a"], "only some of the sessions have a date"),
        (["03/04/2011", "05/06/2012"], "dates such as '05/06/2012' cannot be read"),
        (["2011-03-01", "2011-03-01"], "two sessions have the same date"),
    ):
        table(tmp_path, ["pre", "post"], "acq_time", values)
        found, notes = firsts(cohort)
        assert found == {"pre"} and word in only(notes), notes


def test_acq_time_of_the_scans_tables(tmp_path):
    """BIDS keeps times beside the scans, too; these tables are inputs."""
    cohort = visits(tmp_path, ["pre", "post"])
    for person in PEOPLE:
        for label, when in (("pre", "2011-03-01T10:00:00"), ("post", "2011-04-01T10:00:00")):
            stem = f"{person}_ses-{label}"
            text = f"filename\tacq_time\nanat/{stem}_T1w.nii.gz\t{when}\nfunc/{stem}_bold.nii.gz\tn/a\n"
            (tmp_path / person / f"ses-{label}" / f"{stem}_scans.tsv").write_text(text)
    assert firsts(cohort) == ({"pre"}, [])
    assert sum(path.endswith("_scans.tsv") for path in index.inputs(cohort)) == 6


def test_a_named_session(tmp_path):
    """Only its scans are for cross-sectional tests; who lacks it is counted, a wrong name is refused."""
    cohort = visits(tmp_path, ["pre", "post"], session="ses-pre")
    add(tmp_path, "sub-03", "x")
    (tmp_path / "sub-03/ses-pre/anat/sub-03_ses-pre_T1w.nii.gz").unlink()
    found, notes = firsts(cohort)
    assert found == {"pre"} and "1 of 3 people have no session 'pre' (sub-03)" in only(notes)
    message = only(index.look({**cohort, "session": "Pre"}).problems)
    assert "nobody has a session 'Pre'; did you mean 'pre'? there are post (3), pre (2), x (1)" in message


def test_tests_use_the_first_in_time_and_say_which(tmp_path):
    """The order reaches the table, the cases of a test, and the row of a test."""
    cohort = visits(tmp_path, ["pre", "post"], scores=[{"name": "age", "type": "continuous"}])
    table(tmp_path, ["post", "pre"], "acq_time", ["2012-01-01", "2011-01-01"])
    found = index.look(cohort)
    joined = in_order(build(cohort, found, dict.fromkeys(PEOPLE, 0)))
    assert first_scans(joined)["session"].tolist() == ["pre"] * 3
    values = np.array([1.0, 2, np.nan, 4, 5, 6])
    rows, _ = complete(joined, values, [], per_person=True)
    assert joined["session"].iloc[rows].tolist() == ["pre", "post", "pre"]
    assert sessions(joined, rows) == "pre (2), post (1)" and sessions(joined, rows[:1]) == "pre"
    cohort["session"] = "post"
    named = in_order(build(cohort, index.look(cohort), dict.fromkeys(PEOPLE, 0)))
    rows, notes = complete(named, np.where(named["scan"] == "sub-02_ses-post", np.nan, 1.0), [], per_person=True)
    assert named["session"].iloc[rows].tolist() == ["post", "post"]
    assert notes == ["left out: 1 without the session in cohort.session"]
    assert sessions(pd.DataFrame({"session": ["", ""]}), np.arange(2)) is None


@pytest.mark.parametrize("near", ["1", "001", "M6"])
def test_session_labels_that_nearly_match(tmp_path, near):
    """One person's rows of ses-1 for a folder ses-01 are refused by row, not read as missing."""
    right = "m06" if near == "M6" else "01"
    cohort = visits(tmp_path, [right], scores=[{"name": "moca", "type": "count"}])
    rows = [f"{p}\t{near if p == 'sub-02' else right}\t{k}" for k, p in enumerate(PEOPLE)]
    (tmp_path / "sessions.tsv").write_text("participant_id\tsession_id\tmoca\n" + "\n".join(rows) + "\n")
    message = only(check(cohort))
    assert message.startswith(f"sessions.tsv, row 3: no scan is of sub-02_ses-{near}, but one is of sub-02_ses-{right}")
    assert "write both in the same way" in message


def test_sessions_that_match_nowhere(tmp_path):
    """The message is about the labels, not about an empty score; a few rows of nobody are a note."""
    cohort = visits(tmp_path, ["bl"], scores=[{"name": "moca", "type": "count"}])
    lines = [f"{p}\tM00\t{k}" for k, p in enumerate(PEOPLE)]
    (tmp_path / "sessions.tsv").write_text("participant_id\tsession_id\tmoca\n" + "\n".join(lines) + "\n")
    first = check(cohort)[0]
    assert "none of its 3 sessions has a scan; rows are of ses-M00, scans of ses-bl; write the session" in first
    lines = [f"{p}\tbl\t{k}" for k, p in enumerate(PEOPLE)] + ["sub-99\tbl\t5"]
    (tmp_path / "sessions.tsv").write_text("participant_id\tsession_id\tmoca\n" + "\n".join(lines) + "\n")
    assert check(cohort) == [] and index.look(cohort).notes == [
        "sessions.tsv: 1 of 4 rows belong to no scan (sub-99_ses-bl)"
    ]


def test_sessions_under_another_name(tmp_path):
    """`session` for `session_id` (a BIDS example had it): the remedy is a rename, not fewer rows."""
    cohort = visits(tmp_path, ["1", "2"], PEOPLE[:1])
    (tmp_path / "sub-01/sub-01_sessions.tsv").write_text("session\tx\nses-1\t1\nses-2\t2\n")
    first = index.look(cohort).problems[0]
    assert first.startswith("sub-01/sub-01_sessions.tsv, row 1: no column 'session_id'; did you mean 'session'?")
    cohort["rename"] = {"sessions.tsv:session": "session_id"}
    assert not index.look(cohort).problems
    (tmp_path / "participants.tsv").write_text("participant_id\tVisit\nsub-01\t1\nsub-01\t2\n")
    assert "('Visit' holds sessions? map it to session_id in cohort.rename)" in only(index.look(cohort).problems)


def test_people_of_other_tables_that_nearly_match(tmp_path):
    """sub-1 for sub-01 in a questionnaire drops nobody silently."""
    cohort = {**plant(tmp_path, PEOPLE), "scores": [{"name": "moca", "type": "count"}]}
    (tmp_path / "phenotype").mkdir()
    (tmp_path / "phenotype/moca.tsv").write_text("participant_id\tmoca\nsub-1\t1\nsub-02\t2\n03\t3\n")
    message = only(check(cohort))
    assert message.startswith("phenotype/moca.tsv, row 2: no scan is of sub-1, but one is of sub-01, which has no row")


def test_ids_that_differ_in_zeros_only_are_named(tmp_path):
    """7 and 007 are two people, and said to be."""
    cohort = plant(tmp_path, ["sub-7", "sub-007", "sub-8"])
    note = only(index.look(cohort).notes)
    assert note.startswith(
        "sub-007 (participants.tsv, row 3) and sub-7 (participants.tsv, row 2) are read as different"
    )
    (tmp_path / "t.csv").write_text("participant_id,path\n7,a.nii\n007,b.nii\n")
    for name in "ab":
        (tmp_path / f"{name}.nii").touch()
    assert "are read as different people" in only(index.look({"table": str(tmp_path / "t.csv")}).notes)


def test_only_magnitude_images_of_parts(tmp_path):
    """Real, imaginary and phase images are left out by name."""
    cohort = plant(tmp_path, ["sub-01"])
    for part in ("mag", "phase", "real", "imag"):
        (tmp_path / f"sub-01/anat/sub-01_acq-x_part-{part}_T1w.nii.gz").touch()
    found = index.look(cohort)
    assert [scan.scan for scan in found.scans] == ["sub-01", "sub-01_acq-x_part-mag"]
    assert [scan for scan, _, _ in found.excluded] == [
        f"sub-01_acq-x_part-{part}" for part in ("imag", "phase", "real")
    ]
    assert all("is not a magnitude image" in reason for _, _, reason in found.excluded)


def test_plus_signs_and_capital_endings(tmp_path):
    """BIDS allows + in labels, and file systems any case in endings."""
    cohort = plant(tmp_path, ["sub-01", "sub-a+b"])
    for name in ("sub-01_acq-mprage+grappa_T1w.NII.GZ", "sub-01_run-2_T1w.Nii"):
        (tmp_path / "sub-01/anat" / name).touch()
    found = index.look(cohort)
    assert [scan.scan for scan in found.scans] == ["sub-01", "sub-01_acq-mprage+grappa", "sub-01_run-2", "sub-a+b"]
    assert not found.problems and found.scans[1].acquisition == "mprage+grappa"


@pytest.mark.parametrize(
    "text, left",
    [
        ("*_run-2_T1w.nii.gz\n", {"sub-01_run-2"}),
        ("# none\n\nsub-02/\n", {"sub-02"}),
        ("sub-02\n", {"sub-02"}),
        ("/sub-01/anat/*\n", {"sub-01", "sub-01_run-2"}),
        ("anat/*run-2*\n", set()),
        ("**/anat/*run-[12]*\n", {"sub-01_run-2"}),
        ("sub-0?\n!sub-02\n", {"sub-01", "sub-01_run-2"}),
        ("*.nii.gz\n!*_run-2_*\n", {"sub-01", "sub-02"}),
        ("\ufeffsub-02/\r\n", {"sub-02"}),
    ],
)
def test_bidsignore(tmp_path, text, left):
    """Files that the folder's own list leaves out are left out, and named in excluded.tsv."""
    cohort = plant(tmp_path, ["sub-01", "sub-02"])
    (tmp_path / "sub-01/anat/sub-01_run-2_T1w.nii.gz").touch()
    (tmp_path / ".bidsignore").write_bytes(text.encode())
    found = index.look(cohort)
    gone = {scan: reason for scan, _, reason in found.excluded if scan}
    assert set(gone) == left and all("is listed in .bidsignore" in reason for reason in gone.values())
    assert {scan.scan for scan in found.scans} == {"sub-01", "sub-01_run-2", "sub-02"} - left


def test_what_is_left_out_is_said_before_the_first_job(tmp_path):
    """Counts and the first reason; each one stands in excluded.tsv."""
    cohort = plant(tmp_path, ["sub-01", "sub-02"], table="participant_id\nsub-01\nsub-03\n")
    lines = warnings(cohort, index.look(cohort))
    assert any(line.startswith("1 scan is left out (sub-02): no row in participants.tsv") for line in lines)
    assert any(line.startswith("1 row has no scan (sub-03): participants.tsv, row 3: no T1w scan") for line in lines)


def test_folds_know_codes_for_missing_only_where_they_change_people_or_sites(tmp_path):
    """A code of a score does not train anew; one of the site does, and the folds see the same sites as the cohort."""
    cohort = {
        **plant(tmp_path, PEOPLE, table="participant_id\tx\tage\nsub-01\tNA\t999\nsub-02\tDE\t3\nsub-03\tFR\t4\n")
    }
    given = {"name": "x", "bids": cohort["bids"], "site": "x", "folds": {"n": 3}}
    cohort = config.validate({"cohort": given}, config.load_schema())["cohort"]
    plain = fold_section(cohort)
    assert fold_section({**cohort, "missing": {"age": [999]}}) == plain
    kept = fold_section({**cohort, "not_missing": {"x": ["NA"]}})
    assert kept["not_missing"] == {"x": ["NA"]} and {scan.site for scan in index.read(kept)} == {"NA", "DE", "FR"}
