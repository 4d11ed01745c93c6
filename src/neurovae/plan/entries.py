"""The entries of train.models: their flags, fingerprints, problems and warnings."""

import sys
from typing import Any

from neurovae.plan import beta_schedule, fingerprint, start_models
from neurovae.plan.config import default_of
from neurovae.plan.graph import flags, refuse
from neurovae.plan.index import SOURCES, has_images
from neurovae.plan.latent_maps import is_map

Entries = dict[str, dict[str, Any]]
GIVEN = ("table", "pretrained")  # kinds whose latents exist before training; only some pretrained ones can be decoded
UNTRAINED = (*GIVEN, "frozen")  # kinds whose baseline has settings of its own
BASELINE = {"n_latent": 16, "blur": 4}  # of the PCA beside a table that keeps its columns; as the schema's defaults
PERIODS = ("vae", "autoencoder")  # kinds that are trained in epochs
PAIRWISE = ("mds", "isomap", "lle")  # kinds whose cost grows with the square of the training scans
MAX_SCANS = 5000  # training scans of these (train.models.manifold.MAX_SCANS, whose import would load scikit-learn)
NOT_OPTIONS = (
    "name",
    "kind",
    "transductive",
    "path",
    "baseline",
    "inner",
    "start_from",
    "source_latents",
    "source_kind",
    "variant_of",
)  # keys of an entry that its module does not get


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
        if not images and entry["kind"] not in GIVEN
    ]
    refuse(problems + start_models.clashes(entries, train["search"]["model"]))
    if not images:
        return entries
    entries = start_models.variants(entries)
    for name, entry in entries.items():
        if entry["kind"] in UNTRAINED:
            settings = {**BASELINE, "flip": not sided, "n_latent": entry["n_latent"] or BASELINE["n_latent"]}
            entries[name] = {**entry, "baseline": settings}
    for entry in [entry for entry in entries.values() if _compared(entry)]:
        for n_latent in _sizes(entry, train["search"]):
            _add_baseline(entries, entry, {**_augmented(entry), "n_latent": n_latent})
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


def baselines(entries: Entries, search: dict[str, Any]) -> dict[str, list[str]]:
    """Return the baseline PCAs of each model that has any; several where a search chooses the number of latents."""
    sizes = {name: _sizes(entry, search) for name, entry in entries.items() if _compared(entry)}
    return {
        name: [
            pca
            for pca, baseline in entries.items()
            if is_baseline(baseline)
            and baseline["n_latent"] in sizes[name]
            and {key: baseline[key] for key in ("flip", "blur")} == _augmented(entries[name])
        ]
        for name in sizes
    }


def compared(entries: Entries, baselines: dict[str, list[str]], primary: str) -> dict[str, list[str]]:
    """Return what each model is compared with: its baselines and, of a table, the tables after it (primary first)."""
    exist = [name for name, entry in entries.items() if entry["kind"] in GIVEN]
    tables = sorted(exist, key=lambda name: name != primary)
    after = {name: tables[k + 1 :] for k, name in enumerate(tables)}
    return {name: [*names, *after.get(name, [])] for name, names in baselines.items()}


def is_baseline(entry: dict[str, Any]) -> bool:
    """Whether a model is a PCA of this cohort alone, and no variant of another entry."""
    return entry["kind"] == "pca" and not entry.get("start_from") and "variant_of" not in entry


def _compared(entry: dict[str, Any]) -> bool:
    """Whether a model has a PCA as its baseline: every kind but a PCA, and no variant, which is a comparison itself."""
    return entry["kind"] != "pca" and "variant_of" not in entry


def _sizes(entry: dict[str, Any], search: dict[str, Any]) -> list[int]:
    """Return the numbers of latents that an entry may have: where a search chooses, all of its choices."""
    choices = search["space"].get("n_latent") if entry["name"] == search["model"] else None
    n_latent = entry.get("baseline", entry)["n_latent"]
    return sorted({n_latent, *choices}) if isinstance(choices, list) else [n_latent]


def _augmented(entry: dict[str, Any]) -> dict[str, Any]:
    """Mirroring and blur of an entry, which its baseline has too."""
    settings = entry.get("baseline", entry)
    return {"flip": settings["flip"], "blur": settings.get("blur", 0)}


def _add_baseline(entries: Entries, entry: dict[str, Any], settings: dict[str, Any]) -> None:
    """Add the PCA of an entry's size and augmentation; entries that agree in these share it.

    settings: n_latent, flip and blur of the PCA.
    """
    name = (
        f"pca-{settings['n_latent']}"
        + ("" if settings["flip"] else "-unmirrored")
        + ("" if settings["blur"] else "-sharp")
    )
    if any(entries[name][key] != value for key, value in settings.items() if name in entries):
        name += f"-{settings['blur']:g}mm"
    free = localised(entry) or is_map(entry) or entry["kind"] == "frozen"
    free = free or (entry["kind"] in GIVEN and entry["n_latent"] is None)
    capped = {"capped": True} if free else {}  # it may have more latents than a PCA
    entries.setdefault(name, {"name": name, "kind": "pca", **settings, **capped, "transductive": False})
    entries[name]["transductive"] |= entry["transductive"]


def without_decoder(entries: Entries, decoders: list[str]) -> list[str]:
    """Names of the models whose latents exist before training, other than those whose encoder has a decoder."""
    return [name for name, entry in entries.items() if entry["kind"] in GIVEN and name not in decoders]


def localised(entry: dict[str, Any]) -> bool:
    """May the entry's components be localised, so that there can be more of them than training scans?"""
    used = entry["kind"] == "pca_localised" or entry.get("linear") == "localised"
    return used and entry["taper_mm"] != ["none"]


def model_flags(entries: Entries) -> dict[str, str]:
    """Return flags per model; its name is no flag."""
    return {
        name: flags({"kind": entry["kind"], "options": {k: v for k, v in entry.items() if k not in NOT_OPTIONS}})
        for name, entry in entries.items()
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
        f"train.models {entry['name']!r}: n_latent is {entry['n_latent']}, but only about {training} people are left "
        f"to train on{_of_source(entry)}; lower n_latent"
        for entry in entries.values()
        if (entry["n_latent"] or 0) >= training + entry.get("source_latents", 0)
        and not (entry.get("linear") == "none" or entry.get("capped") or localised(entry) or entry["kind"] == "frozen")
    ]
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
    kl = entry.get("divergence", "none") != "none" and entry.get("beta", 0) > 0
    has_effect = {
        "beta": entry.get("divergence", "none") != "none",
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
