"""Snakemake for many short runs: one process imports it, and each run is a fork of this process.

What a run needs of the package, it imports itself from its own checkout; only other packages are imported before.
"""

import atexit
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SHARED = "snakemake.cli pandas jsonschema nibabel smart_open".split()


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m snakemake` in a folder as in a fresh shell; stdout and stderr are one text."""
    server = _server()
    assert server.stdin and server.stdout
    with tempfile.NamedTemporaryFile() as output:
        asked = {"folder": str(folder), "output": output.name, "environment": surroundings(), "arguments": arguments}
        print(json.dumps(asked), file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(arguments, status, Path(output.name).read_text())


def surroundings() -> dict[str, str]:
    """A user's environment variables: none of the tests' own, and the Python that runs the tests first on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SNAKEMAKE"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


@cache
def _server() -> subprocess.Popen[str]:
    """It ends with this process, which closes its stdin."""
    server = subprocess.Popen(
        [sys.executable, __file__], env=surroundings(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    atexit.register(server.communicate)
    return server


def serve() -> dict[str, str]:
    """Fork for every line of JSON on stdin and print the fork's exit status; what is asked comes back in the fork."""
    for line in sys.stdin:
        fork = os.fork()
        if fork == 0:
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), flush=True)
    sys.exit()


def become(folder: str, output: str, environment: dict[str, str], arguments: list[str]) -> None:
    """Be `python -m snakemake` in a folder; stdout and stderr go to one file."""
    for path, flags, targets in ((os.devnull, os.O_RDONLY, [0]), (output, os.O_WRONLY | os.O_APPEND, [1, 2])):
        opened = os.open(path, flags)
        for target in targets:
            os.dup2(opened, target)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:], sys.path[0] = arguments, folder
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for name in SHARED:
        importlib.import_module(name)
    sys.modules["snakemake.cli"].get_argument_parser()  # imports the plugins
    become(**serve())
