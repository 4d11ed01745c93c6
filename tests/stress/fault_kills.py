"""Jobs and Snakemake killed at work: by kill -9, by SIGTERM, by Ctrl-C, all at once, and one process of several."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fault_ground import (
    EPOCHS,
    LAST,
    LATENTS,
    VOLUMES,
    WEIGHTS,
    Ground,
    Seen,
    again,
    await_job,
    configuration,
    hook,
    jobs,
    kill,
    left,
    log,
    planned,
    refused,
    same,
    started,
    unhook,
    unlock,
)
from project import Project
from slurm_cluster import wait
from tiny import SETTINGS, packed
from training import command, written

MIDWAY = """
import os, signal
inner = os.replace
def replace(source, target, **more):
    if os.path.basename(target) == {name!r}:
        os.truncate(source, os.path.getsize(source) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(source, target, **more)
os.replace = replace
"""  # killed when half of a file is written
OFTEN = """
import os, time
inner = time.monotonic
if "RANK" in os.environ or "TORCHELASTIC_RUN_ID" not in os.environ:
    time.monotonic = lambda: 1000 * inner()
"""  # a checkpoint after every epoch: 30 s seem to have passed; not in torchrun itself
TRAINING = f"train/vae-{Path(WEIGHTS).parent.name}.log"


def registration(ground: Ground) -> Seen:
    """Real ANTs; killed when the first scan is done and the second is in hand."""
    calm, project = (few(ground, name) for name in ("calm", "killed"))
    target = "results/tiny/preprocess/register/0000.tsv"
    again(calm, target=target)
    name = "preprocess/register-0000.log"
    with started(project, target=target) as snakemake:
        kill(await_job(project, "preprocess.register", lambda: "1/5 sub-01: ok" in log(project, name)))
        assert snakemake.wait(300) != 0
    assert not (project.folder / target).exists()
    done = registered(project)
    seconds = again(project, target=target)
    assert 0 < len(done) < 5 and done == {path: registered(project)[path] for path in done}, "done again"
    same(calm.results, project.results)
    return Seen(f"the scan in hand is lost; {len(done)} of 5 are kept; same bytes", seconds)


def few(ground: Ground, name: str) -> Project:
    """Five people in one batch, registered by ANTs."""
    project = ground.copy(name, finished=False)
    for number in range(6, 26):
        shutil.rmtree(project.bids / f"sub-{number:02d}")
    config = configuration()
    config["cohort"]["folds"] = {"n": 2}
    config["preprocess"] |= {"batches": 1, "register": {"transform": "affine", "bias_field": "none", "template_mm": 4}}
    config["train"]["models"][0]["n_latent"] = 1
    project.write(config)
    return project


def registered(project: Project) -> dict[str, int]:
    """Time of each registered brain's record."""
    found = (project.results / "preprocess" / "derivatives").rglob("*_space-*_desc-brain_T1w.json")
    return {path.name: path.stat().st_mtime_ns for path in found}


def packing(ground: Ground) -> Seen:
    """Killed when half of the packed volumes is written."""
    return _midway(ground, VOLUMES)


def parquet(ground: Ground) -> Seen:
    """Killed when half of the latents is written."""
    return _midway(ground, LATENTS)


def _midway(ground: Ground, target: str) -> Seen:
    project = ground.copy("midway")
    (project.folder / target).unlink()
    hook(project, MIDWAY.format(name=Path(target).name))
    refused(project, "Killed", target=target)
    assert not (project.folder / target).exists()
    ground.intact(project)
    rest = left(project)
    unhook(project)
    seconds = again(project, target=target)
    ground.whole(project)
    stays = "; stays there" if left(project) else ", removed by the next run"
    return Seen(f"its work is lost; half a file lies beside the final name (.<pid>.{rest}){stays}; same bytes", seconds)


def training(ground: Ground) -> Seen:
    """Killed after its second checkpoint."""
    project = untrained(ground)
    with started(project) as snakemake:
        kill(await_job(project, "train.fit", lambda: len(checkpoints(project)) == 2))
        assert snakemake.wait(300) != 0
    ground.intact(project)
    return went_on(ground, project, "the epochs since its last checkpoint are lost")


def untrained(ground: Ground) -> Project:
    """A finished run without the weights, whose training writes a checkpoint after every epoch."""
    project = ground.copy("untrained")
    for name in (WEIGHTS, LATENTS, LAST):
        (project.folder / name).unlink()
    hook(project, OFTEN)
    return project


def checkpoints(project: Project) -> list[Path]:
    """Those written so far."""
    return list((project.results / "train" / ".state").rglob("epoch-*.safetensors"))


def went_on(ground: Ground, project: Project, lost: str) -> Seen:
    """The same command again trains on from a checkpoint, and ends with the same bytes."""
    unhook(project)
    seconds = again(project)
    found = re.search(r"going on after epoch (\d+)", log(project, TRAINING))
    assert found and 0 < int(found[1]) < EPOCHS, log(project, TRAINING)
    ground.whole(project)
    assert not checkpoints(project)
    return Seen(f"{lost}; it goes on after epoch {found[1]} of {EPOCHS}; same bytes", seconds)


def snakemake(ground: Ground) -> Seen:
    """Snakemake alone, while a training runs."""
    project = untrained(ground)
    with started(project) as process:
        await_job(project, "train.fit", lambda: len(checkpoints(project)) == 2)
        kill(process.pid)
        process.wait()
        refused(project, "It can be removed with the --unlock argument")
        wait(lambda: not jobs(project), 300, "the job does not end")
    assert (project.folder / WEIGHTS).exists(), "the job did not run on"
    ground.intact(project)
    unhook(project)
    seconds = unlock(project) + again(project)
    ground.whole(project)
    return Seen(
        "its job runs on to its end; then the lock is named; --unlock; that job is done again; same bytes", seconds
    )


def power(ground: Ground) -> Seen:
    """Snakemake and its jobs at once, as when the machine goes off."""
    project = untrained(ground)
    with started(project) as process:
        await_job(project, "train.fit", lambda: len(checkpoints(project)) == 2)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    ground.intact(project)
    refused(project, "It can be removed with the --unlock argument")
    seconds = unlock(project)
    seen = went_on(ground, project, "the lock is named; --unlock; the epochs since the last checkpoint are lost")
    return Seen(seen.what, seconds + seen.seconds)


def sigterm(ground: Ground) -> Seen:
    """What a scheduler or `kill` sends to Snakemake."""
    project = untrained(ground)
    unhook(project)
    with started(project) as process:
        await_job(project, "train.fit")
        kill(process.pid, signal.SIGTERM)
        assert process.wait(300) != 0
    ground.intact(project)
    assert (project.folder / WEIGHTS).exists() and not (project.folder / LATENTS).exists()
    assert "train" not in planned(project)
    seconds = again(project)
    ground.whole(project)
    return Seen("the job in hand is finished and kept, no other is started, no lock is left; same bytes", seconds)


def interrupt(ground: Ground) -> Seen:
    """Ctrl-C: the terminal sends it to Snakemake and its jobs."""
    project = untrained(ground)
    with started(project) as process:
        await_job(project, "train.fit", lambda: len(checkpoints(project)) == 2)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(300) != 0
    ground.intact(project)
    return went_on(ground, project, "the job in hand ends, no lock is left")


def worker(ground: Ground) -> Seen:
    """One of two processes of a training, by kill -9."""
    files = packed(ground.folder / "worker")
    calm, other = (ground.folder / "worker" / name for name in ("calm", "killed"))
    assert _pair(ground, files, calm).wait(300) == 0, "two processes"
    process = _pair(ground, files, other)
    wait(lambda: len(list(other.rglob("epoch-*.safetensors"))) == 2, 300, "no checkpoints")
    kill(_ranked(process.pid, 1))
    assert process.wait(300) != 0
    assert "Signal 9 (SIGKILL) received by PID" in (other / "log").read_text()
    assert not (other / "w.safetensors").exists()
    start = time.monotonic()
    assert _pair(ground, files, other).wait(300) == 0
    assert "going on after epoch" in (other / "log").read_text()
    assert written(other) == written(calm)
    return Seen("torchrun ends the other one and names the signal; it goes on; same bytes", time.monotonic() - start)


def _pair(ground: Ground, files: dict[str, Path], folder: Path) -> subprocess.Popen[bytes]:
    """Train with two processes."""
    hooked = ground.folder / "worker" / "hook"
    hooked.mkdir(exist_ok=True)
    (hooked / "sitecustomize.py").write_text(OFTEN)
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join([str(hooked), str(ground.before.folder / "src")])
    options: dict[str, Any] = {**SETTINGS, "epochs": 12, "patience": 12}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    called = [*torchrun, "neurovae.train.fit", *command(files, folder, options)]
    with (folder / "log").open("wb") as out:
        return subprocess.Popen(
            called, env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, stdout=out, stderr=out,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip


def _ranked(parent: int, rank: int) -> int:
    """The child that torchrun has given this rank."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return next(
        int(child) for child in children if f"\0RANK={rank}\0".encode() in Path(f"/proc/{child}/environ").read_bytes()
    )
