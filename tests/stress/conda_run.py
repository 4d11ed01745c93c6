"""What tests/stress/conda.py is made of: Snakemake from the launcher, the environments it made, what its jobs loaded."""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project import HEADING, ROOT, Project

ENDINGS = (".parquet", ".tsv", ".json", ".safetensors", ".npy", ".nii.gz")
FINISHED = re.compile(r"^Finished jobid: \d+ \(Rule: (?!all\))(\w+)\)$", flags=re.M)
WORDS = (
    "import importlib, importlib.metadata as m, json, sys\n"
    "failed = {}\n"
    "for name in sys.argv[1:]:\n"
    "    try: importlib.import_module(name)\n"
    "    except Exception as error: failed[name] = repr(error)\n"
    "versions = {one.name: one.version for one in m.distributions()}\n"
    "print('\\n' + json.dumps({'failed': failed, 'versions': versions, 'prefix': sys.prefix}))\n"
)


@dataclass(frozen=True)
class Runner:
    """Snakemake, called by the launcher's path; `first` is in front of the PATH, and no folder of .venv is behind it."""

    snakemake: Path
    project: Project
    first: Path
    arguments: tuple[str, ...] = ()
    more: tuple[tuple[str, str], ...] = ()

    def run(self, *arguments: str) -> str:
        """Run it on two cores; it must succeed. Its output is added to run.out beside the code."""
        command = [str(self.snakemake), "--configfile", "my.yaml", "--cores", "2", *self.arguments, *arguments]
        done = subprocess.run(
            command, cwd=self.project.folder, env=self._env(), text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        with (self.project.folder.parent / "run.out").open("a") as out:
            out.write(done.stdout)
        if done.returncode:
            raise AssertionError(f"snakemake {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def _env(self) -> dict[str, str]:
        dropped = ("PYTHON", "SNAKEMAKE", "CONDA", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        behind = [part for part in kept["PATH"].split(os.pathsep) if not part.startswith(str(ROOT / ".venv"))]
        return {**kept, "PATH": os.pathsep.join([str(self.first), *behind]), **dict(self.more)}

    def plan(self, *arguments: str) -> Counter[str]:
        """How many jobs of each rule a dry run lists."""
        return Counter(HEADING.findall(self.run("-n", *arguments))) - Counter(["all"])


def environments(project: Project) -> dict[str, Path]:
    """Name of each file in envs/ -> the environment that was made from the same bytes."""
    made = {
        path.read_bytes(): path.with_suffix("") for path in (project.folder / ".snakemake" / "conda").glob("*.yaml")
    }
    files = sorted((project.folder / "envs").glob("*.yaml"))
    return {path.stem: made[path.read_bytes()] for path in files if path.read_bytes() in made}


def looked(python: Path, names: list[str]) -> dict[str, Any]:
    """Import packages by name in a Python: `failed`, `versions` of all that is installed, `prefix`."""
    command = [str(python), "-I", "-c", WORDS, *names]
    done = subprocess.run(command, text=True, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["versions"] = {plain(name): version for name, version in found["versions"].items()}
    return found


def plain(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def without_local(version: str) -> str:
    """2.13.0 of 2.13.0+cpu: the part after + is the build."""
    return version.split("+")[0]


def add_probe(prefix: Path) -> None:
    """Let every Python process of an environment write down what it loaded."""
    packages = prefix / "lib" / "python3.11" / "site-packages"
    shutil.copy(Path(__file__).with_name("conda_probe.py"), packages / "neurovae_probe.py")
    (packages / "neurovae_probe.pth").write_text("import neurovae_probe\n")


def processes(folder: Path) -> list[dict[str, Any]]:
    """What the probe wrote for each process that ran a module of neurovae; `module` is its name."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    modules = [re.search(r"\0-m\0(neurovae[\w.]*)\0", "\0".join(one["argv"]) + "\0") for one in found]
    return [one | {"module": module[1]} for one, module in zip(found, modules, strict=True) if module]


def strangers(one: dict[str, Any], prefix: Path, code: Path) -> list[str]:
    """Folders on a process's search path, and files that it loaded, of neither its environment nor the code."""
    own = (f"{prefix.resolve()}/", f"{code.resolve()}/src/")
    folders = [f"{Path(path).resolve()}/" for path in one["path"] if path]
    outside = [path for path in folders if not path.startswith(own) and path != f"{code.resolve()}/"]
    files = [file for file in one["files"] if Path(file).is_absolute()]  # torch calls two of its own "_ops.py"
    return outside + [file for file in files if not str(Path(file).resolve()).startswith(own)]


def results(project: Project) -> dict[str, Path]:
    """Name -> path of what the chain computed, without logs, benchmarks, checkpoints and records."""
    found = {
        str(path.relative_to(project.results)): path
        for path in project.results.rglob("*")
        if path.name.endswith(ENDINGS)
    }
    return {
        name: path
        for name, path in found.items()
        if not {"logs", "benchmarks", ".state", ".provenance"} & set(Path(name).parts)
    }
