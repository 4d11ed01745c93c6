"""What tests/scale.py measures with: a command's CPU seconds and peak memory, and a BIDS tree of empty scans."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from conftest import Project

EVERY = 0.02  # seconds between two looks at the memory
HEADER = "participant_id\tage\tsex\tsite\tseverity\n"


@dataclass(frozen=True)
class Cost:
    """A command's CPU and wall seconds, and its peak memory, MB: all of it, and its own without mapped files."""

    status: int
    cpu: float
    wall: float
    whole: float
    own: float


def measured(command: list[str], out: Path, *, cwd: Path | None = None, env: dict[str, str] | None = None) -> Cost:
    """Run a command to its end; its output is in `out`."""
    start, own = time.monotonic(), 0
    with out.open("wb") as file:
        job = subprocess.Popen(command, cwd=cwd, env=env, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        while True:
            found, status, used = os.wait4(job.pid, os.WNOHANG)
            if found:
                break
            own = max(own, _anonymous(job.pid))
            time.sleep(EVERY)
    job.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    return Cost(job.returncode, used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1000, own / 1000)


def _anonymous(pid: int) -> int:
    """Memory of a process that no file stands behind, kB; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


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
    root.mkdir(exist_ok=True)
    rows = [] if table.exists() else [HEADER]
    for number in numbers:
        name = person(number)
        (root / name / "anat").mkdir(parents=True)
        (root / name / "anat" / f"{name}_T1w.nii.gz").touch()
        known = f"{50 + number % 30}\t{'MF'[number % 2]}\t{'ABC'[number % 3]}\t{number * 7919 % 1000 / 1000}"
        rows.append(f"{name}\t{known}\n")
    with table.open("a") as file:
        file.writelines(rows)


def config(name: str, bids: Path, buckets: int) -> dict[str, object]:
    """A cohort with the default model, one score and two confounds."""
    confounds = [{"name": "age", "type": "continuous"}, {"name": "sex", "type": "categorical"}]
    cohort = {"name": name, "bids": str(bids), "site": "site", "confounds": confounds}
    cohort["scores"] = [{"name": "severity", "type": "continuous"}]
    return {"cohort": cohort, "preprocess": {"buckets": buckets}}


def dry_run(project: Project, settings: dict[str, object], *more: str) -> tuple[Cost, str]:
    """`snakemake -n` as a user types it, measured; and what it lists."""
    (project.folder / "my.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    out = project.folder.parent / "dry.txt"
    command = [sys.executable, "-m", "snakemake", "-n", "--configfile", "my.yaml", *more]
    cost = measured(command, out, cwd=project.folder, env=surroundings(project.folder))
    return cost, out.read_text(errors="replace")
