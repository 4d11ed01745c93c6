"""Turn a stage's keyword-only function into its command line: parameters become options, the docstring its help."""

import inspect
import json
import os
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import DefaultHelpFormatter, auto_cli
from jsonargparse.typing import register_type

from neurovae.errors import InputError
from neurovae.provenance import record

if TYPE_CHECKING:
    Json = Any
else:

    class Json:
        """An option given as JSON; its texts stay texts ("yes", "on", "007"), which a YAML parser would retype."""

    register_type(Json, json.dumps, json.loads, type_check=lambda value, _: isinstance(value, dict | list))


class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Help that keeps the lines of a docstring."""


def cli(function: Callable[..., None], first: str = "") -> None:
    """Run `function` from the command line; an InputError ends with its message and status 1.

    Any other error names the file that was read last, since most come from a library that was given a damaged file. A
    record of how each result was made is written beside it (record.py), by the first process of a training.

    Args:
        function: the command; its docstring is the help.
        first: the option whose value may be given as first word, without dashes.
    """
    if first and sys.argv[1:] and not sys.argv[1].startswith("-"):
        sys.argv.insert(1, f"--{first}")
    watch = record.Watch(sys.argv[1:]) if _recording() else None
    try:
        auto_cli(function, **parser_options(function))
    except InputError as error:
        print("\nERROR", *error.problems, sep="\n", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if watch and watch.last and not isinstance(error, MemoryError) and not getattr(error, "errno", None):
            print(f"\nThe file read last was {_with_remedy(watch.last)}", file=sys.stderr)
        raise
    if watch:
        watch.write(_command(function))


def parser_options(function: Callable[..., None]) -> dict[str, Any]:
    """Return the arguments of the command's parser; the docstring, up to its list of options, is the description."""
    return {
        "as_positional": False,
        "prog": f"python -m neurovae {_command(function)}",
        "description": (inspect.getdoc(function) or "").split("\nArgs:")[0].strip(),
        "formatter_class": Formatter,
    }


def _with_remedy(path: str) -> str:
    """Name the file, with a remedy where it is a result."""
    is_result = record.place(Path(path)).is_file()
    return os.path.relpath(path) + ("; if this result is damaged, delete it and run again" if is_result else "")


def _recording() -> bool:
    """Whether this is the only process, or the first of those that torchrun started."""
    return int(os.environ.get("WORLD_SIZE") or 1) < 2 or os.environ.get("RANK", "0") == "0"


def _command(function: Callable[..., None]) -> str:
    """Return the short name of the command ("train.fit"), however it was started."""
    spec = sys.modules["__main__"].__spec__
    return (spec.name if spec and function.__module__ == "__main__" else function.__module__).removeprefix("neurovae.")
