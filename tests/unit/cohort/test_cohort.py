"""The cohort's checks, its typed table and its folds."""

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from bids_tree import DATA, ENV, ids, only, plant

from neurovae.cohort import folds, table
from neurovae.cohort.check import check
from neurovae.cohort.columns import codes, plain
from neurovae.cohort.warn import warnings
from neurovae.errors import InputError
from neurovae.io.tables import Keyed, Row, lookup
from neurovae.plan import index

PEOPLE = ["sub-01", "sub-02", "sub-03", "sub-04"]


def cohort_of(root: Path, columns: dict[str, list[str]], scores: list[dict] | None = None, **more) -> dict:
    """Plant four people with the given columns."""
    lines = ["\t".join(["participant_id", *columns])]
    lines += ["\t".join([person, *cells]) for person, *cells in zip(PEOPLE, *columns.values(), strict=True)]
    return {**plant(root, PEOPLE, table="\n".join(lines) + "\n"), "scores": scores or [], **more}


def built(cohort: dict, out: Path) -> pd.DataFrame:
    """Run both rules and read the table."""
    folds.run(cohort=cohort, out=out / "folds.tsv")
    table.run(
        cohort=cohort,
        folds=out / "folds.tsv",
        out=out / "cohort.parquet",
        excluded=out / "excluded.tsv",
        matched=out / "visits.tsv",
        source=out / "s",
    )
    return pd.read_parquet(out / "cohort.parquet")


@pytest.mark.parametrize(
    "cells, score, where, what, remedy",
    [
        (
            ["1", "2", "abc", "3"],
            {"type": "continuous"},
            "participants.tsv, row 4",
            "x is 'abc'",
            "give a number or n/a",
        ),
        (["1", "2", "4,5", "3"], {"type": "continuous"}, "participants.tsv, row 4", "x is '4,5'", "decimal point"),
        (["1", "2", "inf", "3"], {"type": "continuous"}, "participants.tsv, row 4", "x is 'inf'", "give a number"),
        (["1", "-2", "4", "3"], {"type": "count"}, "participants.tsv, row 3", "x is '-2'", "a count of 0 or more"),
        (["1", "2.5", "4", "3"], {"type": "count"}, "participants.tsv, row 3", "x is '2.5'", "a whole number"),
        (["1", "2.5", "x", "3"], {"type": "ordinal"}, "participants.tsv, row 4", "x is 'x'", "a number"),
        (
            ["1", "2", "31", "3"],
            {"type": "bounded", "bounds": [0, 30]},
            "participants.tsv, row 4",
            "'31'",
            "from 0 to 30",
        ),
        (["1", "2", "3", "3"], {"type": "bounded"}, "cohort.scores", "bounds are missing", "give bounds"),
        (["m", "f", "x", "m"], {"type": "binary"}, "participants.tsv", "has 3 values, 'f', 'm', 'x'", "recode it"),
        (["m", "f", "f", "m"], {"type": "binary"}, "participants.tsv", "positive is not given", "counts as 1"),
        (
            ["m", "f", "f", "m"],
            {"type": "binary", "positive": "M"},
            "participants.tsv",
            "positive is 'M'",
            "counts as 1",
        ),
        (["5", "5.0", "n/a", "5"], {"type": "continuous"}, "participants.tsv", "x is constant, '5'", "drop it"),
        (
            ["n/a", "", "NA", "NaN"],
            {"type": "continuous"},
            "participants.tsv",
            "x has no value for any of the 4",
            "drop it",
        ),
        (["1", "2", "3", "4"], {"type": "gaussian"}, "cohort.scores", "x is of type 'gaussian'", "give one of"),
    ],
)
def test_values_that_do_not_fit(tmp_path, cells, score, where, what, remedy):
    """A value that its declared type does not allow is named with file and row."""
    message = only(check(cohort_of(tmp_path, {"x": cells}, [{"name": "x", **score}])))
    assert message.startswith(f"{where}: ") and what in message and remedy in message


