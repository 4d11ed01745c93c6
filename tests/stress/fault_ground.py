"""What the faults stand on: a finished run to copy, jobs to kill, and the comparison with what nobody disturbed."""

import copy
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project import CONFIG, Project, copy_code, moved, write_bids
from slurm_cluster import wait

FIT = "fold-0_seed-0"
LAST = f"results/tiny/associate/vae/{FIT}/glm.parquet"
LATENTS = f"results/tiny/latents/vae/{FIT}/latents.parquet"
WEIGHTS = f"results/tiny/train/vae/{FIT}/weights.safetensors"
VOLUMES = "results/tiny/preprocess/volumes.npy"
ENDINGS = (".parquet", ".tsv", ".json", ".safetensors", ".npy", ".nii.gz", ".list")
ASIDE = {"benchmarks", "logs", ".state", ".provenance"}
EPOCHS = 20


class Skip(Exception):
    """This machine cannot show the fault; the reason."""


@dataclass(frozen=True)
class Seen:
    """What happened, for the table, and the seconds until all was as if nothing had been."""

    what: str
    seconds: float


@dataclass(frozen=True)
class Ground:
    """A cohort before anything ran, a finished run on it, the bytes that it gave, and a folder to work in."""

    folder: Path
    before: Project
    after: Project
    results: dict[str, bytes]

    def copy(self, name: str, finished: bool = True) -> Project:
        """One of the two at a place of its own, times included; what was there before is removed."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return moved(self.after if finished else self.before, self.folder / name)

    def intact(self, project: Project) -> None:
        """What lies under a final name is whole: each file has the bytes of the run that nobody disturbed."""
        found = contents(project.results)
        other = sorted(name for name in found if found[name] != self.results.get(name))
        assert not other, f"half-written or wrong: {other[:5]}"

    def whole(self, project: Project) -> None:
        """All is there, and equal."""
        self.intact(project)
        missing = sorted(self.results.keys() - contents(project.results).keys())
        assert not missing, f"lost: {missing[:5]}"


def configuration() -> dict[str, Any]:
    """The tiny cohort in two batches, one small VAE that trains for a few seconds, and its PCA."""
    config = copy.deepcopy(CONFIG)
    config["preprocess"]["batches"] = 2
    model = {**config["train"]["models"][0], "epochs": EPOCHS, "patience": EPOCHS}
    config["train"] = {"device": "cpu", "models": [model]}
    return config


def ground(folder: Path) -> Ground:
    """Run the chain up to the table of one model's associations."""
    before = Project(folder / "before" / "code")
    before.folder.mkdir(parents=True)
    copy_code(before.folder)
    write_bids(before.bids)
    before.write(configuration())
    after = moved(before, folder / "after")
    after.run(LAST)
    return Ground(folder, before, after, contents(after.results))


def contents(results: Path) -> dict[str, bytes]:
    """The bytes of all results, without logs, measured times and checkpoints."""
    paths = (path for path in results.rglob("*") if path.name.endswith(ENDINGS) and path.is_file())
    named = {str(path.relative_to(results)): path for path in paths}
    return {
        name: path.read_bytes()
        for name, path in named.items()
        if not ASIDE & set(path.parts) and not path.name.startswith(".")
    }


def left(project: Project) -> str:
    """Half-written files under their temporary names, as they are told of in the table."""
    found = [path for path in project.results.rglob(".*") if path.is_file() and path.name.split(".")[1].isdigit()]
    return ", ".join(sorted(path.name.split(".", 2)[2] for path in found))


def run(project: Project, *arguments: str, target: str = LAST, config: str = "my.yaml") -> tuple[int, str]:
    """Snakemake's exit status and all that it said."""
    done = project.snakemake("--cores", "2", *arguments, "--", target, config=config, fresh=True)
    return done.returncode, done.stdout


def again(project: Project, *arguments: str, target: str = LAST, config: str = "my.yaml") -> float:
    """The same command again, which must succeed; its seconds."""
    start = time.monotonic()
    status, text = run(project, *arguments, target=target, config=config)
    assert status == 0, text[-3000:]
    return time.monotonic() - start


def refused(project: Project, message: str, *arguments: str, target: str = LAST, config: str = "my.yaml") -> str:
    """A run that must end with a failure and this message; all that it said."""
    status, text = run(project, *arguments, target=target, config=config)
    assert status != 0, "the run succeeded"
    assert message in text, f"no {message!r} in:\n{text[-3000:]}"
    return text


def unlock(project: Project) -> float:
    """Remove the lock, as the message says; its seconds."""
    start = time.monotonic()
    done = project.snakemake("--unlock")
    assert done.returncode == 0, done.stdout[-3000:]
    return time.monotonic() - start


def same(one: Path, other: Path) -> None:
    """Two folders of results hold the same bytes."""
    first, second = contents(one), contents(other)
    differ = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    assert not differ, f"differ: {differ[:5]}"


def planned(project: Project, *arguments: str, target: str = LAST, config: str = "my.yaml") -> set[str]:
    """The rules that a dry run lists."""
    done = project.snakemake("-n", *arguments, "--", target, config=config)
    assert done.returncode == 0, done.stdout[-3000:]
    lines = done.stdout.splitlines()
    return {line.split()[-1].rstrip(":") for line in lines if line.startswith(("rule ", "localrule "))}


@contextmanager
def started(project: Project, *arguments: str, target: str = LAST, config: str = "my.yaml") -> Iterator[Any]:
    """Snakemake in the background, in a process group of its own; its output is in <config>.out. Its jobs end with it."""
    command = [sys.executable, "-m", "snakemake", "--configfile", config, "--cores", "2", *arguments, "--", target]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SNAKEMAKE"))}
    env = {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}
    with (project.folder / f"{config}.out").open("wb") as out:
        process = subprocess.Popen(
            command, cwd=project.folder, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=_heed,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pid in jobs(project):
            kill(pid)


def _heed() -> None:
    """Ctrl-C as in a terminal; a process that a script starts in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def jobs(project: Project, module: str = "") -> list[int]:
    """Python processes of this project's jobs, or of one module."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().decode(errors="replace")
            if f"\0-m\0neurovae.{module}" in line and (path / "cwd").resolve() == project.folder.resolve():
                found.append(int(path.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal; a process that has ended is left alone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def await_job(project: Project, module: str, ready: Callable[[], object] = lambda: True, seconds: float = 300) -> int:
    """Wait until a module's job runs and is ready; its process."""
    wait(lambda: bool(jobs(project, module)) and bool(ready()), seconds, f"no job of {module}")
    return jobs(project, module)[0]


def hook(project: Project, text: str) -> None:
    """Python that every job of this project runs first; the fingerprints of the code do not see it."""
    (project.folder / "src" / "sitecustomize.py").write_text(text)


def unhook(project: Project) -> None:
    """Jobs as they are."""
    (project.folder / "src" / "sitecustomize.py").unlink()


def log(project: Project, name: str) -> str:
    """What a job has said; empty: nothing yet."""
    path = project.results / "logs" / name
    return path.read_text(errors="replace") if path.exists() else ""


def work_folder() -> Path:
    """A new folder, which other users may enter."""
    folder = Path(tempfile.mkdtemp(prefix="neurovae-faults-"))
    folder.chmod(0o711)
    return folder
