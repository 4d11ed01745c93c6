"""What a dry run says: codes for missing, levels that look alike, too few people, folds without a class, ceilings."""

from pathlib import Path

import numpy as np
import pytest
from bids_tree import ids, only, plant

from neurovae.cohort.check import check
from neurovae.cohort.table import build
from neurovae.cohort.warn import warnings
from neurovae.io.suspects import suspects
from neurovae.plan import index
from neurovae.stats import families

RNG = np.random.default_rng(0)
AGES = [float(age) for age in RNG.integers(18, 80, 69)]
FALLS = [float(count) for count in RNG.negative_binomial(0.6, 0.2, 69)]
SCORES = [float(value) for value in RNG.normal(0, 1, 69).round(2)]
STAGES = [0.0, 0.5, 1.0, 2.0, 3.0] * 14


def cohort_of(root: Path, columns: dict[str, list], scores: list[dict] | None = None, **more) -> dict:
    """A cohort of as many people as the columns have cells."""
    people = ids(len(next(iter(columns.values()))))
    lines = ["\t".join(["participant_id", *columns])]
    lines += ["\t".join(map(str, cells)) for cells in zip(people, *columns.values(), strict=True)]
    return {**plant(root, people, table="\n".join(lines) + "\n"), "scores": scores or [], **more}


def said(cohort: dict) -> list[str]:
    """Warnings of a cohort without problems."""
    found = index.look(cohort)
    assert check(cohort, found) == []
    return warnings(cohort, found)


@pytest.mark.parametrize(
    "values, code",
    [
        (AGES, 999), (AGES, -9), (AGES, -4), (AGES, 9999), (AGES, 888), (AGES, -1), (FALLS, 999), (FALLS, 99), (SCORES, -99),
        (SCORES, 999), (SCORES, 99.9), (STAGES, 9), (STAGES, -8), (STAGES, 88), (AGES, 1955), (AGES, 99), (SCORES, 99),
        ([0.7 * a for a in AGES], -999),
    ],
)  # fmt: skip
@pytest.mark.parametrize("times", [1, 3])
def test_codes_for_missing_in_numbers(values, code, times):
    """A usual code outside the others, or any value far away, is found, once or three times."""
    assert set(suspects([*values, *[float(code)] * times])) == {float(code)}


@pytest.mark.parametrize(
    "values",
    [AGES, FALLS, SCORES, STAGES, [*AGES, 88.0], [*AGES, 91.0], [float(k) for k in range(60, 98)] + [99.0],
     [a + 20 for a in AGES], [float(k) for k in range(100)], [1.0] * 50 + [2.0] * 3,
     list(RNG.lognormal(3, 0.6, 69)), [-x for x in AGES], [0.0] * 60 + [1.0, 2.0, 3.0], [99.0] * 30 + [100.0] * 30, [1.0] * 3],
)  # fmt: skip
def test_ordinary_values_are_not_suspected(values):
    """Counts, skewed and negative scores, ages up to 99, half steps."""
    assert suspects(values) == {}


def test_codes_of_two_kinds_are_both_found():
    """-4 and 999 beside ages."""
    assert set(suspects([*AGES, -4.0, -4.0, 999.0])) == {-4.0, 999.0}


def test_codes_are_named_with_rows_and_remedy(tmp_path):
    """Before the first job; listed in cohort.missing they are gone, and a plausible range refuses them by row."""
    ages = [*(f"{age:g}" for age in AGES), "999", "999", "-9"]
    cohort = cohort_of(tmp_path, {"age": ages}, [{"name": "age", "type": "continuous"}])
    low, high = said(cohort)
    assert low.startswith("participants.tsv, row 73: age is -9, a usual code for missing (18 to 79)")
    assert high.startswith("participants.tsv, rows 71, 72: age is 999") and "cohort.missing: {age: [999]}" in high
    cohort["missing"] = {"age": [-9, 999]}
    assert said(cohort) == []
    cohort = {**cohort, "missing": []}
    cohort["scores"][0]["plausible"] = [18, 100]
    one, two, three = check(cohort)
    assert one.startswith(
        "participants.tsv, row 71: age is '999'; give a plausible number (from 18 to 100, as declared)"
    )
    assert "list it in cohort.missing" in three and "row 73: age is '-9'" in three and "row 72" in two
    cohort["scores"][0]["plausible"] = [None, 1000]
    assert check(cohort) == []