@pytest.mark.parametrize(
    "name", ["scan", "person", "session", "run", "site", "fold", "split", "mu_1", "logvar_x", "kl_0"]
)
def test_reserved_names(tmp_path, name):
    """A score cannot take the name of a column of the pipeline."""
    score = {"name": name, "column": "x", "type": "count"}
    message = only(check(cohort_of(tmp_path, {"x": ["1", "2", "3", "4"]}, [score])))
    assert message == f"cohort.scores: '{name}' is a name of neurovae's own columns; give the score another name"


@pytest.mark.parametrize(
    "more, what",
    [
        ({"scores": [{"name": "aeg", "type": "count"}]}, "score 'aeg': no column 'aeg'; did you mean 'Age'?"),
        ({"confounds": [{"name": "sex", "type": "categorical"}]}, "confound 'sex': no column 'sex';"),
        ({"site": "centre"}, "cohort.site: no column 'centre'; did you mean 'center'?"),
        ({"folds": {"n": 2, "stratify": "sex"}}, "stratify: no column 'sex';"),
        ({"rename": {"gendre": "sex"}}, "rename of 'gendre': no column 'gendre'; did you mean 'gender'?"),
    ],
)
def test_columns_that_do_not_exist(tmp_path, more, what):
    """A column that no table has is named with the closest and with all there are."""
    cohort = cohort_of(tmp_path, {name: list("1234") for name in ("Age", "gender", "center")}, **more)
    message = only(check(cohort))
    assert (
        message.startswith(f"participants.tsv: {what}") and "there are Age, center, gender, participant_id" in message
    )


def test_duplicate_ids(tmp_path):
    """A person, or a session of a person, given twice is refused."""
    people = "participant_id\tage\nsub-01\t1\nsub-02\t2\n01\t3\nsub-03\t4\n"
    message = only(check(plant(tmp_path / "a", PEOPLE[:3], table=people)))
    assert message == "participants.tsv, row 4: sub-01 was already given in row 2; keep one of the two"
    cohort = plant(tmp_path / "b", PEOPLE)
    (tmp_path / "b/sub-01/sub-01_sessions.tsv").write_text("session_id\tx\nses-1\t1\n1\t2\n")
    (tmp_path / "b/sessions.tsv").write_text("participant_id\tsession_id\tx\n2\t1\t1\n2\t2\t1\n2\t1\t5\n")
    one, two = check(cohort)
    assert one == "sessions.tsv, row 4: sub-2_ses-1 was already given in row 2; keep one of the two"
    assert two.startswith("sub-01/sub-01_sessions.tsv, row 3: sub-01_ses-1 was already given in row 2")


def test_every_problem_at_once(tmp_path):
    """All problems come in one list, from the check and from the rule."""
    columns = {"a": ["x", "1", "2", "y"], "b": ["1", "1", "1", "1"]}
    scores = [{"name": "a", "type": "continuous"}, {"name": "b", "type": "count"}, {"name": "c", "type": "count"}]
    cohort = cohort_of(tmp_path, columns, scores, folds={"n": 9, "seed": 0, "validation": 0.1, "by": "person"})
    assert len(check(cohort)) == 5
    with pytest.raises(InputError) as raised:
        table.run(cohort=cohort, **dict.fromkeys(("folds", "out", "excluded", "matched", "source"), tmp_path / "no"))
    assert len(raised.value.problems) == 5


def test_fewer_people_than_folds(tmp_path):
    """Too few people are refused by the check and by the folds themselves."""
    message = only(check({**plant(tmp_path, PEOPLE), "folds": {"n": 5}}))
    assert message.startswith(
        "cohort: 4 people have a scan and a row, folds.n is 5; give 5 or more people, or set folds.n to 4"
    )
    with pytest.raises(InputError, match="4 people for 5 folds; give 5 or more"):
        folds.assign([(person, "A", "n/a") for person in PEOPLE], n=5, seed=0, stop=0.1)


