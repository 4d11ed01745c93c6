"""Choose among the trials of a search: by the objective alone, among those that meet the constraint."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.io.files import write_beside, write_json, write_tsv

OBJECTIVES = {"variance_explained": "variance explained", "elbo": "evidence lower bound"}
FIRST = ("trial", "order", "state", "feasible", "chosen", "objective")
MEASURED = (
    "reached", "variance_explained_training", "variance_explained_validation",
    "elbo_validation", "rate_validation", "active",
    "identification_accuracy_training", "identification_accuracy_validation",
    "chance_training", "chance_validation", "kept_epoch", "last_epoch", "reason",
)  # fmt: skip
Row = dict[str, Any]


def run(
    *,
    folder: Path,
    trials: int,
    objective: Literal["variance_explained", "elbo"],
    min_active: int,
    searched: list[str],
    entry: Json,
    name: str,
    fold: int,
    out: Path,
    table: Path,
    written: Path,
) -> None:
    """Choose the best trial of a search; write it as JSON and YAML, with a table of all trials.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun choose

    Args:
        folder: of the trials' JSON.
        trials: how many of them.
        objective: the maximised quantity, for the texts.
        min_active: required number of active units, for the texts.
        searched: keys that were searched.
        entry: the model in train.models; its name and transductive are not read.
        name: of the model.
        fold: of the search.
        out: JSON to write: the searched keys with their values.
        table: TSV to write, a row per trial.
        written: YAML to write, a list with one entry of train.models.

    Raises:
        InputError: no trial meets the constraint.
    """
    results = [json.loads((folder / f"trial-{i}.json").read_text(encoding="utf-8")) for i in range(trials)]
    best = choice(results)
    rows = [{**row, **row["values"], "chosen": row is best} for row in results]
    write_tsv(table, rows, [*FIRST, *searched, *MEASURED])
    if best is None:
        print(table.read_text(encoding="utf-8"), end="")  # a failed job's files are removed, its log is not
        raise InputError(refusal(results, name, fold, min_active))
    values_chosen = {key: best["values"][key] for key in searched}
    write_json(out, values_chosen)
    of = f"trial {best['trial']} of {trials}, {OBJECTIVES[objective]} of the validation people {best['objective']:.4g}"
    with write_beside(written) as temporary:
        text = as_entry({**entry, **values_chosen, "name": name}, f"{of}; fold {fold} of {name}")
        temporary.write_text(text, encoding="utf-8")
    print(f"{of}: {json.dumps(values_chosen, sort_keys=True)}")


def choice(results: list[Row]) -> Row | None:
    """Return the feasible trial with the largest objective; of several, the one started first. None: there is none."""
    feasible = [row for row in results if row["feasible"]]
    return max(feasible, key=lambda row: (row["objective"], -row["order"]), default=None)


def refusal(results: list[Row], name: str, fold: int, min_active: int) -> list[str]:
    """Return the message where no trial may be chosen."""
    outcomes = Counter(row["verdict"] or row["state"] for row in results)
    summary = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    lines = [
        f"train.search: none of the {len(results)} trials of {name!r} on fold {fold} may be chosen: a model has to be "
        f"healthy or partial with at least {min_active} active units (found: {summary})"
    ]
    with_objective = [row for row in results if row["objective"] is not None]
    if with_objective:
        nearest = max(with_objective, key=lambda row: row["objective"])
        lines.append(
            f"the largest objective had trial {nearest['trial']}: {json.dumps(nearest['values'])}: {nearest['reason']}"
        )
    advice = {"collapsed": "smaller beta", "overfit": "fewer latents, more dropout", "failed": "smaller learning_rate"}
    hints = [f"{outcome} ({cause})" for cause, outcome in advice.items() if outcomes[cause]] or ["smaller beta"]
    return [
        *lines,
        f"let train.search.space reach {', '.join(hints)}; or lower train.search.min_active, or give more trials; "
        "without a search (train.search.model: null) the entry's own values are used",
    ]


def as_entry(entry: Row, of: str) -> str:
    """Format an entry of train.models as YAML, with comments on how it was chosen."""
    lines = [
        f"# Chosen by train.search: {of}.",
        "# To use it without a search, put it in place of the entry in train.models and set train.search.model: null.",
        "# transductive is true because test sets of other folds hold people with whom these values were chosen;",
        "# for this fold alone, false is right.",
    ]
    values = {**entry, "transductive": True}
    first = [key for key in ("name", "kind") if key in values]
    keys = [*first, *sorted(values.keys() - set(first))]
    prefixes = ["- ", *["  "] * (len(keys) - 1)]
    return (
        "\n".join([*lines, *(f"{mark}{key}: {_value(values[key])}" for mark, key in zip(prefixes, keys, strict=True))])
        + "\n"
    )


def _value(value: Any) -> str:
    """Format a value as JSON, which is YAML, except for 1e-05, which YAML reads as text."""
    text = json.dumps(value, ensure_ascii=False)
    power = isinstance(value, float) and "e" in text and "." not in text
    return text.replace("e", ".0e") if power else text


if __name__ == "__main__":
    cli(run)