def test_a_range_of_a_confound(tmp_path):
    """Confounds have plausible ranges, too."""
    cohort = cohort_of(tmp_path, {"age": [*range(20, 40), 999], "y": range(21)}, [{"name": "y", "type": "count"}])
    cohort["confounds"] = [{"name": "age", "type": "continuous", "plausible": [18, None]}]
    assert not [line for line in said(cohort) if "age" in line]
    cohort["confounds"][0]["plausible"] = [21, 100]
    assert [line.split(";")[0] for line in check(cohort)] == [
        "participants.tsv, row 2: age is '20'",
        "participants.tsv, row 22: age is '999'",
    ]


def test_half_steps_are_ordinal(tmp_path):
    """CDR 0, .5, 1, 2, 3: levels are ordered, distances are not used."""
    cohort = cohort_of(tmp_path, {"cdr": ["0", "0.5", "1", "2", "3.0"] * 6}, [{"name": "cdr", "type": "ordinal"}])
    assert said(cohort) == []
    built = build(cohort, index.look(cohort), dict.fromkeys(ids(30), 0))
    assert sorted(set(built["cdr"])) == [0, 0.5, 1, 2, 3]


def test_a_code_among_categories(tmp_path):
    """Sex 1, 2 and 9; sites 1 to 9 are no codes."""
    cohort = cohort_of(
        tmp_path / "a", {"sex": ["1", "2", "1", "2", "9"] * 6, "y": range(30)}, [{"name": "y", "type": "count"}]
    )
    cohort["confounds"] = [{"name": "sex", "type": "categorical"}]
    assert "sex is 9, a usual code for missing (1 to 2); if it is a code, set cohort.missing: {sex: [9]}" in only(
        said(cohort)
    )
    assert "6 of 30 people with a score (20%) lack it" in only(said({**cohort, "missing": {"sex": [9]}}))
    cohort = cohort_of(tmp_path / "b", {"site": [*range(1, 10)] * 6, "y": range(54)}, [{"name": "y", "type": "count"}])
    assert said({**cohort, "site": "site"}) == []


@pytest.mark.parametrize(
    "levels, message",
    [
        (["M", "F", "unknown"], """'unknown' (10) is a level of its own; if it stands for missing values, set \
cohort.missing: {sex: ["unknown"]}"""),
        (["m", "f", "U"], """'U' (10) is a level of its own"""),
        (["M", "F", "-9"], """'-9' (10) is a level of its own"""),
        (["M", "999", "Not reported"], """'Not reported' (10) and '999' (10) are levels of their own"""),
    ],
)  # fmt: skip
def test_words_and_codes_that_stand_for_missing_among_words(tmp_path, levels, message):
    """`cohort.missing` takes them out."""
    cohort = cohort_of(tmp_path, {"sex": levels * 10, "y": range(30)}, [{"name": "y", "type": "count"}])
    cohort["confounds"] = [{"name": "sex", "type": "categorical"}]
    assert message in only(said(cohort))
    gone = said({**cohort, "missing": {"sex": levels[2:]}})
    assert not any(f"'{levels[2]}'" in line for line in gone)


def test_levels_of_an_ordinal_score_have_no_distances():
    """0, .5, 1, 2, 3 and 0, 1, 2, 3, 4 give the same fit."""
    x = np.column_stack([np.ones(70), RNG.normal(size=70)])
    steps, levels = np.array(STAGES), np.unique(STAGES, return_inverse=True)[1].astype(float)
    one, two = (families.fit("ordinal", y, x, None) for y in (steps, levels))
    np.testing.assert_array_equal(one.coef, two.coef)
    assert one.status == two.status == "ok" and one.effect == two.effect


def test_one_spelling_per_number_in_sites_and_levels(tmp_path):
    """1 and 1.0 are one site; -, NULL and None are missing; m beside M is named with counts."""
    cells = {"site": ["1", "1.0", "2", "2.0", "-"] * 6, "sex": ["M", "m", "F", "NULL", "None"] * 6, "y": range(30)}
    cohort = cohort_of(tmp_path, cells, [{"name": "y", "type": "continuous"}], site="site")
    cohort["confounds"] = [{"name": "sex", "type": "categorical"}]
    found = index.look(cohort)
    assert {scan.site for scan in found.scans} == {"1", "2", "n/a"}
    built = build(cohort, found, dict.fromkeys(ids(30), 0))
    assert set(built["sex"].dropna()) == {"M", "m", "F"} and built["sex"].isna().sum() == 12
    lines = said(cohort)
    assert any("column 'sex'; 'M' (6) and 'm' (6) look like one level: write one spelling" in line for line in lines)
    assert any(line.startswith("6 people have no site") for line in lines)


