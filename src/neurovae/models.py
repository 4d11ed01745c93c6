"""The entries of train.models: which there are, what of them decides a job, and what is impossible or doubtful."""

import sys
from typing import Any

from neurovae import fingerprint
from neurovae.graph import flags, refuse

Entries = dict[str, dict[str, Any]]
PERIODS = ("vae", "autoencoder")  # kinds that are trained in epochs


def models(train: dict[str, Any], cohort: dict[str, Any]) -> Entries:
    """The model entries by name; every other model brings a PCA of the same size and augmentation, the mandatory baseline.

    Raises:
        InputError: names twice, folds that are neither one nor all, mirror images where a score is about one side.
    """
    entries = {entry["name"]: entry for entry in train["models"]}
    problems = []
    if len(entries) < len(train["models"]):
        problems.append(f"train.models: names are not unique: {[entry['name'] for entry in train['models']]}")
    if len(train["folds"]) not in (1, cohort["folds"]["n"]) or max(train["folds"]) >= cohort["folds"]["n"]:
        problems.append(
            f"train.folds: found {train['folds']}; give one fold, or all of {list(range(cohort['folds']['n']))}"
        )
    sided = [score["name"] for score in cohort["scores"] if score["lateralised"]]
    mirrored = [name for name, entry in entries.items() if entry["flip"]] if sided else []
    problems += [
        f"train.models {name!r}: flip is true, but {sided} depend on the side; set flip: false" for name in mirrored
    ]
    taken = [entry["name"] for entry in train["models"] if entry["name"].startswith("pca-")]
    problems += [f"train.models {name!r}: names that begin with pca- are kept for the baselines" for name in taken]
    refuse(problems)
    for entry in [entry for entry in entries.values() if entry["kind"] != "pca"]:
        baseline = {"kind": "pca", **{key: entry.get(key, 0) for key in ("latent", "flip", "blur")}}
        name = (
            f"pca-{entry['latent']}"
            + ("" if entry["flip"] else "-unmirrored")
            + ("" if entry.get("blur") else "-sharp")
        )
        if {"name": name, **baseline} != entries.get(name, {"name": name, **baseline}):
            name += f"-{entry['blur']}mm"
        entries.setdefault(name, {"name": name, **baseline})
    return entries


def model_flags(entries: Entries) -> dict[str, str]:
    """Flags per model; its name is no flag."""
    return {
        name: flags({"kind": entry["kind"], "options": {k: v for k, v in entry.items() if k not in ("name", "kind")}})
        for name, entry in entries.items()
    }


def model_codes(entries: Entries, rule: str) -> dict[str, str]:
    """Fingerprint per model: of the rule's module and of the module of the model's kind, which it imports by name."""
    shared = fingerprint.code(f"neurovae.{rule}")
    return {name: f"{shared}-{fingerprint.code('neurovae.train.' + entry['kind'])}" for name, entry in entries.items()}


def impossible(config: dict[str, Any], entries: Entries, people: int) -> list[str]:
    """Problems of sizes and names that would otherwise show only after hours."""
    folds = config["cohort"]["folds"]
    training = int(people * (1 - 1 / folds["n"]) * (1 - folds["stop"]))
    problems = [
        f"train.models {entry['name']!r}: latent is {entry['latent']}, but only about {training} people are left to "
        "train on; lower latent"
        for entry in entries.values()
        if entry["latent"] >= training and entry.get("linear") != "none"
    ]
    problems += [
        f"train.models {name!r}: accumulate is {entry['accumulate']}, batch only {entry['batch']}; lower accumulate"
        for name, entry in entries.items()
        if entry["kind"] in PERIODS and entry["accumulate"] > entry["batch"]
    ]
    unknown = sorted(set(config["train"]["overrule"]) - set(entries))
    return problems + [f"train.overrule: no model {name!r}; there are {', '.join(entries)}" for name in unknown]


def warn(entries: Entries) -> None:
    """Say what is possible but hardly meant: a warm-up that outlasts the training, or the patience."""
    for name, entry in entries.items():
        length = entry.get("warmup", 0)
        if length and length >= min(entry["epochs"], entry["patience"]):
            print(
                f"warning: train.models {name!r}: warmup is {length} epochs, epochs {entry['epochs']} and patience "
                f"{entry['patience']}: training may end before beta has reached its value; lower warmup",
                file=sys.stderr,
            )


def launch(processes: int) -> str:
    """How python starts a training: itself, or torchrun with a process per GPU."""
    return "-m" if processes == 1 else f"-m torch.distributed.run --standalone --nproc-per-node {processes} -m"
