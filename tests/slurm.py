"""The chain through SLURM: a scheduler on loopback, jobs that it kills, trainings that go on, results as without it.

`make slurm-test`. Two nodes, partitions cpu and gpu, GPUs that are files, no accounting. --whole runs every rule
(about 60 jobs); by default it ends with the table of associations.
"""

import argparse
import copy
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slurm_cluster
from conftest import CONFIG, ROOT, Project, copy_code, write_bids

SEEDS = {1: "TIMEOUT", 2: "CANCELLED", 3: "REQUEUED"}  # how each training is killed
HELD = 31.0  # seconds that a training is stopped in its first epochs: a checkpoint is written every 30 s
CHAIN = "results/tiny/associate/associations.tsv"
WEIGHTS = "results/tiny/train/vae/fold-0_seed-{}/weights.safetensors"
PAIR = "results/tiny/train/pair/fold-0_seed-{}/weights.safetensors"
TWO_NODES = (
    "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 python -m torch.distributed.run --nnodes=2 --nproc-per-node=1 "
    "--rdzv-backend=c10d --rdzv-id=$SLURM_JOB_ID --rdzv-endpoint=127.0.0.1:{port} -m"
)
FIRST_MEMORY = 150  # MB that pack is given at first, which is too little
PROFILE = ["--workflow-profile", "workflow/profiles/slurm", "--latency-wait", "10"]
QUICK = ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]
LINES: list[str] = []


def said(passed: bool | None, what: str, value: object, bar: str, n: int) -> None:
    """Print a check as it is found; passed None: it was skipped."""
    word = {True: "passed", False: "FAILED", None: "SKIPPED"}[passed]
    LINES.append(word)
    print(f"{word}: {what} {value} (bar {bar}), n {n}", flush=True)


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--launcher", type=Path, default=ROOT / ".launcher", help="environment with the SLURM plugin")
    asked.add_argument("--whole", action="store_true", help="every rule, not only up to the associations")
    asked.add_argument("--keep", action="store_true", help="leave the folder of the run")
    given = asked.parse_args()
    snakemake = given.launcher.resolve() / "bin" / "snakemake"
    reason = slurm_cluster.missing() or ("" if snakemake.exists() else f"no {snakemake}: make .launcher/done")
    if reason:
        said(None, "the chain through SLURM:", reason, "all of tests/slurm.py; then run: make slurm-test", 0)
        return closed()
    folder = Path(tempfile.mkdtemp(prefix="neurovae-slurm-"))
    folder.chmod(0o711)  # munge's socket is for all
    try:
        local, remote = prepared(folder, "local"), prepared(folder, "slurm")
        (folder / "cluster").mkdir()
        with slurm_cluster.cluster(folder / "cluster") as env:
            run = Runner(snakemake, remote, env)
            chain(run, given.whole)
            kills(run)
            processes(run)
        compared(local, remote, given.whole)
    except (TimeoutError, AssertionError, subprocess.SubprocessError) as error:
        said(False, "the run stopped:", str(error)[-3000:], "no error", 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True) if not given.keep else print(f"kept: {folder}")
    return closed()


def closed() -> int:
    """Print the count; the exit status."""
    print(", ".join(f"{LINES.count(word)} {word.lower()}" for word in ("passed", "FAILED", "SKIPPED")), flush=True)
    return int("FAILED" in LINES)


def prepared(folder: Path, name: str) -> Project:
    """The code with the tiny cohort; chain.yaml has one seed, kills.yaml three more, pair.yaml two processes."""
    project = Project(folder / name / "code")
    project.folder.mkdir(parents=True)
    copy_code(project.folder)
    write_bids(project.bids)
    config = copy.deepcopy(CONFIG)
    config["train"] = {"device": "cpu", "models": [{**config["train"]["models"][0], "epochs": 60, "patience": 60}]}
    config["associate"] = {"permutations": 199}
    config["predict"] = {"bootstraps": 100, "permutations": 19, "importance": 1}
    project.write(config, "chain.yaml")
    project.write({**config, "train": {**config["train"], "seeds": list(SEEDS)}}, "kills.yaml")
    pair = {**config["train"], "seeds": [4, 5], "processes": 2}
    pair["models"] = [{**pair["models"][0], "name": "pair", "epochs": 2}]
    project.write({**config, "train": pair}, "pair.yaml")
    return project


