"""The chain under --use-conda: an environment per kind of rule, made from envs/*.yaml, results as without conda.

`make conda-test`. No conda and no public channel: tests/stress/conda_standin.py answers for `conda`, on a channel of this disk
with the host's CPython and PyPI's pip; the pip sections are installed from PyPI by each environment's pip. docs/conda.md
says what that shows and what not. With --folder it works there, leaves it, and goes on where it stopped.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import conda_channel
import conda_standin
from conda_pins import RULES, pinned
from conda_run import ENDINGS, FINISHED, Runner, add_probe, environments, processes, results, strangers
from lines import closed, said
from project import HEADING, ROOT, Project, copy_code

CONFIG: dict[str, Any] = {
    "cohort": {
        "name": "tiny",
        "simulate": {"people": 24, "voxel_mm": 4, "seed": 0},
        "site": "site",
        "scores": [
            {"name": "motor", "type": "continuous"},
            {"name": "diagnosis", "type": "binary", "positive": "patient"},
        ],
        "confounds": [{"name": "age", "type": "continuous"}],
    },
    "preprocess": {"voxel_mm": 4, "batches": 2, "register": {"template_mm": 4}},
    "train": {
        "device": "cpu",
        "models": [{"name": "vae", "kind": "vae", "n_latent": 4, "base_channels": 4, "epochs": 4}],
        "search": {"model": "vae", "trials": 2, "space": {"beta": [0.5, 1]}},
    },
    "associate": {"permutations": 99},
    "predict": {"bootstraps": 100, "permutations": 19, "importance": 1},
}  # every rule of the chain has a job; brains are found by deepbet and registered by ANTs
NEEDED = 12e9  # bytes: ten environments, four of them with torch


def main() -> int:
    """Run all of it; the exit status."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--launcher", type=Path, default=ROOT / ".launcher", help="environment with Snakemake alone")
    asked.add_argument("--folder", type=Path, help="work there, leave it, and go on with what lies there")
    given = asked.parse_args()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="neurovae-conda-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        reason = missing(given.launcher.absolute(), folder)
        if reason:
            said(None, "the chain under --use-conda:", reason, "then: make conda-test", 0)
        else:
            _all(given.launcher.absolute(), folder)
    except (AssertionError, subprocess.SubprocessError) as error:
        told = str(error)
        first = max(0, told.find("Error in rule"))  # what follows it are the jobs that ran on
        said(False, "the run stopped:", told[first:][:4000] if first else told[-4000:], "no error", 1)
    finally:
        print(f"kept: {folder}") if given.folder else shutil.rmtree(folder, ignore_errors=True)
    return closed()


def missing(launcher: Path, folder: Path) -> str:
    """Why it cannot run here; empty: it can."""
    if not (launcher / "bin" / "snakemake").exists():
        return f"no {launcher}/bin/snakemake: make .launcher/done"
    if shutil.disk_usage(folder).free < NEEDED:
        return f"{folder} has less than {NEEDED / 1e9:.0f} GB free"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder / "pypi"), "pip"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return conda_channel.missing() or ("" if not asked.returncode else f"PyPI does not answer: {asked.stderr[-200:]}")


def _all(launcher: Path, folder: Path) -> None:
    conda, without = (prepared(folder / name) for name in ("conda", "without"))
    if not (folder / "base").exists():
        print(f"the channel: {conda_channel.made(folder / 'channel')}", flush=True)
        conda_standin.install(folder / "base", folder / "channel")
    (folder / "probe").mkdir(exist_ok=True)
    quick = (("PIP_NO_COMPILE", "0"), ("PIP_ROOT_USER_ACTION", "ignore"))  # 0: nothing is compiled, as pip reads it
    more = (("NEUROVAE_PROBE", str(folder / "probe")), ("PIP_CONSTRAINT", str(ROOT / "envs" / "lock.txt")), *quick)
    run = Runner(launcher / "bin" / "snakemake", conda, folder / "base" / "bin", ("--use-conda",), more)
    made = created(run)
    pinned(made, launcher)
    for prefix in made.values():
        add_probe(prefix)
    start = time.monotonic()
    run.run()
    took = time.monotonic() - start
    left = run.plan()
    said(not left, f"jobs left after a run of {took:.0f} s:", left.total(), "0", len(RULES))
    own(run, made, folder / "probe")
    Runner(run.snakemake, without, ROOT / ".venv" / "bin").run()
    compared(without, conda)
    edited(run)
    contained(run)


