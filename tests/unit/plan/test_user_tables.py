"""Regional volumes, override of the quality control, names of an atlas: read as every table is, and matched by id."""

from types import SimpleNamespace

import pandas as pd
import pytest
from bids_tree import only

from neurovae.audit.nuisances import read_regions
from neurovae.errors import InputError
from neurovae.io import missing
from neurovae.plan import user_tables

SCANS = [(f"sub-0{k}_ses-{s}", f"sub-0{k}_ses-{s}", f"sub-0{k}") for k in (1, 2, 3) for s in (1, 2)]
TABLE = pd.DataFrame(
    {"scan": [k[0] for k in SCANS], "person": [k[2] for k in SCANS], "session": ["1", "2"] * 3, "age": 1.0}
)


def volumes(folder, text: str, codes: missing.Codes = missing.BUILTIN) -> user_tables.Volumes:
    """Read volumes of three people with two sessions each."""
    (folder / "v.csv").write_text(text)
    return user_tables.volumes(folder / "v.csv", SCANS, codes)


def test_a_text_cell_does_not_drop_its_region(tmp_path):
    """It is refused by row; a column of text is left out and named."""
    text = 'participant_id,site,hippocampus,pons\n01,A,3.1,5\n02,B,n.d.,6\n03,A,"3,3",7\n'
    found = volumes(tmp_path, text)
    assert found.problems == [
        "v.csv, row 3: hippocampus is 'n.d.'; give a number or n/a",
        "v.csv, row 4: hippocampus is '3,3'; give a number (with a decimal point) or n/a",
    ]
    found = volumes(tmp_path, text.replace("n.d.", "n/a").replace('"3,3"', "3.3"))
    assert found.regions == ["hippocampus", "pons"] and found.problems == []
    assert found.values["sub-01_ses-2"] == {"hippocampus": 3.1, "pons": 5}
    assert found.values["sub-02_ses-1"] == {"hippocampus": None, "pons": 6}
    assert found.notes == ["v.csv: column 'site' is left out: text, not numbers"]


def test_ids_without_a_match_are_counted_and_named(tmp_path):
    """sub-1 for sub-01 is refused; strangers and people without volumes are notes; nobody at all is a problem."""
    found = volumes(tmp_path, "participant_id,pons\nsub-1,5\nsub-02,6\nsub-03,7\n")
    assert only(found.problems).startswith("v.csv, row 2: no scan is of sub-1, but sub-01_ses-2 has no row here; write")
    found = volumes(tmp_path, "participant_id,pons\n01,5\n02,6\n77,7\n")
    assert found.notes == [
        "v.csv: 1 of 3 rows belong to no scan (sub-77)",
        "v.csv: 2 of 6 scans have no row (sub-03_ses-1, sub-03_ses-2)",
    ]
    assert "no row is of a scan: rows are of sub-88" in only(volumes(tmp_path, "participant_id,pons\n88,5\n").problems)


def test_volumes_of_sessions(tmp_path):
    """With session_id each session has its own row; without, a person's row holds for all of them."""
    found = volumes(tmp_path, "participant_id;session_id;pons\n01;1;5\n01;ses-2;4,5\n02;n/a;6\n")
    assert found.values == {
        "sub-01_ses-1": {"pons": 5}, "sub-01_ses-2": {"pons": 4.5},
        "sub-02_ses-1": {"pons": 6}, "sub-02_ses-2": {"pons": 6},
    }  # fmt: skip
    assert "v.csv, row 3: sub-01 was already given in row 2" in only(
        volumes(tmp_path, "participant_id,pons\n01,5\n01,6\n").problems
    )


def test_codes_for_missing_hold_for_volumes(tmp_path):
    """cohort.missing extends the list for every table."""
    codes = missing.codes({"missing": [-9]})
    assert volumes(tmp_path, "participant_id,pons\n01,-9\n02,6\n", codes).values["sub-01_ses-1"] == {"pons": None}


def test_codes_for_missing_among_volumes_are_named(tmp_path):
    """With rows and remedy; volumes without codes give no note."""
    scans = [(f"sub-{k:02d}", f"sub-{k:02d}") for k in range(12)]
    plain = [f"{k:02d},{5 + k / 7:.2f},{300 + 11 * k}" for k in range(12)]
    (tmp_path / "v.csv").write_text("\n".join(["participant_id,pons,insula", *plain]) + "\n")
    assert user_tables.volumes(tmp_path / "v.csv", scans).notes == []
    plain[3], plain[8] = "03,-9,333", "08,-9,9999"
    (tmp_path / "v.csv").write_text("\n".join(["participant_id,pons,insula", *plain]) + "\n")
    assert user_tables.volumes(tmp_path / "v.csv", scans).notes == [
        "v.csv, rows 5, 10: pons is -9, a usual code for missing; if it is a code, set cohort.missing: {pons: [-9]}",
        "v.csv, row 10: insula is 9999, a usual code for missing; if it is a code, set cohort.missing: {insula: "
        "[9999]}",
    ]
    codes = missing.codes({"missing": [-9, 9999]})
    assert user_tables.volumes(tmp_path / "v.csv", scans, codes).notes == []


