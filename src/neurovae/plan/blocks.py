"""The blocks of a cohort before the first job: which files they are, and what is wrong. Standard library only."""

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from neurovae.io.missing import codes
from neurovae.io.tables import first, some
from neurovae.plan import block_files, graph, latent_tables, nifti
from neurovae.plan.block_files import FD, File
from neurovae.plan.index import Index, has_images

IMAGE = "volumes"
FUNCTIONAL = ("timeseries", "bold")
FILES = ("values.npy", "rows.parquet", "features.parquet")  # of a block, values first
SERIES = ("series.npy", "series.parquet", "parcels.parquet")  # of functional data, series first
MOTION = "fd_confound"
HEAD = 2**20  # bytes of a header, at most


class Plan(NamedTuple):
    """Blocks that rule `block` makes: entries, input files and a digest's ingredients by name; problems and notes.

    moving: functional blocks of which the framewise displacement of every run is known.
    """

    entries: dict[str, dict[str, Any]]
    files: dict[str, list[str]]
    problems: list[str]
    notes: list[str]
    moving: tuple[str, ...] = ()


def look(cohort: dict[str, Any], index: Index, models: list[dict[str, Any]]) -> Plan:
    """Find the files of all blocks and check names, headers and sidecars.

    Args:
        cohort: section of the configuration.
        index: scans of the cohort, or rows of one without images.
        models: entries of train.models.
    """
    problems = _of_section(cohort, models)
    notes: list[str] = []
    entries = {entry["name"]: entry for entry in cohort["blocks"] if entry["type"] != IMAGE}
    files: dict[str, list[str]] = {}
    moving: list[str] = []
    for name, entry in entries.items():
        paths, faults, remarks, has_motion = _look_at(entry, cohort, index)
        files[name] = paths
        problems, notes, moving = problems + faults, notes + remarks, moving + [name] * has_motion
    return Plan(entries, files, problems, notes, tuple(moving))


def with_tangent(train: dict[str, Any], cohort: dict[str, Any]) -> dict[str, Any]:
    """The section with `tangent: true` in entries whose block each fold projects into a tangent space."""
    tangent = {entry["name"] for entry in cohort["blocks"] if entry.get("connectivity") == "tangent"}
    return {**train, "models": [{**entry, "tangent": True} if entry.get("block") in tangent else entry
                                for entry in train["models"]]}  # fmt: skip


def inputs(config: dict[str, Any]) -> dict[str, list[str]]:
    """The files of the block that a model of kind table reads, by model: values first."""
    folder = f"results/{config['cohort']['name']}/blocks"
    return {
        entry["name"]: [
            f"{folder}/{entry['block']}/{file}" for file in (SERIES if entry["kind"] == "networks" else FILES)
        ]
        for entry in config["train"]["models"]
        if entry.get("block")
    }


