"""What must not matter to the inference half does not, and what must matter does: `make invariances`.

One small set of latents with a score of every type goes through every test, audit and prediction (tests/helpers
/inference.py), as it is and changed. Each line names the change and what differs beyond a rounding of 1e-5 (relative to
a value, or to the largest of its score and metric), after the numbers that carry the unit of a score are turned into it.
The same cohort in other forms of files gives the same table to the last bit. A model's own latents, given back as a table
in a cohort without images, give the model's own tables.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import inference as half
import invariances_latents as given_back
import invariances_tables as forms
import numpy as np
import pandas as pd
from inference import World
from lines import closed, said

Tables = dict[str, pd.DataFrame]
Expected = Callable[[str, str, pd.Series, pd.Series], pd.Series]
Change = tuple[World, Expected | None]
ROUNDING = 1e-5
TESTS = ("glm", "multivariable", "mixed", "permute", "directions")
ENDS = ("ci_low", "ci_high", "robust_low", "robust_high", "pattern_low", "pattern_high", "low", "high")


def of_score(values: pd.Series, names: tuple[str, ...]) -> np.ndarray:
    """Rows of these scores."""
    return (
        np.asarray(values.index.get_level_values("score").isin(names))
        if "score" in values.index.names
        else np.zeros(len(values), bool)
    )


def in_unit(unit: float, shift: float, names: tuple[str, ...], base: Tables) -> Expected:
    """What the tables hold after these scores were written as unit * value + shift."""

    def expected(table: str, column: str, values: pd.Series, after: pd.Series) -> pd.Series:
        mine = of_score(values, names)
        if column == "aic" and table == "glm":
            return values.where(~mine, values + 2 * base["glm"]["n"].astype(float) * np.log(unit))
        if table == "curves" and column in ("fitted", "low", "high"):
            return values.where(~mine, unit * values + shift)
        if table == "predictions" and column in ("truth", "prediction", "training_mean"):
            return values.where(~mine, unit * values + shift)
        if table == "importance" and column in ("base", "increase", "sd"):
            return values.where(~mine, unit**2 * values)
        if table in ("predict", "voxels") and column in ("value", "ci_low", "ci_high"):
            own = mine & values.index.get_level_values("metric").isin(["mae", "calibration_intercept"])
            return values.where(~own, unit * values)
        return values

    return expected


def units(world: World, base: Tables, unit: float, shift: float = 0.0) -> Change:
    """Continuous and gamma scores in another unit; a gamma score has a natural zero and is not shifted."""
    table = world.cohort.assign(**{name: unit * world.cohort[name] + shift for name in ("motor", "fixed")})
    names: tuple[str, ...] = ("motor", "fixed")
    if not shift:
        table, names = table.assign(rate=unit * table["rate"]), ("motor", "fixed", "rate")
    return half.changed(world, cohort=table), in_unit(unit, shift, names, base)


def bounded(world: World, base: Tables, unit: float, shift: float) -> Change:
    """A bounded score and its bounds in another unit."""
    low, high = next(one["bounds"] for one in world.scores if one["type"] == "bounded")
    scores = [
        one | ({"bounds": [unit * low + shift, unit * high + shift]} if one["type"] == "bounded" else {})
        for one in world.scores
    ]
    moved = half.changed(world, scores=scores, cohort=world.cohort.assign(mmse=unit * world.cohort["mmse"] + shift))
    return moved, in_unit(unit, shift, ("mmse",), base)


def ages(world: World, base: Tables, unit: float, shift: float) -> Change:
    """A confound and a regional volume in another unit."""
    return half.changed(
        world,
        cohort=world.cohort.assign(age=unit * world.cohort["age"] + shift, thalamus=world.cohort["thalamus"] * unit),
    ), None


def latents(world: World, base: Tables, unit: float, shift: float = 0.0) -> Change:
    """All latents, and the voxels, in another unit."""
    z = [name for name in world.latents if name.startswith("mu_")]
    moved = world.latents.assign(**{name: unit * world.latents[name] + shift for name in z})

    def expected(table: str, column: str, values: pd.Series, after: pd.Series) -> pd.Series:
        return unit * values + shift if (table, column) == ("curves", "latent_value") else values

    return half.changed(world, latents=moved, voxels=unit * world.voxels), expected


def turned_latent(world: World, base: Tables) -> Change:
    """The sign of one latent turned: its effects and curves turn, nothing else does.

    ComBat shrinks each latent towards the mean of all latents, so that what is left after it may change with a sign.
    """
    moved = world.latents.assign(mu_001=-world.latents["mu_001"])

    def expected(table: str, column: str, values: pd.Series, after: pd.Series) -> pd.Series:
        if table == "sites" and column.endswith("_after"):
            return after
        if table == "multivariable":
            own = np.asarray(values.index.get_level_values("term").str.contains("mu_001"))
        else:
            own = (
                np.asarray(values.index.get_level_values("latent") == "mu_001")
                if "latent" in values.index.names
                else None
            )
        if own is None:
            return values
        if table == "curves" and column in ("latent_value", "fitted", "low", "high"):
            turned = values.groupby(level=["score", "latent"]).transform(lambda part: part.to_numpy()[::-1])
            return values.where(~own, -turned if column == "latent_value" else turned)
        if table in TESTS and column in (*ENDS, "effect", "statistic", "weight", "pattern"):
            return values.where(~own, -base[table].get(swapped(column), values))
        return values

    return half.changed(world, latents=moved), expected


def swapped(column: str) -> str:
    """The other end of an interval."""
    return column.replace("low", "HIGH").replace("high", "low").replace("HIGH", "high")


def turned_label(world: World, base: Tables) -> Change:
    """The classes of a binary score change names: effects turn, probabilities are those of the other class."""
    moved = world.cohort.assign(ill=1 - world.cohort["ill"])

    def expected(table: str, column: str, values: pd.Series, after: pd.Series) -> pd.Series:
        mine = of_score(values, ("ill",))
        if table in TESTS and column in (*ENDS, "effect", "statistic", "statistic_quadratic", "weight", "pattern"):
            return values.where(~mine, -base[table].get(swapped(column), values))
        if table == "curves" and column in ("fitted", "low", "high"):
            return values.where(~mine, 1 - base[table][swapped(column)])
        if table == "predictions" and column in ("truth", "probability", "training_mean"):
            return values.where(~mine, 1 - values)
        if table == "predictions" and column == "prediction":
            return values.where(~mine, -values)
        if table in ("predict", "voxels") and column in ("value", "ci_low", "ci_high"):
            own = mine & np.asarray(values.index.get_level_values("metric") == "calibration_intercept")
            return values.where(~own, -base[table].get(swapped(column), values))
        if table == "power" and column in ("cases", "text"):  # it counts the class that is 1
            return values.where(~mine, after)
        return values

    return half.changed(world, cohort=moved), expected


def reordered(world: World, base: Tables) -> Change:
    """Rows and columns of every table in another order."""
    rng = np.random.default_rng(5)
    parts = {}
    for name in ("cohort", "latents", "qc"):
        table = getattr(world, name).sample(frac=1, random_state=3)
        parts[name] = table[list(rng.permutation(table.columns))]
    return half.changed(world, **parts), None


def renamed(world: World, base: Tables) -> Change:
    """People, sites and sexes under other names in the same order, which decides on the draws."""
    labels = {"A": "Oslo", "B": "Rom", "F": "w", "M": "x"}
    person = "sub-x" + world.cohort["person"].str[4:]
    scan = person + "_ses-" + world.cohort["session"]
    of = dict(zip(world.cohort["scan"], scan, strict=True))
    cohort = world.cohort.assign(
        person=person, scan=scan, site=world.cohort["site"].map(labels), sex=world.cohort["sex"].map(labels)
    )
    latents = world.latents.assign(scan=world.latents["scan"].map(of), person=person)
    voxels = world.voxels.rename(index=of)
    return half.changed(world, cohort=cohort, latents=latents, qc=world.qc.assign(scan=scan), voxels=voxels), None


def relevelled(world: World, base: Tables) -> Change:
    """Levels of an ordinal score under other numbers in the same order; predictions and curves do use distances."""
    steps = {0.0: -3.0, 1.0: 0.5, 2.0: 7.0, 3.0: 100.0}
    moved = world.cohort.assign(stage=world.cohort["stage"].map(steps))

    def expected(table: str, column: str, values: pd.Series, after: pd.Series) -> pd.Series:
        if table == "confounds" and column.startswith("q"):  # over all scores
            return after
        distances = table in ("curves", "predict", "predictions", "importance", "voxels", "comparisons", "confounds")
        return values.where(~of_score(values, ("stage",)), after) if distances else values

    return half.changed(world, cohort=moved), expected


CHANGES: dict[str, Callable[[World, Tables], Change]] = {
    **{f"scores times {unit:g}": (lambda w, b, unit=unit: units(w, b, unit)) for unit in (1e-9, 1e-5, 0.3, 1e9)},
    "scores shifted": lambda w, b: units(w, b, 1.0, 1000.0),
    "bounded score from 0-30 to 10-13": lambda w, b: bounded(w, b, 0.1, 10.0),
    "bounded score times 1e-9": lambda w, b: bounded(w, b, 1e-9, 0.0),
    **{f"ages and volumes times {unit:g}": (lambda w, b, unit=unit: ages(w, b, unit, 0.0)) for unit in (1e-9, 365.25, 1e9)},
    "ages shifted": lambda w, b: ages(w, b, 1.0, -1950.0),
    **{f"latents times {unit:g}": (lambda w, b, unit=unit: latents(w, b, unit)) for unit in (1e-9, 0.3, 1e9)},
    "latents shifted": lambda w, b: latents(w, b, 1.0, 100.0),
    "sign of a latent": turned_latent,
    "labels of a binary score": turned_label,
    "rows, columns": reordered,
    "names of people, sites, levels": renamed,
    "numbers of ordinal levels": relevelled,
}  # fmt: skip


PERSON = half.PEOPLE - 2  # who has one scan
OTHER: dict[str, Callable[[float], float]] = {
    "motor": lambda value: value + 2.0, "rate": lambda value: 1.5 * value, "falls": lambda value: value + 1.0,
    "ill": lambda value: 1.0 - value, "stage": lambda value: (value + 1.0) % 4, "mmse": lambda value: abs(value - 2.0),
    "fixed": lambda value: value + 0.5,
}  # fmt: skip


def one_score_changed(world: World, name: str = "motor") -> World:
    """One person's score is another."""
    table = world.cohort.copy()
    table.loc[PERSON, name] = OTHER[name](table.loc[PERSON, name])
    return half.changed(world, cohort=table)


