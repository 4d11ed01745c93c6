"""The supervised track: entries of train.models that a score enters, kept apart from all others. Standard library only.

A supervised model is fitted in every fold on people outside the test fold, reads a file of exactly the scores and
confounds that it declares, and is tested and predicted from in the test people alone (`neurovae.supervised`). No stage
of the unsupervised track lists it.
"""

import hashlib
import json
from typing import Any

from neurovae.io.tables import lookup
from neurovae.plan.index import Index, has_images

Entries = dict[str, dict[str, Any]]
KINDS = ("aligned", "joint")
TYPES = ("continuous", "binary", "ordinal", "count", "bounded")  # of scores that have a likelihood in a joint model
DECLARED = ("name", "type", "bounds")  # of a score, that a joint model reads
NO_EFFECT = ("external", "freeze", "caveat_days", "imputations", "missing_confounds", "folds", "table_site")
# keys of the cohort section that change no score


def apart(train: dict[str, Any], cohort: dict[str, Any]) -> tuple[dict[str, Any], Entries]:
    """Return the section without its supervised entries, and these by name (n_latent is that of a perceptron alone).

    Those of kind joint get the types of their scores, by which their likelihoods are chosen.
    """
    scores = {score["name"]: {key: score[key] for key in DECLARED} for score in cohort["scores"]}
    entries = {
        entry["name"]: {key: value for key, value in entry.items() if key != "n_latent" or is_network(entry)}
        | ({"declared": [scores[name] for name in entry["supervised_by"]]} if entry["kind"] == "joint" else {})
        for entry in train["models"]
        if entry["kind"] in KINDS
    }
    return {**train, "models": [entry for entry in train["models"] if entry["kind"] not in KINDS]}, entries


def is_network(entry: dict[str, Any]) -> bool:
    """Whether an entry is an aligned model with a network."""
    return entry["kind"] == "aligned" and entry["network"] != "none"


def of_kind(entries: Entries, kind: str) -> list[str]:
    """Names of the supervised entries of one kind."""
    return [name for name, entry in entries.items() if entry["kind"] == kind]


def together(config: dict[str, Any], entries: Entries) -> dict[str, Any]:
    """Return the configuration with the supervised entries in train.models, for the report."""
    given = [{key: value for key, value in entry.items() if key != "declared"} for entry in entries.values()]
    return {**config, "train": {**config["train"], "models": [*config["train"]["models"], *given]}}


def relatives(name: str, scores: list[dict[str, Any]]) -> list[str]:
    """A score with its total and its items (part_of, sum_of): whoever predicts one of them is given none of them.

    Items of one total are no relatives of each other: an item is predicted from the others, but not from the total.
    """
    by_name = {score["name"]: score for score in scores}
    own = by_name[name]
    items = [other["name"] for other in scores if other["part_of"] == name]
    shares = [other["name"] for other in scores
              if (other["sum_of"] or own["sum_of"]) and _columns(other) & _columns(own)]  # fmt: skip
    return sorted({name, *items, *shares, *([own["part_of"]] if own["part_of"] else [])})


def problems(config: dict[str, Any]) -> list[str]:
    """List what the supervised entries ask for and cannot have, before the first job."""
    cohort, train = config["cohort"], config["train"]
    entries = [entry for entry in train["models"] if entry["kind"] in KINDS]
    if not entries:
        return []
    found = [line for entry in entries for line in _entry(entry, cohort)]
    names = [entry["name"] for entry in entries]
    repeated = sorted({name for name in names if [entry["name"] for entry in train["models"]].count(name) > 1})
    found += [f"train.models {name!r}: this name is given twice; names are unique" for name in repeated]
    if len(entries) == len(train["models"]):
        found.append(
            "train.models: every model is supervised; give an unsupervised one too (a pca, a vae), with which they are "
            "compared"
        )
    if cohort["freeze"]:
        found.append(
            f"cohort.freeze: {', '.join(names)} would be used on new people without their folds; set it to false, or "
            "leave the supervised models out"
        )
    if not has_images(cohort):
        found.append(f"train.models: {', '.join(names)} read images, and the cohort has none; leave them out")
    places = {
        "associate.primary": [config["associate"]["primary"]],
        "interpret.models": config["interpret"]["models"],
        "train.search.model": [train["search"]["model"]],
        "train.keep_collapsed": train["keep_collapsed"],
    }
    return found + [
        f"{key}: {name!r} is supervised (kind {entry['kind']}): a score entered its fit, so that its latents in the "
        "people it was fitted on say nothing about that score; its tests in left-out people are in "
        f"results/<cohort>/supervised. Name an unsupervised model in {key}"
        for key, values in places.items()
        for entry in entries
        for name in values
        if name == entry["name"]
    ]


