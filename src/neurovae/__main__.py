"""The commands of neurovae: which there are, what each does, and running one of them by its short name."""

import ast
import re
import runpy
import sys
from difflib import get_close_matches
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
STAGES = {
    "cohort": "scans and tables, simulated or given, to one table of people, scores and folds",
    "preprocess": "scans to brains in MNI space, judged, and packed into one array",
    "train": "packed brains to a model of each kind, with a verdict on its health",
    "latents": "model and packed brains to the posterior mean of every scan",
    "associate": "latents and scores to tests: which latents are associated with which score",
    "predict": "latents and scores to predictions of people the model has not seen",
    "audit": "what could be mistaken for an effect: confounds, sites, seeds, power",
    "findings": "tests of all models together, each with its caveats",
    "interpret": "latents and score directions to maps of the brain",
    "report": "tables to pictures, the summary and the report",
}
BY_HAND = {"provenance": "provenance.trace", "verify": "provenance.verify", "export": "export.export"}
SHORT = {module: name for name, module in BY_HAND.items()}
EXAMPLES = """The whole chain (README.md), one stage of it, and one command of a stage:
  snakemake --cores 2 --configfile config/demo.yaml
  snakemake --cores 2 --configfile config/demo.yaml --forcerun train
  python -m neurovae train.fit --help
  python -m neurovae report.summary --help
  python -m neurovae provenance results/demo/findings/associations.tsv
  python -m neurovae verify results/demo
  python -m neurovae export --model results/demo/train/vae/fold-0_seed-0/weights.safetensors --out exported/vae
"""


def main(arguments: list[str]) -> None:
    """Run a command, or say what there is; an unknown name ends with status 2."""
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    known = commands()
    name = name.removeprefix("neurovae.")
    if name in ("-h", "--help"):
        print(overview())
    elif name in known:
        sys.argv = [name, *rest]
        runpy.run_module(f"neurovae.{BY_HAND.get(name, name)}", run_name="__main__", alter_sys=True)
    elif within := {key: line for key, line in known.items() if key.startswith(f"{name}.")}:
        print(stage(name, within))
        sys.exit(0 if set(rest) <= {"-h", "--help"} else 2)
    else:
        near = get_close_matches(name, [*known, *STAGES], n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "python -m neurovae --help lists the commands"
        print(f"neurovae: no command {name!r}; {hint}", file=sys.stderr)
        sys.exit(2)


@cache
def commands() -> dict[str, str]:
    """First line of what each command says of itself, by short name ("train.fit")."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(r'^if __name__ == "__main__":', text, re.MULTILINE) and path.name != "__main__.py":
            name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
            found[SHORT.get(name, name)] = _first_line(text)
    return found


def _first_line(text: str) -> str:
    tree = ast.parse(text)
    runs = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run"]
    return (ast.get_docstring(runs[0] if runs else tree) or "").split("\n\n")[0].replace("\n", " ")


def overview() -> str:
    """Every stage in the order of the data, with its commands."""
    known = commands()
    stages = [
        *STAGES,
        *sorted({name.split(".")[0] for name in known} - set(STAGES) - {n for n in known if "." not in n}),
    ]
    parts = ["usage: python -m neurovae COMMAND [--help] [options]\n", EXAMPLES]
    for name in stages:
        within = {key: line for key, line in known.items() if key.split(".")[0] == name}
        if within:
            parts.append(stage(name, within))
    others = {key: line for key, line in known.items() if "." not in key and key not in STAGES}
    return "\n".join([*parts, *([listed("by hand, outside the chain", others)] if others else [])]).rstrip()


def stage(name: str, within: dict[str, str]) -> str:
    """One stage and its commands."""
    return listed(f"{name}: {STAGES[name]}" if name in STAGES else name, within)


def listed(heading: str, lines: dict[str, str]) -> str:
    """A heading over commands with a line for each."""
    width = max(map(len, lines)) + 2
    return "\n".join([heading, *(f"  {name:<{width}}{line}" for name, line in lines.items()), ""])


if __name__ == "__main__":
    main(sys.argv[1:])
