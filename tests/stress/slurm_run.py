"""What tests/stress/slurm.py is made of: Snakemake as a user starts it, trainings that stand still."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import slurm_cluster
import yaml
from project import Project

HELD = 31.0  # seconds that a training is stopped in its first epochs: a checkpoint is written every 30 s
PROFILE = "workflow/profiles/slurm"
USUAL = ["--workflow-profile", PROFILE, "--latency-wait", "10", "--jobs", "20"]
QUICK = ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]


class Runner:
    """Snakemake as a user starts it on a login node: .venv's python on the PATH, the launcher by its path."""

    def __init__(self, snakemake: Path, project: Project, env: dict[str, str]) -> None:
        self.project, self.env = project, env
        kept = {name: value for name, value in env.items() if not name.startswith(("PYTHON", "SNAKEMAKE"))}
        first, _, rest = env["PATH"].partition(os.pathsep)  # the cluster's srun
        self.full = {**kept, "PATH": os.pathsep.join([first, str(Path(sys.executable).parent), rest])}
        self.command = [str(snakemake), *USUAL, *QUICK]

    def start(self, config: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it; its output is in <config>.out."""
        command = [*self.command, "--configfile", config, *arguments]
        with self.out(config).open("wb") as out:
            return subprocess.Popen(
                command, cwd=self.project.folder, env=self.full, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )

    def resources(self, *more: str) -> list[str]:
        """The profile's set-resources and more: given on the command line they replace the profile's."""
        text = (self.project.folder / PROFILE / "config.yaml").read_text()
        given = yaml.safe_load(text)["set-resources"]
        own = {f"{rule}:{name}": str(value) for rule, named in given.items() for name, value in named.items()}
        own |= dict(line.split("=", 1) for line in more)
        return ["--set-resources", *(f"{name}={value}" for name, value in own.items())]

    def out(self, config: str) -> Path:
        return self.project.folder / f"{config}.out"

    def finish(self, run: subprocess.Popen[bytes], config: str, seconds: float) -> None:
        """Wait for it, at most so long; it must succeed."""
        try:
            run.wait(seconds)
        finally:
            if run.poll() is None:
                run.kill()
        assert run.returncode == 0, f"snakemake ended with {run.returncode}:\n{self.out(config).read_text()[-6000:]}"

    def jobs(self, rule: str = "") -> list[dict[str, str]]:
        """The jobs of a rule in the order of submission."""
        found = slurm_cluster.jobs(self.env)
        return [job for job in found if re.match(f"rule_{rule}(_wildcards|$)" if rule else "", job["rule"])]

    def training(self, model: str, seed: int) -> str:
        """The newest job of a training; empty: none."""
        found = [job["id"] for job in self.jobs("train") if job["rule"].endswith(f"_{model}_0_{seed}")]
        return found[-1] if found else ""

    def log(self, model: str, seed: int) -> str:
        """What a training has said; empty: nothing yet."""
        path = self.project.results / "logs" / "train" / f"{model}-fold-0_seed-{seed}.log"
        return path.read_text() if path.exists() else ""

    def slurm_logs(self, rule: str) -> str:
        """What SLURM has said about a rule's jobs that failed."""
        found = sorted((self.project.folder / ".snakemake" / "slurm_logs" / f"rule_{rule}").rglob("*.log"))
        return "\n".join(path.read_text(errors="replace") for path in found)


def table(listed: list[dict[str, str]]) -> None:
    """List jobs and their states."""
    for job in listed:
        cells = zip(job.values(), (8, 11, 8, 12, 6, 40), strict=True)
        print("   " + "  ".join(f"{value:<{base_channels}}" for value, base_channels in cells), flush=True)


class Training:
    """A training that is stopped in its first epochs until a checkpoint is due, and again once it is written."""

    def __init__(self, run: Runner, model: str, seed: int) -> None:
        self.run, self.model, self.seed = run, model, seed
        self.stopped = 0.0  # when it was; infinite: it goes on; -1: it stands at its checkpoint

    def at_checkpoint(self) -> bool:
        """Take the next step; true once the checkpoint is written and the training stands still."""
        if not self.stopped and "epoch 1/" in self.run.log(self.model, self.seed):
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
        """Those written so far."""
        state = self.run.project.results / "train" / ".state" / self.model / f"fold-0_seed-{self.seed}"
        return list(state.glob("*/epoch-*.safetensors"))

    def signal(self, number: int) -> None:
        """To the python process that trains, in this run's folder."""
        seed, folder = f"\0--seed\0{self.seed}\0", self.run.project.folder.resolve()
        for path in Path("/proc").glob("[0-9]*"):
            try:
                line = (path / "cmdline").read_bytes().decode()
                ours = line.startswith("python\0-m\0neurovae.train.fit\0") and seed in line
                if ours and (path / "cwd").resolve() == folder:
                    os.kill(int(path.name), number)
            except OSError:  # it has ended meanwhile
                continue
