"""Quality measures of functional blocks as confounds: those that are declared, and motion by default."""

from typing import Any

from neurovae.plan.blocks import FUNCTIONAL, MOTION

MEASURES = ("mean_fd", "tsnr", "volumes", "kept")
FD = "mean_fd"


def problems(cohort: dict[str, Any]) -> list[str]:
    """List confounds `from: blocks` that name no measure of a functional block."""
    names, found = _functional(cohort), []
    for item in _declared(cohort):
        block, measure = _source(item, names)
        place = f"cohort.confounds {item['name']!r}"
        if block not in names or measure not in MEASURES:
            there = ", ".join(f"{name}.{one}" for name in names for one in MEASURES)
            found.append(
                f"{place}: {item['column'] or item['name']!r} is no measure of a functional block; give column as one "
                f"of {there or 'none: there is no functional block'}"
            )
        elif item["type"] != "continuous":
            found.append(f"{place}: {measure} is a number; give type: continuous")
    return found


def measures(cohort: dict[str, Any], moving: tuple[str, ...]) -> dict[str, list[str]]:
    """Columns that the cohort's table gets, by name: block and measure. Motion is among them wherever it is known.

    moving: blocks of which the displacement of every run is known.
    """
    names = _functional(cohort)
    columns = {item["name"]: list(_source(item, names)) for item in _declared(cohort)}
    return columns | {name: [block, FD] for name, block in _motion(cohort, moving).items()}


def with_motion(cohort: dict[str, Any], moving: tuple[str, ...]) -> dict[str, Any]:
    """The section with the block of each confound `from: blocks`, and with motion as a confound by default."""
    names = _functional(cohort)
    declared = [{**item, "block": _source(item, names)[0]} if item["from"] == "blocks" else item
                for item in cohort["confounds"]]  # fmt: skip
    rest = {"type": "continuous", "from": "blocks", "plausible": None, "sum_of": None, "max_missing": 0,
            "item_bounds": None}  # fmt: skip
    wanted = {entry["name"] for entry in cohort["blocks"] if entry.get(MOTION)}
    added = [{**rest, "name": name, "column": f"{block}.{FD}", "block": block}
             for name, block in _motion(cohort, moving).items() if block in wanted]  # fmt: skip
    return {**cohort, "confounds": declared + added}


def _motion(cohort: dict[str, Any], moving: tuple[str, ...]) -> dict[str, str]:
    """Name and block of the displacement of each block of which it is known, unless it is declared already."""
    names = _functional(cohort)
    taken = {item["name"] for item in [*cohort["scores"], *cohort["confounds"]]}
    declared = {_source(item, names) for item in _declared(cohort)}
    new = {(FD if len(moving) == 1 else f"{FD}_{block}"): block for block in moving if (block, FD) not in declared}
    return {name: block for name, block in new.items() if name not in taken}


def _declared(cohort: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in cohort["confounds"] if item["from"] == "blocks"]


def _functional(cohort: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in cohort["blocks"] if entry["type"] in FUNCTIONAL]


def _source(item: dict[str, Any], names: list[str]) -> tuple[str, str]:
    """Block and measure: `rest.mean_fd`, or `mean_fd` of the only functional block."""
    block, _, measure = str(item["column"] or item["name"]).rpartition(".")
    return block or (names[0] if len(names) == 1 else ""), measure