def test_a_site_of_one_person_is_a_warning(tmp_path):
    """What is merely odd does not stop the run."""
    confounds = [{"name": "k", "type": "continuous"}]
    cohort = cohort_of(tmp_path, {"site": list("AAAB"), "k": list("1111")}, site="site", confounds=confounds)
    found = index.look(cohort)
    assert check(cohort) == []
    small, few, constant = warnings(cohort, found)
    assert small.startswith("site 'A' has 3 people; effects of a site with fewer than 5 people")
    assert few.startswith("site 'B' has 1 person, who is left out of the tests;")
    assert constant == "confound column 'k' has one value"


def test_stratify_needs_groups(tmp_path):
    """A continuous column cannot stratify."""
    cohort = {**plant(tmp_path, ids(30)), "folds": {"n": 5, "stratify": "age"}}
    assert only(check(cohort)).startswith("folds.stratify: 'age' has 30 values, at most 20 are allowed; give groups")


def test_tables_that_disagree_can_be_told_apart(tmp_path):
    """Two values for one column are refused; renaming one table's column resolves it."""
    cohort = cohort_of(tmp_path, {"total": list("1234")}, [{"name": "total", "type": "count"}])
    (tmp_path / "phenotype").mkdir()
    (tmp_path / "phenotype/moca.tsv").write_text("participant_id\ttotal\n01\t1.0\n02\t9\n")
    (tmp_path / "phenotype/unused.tsv").write_text("participant_id\tq\n01\t1\n01\t2\n")
    message = only(check(cohort))
    assert message.startswith(
        "participants.tsv, row 3: total is '2', but '9' in phenotype/moca.tsv, row 3; correct one"
    )
    assert "cohort.rename: {moca.tsv:total: new_name}" in message
    assert check({**cohort, "rename": {"moca.tsv:total": "moca"}}) == []
    assert index.inputs(cohort)[1:] == [f"{tmp_path}/phenotype/moca.tsv", f"{tmp_path}/phenotype/unused.tsv"]


def test_typed_table(tmp_path):
    """Columns come out under their names and types, after renaming."""
    columns = {
        "Age": ["20", "n/a", "40", "50"],
        "gender": list("mffm"),
        "place": ["P", "Q", "", "Q"],
        "d": list("1221"),
    }
    scores = [{"name": "Male", "column": "sex", "type": "binary", "positive": "m"}, {"name": "d", "type": "binary"}]
    scores += [{"name": "age", "type": "continuous"}]
    confounds = [{"name": "sex", "type": "categorical"}, {"name": "age", "type": "continuous"}]
    confounds += [
        {"name": "head_size", "type": "continuous", "from": "preprocess"},
        {"name": "site", "type": "categorical"},
    ]
    rename = {"Age": "age", "gender": "sex", "place": "site"}
    cohort = cohort_of(tmp_path / "in", columns, scores, confounds=confounds, rename=rename, site="site")
    result = built(cohort, tmp_path / "out")
    assert list(result) == [*index.Scan._fields[:5], "site", "fold", "session_order", "Male", "d", "age", "sex"]
    assert result["Male"].tolist() == [1, 0, 0, 1] and result["d"].tolist() == [0, 1, 1, 0]
    assert result["age"].isna().tolist() == [False, True, False, False] and result["age"].dtype == "float64"
    assert result["sex"].tolist() == list("mffm") and result["site"].tolist() == ["P", "Q", "n/a", "Q"]
    assert sorted(result["fold"]) == [0, 0, 1, 2]


