"""Turn a stage's keyword-only function into its command line: parameters become options, the docstring its help."""

import sys
from collections.abc import Callable

from jsonargparse import auto_cli

from neurovae.errors import InputError


def cli(function: Callable[..., None]) -> None:
    """Run `function` from the command line; an InputError ends with its message and status 1."""
    try:
        auto_cli(function, as_positional=False)
    except InputError as error:
        print("\nERROR", *error.problems, sep="\n", file=sys.stderr)
        sys.exit(1)
