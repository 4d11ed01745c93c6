"""A record of each result, written beside it when a command ends: the command, its inputs and the versions.

Python's audit hook (PEP 578) reports which files a command opens and renames, so that nothing has to be declared:
tables in a folder are recorded, and so are scans in a list. Files that a library reads without Python (weights) are
named among the arguments. Standard library only, since every command runs this code.
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
    "numba": "numba", "monai": "monai", "onnxruntime": "onnxruntime",
}  # fmt: skip  # module -> distribution, of those that have a part in the numbers and pictures
FOLDER = ".provenance"  # beside the results: results/x/train/.provenance/<file>.json
UNRECORDED = (["logs"], ["benchmarks"], ["preprocess", "derivatives"])  # in results/<cohort>: times; a file per scan
HIDDEN = {".snakemake", ".state", FOLDER}  # internal files of Snakemake and the stages
LIBRARIES = {"site-packages", "dist-packages"}
LARGE = 2e9  # bytes, from which on a line says that a file is being hashed
Stamp = tuple[int, int]  # size, time of the last change in ns


class Watch:
    """The files that this process reads and renames from now on; `write` records them beside each result."""

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

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and self.on and isinstance(arguments[0], str) and not arguments[0].endswith((".py", ".pyc")):
            path = os.path.abspath(arguments[0])
            if arguments[2] & os.O_ACCMODE != os.O_RDONLY:
                self.written.add(path)
                return
            if not path.startswith(self.machine):
                self.last = path
            if path not in self.read:
                self.read[path] = stamp(path)
        elif event == "os.rename" and self.on:
            self.renamed.add(os.path.abspath(os.fsdecode(arguments[1])))

    def write(self, command: str) -> None:
        """Write a record for each result: every file or folder that was renamed into place and exists."""
        self.on = False
        machine, folders = self.machine, [os.path.abspath(word) for word in self.arguments if os.path.isdir(word)]
        results = [
            path for path in sorted(self.renamed) if os.path.exists(path) and not _is_no_input(path, machine, folders)
        ]
        if not results:
            return
        shared = {
            "command": command,
            "arguments": [relative(text) for text in self.arguments],
            "inputs": self._inputs(results, machine, folders),
            "python": platform.python_version(),
            "packages": versions(),
            "processor": processor(),
            "commit": self.commit,
        }
        for path in results:
            write_json(place(Path(path)), {"path": os.path.relpath(path), **contents(Path(path)), **shared})

    def _inputs(self, results: list[str], machine: tuple[str, ...], folders: list[str]) -> dict[str, str | None]:
        """Return the digest of each file that was read, by path; a folder that is one result stands for its files.

        None: the file changed while the command ran, so that it is unknown what was read.
        """
        digest_of: dict[str, str | None] = {}
        for path, stamp_before in list(self.read.items()):
            if path in self.written | self.renamed or not os.path.isfile(path) or _below(path, results):
                continue
            folder_result = next((str(up) for up in Path(path).parents if place(up).is_file()), None)
            name = os.path.relpath(folder_result or path)
            if name not in digest_of and (
                folder_result or path in self.named or not _is_no_input(path, machine, folders)
            ):
                digest_of[name] = _input_digest(Path(folder_result or path), path, stamp_before)
        return dict(sorted(digest_of.items()))


def stamp(path: str) -> Stamp | None:
    """Return size and time of the last change; None where there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def place(path: Path) -> Path:
    """Return the path of the record of a result."""
    return path.parent / FOLDER / f"{path.name}.json"


def contents(path: Path) -> dict[str, Any]:
    """Return digest, size and time of change of a file; of a folder, those of each file, and a digest of all."""
    if path.is_file():
        size, mtime_ns = path.stat().st_size, path.stat().st_mtime_ns
        if size > LARGE:
            print(f"{path.name}: {size / 1e9:.0f} GB are hashed for its record", flush=True)
        return {"sha256": sha256(path), "size": size, "mtime_ns": mtime_ns}
    files = {name: contents(path / name) for name in files_below(path)}
    return {"sha256": of_folder({name: file["sha256"] for name, file in files.items()}), "files": files}