class Runner:
    """Snakemake as a user starts it on a login node: .venv's python on the PATH, the launcher by its path."""

    def __init__(self, snakemake: Path, project: Project, env: dict[str, str]) -> None:
        self.project, self.env = project, env
        kept = {name: value for name, value in env.items() if not name.startswith(("PYTHON", "SNAKEMAKE"))}
        self.full = {**kept, "PATH": f"{env['PATH'].split(os.pathsep)[0]}:{Path(sys.executable).parent}:{env['PATH']}"}
        self.command = [str(snakemake), *PROFILE, *QUICK]

    def start(self, config: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it; its output is in <config>.out."""
        command = [*self.command, "--configfile", config, *arguments]
        with (self.project.folder / f"{config}.out").open("wb") as out:
            return subprocess.Popen(
                command, cwd=self.project.folder, env=self.full, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )

    def finish(self, run: subprocess.Popen[bytes], config: str, seconds: float) -> str:
        """Wait for it, at most so long; its output."""
        try:
            run.wait(seconds)
        finally:
            if run.poll() is None:
                run.kill()
        text = (self.project.folder / f"{config}.out").read_text()
        assert run.returncode == 0, f"snakemake ended with {run.returncode}:\n{text[-6000:]}"
        return text

    def jobs(self, rule: str = "") -> list[dict[str, str]]:
        """The jobs of a rule in the order of submission."""
        found = slurm_cluster.jobs(self.env)
        return [job for job in found if re.match(f"rule_{rule}(_wildcards|$)" if rule else "", job["rule"])]


def chain(run: Runner, whole: bool) -> None:
    """The whole way with the profile; buckets as an array; the first attempt of pack has too little memory."""
    start = time.monotonic()
    memory = f"pack:mem_mb={FIRST_MEMORY} if attempt == 1 else 2000"
    more = ["--jobs", "20", "--slurm-array-jobs", "extract", "--set-resources", memory, *kept(run), "--"]
    text = run.finish(run.start("chain.yaml", *more, *([] if whole else [CHAIN])), "chain.yaml", 1500)
    listed = run.jobs()
    table(listed)
    ended = [job for job in listed if job["state"] == "COMPLETED"]
    said(len(ended) >= 20, "jobs through SLURM:", f"{len(ended)} completed in {time.monotonic() - start:.0f} s",
         "20 or more", len(listed))  # fmt: skip
    array = [job["id"] for job in run.jobs("extract") if "_" in job["id"]]
    said(len(array) == 4 and len({job.split("_")[0] for job in array}) == 1, "buckets in one array:",
         ", ".join(array), "4 tasks of one job", len(array))  # fmt: skip
    first, *later = run.jobs("pack")
    said(
        first["state"] in ("FAILED", "OUT_OF_MEMORY") and later[-1]["state"] == "COMPLETED",
        "killed for memory, tried again:",
        ", ".join(f"{job['memory']} {job['state']}" for job in [first, *later]),
        f"{FIRST_MEMORY}M fails, 2000M completes", len(later) + 1,
    )  # fmt: skip
    said("exceeded memory limit" in logs(run, "pack"), "SLURM's log says why:", "memory", "exceeded memory limit", 1)
    card = slurm_cluster.show(run.env, run.jobs("train")[0]["id"])
    said(card["Partition"] == "gpu" and "gpu" in card.get("TresPerJob", ""), "training asks for a GPU:",
         f"{card['Partition']}, {card.get('TresPerJob')}", "partition gpu, gres:gpu:1", 1)  # fmt: skip
    others = {job["partition"] for job in listed if "train" not in job["rule"]}
    said(others == {"cpu"}, "all other jobs:", ", ".join(others), "the default partition", len(listed))
    said("hang" not in text, "without accounting, squeue is asked:", "ended", "the run ends", 1)


def kept(run: Runner) -> list[str]:
    """What makes SLURM's logs stay, so that they can be read here."""
    return ["--slurm-keep-successful-logs"]


def logs(run: Runner, rule: str) -> str:
    found = sorted((run.project.folder / ".snakemake" / "slurm_logs" / f"rule_{rule}").rglob("*.log"))
    return "\n".join(path.read_text(errors="replace") for path in found)


def table(listed: list[dict[str, str]]) -> None:
    """List jobs and their states."""
    for job in listed:
        print("   " + "  ".join(f"{job[name]:<{width}}" for name, width in zip(job, (8, 11, 8, 12, 6, 40), strict=True)))


def kills(run: Runner) -> None:
    """Three trainings, each killed by the scheduler in its own way after its first checkpoint."""
    started = run.start("kills.yaml", "--jobs", "20", *kept(run), "--", *(WEIGHTS.format(seed) for seed in SEEDS))
    try:
        ids = {seed: slurm_cluster.wait(lambda seed=seed: find(run, seed), 120, f"no job of seed {seed}")
               for seed in SEEDS}  # fmt: skip
        training = {seed: Training(run, seed) for seed in SEEDS}
        states = dict.fromkeys(SEEDS, "")
        slurm_cluster.wait(lambda: all([each.at_checkpoint() for each in training.values()]), 400, "no checkpoints")
        before = {seed: slurm_cluster.show(run.env, ids[seed]) for seed in SEEDS}
        subprocess.run(["scontrol", "update", f"JobId={ids[1]}", "TimeLimit=1"], env=run.env, check=True)
        subprocess.run(["scancel", ids[2]], env=run.env, check=True)
        subprocess.run(["scontrol", "requeue", ids[3]], env=run.env, check=True)
        slurm_cluster.wait(lambda: slurm_cluster.show(run.env, ids[3])["JobState"] in ("PENDING", "RUNNING"), 60, "no")
        subprocess.run(["scontrol", "update", f"JobId={ids[3]}", "StartTime=now"], env=run.env, check=True)
        run.finish(started, "kills.yaml", 600)
    finally:
        if started.poll() is None:
            started.kill()
    table(run.jobs("train")[-5:])
    for seed, how in SEEDS.items():
        card = slurm_cluster.show(run.env, ids[seed])
        states[seed] = card["JobState"] if how != "REQUEUED" else f"REQUEUED x{card['Restarts']}"
        said(states[seed].startswith(how), f"seed {seed} was killed:", states[seed], how, 1)
        log = (run.project.results / "logs" / "train" / f"vae-fold-0_seed-{seed}.log").read_text()
        after = re.search(r"going on after epoch (\d+)", log)
        said(bool(after) and int(after[1]) > 0, f"seed {seed} goes on from its checkpoint, after epoch",
             after[1] if after else "none", "1 or more of 60", 1)  # fmt: skip
        again = find(run, seed) or ids[seed]
        if how != "REQUEUED":
            grown = slurm_cluster.show(run.env, again)
            said(
                grown["MinMemoryNode"] == "16000M" and before[seed]["MinMemoryNode"] == "8000M",
                f"seed {seed} asks for more memory the second time:",
                f"{before[seed]['MinMemoryNode']}, {before[seed]['TimeLimit']} -> {grown['MinMemoryNode']}, "
                f"{grown['TimeLimit']}",
                "8000M -> 16000M", 1,
            )  # fmt: skip


def find(run: Runner, seed: int) -> str:
    """The newest job of a seed's training; empty: none."""
    found = [job["id"] for job in run.jobs("train") if job["rule"].endswith(f"vae_0_{seed}")]
    return found[-1] if found else ""


class Training:
    """A training that is stopped in its first epochs until a checkpoint is due, and again once it is written."""

    def __init__(self, run: Runner, seed: int) -> None:
        self.results, self.seed = run.project.results, seed
        self.stopped = 0.0

    def at_checkpoint(self) -> bool:
        """Take the next step; true once the checkpoint is written and the training stands still."""
        log = self.results / "logs" / "train" / f"vae-fold-0_seed-{self.seed}.log"
        if not self.stopped and log.exists() and "epoch 1/" in log.read_text():
            self.signal(signal.SIGSTOP)
            self.stopped = time.monotonic()
        elif 0 < self.stopped < time.monotonic() - HELD:
            self.signal(signal.SIGCONT)
            self.stopped = float("inf")
        elif self.stopped == float("inf") and self.checkpoints():
            self.signal(signal.SIGSTOP)
            self.stopped = -1.0
        return self.stopped < 0

    def checkpoints(self) -> list[Path]:
        state = self.results / "train" / ".state" / "vae" / f"fold-0_seed-{self.seed}"
        return list(state.glob("*/epoch-*.safetensors"))

    def signal(self, number: int) -> None:
        """To the python process that trains, in this run's folder."""
        words = ["neurovae.train.fit", "--seed", str(self.seed)]
        for path in Path("/proc").glob("[0-9]*"):
            try:
                line = (path / "cmdline").read_bytes().decode().split("\0")
                if line[0].endswith("python") and all(word in line for word in words) and (
                    (path / "cwd").resolve() == self.results.parents[1].resolve()
                ) and line[line.index("--seed") + 1] == str(self.seed):  # fmt: skip
                    os.kill(int(path.name), number)
            except (OSError, ValueError):
                continue


def processes(run: Runner) -> None:
    """Two processes of one training: on one node by torchrun; on two nodes, one each, by srun and torchrun."""
    run.finish(run.start("pair.yaml", "--jobs", "20", *kept(run), "--", PAIR.format(4)), "pair.yaml", 400)
    one = slurm_cluster.show(run.env, run.jobs("train")[-1]["id"])
    said(one["JobState"] == "COMPLETED", "two processes on one node, torchrun:", one["JobState"], "COMPLETED", 1)
    launch = TWO_NODES.format(port=slurm_cluster.free(1)[0])
    nodes = [f"train:{name}" for name in ("nodes=2", "tasks=2", "gpu=0", "mpi='srun'", f"launch='{launch}'")]
    more = ["--jobs", "20", *kept(run), "--set-resources", *nodes, "--", PAIR.format(5)]
    run.finish(run.start("pair.yaml", *more), "pair.yaml", 400)
    two = slurm_cluster.show(run.env, run.jobs("train")[-1]["id"])
    said(two["JobState"] == "COMPLETED" and two["NumNodes"] == "2", "one process on each of two nodes, srun:",
         f"{two['JobState']} on {two['NodeList']}", "COMPLETED on two nodes", 1)  # fmt: skip


def compared(local: Project, remote: Project, whole: bool) -> None:
    """The same files as a run without SLURM, byte for byte."""
    for config, targets in (
        ("chain.yaml", [] if whole else [CHAIN]),
        ("kills.yaml", [WEIGHTS.format(seed) for seed in SEEDS]),
        ("pair.yaml", [PAIR.format(4), PAIR.format(5)]),
    ):
        done = local.snakemake("--cores", "2", "--", *targets, config=config)
        assert done.returncode == 0, done.stdout[-6000:]
    endings = (".parquet", ".tsv", ".json", ".safetensors", ".npy", ".nii.gz")
    stages = ("cohort", "preprocess", "train", "latents", "associate", *(("predict", "audit") if whole else ()))
    one, other = ({str(path.relative_to(project.results)): path.read_bytes() for stage in stages
                   for path in (project.results / stage).rglob("*") if path.name.endswith(endings)}
                  for project in (local, remote))  # fmt: skip
    differ = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    said(not differ, "files that differ from a run without SLURM:", f"{len(differ)} {differ[:5]}", "0", len(one))
    for seed in SEEDS:
        name = WEIGHTS.format(seed).removeprefix("results/tiny/")
        same = one[name] == other[name] and one[f"{Path(name).parent}/history.parquet"] == (
            other[f"{Path(name).parent}/history.parquet"]
        )
        said(same, f"seed {seed}, killed and gone on, weights and history:", "equal" if same else "differ",
             "equal to one that was not killed", 1)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