def test_sessions_have_their_own_values(tmp_path):
    """A value of a session stays with its scans; a value of a person goes to all of them."""
    cohort = plant(tmp_path / "in", PEOPLE)
    for session in "12":
        folder = tmp_path / f"in/sub-01/ses-{session}/anat"
        folder.mkdir(parents=True)
        (folder / f"sub-01_ses-{session}_T1w.nii.gz").touch()
    (tmp_path / "in/sub-01/sub-01_sessions.tsv").write_text("session_id\tmoca\nses-1\t20\n2\t25\n")
    (tmp_path / "in/sub-09").mkdir()
    cohort["scores"] = [{"name": name, "type": "continuous"} for name in ("moca", "age")]
    (tmp_path / "in/sessions.tsv").write_text("participant_id\tsession_id\tage\nsub-01\t1\t31\n")
    assert "cohort.rename: {sessions.tsv:age: new_name}" in only(check(cohort))
    cohort["rename"] = {"sessions.tsv:age": "age_then"}
    result = built(cohort, tmp_path / "out").set_index("scan")
    assert result["moca"].dropna().to_dict() == {"sub-01_ses-1": 20, "sub-01_ses-2": 25}
    assert result["age"].tolist() == [30, 30, 30, 31, 32, 33] and result["session"].tolist()[:3] == ["", "1", "2"]
    assert result.groupby("person")["fold"].nunique().max() == 1


def test_what_usually_goes_with_anatomy_is_carried_along_undeclared(tmp_path):
    """The audit must be able to name an age or a site that nobody declared; other columns stay behind."""
    columns = {"Age": list("5678"), "site": list("1122"), "sex": list("mfmf"), "phone": list("1234"), "y": list("1234")}
    cohort = cohort_of(tmp_path, columns, [{"name": "y", "type": "continuous"}], site=None)
    found = built({**cohort, "confounds": [{"name": "sex", "type": "categorical"}]}, tmp_path / "out")
    assert list(found.columns[-4:]) == ["y", "sex", "age", "table_site"]
    assert found["age"].tolist() == [5, 6, 7, 8] and found["table_site"].tolist() == list("1122")
    assert set(found["site"]) == {"n/a"}


def test_excluded_table(tmp_path):
    """Scans without a row and rows without a scan are listed with their reason."""
    cohort = plant(
        tmp_path / "in", PEOPLE, table="participant_id\tage\n" + "".join(f"sub-0{i}\t{i}\n" for i in (2, 3, 4, 5))
    )
    assert built(cohort, tmp_path)["person"].tolist() == PEOPLE[1:]
    assert (tmp_path / "excluded.tsv").read_text().splitlines()[1:] == [
        "sub-01\tsub-01\tno row in participants.tsv",
        "n/a\tsub-05\tparticipants.tsv, row 5: no T1w scan",
    ]


def test_crlf_bom_semicolon_give_the_same_parquet(tmp_path):
    """The same table from a spreadsheet gives the same bytes."""
    text = "participant_id\tage\n" + "".join(f"{person}\t{turn}.5\n" for turn, person in enumerate(PEOPLE))
    for name, data in {"a": text, "b": "\ufeff" + text.replace("\t", ";").replace("\n", "\r\n")}.items():
        cohort = plant(tmp_path / name, PEOPLE)
        (tmp_path / name / "participants.tsv").write_bytes(data.encode())
        built({**cohort, "scores": [{"name": "age", "type": "continuous"}]}, tmp_path / name / "out")
    one, two = ((tmp_path / name / "out/cohort.parquet").read_bytes() for name in "ab")
    assert one == two


def test_codes():
    """Which of two values is 1."""
    assert codes({"1", "2.0", "2"}, None) == {"1": 0, "2.0": 1, "2": 1} and codes({"0", "1"}, 0) == {"0": 1, "1": 0}
    assert plain("123456.7") != plain("123456.8") and plain("1e0") == "1"
    assert codes({"a", "b"}, "b") == {"a": 0, "b": 1} and codes({"a", "b"}, None) == codes({"a", "b"}, "c") == {}


def crowd(count: int) -> list[tuple[str, str, str]]:
    """People of three sites and two strata."""
    return [(person, "ABC"[turn % 7 % 3], "mf"[turn % 2]) for turn, person in enumerate(ids(count))]