def files_below(folder: Path) -> list[str]:
    """List the files below a folder, by relative path, without the time stamp that Snakemake puts there."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".snakemake_timestamp")
    return sorted(str(path.relative_to(folder)) for path in files)


def of_folder(digests: dict[str, str]) -> str:
    """Return one digest of a folder's names and digests: that of the text that `sha256sum` prints for them."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def digest(path: Path) -> str:
    """Return the sha256 of a file or folder; from its own record if size and time of change are unchanged.

    Where the digest is that of the record and only the time differs (Snakemake touches what a job has written), the
    record notes the new time, so that the next command need not hash a large file again.
    """
    recorded = read(path)
    if recorded and unchanged(path, recorded):
        return str(recorded["sha256"])
    current = contents(path)
    if recorded and recorded["sha256"] == current["sha256"]:
        with suppress(OSError):  # results of another user that are read-only: hashed again the next time
            write_json(place(path), recorded | current)
    return str(current["sha256"])


def read(path: Path) -> dict[str, Any] | None:
    """Read the record of a result; None where there is none, or it is damaged."""
    try:
        record: dict[str, Any] = json.loads(place(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record


def unchanged(path: Path, recorded: dict[str, Any]) -> bool:
    """Whether the file, or all files of a folder, have the size and time of change of the record."""
    if "files" not in recorded:
        return stamp(str(path)) == (recorded["size"], recorded["mtime_ns"])
    files = recorded["files"].items()
    return files_below(path) == sorted(recorded["files"]) and all(unchanged(path / name, file) for name, file in files)


def versions() -> dict[str, str]:
    """Return the version of each loaded package that affects the results."""
    return {name: _version(module, name) for module, name in sorted(PACKAGES.items()) if module in sys.modules}


def _version(module: str, package: str) -> str:
    try:
        return str(vars(sys.modules[module]).get("__version__") or version(package))  # metadata takes 4 ms a package
    except PackageNotFoundError:
        return "not known"


def processor() -> str:
    """Name the processor, and the graphics card where one was used: with another, last digits may differ."""
    name = platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            models = (line.split(":")[1].strip() for line in file if line.startswith("model name"))
            name = next(models, name)
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return f"{name}, {cuda.get_device_name()}" if cuda and cuda.is_initialized() else name


def commit() -> str:
    """Return the commit of the code, and whether files were changed since; or that there is none."""
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
    """Return an argument without absolute paths, whether alone, in a list, or inside JSON."""
    replaced = re.sub(r"(?<=[\"\[,=])/[^\"\],]+", lambda match: os.path.relpath(match[0]), text)
    return os.path.relpath(replaced) if replaced.startswith("/") else replaced


def _input_digest(result: Path, path: str, stamp_before: Stamp | None) -> str | None:
    current, recorded = digest(result), read(result)
    return current if stamp(path) == stamp_before or (recorded and recorded["sha256"] == current) else None


def _below(path: str, folders: list[str]) -> str | None:
    """Return the part of the path below the folder that it is in."""
    return next((path[len(folder) :] for folder in folders if path.startswith(folder + os.sep)), None)


def _is_no_input(path: str, machine: tuple[str, ...], folders: list[str]) -> bool:
    """Whether a path is code, a log, or a scan's file in a given folder (whose digests are in the manifests)."""
    parts = os.path.relpath(path).split(os.sep)
    return bool(
        path.startswith(machine)
        or (LIBRARIES | HIDDEN) & set(parts)
        or (parts[0] == "results" and any(parts[2 : 2 + len(folder)] == folder for folder in UNRECORDED))
        or re.search(r"/sub-[A-Za-z0-9]+", _below(path, folders) or "")
    )


def _machine() -> tuple[str, ...]:
    """Return folders of code, caches and the system: files there are no inputs, unless they are named as such."""
    caches = (".cache", ".config", ".local", ".triton", ".nv", ".matplotlib", ".fonts")
    home = [os.path.join(os.path.expanduser("~"), name) for name in caches]
    variables = ("XDG_CACHE_HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "NUMBA_CACHE_DIR")
    from_environment = [os.environ[name] for name in variables if os.environ.get(name)]
    code = [sys.prefix, sys.base_prefix, str(Path(__file__).parent), "/proc", "/sys", "/dev", "/etc", "/usr"]
    scratch = os.path.join(tempfile.gettempdir(), "torchinductor")
    return (scratch, *(os.path.abspath(folder) + os.sep for folder in [*home, *from_environment, *code]))
