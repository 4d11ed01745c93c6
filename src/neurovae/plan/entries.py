"""The entries of train.models: their flags, fingerprints, problems and warnings."""

import sys
from typing import Any

from neurovae.plan import baselines, beta_schedule, fingerprint, fused, start_models
from neurovae.plan.config import default_of
from neurovae.plan.graph import flags, refuse
from neurovae.plan.index import SOURCES, has_images
from neurovae.plan.kinds import (
    BASELINE,
    GIVEN,
    MAX_SCANS,
    NOT_OPTIONS,
    PAIRWISE,
    PERIODS,
    SEVERAL,
    UNTRAINED,
    Entries,
    localised,
)
from neurovae.plan.latent_maps import is_map


def models(train: dict[str, Any], cohort: dict[str, Any]) -> Entries:
    """Return the model entries by name, each with its mandatory baseline, a PCA of the same size and augmentation.

    Latents that exist before training, and those of another cohort's model, have a PCA beside them too: what the run's
    own scans give without an encoder. It has as many latents, or 16 where a table keeps its columns. A cohort without
    images has none.

    Raises:
        InputError: repeated names, folds that are neither one nor all, mirror images where a score is about one side.
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
    mirrored = [name for name, entry in entries.items() if entry.get("flip")] if sided else []
    problems += [
        f"train.models {name!r}: flip is true, but {sided} depend on the side; set flip: false" for name in mirrored
    ]
    reserved = [entry["name"] for entry in train["models"] if entry["name"].startswith("pca-")]
    problems += [
        f"train.models {name!r}: names that begin with pca- are reserved for the baselines" for name in reserved
    ]
    problems += [
        f"train.models {name!r}: n_latent is null, which {' and '.join(GIVEN)} alone may have; give a number"
        for name, entry in entries.items()
        if entry["n_latent"] is None and entry["kind"] not in UNTRAINED
    ]
    problems += [line for name, entry in entries.items() for line in _without_linear_part(name, entry)]
    if "voxels" in entries:
        problems.append("train.models 'voxels': this name is reserved for the voxel-wise baseline; give another")
    images = has_images(cohort)
    problems += [
        f"train.models {name!r}: a {entry['kind']} needs images, and the cohort has none (cohort.participants alone); "
        f"give {', '.join(SOURCES[:-1])} in cohort, or set kind: table"
        for name, entry in entries.items()
        if not images and entry["kind"] not in (*GIVEN, *SEVERAL)
    ]
    refuse(problems + start_models.clashes(entries, train["search"]["model"]))
    refuse(fused.clashes(entries))
    entries = fused.with_twins(entries)
    if not images:
        return entries
    entries = start_models.variants(entries)
    for name, entry in entries.items():
        if entry["kind"] in UNTRAINED:
            settings = {**BASELINE, "flip": not sided, "n_latent": entry["n_latent"] or BASELINE["n_latent"]}
            entries[name] = {**entry, "baseline": settings}
    for entry in [entry for entry in entries.values() if baselines.has_baseline(entry)]:
        for n_latent in baselines.sizes(entry, train["search"]):
            baselines.add(entries, entry, {**baselines.augmented(entry), "n_latent": n_latent})
    return entries


def _without_linear_part(name: str, entry: dict[str, Any]) -> list[str]:
    """List what an entry asks of a linear part that it does not have, or of groups that are too few."""
    place = f"train.models {name!r}"
    found = []
    if entry.get("network") == "local" and (entry["linear"] == "none" or is_map(entry)):
        found.append(
            f"{place}: network is local, which corrects a linear part, and there is none; set linear: localised, or "
            "network: dense"
        )
    if entry.get("network") == "dense" and entry["cross_fit"]:
        found.append(
            f"{place}: cross_fit is {entry['cross_fit']}, but network is dense, which would meet other latents in each "
            "group; set network: local, or leave cross_fit out"
        )
    if entry.get("cross_fit") == 1:
        found.append(
            f"{place}: cross_fit is 1, so no participants are left to fit the components; give 0, or 2 or more"
        )
    return found


def without_decoder(entries: Entries, decoders: list[str]) -> list[str]:
    """Names of the models whose latents exist before training, other than those whose encoder has a decoder."""
    return [name for name, entry in entries.items() if entry["kind"] in GIVEN and name not in decoders]


def model_flags(entries: Entries) -> dict[str, str]:
    """Return flags per model; its name is no flag."""
    return {
        name: flags({"kind": entry["kind"], "options": {k: v for k, v in entry.items() if k not in NOT_OPTIONS}})
        for name, entry in entries.items()
    }


def table_flags(files: dict[str, list[str]], cohort: dict[str, Any]) -> dict[str, str]:
    """Each model's option for its table, and for the codes of missing values in it; empty without a table."""
    missing = {key: cohort[key] for key in ("missing", "not_missing") if cohort.get(key)}
    return {
        name: flags({"table": paths[0], "missing": missing or None}) if paths else "" for name, paths in files.items()
    }


def verdict_flags(entries: Entries, train: dict[str, Any]) -> dict[str, str]:
    """Flags per model for its verdict: kept although collapsed, hyperparameters chosen with people of the test set.

    With one fold, a search uses people who are predicted later in other folds; with all folds it does not.
    """
    searched_model = train["search"]["model"] if len(train["folds"]) == 1 else None
    return {
        name: flags(
            {
                "kept_collapsed": name in train["keep_collapsed"],
                "transductive": entry["transductive"] or name == searched_model,
            }
        )
        for name, entry in entries.items()
    }


