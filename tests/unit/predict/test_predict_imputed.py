"""Missing confounds of predictions: learnt from training people, never from a score, and said in every row."""

import numpy as np
import pandas as pd
import pytest
from simulated_prediction import CONFOUNDS, MEMORY, cohort

from neurovae.design import design
from neurovae.predict import features, folds
from neurovae.predict.permutation import permutation_test
from neurovae.predict.predict import cross_validate

pytestmark = pytest.mark.filterwarnings("error")


def gaps(parts: tuple[pd.DataFrame, ...], seed: int = 1) -> tuple[pd.DataFrame, ...]:
    """Age missing in a quarter of the people, sex in a tenth."""
    table, *rest = parts
    rng = np.random.default_rng(seed)
    return (
        table.assign(
            age=table["age"].mask(rng.random(len(table)) < 0.25), sex=table["sex"].mask(rng.random(len(table)) < 0.1)
        ),
        *rest,
    )


def cases(parts: tuple[pd.DataFrame, ...], impute: bool = True) -> folds.Cases:
    found = folds.outer_folds([design.join(*parts)])
    return folds.complete_cases(found, MEMORY, CONFOUNDS, inner=3, impute=impute)


def test_who_enters_and_what_the_rows_say() -> None:
    parts = gaps(cohort())
    few, all_of_them, whole = cases(parts, False), cases(parts), cases(cohort())
    lost = parts[0][["age", "sex"]].isna().any(axis=1).sum()
    assert all_of_them.base["n_scans"] == whole.base["n_scans"] == few.base["n_scans"] + lost
    assert all_of_them.base["n_imputed"] == lost and few.base["n_imputed"] == whole.base["n_imputed"] == 0
    assert "imputed in each training set: age of" in all_of_them.base["confounds"]
    assert all(np.isfinite(part.x_train).all() for parts in all_of_them.splits.values() for part in parts)
    assert np.isfinite(all_of_them.x).all()


def test_with_nothing_missing_nothing_changes() -> None:
    a, b = cases(cohort(), False), cases(cohort(), True)
    assert np.array_equal(a.x, b.x) and a.base == b.base
    for name, parts in a.splits.items():
        pairs = zip(parts, b.splits[name], strict=True)
        assert all(np.array_equal(one.x_train, other.x_train) for one, other in pairs)


def test_columns_depend_on_no_score_and_on_no_test_persons_confound() -> None:
    table, latents, qc = gaps(cohort())
    before = cases((table, latents, qc))
    rng = np.random.default_rng(0)
    turned = table.assign(memory=rng.permutation(table["memory"]))
    same = turned.assign(memory=turned["memory"].where(table["memory"].notna(), np.nan))
    after = cases((same, latents, qc))
    assert len(after.y) == len(before.y) and not np.array_equal(before.y, after.y)
    for name, parts in before.splits.items():
        for one, other in zip(parts, after.splits[name], strict=True):
            assert np.array_equal(one.x_train, other.x_train) and np.array_equal(one.x_test, other.x_test)
    assert np.array_equal(before.x, after.x)
    wild = table.assign(age=table["age"].where(table["fold"] != 0, table["age"] * 1e3))
    moved = cases((wild, latents, qc))
    for name in features.FEATURES:
        assert np.array_equal(before.splits[name][0].x_train, moved.splits[name][0].x_train)


def test_latents_that_tell_of_a_missing_confound_predict_nothing_beyond_it() -> None:
    """Score and latent follow age alone, which half of the people lack: its stand-in must know what the latent knows."""
    table, latents, qc = cohort(people=200)
    rng = np.random.default_rng(2)
    age = rng.normal(size=len(table))
    table = table.assign(age=age, memory=age + 0.5 * rng.normal(size=len(table)))
    latents = latents.assign(mu_000=age + 0.3 * rng.normal(size=len(table)))
    table["age"] = table["age"].mask(rng.random(len(table)) < 0.5)
    found = permutation_test(cases((table, latents, qc)), "linear", 99, 0)
    assert abs(found["gain"]) < 0.02 and found["p_permutation"] > 0.05
    # the same gaps filled with the mean let the latent tell of age
    plain = table.assign(age=table["age"].fillna(table["age"].mean()))
    assert permutation_test(cases((plain, latents, qc)), "linear", 99, 0)["gain"] > 0.1


def test_a_confound_that_almost_nobody_has() -> None:
    table, latents, qc = cohort()
    table["age"] = table["age"].where(np.arange(len(table)) < 8)
    found = cases((table, latents, qc))
    assert found.base["status"] == "too few people" and "have age" in found.base["reason"]
    assert len(cross_validate(found)) == 0
