"""Fingerprints of code and environments: what a rule's result depends on besides its inputs and flags.

Standard library and PyYAML only; equal on Python 3.10 to 3.13.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

SOURCE = Path(__file__).parents[2]  # the folder that holds the package
STRING_OR_COMMENT = re.compile(
    r"'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'(?:\\.|[^\\'\n])*'|\"(?:\\.|[^\\\"\n])*\"|#[^\n]*", re.S
)


def code(module: str) -> str:
    """Return a digest of a module and of all package modules that it imports, without comments and blank lines."""
    modules: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in modules:
            modules.add(name)
            waiting += sorted(imports(name, SOURCE)[0])
    paths = {name: _path(name, SOURCE) for name in sorted(modules)}
    return _digest("".join(f"{name}\n{_bare(path, path.stat().st_mtime_ns)}" for name, path in paths.items()))


def environment(path: Path) -> str:
    """Return a digest of a parsed environment file: comments and layout do not count."""
    return _digest(json.dumps(yaml.safe_load(Path(path).read_text()), sort_keys=True))


@cache
def imports(module: str, source: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The imports of a module, at its top and inside functions: (modules of its package, other top-level names)."""
    package = module.split(".")[0]
    in_package, external = set(), set()
    for name in _imported(module, source):
        if name.split(".")[0] == package:
            in_package.add(_module(name, source))
        else:
            external.add(name.split(".")[0])
    return frozenset(in_package - {package}), frozenset(external)


def _imported(module: str, source: Path) -> list[str]:
    path = _path(module, source)
    parent = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = parent.split(".")[: len(parent.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [f"{base}.{alias.name}" for alias in node.names]
    return names


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements inside a node; imports are statements, and expressions, which are most nodes, hold none."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, part, ())
        for child in inner if isinstance(inner, list) else ():  # the body of a lambda is an expression
            yield child
            yield from _statements(child)


def _module(name: str, source: Path) -> str:
    """Return the module of a dotted name: itself, or its parent when it is a function or class."""
    while not _exists(name, source):
        name = name.rpartition(".")[0]
    return name


def _exists(name: str, source: Path) -> bool:
    base = source.joinpath(*name.split("."))
    return base.with_suffix(".py").exists() or (base / "__init__.py").exists()


def _path(name: str, source: Path) -> Path:
    base = source.joinpath(*name.split("."))
    return base.with_suffix(".py") if base.with_suffix(".py").exists() else base / "__init__.py"


@cache
def _bare(path: Path, changed: int) -> str:
    """Return the text without comments, blank lines and trailing spaces."""
    text = path.read_text(encoding="utf-8")
    text = STRING_OR_COMMENT.sub(lambda found: "" if found[0].startswith("#") else found[0], text)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
