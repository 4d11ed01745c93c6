"""The chain through SLURM: a scheduler on loopback, jobs that it kills, trainings that go on, results as without it.

`make slurm-test`. Two nodes, partitions cpu and gpu, GPUs that are device files, no accounting. The chain ends with the
table of associations; --whole runs every rule.
"""

import argparse
import copy
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import slurm_cluster
from lines import closed, said
from project import CONFIG, ROOT, Project, copy_code, write_bids
from slurm_run import Runner, Training, table

KILLED = {1: "TIMEOUT", 2: "CANCELLED", 3: "REQUEUED"}  # seed: how its training ends at first
CHAIN = ["results/tiny/findings/associations.tsv"]
WEIGHTS = [f"results/tiny/train/vae/fold-0_seed-{seed}/weights.safetensors" for seed in KILLED]
PAIR = [f"results/tiny/train/pair/fold-0_seed-{seed}/weights.safetensors" for seed in (4, 5)]
TWO_NODES = (
    "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 python -m torch.distributed.run --nnodes=2 --nproc-per-node=1 "
    "--rdzv-backend=c10d --rdzv-id=$SLURM_JOB_ID --rdzv-endpoint=127.0.0.1:{port} -m"
)
BATCHES = 2
SHORT = 150  # MB that pack is given at first, which is too little
ENDINGS = (".parquet", ".tsv", ".json", ".safetensors", ".npy", ".nii.gz")