def test_two_unicode_forms_are_one_site(tmp_path):
    """NFC, NFD, zero-width blanks: one site, one fold stratum, no warning; a Cyrillic A is another, and named."""
    sites = ["Li\u00e8ge", "Lie\u0300ge", "Li\u00e8ge\u200b", "\ufeffLi\u00e8ge\xa0"] * 6
    cohort = cohort_of(tmp_path, {"site": sites}, site="site")
    assert {scan.site for scan in index.look(cohort).scans} == {"Li\u00e8ge"} and said(cohort) == []
    cohort = cohort_of(tmp_path, {"site": ["A", "\u0410"] * 12}, site="site")
    assert "'A' (12) and '\\u0410' (12) look like one level" in only(said(cohort))


def test_families_that_look_alike_and_codes_among_them_are_named(tmp_path):
    """Relatives under two spellings would be two families, and all people at -9 one."""
    alike = cohort_of(tmp_path / "a", {"kin": ["Meier", "meier", "n/a", "Li"] * 6}, family="kin")
    assert "column 'kin'; 'Meier' (6) and 'meier' (6) look like one level" in only(said(alike))
    coded = cohort_of(tmp_path / "b", {"kin": [*range(1, 11)] * 2 + [-9] * 4}, family="kin")
    assert "kin is -9, a usual code for missing (1 to 10)" in only(said(coded))
    assert said(cohort_of(tmp_path / "c", {"kin": [*range(1, 13)] * 2}, family="kin")) == []


def test_a_site_called_na(tmp_path):
    """Named with the key that keeps it, and kept by it."""
    cohort = cohort_of(tmp_path, {"country": ["DE", "FR", "NA"] * 8}, site="country")
    lines = said(cohort)
    assert any("'NA' in 8 rows of column 'country' was read as missing" in line for line in lines)
    assert any('set cohort.not_missing: {country: ["NA"]}' in line for line in lines)
    cohort["not_missing"] = {"country": ["NA"]}
    assert said(cohort) == [] and {scan.site for scan in index.look(cohort).scans} == {"DE", "FR", "NA"}


def test_a_binary_score_with_minus_or_none(tmp_path):
    """The message of a constant score says which cells were read as missing."""
    score = {"name": "amyloid", "type": "binary", "positive": "+"}
    cohort = cohort_of(tmp_path, {"amyloid": ["+", "-"] * 12}, [score])
    message = only(check(cohort))
    assert (
        "amyloid is constant, '+'" in message
        and "'-' in 12 rows" in message
        and 'not_missing: {amyloid: ["-"]}' in message
    )
    assert said({**cohort, "not_missing": {"amyloid": ["-"]}}) == []
    cohort = cohort_of(tmp_path, {"x": ["yes", "Yes", "no"] * 8}, [{"name": "x", "type": "binary", "positive": "yes"}])
    assert "'Yes' (1) and 'yes' (1) look like one level" in only(check(cohort))


def test_columns_of_missing_codes_must_exist(tmp_path):
    """A misspelt column would keep its codes."""
    cohort = cohort_of(tmp_path, {"age": range(24)}, missing={"aeg": [999]})
    assert only(check(cohort)).startswith("participants.tsv: cohort.missing: no column 'aeg'; did you mean 'age'?")


def test_too_few_people(tmp_path):
    """Below 13 no test (`split` is a confound), below 20 no prediction, fewer than 5 of a class neither; confounds cost people."""
    score = {"name": "y", "type": "continuous"}
    few = said(cohort_of(tmp_path / "a", {"y": range(11)}, [score]))
    assert (
        "11 people have it and all confounds; with 1 confound column (`split` among them) at least 13 are needed"
        in few[0]
    )
    assert "at least 20 are needed: it will not be predicted" in few[1]
    assert len(said(cohort_of(tmp_path / "b", {"y": range(13)}, [score]))) == 1
    assert said(cohort_of(tmp_path / "c", {"y": range(20)}, [score])) == []
    cohort = cohort_of(tmp_path / "d", {"y": range(20), "age": [*range(20, 34), *["n/a"] * 6]}, [score])
    cohort["confounds"] = [{"name": "age", "type": "continuous"}]
    assert (
        "14 people have it and all confounds; with 4 confound columns (`split` among them) at least 16"
        in said(cohort)[1]
    )
    assert only(said({**cohort, "missing_confounds": "impute"})).endswith("imputed for them")
    binary = {"name": "x", "type": "binary"}
    rare = said(cohort_of(tmp_path / "e", {"x": [1] * 4 + [0] * 26}, [binary]))
    assert only(rare).startswith("score 'x': 4 people in the rarer class, at least 5 are needed")


