"""A table of latents in the workflow: its jobs, what a changed cell reruns, and errors before the first job."""

import os
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
from project import CONFIG, PEOPLE, Copy, Project, jobs_of

TARGET = "results/tiny/latents/given/fold-0_seed-0/latents.parquet"
MAPS = "results/tiny/interpret/given/fold-0_seed-0/maps.parquet"


def tabled(project: Project, interpret: dict[str, Any] | None = None, **entry: Any) -> None:
    """Write a table of three columns beside the project, and a configuration that reads it.

    interpret: keys of this section, in addition to those of the project.
    """
    values = np.random.default_rng(0).normal(size=(PEOPLE + 1, 3))
    lines = [f"sub-{k + 1:02d}\t{a}\t{b}\t{c}" for k, (a, b, c) in enumerate(values)]
    (project.folder.parent / "v.tsv").write_text("\n".join(["person\ta\tb\tc", *lines]) + "\n")
    config = deepcopy(CONFIG)
    config["train"] = {"models": [{"name": "given", "kind": "table", "path": "../v.tsv", **entry}]}
    config["interpret"] = {**config.get("interpret", {}), **(interpret or {})}
    project.write(config)


def test_a_table_has_all_jobs_but_those_that_need_a_decoder(prepared: Project, elsewhere: Copy) -> None:
    project = elsewhere(prepared)
    tabled(project)
    jobs = project.plan()
    of_model = {job.split()[0] for job in jobs if job.endswith(" given")}
    assert of_model == {
        "train", "health", "latents", "univariate", "multivariable", "omnibus", "mixed", "confounds", "sites", "stability",
        "predict", "maps", "seeds",
    }  # fmt: skip
    decoded = {"traverse", "samples", "counterfactual", "jacobian"}
    assert {job.split()[0] for job in jobs if job.endswith(" pca-16")} == of_model | decoded
    tabled(project, {"models": ["given"]})
    alone = project.plan()
    assert {job.split()[0] for job in alone if job.endswith(" given")} == of_model and "plot_interpret" in alone
    assert not decoded & {job.split()[0] for job in alone}


def test_a_changed_cell_reruns_the_table_even_if_the_file_is_older(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    tabled(project)
    assert jobs_of(project.run(TARGET)) == {"train given", "latents given"}
    assert project.plan(TARGET) == set()
    assert {"health given", "maps given"} <= jobs_of(project.run(MAPS))
    row = pd.read_parquet(project.folder / MAPS).iloc[0]  # a table of noise
    assert (row["status"], row["mapped_by"]) == ("no map", "linear forward model, not a decoder"), row["reason"]
    path = project.folder.parent / "v.tsv"
    text, then = path.read_text(), path.stat().st_mtime
    path.write_text(text)  # the same bytes at another time
    assert project.plan(TARGET) == set()
    path.write_text(text.replace("\t0.", "\t0.1", 1))
    os.utime(path, (then - 9999, then - 9999))
    assert project.plan(TARGET) == {"train given", "latents given"}
    assert project.plan(MAPS) == {"train given", "latents given", "health given", "maps given"}
    tabled(project, seen="no")
    assert project.plan(TARGET) == {"train given", "latents given"}


def test_all_problems_of_a_table_are_named_before_the_first_job(prepared: Project, elsewhere: Copy) -> None:
    project = elsewhere(prepared)
    tabled(project, columns=["a", "bb"], n_latent=2)
    path = project.folder.parent / "v.tsv"
    path.write_text(path.read_text().replace("sub-03\t", "sub-02\t"))
    done = project.snakemake("-n")
    assert done.returncode != 0
    assert "v.tsv, row 1: no column 'bb'; did you mean 'b'? there are a, b, c; correct columns" in done.stdout
    tabled(project)
    path.write_text(path.read_text().replace("sub-03\t", "sub-02\t"))
    done = project.snakemake("-n")
    assert (
        done.returncode != 0 and "v.tsv, row 4: sub-02 was already given in row 3; keep one of the two" in done.stdout
    )
