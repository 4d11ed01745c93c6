"""`cohort.external`: the model of another cohort as an entry, and whether its scores are those of this cohort.

Standard library only: what tables show is checked before the first job. The job checks values again, of a simulated
cohort for the first time.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from neurovae.cohort.columns import source, values
from neurovae.errors import InputError
from neurovae.io.tables import number
from neurovae.plan.index import Index

NAME = "external"  # of the model's entry, and of the stage
FILE = "inference.json"  # of an exported folder
SAME = ("type", "positive", "bounds")
FAR = 5.0  # standard deviations from the other cohort's mean
FEW = 0.1  # fraction of values that may be farther
NARROW = 20.0  # times smaller than the other cohort's standard deviation: another unit
Row = dict[str, Any]


def settings(cohort: Row) -> Row | None:
    """Folder, and mapping of scores (or None), of `cohort.external`; None where there is none."""
    given = cohort.get("external")
    if not given:
        return None
    return {"path": given, "scores": None} if isinstance(given, str) else {"scores": None, **given}


def with_entry(config: Row) -> Row:
    """The train section with the other cohort's model as its last entry.

    Raises:
        InputError: an entry has its name.
    """
    found, models = settings(config["cohort"]), config["train"]["models"]
    if not found:
        return dict(config["train"])
    if any(entry["name"] == NAME for entry in models):
        raise InputError(f"train.models: {NAME!r} is the name of the model of cohort.external; give another name")
    entry = {"name": NAME, "kind": "frozen", "path": found["path"], "centre": "source", "n_latent": None}
    return {**config["train"], "models": [*models, {**entry, "transductive": False}]}


def inference(path: Path) -> Row:
    """What the other cohort's export holds of its scores.

    Raises:
        InputError: nothing, or nothing readable.
    """
    file = path / FILE
    if not file.is_file():
        raise InputError(
            f"cohort.external: {path} has no {FILE}; export the model again, after its associations and predictions "
            "were computed"
        )
    try:
        found: Row = json.loads(file.read_text(encoding="utf-8"))
        _ = found["scores"], found["latents"], found["cohort"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{file}: damaged ({error!r}); export the model again") from None
    return found


def pairs(scores: Sequence[Row], mapping: Row | None, theirs: Sequence[Row]) -> tuple[dict[str, Row], list[str]]:
    """Each score here with the one of the other cohort and the rule between their units, and problems.

    Args:
        scores: of this cohort's configuration.
        mapping: of cohort.external; None: scores of the same name.
        theirs: of the other cohort.
    """
    own, other = {score["name"]: score for score in scores}, {score["name"]: score for score in theirs}
    same = {name: name for name, score in own.items() if name in other and score["type"] != "survival"}
    rules = same if mapping is None else mapping
    found: dict[str, Row] = {}
    faults = []
    for name, given in rules.items():
        rule = {"multiply": 1, "add": 0, **({"score": given} if isinstance(given, str) else given)}
        place = f"cohort.external.scores.{name}"
        if name not in own:
            faults.append(f"{place}: no score {name!r} in cohort.scores; there are {', '.join(own) or 'none'}")
        elif own[name]["type"] == "survival":
            faults.append(
                f"{place}: {name!r} is a survival score, for which external validation is not made; leave it out"
            )
        elif rule["score"] not in other:
            faults.append(f"{place}: the other cohort has no score {rule['score']!r}; it has {', '.join(other)}")
        else:
            found[name] = rule | {"theirs": other[rule["score"]]}
            faults += _unequal(own[name], rule, other[rule["score"]])
    return found, faults


def _unequal(own: Row, rule: Row, theirs: Row) -> list[str]:
    """How the declaration of a score differs from the other cohort's, with both values."""
    place, remedy = f"cohort.external: score {own['name']!r}", "leave it out with cohort.external.scores"
    found = [
        f"{place}: {key} is {own.get(key)} here, {theirs.get(key)} in the other cohort; declare it so, or {remedy}"
        for key in SAME
        if own.get(key) != theirs.get(key)
    ]
    if (rule["multiply"], rule["add"]) != (1, 0) and own["type"] != "continuous":
        found.append(f"{place}: multiply and add are for continuous scores, and this is {own['type']}; {remedy}")
    return found


