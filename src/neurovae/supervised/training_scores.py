"""The one file with scores that a supervised model reads: its declared scores and confounds, without the test fold."""

import csv
from collections import Counter
from pathlib import Path

import pandas as pd

from neurovae.cli import Json, cli
from neurovae.cohort.table import build
from neurovae.design.design import in_order, used_confounds
from neurovae.errors import InputError
from neurovae.io.parquet import read_parquet, write_table
from neurovae.plan.index import look, written
from neurovae.train.supervision import CONFOUND, KEYS


def run(*, cohort: Json, folds: Path, fold: int, qc: str = "", out: Path) -> None:
    """Write scan, person, scores and confounds of everybody who is not tested in a fold, by person and session.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun training_scores

    Args:
        cohort: the config section with the declared scores alone.
        folds: folds.tsv.
        fold: the fold whose people are left out.
        qc: qc.parquet, where a confound comes from preprocessing; else empty.
        out: Parquet to write.

    Raises:
        InputError: problems of the tables, or a person in two folds.
    """
    index = look(written(cohort))
    if index.problems:
        raise InputError(index.problems)
    table = build({**cohort, "folds": {}}, index, folds_of(folds))
    if qc:
        table = table.merge(read_parquet(Path(qc)).add_prefix("qc_").rename(columns={"qc_scan": "scan"}), on="scan")
    found = left_in(table, fold, [score["name"] for score in cohort["scores"]], cohort)
    write_table(out, found)
    print(f"fold {fold}: {found['person'].nunique()} people outside it, columns {', '.join(found)}", flush=True)


def folds_of(path: Path) -> dict[str, int]:
    """Fold of each person.

    Raises:
        InputError: a person in several rows.
    """
    with open(path, encoding="utf-8", newline="") as file:
        rows = [(row["person"], int(row["fold"])) for row in csv.DictReader(file, delimiter="\t")]
    twice = [person for person, count in Counter(person for person, _ in rows).items() if count > 1]
    if twice:
        raise InputError(
            f"{path.name}: {', '.join(twice[:5])} in several rows, so that it is not known in which fold they are left "
            "out; rerun with --forcerun folds"
        )
    return dict(rows)


def left_in(table: pd.DataFrame, fold: int, scores: list[str], cohort: Json) -> pd.DataFrame:
    """Rows of the cohort's table outside a fold, by person and session, with keys, scores and confounds alone."""
    ordered = in_order(table[table["fold"] != fold].assign(latents_split="training"))
    ordered = ordered[ordered["session_order"].notna()].reset_index(drop=True)
    nothing = {"name": "", "type": "continuous"}  # a confound that is a score is left out later, score by score
    used = used_confounds(ordered, nothing, cohort["confounds"], with_split=False)[0]
    confounds = {
        CONFOUND + name: column.astype(float) if kind == "continuous" else column.astype(object)
        for name, kind, column in used
    }
    return ordered[[*KEYS, *scores]].astype(dict.fromkeys(scores, float)).assign(**confounds)


if __name__ == "__main__":
    cli(run)
