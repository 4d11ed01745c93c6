"""A run on a terminal: one line per stage with jobs done, time left and running jobs; full logs stay in files.

A handler of Snakemake's logger. It replaces only the blocks that Snakemake prints for each job: warnings and errors
appear above the lines, and a failed job shows the end of its log. Without a terminal (in a file, a CI or a dry run)
Snakemake prints as usual. Standard library only.
"""

import logging
import re
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

RULES = Path(__file__).parents[3] / "workflow" / "rules"
STAGES = ("cohort", "rows", "preprocess", "blocks", "encode", "train", "fused", "latents", "associate", "predict",
          "trajectory", "supervised", "joint", "norm", "external", "audit", "findings", "interpret", "networks",
          "plots", "report")  # fmt: skip
EVERY = 0.5  # seconds between two drawings
STARTED = time.time()
TAIL = 25  # lines of a failed job's log that are shown
HIDDEN = ("job_info", "shellcmd", "job_started", "job_finished", "progress", "resources_info", "run_info",
          "job_error", "workflow_started")  # fmt: skip
WILDCARD = ("batch", "model", "fold", "seed", "trial")  # those that tell jobs of one rule apart


@dataclass
class Job:
    """One running job."""

    rule: str
    name: str  # with its wildcards
    log: str
    start: float


@dataclass
class State:
    """The state of a run, from the events so far."""

    stage: dict[str, str]  # by rule
    total: dict[str, int] = field(default_factory=dict)  # jobs by rule
    done: dict[str, list[float]] = field(default_factory=dict)  # seconds of the finished jobs, by rule
    failed: dict[str, int] = field(default_factory=dict)  # by rule
    running: dict[int, Job] = field(default_factory=dict)  # by job id
    begun: dict[str, float] = field(default_factory=dict)  # by stage
    ended: dict[str, float] = field(default_factory=dict)  # by stage


def attach(workflow: Any) -> None:
    """Show a run of the workflow line by line, where it writes to a terminal and is no dry run."""
    if sys.stderr.isatty() and workflow.is_main_process and not workflow.output_settings.dryrun:
        stream = next((one for one in _logger().handlers if one.name == "DefaultStreamHandler"), None)
        if stream is not None:  # else another logger was asked for
            display = Display(sys.stderr, stages())
            stream.addFilter(display.passes)
            _logger().addHandler(display)


def finish(cohort: str) -> None:
    """Print the summary of the run, if this run has written it, and the path of the report."""
    for handler in _logger().handlers:
        if isinstance(handler, Display):
            handler.close()
    folder = Path("results", cohort, "report")
    summary, report = folder / "summary.txt", folder / "report.html"
    if report.is_file() and report.stat().st_mtime > STARTED:
        print(f"\n{summary.read_text(encoding='utf-8')}\nreport: {report.resolve()}")


def _logger() -> logging.Logger:
    return logging.getLogger("snakemake.logging")


