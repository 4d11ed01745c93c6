"""Files of functional data by their BIDS names: which are a block's, and whose they are. Standard library only.

Time series as XCP-D (`..._seg-Glasser_stat-mean_timeseries.tsv`) and C-PAC (`..._desc-Mean-1_timeseries.1D`) name them,
and BOLD images as fMRIPrep does (`..._desc-preproc_bold.nii.gz`). A table of confounds is never a block.
"""

import gzip
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from neurovae.io.tables import first, some

ENDINGS = {"timeseries": (".tsv", ".tsv.gz", ".1D", ".npy"), "bold": (".nii", ".nii.gz")}
NAME = re.compile(
    r"(?P<entities>sub-[A-Za-z0-9]+(?:_[A-Za-z]+-[A-Za-z0-9+.-]+)*)_(?P<suffix>[A-Za-z]+)(?P<ending>\.[A-Za-z0-9.]+)"
)
RUN = ("sub", "ses", "sample", "task", "acq", "ce", "rec", "dir", "run", "echo", "part")  # what tells runs apart
MOTION = ("desc-confounds_timeseries.tsv", "desc-confounds_regressors.tsv", "motion.tsv")  # fMRIPrep, older, XCP-D
HEAD = 2**20  # bytes of a line, at most
FD = ("framewise_displacement", "FramewiseDisplacement")


class File(NamedTuple):
    """A run's file with the entities of its name; sidecar: its JSON; motion: its table of confounds; empty: none."""

    path: str
    entities: dict[str, str]
    sidecar: str = ""
    motion: str = ""

    @property
    def key(self) -> str:
        """The key of the person and session, as tables have it: `sub-01`, `sub-01_ses-1`."""
        session = f"_ses-{self.entities['ses']}" if "ses" in self.entities else ""
        return f"sub-{self.entities['sub']}{session}"


def find(entry: dict[str, Any]) -> tuple[list[File], list[str]]:
    """The files of a block of type timeseries or bold, sorted by name, and problems."""
    place, root = f"cohort.blocks {entry['name']!r}", entry["path"]
    if not os.path.isdir(root):
        return [], [f"{place}: folder {root!r} not found; correct path"]
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in sorted(names)]
    named = {path: found for path in sorted(paths) if (found := NAME.fullmatch(os.path.basename(path)))}
    ends = ENDINGS[entry["type"]]
    of_type = {path: _entities(found["entities"]) for path, found in named.items()
               if found["suffix"] == entry["type"] and found["ending"] in ends}  # fmt: skip
    confounds = [path for path, entities in of_type.items() if entities.get("desc") == "confounds"]
    of_type = {path: entities for path, entities in of_type.items() if path not in set(confounds)}
    wanted = {key: str(value) for key, value in entry["entities"].items()}
    kept = {path: entities for path, entities in of_type.items()
            if all(entities.get(key) == value for key, value in wanted.items())}  # fmt: skip
    if not kept:
        return [], [_none(place, entry, of_type, confounds)]
    files = [_with_neighbours(path, entities, named) for path, entities in kept.items()]
    return files, first(_ambiguous(place, files))


def _entities(text: str) -> dict[str, str]:
    return {key: value for key, _, value in (part.partition("-") for part in text.split("_"))}


def _none(place: str, entry: dict[str, Any], of_type: dict[str, dict[str, str]], confounds: list[str]) -> str:
    """Say why no file is left."""
    form = f"sub-*_{entry['type']}{{{','.join(ENDINGS[entry['type']])}}}"
    if of_type:
        some_name = os.path.basename(next(iter(of_type)))
        wanted = ", ".join(f"{key}-{value}" for key, value in entry["entities"].items())
        return f"{place}: none of {len(of_type)} files such as {some_name} has {wanted} in its name; correct entities"
    if confounds:
        what = f"{len(confounds)} tables of confounds ({os.path.basename(confounds[0])}), which are no parcels"
        return f"{place}: {entry['path']!r} holds {what}, and no other file {form}; give the folder of the time series"
    return f"{place}: no file {form} in {entry['path']!r} or below; correct path, or rename the files"


def _with_neighbours(path: str, entities: dict[str, str], named: dict[str, re.Match[str]]) -> File:
    """The file with its sidecar and the table of confounds or motion of its run."""
    sidecar = re.sub(r"\.(tsv|nii)(\.gz)?$|\.1D$|\.npy$", ".json", path)
    folder, run = os.path.dirname(path), {key: entities[key] for key in RUN if key in entities}
    start = "_".join(f"{key}-{value}" for key, value in run.items())
    tables = [os.path.join(folder, f"{start}_{end}") for end in MOTION]
    motion = next((one for one in tables if one in named), "")
    return File(path, entities, sidecar if os.path.exists(sidecar) else "", motion)