def prepared(folder: Path) -> Project:
    """The code and the configuration; the cohort is simulated by the chain."""
    project = Project(folder / "code")
    if not project.folder.exists():
        project.folder.mkdir(parents=True)
        copy_code(project.folder)
        project.write(CONFIG)
    return project


def created(run: Runner) -> dict[str, Path]:
    """Let Snakemake make all environments: one per file that a rule names, from the bytes of that file."""
    start = time.monotonic()
    run.run("--conda-create-envs-only")
    made, named = environments(run.project), {env for _, env in RULES.values()}
    said(
        set(made) == named,
        f"environments, in {time.monotonic() - start:.0f} s:",
        ", ".join(made),
        "those rules name",
        len(named),
    )
    return made


def own(run: Runner, made: dict[str, Path], probe: Path) -> None:
    """Every rule ran, each job in the environment of its rule, with nothing on its path but that and the code."""
    ran = FINISHED.findall((run.project.folder.parent / "run.out").read_text())
    said(set(ran) == set(RULES), "rules without a finished job:", sorted(set(RULES) - set(ran)) or 0, "0", len(RULES))
    found = processes(probe)
    said(len(found) == len(ran), "jobs that said what they loaded:", len(found), f"{len(ran)}, all", len(ran))
    wanted = {(module, str(made[env].resolve())) for module, env in RULES.values()}
    wrong = [(one["module"], one["prefix"]) for one in found if (one["module"], one["prefix"]) not in wanted]
    said(not wrong, "jobs in another environment than their rule's:", wrong or 0, "0", len(found))
    outside = {name for one in found for name in strangers(one, Path(one["prefix"]), run.project.folder)}
    files = sum(len(one["files"]) for one in found)
    said(not outside, "folders on their path and files loaded from elsewhere:", sorted(outside)[:9] or 0, "0", files)


def compared(without: Project, conda: Project) -> None:
    """Every table, list, weight and volume, byte for byte."""
    one, other = results(without), results(conda)
    said(one.keys() == other.keys(), "files of one run only:", sorted(one.keys() ^ other.keys()) or 0, "0", len(one))
    for ending in ENDINGS:
        names = [name for name in one.keys() & other.keys() if name.endswith(ending)]
        unequal = [name for name in names if one[name].read_bytes() != other[name].read_bytes()]
        said(
            bool(names) and not unequal,
            f"*{ending} that differ from the run without conda:",
            unequal or 0,
            "0",
            len(names),
        )


def edited(run: Runner) -> None:
    """Another pin in an environment's file lists its rules and what follows them, and a new environment."""
    for env in sorted({env for _, env in RULES.values()}):
        names = [rule for rule, (_, other) in RULES.items() if other == env]
        forced = run.plan("--forcerun", *names)
        path = run.project.folder / "envs" / f"{env}.yaml"
        old = path.read_bytes()
        path.write_bytes(old.replace(b"jsonargparse==", b"jsonargparse==0"))
        text = run.run("-n")
        path.write_bytes(old)
        listed = Counter(HEADING.findall(text)) - Counter(["all"])
        fresh = text.count("will be created")
        good = listed == forced and set(names) <= set(listed) and fresh == 1
        value = f"{listed.total()} jobs, {fresh} new environment"
        said(
            good,
            f"another pin in envs/{env}.yaml:",
            value,
            f"{forced.total()} jobs, those of --forcerun; 1",
            len(names),
        )


def contained(run: Runner) -> None:
    """The recipe of a container makes every environment; that it can be built is not tried."""
    made = run.run("--containerize", "apptainer").count("conda env create --prefix /conda-envs/")
    named = {env for _, env in RULES.values()}
    said(made == len(named), "environments in Snakemake's recipe of a container:", made, str(len(named)), len(named))


if __name__ == "__main__":
    sys.exit(main())
