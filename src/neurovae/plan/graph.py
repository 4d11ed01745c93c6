"""What the Snakefile needs to know before the first job: scans by bucket, flags, fingerprints."""

import hashlib
import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from neurovae.errors import InputError
from neurovae.plan import fingerprint, index
from neurovae.preprocess.columns import QUALITY

KEY_COLUMNS = ("participant_id", "session_id", "session", "acquisition", "run", "path")
HOW = {"train": ("device", "processes"), "preprocess": ("max_failed",)}  # how it is computed, not what
ROOT = Path(__file__).parents[3]
ODD = re.compile(r"[{}<>\x00-\x1f]")  # wildcards and path variables of Snakemake, and what ends a line


def with_cohort(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration, with the demo's file laid over it (and that said) where no cohort is given."""
    if "cohort" in config:
        return config
    print("no cohort in the configuration: the built-in demo runs (config/demo.yaml)", file=sys.stderr)
    merged = deepcopy(config)
    _lay_over(merged, yaml.safe_load((ROOT / "config" / "demo.yaml").read_text(encoding="utf-8")))
    return merged


def _lay_over(config: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _lay_over(config[key], value)
        else:
            config[key] = value


def flags(section: dict[str, Any], leave: tuple[str, ...] = ()) -> str:
    """A section as one alphabetical string of options; lists and maps as JSON with sorted keys, null left out."""
    kept = {key: value for key, value in section.items() if key not in leave and value is not None}
    return " ".join(f"--{key} {shlex.quote(_text(value))}" for key, value in sorted(kept.items()))


def _text(value: Any) -> str:
    """Text as it is, all else as JSON; a brace before a word is escaped, or Snakemake would fill in a wildcard."""
    if isinstance(value, str):
        return value
    return re.sub(r"\{(?=\s*\w)", r"\\u007b", json.dumps(value, sort_keys=True, ensure_ascii=False))


def codes() -> dict[str, str]:
    """Fingerprint per module of the package that is run by a rule ("preprocess.extract")."""
    package = ROOT / "src" / "neurovae"
    paths = [path for path in package.rglob("*.py") if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")]
    names = [".".join(path.relative_to(package).with_suffix("").parts) for path in paths]
    return {name: fingerprint.code(f"neurovae.{name}") for name in sorted(names)}


def environments() -> dict[str, str]:
    """Digest per file in envs/, by the name that rules use."""
    return {path.stem: fingerprint.environment(path) for path in sorted((ROOT / "envs").glob("*.yaml"))}


def lists(filled: dict[str, list[index.Scan]]) -> dict[str, str]:
    """Key, path, key, path ... of each bucket's scans, quoted once: Snakemake forms a command thrice."""
    return {
        name: shlex.join(text for scan in members for text in (scan.scan, scan.path))
        for name, members in filled.items()
    }


def of(wildcard: str, values: dict[str, Any]) -> Callable[[Any], Any]:
    """The value that belongs to a job's wildcard; Snakemake's `lookup` walks all values of all buckets for each job."""

    def value(wildcards: Any) -> Any:
        return values[getattr(wildcards, wildcard)]

    return value


def sources(filled: dict[str, list[index.Scan]], simulated: bool) -> dict[str, str]:
    """Digest per bucket of which scan is read from which file of which size: paths exchanged are seen."""
    return {
        name: _digest([[scan.scan, scan.path, None if simulated else os.stat(scan.path).st_size] for scan in members])
        for name, members in filled.items()
    }


def assets() -> str:
    """Digest of what the report is made of beside Python: template, style, scripts, references, captions."""
    folders = (ROOT / "src" / "neurovae" / "report" / "assets", ROOT / "workflow" / "report")
    paths = sorted(path for folder in folders for path in folder.iterdir())
    return _digest([[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in paths])


def results_only(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as the report shows it, without what changes no result, such as the device."""
    kept = deepcopy(config)
    for section, keys in HOW.items():
        for key in keys:
            del kept[section][key]
    return kept


def contents(paths: list[str], simulated: bool) -> str:
    """Digest of the tables' bytes: a corrected table is seen even where its time is older than the results."""
    return "" if simulated else _digest([hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def preprocess(section: dict[str, Any], suffix: str) -> dict[str, dict[str, Any]]:
    """The options of each preprocessing rule: its own section and the values of the stage that it uses."""
    shared = {key: section[key] for key in ("voxel_mm", "nonfinite")}
    uses = {
        "extract": ("nonfinite",),
        "register": ("voxel_mm", "nonfinite"),
        "normalise": ("voxel_mm",),
        "qc": (),
        "pack": ("voxel_mm",),
    }
    options = {rule: {**section.get(rule, {}), **{key: shared[key] for key in keys}} for rule, keys in uses.items()}
    for rule in ("register", "normalise", "pack"):
        options[rule]["suffix"] = suffix
    return options


def reference(section: dict[str, Any]) -> list[str]:
    """The file of the reference region, if intensities are normalised by one."""
    return [section["reference"]] if section["method"] == "reference" and section["reference"] != "brain" else []


def fold_section(cohort: dict[str, Any]) -> dict[str, Any]:
    """The part of the cohort section that decides on folds: nothing that speaks of scores."""
    kept = {key: cohort[key] for key in ("name", "bids", "table", "simulate", "suffix", "site", "family", "folds")}
    said = {*KEY_COLUMNS, cohort["site"], cohort["family"], cohort["folds"]["stratify"]}
    return {**kept, "rename": {old: new for old, new in cohort["rename"].items() if new in said}}


def known(config: dict[str, Any]) -> list[str]:
    """Problems of names and files that would otherwise show only after hours."""
    preprocess = config["preprocess"]
    problems = [
        f"cohort.confounds: {item['name']!r} is no column of the quality table; there are {', '.join(QUALITY)}"
        for item in config["cohort"]["confounds"]
        if item["from"] == "preprocess" and (item["column"] or item["name"]) not in QUALITY
    ]
    unknown = sorted(set(preprocess["qc"]["thresholds"]) - set(QUALITY))
    problems += [f"preprocess.qc.thresholds: no column {name!r}; there are {', '.join(QUALITY)}" for name in unknown]
    names = [entry["name"] for entry in config["train"]["models"]]
    primary, volumes = config["associate"]["primary"], config["audit"]["volumes"]
    if primary is not None and primary not in names:
        problems.append(f"associate.primary: no model {primary!r} in train.models; there are {', '.join(names)}")
    if volumes and not Path(volumes).is_file():
        problems.append(f"audit.volumes: file {volumes!r} not found; correct the path")
    override = preprocess["qc"]["override"]
    method, reference = preprocess["normalise"]["method"], preprocess["normalise"]["reference"]
    if override and not Path(override).is_file():
        problems.append(f"preprocess.qc.override: file {override!r} not found; correct the path")
    if method == "reference" and not reference:
        problems.append("preprocess.normalise.reference: give brain, or a NIfTI mask in MNI space")
    if method == "reference" and reference not in (None, "brain") and not Path(reference).is_file():
        problems.append(f"preprocess.normalise.reference: file {reference!r} not found; correct the path")
    return problems


def paths(config: dict[str, Any]) -> list[str]:
    """Problems of paths that Snakemake or the shell would read as something else; the shell gets all others quoted."""
    cohort, preprocess = config["cohort"], config["preprocess"]
    given = {
        "cohort.bids": cohort["bids"],
        "cohort.table": cohort["table"],
        "preprocess.qc.override": preprocess["qc"]["override"],
        "preprocess.normalise.reference": preprocess["normalise"]["reference"],
        "interpret.atlas": config["interpret"]["atlas"],
        "audit.volumes": config["audit"]["volumes"],
    }
    problems = [
        f"{key}: {path!r} has a brace, an angle bracket or a control character in it, which Snakemake would not take "
        "for text; rename the file or folder"
        for key, path in given.items()
        if path and ODD.search(path)
    ]
    if re.search(r"[{}:'\n]", str(ROOT)):
        problems.append(
            f"the code lies in {str(ROOT)!r}; its path may hold no brace, colon, apostrophe or line break, which "
            "PYTHONPATH or the shell would not take for text; move it"
        )
    return problems


def interpretable(section: dict[str, Any], models: list[str]) -> list[str]:
    """Problems of the interpret section: models that are not trained, an atlas that is not there, odd quantiles."""
    unknown = [name for name in section["models"] if name not in models]
    problems = [f"interpret.models: no model {name!r}; there are {', '.join(models)}" for name in unknown]
    if section["quantiles"] != sorted(section["quantiles"]):
        problems.append(f"interpret.quantiles: {section['quantiles']} do not rise; write the lowest first")
    if len(section["path"]) == 1:
        problems.append(f"interpret.path: one scan, {section['path'][0]!r}; give two, or none")
    if 0 in section["steps"]:
        problems.append("interpret.steps: 0 is the scan itself, which is always there; leave it out")
    return problems + [
        f"interpret.atlas: file {name!r} not found; correct the path, or use builtin"
        for name in atlas(section)
        if not Path(name).is_file()
    ]


def atlas(section: dict[str, Any]) -> list[str]:
    """Image and table of a user's atlas; none where it is the built-in one."""
    if section["atlas"] == "builtin":
        return []
    image = Path(section["atlas"])
    stem = image.name.removesuffix(".gz").removesuffix(".nii")
    return [str(image), str(image.with_name(f"{stem}.tsv"))]


def refuse(problems: list[str]) -> None:
    """Raise InputError if there are problems."""
    if problems:
        raise InputError(problems)


def same_source(cohort: dict[str, Any]) -> None:
    """Refuse a cohort name that already holds the results of another data root (remembered by the cohort rule)."""
    memory = Path("results", cohort["name"], "cohort", "source.json")
    found = index.data_root(cohort)
    try:
        known = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else found
    except ValueError:
        raise InputError(f"{memory}: damaged, no JSON; delete it, and make sure that {found} is its data") from None
    if known != found:
        raise InputError(
            f"cohort.name {cohort['name']!r} already holds the results of {json.dumps(known)}, found "
            f"{json.dumps(found)}; give another cohort.name; if it is the same data at a new place, delete {memory}"
        )
