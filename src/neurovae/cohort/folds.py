"""Assign people to folds, and to each fold's training, validation and test sets, by id, site and stratum only."""

from pathlib import Path

from neurovae.cli import Json, cli
from neurovae.cohort.deal import assign
from neurovae.cohort.family import expanded, families, units
from neurovae.io.files import write_tsv
from neurovae.plan.index import people, read


def run(*, cohort: Json, out: Path) -> None:
    """Write folds.tsv: person, site, fold, split_0 .. split_{n-1}.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun folds

    Args:
        cohort: source, `name`, `rename`, `site`, `family` and `folds` of the config section; scores are not read.
        out: folds.tsv.
    """
    folds, scans = cohort["folds"], read(cohort)
    all_people, family = people(scans), families(scans)
    settings = {"n": folds["n"], "seed": folds["seed"], "stop": folds["validation"], "by": folds["by"]}
    rows = expanded(assign(units(all_people, family), **settings), all_people, family)
    write_tsv(out, rows, ["person", "site", "fold", *(f"split_{fold}" for fold in range(folds["n"]))])


if __name__ == "__main__":
    cli(run)
