"""Joint models in the supervised stage: the honest run, planted leaks, hidden relatives of a score, other methods."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from sklearn.cross_decomposition import CCA
from supervised_run import fit_fold, joint_results, write

from neurovae.associate import univariate
from neurovae.errors import InputError
from neurovae.estimator.model import LatentModel
from neurovae.plan import config, supervised
from neurovae.stats import ridge_cca
from neurovae.stats.products import products
from neurovae.supervised import competitors, joint_fold
from neurovae.supervised.joint_tables import image_rows, score_rows
from neurovae.train import weights
from neurovae.train.models import joint

TRACK = {"track": "supervised", "model": "j", "kind": "joint", "seed": 0}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joint")
    write(folder)
    for fold in (0, 1):
        fit_fold(folder, fold, "joint")
    joint_results(folder)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def edit(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(path)).to_parquet(path)


def test_the_honest_run_predicts_both_ways_and_says_what_it_is(finished: Path) -> None:
    scores = pd.read_parquet(finished / "scores.parquet")
    assert set(scores["track"]) == {"supervised"} and set(scores["kind"]) == {"joint"} and (scores["n"] == 60).all()
    own = scores[(scores["method"] == "joint") & (scores["inputs"] == "image")].iloc[0]
    ridge = scores[scores["method"] == "ridge on voxels"].iloc[0]
    assert own["r2"] > 0.6 and own["r2"] > ridge["r2"] - 0.05
    assert ridge["gain"] == pytest.approx(own["r2"] - ridge["r2"]) and ridge["gain_low"] <= ridge["gain"]
    assert 0.8 < own["coverage"] <= 1 and 0.7 < own["calibration_slope"] < 1.3
    images = pd.read_parquet(finished / "images.parquet").set_index("method")["variance_explained"]
    assert images["joint"] > 0.2 and images["joint"] > images["ridge"] - 0.05
    health = pd.read_parquet(finished / "health.parquet")
    assert set(health["verdict"]) == {"healthy"} and len(health) == 2 * 2 * 3
    table = pd.read_parquet(finished / "fold-0" / "latents.parquet")
    assert set(table["inputs"]) == {"image"} and set(table["track"]) == {"supervised"}
    index = pd.read_parquet(finished / "fold-0" / "latent_index.parquet")
    assert list(index["role"]) == ["shared"] * 2 + ["private"] * 2 and not index["comparable_across_folds"].any()
    assert list(index["block"].fillna("")) == ["", "", "image", "image"]
    mean, low, high = (nib.load(finished / f"{one}.nii.gz").get_fdata() for one in ("mean", "low", "high"))
    assert mean.shape[-1] == 1 and (low <= mean + 1e-6).all() and (mean <= high + 1e-6).all() and mean.any()


def test_nothing_of_the_test_people_enters_a_fit(run: Path) -> None:
    """Neither their scans nor their scores: the weights stay the same to the bit."""
    before = load_file(run / "fold-0" / "weights.safetensors")
    test = (pd.read_parquet(run / "cohort.parquet")["fold"] == 0).to_numpy()
    volumes = np.load(run / "v.npy")
    volumes[test] = 7
    np.save(run / "v.npy", volumes)
    fit_fold(run, 0, "joint")
    after = load_file(run / "fold-0" / "weights.safetensors")
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_scores_of_test_people_are_refused(run: Path) -> None:
    everyone = pd.concat([pd.read_parquet(run / f"scores-{k}.parquet") for k in (0, 1)])
    everyone.to_parquet(run / "scores-0.parquet")
    with pytest.raises(InputError, match=r"fold 0: holds scores of sub-.* whom this fold tests"):
        fit_fold(run, 0, "joint")
    with pytest.raises(InputError, match=r"fold 0: holds scores of sub-.* whom this fold tests"):
        joint_results(run)


def test_other_scores_than_the_cohorts_and_lost_people_are_refused(run: Path) -> None:
    path = run / "scores-0.parquet"
    shutil.copy(path, run / "kept.parquet")
    edit(path, lambda table: table.assign(score=table["score"] - table["score"].mean()))
    with pytest.raises(InputError, match="values of score are not those of the cohort's table"):
        joint_results(run)
    shutil.copy(run / "kept.parquet", path)
    edit(path, lambda table: table.iloc[1:])
    with pytest.raises(InputError, match="are missing though outside its test fold"):
        joint_results(run)


def test_a_model_stopped_on_test_people_is_refused(run: Path) -> None:
    path = run / "fold-0" / "weights.safetensors"
    tensors, meta = weights.load(path)
    meta["people"]["validation"].append(meta["people"]["test"].pop())
    weights.save(path, tensors, meta)
    stamp = weights.model_hash(tensors, meta)
    edit(path.with_name("latents.parquet"), lambda table: table.assign(model_hash=stamp))
    with pytest.raises(InputError, match="stopped on sub-.* whom this fold tests"):
        joint_results(run)


def test_in_sample_latents_are_refused_by_other_stages(run: Path) -> None:
    fold = run / "fold-0"
    (fold / "health.json").write_text('{"verdict": "healthy"}')
    with pytest.raises(InputError, match="a supervised model, with 30 people on whose scores it was fitted"):
        univariate.run(
            cohort=run / "cohort.parquet", qc=run / "qc.parquet", scores=[{"name": "score", "type": "continuous"}],
            confounds=[], latents=fold / "latents.parquet", index=fold / "latent_index.parquet",
            health=fold / "health.json", permutations=99, seed=0, glm=run / "glm.parquet", spline=run / "s.parquet",
            curves=run / "c.parquet", permute=run / "p.parquet",
        )  # fmt: skip
    with pytest.raises(InputError, match="supervised by score on people outside fold 0"):
        LatentModel.load(fold / "weights.safetensors", mask=run / "m.nii.gz")
    with pytest.raises(InputError, match="kind 'joint': supervised"):
        LatentModel("joint", options={"supervised_by": ["score"]}).fit(np.zeros((5, 4)))


def test_a_hidden_score_does_not_tell_itself(run: Path) -> None:
    """Predicted from other scores, its own value changes nothing to the bit."""
    tensors, meta = weights.load(run / "fold-0" / "weights.safetensors")
    model, items = joint.network(tensors, meta["architecture"]), meta["architecture"]["items"]
    x = np.random.default_rng(0).normal(size=(4, model.sizes[0])).astype(np.float32)
    found = [
        joint_fold.predicted(joint_fold.Fold(model, items, tensors, x, y, 0), "clinical+image", {"score": ["score"]})[0]
        for y in (np.zeros((4, 1)), np.full((4, 1), 9.0))
    ]
    assert np.array_equal(found[0], found[1])


def test_canonical_correlation_is_that_of_scikit_learn_without_a_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    s = rng.normal(size=(400, 1))
    x, y = (
        s @ rng.normal(size=(1, 5)) + rng.normal(size=(400, 5)),
        s @ rng.normal(size=(1, 3)) + rng.normal(size=(400, 3)),
    )
    monkeypatch.setattr(ridge_cca, "GRID", np.array([1e-9]))
    monkeypatch.setattr(ridge_cca, "PENALTY", 1e-9)
    u = (x - x.mean(axis=0)) @ ridge_cca.fit(x, y, 1).x
    wanted = CCA(1, scale=False).fit(x, y).transform(x)
    assert abs(np.corrcoef(u[:, 0], wanted[:, 0])[0, 1]) == pytest.approx(1, abs=1e-4)


def test_errors_of_images_in_coordinates_are_those_over_voxels() -> None:
    rng = np.random.default_rng(0)
    volumes, mask = rng.normal(size=(20, 3, 4, 5)), np.ones((3, 4, 5), bool)
    y = rng.normal(size=(20, 2))
    train, test = np.arange(15), np.arange(15, 20)
    images = competitors.coordinates(products(volumes, mask), train, test)
    voxels = volumes[:, mask]
    away = voxels[test] - voxels[train].mean(axis=0)
    assert images.total == pytest.approx(np.square(away).sum(axis=1))
    error = competitors.image_from_scores(images, y[train], y[test])["CCA with ridge"]
    standard, middle, spread = competitors.standardised(y[train])
    pairs = ridge_cca.fit(images.train, standard, 2)
    axes = np.linalg.lstsq(images.train, voxels[train] - voxels[train].mean(axis=0), rcond=None)[0]
    decoded = pairs.x_from_y((y[test] - middle) / spread) @ axes
    assert error == pytest.approx(np.square(away - decoded).sum(axis=1))


def test_rows_are_r2_and_its_difference_by_hand() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=40)
    people = pd.DataFrame({"scan": [f"s{k}" for k in range(40)], "person": [f"s{k}" for k in range(40)]})
    people = people.assign(
        fold=np.arange(40) % 2, score="a", type="continuous", volume=1, truth=truth, training_mean=0.1
    )
    near, far = truth + 0.5 * rng.normal(size=40), truth + rng.normal(size=40)
    rows = [people.assign(method="joint", inputs="image", prediction=near, low=near - 1, high=near + 1),
            people.assign(method="other", inputs="image", prediction=far, low=np.nan, high=np.nan)]  # fmt: skip
    found = score_rows(pd.concat(rows, ignore_index=True), TRACK, 200, 0)
    assert [row["volume"] for row in found] == [1, 1]  # of the maps: nobody who was left out has the first score
    total = np.square(truth - 0.1).sum()
    r2 = [1 - np.square(truth - one).sum() / total for one in (near, far)]
    assert [row["r2"] for row in found] == pytest.approx(r2)
    assert found[1]["gain"] == pytest.approx(r2[0] - r2[1]) and found[1]["gain_low"] < r2[0] - r2[1]
    assert found[0]["coverage"] == pytest.approx((np.abs(truth - near) <= 1).mean()) and "gain" not in found[0]
    errors = people[["scan", "person", "fold"]].assign(total=4.0, joint=2.0, other=3.0)
    of_images = image_rows(errors, TRACK, 100, 0)
    assert [row["variance_explained"] for row in of_images] == pytest.approx([0.5, 0.25])
    assert of_images[1]["gain"] == pytest.approx(0.25)


SCORES: list[dict[str, Any]] = [
    {"name": "total", "type": "bounded", "bounds": [0, 8], "sum_of": ["a", "b"]},
    {"name": "tremor", "type": "ordinal", "column": "a", "part_of": "total"},
    {"name": "gait", "type": "ordinal", "column": "b"},
    {"name": "falls", "type": "count"},
    {"name": "time", "type": "survival", "time": "t", "event": "e"},
]


def configured(**keys: Any) -> dict[str, Any]:
    models = [{"name": "pca", "kind": "pca"}, {"name": "j", "kind": "joint", **keys}]
    given = {"cohort": {"name": "x", "bids": "b", "scores": SCORES}, "train": {"models": models}}
    return config.validate(given, config.load_schema())


def test_items_and_their_total_may_be_in_one_clinical_block() -> None:
    found = configured(supervised_by=["total", "tremor", "gait", "falls"])
    assert supervised.problems(found) == []
    entry = supervised.apart(found["train"], found["cohort"])[1]["j"]
    assert (entry["n_shared"], entry["n_private"]) == (5, 2)
    assert entry["declared"][0] == {"name": "total", "type": "bounded", "bounds": [0, 8]}
    assert "declared" not in supervised.together({"train": {"models": []}}, {"j": entry})["train"]["models"][0]
    hidden = {
        name: supervised.relatives(name, found["cohort"]["scores"]) for name in ("total", "tremor", "gait", "falls")
    }
    assert hidden == {"total": ["gait", "total", "tremor"], "tremor": ["total", "tremor"], "gait": ["gait", "total"],
                      "falls": ["falls"]}  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"supervised_by": []}, "needs supervised_by"),
        ({"supervised_by": ["time"]}, "'time' is of type survival, which has no likelihood there"),
        ({"supervised_by": ["falls"], "n_latent": 9}, "n_latent follows from n_shared and n_private"),
        ({"supervised_by": ["falls"], "cross_fit": 1}, "cross_fit is 1, so no participants are left"),
    ],
)
def test_impossible_entries_are_refused_before_the_first_job(keys: dict[str, Any], message: str) -> None:
    assert any(message in line for line in supervised.problems(configured(**keys)))