def test_volumes_beside_the_joined_table(tmp_path):
    """The audit has the same numbers, and refuses a region with the name of another column."""
    (tmp_path / "v.tsv").write_text("scan\tpons\n" + "".join(f"{keys[0]}\t{k}\n" for k, keys in enumerate(SCANS)))
    joined, regions = read_regions(tmp_path / "v.tsv", TABLE)
    assert regions == ["pons"] and joined["pons"].tolist() == [0, 1, 2, 3, 4, 5]
    (tmp_path / "v.tsv").write_text("scan\tage\nsub-01_ses-1\t3\n")
    with pytest.raises(InputError, match="the cohort table has a column 'age' too; rename it"):
        read_regions(tmp_path / "v.tsv", TABLE)


@pytest.mark.parametrize(
    "row, message",
    [
        ("sub-9\tno\tx", "row 3: no scan 'sub-9'; give a key as in preprocess/qc.tsv"),
        ("sub-1\tno\tx", "row 3: no scan 'sub-1'; did you mean 'sub-01'? give a key"),
        ("sub-02\tno\tx", "row 3: sub-02 was already given in row 2; keep one"),
        ("sub-01\tmaybe\tx", "row 3: keep is 'maybe'; give yes or no"),
        ("sub-01\t\tx", "row 3: keep is None; give yes or no"),
    ],
)
def test_override_rows(tmp_path, row, message):
    """Every row is a scan, once, with yes or no."""
    (tmp_path / "o.tsv").write_text(f"scan\tkeep\treason\nsub-02\tYES\t\n{row}\n")
    verdicts, problems = user_tables.override(tmp_path / "o.tsv", ["sub-01", "sub-02"])
    assert only(problems).startswith(f"o.tsv, {message}") and verdicts == {"sub-02": (True, "no reason given")}


def test_a_region_may_be_called_na(tmp_path):
    """Names of regions are names; an empty one, an index twice or half an index are refused."""
    (tmp_path / "a.tsv").write_text("index\tname\n1\tNA\n2.0\tNone\n")
    assert [row["name"] for row in user_tables.atlas_names(tmp_path / "a.tsv")[0]] == ["NA", "None"]
    (tmp_path / "a.tsv").write_text("index\tname\n1\tx\n1\ty\n1.5\tz\n3\t\n")
    one, two, three = user_tables.atlas_names(tmp_path / "a.tsv")[1]
    assert "row 3: index 1 was already given in row 2" in one and "row 4: index is '1.5'" in two and "no name" in three


def test_all_of_them_before_the_first_job(tmp_path):
    """Bad rows of all three: one list."""
    (tmp_path / "atlas.tsv").write_text("index\tname\nx\ty\n")
    (tmp_path / "no.tsv").write_text("scan\tkeep\treason\nsub-9\tyes\tz\n")
    found = SimpleNamespace(scans=[SimpleNamespace(keys=keys) for keys in SCANS])
    config = {
        "preprocess": {"qc": {"override": str(tmp_path / "no.tsv")}},
        "interpret": {"atlas": str(tmp_path / "atlas.nii.gz")},
        "audit": {"volumes": str(tmp_path / "v.xlsx")},
        "cohort": {},
    }
    (tmp_path / "v.xlsx").write_bytes(b"PK\x03\x04")
    problems, _ = user_tables.problems(config, found)
    assert [problem.split(":")[0] for problem in problems] == ["no.tsv, row 2", "atlas.tsv, row 2", "v.xlsx"]


def test_volumes_of_another_session_and_in_other_spellings(tmp_path):
    """A row of session 2 was given to the scan of session 1; a column of 3.100,5 vanished with a note."""
    (tmp_path / "v.tsv").write_text("person\tsession\tpons\n" + "".join(f"{keys[2]}\t77\t5\n" for keys in SCANS))
    assert user_tables.volumes(tmp_path / "v.tsv", SCANS).values == {}
    for cell in ("3.100,5", "3,100,200", "12 %", "3100 mm3"):
        (tmp_path / "v.tsv").write_text("scan\tpons\n" + "".join(f"{keys[0]}\t{cell}\n" for keys in SCANS))
        problem = user_tables.volumes(tmp_path / "v.tsv", SCANS).problems[0]
        assert problem.startswith(f"v.tsv, row 2: pons is '{cell}'; give a number")
