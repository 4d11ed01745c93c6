"""The reference of the command line: every command with its options, read from the source without importing it."""

import ast
import inspect
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "neurovae"
STAGES = (
    "cohort",
    "preprocess",
    "train",
    "latents",
    "associate",
    "predict",
    "audit",
    "findings",
    "interpret",
    "report",
)
BY_HAND = {"provenance.trace": "provenance", "provenance.verify": "verify", "export.export": "export"}
SECTION = re.compile(r"^(Args|Raises|Returns|Examples?):$", re.MULTILINE)
ENTRY = re.compile(r"^    (\w[\w, ]*): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def functions(package: Path = PACKAGE) -> dict[str, ast.FunctionDef]:
    """The `run` of every module that can be run, by the name of its command."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        if '\nif __name__ == "__main__":' in text and name != "__main__":
            runs = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == "run"]
            found |= {BY_HAND.get(name, name): node for node in runs}
    return found


def page() -> str:
    """Every command by stage, as MyST."""
    parts: list[str] = []
    stage = ""
    order = {stage: k for k, stage in enumerate(STAGES)}
    for name, run in sorted(functions().items(), key=lambda item: order.get(item[0].split(".")[0], len(order))):
        first = name.split(".")[0]
        if first != stage:
            stage = first
            parts.append(f"## {stage}\n")
        parts.append(command(name, run))
    return "\n".join(parts)


def command(name: str, run: ast.FunctionDef) -> str:
    """One command: what it does, its options with their types and defaults, and what it refuses."""
    text = inspect.cleandoc(ast.get_docstring(run) or "")
    pieces = SECTION.split(text)
    sections = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    said = {
        one.strip(): " ".join(line.split())
        for names, line in ENTRY.findall(sections.get("Args", ""))
        for one in names.split(",")
    }
    defaults = dict(zip((arg.arg for arg in run.args.kwonlyargs), run.args.kw_defaults, strict=True))
    lines = [option(arg, defaults[arg.arg], said.get(arg.arg, "")) for arg in run.args.kwonlyargs]
    refused = [f"Refused: {' '.join(line.split())}" for _, line in ENTRY.findall(sections.get("Raises", ""))]
    example = [inspect.cleandoc(sections[key]) for key in ("Example", "Examples") if key in sections]
    shown = [f"```sh\n{line}\n```" for line in example]
    heading = f"### `python -m neurovae {name}`" if "." not in name else f"### `{name}`"
    return "\n\n".join([heading, pieces[0].strip(), "\n".join(lines), *refused, *shown, ""])


def option(arg: ast.arg, default: ast.expr | None, text: str) -> str:
    """One option as an entry of a list."""
    kind = (
        ast.unparse(arg.annotation).replace(" | None", "").replace("Path", "path").replace("Json", "JSON")
        if arg.annotation
        else ""
    )
    value = "" if default is None or ast.unparse(default) in ("None", "''") else f"; default {ast.unparse(default)}"
    return f"- `--{arg.arg}` ({kind}{value}){f': {text}' if text else ''}"
