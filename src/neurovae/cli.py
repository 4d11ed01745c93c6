"""Turn a stage's keyword-only function into its command line: parameters become options, the docstring its help."""

import importlib
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jsonargparse import auto_cli
from jsonargparse.typing import register_type

from neurovae.errors import InputError

if TYPE_CHECKING:
    Json = Any
else:

    class Json:
        """An option given as JSON; its texts stay texts ("yes", "on", "007"), which a YAML parser would retype."""

    register_type(Json, json.dumps, json.loads, type_check=lambda value, _: isinstance(value, dict | list))


def cli(function: Callable[..., None]) -> None:
    """Run `function` from the command line; an InputError ends with its message and status 1.

    With --help it says what its docstring says, with an example: by name, so that a help text reruns no stage.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(importlib.import_module("neurovae.manual").page(function))
        sys.exit()
    try:
        auto_cli(function, as_positional=False)
    except InputError as error:
        print("\nERROR", *error.problems, sep="\n", file=sys.stderr)
        sys.exit(1)