def test_a_fold_without_a_class(tmp_path):
    """Named with the fold; a balanced score says nothing."""
    cohort = cohort_of(tmp_path / "a", {"x": [1] * 5 + [0] * 25}, [{"name": "x", "type": "binary"}])
    cohort["folds"] = {**cohort["folds"], "n": 10}
    line = only(said(cohort))
    assert line.startswith("score 'x': fold ") and "has nobody with '1'" in line and "folds.n lower" in line
    assert said(cohort_of(tmp_path / "b", {"x": [1, 0] * 15}, [{"name": "x", "type": "binary"}])) == []


def test_ceilings_and_one_common_value(tmp_path):
    """15 % at the end of a bounded scale, more than half at one count."""
    bounded = {"name": "mmse", "type": "bounded", "bounds": [0, 30]}
    line = only(said(cohort_of(tmp_path / "a", {"mmse": [30] * 5 + [20 + k % 9 for k in range(25)]}, [bounded])))
    assert "17% of 30 people are at the highest (ceiling) possible value 30" in line
    assert said(cohort_of(tmp_path / "b", {"mmse": [30] * 4 + [20 + k % 9 for k in range(26)]}, [bounded])) == []
    free = {"name": "mmse", "type": "continuous"}
    line = only(said(cohort_of(tmp_path / "d", {"mmse": [30] * 8 + [20 + k % 9 for k in range(22)]}, [free])))
    assert "27% of 30 people have its highest (ceiling?) value 30" in line and "declare it bounded" in line
    assert said(cohort_of(tmp_path / "e", {"mmse": [25] * 8 + [20 + k % 9 for k in range(22)]}, [free])) == []
    count = {"name": "falls", "type": "count"}
    assert "60% of 30 people have the value 0" in only(
        said(cohort_of(tmp_path / "c", {"falls": [0] * 18 + [*range(1, 13)]}, [count]))
    )


@pytest.mark.parametrize(
    "item, message",
    [
        ({"type": "count", "plausible": [9, 1]}, "plausible of x is [9, 1]; give the lower value first"),
        ({"type": "bounded", "bounds": [30, 0]}, "bounds of x is [30, 0]; give the lower value first"),
        ({"type": "binary", "plausible": [0, 1]}, "x is binary, where plausible is not used; leave it out"),
    ],
)
def test_ranges_that_cannot_be_meant(tmp_path, item, message):
    """Upside down, or on a type that has no range."""
    problems = check(cohort_of(tmp_path, {"x": [0, 1] * 12}, [{"name": "x", **item}]))
    assert f"cohort: {message}" in problems


def test_tables_with_another_ending_are_named(tmp_path):
    """participants.xlsx beside nothing, a questionnaire as .csv."""
    cohort = cohort_of(tmp_path, {"x": range(24)})
    (tmp_path / "phenotype").mkdir()
    (tmp_path / "phenotype/moca.csv").touch()
    assert "phenotype/moca.csv: not read, since tables of a BIDS folder end in .tsv" in said(cohort)
    (tmp_path / "participants.tsv").rename(tmp_path / "Participants.xlsx")
    assert "Participants.xlsx is there: save it as participants.tsv" in check(cohort)[0]


def test_a_confound_that_costs_more_than_a_tenth_is_named(tmp_path: Path) -> None:
    ages = ["n/a"] * 4 + AGES[:26]
    columns = {"score": SCORES[:29] + ["n/a"], "age": ages, "sex": ["n/a"] * 2 + ["F", "M"] * 14}
    confounds = [{"name": "age", "type": "continuous"}, {"name": "sex", "type": "categorical"}]
    scores = [{"name": "score", "type": "continuous"}]
    cohort = cohort_of(tmp_path, columns, scores, confounds=confounds)
    (line,) = [line for line in said(cohort) if "lack it" in line]
    assert "confound column 'age': 4 of 29 people with a score (14%) lack it; tests and predictions leave" in line
    (line,) = [line for line in said({**cohort, "missing_confounds": "impute"}) if "lack it" in line]
    assert line.endswith("it is imputed for them")