def _ambiguous(place: str, files: list[File]) -> list[str]:
    """Several files of one run, or several tasks, among which `entities` has to choose."""
    by_run: dict[tuple[str | None, ...], list[File]] = {}
    for file in files:
        by_run.setdefault(tuple(file.entities.get(key) for key in RUN), []).append(file)
    problems = []
    for several in by_run.values():
        if len(several) > 1:
            keys = sorted({key for file in several for key in file.entities} - set(RUN))
            differing = {key: sorted({file.entities.get(key, "none") for file in several}) for key in keys}
            values = "; ".join(f"{key}: {' or '.join(given)}" for key, given in differing.items() if len(given) > 1)
            names = some([os.path.basename(file.path) for file in several], 2)
            what = f"which differ in {values}; choose with entities" if values else "in different folders; keep one"
            problems.append(f"{place}: {len(several)} files of one run ({names}), {what}")
    tasks = sorted({file.entities.get("task", "none") for file in files})
    if len(tasks) > 1:
        problems.append(
            f"{place}: files of the tasks {', '.join(tasks)}; choose one, as entities: {{task: {tasks[0]}}}"
        )
    return problems


def by_scan(
    files: list[File], scans: Iterable[tuple[str, ...]], place: str
) -> tuple[dict[str, list[File]], list[str], list[str]]:
    """Runs of each scan by its key, with problems and notes.

    Files without a session hold for all sessions of the person. Where the cohort has no sessions, a person's only
    session is used.

    Args:
        files: of the block.
        scans: the keys of each scan: its own, its session's, its person's.
        place: of the block, in messages.
    """
    groups: dict[str, list[File]] = {}
    for file in files:
        groups.setdefault(file.key, []).append(file)
    sessions: dict[str, list[str]] = {}
    for group in groups:
        sessions.setdefault(group.split("_")[0], []).append(group)
    found: dict[str, list[File]] = {}
    problems: list[str] = []
    used: set[str] = set()
    without: list[str] = []
    for keys in scans:
        key = next((one for one in keys if one in groups), None)
        own = sessions.get(keys[-1], [])
        if key is None and keys[1].endswith("_ses-") and own:  # the cohort has no sessions
            if len(own) > 1:
                named = " and ".join(one.partition("_ses-")[2] for one in own)
                problems.append(f"{place}: {keys[-1]} has the sessions {named}, and the cohort has none; choose one, "
                                f"as entities: {{ses: {own[0].partition('_ses-')[2]}}}")  # fmt: skip
                continue
            key = own[0]
        if key is None:
            without.append(keys[0])
            continue
        found[keys[0]] = groups[key]
        used.add(key)
    strangers = sorted(set(groups) - used)
    if not found and not problems:
        problems.append(f"{place}: no file is of a participant of the cohort: files are of {some(sorted(groups))}, "
                        f"rows of {some(without)}; use the same participant IDs")  # fmt: skip
    notes = (
        [f"{place}: {len(without)} without a file ({some(without)}); they do not have this block"] if without else []
    )
    notes += [f"{place}: files of {len(strangers)} who are not in the cohort ({some(strangers)})"] if strangers else []
    return found, first(problems), notes


def tr_of(file: File) -> tuple[float | None, str]:
    """Repetition time (s) that a sidecar states, if it states one, and the problem of a sidecar that cannot be read."""
    if not file.sidecar:
        return None, ""
    name = os.path.basename(file.sidecar)
    try:
        values = json.loads(Path(file.sidecar).read_text(encoding="utf-8"))
        tr = values.get("RepetitionTime")
        rate = values.get("SamplingFrequency")
        found = float(tr) if tr is not None else (1 / float(rate) if rate else None)
    except (ValueError, AttributeError, TypeError, ZeroDivisionError):
        return None, f"{name}: RepetitionTime cannot be read; give a JSON file with seconds as a number"
    if found is not None and not 0.1 <= found <= 30:
        return None, f"{name}: RepetitionTime is {found:g}; give seconds"
    return found, ""


def columns(path: str) -> list[str] | None:
    """Names of a file's parcels without reading its rows; numbered in a .1D file without them; None of an .npy file.

    A .tsv file has them in its first line; a .1D file in the last line that begins with `#`, if there is one.
    """
    if path.endswith(".npy"):
        return None
    head, body = [], ""
    try:
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
            while body == "" and (line := file.readline(HEAD)):
                text = line.decode("utf-8-sig", "replace").strip("\r\n")
                if path.endswith(".tsv") or path.endswith(".gz"):
                    return [name.strip().strip('"') for name in text.split("\t")] if text.strip() else []
                if text.startswith("#"):
                    head.append(text)
                else:
                    body = text.strip()
    except (OSError, EOFError):
        return []
    n_columns, names = len(body.split()), head[-1].replace("#", " ").split() if head else []
    return names if len(names) == n_columns else [f"{k + 1:03d}" for k in range(n_columns)]
