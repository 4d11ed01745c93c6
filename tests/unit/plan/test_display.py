"""What a terminal shows of a run: counts, time left, what runs, and the end of a failed job's log."""

from pathlib import Path
from typing import Any

from neurovae.plan import display


def started(state: display.State, jobid: int, rule: str, log: str, now: float, **wildcards: str) -> None:
    given: dict[str, Any] = {"jobid": jobid, "rule_name": rule, "wildcards": wildcards, "log": [log]}
    assert display.note(state, "job_info", given, now) is None


def state() -> display.State:
    """Four batches of two rules, and a report."""
    made = display.State({"extract": "preprocess", "pack": "preprocess", "report": "report"})
    display.note(made, "run_info", {"stats": {"extract": 4, "pack": 1, "report": 1, "all": 1, "total": 7}}, 0.0)
    return made


def test_a_line_per_stage_counts_jobs_and_shows_what_they_say(tmp_path: Path) -> None:
    log = tmp_path / "extract-0001.log"
    log.write_text("1/6 sub-01: ok  (left 40 s)\n2/6 sub-02: ok  (left 32 s)\n")
    made = state()
    started(made, 1, "extract", "", 0.0, cohort="demo", batch="0000")
    started(made, 2, "extract", str(log), 0.0, cohort="demo", batch="0001")
    assert display.note(made, "job_finished", {"job_id": 1}, 20.0) is None
    lines = display.status_lines(made, 30.0, 200)
    assert [line.split()[:2] for line in lines] == [["preprocess", "1/5"], ["report", "0/1"]]
    assert lines[0].endswith("extract 0001: 2/6 sub-02: ok (left 32 s)")
    assert max(map(len, display.status_lines(made, 30.0, 40))) < 40


def test_time_left_is_the_mean_of_what_was_finished_times_what_is_left() -> None:
    made = state()
    assert display.time_left(made, ["extract", "pack"], [], 0.0) is None
    for job in (1, 2):
        started(made, job, "extract", "", 0.0)
    display.note(made, "job_finished", {"job_id": 1}, 20.0)
    running = list(made.running.values())
    # 3 jobs of extract and 1 of pack at 20 s each, of which the running one has had 5 s since it began 5 s ago
    running[0].start = 20.0
    assert display.time_left(made, ["extract", "pack"], running, 25.0) == 4 * 20 - 5
    assert display.clock(75) == "1:15" and display.clock(3675) == "1:01:15"


def test_a_failed_job_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "qc.log"
    log.write_text("".join(f"line {k}\n" for k in range(100)) + "\nERROR\n5 of 6 scans failed; look at them\n")
    made = state()
    started(made, 1, "extract", str(log), 0.0, batch="0003")
    failed = display.note(made, "job_error", {"jobid": 1}, 3.0)
    assert failed is not None
    shown = display.failure(failed)
    assert shown[0] == "FAILED: extract 0003" and "  5 of 6 scans failed; look at them" in shown
    assert "  line 10" not in shown and f"  log: {log}" in shown
    assert "1 failed" in display.status_lines(made, 4.0, 200)[0]


def test_every_rule_has_a_stage_with_a_line() -> None:
    found = display.stages()
    assert len(found) > 40 and set(found.values()) == set(display.STAGES)
