"""LatentModel: scikit-learn's checks, the rules' own numbers, tables of brains, and what it refuses."""

import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tiny
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurovae import latents
from neurovae.errors import InputError
from neurovae.estimator.model import LatentModel
from neurovae.preprocess import grid
from neurovae.train import fit

CUT = "scikit-learn's blobs lie apart: the graph of neighbours is in pieces, which Isomap and LLE refuse"
EXPECTED = dict.fromkeys(
    ["check_positive_only_tag_during_fit", "check_pipeline_consistency", "check_estimators_pickle",
     "check_transformer_data_not_an_array", "check_transformer_general", "check_transformer_preserve_dtypes"], CUT
)  # fmt: skip
SKIPPED = {"check_array_api_input": "SCIPY_ARRAY_API is not set"}
NETWORK = ["check_n_features_in_after_fitting", "check_dict_unchanged", "check_methods_subset_invariance"]
SMALL = {"base_channels": 1, "epochs": 1}


@parametrize_with_checks([LatentModel("pca", n_latent=1)], expected_failed_checks=lambda estimator: SKIPPED)
def test_pca_passes_scikit_learns_checks(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [LatentModel("lle", n_latent=1, options={"neighbours": 5})], expected_failed_checks=lambda e: EXPECTED | SKIPPED
)
def test_lle_passes_those_that_apply(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", NETWORK)  # of the 47, all of which pass; together they take a minute
def test_a_vae_passes_scikit_learns_checks(name):
    getattr(estimator_checks, name)("LatentModel", LatentModel("vae", n_latent=1, options=SMALL))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of a tiny VAE as the rules train and latents write them."""
    folder = tmp_path_factory.mktemp("trained")
    files = tiny.packed(folder)
    run = {"fold": 0, "seed": 3, "device": "cpu", "kind": "vae", "options": tiny.SETTINGS}
    fit.run(**files, out=folder / "w.safetensors", history=folder / "h.parquet", **run)
    shared = {key: files[key] for key in ("volumes", "rows", "mask")}
    latents.run(
        **shared, model=folder / "w.safetensors", name="vae", out=folder / "l.parquet", index=folder / "i.parquet"
    )
    return files | {"training": folder / "w.safetensors", "latents": folder / "l.parquet"}


def told(path: Path) -> np.ndarray:
    return pd.read_parquet(path).filter(like="mu_").to_numpy()


def test_a_stored_model_gives_the_latents_of_the_rule(trained):
    model = LatentModel.load(trained["training"], trained["mask"])
    volumes = np.load(trained["volumes"])
    np.testing.assert_array_equal(model.transform(volumes), told(trained["latents"]))
    np.testing.assert_array_equal(model.transform(volumes[:, tiny.MASK]), told(trained["latents"]))
    assert model.inverse_transform(told(trained["latents"])).shape == volumes.shape


def test_fitting_is_that_of_the_rule_to_the_bit(trained):
    options = {key: value for key, value in tiny.SETTINGS.items() if key != "n_latent"}
    model = LatentModel("vae", n_latent=3, options=options, mask=trained["mask"], random_state=3)
    model.fit(np.load(trained["volumes"]), split=tiny.roles(24))
    np.testing.assert_array_equal(model.transform(np.load(trained["volumes"])), told(trained["latents"]))
    assert not hasattr(clone(model), "model_")


def test_pca_is_the_singular_value_decomposition_of_the_rows_fitted_on():
    x = np.random.default_rng(0).normal(size=(40, 12)) * np.linspace(3, 1, 12)
    model = LatentModel("pca", n_latent=3).fit(x)
    own = x[model.split_ == "training"]
    assert (model.split_ == "validation").sum() == 5
    centred = own - own.mean(axis=0)
    components = np.linalg.svd(centred)[2][:3]
    mu = model.transform(x)
    np.testing.assert_allclose(np.abs(mu), np.abs((x - own.mean(axis=0)) @ components.T), atol=1e-4)
    np.testing.assert_allclose(
        model.inverse_transform(mu), own.mean(axis=0) + (x - own.mean(axis=0)) @ components.T @ components, atol=1e-4
    )


def test_people_are_not_split_and_a_pipeline_predicts():
    rng = np.random.default_rng(1)
    score = rng.normal(size=60)
    x = np.outer(score, np.linspace(1, 2, 8)) + 0.1 * rng.normal(size=(60, 8))
    people = np.repeat(np.arange(20), 3)
    model = LatentModel("pca", n_latent=2).fit(x, groups=people)
    assert all(len(set(model.split_[people == person])) == 1 for person in range(20))
    chain = make_pipeline(LatentModel("pca", n_latent=2), LinearRegression())
    assert np.corrcoef(cross_val_predict(chain, x, score), score)[0, 1] > 0.95
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(x), model.transform(x))


def test_a_network_takes_features_and_volumes_of_any_size():
    rng = np.random.default_rng(2)
    volumes = rng.normal(size=(12, 9, 10, 5))
    model = LatentModel("vae", n_latent=2, options=SMALL).fit(volumes)
    back = model.inverse_transform(model.transform(volumes))
    assert back.shape == volumes.shape and model.model_.meta["architecture"]["shape"] == [16, 16, 8]
    seen, mean = volumes[model.split_ == "training"], volumes[model.split_ == "training"].mean(axis=0)
    shown = back[model.split_ == "training"]
    assert np.square(seen - shown).sum() < np.square(seen - mean).sum()  # voxels lie where they were
    flat = LatentModel("vae", n_latent=2, options=SMALL).fit(volumes.reshape(12, -1))
    assert flat.inverse_transform(np.zeros((1, 2))).shape == (1, 450)


def test_a_table_of_brains_is_read_as_pack_reads_it(tmp_path):
    shape, affine = grid.box(8)
    rng = np.random.default_rng(3)
    brains = np.where(grid.brain_mask(8), rng.normal(size=(12, *shape)), 0).astype(np.float32)
    paths = [tmp_path / f"sub-{i:02d}_desc-preproc_T1w.nii.gz" for i in range(12)]
    for path, brain in zip(paths, brains, strict=True):
        nib.save(nib.Nifti1Image(brain, affine), path)
    table = pd.DataFrame(
        {"path": paths, "person": [f"p{i // 2}" for i in range(12)]}, index=[f"s{i}" for i in range(12)]
    )
    model = LatentModel("pca", n_latent=2).fit(table)
    told = model.transform(table.iloc[::-1])
    assert list(told.index) == list(table.index[::-1]) and list(told) == ["mu_000", "mu_001"]
    np.testing.assert_array_equal(told.iloc[::-1].to_numpy(), model.transform(brains.astype(np.float16)))
    assert model.model_.meta["options"] == {
        "n_latent": 2,
        "flip": True,
        "blur": 4,
        "rotate": "none",
    }  # brains in space: as in the config
    assert all(len(set(model.split_[i : i + 2])) == 1 for i in range(0, 12, 2))
    nib.save(nib.Nifti1Image(brains[0], affine + np.eye(4)), paths[0])
    with pytest.raises(InputError, match="affine is not the model's"):
        model.transform(table)
    with pytest.raises(InputError, match="no such file"):
        model.transform(table.assign(path="nowhere.nii.gz"))


@pytest.mark.parametrize(
    ("model", "values", "said"),
    [
        (LatentModel("pca", n_latent=2, options={"base_channels": 3}), np.ones((9, 4)), "a pca has no 'base_channels'"),
        (LatentModel("pca", n_latent=2, options={"flip": True}), np.ones((9, 4)), "not symmetric"),
        (
            LatentModel("vae", n_latent=2, validation_fraction=0.0),
            np.ones((9, 4)),
            "a vae needs training and validation",
        ),
        (LatentModel("pca", n_latent=9), np.random.default_rng(0).normal(size=(9, 20)), "lower n_latent"),
        (LatentModel("pca", mask=np.ones((3, 3, 3), bool)), np.ones((9, 4)), "the mask 27 voxels"),
        (LatentModel("pca"), np.full((9, 2, 2, 2), np.nan), "NaN"),
    ],
)
def test_what_cannot_be_is_refused(model, values, said):
    with pytest.raises(InputError, match=said):
        model.fit(values)
