"""A conda channel on this disk: the host's CPython, and pip as PyPI has it, packed by py-rattler-build."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from rattler import Subdir
from rattler.index import index_fs
from rattler_build import assemble_package

LEFT = ("site-packages", "test", "idlelib", "tkinter", "__pycache__", "config-*", "EXTERNALLY-MANAGED")


def missing() -> str:
    """Why no channel can be made of this Python; empty: it can."""
    if sys.version_info[:2] != (3, 11):
        return f"the host's Python is {sys.version.split()[0]}, envs/*.yaml name 3.11"
    if sysconfig.get_default_scheme() not in ("posix_prefix", "venv"):
        return "the host's Python is Debian's, which looks for packages in other places than conda's; give another one"
    return ""


def made(folder: Path) -> dict[str, str]:
    """Write the channel in a process of its own; the version of each package in it."""
    command = [sys.executable, str(Path(__file__).resolve()), str(folder)]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def build(folder: Path) -> dict[str, str]:
    """Write the channel; the version of each package in it."""
    platform = str(Subdir.current())
    for name in (platform, "noarch"):
        (folder / name).mkdir(parents=True)
    packed = {"python": _python(folder / platform), "pip": _pip(folder / "noarch")}
    asyncio.run(index_fs(folder))
    return packed


def _python(channel: Path) -> str:
    """The interpreter that made .venv and its standard library; its C library (libpython) stays where it is."""
    staged, version = channel.parent / "python", sys.version.split()[0]
    short = f"python{sys.version_info.major}.{sys.version_info.minor}"
    home = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(home, staged / "lib" / short, symlinks=True, ignore=shutil.ignore_patterns(*LEFT))
    (staged / "bin").mkdir()
    shutil.copy2(home.parents[1] / "bin" / short, staged / "bin" / short)
    for link in ("python", "python3"):
        (staged / "bin" / link).symlink_to(short)
    return _assembled("python", version, channel, staged, [])


def _pip(channel: Path) -> str:
    """The newest pip, as the `pip` without a version in envs/*.yaml gets it."""
    staged = channel.parent / "pip"
    target = ["--target", str(staged / "site-packages"), "--no-deps", "--no-compile", "--upgrade", "pip"]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *target], check=True)
    shutil.rmtree(staged / "site-packages" / "bin", ignore_errors=True)
    version = next((staged / "site-packages").glob("pip-*.dist-info")).name.split("-")[1].removesuffix(".dist")
    return _assembled("pip", version, channel, staged, ["python"])


def _assembled(name: str, version: str, channel: Path, staged: Path, depends: list[str]) -> str:
    """Pack a folder that is laid out as it will lie in an environment; the package's version."""
    assemble_package(
        name, version, channel.name, "0", channel, files_dir=staged, depends=depends, compression_level=1,
        noarch="python" if channel.name == "noarch" else None, detect_prefix=False,
    )  # fmt: skip
    shutil.rmtree(staged)
    return version


if __name__ == "__main__":
    print(json.dumps(build(Path(sys.argv[1]))), flush=True)
    os._exit(0)  # rattler's threads may abort Python while it ends (seen: PyGILState_Release)
