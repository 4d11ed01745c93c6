"""What people and machines do to a run: two at once, a stale lock, a moved clock, no GPU, edits midway, other umasks."""

import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any

import yaml
from fault_ground import (
    LAST,
    LATENTS,
    WEIGHTS,
    Ground,
    Seen,
    again,
    await_job,
    configuration,
    contents,
    jobs,
    kill,
    planned,
    refused,
    started,
    unlock,
)
from project import Project
from tiny import SETTINGS, packed
from training import command

DAYS = 10 * 86400
GPU = """
import torch
from neurovae.cli import cli
from neurovae.train.models import vae
from neurovae.train import fit
GIB = 2**30
def exhausted(*given, **more):
    raise torch.OutOfMemoryError("CUDA out of memory")
class Card:
    total_memory = 80 * GIB
torch.cuda.memory_allocated = lambda device: 2 * GIB
torch.cuda.max_memory_allocated = lambda device: 79 * GIB
torch.cuda.reset_peak_memory_stats = lambda device: None
torch.cuda.get_device_properties = lambda device: Card
torch.nn.Module.to = lambda self, *given, **more: self
vae.processes.start = lambda device: (0, 1, torch.device("cuda"))
vae.gather = lambda *given: None
vae.train = exhausted
cli(fit.run)
"""  # a card that is not there, and that is full


def two_runs(ground: Ground) -> Seen:
    """A second run in the same folder while the first works."""
    project = _without(ground, "two", WEIGHTS)
    with started(project, target=WEIGHTS) as first:
        await_job(project, "train.fit")
        kill(jobs(project, "train.fit")[0], 19)  # stands still meanwhile
        refused(project, "Directory cannot be locked", target=WEIGHTS)
        kill(jobs(project, "train.fit")[0], 18)
        assert first.wait(300) == 0
    ground.whole(project)
    return Seen("the second is refused before its first job; the first goes on; same bytes", 0.0)


def _without(ground: Ground, name: str, *targets: str) -> Project:
    """A finished run without some of its files."""
    project = ground.copy(name)
    for target in targets:
        (project.folder / target).unlink()
    return project


def stale_lock(ground: Ground) -> Seen:
    """A lock that a run on another, vanished machine has left."""
    project = _without(ground, "lock", LAST)
    locks = project.folder / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text(LAST + "\n")
    refused(project, "It can be removed with the --unlock argument")
    seconds = unlock(project) + again(project)
    ground.whole(project)
    return Seen("named, with what to do (--unlock); same bytes", seconds)


def clock(ground: Ground) -> Seen:
    """Times from the future and the past, on data and on results."""
    project = ground.copy("clock")
    for folder, shift in ((project.bids, DAYS), (project.results, DAYS), (project.results, -20 * DAYS)):
        for path in folder.rglob("*"):
            os.utime(path, (time.time() + shift,) * 2)
        assert planned(project) == set(), f"{folder.name} by {shift} s"
    table = project.bids / "participants.tsv"
    old = table.stat()
    table.write_text(table.read_text().replace("\tM\t", "\tF\t", 1))
    os.utime(table, (0, 0))
    assert planned(project) == {"cohort", "univariate"}, planned(project)
    table.write_text(table.read_text())
    os.utime(table, (old.st_atime, old.st_mtime))
    ground.whole(project)
    return Seen(
        "times alone rerun nothing; a table edited under a time of 1970 is seen (cohort and univariate rerun)", 0.0
    )


def no_gpu(ground: Ground) -> Seen:
    """train.device is cuda, and there is none."""
    project = _without(ground, "gpu", WEIGHTS)
    config = configuration()
    project.write({**config, "train": {**config["train"], "device": "cuda"}}, "cuda.yaml")
    message = "train.device is cuda, but torch sees no GPU here"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        text = refused(project, message, config="cuda.yaml", target=WEIGHTS)
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    assert "Traceback" not in text
    ground.intact(project)
    seconds = again(project, target=WEIGHTS)
    ground.whole(project)
    return Seen("training ends with the message and what to do; with cpu or auto: same bytes", seconds)


