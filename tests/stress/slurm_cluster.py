"""A SLURM of its own on this machine: munge, a controller and two nodes on loopback, up for as long as it is needed."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPLATES = Path(__file__).parent / "slurm"
NODES = ("one", "two")
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
COLUMNS = {"id": "%i", "state": "%T", "memory": "%m", "limit": "%l", "partition": "%P", "rule": "%k"}
PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"  # where Debian keeps daemons


def missing() -> str:
    """Install what is missing, where that is allowed; the reason why it is not there, or nothing."""
    absent = [name for name in NEEDED if not shutil.which(name, path=PATH)]
    if absent and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in ("apt-get update -q", "apt-get install -y -q --no-install-recommends slurm-wlm munge"):
            subprocess.run(
                command.split(), capture_output=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            )
        absent = [name for name in NEEDED if not shutil.which(name, path=PATH)]
    return f"{', '.join(absent)} not found: apt-get install slurm-wlm munge" if absent else ""


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which sbatch and the others reach the cluster; daemons are stopped and jobs gone at the end."""
    folder.chmod(0o755)
    for name in ("state", "bin"):
        (folder / name).mkdir()
    port, *ports = free(1 + len(NODES))
    values = {"host": socket.gethostname(), "user": _user(), "folder": str(folder), "port": str(port)}
    values |= {name: str(number) for name, number in zip(NODES, ports, strict=True)}
    for name in ("slurm.conf", "gres.conf"):
        text = (TEMPLATES / name).read_text()
        for key, value in values.items():
            text = text.replace(f"{{{key}}}", value)
        (folder / name).write_text(text)
    env = {**os.environ, "PATH": f"{folder}/bin{os.pathsep}{PATH}", "SLURM_CONF": str(folder / "slurm.conf")}
    _wrap_srun(folder, env)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        _munge(folder, daemons, env)
        daemons.append(_daemon(["slurmctld", "-D", "-f", env["SLURM_CONF"]], folder, env))
        daemons += [_daemon(["slurmd", "-D", "-f", env["SLURM_CONF"], "-N", name], folder, env) for name in NODES]
        wait(lambda: _idle(env) == len(NODES), 60, f"the nodes did not come up; see {folder}/*.log")
        yield env
    finally:
        subprocess.run(["scancel", "--user", _user()], env=env, capture_output=True)
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in reversed(daemons):
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def free(count: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wrap_srun(folder: Path, env: dict[str, str]) -> None:
    """An srun that finds this cluster: the plugin drops SLURM_CONF from a job's environment (jobstep 0.6.1)."""
    path = folder / "bin" / "srun"
    path.write_text(f'#!/bin/sh\nSLURM_CONF={env["SLURM_CONF"]} exec {shutil.which("srun", path=PATH)} "$@"\n')
    path.chmod(0o755)


def _munge(folder: Path, daemons: list[subprocess.Popen[bytes]], env: dict[str, str]) -> None:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    options = [
        f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("socket", "pid-file", "seed-file", "log-file")
    ]
    daemons.append(_daemon(["munged", "--foreground", f"--key-file={key}", *options], folder, env))
    wait(lambda: (folder / "munge.socket").exists(), 10, f"munged did not start; see {folder}/munged.out")


def _daemon(command: list[str], folder: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    name = f"{command[0]}-{command[-1]}" if command[0] == "slurmd" else command[0]
    with (folder / f"{name}.out").open("wb") as out:
        return subprocess.Popen(command, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)


def _idle(env: dict[str, str]) -> int:
    command = ["sinfo", "--noheader", "--Node", "--partition=cpu", "--format=%T"]
    return subprocess.run(command, env=env, capture_output=True, text=True).stdout.split().count("idle")


def wait(found, seconds: float, otherwise: str, step: float = 0.2):  # type: ignore[no-untyped-def]
    """The first true answer of a function; TimeoutError with a message where none comes in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(step)
    raise TimeoutError(otherwise)


def jobs(env: dict[str, str]) -> list[dict[str, str]]:
    """All jobs that the controller remembers, finished ones too, in the order of their submission."""
    command = ["squeue", "--states=all", "--noheader", "--array", "--sort=i", f"--format={'|'.join(COLUMNS.values())}"]
    lines = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    return [dict(zip(COLUMNS, line.split("|"), strict=True)) for line in lines]


def show(env: dict[str, str], job: str) -> dict[str, str]:
    """What `scontrol show job` says."""
    command = ["scontrol", "show", "job", job, "--oneliner"]
    words = subprocess.run(command, env=env, capture_output=True, text=True).stdout.split()
    return dict(word.split("=", 1) for word in words if "=" in word)
