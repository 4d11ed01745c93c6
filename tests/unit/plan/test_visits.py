"""Clinical tables with a row per visit: which row a scan is given, and what is refused."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from bids_tree import only
from studies import NP3, adni, bids_sessions, quoted, updrs3

from neurovae.cohort import folds, table
from neurovae.cohort.check import check
from neurovae.plan import config, dates, index, totals, visit_rows

MOTOR = {"name": "motor", "column": "NP3TOT", "type": "bounded", "bounds": [0, 132]}


def cohort_of(bids, entries, scores, **more) -> dict:
    """The cohort's section, with the schema's defaults."""
    section = {"name": "x", "bids": str(bids), "visits": entries, "scores": scores, "folds": {"n": 3}, **more}
    return config.validate({"cohort": section, "audit": {}}, config.load_schema())["cohort"]


def values(cohort, column) -> dict:
    """Scan -> the text of a column."""
    found = index.look(cohort)
    assert not found.problems, found.problems
    rows = {scan.scan: index.lookup(found.tables, column, scan.keys) for scan in found.scans}
    return {scan: row[0][0] if row else None for scan, row in rows.items()}


@pytest.fixture
def ppmi(tmp_path):
    """Three people of PPMI with scans at baseline and year 1; medication OFF and ON at V04, one item not rated."""
    people = {
        f"sub-{n}": {"ses-BL": "2011-02-20T10:00:00", "ses-V04": "2012-02-25T10:00:00"} for n in (3001, 3002, 3003)
    }
    bids = bids_sessions(tmp_path / "bids", people)
    rows = [
        updrs3(3001, "BL", "02/2011", 1),
        updrs3(3002, "BL", "03/2011", 2),
        updrs3(3003, "BL", "02/2011", 0, NP3GAIT=101),
    ]
    rows += [updrs3(n, "V04", "02/2012", 3, page="NUPDRS3", state="OFF") for n in (3001, 3002, 3003)]
    rows += [updrs3(n, "V04", "02/2012", n - 3000, page="NUPDRS3A", state="ON") for n in (3001, 3002, 3003)]
    rows += [updrs3(9999, "BL", "02/2011", 4)]
    file = quoted(tmp_path / "MDS-UPDRS_Part_III.csv", rows)
    return bids, {"file": str(file), "person": "PATNO", "visit": "EVENT_ID", "date": "INFODT", "missing": [101]}


def test_ppmi_rows_of_the_same_visit(ppmi):
    """Each scan has the total of its own visit and state; PATNO is found without its prefix."""
    bids, entry = ppmi
    cohort = cohort_of(bids, [{**entry, "where": {"PAG_NAME": "NUPDRS3", "PDSTATE": ["OFF", None]}}], [MOTOR])
    assert values(cohort, "NP3TOT") == {
        "sub-3001_ses-BL": "33", "sub-3001_ses-V04": "99", "sub-3002_ses-BL": "66", "sub-3002_ses-V04": "99",
        "sub-3003_ses-BL": None, "sub-3003_ses-V04": "99",
    }  # fmt: skip


@pytest.mark.parametrize("on", ["ON", True])
def test_a_bare_on_is_true_for_yaml(ppmi, on):
    """`PDSTATE: ON` without quotes arrives as true and means the word all the same."""
    bids, entry = ppmi
    cohort = cohort_of(bids, [{**entry, "where": {"PDSTATE": on}}], [MOTOR])
    assert [values(cohort, "NP3TOT")[f"sub-300{n}_ses-V04"] for n in (1, 2, 3)] == ["33", "66", "99"]


def test_two_states_of_one_table(ppmi):
    """The same table twice, with a prefix: ON and OFF are two scores of one scan."""
    bids, entry = ppmi
    entries = [{**entry, "where": {"PDSTATE": state}, "prefix": f"{state}_"} for state in ("ON", "OFF")]
    cohort = cohort_of(bids, entries, [{**MOTOR, "name": name, "column": f"{name}_NP3TOT"} for name in ("ON", "OFF")])
    assert check(cohort) == [
        "MDS-UPDRS_Part_III.csv (visits 2): OFF is constant, '99' for everyone; drop it from cohort.scores"
    ]
    assert (
        values(cohort, "ON_NP3TOT")["sub-3002_ses-V04"] == "66"
        and values(cohort, "OFF_NP3TOT")["sub-3002_ses-V04"] == "99"
    )


def test_duplicates_are_refused_or_resolved(ppmi):
    """Two rows of one visit: named with both rows; `keep` takes the first or last in the file, dates being equal."""
    bids, entry = ppmi
    problems = check(cohort_of(bids, [entry], [MOTOR]))
    assert len(problems) == 3 and problems[0].startswith(
        "MDS-UPDRS_Part_III.csv, row 8: sub-3001_ses-V04 has 2 rows of visit V04 (rows 5 and 8);"
    )
    assert "keep: first or keep: last" in problems[0]
    kept = {keep: values(cohort_of(bids, [{**entry, "keep": keep}], [MOTOR]), "NP3TOT") for keep in ("first", "last")}
    assert kept["first"]["sub-3001_ses-V04"] == "99" and kept["last"]["sub-3001_ses-V04"] == "33"


def test_totals_and_missing_items(ppmi):
    """No total where an item is missing, or the sum of 32 items times 33/32; 101 (unable to rate) is never added."""
    bids, entry = ppmi
    entry = {**entry, "where": {"PDSTATE": ["OFF", None]}}
    item = {"name": "motor", "type": "bounded", "bounds": [0, 132], "sum_of": NP3, "item_bounds": [0, 4]}
    assert values(cohort_of(bids, [entry], [item]), "motor")["sub-3003_ses-BL"] is None
    found = values(cohort_of(bids, [entry], [{**item, "max_missing": 0.1}]), "motor")
    assert found["sub-3001_ses-BL"] == "33" and found["sub-3003_ses-BL"] == "0" and found["sub-3003_ses-V04"] == "99"
    told = index.look(cohort_of(bids, [entry], [{**item, "max_missing": 0.1}])).notes
    assert any("1 totals are prorated and 0 are missing" in line and "up to 3 of 33" in line for line in told), told
    undeclared = {**entry, "missing": []}
    assert "NP3GAIT is '101'; give a number from 0 to 4, or list it under missing" in only(
        check(cohort_of(bids, [undeclared], [item]))
    )
    unbound = {key: value for key, value in item.items() if key != "item_bounds"}
    assert "NP3GAIT is 101, the median of the items of 'motor' is 3" in only(
        check(cohort_of(bids, [undeclared], [unbound]))
    )


@pytest.mark.parametrize(
    "given, share, expected",
    [
        ([1, 2, None, 3], 0, None),
        ([1, 2, None, 3], 0.25, 8.0),
        ([1, None, None, 3], 0.25, None),
        ([None] * 4, 0.9, None),
        ([1, 2, 3, 4], 0, 10),
    ],
)
def test_prorated_total(given, share, expected):
    """(1 + 2 + 3) times 4/3 is 8; beyond the share there is no total."""
    assert totals.total({"max_missing": share}, given) == expected


@pytest.mark.parametrize(
    "more, what",
    [
        ({"sum_of": ["NP3SPCH", "NP3GIAT"]}, "1 missing here: no column 'NP3GIAT'; did you mean 'NP3GAIT'?"),
        ({"sum_of": ["NP3SPCH", "NP3SPCH"]}, "names NP3SPCH twice"),
        ({"sum_of": ["NP3SPCH", "NP3GAIT"], "column": "NP3TOT"}, "has column and sum_of"),
        ({"sum_of": ["NP3SPCH", "NP3GAIT"], "type": "count", "max_missing": 0.5}, "prorated and not whole numbers"),
        ({"sum_of": ["NP3SPCH", "NP3GAIT"], "name": "NP3TOT"}, "there is a column of this name"),
    ],
)  # fmt: skip
def test_totals_that_cannot_be(ppmi, more, what):
    """What cannot be summed is named."""
    bids, entry = ppmi
    score = {"name": "motor", "type": "continuous", **more}
    assert any(what in line for line in check(cohort_of(bids, [{**entry, "keep": "first"}], [score])))


@pytest.fixture
def alzheimer(tmp_path):
    """Three people of ADNI; the visits of the second lie 20 days before and 10 days after the scan."""
    days = {"ses-M000": "2006-01-01", "ses-M012": "2007-01-01"}
    table = "participant_id\trid\n" + "".join(f"sub-ADNI002S{n:04d}\t{n}\n" for n in (295, 413, 559))
    bids = bids_sessions(tmp_path / "bids", {f"sub-ADNI002S{n:04d}": days for n in (295, 413, 559)}, table)
    rows = [adni(295, "bl", "2005-12-30", 29, 8.0), adni(295, "m12", "2007-01-03", 28, -4)]
    rows += [
        adni(413, "bl", "2005-12-12", 27, 9.0),
        adni(413, "m06", "2006-01-11", 26, 9.5),
        adni(413, "m12", "2007-08-01", 20, 15.0),
    ]
    rows += [
        adni(559, "bl", "2006-01-01", -1, 7.5),
        adni(559, "uns1", "2006-12-22", 25, 12.0),
        adni(559, "uns1", "2007-01-11", 24, 13.0),
    ]
    return bids, {
        "file": str(quoted(tmp_path / "MMSE.csv", rows)),
        "person": "RID",
        "same_as": "rid",
        "date": "EXAMDATE",
        "missing": [-4, -1],
    }


SCORES = [
    {"name": "mmse", "column": "MMSCORE", "type": "bounded", "bounds": [0, 30]},
    {"name": "adas", "column": "TOTAL13", "type": "continuous"},
]


def test_adni_by_mapped_visits(alzheimer):
    """RID through a column of participants.tsv, session M012 as visit m12; -4 and -1 are missing."""
    bids, entry = alzheimer
    entry = {**entry, "visit": "VISCODE2", "sessions": {"M000": "bl", "M012": "m12"}}
    cohort = cohort_of(bids, [entry], SCORES)
    assert list(values(cohort, "MMSCORE").values()) == ["29", "28", "27", "20", None, None]
    assert list(values(cohort, "TOTAL13").values()) == ["8.0", None, "9.0", "15.0", "7.5", None]
    told = index.look(cohort).notes
    assert any("1 of 6 scans have no row" in line and "no row of visit m12: 1" in line for line in told)
    assert any(
        "1 of 5 scans are more than 180 days from the row that they are given (-20 to +212 days)" in line
        for line in told
    )


@pytest.mark.parametrize(
    "direction, expected",
    [("both", ["29", "28", "26", None, None, "25"]), ("before", ["29", None, "27", None, None, "25"])],
)
def test_nearest_in_time(alzheimer, direction, expected):
    """Within 30 days: +10 beats -20 unless only rows before count; of -10 and +10 the earlier is taken."""
    bids, entry = alzheimer
    entry = {**entry, "max_days": 30, "direction": direction}
    cohort = cohort_of(bids, [entry], SCORES)
    assert list(values(cohort, "MMSCORE").values()) == expected
    matches = {match.scan.split("002S")[1]: match for match in index.look(cohort).visit_rows}
    assert (
        matches["0413_ses-M000"].days == (10 if direction == "both" else -20) and matches["0559_ses-M012"].days == -10
    )
    assert "+212 days" in matches["0413_ses-M012"].reason or "+212" not in matches["0413_ses-M012"].reason
    assert matches["0413_ses-M012"].row is None and matches["0413_ses-M012"].reason.startswith("the nearest row is")


def test_same_visit_first_then_nearest(alzheimer):
    """With both, the row of the visit is taken where it lies within max_days, otherwise the nearest that does."""
    bids, entry = alzheimer
    entry = {**entry, "visit": "VISCODE2", "sessions": {"M000": "bl", "M012": "m12"}, "max_days": 30}
    found = {
        match.scan.split("002S")[1]: (match.visit, match.by, match.days)
        for match in index.look(cohort_of(bids, [entry], SCORES)).visit_rows
    }
    assert found["0413_ses-M000"] == ("bl", "visit", -20) and found["0559_ses-M012"] == ("uns1", "date", -10)
    assert found["0413_ses-M012"] == (None, "", None)


def test_sessions_that_nearly_match(alzheimer):
    """M012 and m12 are named as look-alikes; nobody's score is missing without a word."""
    bids, entry = alzheimer
    problem = only(check(cohort_of(bids, [{**entry, "visit": "VISCODE2"}], SCORES)))
    assert (
        problem == "MMSE.csv: session 'M012' has no row for 2 scans, but visit 'm12' looks like it; "
        'write sessions: {"M012": "m12"} if they are the same'
    )


