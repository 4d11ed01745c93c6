"""A record of each result, written beside it when a command ends: what was run, what it read, with which versions.

Python itself says which files a command opens and renames (audit hook, PEP 578), so that nothing has to be declared:
tables that a folder stands for are seen, and so are scans that only a list names. What is read by a library behind
Python's back (weights) is named among the arguments. Standard library only; every command pays for what is done here.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from neurovae.io.files import sha256, write_json

PACKAGES = {
    "torch": "torch", "numpy": "numpy", "scipy": "scipy", "pandas": "pandas", "pyarrow": "pyarrow",
    "sklearn": "scikit-learn", "statsmodels": "statsmodels", "skdim": "scikit-dimension", "optuna": "optuna",
    "nibabel": "nibabel", "nilearn": "nilearn", "ants": "antspyx", "deepbet": "deepbet",
    "safetensors": "safetensors", "matplotlib": "matplotlib", "PIL": "pillow", "jinja2": "Jinja2", "joblib": "joblib",
}  # fmt: skip  # module -> distribution, of those that have a part in the numbers and pictures
FOLDER = ".provenance"  # beside the results: results/x/train/.provenance/<file>.json
UNRECORDED = (["logs"], ["benchmarks"], ["preprocess", "derivatives"])  # in results/<cohort>: times; a file per scan
HIDDEN = {".snakemake", ".state", FOLDER}  # what Snakemake and the stages keep for themselves
LIBRARIES = {"site-packages", "dist-packages"}
LARGE = 2e9  # bytes, from which on a line says that a file is being hashed
Stamp = tuple[int, int]  # size, time of the last change in ns


class Watch:
    """What this process reads and renames from now on; `write` notes it beside each result."""

    def __init__(self, arguments: list[str]) -> None:
        self.arguments, self.commit = arguments, commit()
        words = [word for text in arguments for word in text.strip("[]").split(",")]
        self.named = {os.path.abspath(word): stamp(word) for word in words if os.path.isfile(word)}
        self.read: dict[str, Stamp | None] = dict(self.named)
        self.renamed: set[str] = set()
        self.written: set[str] = set()
        self.machine, self.last = _machine(), ""
        self.on = True
        sys.addaudithook(self._see)

    def _see(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "open" and self.on and isinstance(given[0], str) and not given[0].endswith((".py", ".pyc")):
            path = os.path.abspath(given[0])
            if given[2] & os.O_ACCMODE != os.O_RDONLY:
                self.written.add(path)
                return
            if not path.startswith(self.machine):
                self.last = path
            if path not in self.read:
                self.read[path] = stamp(path)
        elif event == "os.rename" and self.on:
            self.renamed.add(os.path.abspath(os.fsdecode(given[1])))

    def write(self, command: str) -> None:
        """Note how each result came about: every file or folder that was renamed into place and is there."""
        self.on = False
        machine, folders = self.machine, [os.path.abspath(word) for word in self.arguments if os.path.isdir(word)]
        results = [path for path in sorted(self.renamed) if os.path.exists(path) and not _aside(path, machine, folders)]
        if not results:
            return
        made = {
            "command": command,
            "arguments": [relative(text) for text in self.arguments],
            "inputs": self._inputs(results, machine, folders),
            "python": platform.python_version(),
            "packages": versions(),
            "processor": processor(),
            "commit": self.commit,
        }
        for path in results:
            write_json(place(Path(path)), {"path": os.path.relpath(path), **contents(Path(path)), **made})

    def _inputs(self, results: list[str], machine: tuple[str, ...], folders: list[str]) -> dict[str, str | None]:
        """Digest of each file that was read, by path; a folder that is one result stands for its files.

        None: the file was changed while the command ran, so that nobody knows what was read.
        """
        found: dict[str, str | None] = {}
        for path, before in list(self.read.items()):
            if path in self.written | self.renamed or not os.path.isfile(path) or _below(path, results):
                continue
            whole = next((str(up) for up in Path(path).parents if place(up).is_file()), None)
            name = os.path.relpath(whole or path)
            if name not in found and (whole or path in self.named or not _aside(path, machine, folders)):
                found[name] = _noted(Path(whole or path), path, before)
        return dict(sorted(found.items()))


def stamp(path: str) -> Stamp | None:
    """Size and time of the last change; None where there is no such file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def place(path: Path) -> Path:
    """Where the record of a result is."""
    return path.parent / FOLDER / f"{path.name}.json"


def contents(path: Path) -> dict[str, Any]:
    """Digest, size and time of change of a file; of a folder, those of each file, and a digest of all."""
    if path.is_file():
        size, changed = path.stat().st_size, path.stat().st_mtime_ns
        if size > LARGE:
            print(f"{path.name}: {size / 1e9:.0f} GB are hashed for its record", flush=True)
        return {"sha256": sha256(path), "size": size, "mtime_ns": changed}
    files = {name: contents(path / name) for name in listed(path)}
    return {"sha256": of_folder({name: file["sha256"] for name, file in files.items()}), "files": files}


