"""The entries of train.models that read several blocks, and the linear models beside them. Standard library only."""

from typing import Any

from neurovae.plan.kinds import SEVERAL, Entries

IMAGE = "volumes"  # type of the block that the scans are
FILES = ("values.npy", "rows.parquet", "features.parquet")
TWO = ("cca", "pls")  # methods that relate two blocks
SHARED = ("blocks", "n_shared", "n_private")  # of an entry, which its linear models have too


def sized(train: dict[str, Any]) -> dict[str, Any]:
    """The section with the number of latents of models of several blocks: shared ones, and private ones of each."""
    models = [
        {**entry, "n_latent": entry["n_shared"] + entry["n_private"] * len(entry["blocks"] or [])}
        if entry["kind"] in SEVERAL
        else entry
        for entry in train["models"]
    ]
    return {**train, "models": models}


def problems(train: dict[str, Any], cohort: dict[str, Any], images: bool) -> list[str]:
    """List problems of the entries that read several blocks; train: before `sized`."""
    types = {block["name"]: block for block in cohort["blocks"] if images or block["type"] != IMAGE}
    return [
        f"train.models {entry['name']!r}: {problem}"
        for entry in train["models"]
        if entry["kind"] in SEVERAL
        for problem in _of_entry(entry, types) + _searched(entry, train["search"])
    ]


def _searched(entry: dict[str, Any], search: dict[str, Any]) -> list[str]:
    reads = entry["name"] == search["model"]
    return ["train.search.model names it, but a search is of a vae or autoencoder; name another"] if reads else []


def _of_entry(entry: dict[str, Any], blocks: dict[str, dict[str, Any]]) -> list[str]:
    names = entry["blocks"] or []
    if len(set(names)) < max(2, len(names)):
        return [f"blocks is {names}; give two or more names of cohort.blocks, each once"]
    unknown = [name for name in names if name not in blocks]
    if unknown:
        return [f"no block {', '.join(unknown)}; cohort.blocks has {', '.join(blocks) or 'none'}"]
    found = []
    for name in names:
        connectivity = blocks[name].get("connectivity")
        if connectivity == "tangent":
            found.append(f"block {name!r} has connectivity: tangent, which each fold fits anew and kind: table alone "
                         "reads; set correlation or partial")  # fmt: skip
        if connectivity == "none":
            found.append(f"block {name!r} has connectivity: none, and so no features; set correlation or partial")
    if entry["n_latent"] is not None:
        found.append("n_latent is given, but follows from n_shared and n_private; leave it out")
    pairwise = [one for one in ([entry["twin"]] if entry["kind"] == "linear_blocks" else entry["twins"]) if one in TWO]
    if pairwise and len(names) != 2:
        found.append(f"{' and '.join(pairwise)} relates two blocks, and there are {len(names)}; leave it out")
    return found


def with_twins(entries: Entries) -> Entries:
    """The entries, each fused model with the linear models of its blocks after it."""
    found = dict(entries)
    for name, entry in entries.items():
        for method in entry["twins"] if entry["kind"] == "fused" else []:
            own = {key: entry[key] for key in (*SHARED, "n_latent", "transductive")}
            twin = f"{name}-{method}"
            found[twin] = {"name": twin, "kind": "linear_blocks", "twin": method, "variant_of": name, **own}
    return found


def twins(entries: Entries) -> dict[str, list[str]]:
    """The linear models beside each fused model, by its name."""
    return {
        name: [twin for twin, other in entries.items() if other.get("variant_of") == name]
        for name, entry in entries.items()
        if entry["kind"] == "fused"
    }


def clashes(entries: Entries) -> list[str]:
    """List names of entries that a linear model of another one would have."""
    return [
        f"train.models {twin!r}: this name is reserved for a linear model beside {name!r}; give another"
        for name, entry in entries.items()
        if entry["kind"] == "fused"
        for twin in (f"{name}-{method}" for method in entry["twins"])
        if twin in entries
    ]


def inputs(entries: Entries, cohort: dict[str, Any]) -> dict[str, list[str]]:
    """The files of the blocks that each model of several blocks reads; those of the scans are inputs of all models."""
    return {
        name: [f"{folder}/{file}" for folder in _folders(entry, cohort).values() if folder for file in FILES]
        for name, entry in entries.items()
        if entry["kind"] in SEVERAL
    }


def folders(entries: Entries, cohort: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The folder of each block of the models of several blocks; an empty one is that of the scans."""
    return {name: _folders(entry, cohort) for name, entry in entries.items() if entry["kind"] in SEVERAL}


def _folders(entry: dict[str, Any], cohort: dict[str, Any]) -> dict[str, str]:
    scans = {block["name"] for block in cohort["blocks"] if block["type"] == IMAGE}
    return {name: "" if name in scans else f"results/{cohort['name']}/blocks/{name}" for name in entry["blocks"]}


def drawn(entries: Entries, cohort: dict[str, Any]) -> dict[str, list[str]]:
    """The blocks of each fused model whose latents have a map of features: those that are not the scans."""
    return {
        name: [block for block, folder in of_model.items() if folder]
        for name, of_model in folders(entries, cohort).items()
        if entries[name]["kind"] == "fused"
    }


def without_image(entries: Entries, cohort: dict[str, Any]) -> list[str]:
    """Models of several blocks none of which are the scans, and which have no image to decode."""
    return [name for name, of_model in folders(entries, cohort).items() if all(of_model.values())]


def too_many(entries: Entries, training: int) -> list[str]:
    """List models of several blocks with more latents than people to train on."""
    return [
        f"train.models {name!r}: n_shared is {entry['n_shared']} and n_private {entry['n_private']}, but only about "
        f"{training} people are left to train on; lower them"
        for name, entry in entries.items()
        if entry["kind"] in SEVERAL and "variant_of" not in entry and entry["n_latent"] >= training
    ]