def without_score(world: World, name: str = "falls") -> World:
    """The person who will leave never had this score."""
    table = world.cohort.copy()
    table.loc[PERSON, name] = np.nan
    return half.changed(world, cohort=table)


def one_person_less(world: World) -> World:
    """That person is gone."""
    gone = world.cohort.loc[PERSON, "scan"]
    parts = {name: getattr(world, name)[getattr(world, name)["scan"] != gone] for name in ("cohort", "latents", "qc")}
    return half.changed(world, **{name: part.reset_index(drop=True) for name, part in parts.items()})


def matters(before: Tables, after: Tables, scores: tuple[str, ...], people: bool = False) -> list[str]:
    """Where a change of these scores alone did not change their rows, or changed others; min-P is over scores.

    people: whether other people entered, so that rows of latents alone may change too.
    """
    found = []
    for name, old in before.items():
        if "score" not in old.index.names or name in ("power",):
            continue
        new = after[name] if old.index.equals(after[name].index) else after[name].reindex(old.index)  # gone: changed
        mine = np.asarray(old.index.get_level_values("score").isin(scores))
        others = ~mine & (np.full(len(old), not people) | np.asarray(old.index.get_level_values("score").notna()))
        numbers = [
            c
            for c in old
            if c in new and pd.api.types.is_numeric_dtype(old[c]) and c not in ("p_minp", "q", "q_beyond")
        ]
        apart = np.column_stack([half.differs(old[c], new[c], ROUNDING) for c in numbers])
        ok = (old["status"] == "ok").to_numpy() if "status" in old else np.ones(len(old), bool)
        still = mine & ok & ~apart.any(axis=1)
        if name not in ("predictions", "importance", "comparisons", "confounds") and still.any():
            found.append(f"{name}: {still.sum()} rows of {', '.join(scores)} did not change")
        if (apart.any(axis=1) & others).any():
            found.append(f"{name}: rows of other scores changed")
    return found


