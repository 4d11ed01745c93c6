"""Entries of train.models that start from a model of a larger cohort (`start_from`), and what they are compared with.

Standard library only.
"""

from typing import Any

Entry = dict[str, Any]
FROM = ("pca", "pca_localised", "vae", "autoencoder")  # kinds of a source that may have a linear part
VARIANTS = ("frozen", "scratch")  # beside an entry: the source as it is; the entry without it


def problems(place: str, entry: Entry, kind: str, architecture: Entry) -> list[str]:
    """Problems of an entry and the source that it starts from.

    Args:
        place: of the entry in the configuration.
        entry: with `start_from`.
        kind: of the source.
        architecture: of the source.
    """
    found = []
    if kind not in FROM:
        found.append(f"{place}: start_from is a {kind}, which has no linear part; give one of {', '.join(FROM)}")
    elif "left" not in architecture:
        found.append(f"{place}: start_from: this {kind} holds no variances of a linear part; {remedy(kind)}")
    if entry.get("latents") == "map" or entry.get("linear") == "none":
        found.append(
            f"{place}: start_from gives a linear part, and the entry has none (linear: none); set linear: pca or "
            "localised, or leave start_from out"
        )
    return found


def remedy(kind: str) -> str:
    """What to do where a source holds no variances."""
    if kind in ("pca", "pca_localised"):
        return "it was exported by an earlier version of neurovae; train and export it again"
    return "give one that this version of neurovae trained with linear: pca or localised"


def names(entries: dict[str, Entry]) -> list[str]:
    """Names of the entries with a source, in order."""
    return [name for name, entry in entries.items() if entry.get("start_from")]


def clashes(entries: dict[str, Entry], searched: str | None) -> list[str]:
    """Names that are reserved for variants, and a search of an entry with a source."""
    found = [
        f"train.models {name}-{variant}: this name is reserved for the comparison with {name!r}; give another"
        for name in names(entries)
        for variant in VARIANTS
        if f"{name}-{variant}" in entries
    ]
    if searched in names(entries):
        found.append(
            f"train.search.model: {searched!r} starts from the model of another cohort (start_from), whose values "
            "cannot be searched; search without it first, or set train.search.model: null"
        )
    return found


def variants(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Return the entries, each that has a source followed by its variants.

    `<name>-frozen` is the source about the mean of the training participants here. `<name>-scratch` is the same entry
    without it; a PCA then has as many components as there can be, where n_latent is more.
    """
    found: dict[str, Entry] = {}
    for name, entry in entries.items():
        found[name] = entry
        if not entry.get("start_from"):
            continue
        common = {"variant_of": name, "transductive": entry["transductive"]}
        size = {"n_latent": entry["source_latents"], "inner": entry["source_kind"]}
        frozen = {"kind": "frozen", "path": entry["start_from"], "centre": "own", **size}
        alone = {key: value for key, value in entry.items() if key not in ("source_latents", "source_kind")}
        capped = {"capped": True} if entry["kind"] == "pca" else {}
        found[f"{name}-frozen"] = {"name": f"{name}-frozen", **frozen, **common}
        found[f"{name}-scratch"] = {**alone, "name": f"{name}-scratch", "start_from": None, **capped, **common}
    return found
