"""The guard: forged tables beside true weights, people on both sides; paired comparison by Nadeau and Bengio."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit
from sklearn.metrics import log_loss, r2_score, roc_auc_score

from neurovae.errors import InputError
from neurovae.predict import compare, leakage
from neurovae.train import weights

PEOPLE = [f"sub-{k:02d}" for k in range(30)]
FOLD = np.arange(30) % 3


def roles(fold: int) -> dict[str, list[str]]:
    """Tested people report, every fifth of the others stops, the rest is trained on."""
    others = [person for person, k in zip(PEOPLE, FOLD, strict=True) if k != fold]
    report = [person for person, k in zip(PEOPLE, FOLD, strict=True) if k == fold]
    return {"training": [p for i, p in enumerate(others) if i % 5], "validation": others[::5], "test": report}


def write_fold(
    folder: Path,
    fold: int,
    people: dict[str, list[str]] | None = None,
    table: Callable[[pd.DataFrame], Any] = lambda t: t,
) -> tuple[Path, Path]:
    """Weights of one fold and latents embedded by them; `table` forges the latents."""
    folder = folder / f"fold-{fold}_seed-0"
    tensors = {"a": np.full((3, 2), float(fold), np.float32), "b": np.arange(4, dtype=np.float32)}
    meta = {
        "fold": fold,
        "seed": 0,
        "people": people or roles(fold),
        "data_hash": "d",
        "kind": "pca",
        "architecture": {"n_latent": 1},
    }
    weights.save(folder / "weights.safetensors", tensors, meta)
    own = {person: split for split, names in meta["people"].items() for person in names}
    latents = pd.DataFrame({"scan": PEOPLE, "person": PEOPLE, "model": "m", "fold": fold, "seed": 0})
    latents = latents.assign(split=latents["person"].map(own), mu_000=np.arange(len(PEOPLE)) / 7, data_hash="d")
    latents["model_hash"] = weights.model_hash(tensors, meta)
    table(latents).to_parquet(folder / "latents.parquet")
    return folder / "latents.parquet", folder / "weights.safetensors"


def refuse(pairs: list[tuple[Path, Path]], fold: np.ndarray = FOLD) -> None:
    leakage.refuse([a for a, _ in pairs], [b for _, b in pairs], pd.DataFrame({"person": PEOPLE, "fold": fold}))


def test_true_latents_pass_per_fold_and_transductively(tmp_path: Path) -> None:
    pairs = [write_fold(tmp_path, k) for k in range(3)]
    refuse(pairs)
    refuse(pairs[:1])


def leak(split: str) -> dict[str, list[str]]:
    """Fold 1 with one of its test people moved to another split."""
    people = roles(1)
    return {**people, "test": people["test"][1:], split: [*people[split], people["test"][0]]}


@pytest.mark.parametrize(("split", "word"), [("training", "trained on"), ("validation", "stopped on")])
def test_a_forged_split_column_does_not_hide_training_or_stopping_on_test_people(
    tmp_path: Path, split: str, word: str
) -> None:
    """The sidecar says that all tested people were only reported; the ids in the weights say otherwise."""

    def forge(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(split=np.where(FOLD == 1, "test", table["split"]))

    pairs = [write_fold(tmp_path, 0), write_fold(tmp_path, 1, leak(split), forge), write_fold(tmp_path, 2)]
    with pytest.raises(InputError) as error:
        refuse(pairs)
    first = roles(1)["test"][0]
    assert len(error.value.problems) == 2  # the table that was changed, and the leak that it hid
    assert f"split of {first} is 'test'" in error.value.problems[0] and f"'{split}'" in error.value.problems[0]
    assert "fold-1_seed-0/latents.parquet, fold 1" in error.value.problems[0]
    assert f"fold-1_seed-0/weights.safetensors, fold 1: the model was {word} {first}" in error.value.problems[1]


def test_a_true_table_of_a_leaking_model_is_refused(tmp_path: Path) -> None:
    pairs = [write_fold(tmp_path, 0), write_fold(tmp_path, 1, leak("training")), write_fold(tmp_path, 2)]
    with pytest.raises(InputError, match="trained on sub-01, whom this fold tests"):
        refuse(pairs)


def test_folds_that_are_not_those_of_training_are_refused(tmp_path: Path) -> None:
    pairs = [write_fold(tmp_path, k) for k in range(3)]
    with pytest.raises(InputError, match="fold 0: the model was trained on sub-04, .* whom this fold tests") as error:
        refuse(pairs, (FOLD + 2) % 3)
    assert len(error.value.problems) == 6  # each fold: trained on some, stopped on others


def test_one_model_for_all_folds_may_know_its_test_people_but_not_lie_about_them(tmp_path: Path) -> None:
    refuse([write_fold(tmp_path, 1, leak("training"))])
    forged = write_fold(tmp_path, 1, table=lambda t: t.assign(split="test"))
    with pytest.raises(InputError, match="split of .* and .* more is 'test', in .* 'training'"):
        refuse([forged])


def test_weights_of_another_fold_another_seed_or_other_values_are_refused(tmp_path: Path) -> None:
    pairs = [write_fold(tmp_path / "a", k) for k in range(3)]
    swapped = [(pairs[0][0], pairs[1][1]), (pairs[1][0], pairs[0][1]), pairs[2]]
    with pytest.raises(InputError, match="fold 1: fold is 0, that of .*fold-1_seed-0/weights.safetensors is 1"):
        refuse(swapped)
    tensors, meta = weights.load(pairs[2][1])
    weights.save(pairs[2][1], {**tensors, "a": tensors["a"] + 1e-6}, meta)
    with pytest.raises(InputError, match="fold 2: model_hash is .* these latents are not from these weights"):
        refuse(pairs)
    weights.save(pairs[2][1], tensors, {**meta, "people": {**meta["people"], "validation": []}})
    with pytest.raises(InputError) as error:  # ids taken out of the weights: their hash changes, and people are unknown
        refuse(pairs)
    assert any("model_hash" in line for line in error.value.problems)
    assert any("'unknown'" in line for line in error.value.problems)


def test_someone_whom_the_weights_do_not_name_is_new_only_to_a_frozen_model(tmp_path: Path) -> None:
    """Else a training person could be tested under another id."""
    one = write_fold(tmp_path, 1)
    trained = roles(1)["training"][0]
    renamed = write_fold(
        tmp_path,
        1,
        table=lambda t: t.assign(
            person=t["person"].replace(trained, "sub-99"), split=t["split"].where(t["person"] != trained, "test")
        ),
    )
    assert renamed == one
    people = pd.DataFrame({"person": [*PEOPLE, "sub-99"], "fold": [*FOLD, 1]})
    with pytest.raises(InputError, match="split of sub-99 is 'test', in .* 'unknown'"):
        leakage.refuse([one[0]], [one[1]], people)
    leakage.refuse([one[0]], [one[1]], people, freeze=True)


def test_latents_that_were_chosen_or_added_are_refused(tmp_path: Path) -> None:
    """Full-sample feature selection leaves fewer columns than the model has latents."""
    for change, count in ((lambda t: t.drop(columns="mu_000"), 0), (lambda t: t.assign(mu_001=1.0), 2)):
        with pytest.raises(InputError, match=f"{count} latents, the model of .* has 1; chosen latents would leak"):
            refuse([write_fold(tmp_path, 1, table=change)])


def test_latents_without_any_spread_are_refused(tmp_path: Path) -> None:
    """Zeroed, those that do not go with the score would be selected away."""
    with pytest.raises(InputError, match="mu_000 the same for every scan"):
        refuse([write_fold(tmp_path, 1, table=lambda t: t.assign(mu_000=0.5))])


def test_an_edited_hash_or_fold_column_is_refused(tmp_path: Path) -> None:
    for column, value in (("model_hash", "0" * 16), ("fold", 2), ("seed", 4), ("data_hash", "e")):
        forged = write_fold(tmp_path, 1, table=lambda t, c=column, v=value: t.assign(**{c: v}))
        with pytest.raises(InputError, match=f"fold-1_seed-0/latents.parquet, fold 1: {column} is {value}"):
            refuse([forged])


def test_people_in_two_splits_or_two_folds_are_refused(tmp_path: Path) -> None:
    people = roles(0)
    both = {**people, "validation": [*people["validation"], people["training"][3]]}
    with pytest.raises(InputError, match=f"fold 0: {people['training'][3]} in 'training' and in 'validation'"):
        refuse([write_fold(tmp_path, 0, both)])
    twice = pd.DataFrame({"person": [*PEOPLE, "sub-07"], "fold": [*FOLD, 2]})
    pair = write_fold(tmp_path, 0)
    with pytest.raises(InputError, match="sub-07 in several folds"):
        leakage.refuse([pair[0]], [pair[1]], twice)


def told(
    model: str, features: str, value: np.ndarray, truth: np.ndarray, fold: np.ndarray, **more: Any
) -> pd.DataFrame:
    """Predictions of one learner and feature set."""
    names = [f"sub-{k:03d}" for k in range(len(truth))]
    table = pd.DataFrame(
        {"scan": names, "person": names, "fold": fold, "score": "y", "model": model, "features": features}
    )
    mean = np.array([truth[fold != k].mean() for k in fold])
    shared = {
        "seed": 0,
        "learner": "linear",
        "type": "continuous",
        "policy": "per fold",
        "probability": np.nan,
        "harmonised": "none",
    }
    return table.assign(**(shared | more), truth=truth, prediction=value, training_mean=mean)


STATUS = pd.DataFrame(
    {"score": ["y"], "type": ["continuous"], "status": ["ok"], "reason": [""], "verdict": ["healthy"]}
)


def test_the_corrected_t_is_nadeau_and_bengios_formula() -> None:
    """By hand: d = (.1, .2, .3, .2): mean .2, s^2 .02 / 3; 4 folds of 25 in 100."""
    mean, low, high, p = compare.corrected_t(np.array([0.1, 0.2, 0.3, 0.2]), 25 / 75)
    error = np.sqrt((1 / 4 + 1 / 3) * 0.02 / 3)
    assert np.isclose(mean, 0.2) and np.isclose(high - mean, stats.t.ppf(0.975, 3) * error)
    assert np.isclose(low + high, 0.4) and np.isclose(p, 2 * stats.t.sf(0.2 / error, 3))
    assert np.isclose(error, 0.0623609564)  # frozen


def test_a_comparison_is_paired_over_folds_in_the_models_metric() -> None:
    rng = np.random.default_rng(0)
    truth, fold = rng.normal(size=100), np.repeat(np.arange(4), [25, 25, 24, 26])
    a, b = truth + rng.normal(size=100), truth + 1.5 * rng.normal(size=100)
    mine, other = told("vae", "latents", a, truth, fold), told("pca", "latents", b, truth, fold)
    (row,) = compare.against(mine, "pca", other)
    differences = []
    for k in range(4):
        test = fold == k
        around = np.sum((truth[test] - truth[~test].mean()) ** 2)
        differences.append((np.sum((truth - b)[test] ** 2) - np.sum((truth - a)[test] ** 2)) / around)
    expected = compare.corrected_t(np.array(differences), 25 / 75)
    assert np.allclose([row[name] for name in ("difference", "ci_low", "ci_high", "p")], expected)
    assert row["favours"] == ("model" if expected[1] > 0 else "neither") and row["folds"] == 4 and row["n"] == 100
    shuffled = compare.against(mine, "pca", other.sample(frac=1, random_state=1))
    assert np.isclose(shuffled[0]["p"], row["p"])


def test_a_binary_score_is_compared_by_auc_and_log_loss_per_fold() -> None:
    rng = np.random.default_rng(1)
    eta, fold = rng.normal(size=90), np.arange(90) % 3
    truth = (rng.random(90) < expit(2 * eta)).astype(float)
    weak = eta + 2 * rng.normal(size=90)
    mine = told("vae", "latents", eta, truth, fold, type="binary", probability=expit(2 * eta))
    other = told("vae", "confounds", weak, truth, fold, type="binary", probability=expit(weak))
    auc, loss = compare.against(mine, "confounds", other)
    by_fold = [
        roc_auc_score(truth[fold == k], eta[fold == k]) - roc_auc_score(truth[fold == k], weak[fold == k])
        for k in range(3)
    ]
    assert np.isclose(auc["difference"], np.mean(by_fold))
    whole = log_loss(truth, expit(2 * eta)) - log_loss(truth, expit(weak))  # folds of equal size
    assert np.isclose(loss["difference"], whole) and loss["difference"] < 0 < auc["difference"]


def test_what_cannot_be_compared_says_why() -> None:
    rng = np.random.default_rng(2)
    truth, fold = rng.normal(size=40), np.arange(40) % 2
    mine, other = (told(name, "latents", truth + rng.normal(size=40), truth, fold) for name in ("vae", "pca"))
    (row,) = compare.against(mine, "pca", other)
    assert row["status"] == "too few folds" and "p" not in row
    (row,) = compare.against(mine, "pca", other.iloc[1:])
    assert row["status"] == "other people" and "39 scans in common of 40" in row["reason"]
    fold = np.arange(40) % 4
    mine, other = (told(name, "latents", truth + rng.normal(size=40), truth, fold) for name in ("vae", "pca"))
    (row,) = compare.against(mine.assign(policy="transductive"), "pca", other)
    assert (
        row["policy"] == "transductive against per fold"
        and "trained on scans of" in row["reason"]
        and row["status"] == "ok"
    )
    (row,) = compare.against(mine, "pca", mine)
    assert row["status"] == "no spread" and row["difference"] == 0


def test_every_model_meets_confounds_pca_and_voxels_and_stopped_ones_keep_their_reason() -> None:
    rng = np.random.default_rng(3)
    truth, fold = rng.normal(size=50), np.arange(50) % 5

    def model(name: str, sets: tuple[str, ...]) -> pd.DataFrame:
        return pd.concat([told(name, features, truth + rng.normal(size=50), truth, fold) for features in sets])

    sets = ("confounds", "latents", "latents + confounds")
    vae, pca, voxels = (
        model("vae", sets),
        model("pca", sets),
        model("voxels", ("confounds", "voxels", "voxels + confounds")),
    )
    rows = pd.DataFrame(
        compare.comparisons("vae", 0, vae, STATUS, {"pca-4": (pca, STATUS), "voxels": (voxels, STATUS)})
    )
    assert (
        list(rows["against"]) == ["pca-4", "voxels", "confounds", "pca-4", "voxels"] and (rows["status"] == "ok").all()
    )
    a, b = vae[vae["features"] == sets[2]], voxels[voxels["features"] == "voxels + confounds"]
    gap = [r2(a[a["fold"] == k]) - r2(b[b["fold"] == k]) for k in range(5)]
    assert np.isclose(rows["difference"].iloc[-1], np.mean(gap))
    stopped = STATUS.assign(score=None, type=None, status="not tested", reason="no active unit", verdict="collapsed")
    (row,) = compare.comparisons("vae", 0, vae.iloc[:0], stopped, {"voxels": (voxels, STATUS)})
    assert (row["score"], row["status"], row["reason"], row["verdict"]) == (
        "y",
        "not tested",
        "no active unit",
        "collapsed",
    )
    bare = vae[vae["features"] == "latents"]
    (row, _) = compare.comparisons("vae", 0, bare, STATUS, {"voxels": (voxels, STATUS)})
    assert row["against"] == "training mean"
    assert np.isclose(row["difference"], np.mean([r2(bare[bare["fold"] == k]) for k in range(5)]))


def r2(part: pd.DataFrame) -> float:
    """R2 against the training mean, from sklearn's around a constant shift."""
    around = np.sum((part["truth"] - part["training_mean"]) ** 2)
    own = np.sum((part["truth"] - part["truth"].mean()) ** 2)
    return 1 - (1 - r2_score(part["truth"], part["prediction"])) * own / around
