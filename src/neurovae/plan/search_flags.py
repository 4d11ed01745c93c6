"""The model that train.search searches, and the flags of its three rules."""

from typing import Any

from neurovae.plan.graph import flags
from neurovae.plan.kinds import NOT_OPTIONS

TRIAL_KEYS = ("objective", "min_active", "seed", "space")  # keys that a trial depends on; not on the number of trials


def searched(train: dict[str, Any]) -> list[str]:
    """Return the name of the model that is searched, if any."""
    return [] if train["search"]["model"] is None else [train["search"]["model"]]


def trial_flags(train: dict[str, Any]) -> dict[str, str]:
    """Return flags of a trial, by model; more trials leave finished ones unchanged."""
    settings = {key: train["search"][key] for key in TRIAL_KEYS}
    return {name: flags({"options": _options(entry), "search": settings}) for name, entry in _entries(train).items()}


def choose_flags(train: dict[str, Any]) -> dict[str, str]:
    """Return flags of the choice, by model."""
    search = train["search"]
    settings = {key: search[key] for key in ("min_active", "objective", "trials")}
    return {
        name: flags(
            {**settings, "entry": {**_options(entry), "kind": entry["kind"]}, "searched": sorted(search["space"])}
        )
        for name, entry in _entries(train).items()
    }


def figure_settings(train: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings that the figure of each search shows, by model."""
    settings = {key: train["search"][key] for key in ("min_active", "objective", "space")}
    return dict.fromkeys(searched(train), settings)


def _entries(train: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in train["models"] if entry["name"] in searched(train)}


def _options(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in NOT_OPTIONS}