def problems(config: Row, index: Index) -> tuple[list[str], list[str]]:
    """Problems and notes of the scores of `cohort.external`, as far as the tables show them."""
    found = settings(config["cohort"])
    if not found:
        return [], []
    try:
        theirs = inference(Path(found["path"]))["scores"]
    except InputError as error:
        return list(error.problems), []
    scores = config["cohort"]["scores"]
    matched, faults = pairs(scores, found["scores"], theirs)
    columns = {score["name"]: source(score) for score in scores}
    for name, rule in matched.items() if not faults else []:
        faults += other_scale(name, _numbers(index, columns[name]), rule)
    given = [one for one in config["cohort"]["confounds"] if one.get("from", "table") == "table"]
    own = [(one["name"], one["type"], _numbers(index, source(one))) for one in given]
    for rule in matched.values() if not faults else []:
        faults += other_confounds(rule["theirs"].get("coding") or [], own, matched)
    if not matched and not faults:
        names = ", ".join(score["name"] for score in theirs) or "none"
        faults.append(f"cohort.external: no score of the other cohort ({names}) is one of cohort.scores; map them")
    faults = list(dict.fromkeys(faults))
    return faults, [f"cohort.external: {line}" for line in left_out(matched, theirs)]


def _numbers(index: Index, column: str) -> list[float]:
    """The numbers that the tables have in a column."""
    found = [number(text) for text, _ in values(index, column)]
    return [value for value in found if value is not None]


def left_out(matched: dict[str, Row], theirs: Sequence[Row]) -> list[str]:
    """Scores of the other cohort that are not tested here."""
    used = {rule["score"] for rule in matched.values()}
    names = [score["name"] for score in theirs if score["name"] not in used]
    return [f"scores of the other cohort that are not tested here: {', '.join(names)}"] if names else []


def other_scale(name: str, numbers: Sequence[float], rule: Row) -> list[str]:
    """The problem of values that seem to be in another unit than the other cohort's, if they do.

    More than a tenth of them more than 5 SD from its mean, or an SD of less than a twentieth of its SD; of an ordinal
    score, more than a tenth of values that are none of its levels.
    """
    theirs = rule["theirs"]
    if not numbers or theirs.get("mean") is None or theirs["type"] in ("binary", "bounded"):
        return []
    mapped = [rule["multiply"] * value + rule["add"] for value in numbers]
    place = f"cohort.external: score {name!r}"
    remedy = "convert it (multiply and add in cohort.external.scores), or leave it out there"
    if theirs["type"] == "ordinal":
        outside = [value for value in mapped if value not in theirs["levels"]]
        if len(outside) <= FEW * len(mapped):
            return []
        return [
            f"{place}: {len(outside)} of {len(mapped)} values, such as {outside[0]:g}, are no levels of the other "
            f"cohort ({', '.join(f'{level:g}' for level in theirs['levels'])}); {remedy}"
        ]
    return _other_unit(place, mapped, theirs["mean"], theirs["sd"], remedy)


def _other_unit(place: str, numbers: Sequence[float], mean: float, sd: float, remedy: str) -> list[str]:
    far = [value for value in numbers if abs(value - mean) > FAR * sd]
    own = stdev(numbers) if len(numbers) > 1 else sd
    narrow = 0 < own < sd / NARROW  # all values the same: a constant score, of which the tables say so
    if len(far) <= FEW * len(numbers) and not narrow:
        return []
    return [
        f"{place}: mean {fmean(numbers):.4g}, SD {own:.3g} here, but mean {mean:.4g}, SD {sd:.3g} in the other cohort: "
        f"another scale or unit; {remedy}"
    ]


def other_confounds(
    codings: Sequence[Row], own: Sequence[tuple[str, str, Sequence[float]]], rules: dict[str, Row]
) -> list[str]:
    """Problems of confounds that the other cohort's predictors use, and that have another type or unit here.

    Args:
        codings: of the other cohort (`external.coding`).
        own: name, type and numbers of each confound here.
        rules: of `pairs`; a confound that is a mapped score, too, is converted by its rule.
    """
    theirs, found = {coding["name"]: coding for coding in codings}, []
    for name, kind, numbers in own:
        there, multiply, add = conversion(name, rules)
        if there not in theirs:
            continue
        place, coding = f"cohort.external: confound {name!r}", theirs[there]
        remedy = "give it another name (name and column), and the mean of the other cohort is used instead"
        if kind != coding["type"]:
            found.append(
                f"{place}: type is {kind} here, {coding['type']} in the other cohort; declare it so, or {remedy}"
            )
        elif kind == "continuous" and len(numbers):
            mapped = [multiply * value + add for value in numbers]
            found += _other_unit(place, mapped, coding["centre"], coding["spread"], f"use the same unit, or {remedy}")
    return found


def conversion(name: str, rules: dict[str, Row]) -> tuple[str, float, float]:
    """Name in the other cohort of a confound here, and what its values are multiplied by and what is then added.

    Those of the score of that name, where it is mapped; else nothing changes.
    """
    rule = rules.get(name, {"score": name, "multiply": 1, "add": 0})
    return rule["score"], rule["multiply"], rule["add"]
