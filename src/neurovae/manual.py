"""The help page of a command: its docstring, each option with its line of the docstring, and the workflow's command."""

import inspect
import re
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable

from jsonargparse import DefaultHelpFormatter, auto_parser

from neurovae import examples
from neurovae.__main__ import EXAMPLES, SHORT

SECTION = re.compile(r"^(Args|Raises|Returns):$", re.MULTILINE)
ENTRY = re.compile(r"^    (\w[\w, ]*): (.*(?:\n {5,}.*)*)", re.MULTILINE)
USUAL = {
    "cohort": "cohort.parquet.",
    "latents": "latents.parquet of one model.",
    "qc": "qc.parquet.",
    "health": "health.json of the model.",
    "scores": "the scores of the configuration.",
    "confounds": "the confounds of the configuration.",
    "seed": "of what is drawn.",
    "out": "what to write.",
    "curves": "table to write of the fitted curves (.parquet, .tsv).",
    "people": "number of people.",
    "voxel_mm": "voxel size, mm.",
    "truth": "folder to write of what is known of the simulated people.",
    "jobs": "people simulated at a time; changes nothing in the numbers.",
}  # where a docstring leaves an option to its name


class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """jsonargparse's help, with the lines of a description as they are and plain names of types."""

    def _get_type_str(self, action):  # type: ignore[no-untyped-def]
        told = super()._get_type_str(action)
        return told and re.sub(r"<class '([\w.]+)'>", r"\1", told).replace("Path", "path").replace("Json", "JSON")


def page(function: Callable[..., None]) -> str:
    """The help of a command, as `--help` prints it."""
    name = command(function)
    text, options = told(function)
    parser = auto_parser(
        function,
        as_positional=False,
        prog=f"python -m {name}",
        formatter_class=Formatter,
        epilog=ending(name),
    )
    parser.description = text
    for action in parser._actions:
        action.help = options.get(action.dest, action.help or USUAL.get(action.dest))
    help_: str = parser.format_help()
    return help_.rstrip()


def command(function: Callable[..., None]) -> str:
    """The dotted name by which python -m runs the function's module."""
    if function.__module__ != "__main__":
        return function.__module__
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else "neurovae"


def told(function: Callable[..., None]) -> tuple[str, dict[str, str]]:
    """What a docstring says: the text, with what is refused, and a line per option (Google's sections)."""
    parts = SECTION.split(inspect.getdoc(function) or "")
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    options: dict[str, str] = {}
    for names, line in ENTRY.findall(sections.get("Args", "")):
        options |= {name.strip(): " ".join(line.split()).replace("%", "%%") for name in names.split(",")}
    refused = [" ".join(line.split()) for _, line in ENTRY.findall(sections.get("Raises", ""))]
    return "\n\n".join([parts[0].strip(), *(f"Refused: {line}" for line in refused)]), options


def ending(name: str) -> str:
    """The workflow's command on the demo, or where to find one."""
    try:
        found = examples.commands().get(name)
    except Exception as error:  # a workflow that cannot be read keeps nobody from the options
        return f"The workflow gives no example: {error}"
    if found is None:
        short = SHORT.get(name.removeprefix("neurovae."), name)
        lines = [line for line in EXAMPLES.splitlines() if f" {short} " in line and "--help" not in line]
        return "\n\n".join(["No rule of the workflow runs this command.", *(["Example:", *lines] if lines else [])])
    rule, line = found
    return f"Example (rule {rule} of the demo; `snakemake --cores 2 --forcerun {rule}` runs it in its place):\n\n{line}"
