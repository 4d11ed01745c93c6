"""Settings for the folders of other tools (`cohort.preset`), below the keys that the user gives."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

PRESETS = Path(__file__).parents[3] / "workflow" / "presets"
PATHS = ("files", "masks", "volumes")


def complete(config: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the keys of its preset, except those that the user gives.

    If `cohort.files` is a folder, the preset's paths are below it. Otherwise it is the user's own pattern, and the
    preset's paths are left out.
    """
    cohort: Any = config.get("cohort")
    preset = read(cohort.get("preset")) if isinstance(cohort, dict) else {}
    if not preset or not isinstance(cohort.get("files"), str):
        return config
    folder = Path(cohort["files"])
    paths = {key: preset["cohort"].pop(key) for key in PATHS if key in preset["cohort"]}
    if folder.is_dir():
        below = {key: f"{folder}/{path}" for key, path in paths.items() if key == "files" or not cohort.get(key)}
        config = {**config, "cohort": {**cohort, **below}}
        given = {**given, "cohort": {**given.get("cohort", {}), **below}}
    return dict(_over(_over(config, preset), {key: value for key, value in given.items() if key in config}))


def read(name: Any) -> dict[str, Any]:
    """Keys of a preset by its name; none where there is no such preset, which the schema refuses."""
    path = PRESETS / f"{name}.yaml"
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _over(base: Any, own: Any) -> Any:
    """The keys of `base`, replaced by those of `own`, section by section."""
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return deepcopy(own)
    return {**base, **{key: _over(base.get(key), value) for key, value in own.items()}}