def stages() -> dict[str, str]:
    """Return the stage of each rule: the name of its file."""
    stage_of_rule: dict[str, str] = {}
    for path in RULES.glob("*.smk"):
        rules = re.findall(r"^ *rule (\w+):$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        stage_of_rule |= dict.fromkeys(rules, path.stem)
    return stage_of_rule


class Display(logging.Handler):
    """Follows the events of a run and draws its state over the last drawing, twice a second."""

    def __init__(self, out: TextIO, stage: dict[str, str]) -> None:
        super().__init__()
        self.out, self.state, self.shown = out, State(stage), 0
        self.on = threading.Event()
        self.thread = threading.Thread(target=self._keep_drawing, daemon=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Handle one event; the first that names the jobs starts the drawing."""
        event = str(getattr(record, "event", None) or "")
        failed = note(self.state, event, vars(record), time.monotonic())
        if failed:
            self._above(failure(failed))
        if self.state.total and not self.thread.ident:
            self.thread.start()

    def passes(self, record: logging.LogRecord) -> bool:
        """Whether Snakemake prints a record as well; if so, the lines make room for it."""
        event = str(getattr(record, "event", None) or "")
        is_chatter = self.state.total and not event and record.levelno < logging.WARNING
        if event in HIDDEN or is_chatter or "CalledProcessError" in record.getMessage():  # the log says why it failed
            return False
        self.acquire()
        self._erase()
        self.release()
        return True

    def close(self) -> None:
        """Draw the last state, which stays; only once."""
        is_drawing = self.thread.ident and not self.on.is_set()
        self.on.set()
        if is_drawing:
            self.thread.join()
            self._draw()
            self.shown = 0
        super().close()

    def _keep_drawing(self) -> None:
        while not self.on.wait(EVERY):
            self.acquire()
            self._draw()
            self.release()

    def _above(self, lines: Sequence[str]) -> None:
        self._erase()
        self.out.write("\n".join(lines) + "\n")

    def _erase(self) -> None:
        self.out.write(f"\x1b[{self.shown}F\x1b[J" if self.shown else "")
        self.out.flush()
        self.shown = 0

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
        lines = status_lines(self.state, time.monotonic(), size.columns)[: size.lines - 1]
        self._erase()
        self.out.write("".join(f"{line}\n" for line in lines))
        self.out.flush()
        self.shown = len(lines)


def note(state: State, event: str, fields: dict[str, Any], now: float) -> Job | None:
    """Handle an event of Snakemake's logger; return a job that failed."""
    if event == "run_info":
        stats = fields.get("stats") or {}
        state.total = {rule: count for rule, count in stats.items() if rule in state.stage}
    elif event == "job_info" and fields.get("rule_name") in state.stage:
        rule, wildcards = fields["rule_name"], dict(fields.get("wildcards") or {})
        name = " ".join([rule, *(str(wildcards[key]) for key in WILDCARD if key in wildcards)])
        log = str(next(iter(fields.get("log") or []), ""))
        state.running[fields["jobid"]] = Job(rule, name, log, now)
        state.begun.setdefault(state.stage[rule], now)
    elif event == "job_finished":
        job = state.running.pop(fields["job_id"], None)
        if job is not None:
            state.done.setdefault(job.rule, []).append(now - job.start)
            state.ended[state.stage[job.rule]] = now
    elif event == "job_error":
        job = state.running.pop(fields["jobid"], None)
        if job is not None:
            state.failed[job.rule] = state.failed.get(job.rule, 0) + 1
            return job
    return None


def status_lines(state: State, now: float, width: int) -> list[str]:
    """Return a line per stage with jobs in this run, no wider than the terminal."""
    lines = []
    for stage in STAGES:
        rules = [rule for rule in state.total if state.stage[rule] == stage]
        if not rules:
            continue
        total, n_done = sum(state.total[rule] for rule in rules), sum(len(state.done.get(rule, [])) for rule in rules)
        n_failed = sum(state.failed.get(rule, 0) for rule in rules)
        jobs = [job for job in state.running.values() if job.rule in rules]
        words = [f"{stage:<11}{n_done:>4}/{total:<4}"]
        if n_failed:
            words.append(f"{n_failed} failed")
        if n_done == total:
            words.append(f"done in {clock(state.ended[stage] - state.begun[stage])}")
        elif jobs:
            seconds_left = time_left(state, rules, jobs, now)
            words += [
                f"about {clock(seconds_left)} left" if seconds_left is not None else clock(now - state.begun[stage])
            ]
            words += [f"{job.name}: {last_line(job.log)}".rstrip(": ") for job in jobs]
        lines.append("  ".join(words)[: width - 1])
    return lines


def time_left(state: State, rules: list[str], jobs: list[Job], now: float) -> float | None:
    """Estimate the seconds that a stage still takes with as many jobs at a time as now; None before its first job has
    finished.

    A job is expected to take the mean time of the finished jobs of its rule, or of the stage where its rule has none.
    """
    finished = [seconds for rule in rules for seconds in state.done.get(rule, [])]
    if not finished:
        return None
    seconds_left = 0.0
    for rule in rules:
        durations = state.done.get(rule) or finished
        mean = sum(durations) / len(durations)
        seconds_left += (state.total[rule] - len(state.done.get(rule, []))) * mean
        seconds_left -= sum(min(now - job.start, mean) for job in jobs if job.rule == rule)
    return seconds_left / max(len(jobs), 1)


def clock(seconds: float) -> str:
    """Format minutes and seconds, with hours where there are any."""
    minutes, seconds_left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds_left:02d}" if hours else f"{minutes}:{seconds_left:02d}"


def tail(path: str, lines: int, max_bytes: int = 20_000) -> list[str]:
    """Return the last non-empty lines of a log."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - max_bytes))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()][-lines:]


def last_line(path: str) -> str:
    """Return the last line of a running job's log: its person, epoch or permutation."""
    return " ".join(next(iter(tail(path, 1, 2000)), "").split())


def failure(job: Job) -> list[str]:
    """Return the text for a failed job: the end of its log, which says what to do, and the path of the log."""
    return [f"FAILED: {job.name}", *(f"  {line}" for line in tail(job.log, TAIL)), f"  log: {job.log or 'none'}", ""]
