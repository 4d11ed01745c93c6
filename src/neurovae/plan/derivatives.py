"""Images that another tool has preprocessed, found by a path pattern; standard library only.

One mechanism serves fMRIPrep and sMRIPrep, CAT12, FSL-VBM and FreeSurfer: `cohort.files` is a pattern with fields, and
`cohort.masks` another one with the same fields. With `cohort.volumes` the pattern is one 4-D file with a list of the
people of its volumes.
"""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from neurovae.io.tables import first
from neurovae.plan import nifti, pattern
from neurovae.preprocess.names import SPACE as FIXED

ENDINGS = (".nii", ".nii.gz", ".mgz")
ENTITY = {"session": "ses", "acquisition": "acq", "run": "run"}
ODD = re.compile(r"[{}<>\x00-\x1f]")  # wildcards of Snakemake, and what ends a line
SPACE = re.compile(r"_space-([A-Za-z0-9+]+)")
LISTED = re.compile(rf"({pattern.BIDS}|{pattern.LABEL})(_struc\w*|_T1w|_T1)*")
NATIVE = ("T1w", "T2w", "orig", "fsnative", "scanner", "individual")
UNNAMED = re.compile(r"sub-\w[^/]*_(desc-preproc|label-[A-Za-z]+)_")  # derivatives without space- are in native space
SAME = "MNI152NLin2009"  # begins the names of the templates of the fixed mask's own space


class Source(NamedTuple):
    """The place of a scan: a file, the volume of a 4-D file (from 0, empty otherwise), the file of its mask."""

    path: str
    volume: str = ""
    mask: str = ""


def find(cohort: Mapping[str, Any]) -> tuple[dict[str, Source], list[str]]:
    """Return scan key -> its source, and problems."""
    problems = _settings(cohort)
    if problems:
        return {}, problems
    if cohort.get("volumes"):
        return _volumes(cohort["files"], cohort["volumes"])
    paths, problems = _keyed("cohort.files", cohort["files"])
    masks, mask_problems = _keyed("cohort.masks", cohort["masks"]) if cohort.get("masks") else ({}, [])
    if masks:
        without_mask = [key for key in paths if key not in masks]
        mask_problems += first(
            [f"{key}: no mask as {cohort['masks']}; the scan is {paths[key]}" for key in without_mask]
        )
    sources = {key: Source(path, "", masks.get(key, "")) for key, path in paths.items()}
    return sources, problems + mask_problems


def space(cohort: Mapping[str, Any], paths: list[str]) -> tuple[str | None, list[str]]:
    """Return the name of the images' template, by `cohort.space` or the names of the files, and contradictions."""
    path_of_space = {match[1]: path for path in paths if (match := SPACE.search(os.path.basename(path)))}
    declared = cohort.get("space")
    contradictions = [
        f"{path}: is in space {name}, cohort.space is {declared}"
        for name, path in path_of_space.items()
        if declared and name != declared
    ]
    if not declared and len(path_of_space) > 1:
        contradictions += [
            f"cohort.files: files are in several spaces ({', '.join(sorted(path_of_space))}); choose one in the pattern"
        ]
    return declared or next(iter(path_of_space), None), contradictions