def test_ids_that_match_nowhere(alzheimer):
    """RID held against participant_id: both sides are shown, and the remedy."""
    bids, entry = alzheimer
    problem = only(check(cohort_of(bids, [{**entry, "same_as": None, "max_days": 30}], SCORES)))
    assert (
        "no scan's person is in column 'RID'" in problem
        and "'ADNI002S0295'" in problem
        and "rows of '295'" in problem
        and "same_as" in problem
    )


@pytest.mark.parametrize(
    "more, what",
    [
        ({"person": "PTNO"}, "person: no column 'PTNO'; there are EXAMDATE"),
        ({"where": {"PHASE": "ADNI1"}}, "where of 'PHASE': no column 'PHASE'; did you mean 'Phase'?"),
        ({"where": {"Phase": "ADNIGO"}}, "no row has 'ADNIGO' in column 'Phase'; there are 'ADNI1'"),
        ({"same_as": "RID"}, "same_as: no column 'RID'; did you mean 'rid'?"),
        ({"date": None}, "max_days is given without date"),
        ({"date_format": "%m/%d/%Y"}, "MMSE.csv, row 2: EXAMDATE is '2005-12-30', which is not read as a date"),
        ({"sessions": {"M000": "bl"}}, "sessions is given without visit"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit(alzheimer, more, what):
    """Columns, values and settings that do not fit are named before the first job."""
    bids, entry = alzheimer
    problems = check(cohort_of(bids, [{**entry, "max_days": 30, **more}], SCORES))
    assert any(what in line for line in problems), problems


def test_scans_without_dates(alzheimer, tmp_path):
    """Nearest in time needs dates of scans; a column that is not there is named."""
    bids, entry = alzheimer
    for file in bids.glob("sub-*/*_sessions.tsv"):
        file.write_text(file.read_text().replace("acq_time", "scanned"))
    problem = check(cohort_of(bids, [{**entry, "max_days": 30}], SCORES))[0]
    assert "no scan has one; give acq_time" in problem and "cohort.scan_date" in problem
    cohort = cohort_of(bids, [{**entry, "max_days": 30}], SCORES, scan_date="scanned")
    assert list(values(cohort, "MMSCORE").values())[:2] == ["29", "28"]


def test_days_since_entry(tmp_path):
    """OASIS-3 counts days since entry, for scans and visits; a table without dates has one row per person."""
    bids = bids_sessions(tmp_path / "bids", {f"sub-OAS3000{n}": {"ses-d0129": "", "ses-d2340": ""} for n in (1, 2, 3)})
    for file in bids.glob("sub-*/*_sessions.tsv"):
        file.write_text("session_id\tdays\nses-d0129\t129\nses-d2340\t2340\n")
    rows = [
        {"OASISID": f"OAS3000{n}", "days_to_visit": f"{day:04d}", "MMSE": 20 + n + day // 1000}
        for n in (1, 2, 3)
        for day in (0, 339, 2200)
    ]
    entry = {
        "file": str(quoted(tmp_path / "UDSb4.csv", rows)),
        "person": "OASISID",
        "date": "days_to_visit",
        "max_days": 365,
    }
    once = {
        "file": str(quoted(tmp_path / "demo.csv", [{"OASISID": f"OAS3000{n}", "EDUC": 10 + n} for n in (1, 2, 3)])),
        "person": "OASISID",
    }
    cohort = cohort_of(
        bids, [entry, once], [{"name": "mmse", "column": "MMSE", "type": "continuous"}], scan_date="days"
    )
    assert list(values(cohort, "MMSE").values()) == ["21", "23", "22", "24", "23", "25"]
    assert list(values(cohort, "EDUC").values()) == ["11", "11", "12", "12", "13", "13"]
    assert [match.days for match in index.look(cohort).visit_rows[:2]] == [-129, -140]


def test_the_cohorts_table(alzheimer, tmp_path):
    """cohort.parquet has the days from the scan to the score, visits.tsv the row of each scan."""
    bids, entry = alzheimer
    cohort = cohort_of(bids, [{**entry, "max_days": 30}], SCORES)
    folds.run(cohort=cohort, out=tmp_path / "folds.tsv")
    table.run(cohort=cohort, folds=tmp_path / "folds.tsv", out=tmp_path / "c.parquet", excluded=tmp_path / "e.tsv",
              matched=tmp_path / "visits.tsv", source=tmp_path / "s")  # fmt: skip
    people = pd.read_parquet(tmp_path / "c.parquet").set_index("scan")
    assert people["mmse"].iloc[:3].tolist() == [29, 28, 26] and people["days_mmse"].iloc[:3].tolist() == [-2, 2, 10]
    assert pd.isna(people["adas"].iloc[1]) and pd.isna(people["days_adas"].iloc[1])
    given = pd.read_csv(tmp_path / "visits.tsv", sep="\t", na_values="n/a")
    assert given["row"].iloc[:3].tolist() == [2, 3, 5] and given["by"].iloc[0] == "date" and len(given) == 6


@pytest.mark.parametrize("name, fixture, expected", [
    ("ppmi", "ppmi", ["33", "99", "66", "99", "0", "99"]), ("adni", "alzheimer", ["29", None, "27", None, None, "25"]),
])  # fmt: skip
def test_documented_examples(name, fixture, expected, request, monkeypatch):
    """The configurations of docs/how-to/inputs.md, read from the folder that holds the tables."""
    bids, _ = request.getfixturevalue(fixture)
    monkeypatch.chdir(bids.parent)
    text = (Path(__file__).parents[3] / "docs" / "how-to" / "inputs.md").read_text(encoding="utf-8")
    parts = [yaml.safe_load(part)["cohort"] for part in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    given = next(part for part in parts if part["name"] == name)
    cohort = config.validate({"cohort": {**given, "folds": {"n": 3}}, "audit": {}}, config.load_schema())["cohort"]
    assert check(cohort) == []
    assert list(values(cohort, {"ppmi": "motor", "adni": "MMSCORE"}[name]).values()) == expected


def test_folds_do_not_read_visits(alzheimer):
    """A site that is only in a visit table is refused: folds come from the participants table alone."""
    bids, entry = alzheimer
    problem = only(check(cohort_of(bids, [{**entry, "max_days": 30}], SCORES, site="Phase")))
    assert (
        problem
        == "cohort.site: 'Phase' is a column of a visit table; folds are made from the participants table alone: put it there"
    )


@pytest.mark.parametrize(
    "text, form, expected",
    [
        ("2011-02-15", None, (True, 734183)), ("2011-02-15T13:30:00", None, (True, 734183)), ("02/2011", None, (True, 734183)),
        ("2011-02", None, (True, 734183)), ("03/04/2011", None, None), ("03/04/2011", "%d/%m/%Y", (True, 734230)),
        ("0129", None, (False, 129)), ("-12.5", None, (False, -12.5)), ("2011-02-30", None, None), ("13/2011", None, None), ("soon", None, None),
    ],
)  # fmt: skip
def test_dates(text, form, expected):
    """A month is its 15th; what could be read in two ways is not read at all."""
    assert dates.parse(text, form) == expected


def test_ids_by_letters_and_digits():
    """Marks and the decimals of a spreadsheet do not count, leading zeros do."""
    assert {visit_rows.plain_id(text) for text in ("002_S_0295", "sub-002S0295", "002-S-0295")} == {"002S0295"}
    assert visit_rows.plain_id("3001.0") == "3001" and visit_rows.plain_id("0295") == "0295"


def one_table(folder: Path, people: dict[str, list[str]], lines: list[str], **entry) -> dict:
    """A cohort of these sessions with one table: ID, v, d, score."""
    bids = bids_sessions(
        folder / "bids", {person: dict.fromkeys(names, "2011-03-01") for person, names in people.items()}
    )
    (folder / "v.csv").write_text("\n".join(["ID,v,d,score", *lines]) + "\n")
    entry = {"file": str(folder / "v.csv"), "person": "ID", **entry}
    return cohort_of(bids, [entry], [{"name": "score", "type": "continuous"}])


PEOPLE = [f"sub-{k:04d}" for k in range(996, 1004)]


def test_ids_that_lost_their_zeros_in_some_rows(tmp_path):
    """996 is no word for sub-0996: four of eight scores went missing with a count alone."""
    lines = [f"{int(person[4:])},,,{k}" for k, person in enumerate(PEOPLE)]
    problems = index.look(one_table(tmp_path, {person: ["ses-1"] for person in PEOPLE}, lines)).problems
    assert len(problems) == 4 and "v.csv, row 2: ID is '996', and sub-0996_ses-1 has no row" in problems[0]


@pytest.mark.parametrize("written", ["{}.0", "ses-{}", "{}"])
def test_codes_of_visits_in_other_spellings(tmp_path, written):
    """1.0, as pandas writes 1 in a column with gaps, and ses-1 are session 1."""
    lines = [f"{person},{written.format(n)},,{10 * k + n}" for k, person in enumerate(PEOPLE) for n in (1, 2)]
    cohort = one_table(tmp_path, {person: ["ses-1", "ses-2"] for person in PEOPLE}, lines, visit="v")
    assert list(values(cohort, "score").values()) == [str(10 * k + n) for k in range(8) for n in (1, 2)]


def test_codes_that_nearly_match_for_some_people(tmp_path):
    """BL of most and bl of two people: a remedy that keeps both."""
    sessions = {person: ["ses-BL", "ses-V04"] for person in PEOPLE}
    lines = [f"{p},{'bl' if k < 2 else 'BL'},,{k}\n{p},V04,,{k}" for k, p in enumerate(PEOPLE)]
    problem = only(index.look(one_table(tmp_path, sessions, lines, visit="v")).problems)
    assert "session 'BL' has no row for 2 scans" in problem and 'sessions: {"BL": ["BL", "bl"]}' in problem
    lines = [f"{p},0,,{k}\n{p},4,,{k}" for k, p in enumerate(PEOPLE)]
    for number, keys in enumerate([{"bl": "0", "V04": "4"}, {"ses-BL": 0, "ses-V04": "4.0"}]):
        found = index.look(one_table(tmp_path / str(number), sessions, lines, visit="v", sessions=keys)).problems
        assert found == (
            [] if number else ["cohort.visits, v.csv: sessions: no scan is of session 'bl'; did you mean 'BL'?"]
        )


def test_rows_without_a_date_are_neither_first_nor_last(tmp_path):
    """Of dated rows and one without a date, the dated ones count."""
    lines = [f"{p},,,33\n{p},,2011-01-01,11\n{p},,2012-01-01,22" for p in PEOPLE]
    for keep, expected in (("first", "11"), ("last", "22")):
        cohort = one_table(tmp_path / keep, {p: ["ses-1"] for p in PEOPLE}, lines, date="d", keep=keep)
        assert set(values(cohort, "score").values()) == {expected}


def test_dates_without_hyphens_and_years(tmp_path):
    """20110131 and 20110201 are a day apart, not 70; 2010 and 2011 are not numbers of days."""
    one, other = dates.parse("20110131"), dates.parse("20110201T101500")
    assert dates.between(one, other) == 1 and dates.parse("20110231") is None and dates.parse("8235").value == 8235
    lines = [f"{p},,{2009 + k % 3},{k}" for k, p in enumerate(PEOPLE)]
    found = index.look(one_table(tmp_path, {p: ["ses-1"] for p in PEOPLE}, lines, date="d")).problems
    assert any("v.csv: d holds years (2009, ...)" in line for line in found)
