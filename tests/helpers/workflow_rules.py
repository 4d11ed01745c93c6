"""The rules as text, and the packages that each reaches."""

import re
import sys
from pathlib import Path

import yaml

from neurovae.plan import fingerprint

ROOT = Path(__file__).parents[2]


PACKAGES = {
    "ants": "antspyx",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "PIL": "pillow",
    "skdim": "scikit-dimension",
}  # import name -> package


NEEDED = {"parquet": "pyarrow"}  # pandas finds it by itself


BROUGHT = {
    "scikit-dimension": {"numba", "scikit-learn"},
    "monai": {"einops"},
}  # what a package imports that is pinned with it


KINDS = [
    f"train.models.{kind}"
    for kind in (
        "vae",
        "autoencoder",
        "pca",
        "pca_localised",
        "mds",
        "isomap",
        "lle",
        "table",
        "pretrained",
        "frozen",
        "networks",
    )
]  # imported by name, so that ast does not see them


BY_NAME = [
    "neurovae.train.fit",
    "neurovae.train.health.health",
    "neurovae.latents",
    "neurovae.audit.stability",
    "neurovae.report.plots.train",
    "neurovae.report.plots.interpret",
    *(f"neurovae.interpret.{name}" for name in ("traverse", "maps", "samples", "counterfactual", "block_maps")),
]


def bodies(path: Path) -> list[tuple[str, str]]:
    """(rule, text) of every rule of a file."""
    return re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", path.read_text(), flags=re.S | re.M)


def rules() -> list[tuple[str, str, str]]:
    """(rule, module, environment) of every rule that runs Python."""
    found = []
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for name, body in bodies(path):
            module = re.search(r"(?:python -m|\{resources\.launch\}) (neurovae[\w.]*)", body)
            env = re.search(r'conda:\s+"../../envs/(\w+).yaml"', body)
            assert module and env, f"rule {name} runs no module or declares no environment"
            found.append((name, module[1], env[1]))
    return found


def third_party(module: str) -> set[str]:
    """Packages that a module reaches, through every package module it imports."""
    seen: set[str] = set()
    packages: set[str] = set()
    waiting = [module, *(f"neurovae.{kind}" for kind in KINDS if module in BY_NAME)]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            own, other = fingerprint.imports(name, ROOT / "src")
            waiting += own
            packages |= {PACKAGES.get(item, item) for item in other if item not in sys.stdlib_module_names}
            if "_parquet" in (ROOT / "src").joinpath(*name.split(".")).with_suffix(".py").read_text():
                packages.add(NEEDED["parquet"])
    return packages.union(*(BROUGHT.get(package, set()) for package in packages))


def pins(env: str) -> set[str]:
    """Package names of an environment file, each pinned exactly."""
    listed = yaml.safe_load((ROOT / "envs" / f"{env}.yaml").read_text())["dependencies"][-1]["pip"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in listed), listed
    return {line.split("==")[0] for line in listed}


def check_directive(directive: str) -> None:
    """Every rule declares it."""
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        assert all(re.search(rf"^ +{directive}:", body, flags=re.M) for _, body in bodies(path)), path.name


def check_plain() -> None:
    """No functions, lambdas or Python blocks in the workflow."""
    for path in [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]:
        assert not re.search(r"\blambda\b|^\s*def |^\s+(run|script):", path.read_text(), flags=re.M), path.name


def check_environment(rule: str, module: str, env: str) -> None:
    """The environment names every package that the rule's module reaches."""
    assert third_party(module) - pins(env) == set(), rule
