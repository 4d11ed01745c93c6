"""Motion as a default confound of models that read a functional block, and its other measures as declared ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from functional import xcpd
from simulated_prediction import AGE, MEMORY, cohort

from neurovae.audit import confounds as audit
from neurovae.cohort.table import quality
from neurovae.design.design import design, join, used_confounds
from neurovae.plan import block_confounds, blocks, index
from neurovae.plan.config import load_schema, validate

PEOPLE = ("01", "02", "03")


def section(folder: Path, confounds: list[dict[str, Any]], **more: Any) -> tuple[dict[str, Any], blocks.Plan]:
    for k, person in enumerate(PEOPLE):
        xcpd(folder / "xcpd", person, k)
    table = folder / "participants.tsv"
    pd.DataFrame({"participant_id": [f"sub-{one}" for one in PEOPLE]}).to_csv(table, sep="\t", index=False)
    entry = {"name": "rest", "type": "timeseries", "path": str(folder / "xcpd"), **more}
    given = {"name": "c", "participants": str(table), "blocks": [entry], "confounds": confounds}
    models = [{"name": "m", "kind": "table", "block": "rest", "n_latent": 2}]
    config = validate({"cohort": given, "train": {"models": models}}, load_schema())
    return config["cohort"], blocks.look(config["cohort"], index.look(config["cohort"]), config["train"]["models"])


def test_motion_is_a_confound_where_every_run_has_it(tmp_path):
    cohort_section, plan = section(tmp_path, [])
    assert plan.moving == ("rest",) and not block_confounds.problems(cohort_section)
    assert block_confounds.measures(cohort_section, plan.moving) == {"mean_fd": ["rest", "mean_fd"]}
    (added,) = block_confounds.with_motion(cohort_section, plan.moving)["confounds"]
    assert (added["name"], added["from"], added["block"]) == ("mean_fd", "blocks", "rest")
    (tmp_path / "xcpd" / "sub-02" / "func" / "sub-02_task-rest_motion.tsv").unlink()
    again = blocks.look(cohort_section, index.look(cohort_section), [])
    assert again.moving == () and block_confounds.with_motion(cohort_section, ())["confounds"] == []


def test_motion_is_audited_alone_where_it_is_no_confound(tmp_path):
    cohort_section, plan = section(tmp_path, [], fd_confound=False)
    assert block_confounds.measures(cohort_section, plan.moving) == {"mean_fd": ["rest", "mean_fd"]}
    assert block_confounds.with_motion(cohort_section, plan.moving)["confounds"] == []
    assert "fd_confound" not in blocks.flags(cohort_section, plan.entries)["rest"]


@pytest.mark.parametrize("column", ["rest.mean_fd", "mean_fd"])
def test_a_declared_measure_replaces_the_default(tmp_path, column):
    declared = {"name": "motion", "type": "continuous", "from": "blocks", "column": column}
    cohort_section, plan = section(tmp_path, [declared])
    assert block_confounds.measures(cohort_section, plan.moving) == {"motion": ["rest", "mean_fd"]}
    names = [one["name"] for one in block_confounds.with_motion(cohort_section, plan.moving)["confounds"]]
    assert names == ["motion"]


def test_a_measure_that_is_none_is_refused(tmp_path):
    wrong = [{"name": "a", "type": "continuous", "from": "blocks", "column": "rest.fd"},
             {"name": "b", "type": "categorical", "from": "blocks", "column": "rest.tsnr"}]  # fmt: skip
    first, second = block_confounds.problems(section(tmp_path, wrong)[0])
    assert "'rest.fd' is no measure of a functional block; give column as one of rest.mean_fd, rest.tsnr" in first
    assert second == "cohort.confounds 'b': tsnr is a number; give type: continuous"


def test_values_are_of_those_who_have_the_block(tmp_path):
    (tmp_path / "rest").mkdir()
    rows = {"scan": ["007", "b", "c"], "status": ["ok", "excluded", "no file"], "mean_fd": [0.2, 0.9, np.nan]}
    pd.DataFrame(rows).to_csv(tmp_path / "rest" / "quality.tsv", sep="\t", index=False, na_rep="n/a")
    found = quality(pd.Series(["c", "007", "b", "d"]), tmp_path, {"fd": ["rest", "mean_fd"]})
    np.testing.assert_array_equal(found["fd"], [np.nan, 0.2, np.nan, np.nan])


@pytest.mark.parametrize(("inputs", "is_used"), [("rest+structure", True), ("structure", False)])
def test_models_of_other_blocks_are_not_adjusted(inputs, is_used):
    table, latents, qc = cohort(people=60)
    moved = table.assign(mean_fd=np.random.default_rng(0).gamma(2, 0.1, len(table)))
    both = join(moved, latents.assign(inputs=inputs), qc)
    motion = {"name": "mean_fd", "type": "continuous", "from": "blocks", "block": "rest"}
    assert ("mean_fd" in [name for name, *_ in used_confounds(both, MEMORY, [AGE, motion], False)[0]]) == is_used
    assert ("mean_fd" in design(both, MEMORY, [AGE, motion]).text) == is_used
    rows = [row for row in audit.audit(both, [MEMORY], [AGE, motion], [], 0.1) if row["nuisance"] == "mean_fd"]
    assert {row["kind"] for row in rows} == {"latent", "score"} and {row["declared"] for row in rows} == {is_used}