def test_folds_are_disjoint_and_balanced():
    """One fold each, even sizes overall and per group, three exclusive parts per fold."""
    rows = folds.assign(crowd(503), n=5, seed=0, stop=0.125)
    sizes = Counter(row["fold"] for row in rows)
    assert len({row["person"] for row in rows}) == len(rows) == 503 and max(sizes.values()) - min(sizes.values()) <= 1
    group = {person: (site, stratum) for person, site, stratum in crowd(503)}
    within = Counter((group[row["person"]], row["fold"]) for row in rows)
    for key in set(group.values()):
        counts = [within[key, fold] for fold in range(5)]
        assert max(counts) - min(counts) <= 1
    for k in range(5):
        split = Counter(row[f"split_{k}"] for row in rows)
        assert (
            set(split) == {"training", "validation", "test"}
            and abs(split["validation"] - 0.125 * (503 - sizes[k])) <= 0.5
        )
        assert all((row[f"split_{k}"] == "test") == (row["fold"] == k) for row in rows)
    few = folds.assign(crowd(4), n=2, seed=0, stop=0.01)
    assert all({row[f"split_{k}"] for row in few} == {"training", "validation", "test"} for k in range(2))


def test_whole_sites_are_dealt_to_folds():
    """As many folds as sites leave one site out each; fewer put whole sites together, of sizes as even as they come."""
    people = [(person, "ABCD"[turn % 10 % 4], "n/a") for turn, person in enumerate(ids(100))]  # 30, 30, 20, 20 people
    rows = folds.assign(people, n=4, seed=0, stop=0.1, by="site")
    assert {frozenset(row["site"] for row in rows if row["fold"] == k) for k in range(4)} == set(map(frozenset, "ABCD"))
    assert Counter(row["fold"] for row in folds.assign(people, n=2, seed=0, stop=0.1, by="site")) == {0: 50, 1: 50}
    with pytest.raises(InputError, match="4 sites for 5 folds by site; set folds.n to 4"):
        folds.assign(people, n=5, seed=0, stop=0.1, by="site")
    with pytest.raises(InputError, match="people without a site"):
        folds.assign([*people, ("sub-x", "n/a", "n/a")], n=5, seed=0, stop=0.1, by="site")


def test_folds_by_site_need_sites(tmp_path):
    """Refused before the first job."""
    cohort = cohort_of(tmp_path, {"site": list("AABB")}, site="site", folds={"n": 3, "by": "site"})
    assert any(problem.startswith("folds.by: site needs cohort.site and at least") for problem in check(cohort))


def test_a_confound_without_values_is_refused(tmp_path):
    """It would leave nobody to test."""
    cohort = cohort_of(tmp_path, {"k": ["n/a"] * 4, "y": list("1234")}, [{"name": "y", "type": "continuous"}])
    cohort["confounds"] = [{"name": "k", "type": "categorical"}]
    assert "confound k has no value for any of the 4 scans; drop it" in only(check(cohort))


def test_a_gamma_score_is_above_zero(tmp_path):
    """Zero has no logarithm."""
    cohort = cohort_of(tmp_path, {"t": ["1.5", "0", "3", "2"]}, [{"name": "t", "type": "gamma"}])
    assert "t is '0'; give a number above 0 or n/a" in only(check(cohort))


def test_folds_know_no_order_and_follow_the_seed():
    """The order of rows changes nothing, the seed does."""
    people = crowd(60)
    shuffled = random.Random(1).sample(people, 60)
    assert folds.assign(people, n=5, seed=0, stop=0.1) == folds.assign(shuffled, n=5, seed=0, stop=0.1)
    assert folds.assign(people, n=5, seed=0, stop=0.1) != folds.assign(people, n=5, seed=1, stop=0.1)


def test_a_new_person_leaves_the_groups_before_theirs():
    """What is promised: groups are dealt in the order of site and stratum; only later deals can shift."""
    before = {row["person"]: row["fold"] for row in folds.assign(crowd(60), n=5, seed=0, stop=0.1)}
    after = {
        row["person"]: row["fold"] for row in folds.assign([*crowd(60), ("sub-x", "D", "m")], n=5, seed=0, stop=0.1)
    }
    assert all(after[person] == fold for person, fold in before.items())