def model_codes(entries: Entries, rule: str) -> dict[str, str]:
    """Return a fingerprint per model: of the rule's module and of those of the model's kinds, imported by name.

    A frozen model has two kinds: its own, and the inner one, which embeds and decodes.
    """
    kinds = {name: [entry[key] for key in ("kind", "inner") if key in entry] for name, entry in entries.items()}
    parts = {
        name: [f"neurovae.{rule}", *(f"neurovae.train.models.{kind}" for kind in of_model)]
        for name, of_model in kinds.items()
    }
    return {name: "-".join(fingerprint.code(module) for module in modules) for name, modules in parts.items()}


def all_codes(entries: Entries, rule: str) -> str:
    """Return a fingerprint of a rule's module with those of the modules of all kinds among the entries."""
    return "-".join(dict.fromkeys(code for one in model_codes(entries, rule).values() for code in one.split("-")))


def impossible(config: dict[str, Any], entries: Entries, people: int) -> list[str]:
    """List problems of sizes and names that would otherwise show only after hours; none without people."""
    if not people:
        return []
    folds = config["cohort"]["folds"]
    training = int(people * (1 - 1 / folds["n"]) * (1 - folds["validation"]))
    problems = [
        f"train.models {entry['name']!r}: n_latent is {entry['n_latent']}, but only about {left} people are left "
        f"to train on{' in cross-fitting' if left < training else ''}{_of_source(entry)}; lower n_latent"
        for entry in entries.values()
        for left in [training - -(-training // entry["cross_fit"]) if entry.get("cross_fit") else training]
        if (entry["n_latent"] or 0) >= left + entry.get("source_latents", 0)
        and not (
            entry.get("linear") == "none"
            or entry.get("capped")
            or localised(entry)
            or entry["kind"] in ("frozen", *SEVERAL)
        )
    ] + fused.too_many(entries, training)
    for name, entry in entries.items():
        n_training = training * (2 if entry.get("flip") else 1)
        if entry["kind"] in PERIODS and entry["accumulate"] > entry["batch"]:
            problem = f"accumulate is {entry['accumulate']}, batch only {entry['batch']}"
            problems.append(f"train.models {name!r}: {problem}; lower accumulate")
        if "neighbours" in entry and entry["neighbours"] >= n_training:
            problem = f"neighbours is {entry['neighbours']}, but there are only about {n_training} training scans"
            problems.append(f"train.models {name!r}: {problem}, mirror images included; lower neighbours")
        if entry["kind"] in PAIRWISE and n_training > MAX_SCANS:
            problem = (
                f"{entry['kind']} compares every pair of about {n_training} training scans, mirror images included"
            )
            problems.append(
                f"train.models {name!r}: {problem}; at most {MAX_SCANS} are possible: set flip: false, or use kind: pca"
            )
    not_there = sorted(set(config["train"]["keep_collapsed"]) - set(entries))
    return problems + [f"train.keep_collapsed: no model {name!r}; there are {', '.join(entries)}" for name in not_there]


def _of_source(entry: dict[str, Any]) -> str:
    """Further components that an entry may have, since it starts from a source."""
    return f", and the source has {entry['source_latents']} components" if "source_latents" in entry else ""


def without_effect(entry: dict[str, Any], keys: dict[str, Any]) -> list[str]:
    """List keys of an entry that differ from their default but have no effect beside its other values.

    Args:
        entry: of train.models.
        keys: the schema of an entry's keys, by key.
    """
    divergence = entry.get("divergence", "kl" if entry["kind"] == "fused" else "none")
    kl = divergence != "none" and entry.get("beta", 0) > 0
    has_effect = {
        "beta": divergence != "none",
        "warmup": kl,
        "cycles": kl and entry.get("warmup", 0) > 0,
        "free_bits": kl,
        "mmd_weight": entry.get("divergence") == "mmd",
        "dssim_weight": entry.get("reconstruction") != "gaussian",
        "sigma": entry.get("reconstruction") != "dssim",
        "blur": entry.get("linear") != "none",
        "mosaic_mm": entry.get("mosaic", 0) > 0,
        "taper_mm": entry.get("linear", "localised") == "localised",
        **dict.fromkeys(("map_mm", "map_channels", "n_global"), is_map(entry)),
    }
    return [
        key
        for key, effective in has_effect.items()
        if key in entry and not effective and entry[key] != default_of(keys[key], entry)
    ]


def warn(entries: Entries, keys: dict[str, Any]) -> None:
    """Warn of valid but unlikely settings: keys without effect, a warm-up longer than the training, few neighbours."""
    for name, entry in entries.items():
        for key in without_effect(entry, keys):
            print(f"warning: train.models {name!r}: {key} has no effect beside its other values", file=sys.stderr)
        length = entry.get("warmup", 0)
        if entry["kind"] == "lle" and entry["n_latent"] >= entry["neighbours"]:
            print(
                f"warning: train.models {name!r}: n_latent is {entry['n_latent']}, neighbours {entry['neighbours']}: "
                "latents beyond the number of neighbours follow no neighbourhood; raise neighbours",
                file=sys.stderr,
            )
        if length and beta_schedule.max_fraction(entry["epochs"], length, entry["cycles"]) < 1:
            print(
                f"warning: train.models {name!r}: warmup is {length} epochs, epochs {entry['epochs']}, cycles "
                f"{entry['cycles']}: training ends before beta has reached its value; lower warmup",
                file=sys.stderr,
            )


def launch(processes: int) -> str:
    """Return the start of a training command: python, or torchrun with a process per GPU."""
    python = "python -m"
    return python if processes == 1 else f"{python} torch.distributed.run --standalone --nproc-per-node {processes} -m"