def main() -> int:
    """Run all of it in a folder of its own; the exit status."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--launcher", type=Path, default=ROOT / ".launcher", help="environment with the SLURM plugin")
    asked.add_argument("--whole", action="store_true", help="every rule")
    asked.add_argument("--keep", action="store_true", help="leave the folder of the run")
    given = asked.parse_args()
    snakemake = given.launcher.absolute() / "bin" / "snakemake"
    reason = slurm_cluster.missing() or ("" if snakemake.exists() else f"no {snakemake}: make .launcher/done")
    if reason:
        said(None, "the chain through SLURM:", reason, "then: make slurm-test", 0)
        return closed()
    folder = Path(tempfile.mkdtemp(prefix="neurovae-slurm-"))
    folder.chmod(0o711)  # munge's socket is for all
    try:
        _all(folder, snakemake, [] if given.whole else CHAIN)
    except (TimeoutError, AssertionError, subprocess.SubprocessError) as error:
        said(False, "the run stopped:", str(error)[-3000:], "no error", 1)
    finally:
        print(f"kept: {folder}") if given.keep else shutil.rmtree(folder, ignore_errors=True)
    return closed()


def _all(folder: Path, snakemake: Path, targets: list[str]) -> None:
    local, remote = prepared(folder / "local"), prepared(folder / "slurm")
    (folder / "cluster").mkdir()
    with slurm_cluster.cluster(folder / "cluster") as env:
        run = Runner(snakemake, remote, env)
        chain(run, targets)
        kills(run)
        processes(run)
    compared(local, remote, targets)


def prepared(folder: Path) -> Project:
    """The code and the tiny cohort; chain.yaml has one seed, kills.yaml three others, pair.yaml two processes."""
    project = Project(folder / "code")
    project.folder.mkdir(parents=True)
    copy_code(project.folder)
    write_bids(project.bids)
    config = copy.deepcopy(CONFIG)
    config["preprocess"]["batches"] = BATCHES
    model = {**config["train"]["models"][0], "epochs": 60, "patience": 60}
    config["associate"] = {"permutations": 199}
    config["predict"] = {"bootstraps": 100, "permutations": 19, "importance": 1}
    train = {"device": "cpu", "models": [model]}
    project.write({**config, "train": train}, "chain.yaml")
    project.write({**config, "train": {**train, "seeds": list(KILLED)}}, "kills.yaml")
    pair = {**train, "seeds": [4, 5], "processes": 2, "models": [{**model, "name": "pair", "epochs": 2}]}
    project.write({**config, "train": pair}, "pair.yaml")
    return project


def chain(run: Runner, targets: list[str]) -> None:
    """All stages with the profile; batches as an array; the first attempt of pack has too little memory."""
    start = time.monotonic()
    memory = f"pack:mem_mb={SHORT} if attempt == 1 else 2000"
    more = ["--slurm-array-jobs", "extract", *run.resources(memory), "--", *targets]
    run.finish(run.start("chain.yaml", *more), "chain.yaml", 1500)
    listed = run.jobs()
    table(listed)
    ended = sum(job["state"] == "COMPLETED" for job in listed)
    said(ended >= 20, "jobs completed:", f"{ended} in {time.monotonic() - start:.0f} s", "20 or more", len(listed))
    tasks = [job["id"] for job in run.jobs("extract")]
    one = len(tasks) == BATCHES and len({task.split("_")[0] for task in tasks}) == 1
    said(one, "batches as one array:", ", ".join(tasks), f"{BATCHES} tasks of one job", len(tasks))
    packs = run.jobs("pack")
    found = ", ".join(f"{job['memory']} {job['state']}, {job['limit']}" for job in packs)
    states = [job["state"] for job in packs]
    killed = states[0] in ("FAILED", "OUT_OF_MEMORY") and states[1:] == ["COMPLETED"]
    said(killed, "killed for memory, tried again with more of it and of time:", found, "fails, completes", len(packs))
    why = run.slurm_logs("pack").count("exceeded memory limit")
    said(why > 0, "lines of SLURM's log that say so:", why, "1 or more", 1)
    card = slurm_cluster.show(run.env, run.training("vae", 0))
    asks = f"{card['Partition']}, {card.get('TresPerJob')}"
    said(asks == "gpu, gres:gpu:1", "training asks for:", asks, "gpu, gres:gpu:1", 1)
    others = {job["partition"] for job in listed if not job["rule"].startswith("rule_train_")}
    said(others == {"cpu"}, "all others ask for:", ", ".join(others), "cpu, the cluster's default", len(listed))


def kills(run: Runner) -> None:
    """Three trainings, each killed by the scheduler in its own way after its first checkpoint."""
    started = run.start("kills.yaml", "--", *WEIGHTS)
    try:
        training = [Training(run, "vae", seed) for seed in KILLED]
        slurm_cluster.wait(lambda: all([one.at_checkpoint() for one in training]), 400, "no checkpoints came")
        first = {seed: run.training("vae", seed) for seed in KILLED}
        before = {seed: slurm_cluster.show(run.env, job) for seed, job in first.items()}
        for command in (
            ["scontrol", "update", f"JobId={first[1]}", "TimeLimit=1"],
            ["scancel", first[2]],
            ["scontrol", "requeue", first[3]],
        ):
            subprocess.run(command, env=run.env, check=True)
        slurm_cluster.wait(lambda: slurm_cluster.show(run.env, first[3])["JobState"] == "PENDING", 60, "no requeue")
        now = ["scontrol", "update", f"JobId={first[3]}", "StartTime=now"]  # SLURM would wait two minutes
        subprocess.run(now, env=run.env, check=True)
        run.finish(started, "kills.yaml", 600)
    finally:
        if started.poll() is None:
            started.kill()
    table([job for job in run.jobs("train") if int(job["id"]) >= min(map(int, first.values()))])
    for seed, how in KILLED.items():
        _killed(run, seed, how, slurm_cluster.show(run.env, first[seed]), before[seed])


def _killed(run: Runner, seed: int, how: str, after: dict[str, str], before: dict[str, str]) -> None:
    """What became of a training that was killed."""
    state = "REQUEUED" if int(after["Restarts"]) else after["JobState"]
    said(state == how, f"seed {seed} was killed:", state, how, 1)
    gone = [line for line in run.log("vae", seed).splitlines() if line.startswith("going on after epoch")]
    epoch = int(gone[0].split()[4].rstrip(",")) if gone else 0
    said(0 < epoch < 60, f"seed {seed} goes on after epoch", epoch, "1 to 59 of 60", 1)
    if how != "REQUEUED":
        again = slurm_cluster.show(run.env, run.training("vae", seed))
        found = " -> ".join(f"{card['MinMemoryNode']} {card['TimeLimit']}" for card in (before, again))
        wanted = "8000M 1-00:00:00 -> 16000M 2-00:00:00"
        said(found == wanted, f"seed {seed} asks for more the second time:", found, wanted, 1)


def processes(run: Runner) -> None:
    """Two processes of one training: on one node by torchrun; on two nodes, one each, by srun and torchrun."""
    run.finish(run.start("pair.yaml", "--", PAIR[0]), "pair.yaml", 400)
    one = slurm_cluster.show(run.env, run.training("pair", 4))
    said(one["JobState"] == "COMPLETED", "two processes on one node, torchrun:", one["JobState"], "COMPLETED", 1)
    launch = TWO_NODES.format(port=slurm_cluster.free(1)[0])
    nodes = [f"train:{name}" for name in ("nodes=2", "tasks=2", "gpu=2", "mpi='srun'", f"launch='{launch}'")]
    run.finish(run.start("pair.yaml", *run.resources(*nodes), "--", PAIR[1]), "pair.yaml", 400)
    two = slurm_cluster.show(run.env, run.training("pair", 5))
    found = f"{two['JobState']}, {two['NodeList']}"
    said(found == "COMPLETED, one,two", "one process on each of two nodes, srun:", found, "COMPLETED, one,two", 1)


def compared(local: Project, remote: Project, targets: list[str]) -> None:
    """The same files as a run without SLURM and without kills, byte for byte."""
    for config, wanted in (("chain.yaml", targets), ("kills.yaml", WEIGHTS), ("pair.yaml", PAIR)):
        done = local.snakemake("--cores", "2", "--", *wanted, config=config)
        assert done.returncode == 0, done.stdout[-6000:]
    one, other = (_contents(project.results) for project in (local, remote))
    differ = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    said(not differ, "files unlike those of a run without SLURM:", f"{len(differ)} {differ[:9]}", "0", len(one))
    for name in (name.removeprefix("results/tiny/") for name in [*WEIGHTS, *PAIR]):
        both = [name, f"{Path(name).parent}/history.parquet"]
        same = all(other.get(each) == one[each] for each in both)
        said(same, f"weights and history of {Path(name).parent}:", "equal" if same else "differ", "equal bytes", 2)


def _contents(results: Path) -> dict[str, bytes]:
    aside = {"benchmarks", "logs", ".state", ".provenance"}  # a record holds times
    files = (path.relative_to(results) for path in results.rglob("*") if path.name.endswith(ENDINGS))
    return {str(path): (results / path).read_bytes() for path in files if not aside & set(path.parts)}


if __name__ == "__main__":
    sys.exit(main())