def test_permuted_or_added_scores_leave_folds_as_they_are(tmp_path):
    """Folds know no score."""
    columns = {"s": list("1234"), "site": list("ABAB")}
    cohort = cohort_of(tmp_path / "in", columns, site="site")
    folds.run(cohort=cohort, out=tmp_path / "one.tsv")
    more = {"s": list("3142"), "t": list("9876"), "site": list("ABAB")}
    cohort = cohort_of(tmp_path / "in", more, [{"name": "s", "type": "count"}], site="site")
    folds.run(cohort=cohort, out=tmp_path / "two.tsv")
    assert (tmp_path / "one.tsv").read_bytes() == (tmp_path / "two.tsv").read_bytes()


def test_command_lines(tmp_path):
    """Both rules run from the command line, and refuse without a stack trace."""
    cohort = cohort_of(tmp_path / "in", {"x": list("1234")}, [{"name": "x", "type": "count"}])

    def call(module: str, *flags: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", f"neurovae.cohort.{module}", "--cohort", json.dumps(cohort), *flags]
        return subprocess.run(command, cwd=tmp_path, env=ENV, capture_output=True, text=True)

    assert call("folds", "--out", "folds.tsv").returncode == 0
    flags = ("--folds", "folds.tsv", "--out", "cohort.parquet", "--excluded", "excluded.tsv", "--matched", "visits.tsv")
    flags = (*flags, "--source", "s.json")
    assert call("table", *flags).returncode == 0 and len(pd.read_parquet(tmp_path / "cohort.parquet")) == 4
    cohort["scores"][0]["name"] = "y"
    refused = call("table", *flags)
    assert refused.returncode == 1 and "no column 'y'" in refused.stderr and "Traceback" not in refused.stderr


def test_folds_of_other_people_are_refused(tmp_path):
    """Folds of an earlier cohort are not used silently."""
    cohort = plant(tmp_path / "in", PEOPLE)
    built(cohort, tmp_path)
    plant(tmp_path / "in", ["sub-01", "sub-02", "sub-03", "sub-05"])
    with pytest.raises(InputError, match="its people are not those of the scans; write it again"):
        table.run(
            cohort=cohort,
            folds=tmp_path / "folds.tsv",
            out=tmp_path / "x",
            excluded=tmp_path / "y",
            matched=tmp_path / "v",
            source=tmp_path / "z",
        )


def test_ixi_ages(tmp_path):
    """The real people: 120, two without age."""
    if not (DATA / "ixi").is_dir():
        pytest.skip(f"ixi: the real scans are not here ({DATA / 'ixi'})")
    scores = [{"name": "age", "type": "continuous"}, {"name": "sex", "type": "binary", "positive": "M"}]
    cohort = {
        "name": "ixi",
        "bids": str(DATA / "ixi"),
        "scores": scores,
        "folds": {"n": 5, "seed": 0, "validation": 0.125, "by": "person"},
    }
    result = built(cohort, tmp_path)
    assert len(result) == 120 and result["age"].isna().sum() == 2 and set(result["sex"].dropna()) == {0.0, 1.0}
    assert sorted(Counter(result["fold"]).values()) == [24] * 5


def test_a_score_missing_at_a_session_is_not_filled_from_the_person():
    """The session's own row decides, also where it has no value."""
    person = Row("participants.tsv", 2, {"mmse": "21"})
    session = Row("sessions.tsv", 3, {"mmse": None})
    tables = [
        Keyed("participants.tsv", ["mmse"], {"mmse"}, {"sub-01": person}),
        Keyed("sessions.tsv", ["mmse"], {"mmse"}, {"sub-01_ses-2": session}),
    ]
    assert lookup(tables, "mmse", ("sub-01_ses-2", "sub-01")) == []
    assert lookup(tables, "mmse", ("sub-01_ses-1", "sub-01")) == [("21", person)]