def check(config: Mapping[str, Any], sources: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return problems and warnings of images (path, mask) of another tool, from the sections cohort and preprocess."""
    if not config["cohort"].get("files"):
        return _check_masks(config["preprocess"]["extract"]["method"], sources), []
    paths = [path for path, _ in sources]
    problems, notes = check_space(config["cohort"], paths, config["preprocess"]["register"]["transform"])
    return consistent(config) + problems, notes


def _check_masks(method: str, sources: list[tuple[str, str]]) -> list[str]:
    """List masks of a plain table without the method that uses them, or the method without a mask for each scan."""
    without = [path for path, mask in sources if not mask]
    if method == "mask" and without:
        remedy = "name it in a column mask of cohort.table, or use cohort.files with cohort.masks"
        some = f"{len(without)} of {len(sources)} scans have none ({without[0]})"
        return [f"preprocess.extract.method is mask, but {some}; {remedy}"]
    if method != "mask" and len(without) < len(sources):
        return [f"cohort.table has a column mask, but preprocess.extract.method is {method}; set it to mask"]
    return []


def consistent(config: Mapping[str, Any]) -> list[str]:
    """List contradictions between the sections cohort and preprocess about the same images."""
    cohort, method = config["cohort"], config["preprocess"]["extract"]["method"]
    problems = []
    if cohort.get("masks") and method != "mask":
        problems.append(f"cohort.masks are given, but preprocess.extract.method is {method}; set it to mask")
    if method == "mask" and not cohort.get("masks"):
        problems.append("preprocess.extract.method is mask, but there are none; name them in cohort.masks")
    ending = re.search(r"_([A-Za-z0-9]+)\.(nii|nii\.gz)$", cohort.get("files") or "")
    if ending and "{bids}" in cohort["files"] and ending[1] != cohort["suffix"]:
        problems.append(
            f"cohort.files end in _{ending[1]}, cohort.suffix is {cohort['suffix']}; set suffix: {ending[1]}"
        )
    return problems


def check_space(cohort: Mapping[str, Any], paths: list[str], transform: str) -> tuple[list[str], list[str]]:
    """Return problems and warnings of images that are not registered again: are they in the space of the fixed mask?"""
    name, contradictions = space(cohort, paths)
    if transform != "none" or contradictions or not paths:
        return [], []
    native = next((path for path in paths if UNNAMED.search(os.path.basename(path))), None)
    if name is None and native:
        return [
            f"{native}: has no space- in its name, so it is in the native space of the scan; choose files in MNI space "
            "(space-MNI152NLin2009cAsym), or set register.transform: affine"
        ], []
    if name is None:
        return [], [
            "preprocess.register.transform is none, and the template that the images were registered to is not known; "
            "name it in cohort.space (MNI152NLin2009cAsym, MNI152NLin6Asym, ...)"
        ]
    if name in NATIVE:
        return [
            f"{paths[0]}: is in the native space {name}; choose files in MNI space, or set register.transform: affine"
        ], []
    if not name.startswith(SAME):
        return [], [
            f"images are in the space of {name}, the fixed mask is that of {FIXED}; the two templates differ by "
            "millimetres at the edge of the brain: see mask_dice and offset in preprocess/qc.tsv"
        ]
    return [], []


def _settings(cohort: Mapping[str, Any]) -> list[str]:
    if cohort.get("preset") and not os.path.exists(cohort["files"]) and not pattern.PIECE.search(cohort["files"]):
        return [
            f"cohort.files: {cohort['files']} is not there; with cohort.preset: {cohort['preset']}, give the tool's "
            "output folder, or a pattern of the files' names with {bids} or {person}"
        ]
    names = pattern.fields(cohort["files"])
    allowed = ", ".join(f"{{{name}}}" for name in pattern.FIELDS)
    problems = []
    for key in ("files", "masks"):
        unknown_fields = [name for name in pattern.fields(cohort.get(key) or "") if name not in pattern.FIELDS]
        problems += [f"cohort.{key}: {{{name}}} is no field; give {allowed}" for name in unknown_fields]
        if ODD.search(pattern.FIELD.sub("", cohort.get(key) or "")):
            problems.append(
                f"cohort.{key}: a brace, an angle bracket or a control character; rename the file or folder"
            )
    if cohort.get("volumes"):
        if names or pattern.PIECE.search(cohort["files"]):
            problems.append("cohort.volumes: then cohort.files is the path of one 4-D file, without * and fields")
        if cohort.get("masks"):
            problems.append("cohort.masks: not with cohort.volumes; set preprocess.extract.method: none")
    elif "bids" not in names and "person" not in names:
        problems.append("cohort.files: no {bids} or {person} in it, so that scans have no person; put one in")
    elif "bids" in names and set(names) - {"bids"}:
        problems.append("cohort.files: {bids} holds person, session and run by itself; leave the other fields out")
    if cohort.get("masks") and set(pattern.fields(cohort["masks"])) != set(names):
        problems.append("cohort.masks: its fields are not those of cohort.files; use the same in both")
    return problems


def _keyed(setting: str, text: str) -> tuple[dict[str, str], list[str]]:
    """Return scan key -> path of the files that match a pattern."""
    fields_of = pattern.find(text)
    if not fields_of:
        similar = pattern.neighbours(text)
        hint = f"there are {', '.join(similar)} ..." if similar else "the folder is empty, or not there"
        return {}, [f"{setting}: no file found as {text}; {hint}; correct the pattern"]
    keys: dict[str, str] = {}
    problems = []
    for path, parts in fields_of.items():
        key, problem = _key(path, parts)
        problem = problem or _fault(path)
        if not problem and key in keys:
            problem = f"{path}: {key} is also {keys[key]}; make the pattern of {setting} narrower, so that one is left"
        if problem:
            problems.append(problem)
        keys.setdefault(key, path)
    return keys, first(problems)


def _key(path: str, parts: Mapping[str, str]) -> tuple[str, str]:
    """Return the scan's key, and the problem of its labels."""
    if "bids" in parts:
        return parts["bids"], ""
    labels = {"sub": parts["person"].removeprefix("sub-")}
    labels |= {short: parts[name].removeprefix(f"{short}-") for name, short in ENTITY.items() if name in parts}
    for short, label in labels.items():
        if not re.fullmatch(pattern.LABEL, label):
            name = next((name for name, entity in ENTITY.items() if entity == short), "person")
            return "", (
                f"{path}: {{{name}}} is {label!r}; IDs are letters and digits: put what is not part of the ID into the "
                "pattern, or rename the file"
            )
    return "_".join(f"{short}-{label}" for short, label in labels.items()), ""


def _fault(path: str) -> str:
    if not path.endswith(ENDINGS):
        return f"{path}: no image that can be read; end the pattern in {', '.join(ENDINGS)}"
    if ODD.search(path):
        return f"{path!r}: a brace, an angle bracket or a control character in the path; rename the file or folder"
    if not os.path.exists(path):
        return f"{path}: a link to a file that is not there; fetch it (datalad get) or remove the link"
    return ""


def _volumes(path: str, list_path: str) -> tuple[dict[str, Source], list[str]]:
    """Read the scans of one 4-D file: line k of the list names the person of volume k."""
    try:
        with open(list_path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file.read().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        return {}, [f"cohort.volumes: {list_path} cannot be read ({error}); give a text file, a person per line"]
    try:
        count = (*nifti.shape(path), 1, 1, 1)[3]
    except ValueError as error:
        return {}, [f"cohort.files: {path} cannot be read ({error}); give a 4-D NIfTI file"]
    lines = lines[:-1] if lines and not lines[-1] else lines
    name, keys, problems = os.path.basename(list_path), dict[str, int](), []
    for number, line in enumerate(lines, 1):
        stem = os.path.basename(line).removesuffix(".gz").removesuffix(".nii")
        match = LISTED.fullmatch(stem)
        key = f"sub-{match[1].removeprefix('sub-')}" if match else ""
        if not match:
            problems.append(f"{name}, row {number}: {line!r} is no ID; give letters and digits, such as sub-01 or 01")
        elif key in keys:
            problems.append(
                f"{name}, row {number}: {key} is also row {keys[key]}; a person has one volume, or sub-01_ses-1"
            )
        keys.setdefault(key, number)
    if not problems and len(lines) != count:
        problems.append(
            f"{name}: {len(lines)} rows, {os.path.basename(path)} has {count} volumes; list each volume's person, in "
            "the order of the volumes"
        )
    if problems:
        return {}, first(problems)
    return {key: Source(os.path.normpath(path), str(number - 1)) for key, number in keys.items()}, []
