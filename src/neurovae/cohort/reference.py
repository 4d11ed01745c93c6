"""Who the reference is, whom a norm is learnt from, and the folds in which they alone train the models."""

import csv
from pathlib import Path

from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.io.files import write_tsv
from neurovae.plan.index import look, written
from neurovae.plan.norm import group_of, members, rule_problems


def run(*, cohort: Json, folds: Path, reference: Path, out: Path) -> None:
    """Write reference.tsv (person, reference) and reference_folds.tsv, which trains models on the reference alone.

    Folds stay as they are; whoever is not of the reference is a test participant of every model.

    Example:
        snakemake --cores 2 --configfile config/mystudy.yaml --forcerun reference

    Args:
        cohort: the config section; of its tables only the column of reference_group is used.
        folds: folds.tsv.
        reference: reference.tsv to write.
        out: reference_folds.tsv to write.

    Raises:
        InputError: a rule that matches nobody or too few, or a fold without reference people in one of its sets.
    """
    rule = cohort["reference_group"]
    index = look(written(cohort))
    if problems := [*index.problems, *rule_problems(cohort, index)]:
        raise InputError(problems)
    chosen = members(group_of(index, rule["column"]), rule["equals"])
    with open(folds, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    splits = [name for name in rows[0] if name.startswith("split_")]
    held_out = [row if chosen.get(row["person"]) else row | dict.fromkeys(splits, "test") for row in rows]
    if problems := [
        f"cohort.reference_group: nobody of the reference in {kind} of fold {name.removeprefix('split_')}; "
        "use fewer folds"
        for name in splits
        for kind in ("training", "validation", "test")
        if not any(row[name] == kind and chosen.get(row["person"]) for row in held_out)
    ]:
        raise InputError(problems)
    words = {True: "yes", False: "no"}
    write_tsv(
        reference,
        [{"person": row["person"], "reference": words[bool(chosen.get(row["person"]))]} for row in rows],
        ["person", "reference"],
    )
    write_tsv(out, held_out, list(rows[0]))
    print(f"{sum(chosen.values())} of {len(rows)} people are the reference", flush=True)


if __name__ == "__main__":
    cli(run)