def main() -> int:
    """Every change; the exit status."""
    world, start = half.world(), time.monotonic()
    base = half.inference(world)
    rows = sum(map(len, base.values()))
    for name, change in CHANGES.items():
        moved, expected = change(world, base)
        found = half.differing(base, half.inference(moved), expected, ROUNDING)
        said(not found, f"{name}: differing columns", "; ".join(found) or "none", f"none beyond {ROUNDING:g}", rows)
    for name in forms.FORMS:
        with tempfile.TemporaryDirectory() as folder:
            found = forms.apart(world, Path(folder), name)
        said(
            not found, f"{name}: differing columns of the cohort", "; ".join(found) or "none", "none", len(world.cohort)
        )
    for kind in given_back.KINDS:
        with tempfile.TemporaryDirectory() as folder:
            found = given_back.apart(world, Path(folder), kind, ("linear", "svm"))
        said(not found, f"latents of a {kind} given back as a table: differing columns", "; ".join(found) or "none",
             "none beyond 1e-09", rows)  # fmt: skip
    for name in OTHER:
        found = matters(base, half.inference(one_score_changed(world, name)), (name,))
        seen = "; ".join(found) or "its rows, no others"
        said(not found, f"one value of {name} changed:", seen, "exactly its rows", rows)
    before = half.inference(without_score(world))
    after = half.inference(one_person_less(without_score(world)))
    found = matters(before, after, tuple(name for name in OTHER if name != "falls"), people=True)
    seen = "; ".join(found) or "rows of the scores it had, no others"
    said(not found, "one person removed:", seen, "exactly the rows of the scores it had", rows)
    print(f"{time.monotonic() - start:.0f} s")
    return closed()


if __name__ == "__main__":
    sys.exit(main())
