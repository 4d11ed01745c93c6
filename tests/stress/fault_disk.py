"""Disks that are full, that may not be written to, and that show files late."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fault_ground import (
    LAST,
    LATENTS,
    VOLUMES,
    Ground,
    Seen,
    Skip,
    again,
    await_job,
    hook,
    log,
    refused,
    started,
    unhook,
)
from fault_kills import TRAINING, checkpoints, untrained, went_on
from project import Project
from slurm_cluster import wait

LATE = """
import os, subprocess
inner = os.replace
def replace(source, target, **more):
    if os.path.basename(target) != "latents.parquet":
        return inner(source, target, **more)
    inner(source, f"{target}.late")
    command = ["sh", "-c", 'sleep 6; mv "$0" "$1"', f"{target}.late", str(target)]
    quiet = subprocess.DEVNULL
    subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
os.replace = replace
"""  # as a network file system that shows a file only after a while
FULL = "No space left on device"


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """The folder, with what it holds, on a disk of its own in memory."""
    with tempfile.TemporaryDirectory() as aside:
        shutil.copytree(folder, aside, dirs_exist_ok=True)
        mount("-t", "tmpfs", "-o", "size=1g", "tmpfs", str(folder))
        try:
            shutil.copytree(aside, folder, dirs_exist_ok=True)
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*arguments: str) -> None:
    """Mount; Skip where that may not be done."""
    if not shutil.which("mount"):
        raise Skip("no program mount; install it: apt-get install mount")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"mount: {done.stderr.strip()}; run as root: make fault-test")


def size(folder: Path, spare: int) -> None:
    """Give the disk so many free bytes."""
    found = os.statvfs(folder)
    taken = (found.f_blocks - found.f_bfree) * found.f_frsize
    mount("-o", f"remount,size={taken + spare}", str(folder))


def full_packing(ground: Ground) -> Seen:
    """While volumes are packed."""
    return _full(ground, VOLUMES, 1_000_000)


def full_table(ground: Ground) -> Seen:
    """While latents are written as Parquet."""
    return _full(ground, LATENTS, 4096)


def _full(ground: Ground, target: str, spare: int) -> Seen:
    project = ground.copy("full")
    (project.folder / target).unlink()
    folder = project.results / Path(target).relative_to("results/tiny").parts[0]
    with disk(folder):
        size(folder, spare)
        refused(project, FULL, target=target)
        ground.intact(project)
        beside = [path for path in folder.rglob(".*") if path.is_file() and path.suffix == Path(target).suffix]
        assert not beside, f"{beside} keep the disk full"
        size(folder, 10**8)
        seconds = again(project, target=target)
        ground.whole(project)
    return Seen(
        "that job's work is lost; the message; nothing half-written stays; with room again: same bytes", seconds
    )


def full_checkpoint(ground: Ground) -> Seen:
    """While a training writes a checkpoint."""
    project = untrained(ground)
    folder = project.results / "train"
    with disk(folder):
        with started(project) as process:
            await_job(project, "train.fit", lambda: len(checkpoints(project)) == 2)
            size(folder, 0)
            assert process.wait(300) != 0
        assert FULL in log(project, TRAINING), log(project, TRAINING)
        ground.intact(project)
        size(folder, 10**8)
        return went_on(ground, project, "the training ends with the message; the two checkpoints before are kept")


def read_only_results(ground: Ground) -> Seen:
    """Results that may not be written to, even by root."""
    project = ground.copy("read-only")
    (project.folder / LATENTS).unlink()
    with disk(project.results):
        mount("-o", "remount,ro", str(project.results))
        refused(project, "Read-only file system", target=LATENTS)
        ground.intact(project)
        mount("-o", "remount,rw", str(project.results))
        seconds = again(project, target=LATENTS)
        ground.whole(project)
    return Seen("no job starts; the message; writable again: same bytes", seconds)


def read_only_data(ground: Ground) -> Seen:
    """Scans and tables that may not be written to: nothing of it is needed."""
    project = ground.copy("read-only", finished=False)
    with disk(project.bids):
        mount("-o", "remount,ro", str(project.bids))
        seconds = again(project, target="results/tiny/preprocess/register/0000.tsv")
        ground.intact(project)
    return Seen("nothing: the data are only read; same bytes", seconds)


def late(ground: Ground) -> Seen:
    """A file shows up 6 s after its job has ended, and 20 s are waited."""
    project = _late(ground)
    seconds = again(project, "--latency-wait", "20")
    ground.whole(project)
    return Seen("with latency-wait 20 the run waits for it; same bytes", seconds)


def too_late(ground: Ground) -> Seen:
    """A file shows up 6 s after its job has ended, and 2 s are waited."""
    project = _late(ground)
    refused(project, "MissingOutputException", "--latency-wait", "2")
    wait(lambda: not list(project.results.rglob("*.late")), 300, "the file never came")
    ground.intact(project)
    unhook(project)
    seconds = again(project)
    ground.whole(project)
    return Seen(
        "the job fails with MissingOutputException, which names latency-wait; it is done again; same bytes", seconds
    )


def _late(ground: Ground) -> Project:
    project = ground.copy("late")
    for name in (LATENTS, LAST):
        (project.folder / name).unlink()
    hook(project, LATE)
    return project


def vanished(ground: Ground) -> Seen:
    """A preprocessed image that the manifest lists was removed, as by the cleaning of a scratch disk."""
    project = ground.copy("vanished")
    (project.folder / VOLUMES).unlink()
    next(iter(sorted((project.results / "preprocess" / "derivatives").rglob("*desc-preproc_T1w.nii.gz")))).unlink()
    advice = "listed in the manifest, missing on disk; rerun with --forcerun normalise"
    refused(project, advice, target=VOLUMES)
    ground.intact(project)
    seconds = again(project, "--forcerun", "normalise", target=VOLUMES)
    ground.whole(project)
    return Seen(
        "pack names it and what to do (--forcerun normalise): that scan alone is made again; same bytes", seconds
    )
