"""The PCAs beside the models, with which every later stage compares them."""

from typing import Any

from neurovae.plan import fused
from neurovae.plan.kinds import GIVEN, SEVERAL, Entries, may_exceed_pca


def baselines(entries: Entries, search: dict[str, Any]) -> dict[str, list[str]]:
    """Return the baseline PCAs of each model that has any; several where a search chooses the number of latents.

    Those of a fused model are the linear models of its blocks.
    """
    numbers = {name: sizes(entry, search) for name, entry in entries.items() if has_baseline(entry)}
    of_blocks = fused.twins(entries)
    return of_blocks | {
        name: [
            pca
            for pca, baseline in entries.items()
            if is_baseline(baseline)
            and baseline["n_latent"] in numbers[name]
            and {key: baseline[key] for key in ("flip", "blur")} == augmented(entries[name])
        ]
        for name in numbers
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


def has_baseline(entry: dict[str, Any]) -> bool:
    """Whether a model has a PCA as its baseline: all but a PCA, models of several blocks, and variants.

    A variant is a comparison itself.
    """
    return entry["kind"] not in ("pca", *SEVERAL) and "variant_of" not in entry


def sizes(entry: dict[str, Any], search: dict[str, Any]) -> list[int]:
    """Return the numbers of latents that an entry may have: where a search chooses, all of its choices."""
    choices = search["space"].get("n_latent") if entry["name"] == search["model"] else None
    n_latent = entry.get("baseline", entry)["n_latent"]
    return sorted({n_latent, *choices}) if isinstance(choices, list) else [n_latent]


def augmented(entry: dict[str, Any]) -> dict[str, Any]:
    """Mirroring and blur of an entry, which its baseline has too."""
    settings = entry.get("baseline", entry)
    return {"flip": settings["flip"], "blur": settings.get("blur", 0)}


def add(entries: Entries, entry: dict[str, Any], settings: dict[str, Any]) -> None:
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
    capped = {"capped": True} if may_exceed_pca(entry) else {}
    entries.setdefault(name, {"name": name, "kind": "pca", **settings, **capped, "transductive": False})
    entries[name]["transductive"] |= entry["transductive"]
