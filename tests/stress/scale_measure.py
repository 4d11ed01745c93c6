"""What tests/stress/scale.py measures with: a command's CPU seconds and peak memory, and a BIDS tree of empty scans."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project import Project

EVERY = 0.02  # seconds between two looks at the memory
HEADER = "participant_id\tage\tsex\tsite\tseverity\n"


@dataclass(frozen=True)
class Cost:
    """A command's CPU and wall seconds, and its peak memory, MB: all of it, and its own without pages of mapped files."""

    status: int
    cpu: float
    wall: float
    whole: float
    own: float


def measured(
    command: list[str], out: Path, *, most: float = 1e9, cwd: Path | None = None, env: dict[str, str] | None = None
) -> Cost:
    """Run a command to its end, its output to `out`; it is killed where its own memory passes `most` MB."""
    start, whole, own = time.monotonic(), 0, 0
    with out.open("wb") as file:
        job = subprocess.Popen(command, cwd=cwd, env=env, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        while not (found := os.wait4(job.pid, os.WNOHANG))[0]:
            peak, now = _memory(job.pid)
            whole, own = max(whole, peak), max(own, now)
            if own / 1000 > most:
                os.kill(job.pid, signal.SIGKILL)
            time.sleep(EVERY)
    job.returncode = os.waitstatus_to_exitcode(found[1])
    cpu = found[2].ru_utime + found[2].ru_stime
    return Cost(job.returncode, cpu, time.monotonic() - start, whole / 1000, own / 1000)


def _memory(pid: int) -> tuple[int, int]:
    """Peak of a process's memory, and what it holds now that no file stands behind, kB; zeros once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    found = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmHWM:", "RssAnon:"))}
    return found.get("VmHWM", 0), found.get("RssAnon", 0)


def surroundings(code: Path) -> dict[str, str]:
    """What a rule's shell sets (workflow/rules/common.smk), for the package in `code`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SNAKEMAKE"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    fixed = {"PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**kept, **fixed, "PATH": path, "PYTHONPATH": str(code / "src")}


def person(number: int) -> str:
    """`sub-0000001` and so on, seven digits as in UK Biobank."""
    return f"sub-{number:07d}"


def plant(root: Path, numbers: Iterable[int]) -> None:
    """Add people with an empty scan each, and their rows."""
    table = root / "participants.tsv"
    root.mkdir(parents=True, exist_ok=True)
    rows = [] if table.exists() else [HEADER]
    for number in numbers:
        name = person(number)
        (root / name / "anat").mkdir(parents=True)
        (root / name / "anat" / f"{name}_T1w.nii.gz").touch()
        known = f"{50 + number % 30}\t{'MF'[number % 2]}\t{'ABC'[number % 3]}\t{number * 7919 % 1000 / 1000}"
        rows.append(f"{name}\t{known}\n")
    with table.open("a") as file:
        file.writelines(rows)


def config(name: str, bids: str, batches: int) -> dict[str, Any]:
    """A cohort with the default model, one score and two confounds."""
    confounds = [{"name": "age", "type": "continuous"}, {"name": "sex", "type": "categorical"}]
    cohort: dict[str, Any] = {"name": name, "bids": bids, "site": "site", "confounds": confounds}
    cohort["scores"] = [{"name": "severity", "type": "continuous"}]
    return {"cohort": cohort, "preprocess": {"batches": batches}}


def snakemake(project: Project, *arguments: str, python: Path | None = None) -> tuple[Cost, str]:
    """Snakemake as a user starts it, measured; and what it says. It must succeed.

    python: folder of another `python` for the jobs.
    """
    out = project.folder.parent / "said.txt"
    command = [sys.executable, "-m", "snakemake", "--configfile", "my.yaml", *arguments]
    env = surroundings(project.folder)
    env["PATH"] = f"{python}{os.pathsep}{env['PATH']}" if python else env["PATH"]
    cost = measured(command, out, cwd=project.folder, env=env)
    text = out.read_text(errors="replace")
    assert cost.status == 0, f"snakemake {' '.join(arguments)}: {text[-3000:]}"
    return cost, text
