"""The commands of neurovae: list them, and run one by its short name."""

import ast
import re
import runpy
import sys
from difflib import get_close_matches
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
STAGES = {
    "cohort": "from scans and tables, simulated or given, to one table of people, scores and folds",
    "preprocess": "from scans to brains in MNI space, checked and packed into one array",
    "train": "from packed brains to a model of each kind, with a verdict on its health",
    "latents": "from model and packed brains to the posterior mean of every scan",
    "associate": "tests of latents against scores: which latents are associated with which score",
    "predict": "predictions of scores from latents, in people who were not in the training set",
    "trajectory": "latents over several visits: change, its association with scores, a later visit predicted",
    "norm": "brain age, and deviations of participants from the norm of a reference group",
    "external": "another cohort's findings, tested on these participants",
    "audit": "sensitivity checks: confounds, sites, seeds, dimension, power",
    "findings": "tests of all models together, each with its caveats",
    "interpret": "maps of the brain for latents and score directions",
    "report": "figures, summary and report from the tables",
}
BY_HAND = {"provenance": "provenance.trace", "verify": "provenance.verify", "export": "export.export",
           "simulate_blocks": "cohort.simulate_blocks"}  # fmt: skip
SHORT = {module: name for name, module in BY_HAND.items()}
EXAMPLES = """The whole pipeline (README.md), one stage of it, and one command of a stage:
  snakemake --cores 2 --configfile config/demo.yaml
  snakemake --cores 2 --configfile config/demo.yaml --forcerun train
  python -m neurovae train.fit --help
  python -m neurovae report.summary --help
  python -m neurovae provenance results/demo/findings/associations.tsv
  python -m neurovae verify results/demo
  python -m neurovae export --model results/demo/train/vae/fold-0_seed-0/weights.safetensors --out exported/vae
"""


def main(arguments: list[str]) -> None:
    """Run a command, or list the commands; an unknown name ends with status 2."""
    name, options = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    all_commands = commands()
    name = name.removeprefix("neurovae.")
    if name in ("-h", "--help"):
        print(overview())
    elif name in all_commands:
        sys.argv = [name, *options]
        runpy.run_module(f"neurovae.{BY_HAND.get(name, name)}", run_name="__main__", alter_sys=True)
    elif of_stage := {key: line for key, line in all_commands.items() if key.startswith(f"{name}.")}:
        print(stage(name, of_stage))
        sys.exit(0 if set(options) <= {"-h", "--help"} else 2)
    else:
        similar = get_close_matches(name, [*all_commands, *STAGES], n=3)
        hint = f"did you mean {', '.join(similar)}?" if similar else "python -m neurovae --help lists the commands"
        print(f"neurovae: no command {name!r}; {hint}", file=sys.stderr)
        sys.exit(2)


@cache
def commands() -> dict[str, str]:
    """Return the first line of each command's docstring, by short name ("train.fit")."""
    first_lines = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(r'^if __name__ == "__main__":', text, re.MULTILINE) and path.name != "__main__.py":
            name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
            first_lines[SHORT.get(name, name)] = _first_line(text)
    return first_lines


def _first_line(text: str) -> str:
    tree = ast.parse(text)
    runs = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run"]
    return (ast.get_docstring(runs[0] if runs else tree) or "").split("\n\n")[0].replace("\n", " ")


def overview() -> str:
    """List every stage in the order of the data, with its commands."""
    all_commands = commands()
    stages = [
        *STAGES,
        *sorted(
            {name.split(".")[0] for name in all_commands} - set(STAGES) - {n for n in all_commands if "." not in n}
        ),
    ]
    parts = ["usage: python -m neurovae COMMAND [--help] [options]\n", EXAMPLES]
    for name in stages:
        of_stage = {key: line for key, line in all_commands.items() if key.split(".")[0] == name}
        if of_stage:
            parts.append(stage(name, of_stage))
    others = {key: line for key, line in all_commands.items() if "." not in key and key not in STAGES}
    return "\n".join([*parts, *([listing("run by hand, outside the pipeline", others)] if others else [])]).rstrip()


def stage(name: str, of_stage: dict[str, str]) -> str:
    """List one stage and its commands."""
    return listing(f"{name}: {STAGES[name]}" if name in STAGES else name, of_stage)


def listing(heading: str, lines: dict[str, str]) -> str:
    """Format a heading over commands, with a line for each."""
    width = max(map(len, lines)) + 2
    return "\n".join([heading, *(f"  {name:<{width}}{line}" for name, line in lines.items()), ""])


if __name__ == "__main__":
    main(sys.argv[1:])
