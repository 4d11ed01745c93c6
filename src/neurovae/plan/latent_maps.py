"""The entries of train.models with `latents: map`: how many latents they have, and what they exclude."""

from typing import Any

from neurovae.errors import InputError

POINTS = {
    (1, 16): 726, (1, 32): 128, (1.5, 16): 1484, (1.5, 32): 258,
    (2, 16): 712, (2, 32): 125, (4, 16): 674, (4, 32): 121,
}  # fmt: skip  # of the coarse grid in the brain, by voxel_mm and map_mm (train.models.map_grid, which a test compares)
ONLY = {"linear": "none", "rotate": "none"}  # the values that a map may have


def is_map(entry: dict[str, Any]) -> bool:
    """Are the entry's latents a map?"""
    return entry.get("latents") == "map"


def sized(train: dict[str, Any], voxel_mm: float) -> dict[str, Any]:
    """Return the train section with the number of latents of each map, which follows from the grid.

    Raises:
        InputError: keys that a map of latents excludes.
    """
    faults = [line for entry in train["models"] if is_map(entry) for line in problems(entry, _size(entry, voxel_mm))]
    search = train["search"]
    faults += [
        f"train.search.space.n_latent: {entry['name']!r} has a map of latents, whose number follows from the grid; "
        "leave it out of the space"
        for entry in train["models"]
        if is_map(entry) and entry["name"] == search["model"] and "n_latent" in search["space"]
    ]
    if faults:
        raise InputError(faults)
    models = [{**entry, "n_latent": _size(entry, voxel_mm)} if is_map(entry) else entry for entry in train["models"]]
    return {**train, "models": models}


def atlases(entries: dict[str, dict[str, Any]], cohort: str) -> dict[str, list[str]]:
    """Return, by model, the image and table of the atlas that names the regions of its latents; none of a vector."""
    files = [f"results/{cohort}/interpret/atlas.{ending}" for ending in ("nii.gz", "tsv")]
    return {name: files if is_map(entry) else [] for name, entry in entries.items()}


def problems(entry: dict[str, Any], size: int) -> list[str]:
    """List the problems of a model entry with `latents: map`; size: the number of latents it has."""
    place = f"train.models {entry.get('name', 'model')!r}"
    found = [
        f"{place}: {key} is {entry[key]}, which latents: map cannot have; leave it out, or set latents: vector"
        for key, value in ONLY.items()
        if entry.get(key, value) != value
    ]
    if entry.get("n_latent") not in (None, size):
        found.append(
            f"{place}: n_latent is {entry['n_latent']}, but a map has one latent per channel and point of the grid in "
            f"the brain, {size} in all; leave n_latent out, or change map_mm or map_channels"
        )
    return found


def _size(entry: dict[str, Any], voxel_mm: float) -> int:
    return int(entry["map_channels"] * POINTS[voxel_mm, entry["map_mm"]] + entry["n_global"])
