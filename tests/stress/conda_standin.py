"""A small stand-in for `conda`: what Snakemake 9 asks of it, answered with py-rattler and the channel on this disk.

`conda-forge` is that channel. rattler solves and links; the pip section is installed by the environment's own pip, as
conda does it. Not here: conda's own solver, real packages, activation scripts of packages, pin files.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import rattler
import yaml

VERSION = "24.7.1"  # the oldest that Snakemake takes
ACTIVATE = 'export CONDA_PREFIX="$1" CONDA_SHLVL=1 PATH="$1/bin:$PATH"\nhash -r\n'


def install(base: Path, channel: Path) -> None:
    """Lay out the stand-in's base folder: bin/conda and bin/activate, which Snakemake sources."""
    (base / "bin").mkdir(parents=True)
    line = (
        f"""CONDA_CHANNEL='{channel}' CONDA_BASE='{base}' exec '{sys.executable}' '{Path(__file__).resolve()}' "$@"\n"""
    )
    (base / "bin" / "conda").write_text(f"#!/bin/sh\n{line}")
    (base / "bin" / "conda").chmod(0o755)
    (base / "bin" / "activate").write_text(ACTIVATE)


def main(words: list[str]) -> int:
    """Answer one command; the exit status."""
    base, channel = Path(os.environ["CONDA_BASE"]), Path(os.environ["CONDA_CHANNEL"])
    if words == ["--version"]:
        print(f"conda {VERSION} (a stand-in)")
    elif words == ["info", "--json"]:
        print(json.dumps({"conda_prefix": str(base), "platform": str(rattler.Subdir.current())}))
    elif words == ["config", "--get", "channel_priority", "--json"]:
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif words[:2] == ["env", "create"]:
        create(words[2:], channel, base / "pkgs")
    elif words != ["clean", "-y", "--tarballs"]:
        print(f"conda (a stand-in): no answer to {' '.join(words)}", file=sys.stderr)
        return 2
    return 0


def create(words: list[str], channel: Path, cache: Path) -> None:
    """Make an environment from a file: conda packages first, then the pip section."""
    asked = argparse.ArgumentParser(prog="conda env create", allow_abbrev=False)
    asked.add_argument("--quiet", action="store_true")
    asked.add_argument("--no-default-packages", action="store_true")
    asked.add_argument("--file", type=Path, required=True)
    asked.add_argument("--prefix", type=Path, required=True)
    given = asked.parse_args(words)
    wanted = yaml.safe_load(given.file.read_text())
    if wanted["channels"] != ["conda-forge"]:
        raise SystemExit(f"{given.file}: channels {wanted['channels']}; this stand-in has conda-forge only")
    asyncio.run(_link(_texts(wanted["dependencies"]), channel, given.prefix, cache))
    for section in (entry["pip"] for entry in wanted["dependencies"] if isinstance(entry, dict)):
        _pip(section, given.prefix)


def _texts(dependencies: list[Any]) -> list[str]:
    return [entry for entry in dependencies if isinstance(entry, str)]


async def _link(specs: list[str], channel: Path, prefix: Path, cache: Path) -> None:
    """Solve and link conda packages: hard links from the cache where the disk allows."""
    source = rattler.Channel(channel.as_uri())
    records = await rattler.solve([source], specs, platforms=[rattler.Subdir.current(), "noarch"])
    await rattler.install(records, prefix, cache_dir=cache, show_progress=False)


def _pip(section: list[str], prefix: Path) -> None:
    """Let the environment's pip install its section, with the options that conda gives it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with tempfile.NamedTemporaryFile("w", suffix=".requirements.txt") as lines:
        lines.write("\n".join(section) + "\n")
        lines.flush()
        command = [str(prefix / "bin" / "python"), "-m", "pip", "install", "-U", "-r", lines.name]
        subprocess.run([*command, "--exists-action=b"], check=True, env=kept | {"PYTHONNOUSERSITE": "1"})


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # rattler's threads may abort Python while it ends (seen: PyGILState_Release)
