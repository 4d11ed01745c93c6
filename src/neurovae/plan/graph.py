"""Values that the Snakefile needs before the first job: scans by batch, options of the rules, fingerprints."""

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
from neurovae.plan import external, fingerprint, index, user_tables
from neurovae.preprocess.columns import QUALITY

FOLD_KEYS = (
    "name",
    "bids",
    "files",
    "volumes",
    "participants",
    "table",
    "simulate",
    "suffix",
    "site",
    "family",
    "folds",
)
KEY_COLUMNS = ("participant_id", "session_id", "session", "acquisition", "run", "path")
NO_EFFECT = {"train": ("device", "processes"), "preprocess": ("max_failed",)}  # keys that change no result
ROOT = Path(__file__).parents[3]
ODD = re.compile(r"[{}<>\x00-\x1f]")  # wildcards and path variables of Snakemake, and what ends a line


def with_cohort(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration; without a cohort, the demo's file is merged into it, and a note is printed."""
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
    """Format a section as one sorted string of options; lists and maps as JSON with sorted keys, null left out."""
    options = {key: value for key, value in section.items() if key not in leave and value is not None}
    return " ".join(f"--{key} {shlex.quote(_text(value))}" for key, value in sorted(options.items()))


def _text(value: Any) -> str:
    """Text unchanged, all else as JSON; a brace before a word is escaped, since Snakemake reads it as a wildcard."""
    if isinstance(value, str):
        return value
    return re.sub(r"\{(?=\s*\w)", r"\\u007b", json.dumps(value, sort_keys=True, ensure_ascii=False))


def codes() -> dict[str, str]:
    """Return a fingerprint of each module that a rule runs ("preprocess.extract")."""
    package = ROOT / "src" / "neurovae"
    paths = [path for path in package.rglob("*.py") if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")]
    names = [".".join(path.relative_to(package).with_suffix("").parts) for path in paths]
    return {name: fingerprint.code(f"neurovae.{name}") for name in sorted(names)}


def environments() -> dict[str, str]:
    """Return a digest per file in envs/, by the name that rules use."""
    return {path.stem: fingerprint.environment(path) for path in sorted((ROOT / "envs").glob("*.yaml"))}


def lists(batches: dict[str, list[index.Scan]]) -> dict[str, str]:
    """List key, path, volume and mask of each batch's scans, quoted once: Snakemake formats a command three times."""
    return {
        name: shlex.join(text for scan in members for text in (scan.scan, scan.path, scan.volume, scan.mask))
        for name, members in batches.items()
    }


def of(wildcard: str, values: dict[str, Any]) -> Callable[[Any], Any]:
    """A function from a job's wildcard to its value; `lookup` would scan all values of all batches for each job."""

    def value(wildcards: Any) -> Any:
        return values[getattr(wildcards, wildcard)]

    return value


def sources(batches: dict[str, list[index.Scan]], simulated: bool) -> dict[str, str]:
    """Return a digest per batch of its scans, their files and sizes: changed paths change it."""
    return {
        name: _digest(
            [
                [scan.scan, scan.path, None if simulated else os.stat(scan.path).st_size, *_volume_and_mask(scan)]
                for scan in members
            ]
        )
        for name, members in batches.items()
    }


def _volume_and_mask(scan: index.Scan) -> list[Any]:
    """Volume, mask and the mask's size, where there are any."""
    return (
        [scan.volume, *([scan.mask, os.stat(scan.mask).st_size] if scan.mask else [])]
        if scan.volume or scan.mask
        else []
    )


def images(batches: dict[str, list[index.Scan]]) -> dict[str, list[str]]:
    """List the files of the scans and masks of each batch, without repeats."""
    return {
        name: list(dict.fromkeys(path for scan in members for path in (scan.path, scan.mask) if path))
        for name, members in batches.items()
    }


def assets() -> str:
    """Return a digest of the report's files other than Python: template, style, scripts, references, captions."""
    folders = (ROOT / "src" / "neurovae" / "report" / "assets", ROOT / "workflow" / "report")
    paths = sorted(path for folder in folders for path in folder.iterdir())
    return _digest([[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in paths])


def results_only(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration as the report shows it, without keys that change no result, such as the device."""
    copied = deepcopy({key: value for key, value in config.items() if not key.startswith("x-")})
    if copied["cohort"].get("blocks") == [{"name": "image", "type": "volumes"}]:
        del copied["cohort"]["blocks"]  # the scans alone, as in every run without blocks
    for section, keys in NO_EFFECT.items():
        for key in keys:
            del copied[section][key]
    return copied


def contents(paths: list[str], simulated: bool) -> str:
    """Return a digest of the tables' bytes: a corrected table is noticed even where it is older than the results."""
    return "" if simulated else _digest([hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def preprocess(section: dict[str, Any], suffix: str) -> dict[str, dict[str, Any]]:
    """Return the options of each preprocessing rule: its own section and the shared values that it uses."""
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
    options["grids"] = {"voxel_mm": section["voxel_mm"], "template_mm": section["register"]["template_mm"]}
    return options


def simulated_visits(cohort: dict[str, Any], found: index.Index) -> list[str]:
    """List the scans and sessions tables of simulated people with several visits, below the BIDS folder."""
    if not cohort["simulate"] or not cohort["simulate"]["visits"]:
        return []
    folder = f"results/{cohort['name']}/cohort/bids/"
    paths = [scan.path for scan in found.scans] + [path for path in found.files if path.endswith("_sessions.tsv")]
    return [path.removeprefix(folder) for path in paths]


def reference(section: dict[str, Any]) -> list[str]:
    """Return the file of the reference region, if intensities are normalised by one."""
    return [section["reference"]] if section["method"] == "reference" and section["reference"] != "brain" else []


def fold_section(cohort: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the cohort section that determines the folds; it holds nothing about scores.

    Codes for missing values are part of it only where they change people, sites or strata.
    """
    section = {key: cohort[key] for key in FOLD_KEYS}
    codes = {key: cohort[key] for key in ("missing", "not_missing") if cohort.get(key)}
    people = {**cohort, "visits": [], "scores": [], "confounds": []}
    without_codes = index.look({**people, **dict.fromkeys(codes, [])}) if codes else None
    if without_codes and index.digest(without_codes.scans) != index.digest(index.look(people).scans):
        section |= codes
    used_columns = {*KEY_COLUMNS, cohort["site"], cohort["family"], cohort["folds"]["stratify"]}
    return {**section, "rename": {old: new for old, new in cohort["rename"].items() if new in used_columns}}


def cohort_section(cohort: dict[str, Any]) -> dict[str, Any]:
    """Return the section that the rule `cohort` reads: without blocks, which have rules of their own."""
    return {key: value for key, value in cohort.items() if key != "blocks"}


def names_and_files(config: dict[str, Any]) -> list[str]:
    """List problems of names and files that would otherwise appear only after hours."""
    preprocess = config["preprocess"]
    problems = [
        f"cohort.confounds: {item['name']!r} is no column of the quality table; there are {', '.join(QUALITY)}"
        for item in config["cohort"]["confounds"]
        if item["from"] == "preprocess" and (item["column"] or item["name"]) not in QUALITY
    ]
    not_there = sorted(set(preprocess["qc"]["thresholds"]) - set(QUALITY))
    problems += [f"preprocess.qc.thresholds: no column {name!r}; there are {', '.join(QUALITY)}" for name in not_there]
    without_images = not index.has_images(config["cohort"])
    problems += [
        f"cohort.confounds: {item['name']!r} is from: preprocess, but the cohort has no images; leave it out, or take "
        "it from a column of the participants table"
        for item in config["cohort"]["confounds"]
        if item["from"] == "preprocess" and without_images
    ]
    names = [entry["name"] for entry in config["train"]["models"]]
    primary = config["associate"]["primary"]
    if primary is not None and primary not in names:
        problems.append(f"associate.primary: no model {primary!r} in train.models; there are {', '.join(names)}")
    user_files = {"preprocess.qc.override": preprocess["qc"]["override"], "audit.volumes": config["audit"]["volumes"]}
    problems += [
        f"{key}: file {path!r} not found; correct the path"
        for key, path in user_files.items()
        if path and not Path(path).is_file()
    ]
    method, reference = preprocess["normalise"]["method"], preprocess["normalise"]["reference"]
    if method == "reference" and not reference:
        problems.append("preprocess.normalise.reference: give brain, or a NIfTI mask in MNI space")
    if method == "reference" and reference not in (None, "brain") and not Path(reference).is_file():
        problems.append(f"preprocess.normalise.reference: file {reference!r} not found; correct the path")
    return problems


def paths(config: dict[str, Any]) -> list[str]:
    """List paths with characters that Snakemake or the shell would interpret; all others are quoted."""
    cohort, preprocess = config["cohort"], config["preprocess"]
    all_paths = {
        "cohort.bids": cohort["bids"],
        "cohort.table": cohort["table"],
        "cohort.participants": cohort["participants"],
        "cohort.volumes": cohort["volumes"],
        **{f"cohort.visits.{number}.file": entry["file"] for number, entry in enumerate(cohort["visits"])},
        "preprocess.qc.override": preprocess["qc"]["override"],
        "preprocess.normalise.reference": preprocess["normalise"]["reference"],
        "cohort.external": (external.settings(cohort) or {}).get("path"),
        "interpret.atlas": config["interpret"]["atlas"],
        "audit.volumes": config["audit"]["volumes"],
        **{
            f"cohort.blocks {entry['name']!r}: {key}": entry.get(key)
            for entry in cohort["blocks"]
            for key in ("path", "atlas", "mask", "regions")
        },
        **{f"train.models {entry['name']!r}: path": entry.get("path") for entry in config["train"]["models"]},
    }
    problems = [
        f"{key}: {path!r} has a brace, an angle bracket or a control character in it, which Snakemake would "
        "interpret; rename the file or folder"
        for key, path in all_paths.items()
        if path and ODD.search(path)
    ]
    if re.search(r"[{}:'\n]", str(ROOT)):
        problems.append(
            f"the code lies in {str(ROOT)!r}; its path may hold no brace, colon, apostrophe or line break, which "
            "PYTHONPATH or the shell would interpret; move it"
        )
    return problems


def interpret_problems(section: dict[str, Any], models: list[str]) -> list[str]:
    """List problems of the interpret section: unknown models, a missing atlas, quantiles that do not rise."""
    not_there = [name for name in section["models"] if name not in models]
    problems = [f"interpret.models: no model {name!r}; there are {', '.join(models)}" for name in not_there]
    if section["quantiles"] != sorted(section["quantiles"]):
        problems.append(f"interpret.quantiles: {section['quantiles']} do not rise; write the lowest first")
    if len(section["path"]) == 1:
        problems.append(f"interpret.path: one scan, {section['path'][0]!r}; give two, or none")
    if 0 in section["steps"]:
        problems.append("interpret.steps: 0 is the scan itself, which is always included; leave it out")
    return problems + [
        f"interpret.atlas: file {name!r} not found; correct the path, or use builtin"
        for name in atlas(section)
        if not Path(name).is_file()
    ]


def atlas(section: dict[str, Any]) -> list[str]:
    """Return image and table of a user's atlas; an empty list for the built-in one."""
    if section["atlas"] == "builtin":
        return []
    return [section["atlas"], str(user_tables.names_beside(Path(section["atlas"])))]


def refuse(problems: list[str]) -> None:
    """Raise InputError if there are problems."""
    if problems:
        raise InputError(problems)


def same_source(cohort: dict[str, Any]) -> None:
    """Refuse a cohort name that already holds the results of another data root (written by the cohort rule)."""
    memory = Path("results", cohort["name"], "cohort", "source.json")
    source = index.data_root(cohort)
    try:
        source_then = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else source
    except ValueError:
        raise InputError(f"{memory}: damaged, not JSON; make sure that {source} is its data, then delete it") from None
    if source_then != source:
        raise InputError(
            f"cohort.name {cohort['name']!r} already holds the results of {json.dumps(source_then)}, found "
            f"{json.dumps(source)}; give another cohort.name; if it is the same data at a new place, delete {memory}"
        )
