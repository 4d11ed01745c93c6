"""The versions in envs/*.yaml beside those that were installed, and whether each rule's imports work."""

import re
import subprocess
from pathlib import Path

import yaml
from conda_run import looked, plain, without_local
from lines import said
from project import ROOT
from workflow_rules import PACKAGES, rules, third_party

RULES = {rule: (module, env) for rule, module, env in rules()}
NAMES = {package: name for name, package in PACKAGES.items()}  # package -> import name
HEAD = ("env", "package", "pin", "installed", ".venv", "pyproject")


def pinned(made: dict[str, Path], launcher: Path) -> None:
    """Each pin is what was installed, in .venv too, and what pyproject.toml says; each import of each rule works."""
    names = {env: imported(env) for env in made}
    found = {env: looked(prefix / "bin" / "python", names[env]) for env, prefix in made.items()}
    found["snakemake"] = looked(launcher / "bin" / "python", ["snakemake", "snakemake_executor_plugin_slurm"])
    here = looked(ROOT / ".venv" / "bin" / "python", [])["versions"]
    stated = project()
    files = {path.stem: pins(path) for path in sorted((ROOT / "envs").glob("*.yaml"))}
    rows = [
        (env, name, pin, found[env]["versions"].get(name, "-"), here.get(name, "-"), stated.get(name, "-"))
        for env, named in files.items()
        for name, pin in named.items()
    ]
    for row in [HEAD, *rows]:
        print(
            "   "
            + "".join(
                f"{cell:<{base_channels}}" for cell, base_channels in zip(row, (12, 33, 11, 13, 13, 11), strict=True)
            )
        )
    wrong = [row for row in rows if without_local(row[3]) != row[2]]
    said(not wrong, "pins that are not what was installed:", wrong or 0, "0", len(rows))
    tested = [row for row in rows if row[0] != "snakemake"]  # the launcher is no environment of a rule
    wrong = [row for row in tested if without_local(row[4]) != row[2] or row[5] != row[2]]
    said(not wrong, "pins that are not those of .venv and pyproject.toml:", wrong or 0, "0", len(tested))
    failed = {env: one["failed"] for env, one in found.items() if one["failed"]}
    said(
        not failed, "imports of rules that fail in their environment:", failed or 0, "0", sum(map(len, names.values()))
    )
    broken = [complaint for prefix in made.values() for complaint in complaints(prefix)]
    said(not broken, "environments in which `pip check` complains:", broken or 0, "0", len(made))
    others: dict[str, list[str]] = {}
    for env in made:
        for name, version in found[env]["versions"].items():
            if name not in (*files[env], "pip") and version != here.get(name):  # pip comes from the channel
                others.setdefault(f"{name} {here.get(name)} -> {version}", []).append(env)
    said_of = "; ".join(f"{change} ({', '.join(envs)})" for change, envs in sorted(others.items()))
    said(not others, "packages in another version than .venv, without a pin:", said_of or 0, "0", len(made))


def pins(path: Path) -> dict[str, str]:
    """Package -> version of an environment's file."""
    lines = yaml.safe_load(path.read_text())["dependencies"][-1]["pip"]
    return {plain(name): version for name, version in (line.split("==") for line in lines)}


def project() -> dict[str, str]:
    """Package -> version of pyproject.toml."""
    lines = re.findall(r'^ *"([\w.-]+)==([\w.]+)",$', (ROOT / "pyproject.toml").read_text(), flags=re.M)
    return {plain(name): version for name, version in lines}


def imported(env: str) -> list[str]:
    """What the rules of an environment import, in all their branches, by import name."""
    packages = set().union(*(third_party(module) for module, other in RULES.values() if other == env))
    return sorted(NAMES.get(package, package) for package in packages)


def complaints(prefix: Path) -> list[str]:
    """What `pip check` says of an environment; empty: its packages fit together."""
    command = [str(prefix / "bin" / "python"), "-I", "-m", "pip", "check"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    return [f"{prefix.name}: {done.stdout.strip()}"] if done.returncode else []