def flags(cohort: dict[str, Any], entries: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Options of the rules of blocks, by name; no score is among them."""
    section = {**graph.fold_section(cohort), "missing": cohort["missing"], "not_missing": cohort["not_missing"]}
    read = {name: {key: one for key, one in entry.items() if key != MOTION} for name, entry in entries.items()}
    return {name: graph.flags({"cohort": section, "block": entry}) for name, entry in read.items()}


def sizes(paths: list[str]) -> str:
    """A digest of files and their sizes, or of the bytes of one table."""
    if len(paths) == 1 and not os.path.basename(paths[0]).startswith("sub-"):
        return graph.contents(paths, False)
    return hashlib.sha256(json.dumps([[path, os.stat(path).st_size] for path in paths]).encode()).hexdigest()[:16]


def _look_at(
    entry: dict[str, Any], cohort: dict[str, Any], index: Index
) -> tuple[list[str], list[str], list[str], bool]:
    """Files, problems and notes of one block, and whether the displacement of each of its runs is known."""
    place = f"cohort.blocks {entry['name']!r}"
    if "path" not in entry:
        missing = f"{place}: path is not given; give the {'file' if entry['type'] == 'table' else 'folder'}"
        return [], [missing], [], False
    if entry["type"] == "table":
        return *_table(entry, place, cohort, index), False
    found, problems = block_files.find(entry)
    if problems:
        return [], problems, [], False
    runs, faults, notes = block_files.by_scan(found, [scan.keys for scan in index.scans], place)
    used = list({file.path: file for files in runs.values() for file in files}.values())
    faults += _of_files(entry, place, used, runs) if used else []
    paths = [path for file in used for path in (file.path, file.sidecar, file.motion) if path]
    more = [entry[key] for key in ("regions", "atlas", "mask") if entry.get(key)]
    faults += [f"{place}: file {path!r} not found; correct the path" for path in more if not Path(path).is_file()]
    moving = bool(used) and all(file.motion and set(_first_line(file.motion).split("\t")) & set(FD) for file in used)
    return [*paths, *[path for path in more if Path(path).is_file()]], faults, notes, moving


def _table(
    entry: dict[str, Any], place: str, cohort: dict[str, Any], index: Index
) -> tuple[list[str], list[str], list[str]]:
    """As `_look_at`, of a table: its rows are read as those of a table of latents."""
    path = entry["path"]
    if not Path(path).is_file():
        return [], [f"{place}: file {path!r} not found; correct the path"], []
    if not path.lower().endswith((*latent_tables.TEXT, *latent_tables.BINARY)):
        ends = ", ".join((*latent_tables.TEXT, *latent_tables.BINARY))
        return [], [f"{place}: {path!r} ends in none of {ends}; save the table as one of these"], []
    if path.lower().endswith(latent_tables.BINARY) or Path(path).stat().st_size > latent_tables.LARGE:
        return [path], [], [f"{Path(path).name}: its columns and rows are checked by the job `block`"]
    table, faults = latent_tables.text_table(path, codes(cohort))
    found = latent_tables.latents(
        table, faults, [scan.keys for scan in index.scans], entry["columns"], latent_tables.declared(cohort)
    )
    return [path], found.problems, found.notes


def _of_section(cohort: dict[str, Any], models: list[dict[str, Any]]) -> list[str]:
    """Problems of names and keys that need no file."""
    blocks, problems = cohort["blocks"], []
    counts = Counter(entry["name"] for entry in blocks)
    problems += [f"cohort.blocks: {name!r} is given {n} times; give each block its own name"
                 for name, n in counts.items() if n > 1]  # fmt: skip
    volumes = [entry["name"] for entry in blocks if entry["type"] == IMAGE]
    if len(volumes) > 1:
        problems.append(f"cohort.blocks: {' and '.join(volumes)} are of type volumes; a cohort has one: its scans")
    default = [{"name": "image", "type": IMAGE}]
    if volumes and not has_images(cohort) and blocks != default:
        problems.append(
            f"cohort.blocks {volumes[0]!r}: a cohort without images has no block of type volumes; leave it out"
        )
    for entry in blocks:
        problems += _of_keys(entry, f"cohort.blocks {entry['name']!r}")
    by_name = {entry["name"]: entry for entry in blocks if entry["type"] != IMAGE}
    for model in models:
        problems += _of_model(model, by_name)
    return problems


def _of_keys(entry: dict[str, Any], place: str) -> list[str]:
    """Keys of one block that do not go together."""
    if entry["type"] not in FUNCTIONAL:
        return []
    problems = []
    low, high = entry["high_pass_hz"], entry["low_pass_hz"]
    if low and high and low >= high:
        problems.append(f"{place}: high_pass_hz is {low:g}, low_pass_hz {high:g}; the band is empty: swap them")
    if entry["constant"] == "mask" and entry["connectivity"] == "tangent":
        problems.append(f"{place}: the tangent space needs every parcel of every participant; set constant to "
                        "drop_parcel or drop_person")  # fmt: skip
    if entry["type"] == "bold":
        given = [key for key in ("atlas", "mask") if entry[key]]
        if len(given) != 1:
            problems.append(f"{place}: found {' and '.join(given) or 'neither'} of atlas and mask; give one of them")
        if entry["mask"] and entry["connectivity"] != "none":
            problems.append(f"{place}: connections of voxels are too many; give an atlas, or set connectivity: none")
        if low and "high_pass" in entry["confounds"]:
            problems.append(f"{place}: high_pass_hz and high_pass among confounds filter twice; leave one out")
    return problems


def _of_model(model: dict[str, Any], blocks: dict[str, dict[str, Any]]) -> list[str]:
    """Problems of a model of kind table that reads a block."""
    name, place = model.get("block"), f"train.models {model['name']!r}"
    if model["kind"] == "networks":
        return _of_networks(name, place, blocks)
    if name is None:
        return []
    if model.get("path"):
        return [f"{place}: found path and block; give one of them"]
    if name not in blocks:
        known = ", ".join(blocks) or "none but the scans"
        return [f"{place}: no block {name!r} in cohort.blocks; there are {known}"]
    if blocks[name].get("connectivity") == "none":
        return [f"{place}: block {name!r} has no features (connectivity: none); set its connectivity"]
    if blocks[name]["type"] != "table" and model["n_latent"] is None:
        return [f"{place}: n_latent is null, and block {name!r} has a feature per pair of parcels; give a number"]
    return []


def _of_networks(name: str | None, place: str, blocks: dict[str, dict[str, Any]]) -> list[str]:
    """Problems of the block of a model of networks."""
    functional = [one for one, entry in blocks.items() if entry["type"] in FUNCTIONAL]
    if name not in functional:
        found = "block is not given" if name is None else f"block {name!r} holds no series"
        return [f"{place}: {found}; give one of type timeseries or bold (there are {', '.join(functional) or 'none'})"]
    if blocks[name]["constant"] == "mask":
        return [f"{place}: networks need every parcel of every participant; set constant of block {name!r} to "
                "drop_parcel or drop_person"]  # fmt: skip
    return []


def _of_files(entry: dict[str, Any], place: str, files: list[File], runs: dict[str, list[File]]) -> list[str]:
    """Problems of sidecars, headers and tables of confounds."""
    problems = _repetition_times(entry, place, files)
    if not entry["zscore"] and (several := [scan for scan, own in runs.items() if len(own) > 1]):
        problems.append(f"{place}: zscore is false, but {some(several)} have several runs, whose scales differ; set it "
                        "to true, or choose a run with entities")  # fmt: skip
    if entry["scrub_mm"] or (entry["type"] == "bold" and entry["confounds"]):
        problems += _motion(entry, files)
    return problems + (_headers(files) if entry["type"] == "timeseries" else _grids(files))


def _repetition_times(entry: dict[str, Any], place: str, files: list[File]) -> list[str]:
    """Repetition times that are unknown where a filter needs them, that differ, or that contradict `tr_s`."""
    stated = {file.path: block_files.tr_of(file) for file in files}
    problems = first([problem for _, problem in stated.values() if problem])
    given = entry["tr_s"]
    name = {file.path: os.path.basename(file.sidecar) for file in files}
    times = {path: tr for path, (tr, _) in stated.items() if tr}
    if given:
        return problems + first([
            f"{name[path]}: RepetitionTime is {tr:g} s, tr_s of {place} is {given:g}; leave tr_s out, or correct it"
            for path, tr in times.items() if abs(tr - given) > 1e-3
        ])  # fmt: skip
    filters = entry["high_pass_hz"] or entry["low_pass_hz"]
    unknown = [os.path.basename(path) for path in stated if path not in times]
    if filters and unknown and entry["type"] == "timeseries" and not problems:
        problems.append(f"{place}: a filter needs the repetition time, which no JSON sidecar states for "
                        f"{some(unknown)}; give tr_s, or leave high_pass_hz and low_pass_hz out")  # fmt: skip
    usual = Counter(times.values()).most_common(1)[0][0] if times else None
    if not entry["mixed_tr"]:
        problems += first([
            f"{name[path]}: RepetitionTime is {tr:g} s, most files have {usual:g}; leave it out, or set mixed_tr: true"
            for path, tr in times.items() if usual and abs(tr - usual) > 1e-3
        ])  # fmt: skip
    highest = entry["low_pass_hz"]
    for path, tr in {"": given, **times}.items() if highest else ():
        if tr and highest >= 1 / (2 * tr):
            where = name.get(path) or place
            problems.append(f"{where}: low_pass_hz is {highest:g}, but a repetition time of {tr:g} s holds frequencies "
                            f"below {1 / (2 * tr):g} only; lower low_pass_hz")  # fmt: skip
            break
    return problems


def _motion(entry: dict[str, Any], files: list[File]) -> list[str]:
    """Runs without a table of confounds, or whose table lacks columns that the entry needs."""
    problems = []
    for file in files:
        name = os.path.basename(file.path)
        if not file.motion:
            problems.append(f"{name}: no table of confounds beside it (*_{block_files.MOTION[0]} or *_motion.tsv), "
                            "which scrub_mm or confounds need; put it there, or leave them out")  # fmt: skip
            continue
        columns = set(_first_line(file.motion).split("\t"))
        wanted = ["framewise_displacement"] if entry["scrub_mm"] and not columns & set(FD) else []
        if entry["type"] == "bold" and "motion" in entry["confounds"]:
            wanted += [f"{way}_{axis}" for way in ("trans", "rot") for axis in "xyz" if f"{way}_{axis}" not in columns]
        if wanted:
            problems.append(f"{os.path.basename(file.motion)}, row 1: no column {some(wanted, 6)}; give the motion of "
                            "this run, or leave scrub_mm or confounds out")  # fmt: skip
    return first(problems)


def _headers(files: list[File]) -> list[str]:
    """Files whose columns differ from those of most files."""
    headers = {file.path: columns for file in files if (columns := block_files.columns(file.path)) is not None}
    if not headers:
        return []
    usual = list(Counter(map(tuple, headers.values())).most_common(1)[0][0])
    problems = []
    for path, columns in headers.items():
        name = os.path.basename(path)
        if not columns:
            problems.append(f"{name}: the file is empty; write it again, or remove it")
        elif len(set(columns)) < len(columns):
            twice = [one for one, n in Counter(columns).items() if n > 1]
            problems.append(f"{name}, row 1: column {some(twice)} is there twice; keep one")
        elif columns != usual:
            extra, lacking = sorted(set(columns) - set(usual)), sorted(set(usual) - set(columns))
            what = "; ".join(
                filter(None, [f"has {some(extra)}" * bool(extra), f"lacks {some(lacking)}" * bool(lacking)])
            )
            problems.append(f"{name}, row 1: columns differ from those of most files ({len(usual)}): "
                            f"{what or 'another order'}; use one parcellation, or leave the file out")  # fmt: skip
    return first(problems)


def _grids(files: list[File]) -> list[str]:
    """Images that are not 4-D, or in another space or on another grid than most."""
    shapes: dict[str, tuple[int, ...]] = {}
    problems = []
    for file in files:
        name = os.path.basename(file.path)
        try:
            shapes[file.path] = nifti.shape(file.path)
        except ValueError as error:
            problems.append(f"{name}: cannot be read ({error}); copy it again")
            continue
        if len(shapes[file.path]) != 4 or shapes[file.path][3] < 2:
            problems.append(f"{name}: {len(shapes[file.path])}-D, {shapes[file.path]}; give a series of volumes (4-D)")
    spaces = {file.path: file.entities.get("space", "none") for file in files}
    for values, what in ((spaces, "space"), ({path: one[:3] for path, one in shapes.items()}, "grid")):
        usual = Counter(values.values()).most_common(1)[0][0] if values else None
        problems += [f"{os.path.basename(path)}: its {what} is {value}, most files have {usual}; use one {what}"
                     for path, value in values.items() if value != usual]  # fmt: skip
    return first(problems)


def _first_line(path: str) -> str:
    """The header of a table of confounds; the empty text where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.readline(HEAD).decode("utf-8-sig", "replace").strip()
    except OSError:
        return ""
