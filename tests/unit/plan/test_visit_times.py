"""The clock of trajectories: years since the first session, by dates or a column, and what is refused before a job."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from neurovae.plan import index
from neurovae.plan.visit_times import problems, times

PEOPLE = 12


def table(folder: Path, **columns: Any) -> Path:
    """Two sessions each of twelve people, three of the first; `columns`: in place of age, or beside it."""
    rows = [(f"sub-{i:02d}", str(k), 60 + i + 2 * (k - 1)) for i in range(PEOPLE) for k in (1, 2)]
    rows.append(("sub-00", "3", 65))
    made = pd.DataFrame(rows, columns=["participant_id", "session_id", "age"]).assign(**columns)
    made.to_csv(folder / "p.tsv", sep="\t", index=False)
    return folder / "p.tsv"


def config(path: Path, models: tuple[str, ...] = ("emb",), **cohort: Any) -> dict[str, Any]:
    return {
        "cohort": {"name": "a", "participants": str(path), "time": {"column": "age", "unit": "years"}} | cohort,
        "trajectory": {"models": list(models), "age": "age"},
    }


def found(given: dict[str, Any]) -> list[str]:
    return problems(given, ["emb", "vae"], index.look(given["cohort"]))[0]


def test_years_and_age(tmp_path: Path) -> None:
    given = config(table(tmp_path))
    timed = times(given["cohort"], index.look(given["cohort"]), "age")
    assert not timed.problems and not found(given)
    assert timed.years["sub-00_ses-3"] == 5 and timed.years["sub-03_ses-2"] == 2 and timed.years["sub-03_ses-1"] == 0
    assert timed.age["sub-03_ses-2"] == 63  # at the first session


@pytest.mark.parametrize("unit, years", [("months", 24 / 12), ("days", 24 / 365.25)])
def test_units(tmp_path: Path, unit: str, years: float) -> None:
    months = [0, 24] * PEOPLE + [36]
    given = config(table(tmp_path, elapsed=months), time={"column": "elapsed", "unit": unit})
    timed = times(given["cohort"], index.look(given["cohort"]), "age")
    assert timed.years["sub-05_ses-2"] == pytest.approx(years)


def test_dates(tmp_path: Path) -> None:
    day = ["2010-01-01", "2012-01-01"] * PEOPLE + ["2013-07-02"]
    given = config(table(tmp_path, scan_date=day), time={}, scan_date="scan_date")
    timed = times(given["cohort"], index.look(given["cohort"]), None)
    assert timed.years["sub-00_ses-3"] == pytest.approx(3.5, abs=0.01) and not timed.problems


def test_off_without_models(tmp_path: Path) -> None:
    given = config(table(tmp_path), models=(), time={"column": "nowhere"})
    assert problems(given, ["emb"], index.look(given["cohort"])) == ([], [])


def test_one_session_for_all(tmp_path: Path) -> None:
    path = table(tmp_path)
    pd.read_csv(path, sep="\t", dtype=str).query("session_id == '1'").to_csv(path, sep="\t", index=False)
    assert found(config(path)) == [
        "trajectory.models: 0 of 12 people have two or more sessions, at least 10 are needed; leave trajectory.models "
        "empty"
    ]
    simulated = {
        "cohort": {"name": "a", "simulate": {"people": 20, "voxel_mm": 4, "seed": 0}},
        "trajectory": {"models": ["emb"], "age": "age"},
    }
    assert found(simulated)[0].endswith("(or set cohort.simulate.visits)")


def test_unknown_model_and_column(tmp_path: Path) -> None:
    path = table(tmp_path)
    assert "no model 'vea'; there are emb, vae" in found(config(path, models=("vea",)))[0]
    lines = found(config(path, time={"column": "years_in"}))
    assert lines[0].startswith("cohort.time.column: ") and "years_in" in lines[0]
    given = config(path)
    given["trajectory"]["age"] = "agee"
    assert found(given)[0].startswith("trajectory.age: ") and "age" in found(given)[0]


def test_time_runs_backwards(tmp_path: Path) -> None:
    age = [60 + i + 2 * (k - 1) for i in range(PEOPLE) for k in (1, 2)] + [65]
    age[7] = 58  # second session of sub-03
    assert found(config(table(tmp_path, age=age))) == [
        "sub-03: time runs backwards, ses-2 is 5.00 years before ses-1 by column 'age'; correct it, or the labels"
    ]
    day = ["2010-01-01", "2012-01-01"] * PEOPLE + ["2013-07-02"]
    day[1] = "2002-01-01"
    lines = found(config(table(tmp_path, scan_date=day), time={}, scan_date="scan_date"))
    assert len(lines) == 1 and lines[0].startswith("sub-00: time runs backwards, ses-2 is 8.00 years before ses-1")


def test_labels_that_are_any_number_do_not_order_visits(tmp_path: Path) -> None:
    path = table(tmp_path)
    frame = pd.read_csv(path, sep="\t", dtype=str)
    frame["session_id"] = [str(90000 - k) for k in range(len(frame))]
    frame.to_csv(path, sep="\t", index=False)
    given = config(path)
    lines, notes = problems(given, ["emb"], index.look(given["cohort"]))
    assert not lines and "time runs backwards" in notes[0]


def test_sessions_without_a_time(tmp_path: Path) -> None:
    lines = found(config(table(tmp_path), time={}))
    assert len(lines) == 2 * PEOPLE + 1 and lines[0].startswith("sub-00, ses-1: no date; give acq_time in the sessions")
    age = [str(60 + k) for k in range(2 * PEOPLE)] + ["n/a"]
    assert found(config(table(tmp_path, age=age)))[0].startswith("sub-00, ses-3: column 'age' (cohort.time) is empty")
    words = ["one"] + ["2"] * (2 * PEOPLE)
    assert "sub-00, ses-1: visit is 'one'; give a number" in found(
        config(table(tmp_path, visit=words), time={"column": "visit"})
    )


def test_a_clock_that_stands_or_runs_for_centuries(tmp_path: Path) -> None:
    given = config(table(tmp_path, entry=["3"] * (2 * PEOPLE + 1)), time={"column": "entry"})
    assert found(given)[0].startswith("cohort.time.column: 'entry' is the same at all sessions")
    days = [0, 730] * PEOPLE + [1100]
    text = found(config(table(tmp_path, days=days), time={"column": "days"}))[0]
    assert "more than 60 years after the first session" in text and "or cohort.time.unit" in text


def test_some_dates_as_days(tmp_path: Path) -> None:
    day = ["2010-01-01", "700"] + ["2010-01-01", "2012-01-01"] * (PEOPLE - 1) + ["2013-07-02"]
    lines = found(config(table(tmp_path, scan_date=day), time={}, scan_date="scan_date"))
    assert "sub-00: some sessions have a calendar date, others a number of days; give one of the two" in lines


class Counted(list):  # type: ignore[type-arg]
    """A list that counts how often it is gone through."""

    passes = 0

    def __iter__(self) -> Any:
        self.passes += 1
        return super().__iter__()


def test_the_scans_are_gone_through_once_however_many_people_have_one(tmp_path: Path) -> None:
    rows = [f"sub-{k:04d}\t1\t{60 + k % 20}" for k in range(400)]
    (tmp_path / "p.tsv").write_text("\n".join(["participant_id\tsession_id\tage", *rows]) + "\n")
    given = config(tmp_path / "p.tsv")["cohort"]
    looked = index.look(given)
    scans = Counted(looked.scans)
    timed = times(given, looked._replace(scans=scans), "age")
    assert scans.passes == 1 and len(timed.years) == 400 and set(timed.years.values()) == {0.0}
    assert sorted(set(timed.age.values())) == [60 + k for k in range(20)]  # type: ignore[type-var]
