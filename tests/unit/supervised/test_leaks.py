"""Planted leaks of scores: each is refused by name, or caught, and none goes through in silence."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from supervised_run import CONFOUNDS, SCORES, fit_fold, results, write

from neurovae.associate import univariate
from neurovae.errors import InputError
from neurovae.estimator.model import LatentModel
from neurovae.export import export
from neurovae.plan import config, supervised
from neurovae.predict import predict
from neurovae.stats.basis import residual
from neurovae.supervised.training_scores import folds_of
from neurovae.train import weights


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("supervised")
    write(folder)
    for fold in (0, 1):
        fit_fold(folder, fold)
    results(folder)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def edit(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(path)).to_parquet(path)


def test_the_honest_run_finds_the_score_and_says_what_it_is(finished: Path) -> None:
    row = pd.read_parquet(finished / "tests.parquet").iloc[0]
    assert (row["track"], row["kind"], row["status"], row["n"], row["folds"]) == ("supervised", "aligned", "ok", 60, 2)
    assert row["p_permutation"] == 0.01 and row["partial_r"] > 0.8 and row["r2"] > row["r2_confounds"] + 0.3
    table = pd.read_parquet(finished / "fold-0" / "latents.parquet")
    assert set(table["track"]) == {"supervised"} and set(table["kind"]) == {"aligned"}
    index = pd.read_parquet(finished / "fold-0" / "latent_index.parquet").iloc[0]
    assert (index["role"], index["target"], index["comparable_across_folds"]) == ("aligned", "score", True)


def test_nothing_of_the_test_people_enters_a_fit(run: Path) -> None:
    """Neither their scans, nor their scores or confounds: the weights stay the same to the bit."""
    before = load_file(run / "fold-0" / "weights.safetensors")
    table = pd.read_parquet(run / "cohort.parquet")
    test = (table["fold"] == 0).to_numpy()
    volumes = np.load(run / "v.npy")
    volumes[test] = 7
    np.save(run / "v.npy", volumes)
    fit_fold(run, 0)
    after = load_file(run / "fold-0" / "weights.safetensors")
    assert all(np.array_equal(before[name], after[name]) for name in before)


# leak 1
def test_scores_of_test_people_in_the_training_file(run: Path) -> None:
    everyone = pd.concat([pd.read_parquet(run / f"scores-{k}.parquet") for k in (0, 1)])
    everyone.to_parquet(run / "scores-0.parquet")
    with pytest.raises(InputError, match=r"fold 0: holds scores of sub-.* whom this fold tests"):
        fit_fold(run, 0)


# leak 2
def test_an_item_of_the_total_beside_it_in_the_training_file(run: Path) -> None:
    item = pd.read_parquet(run / "cohort.parquet").set_index("scan")["item"]
    edit(run / "scores-0.parquet", lambda table: table.assign(item=item.loc[table["scan"]].to_numpy()))
    with pytest.raises(InputError, match="not exactly scan, person and the declared scores score"):
        fit_fold(run, 0)


# leak 3
def test_a_score_adjusted_for_confounds_over_all_people(run: Path) -> None:
    whole = pd.read_parquet(run / "cohort.parquet").set_index("scan")
    x = np.column_stack([np.ones(len(whole)), whole["age"]])
    adjusted = pd.Series(residual(whole["score"].to_numpy(), x), whole.index)
    for fold in (0, 1):
        path = run / f"scores-{fold}.parquet"
        edit(path, lambda table: table.assign(score=adjusted.loc[table["scan"]].to_numpy()))
        fit_fold(run, fold)
    with pytest.raises(InputError, match="values of score are not those of the cohort's table"):
        results(run)


# leak 4
def test_training_that_was_stopped_on_test_people(run: Path) -> None:
    path = run / "fold-0" / "weights.safetensors"
    tensors, meta = weights.load(path)
    meta["people"]["validation"].append(meta["people"]["test"].pop())
    weights.save(path, tensors, meta)
    stamp = weights.model_hash(tensors, meta)
    edit(path.with_name("latents.parquet"), lambda table: table.assign(model_hash=stamp))
    with pytest.raises(InputError, match="stopped on sub-.* whom this fold tests"):
        results(run)


# leak 5
def test_one_person_in_several_folds(run: Path) -> None:
    def twice(table: pd.DataFrame) -> pd.DataFrame:
        other = table["fold"].ne(table["fold"].iloc[0]).to_numpy().argmax()
        return table.assign(person=table["person"].where(table.index != other, table["person"].iloc[0]))

    edit(run / "cohort.parquet", twice)
    with pytest.raises(InputError, match="sub-00 in several folds"):
        results(run)
    lines = (run / "f.tsv").read_text().splitlines()
    (run / "f.tsv").write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(InputError, match="sub-00 in several rows"):
        folds_of(run / "f.tsv")


# leak 6
def test_latents_of_the_other_folds_model(run: Path) -> None:
    shutil.copy(run / "fold-1" / "latents.parquet", run / "fold-0" / "latents.parquet")
    with pytest.raises(InputError, match="these latents are not from these weights"):
        results(run)


# leak 7
def test_training_people_declared_as_test_people(run: Path) -> None:
    edit(run / "fold-0" / "latents.parquet", lambda table: table.assign(split="test"))
    with pytest.raises(InputError, match="split of .* is 'test', in .* 'training'"):
        results(run)


# leak 8
def test_latents_that_something_else_has_moved_towards_the_score(run: Path) -> None:
    score = pd.read_parquet(run / "cohort.parquet").set_index("scan")["score"]

    def moved(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(mu_score=table["mu_score"] + 0.1 * score.loc[table["scan"]].to_numpy())

    edit(run / "fold-0" / "latents.parquet", moved)
    with pytest.raises(InputError, match="something else has entered the models"):
        results(run)


# leak 9
def test_in_sample_latents_are_refused_by_associate_and_predict(run: Path) -> None:
    fold = run / "fold-0"
    (fold / "health.json").write_text(json.dumps({"verdict": "healthy"}))
    of_run = {"cohort": run / "cohort.parquet", "qc": run / "qc.parquet", "scores": SCORES, "confounds": CONFOUNDS}
    message = "latents of axis: a supervised model, with 30 people on whose scores it was fitted"
    with pytest.raises(InputError, match=message):
        univariate.run(
            **of_run, latents=fold / "latents.parquet", index=fold / "latent_index.parquet",
            health=fold / "health.json", permutations=99, seed=0, glm=run / "glm.parquet", spline=run / "s.parquet",
            curves=run / "c.parquet", permute=run / "p.parquet",
        )  # fmt: skip
    with pytest.raises(InputError, match=message):
        predict.run(
            **of_run, latents=[fold / "latents.parquet"], health=[fold / "health.json"],
            weights=[fold / "weights.safetensors"], inner=2, bootstraps=100, permutations=0, svm_permutations=0,
            importance=1, harmonise="none", new_site="mean", seed=0, out=run / "o.parquet",
            predictions=run / "q.parquet", importance_table=run / "i.parquet",
        )  # fmt: skip


# leak 10
def test_the_estimator_and_the_export_refuse_it(run: Path) -> None:
    path = run / "fold-0" / "weights.safetensors"
    with pytest.raises(InputError, match="supervised by score on people outside fold 0"):
        LatentModel.load(path, mask=run / "m.nii.gz")
    with pytest.raises(InputError, match="kind 'aligned': supervised"):
        LatentModel("aligned", options={"supervised_by": ["score"]}).fit(np.zeros((5, 4)))
    (run / "health.json").write_text("{}")
    with pytest.raises(InputError, match="supervised by score on people outside fold 0"):
        export.run(model=path, out=run / "out", mask=run / "m.nii.gz", health=run / "health.json", derivatives=run)


def configured(**changes: Any) -> dict[str, Any]:
    """A validated configuration with two scores, an item and a supervised model; changes by section."""
    scores = [
        {"name": "total", "type": "continuous", "sum_of": ["a", "b"]},
        {"name": "tremor", "type": "ordinal", "part_of": "total"},
        {"name": "other", "type": "continuous"},
    ]
    models = [{"name": "pca", "kind": "pca"}, {"name": "axis", "kind": "aligned", "supervised_by": ["total"]}]
    sections: dict[str, Any] = {"cohort": {"name": "x", "bids": "b", "scores": scores}, "train": {"models": models}}
    for place, value in changes.items():
        section, key = place.split("__")
        sections.setdefault(section, {})[key] = value
    return config.validate(copy.deepcopy(sections), config.load_schema())


def age(**keys: Any) -> list[dict[str, Any]]:
    return [{"name": "age", "type": "continuous", **keys}]


def entry(**keys: Any) -> list[dict[str, Any]]:
    return [{"name": "pca", "kind": "pca"}, {"name": "axis", "kind": "aligned", **keys}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__models": entry(supervised_by=["total", "tremor"])}, "'tremor' is part of 'total'"),
        ({"cohort__confounds": age(column="a")}, "the confound 'age' is an item of 'total'"),
        ({"cohort__confounds": age(column="tremor")}, "the confound 'age' is an item of 'total'"),
        ({"train__models": entry()}, "needs supervised_by"),
        ({"train__models": entry(supervised_by=["nothing"])}, "supervised_by names nothing"),
        ({"train__models": entry(supervised_by=["death"]), "cohort__scores": [
            {"name": "death", "type": "survival", "time": "years", "event": "died"}]}, "'death' is a survival score"),
        ({"train__models": entry(supervised_by=["total"], n_latent=3)}, "n_latent is the number of scores"),
        ({"train__models": entry(supervised_by=["total"])[1:]}, "every model is supervised"),
        ({"associate__primary": "axis"}, "associate.primary: 'axis' is supervised"),
        ({"interpret__models": ["axis"]}, "interpret.models: 'axis' is supervised"),
        ({"train__keep_collapsed": ["axis"]}, "train.keep_collapsed: 'axis' is supervised"),
        ({"cohort__freeze": True}, "cohort.freeze: axis would be used on new people"),
    ],
)  # fmt: skip
def test_what_is_refused_before_the_first_job(changes: dict[str, Any], message: str) -> None:
    assert supervised.problems(configured()) == []
    assert [line for line in supervised.problems(configured(**changes)) if message in line]


def test_an_unsupervised_kind_has_no_such_key() -> None:
    models = [{"name": "vae", "kind": "vae", "supervised_by": ["total"]}]
    with pytest.raises(InputError, match="a vae has no 'supervised_by'"):
        configured(train__models=models)