def gpu_memory(ground: Ground) -> Seen:
    """Out of GPU memory in the first step, by a card that is made up."""
    folder = ground.folder / "memory"
    files = packed(folder)
    options: dict[str, Any] = {**SETTINGS, "batch": 8}
    env = {**os.environ, "PYTHONPATH": str(ground.before.folder / "src"), "OMP_NUM_THREADS": "1"}
    called = [sys.executable, "-c", GPU, *command(files, folder, options)]
    done = subprocess.run(called, env=env, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 1 and "Traceback" not in done.stdout, done.stdout[-3000:]
    advice = "out of GPU memory with 8 scans at a time: at least 79.0 of 80.0 GiB were taken"
    assert advice in done.stdout and "set accumulate: 2 (the step stays the same)" in done.stdout, done.stdout[-3000:]
    assert not list(folder.glob("*.safetensors"))
    return Seen("training ends with what was taken and what would fit (`set accumulate: 2`); nothing is written", 0.0)


def edited(ground: Ground) -> Seen:
    """A pin of an env file and a module's code, edited while a training runs."""
    project = _without(ground, "edited", WEIGHTS, LATENTS, LAST)
    pins, code = project.folder / "envs" / "train.yaml", project.folder / "src" / "neurovae" / "associate" / "glm.py"
    old = pins.read_text(), code.read_text()
    with started(project) as process:
        await_job(project, "train.fit")
        pins.write_text(re.sub(r"torch==[\d.]+", "torch==0.0.1", old[0]))
        code.write_text(old[1] + "\n\nEDITED = 1\n")
        assert process.wait(300) == 0
    ground.whole(project)
    rules = planned(project)
    assert rules == {"train", "health", "latents", "univariate"}, rules
    pins.write_text(old[0])
    assert planned(project) == {"univariate"}
    code.write_text(old[1])
    assert planned(project) == set()
    return Seen("the run ends as it began; the next one lists what the edits concern, and nothing once undone", 0.0)


def merged(ground: Ground) -> Seen:
    """Two configuration files: the later one over the earlier, and both over config/config.yaml."""
    project = ground.copy("merged")
    config = configuration()
    first = {"cohort": config["cohort"], "train": {"device": "auto", "models": [{"name": "gone", "kind": "vae"}]}}
    first["preprocess"] = {**config["preprocess"], "voxel_mm": 2}
    second = {"train": config["train"], "preprocess": {"voxel_mm": config["preprocess"]["voxel_mm"]}}
    rest = {key: config[key] for key in ("associate", "predict")}
    for name, part in (("first", first), ("second", {**second, **rest})):
        (project.folder / f"{name}.yaml").write_text(yaml.safe_dump(part))
    done = project.snakemake("-n", "--configfile", "first.yaml", "second.yaml", "--", LAST, config=None)
    assert "Nothing to be done" in done.stdout, done.stdout[-3000:]
    done = project.snakemake("-n", "--configfile", "second.yaml", "first.yaml", "--", LAST, config=None)
    assert "rule register:" in done.stdout and "rule extract:" not in done.stdout, done.stdout[-3000:]  # 2 mm wins
    return Seen("sections are merged, lists replaced, the later file wins; nothing reruns for how it was divided", 0.0)


def cohorts(ground: Ground) -> Seen:
    """Two cohorts in one folder, run at the same time."""
    project = ground.copy("cohorts", finished=False)
    config = configuration()
    project.write({**config, "cohort": {**config["cohort"], "name": "second"}}, "second.yaml")
    start, target = time.monotonic(), "results/{}/preprocess/normalise/0000.tsv"
    with started(project, target=target.format("tiny")) as first:
        await_job(project, "preprocess")
        second = again(project, target=target.format("second"), config="second.yaml")
        assert first.wait(300) == 0
    ground.intact(project)
    one, other = (contents(project.folder / "results" / name) for name in ("tiny", "second"))
    assert one == other and len(one) > 20
    assert second < time.monotonic() - start
    return Seen(f"both run, neither is locked out; no file is shared; {len(one)} files with the same bytes", 0.0)


def umask(ground: Ground) -> Seen:
    """A umask of 027: what is written may be read by the group and by nobody else."""
    project = _without(ground, "umask", WEIGHTS, LATENTS, LAST)
    (project.results / "preprocess" / "normalise" / "0000.tsv").unlink()
    shutil.rmtree(project.results / "benchmarks")  # Snakemake writes over the old ones, which keep their mode
    start, before = time.time(), os.umask(0o027)
    try:
        seconds = again(project)
        seconds += again(project, target="results/tiny/preprocess/normalise/0000.tsv")
    finally:
        os.umask(before)
    ground.whole(project)
    new = [path for path in project.results.rglob("*") if path.is_file() and path.stat().st_mtime > start]
    other = {path.name: oct(path.stat().st_mode) for path in new if path.stat().st_mode & 0o777 != 0o640}
    assert len(new) > 8 and not other, other
    return Seen(f"kept: {len(new)} new files with mode 640", 0.0)


def other_python(ground: Ground) -> Seen:
    """The environment was not activated: jobs find a python without the packages."""
    project = _without(ground, "python", LAST)
    bare = ground.folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    message = "this python lacks the packages of the rule: run `. .venv/bin/activate` first, or add --use-conda"
    command = [sys.executable, "-m", "snakemake", "--configfile", "my.yaml", "--cores", "1", "--", LAST]
    env = {**os.environ, "PATH": f"{bare / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"}
    done = subprocess.run(command, cwd=project.folder, env=env, text=True, capture_output=True)
    assert done.returncode != 0 and message in done.stdout + done.stderr, (done.stdout + done.stderr)[-3000:]
    ground.intact(project)
    seconds = again(project)
    ground.whole(project)
    return Seen("the first job says so and what to do; nothing is written; same bytes", seconds)