def listed(folder: Path) -> list[str]:
    """The files below a folder, by relative path; Snakemake puts one of its own into each folder that a job made."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".snakemake_timestamp")
    return sorted(str(path.relative_to(folder)) for path in files)


def of_folder(digests: dict[str, str]) -> str:
    """One digest of a folder's names and digests: that of the text that `sha256sum` prints for them."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def digest(path: Path) -> str:
    """sha256 of a file or folder; as its own record has it where size and time of change are still those.

    Where the digest is that of the record and only the time is another (Snakemake touches what a job has written), the
    record notes the new time, so that the next command need not hash a large file again.
    """
    known = read(path)
    if known and unchanged(path, known):
        return str(known["sha256"])
    found = contents(path)
    if known and known["sha256"] == found["sha256"]:
        with suppress(OSError):  # results of another, who lets them be read only: hashed again the next time
            write_json(place(path), known | found)
    return str(found["sha256"])


def read(path: Path) -> dict[str, Any] | None:
    """The record of a result; None where there is none, or it is not whole."""
    try:
        found: dict[str, Any] = json.loads(place(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def unchanged(path: Path, known: dict[str, Any]) -> bool:
    """Have the file, or all of a folder's files, the size and time of change that the record noted?"""
    if "files" not in known:
        return stamp(str(path)) == (known["size"], known["mtime_ns"])
    files = known["files"].items()
    return listed(path) == sorted(known["files"]) and all(unchanged(path / name, file) for name, file in files)


def versions() -> dict[str, str]:
    """Version of each package that this process has loaded and that has a part in the results."""
    return {name: _version(module, name) for module, name in sorted(PACKAGES.items()) if module in sys.modules}


def _version(module: str, package: str) -> str:
    try:
        return str(vars(sys.modules[module]).get("__version__") or version(package))  # metadata takes 4 ms a package
    except PackageNotFoundError:
        return "not known"


def processor() -> str:
    """The processor, and the graphics card where one was used: with another, last digits may differ."""
    name = platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            models = (line.split(":")[1].strip() for line in file if line.startswith("model name"))
            name = next(models, name)
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return f"{name}, {cuda.get_device_name()}" if cuda and cuda.is_initialized() else name


def commit() -> str:
    """The commit of the code, and whether files were changed since; or that there is none."""
    git = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", Path(__file__).name], capture_output=True, check=True)
        name = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "."], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "not known: git or the repository is not there"
    return name + (", with changes that are not committed" if changed else "")


def relative(text: str) -> str:
    """An argument without absolute paths, be they the whole of it, in a list, or texts within JSON."""
    found = re.sub(r"(?<=[\"\[,=])/[^\"\],]+", lambda match: os.path.relpath(match[0]), text)
    return os.path.relpath(found) if found.startswith("/") else found


def _noted(result: Path, path: str, before: Stamp | None) -> str | None:
    found, known = digest(result), read(result)
    return found if stamp(path) == before or (known and known["sha256"] == found) else None


def _below(path: str, folders: list[str]) -> str | None:
    """What follows the folder that the path is in."""
    return next((path[len(folder) :] for folder in folders if path.startswith(folder + os.sep)), None)


def _aside(path: str, machine: tuple[str, ...], folders: list[str]) -> bool:
    """Is it code, a log, or a scan's file in a folder given (the manifests hold the digests of these)?"""
    parts = os.path.relpath(path).split(os.sep)
    return bool(
        path.startswith(machine)
        or (LIBRARIES | HIDDEN) & set(parts)
        or (parts[0] == "results" and any(parts[2 : 2 + len(folder)] == folder for folder in UNRECORDED))
        or re.search(r"/sub-[A-Za-z0-9]+", _below(path, folders) or "")
    )


def _machine() -> tuple[str, ...]:
    """Where code, caches and the system are: what is read there is no input, unless it is named as one."""
    caches = (".cache", ".config", ".local", ".triton", ".nv", ".matplotlib", ".fonts")
    home = [os.path.join(os.path.expanduser("~"), name) for name in caches]
    own = ("XDG_CACHE_HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "NUMBA_CACHE_DIR")
    given = [os.environ[name] for name in own if os.environ.get(name)]
    code = [sys.prefix, sys.base_prefix, str(Path(__file__).parent), "/proc", "/sys", "/dev", "/etc", "/usr"]
    scratch = os.path.join(tempfile.gettempdir(), "torchinductor")
    return (scratch, *(os.path.abspath(folder) + os.sep for folder in [*home, *given, *code]))
