"""An example per command: the shell line of the workflow's rule, filled in for the demo, so that it cannot go stale."""

import ast
import re
import shlex
import string
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WILDCARDS = {"cohort": "demo", "model": "vae", "batch": "0000", "fold": "0", "seed": "0", "trial": "0"}
RULE = re.compile(r"^rule (\w+):\n((?:(?:    .*)?\n)+)", re.MULTILINE)
PART = re.compile(r"^    (\w+):(.*\n(?:(?:        .*)?\n)*)", re.MULTILINE)
RUN = re.compile(r"(?<![\w.])(neurovae(?:\.\w+)+)")
LIST = re.compile(r"\$\(echo (.*?) \| tr ' ' ','\)")  # how a rule gives a list of files
MARKS = ("report", "directory", "temp", "protected", "ancient", "touch")  # around a path, which they leave as it is
USED = ("input", "output", "params", "resources", "threads", "shell")


@cache
def commands() -> dict[str, tuple[str, str]]:
    """Rule and command on the demo, by module ("neurovae.train.fit"); empty where the package stands alone."""
    files = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    if not files:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for path in files:
        for rule, body in RULE.findall(path.read_text(encoding="utf-8") + "\n"):
            searched = "_search/" in body and rule != "train"  # rules of a search, which the demo does not make
            line = filled(body, surroundings(searched))
            for module in RUN.findall(line)[:1]:
                found.setdefault(module, (rule, laid_out(line)))
    return found


@cache
def surroundings(searched: bool) -> dict[str, Any]:
    """The names that rules use: common.smk run with the demo's configuration, with a search of its VAE or without."""
    path, demo = ROOT / "workflow" / "rules" / "common.smk", ROOT / "config" / "demo.yaml"
    more = {"train": {"search": {"model": "vae"}}} if searched else {}
    text = re.sub(r"^wildcard_constraints:\n(?:(?: .*)?\n)*", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = re.sub(r"^from snakemake.*\n", "", text, flags=re.MULTILINE)
    names: dict[str, Any] = {
        "config": yaml.safe_load(demo.read_text(encoding="utf-8")) | more,
        "workflow": SimpleNamespace(basedir=str(ROOT), configfiles=[str(demo)]),
        "shell": SimpleNamespace(prefix=lambda text: None),
        "WorkflowError": ValueError,
        "expand": expand,
        "lookup": lookup,
        "branch": lambda condition, then="", otherwise="": then if condition else otherwise,
        **dict.fromkeys(MARKS, lambda path, **words: path),
    }
    kept = list(sys.path)
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        exec(compile(text, str(path), "exec"), names)
    sys.path[:] = kept
    return names


def expand(pattern: str, **values: Any) -> list[str]:
    """As Snakemake's: the pattern with every combination of values."""
    lists = [[value] if isinstance(value, str) else list(value) for value in values.values()]
    return [pattern.format(**dict(zip(values, chosen, strict=True))) for chosen in product(*lists)]


def lookup(dpath: str, within: dict[str, Any]) -> Any:
    """As Snakemake's, for one wildcard: the entry of a mapping."""
    return within[dpath.format(**WILDCARDS)]


class Named(SimpleNamespace):
    """Files or values of a rule's section, by name; as text all of them with a space between."""

    def __format__(self, kind: str) -> str:
        return shown([value for one in vars(self).values() for value in several(one)], kind)


class Fields(string.Formatter):
    """Snakemake's fields: a list with a space between, and quoted with :q."""

    def format_field(self, value: Any, kind: str) -> str:
        """One field as text."""
        return format(value, kind) if isinstance(value, Named) else shown(several(value), kind)


def several(value: Any) -> list[str]:
    """One value or a list of values, as texts with the demo's wildcards."""
    many = isinstance(value, Sequence | dict) and not isinstance(value, str)
    values = list(value) if many else [value]
    return [re.sub(r"\{(\w+)\}", lambda found: WILDCARDS.get(found[1], found[0]), str(one)) for one in values]


def shown(values: list[str], kind: str) -> str:
    """Values with a space between; with "q" each quoted for the shell."""
    return " ".join(shlex.quote(value) if kind == "q" else value for value in values)


def filled(body: str, names: dict[str, Any]) -> str:
    """The shell line of a rule with its fields filled in, without its log."""
    parts: dict[str, Any] = {"wildcards": Named(**WILDCARDS), "log": ""}
    for name, text in PART.findall(body):
        if name in USED:
            parts[name] = section(text, names)
    threads = vars(parts["threads"])["_0"] if "threads" in parts else 1
    line = vars(parts["shell"])["_0"]
    named = {key: value for key, value in parts.items() if key != "shell"}
    text = Fields().format(line, **{**named, "threads": threads}).split(" 2>&1")[0]
    return LIST.sub(lambda found: found[1].replace(" ", ","), text)


def section(text: str, names: dict[str, Any]) -> Named:
    """The values of one section of a rule: those without a name as _0, _1."""
    call = ast.parse(f"_({text.strip()}\n)", mode="eval").body
    assert isinstance(call, ast.Call)
    nodes = {f"_{i}": node for i, node in enumerate(call.args)}
    nodes |= {str(node.arg): node.value for node in call.keywords}
    return Named(**{name: eval(compile(ast.Expression(node), "rule", "eval"), names) for name, node in nodes.items()})


def laid_out(line: str) -> str:
    """A long command as a person would type it: an option per line."""
    return "  " + re.sub(r" (--\w)", r" \\\n    \1", line)
