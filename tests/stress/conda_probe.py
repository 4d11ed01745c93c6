"""What a Python process loaded, and from where; tests/stress/conda.py puts this into each environment, with a .pth file."""

import atexit
import json
import os
import sys

FOLDER = os.environ.get("NEUROVAE_PROBE", "")


def write() -> None:
    """A file per process: how it was called, its prefix, its search path, the file of every module."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    found = {
        "argv": sys.orig_argv,
        "prefix": sys.prefix,
        "path": sys.path,
        "files": sorted(file for file in files if isinstance(file, str)),
    }
    with open(os.path.join(FOLDER, f"{os.getpid()}-{os.urandom(4).hex()}.json"), "w") as out:
        json.dump(found, out)


if FOLDER:
    atexit.register(write)