def _entry(entry: dict[str, Any], cohort: dict[str, Any]) -> list[str]:
    place, wanted, joint = f"train.models {entry['name']!r}", entry["supervised_by"], entry["kind"] == "joint"
    scores = {score["name"]: score for score in cohort["scores"]}
    if not wanted:
        return [f"{place}: a model of kind {entry['kind']} needs supervised_by, a list of scores; declared are "
                f"{', '.join(scores) or 'none'}"]  # fmt: skip
    unknown = [name for name in wanted if name not in scores]
    if unknown:
        return [f"{place}: supervised_by names {', '.join(unknown)}; cohort.scores has {', '.join(scores) or 'none'}"]
    found = []
    if is_network(entry) and (entry["n_latent"] or 0) < len(wanted):
        found.append(
            f"{place}: n_latent is {entry['n_latent']}, but each of the {len(wanted)} scores has a latent; give "
            f"{len(wanted)} or more"
        )
    if entry["n_latent"] is not None and not is_network(entry):
        follows = "follows from n_shared and n_private" if joint else "is the number of scores in supervised_by"
        found.append(f"{place}: n_latent {follows}; leave it out")
    if entry["name"].startswith("pca-") or entry["name"] == "voxels":
        found.append(f"{place}: this name is reserved for a baseline; give another")
    found += [
        f"{place}: {name!r} is of type {scores[name]['type']}, which has no likelihood there; give scores of type "
        f"{', '.join(TYPES)}"
        for name in wanted
        if joint and scores[name]["type"] not in TYPES
    ]
    if entry.get("cross_fit") == 1:
        found.append(f"{place}: cross_fit is 1, so no participants are left to fit; give 0, or 2 or more")
    for name in [] if joint else wanted:
        found += [
            f"{place}: {part!r} is part of {name!r} (part_of), and both are in supervised_by: the item would tell its "
            "total; leave one of them out"
            for part in wanted
            if scores[part]["part_of"] == name
        ]
        inside = _columns(scores[name]) | {
            column for score in scores.values() if score["part_of"] == name for column in _columns(score)
        }
        found += [
            f"{place}: the confound {confound['name']!r} is an item of {name!r}: adjusting for it would remove the "
            "score; leave it out of cohort.confounds"
            for confound in cohort["confounds"]
            if confound["from"] == "table" and confound["name"] != name and _columns(confound) & inside
        ]
    return found + [
        f"{place}: {name!r} is a survival score, whose times of people without the event are no values to align with; "
        "leave it out of supervised_by"
        for name in wanted
        if scores[name]["type"] == "survival"
    ]


def _columns(item: dict[str, Any]) -> set[str]:
    """Columns that a score or a confound is made of."""
    return set(item["sum_of"] or [item["column"] or item["name"]])


def parts(cohort: dict[str, Any]) -> list[str]:
    """List scores whose part_of is no score, or the score itself."""
    names = [score["name"] for score in cohort["scores"]]
    return [
        f"cohort.scores {score['name']!r}: part_of is {score['part_of']!r}; give the name of another score: "
        f"{', '.join(name for name in names if name != score['name']) or 'there is none'}"
        for score in cohort["scores"]
        if score["part_of"] is not None and (score["part_of"] not in names or score["part_of"] == score["name"])
    ]


def section(entry: dict[str, Any], cohort: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the cohort section that determines an entry's file of scores."""
    kept = {key: value for key, value in cohort.items() if key not in NO_EFFECT}
    kept["confounds"] = [item for item in cohort["confounds"] if item["from"] != "blocks"]  # known after training alone
    return {**kept, "scores": [score for score in cohort["scores"] if score["name"] in entry["supervised_by"]]}


def digest(entry: dict[str, Any], cohort: dict[str, Any], index: Index) -> str:
    """Return a digest of the declared scores and confounds of every scan; empty before a cohort was simulated.

    So the file is written again, and the model fitted again, where one of these values has changed, and not where
    another column of the same table has.
    """
    if cohort["simulate"]:
        return ""
    items = [*section(entry, cohort)["scores"], *(one for one in cohort["confounds"] if one["from"] == "table")]
    rows = [
        [scan.scan, scan.person, scan.site, index.order.get(scan.scan)]
        + [[value for value, _ in lookup(index.tables, _column(item), scan.keys)] for item in items]
        for scan in index.scans
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def _column(item: dict[str, Any]) -> str:
    return str(item["column"] or item["name"])


def quality(cohort: dict[str, Any]) -> bool:
    """Whether a confound comes from preprocessing, so that the file of scores needs the quality table."""
    return any(item["from"] == "preprocess" for item in cohort["confounds"])
