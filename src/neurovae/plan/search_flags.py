"""What the Snakefile needs to know of train.search: the model that is searched, and the flags of the three rules."""

from typing import Any

from neurovae.plan.entries import SAID
from neurovae.plan.graph import flags

ASKED = ("objective", "min_active", "seed", "space")  # what decides a trial; their number does not


def searched(train: dict[str, Any]) -> list[str]:
    """Name of the model that is searched, if any."""
    return [] if train["search"]["model"] is None else [train["search"]["model"]]


def trial_flags(train: dict[str, Any]) -> dict[str, str]:
    """Flags of a trial, by model: more trials leave those that are done as they are."""
    asked = {key: train["search"][key] for key in ASKED}
    return {name: flags({"options": _options(entry), "search": asked}) for name, entry in _entries(train).items()}


def choose_flags(train: dict[str, Any]) -> dict[str, str]:
    """Flags of the choice, by model."""
    search = train["search"]
    asked = {key: search[key] for key in ("min_active", "objective", "trials")}
    return {
        name: flags({**asked, "entry": {**_options(entry), "kind": entry["kind"]}, "searched": sorted(search["space"])})
        for name, entry in _entries(train).items()
    }


def drawn(train: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the figure of each search says of it, by model."""
    asked = {key: train["search"][key] for key in ("min_active", "objective", "space")}
    return dict.fromkeys(searched(train), asked)


def _entries(train: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in train["models"] if entry["name"] in searched(train)}


def _options(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in SAID}
