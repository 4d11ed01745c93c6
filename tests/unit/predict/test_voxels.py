"""The voxel-wise baseline: turned scans give what machines on the voxels give; the same tables as predict."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from scipy.special import expit
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, SVR

from neurovae.errors import InputError
from neurovae.predict import voxels
from neurovae.predict.features import BOTH, CONFOUNDS, LATENTS, WITHOUT
from neurovae.predict.linear import decompose, solve
from neurovae.predict.predict import COLUMNS, PREDICTIONS
from neurovae.stats import products

VOLUMES = tiny.cohort(40, seed=3)[0]
RAW = VOLUMES[:, tiny.MASK].astype(np.float64)  # (scans, voxels)
TRAIN, TEST = np.arange(0, 40)[np.arange(40) % 4 != 0], np.arange(0, 40, 4)
TURNED = voxels.coordinates(voxels.products(VOLUMES, tiny.MASK))
USED = [("age", "continuous", pd.Series(np.random.default_rng(8).uniform(20, 80, 40)))]
RULES = {"inner": 3, "bootstraps": 100, "permutations": 19, "svm_permutations": 0, "new_site": "refuse", "seed": 0}


def target(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=RAW.shape[1])
    signal = (RAW - RAW.mean(axis=0)) @ weight
    return signal / signal.std() + 0.5 * rng.normal(size=len(RAW))


def own_voxels() -> tuple[np.ndarray, np.ndarray]:
    """Voxels centred on the training rows and on the scale of voxels.feature_maker: one factor for all."""
    x = RAW - RAW[TRAIN].mean(axis=0)
    x = x / np.sqrt(np.square(x[TRAIN]).sum() / (len(TRAIN) * TURNED.shape[1]))
    return x[TRAIN], x[TEST]


def columns(name: str = LATENTS) -> tuple[np.ndarray, np.ndarray, int]:
    return voxels.feature_maker(name, TURNED, USED)(TRAIN, TEST)


def test_products_and_turned_scans_are_those_of_the_centred_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    x = RAW - RAW.mean(axis=0)
    whole = voxels.products(VOLUMES, tiny.MASK)
    assert np.allclose(whole, x @ x.T, rtol=1e-10, atol=1e-8)
    monkeypatch.setattr(products, "BLOCK", 40 * 100)  # 26 blocks of voxels
    assert np.allclose(voxels.products(VOLUMES, tiny.MASK), whole, rtol=1e-12, atol=1e-8)
    assert TURNED.shape[1] < 40 and np.allclose(TURNED @ TURNED.T, whole, rtol=1e-10, atol=1e-7)


@pytest.mark.parametrize("alpha", [1.0, 100.0, 10000.0])
def test_ridge_equals_kernel_ridge_on_the_voxels(alpha: float) -> None:
    y, (x, x_test, _), (own, own_test) = target(), columns(), own_voxels()
    parts = decompose(x)
    intercept, c = solve(False, parts, y[TRAIN, None], (alpha, alpha))
    model = KernelRidge(alpha=alpha, kernel="linear").fit(own, y[TRAIN] - y[TRAIN].mean())
    expected = y[TRAIN].mean() + model.predict(own_test)
    assert np.abs(intercept[0] + x_test @ c[:, 0] - expected).max() < 1e-6
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_support_vectors_equal_those_on_the_voxels(kernel: str) -> None:
    y, (x, x_test, _), (own, own_test) = target(), columns(), own_voxels()
    options: dict[str, Any] = {"kernel": kernel, "gamma": 0.5 / x.shape[1], "tol": 1e-9}
    for make, values in ((lambda: SVR(C=1.0, epsilon=0.1, **options), y), (lambda: SVC(C=1.0, **options), y > 0)):
        turned, plain = make().fit(x, values[TRAIN]), make().fit(own, values[TRAIN])
        tell = "predict" if values is y else "decision_function"
        assert np.abs(getattr(turned, tell)(x_test) - getattr(plain, tell)(own_test)).max() < 1e-6


def test_logistic_regression_equals_that_on_the_voxels() -> None:
    y, (x, x_test, _), (own, own_test) = (target() > 0).astype(float), columns(), own_voxels()
    parts = decompose(x)
    intercept, c = solve(True, parts, y[TRAIN, None], (50.0, 50.0))
    model = LogisticRegression(C=1 / 50, tol=1e-10, max_iter=5000).fit(own, y[TRAIN])
    assert np.abs(expit(intercept[0] + x_test @ c[:, 0]) - model.predict_proba(own_test)[:, 1]).max() < 1e-4


def test_scale_and_confounds_are_of_training_rows() -> None:
    x, x_test, last = columns()
    assert last == 0 and np.isclose(np.square(x).mean(), 1) and np.allclose(x.mean(axis=0), 0)
    both, _, last = columns(BOTH)
    assert last == both.shape[1] - x.shape[1] == columns(CONFOUNDS)[0].shape[1] and np.allclose(both[:, :-last], x)
    alone = columns(CONFOUNDS)[0]
    assert np.allclose(alone.std(axis=0), 1)
    residual = columns(WITHOUT)[0]
    assert np.abs(alone.T @ residual).max() < 1e-8
    changed = TURNED.copy()
    changed[TEST] *= 5
    again, other, _ = voxels.feature_maker(LATENTS, changed, USED)(TRAIN, TEST)
    assert np.allclose(again, x) and not np.allclose(other, x_test)


def write(folder: Path, scores: list[dict[str, Any]], fold: np.ndarray | None = None) -> dict[str, Any]:
    """Packed files of 40 people, their cohort and qc tables; rows of the tables are shuffled."""
    files = tiny.packed(folder, 40)
    del files["folds"]
    np.save(files["volumes"], VOLUMES)
    rows = pd.read_parquet(files["rows"])
    cohort = rows[["scan", "person", "session", "acquisition", "run"]].assign(site="n/a")
    cohort = cohort.assign(fold=np.arange(40) % 4 if fold is None else fold, age=USED[0][2], memory=target())
    cohort = cohort.assign(ill=(target(1) > 0).astype(int), noise=np.random.default_rng(4).normal(size=40))
    cohort.sample(frac=1, random_state=0).to_parquet(folder / "cohort.parquet")
    rows[["scan"]].assign(excluded=np.arange(40) == 7).iloc[::-1].to_parquet(folder / "qc.parquet")
    tables = {"cohort": folder / "cohort.parquet", "qc": folder / "qc.parquet"}
    written = {"out": folder / "o.parquet", "predictions": folder / "p.parquet"}
    return files | tables | written | RULES | {"scores": scores, "confounds": [{"name": "age", "type": "continuous"}]}


SCORES = [
    {"name": "memory", "type": "continuous"},
    {"name": "ill", "type": "binary"},
    {"name": "noise", "type": "continuous"},
]


def test_run_writes_the_tables_of_predict(tmp_path: Path) -> None:
    options = write(tmp_path, SCORES)
    voxels.run(**options)
    table, told = pd.read_parquet(options["out"]), pd.read_parquet(options["predictions"])
    assert list(table) == list(COLUMNS) and list(told) == list(PREDICTIONS)
    assert set(table["model"]) == {"voxels"} and table["seed"].isna().all() and set(table["policy"]) == {"per fold"}
    names = {"confounds", "voxels", "voxels + confounds", "voxels without confounds"}
    assert set(table["features"]) == set(told["features"]) == names and (table["status"] == "ok").all()
    assert (table["n"] == 39).all() and "sub-07" not in set(told["person"])  # excluded by qc
    shown = table[(table["learner"] == "linear") & (table["features"] == "voxels + confounds")].set_index(
        ["score", "metric"]
    )
    assert shown.loc[("memory", "r2"), "value"] > 0.5  # of .8 that the voxels hold
    assert shown.loc[("ill", "auc"), "value"] > 0.5 + 1.645 * np.sqrt(40 / 12 / 19 / 20)  # 5 % by chance (Mann-Whitney)
    assert shown.loc[("noise", "r2"), "value"] < 9 / 39  # r of three standard errors, squared
    assert shown.loc[("memory", "r2"), "p_permutation"] == 0.05 and shown.loc[("memory", "r2"), "permutations"] == 19
    first = told[(told["score"] == "memory") & (told["features"] == "voxels") & (told["learner"] == "linear")]
    assert len(first) == 39 and np.allclose(first.sort_values("scan")["truth"], np.delete(target(), 7))


def test_a_score_without_predictions_and_a_person_in_two_folds(tmp_path: Path) -> None:
    few = [{"name": "rare", "type": "continuous"}]
    options = write(tmp_path, few)
    cohort = pd.read_parquet(options["cohort"])
    cohort.assign(rare=np.where(np.arange(40) < 15, cohort["memory"], np.nan)).to_parquet(options["cohort"])
    voxels.run(**options)
    row = pd.read_parquet(options["out"]).iloc[0]
    assert (row["status"], row["model"], row["score"]) == ("too few people", "voxels", "rare")
    assert pd.read_parquet(options["predictions"]).empty
    cohort.assign(person=cohort["person"].replace("sub-03", "sub-04")).to_parquet(options["cohort"])
    rows = pd.read_parquet(options["rows"])
    rows.assign(person=rows["person"].replace("sub-03", "sub-04")).to_parquet(options["rows"])
    with pytest.raises(InputError, match="sub-04 in several folds"):
        voxels.run(**{**options, "scores": SCORES})


def test_more_scans_than_their_products_fit_are_named_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = write(tmp_path, SCORES[:2])
    monkeypatch.setattr(voxels, "MAX_SCANS", 39)
    monkeypatch.setattr(voxels, "products", None)  # calling it would fail
    voxels.run(**options)
    table = pd.read_parquet(options["out"])
    assert table[["score", "status"]].to_numpy().tolist() == [["memory", "too many scans"], ["ill", "too many scans"]]
    assert (
        "40 scans, at most 39 are possible" in table["reason"].iloc[0] and pd.read_parquet(options["predictions"]).empty
    )
