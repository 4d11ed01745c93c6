"""Several scans of one session: what cross-sectional tests use, and what is said about it."""

from pathlib import Path

import pandas as pd
import pytest
from bids_tree import only, plant

from neurovae.design.design import first_scans, in_order
from neurovae.plan import index

PEOPLE = ["sub-01", "sub-02", "sub-03"]


def planted(root: Path, *endings: str, people: list[str] = PEOPLE) -> index.Index:
    """The index of a folder in which each person has these scans."""
    cohort = plant(root, PEOPLE, ending=endings[0])
    for person in people:
        for ending in endings:
            (root / person / "anat" / f"{person}{ending}").touch()
    return index.look(cohort)


def used(found: index.Index) -> list[str]:
    """What cross-sectional tests use."""
    rows = [scan._asdict() | {"session_order": found.order[scan.scan]} for scan in found.scans]
    return first_scans(in_order(pd.DataFrame(rows).sample(frac=1, random_state=0)))["scan"].tolist()


@pytest.mark.parametrize(
    ("endings", "first", "others"),
    [
        (["_ce-gd_run-1_T1w.nii.gz", "_run-1_T1w.nii.gz"], "run-1", "ce-gd_run-1 of 3"),
        (["_acq-a_ce-gd_T1w.nii.gz", "_acq-z_T1w.nii.gz"], "acq-z", "acq-a_ce-gd of 3"),
        (["_acq-hippo_T1w.nii.gz", "_acq-mprage_T1w.nii.gz"], "acq-hippo", "acq-mprage of 3"),
        (["_echo-1_T1w.nii.gz", "_echo-2_T1w.nii.gz"], "echo-1", "echo-2 of 3"),
        (["_rec-norm_T1w.nii.gz", "_T1w.nii.gz"], "the one without further entities", "rec-norm of 3"),
        (["_run-10_T1w.nii.gz", "_run-2_T1w.nii.gz"], "run-2", "run-10 of 3"),
    ],
)
def test_the_note_names_what_the_tests_use(tmp_path: Path, endings: list[str], first: str, others: str) -> None:
    """As in smriprep's issue 104; scans with contrast agent come last, whatever their labels."""
    found = planted(tmp_path, *endings)
    note = only(found.notes)
    assert note.startswith("3 people have several scans in one session (sub-01, sub-02, sub-03): ")
    assert f"first usable one by its labels, {first} of 3, before {others}; " in note
    entities = "" if first.startswith("the one") else f"_{first}"
    assert used(found) == [f"{person}{entities}" for person in PEOPLE]


def test_one_scan_in_each_session_needs_no_note(tmp_path: Path) -> None:
    assert planted(tmp_path, "_T1w.nii.gz").notes == []
    root = tmp_path / "visits"
    for person in PEOPLE:
        for session in ("1", "2"):
            (root / person / f"ses-{session}" / "anat").mkdir(parents=True)
            (root / person / f"ses-{session}" / "anat" / f"{person}_ses-{session}_T1w.nii.gz").touch()
    (root / "participants.tsv").write_text("participant_id\tage\n" + "".join(f"{p}\t30\n" for p in PEOPLE))
    assert index.look({"name": "x", "bids": str(root)}).notes == []


def test_contrast_agent_in_some_people_only_is_named(tmp_path: Path) -> None:
    found = planted(tmp_path, "_T1w.nii.gz")
    (tmp_path / "sub-02/anat/sub-02_T1w.nii.gz").rename(tmp_path / "sub-02/anat/sub-02_ce-gd_T1w.nii.gz")
    found = index.look({"name": "x", "bids": str(tmp_path)})
    assert "1 of 3 people have scans with contrast agent (ce-) only (sub-02)" in only(found.notes)
    assert planted(tmp_path / "all", "_ce-gd_T1w.nii.gz").notes == []
