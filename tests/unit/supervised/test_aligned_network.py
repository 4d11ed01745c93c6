"""Aligned networks: the term 1 - r, the start at the linear twin, a planted curve, and the checks against leaks."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_aligned as made
import supervised_run
import torch
from simulated_supervised import cases

from neurovae.errors import InputError
from neurovae.interpret.images import write_maps
from neurovae.plan import config, supervised
from neurovae.report.sections.supervised import of_networks, sentence
from neurovae.stats.aligned import out_of_fold, partial_r
from neurovae.stats.basis import residual
from neurovae.supervised import honest, inference
from neurovae.supervised.agreement import agreements
from neurovae.train import weights
from neurovae.train.losses.alignment import Target, correlation
from neurovae.train.losses.multiblock import gaussian
from neurovae.train.models import aligned, aligned_network, aligned_start


def example() -> tuple[torch.Tensor, Target, np.ndarray, np.ndarray]:
    """A latent, its target, score and design of 40 people, 5 of whom lack the score."""
    rng = np.random.default_rng(3)
    x, y = np.column_stack([np.ones(35), rng.normal(size=(35, 2))]), rng.normal(size=35)
    found = aligned_start.target(np.arange(5, 40), y, x, np.ones(40, bool))
    z = torch.from_numpy(rng.normal(size=40)).requires_grad_()
    return z, Target(torch.from_numpy(found[:, 0]), torch.from_numpy(found[:, 1:])), y, x


def test_r_is_the_partial_correlation_and_its_gradient_the_closed_form() -> None:
    z, target, y, x = example()
    r = correlation(z, target)
    own = z.detach().numpy()[5:]
    assert r.item() == pytest.approx(float(partial_r(own[None], y[None], x)[0]), abs=1e-12)
    r.backward()  # type: ignore[no-untyped-call]
    rest, e = residual(own, x), residual(y, x)
    size, e = np.linalg.norm(rest), e / np.linalg.norm(e)
    assert z.grad is not None
    np.testing.assert_allclose(z.grad.numpy()[5:], (e - r.item() * rest / size) / size, atol=1e-12)
    assert not z.grad.numpy()[:5].any()  # who lacks the score has no part in it
    assert torch.autograd.gradcheck(lambda one: correlation(one, target), (z,))


def test_validation_people_are_adjusted_with_the_coefficients_of_the_training_people() -> None:
    rng = np.random.default_rng(4)
    x = np.column_stack([np.ones(60), rng.normal(size=60)])
    y, z, own = rng.normal(size=60), rng.normal(size=60), np.arange(60) < 45
    found = aligned_start.target(np.arange(60), y, x, own)
    of = [Target(torch.from_numpy(found[rows, 0]), torch.from_numpy(found[rows, 1:])) for rows in (own, ~own)]
    parts = [torch.from_numpy(z[rows]) for rows in (own, ~own)]
    rest = [one - x @ np.linalg.lstsq(x[own], one[own], rcond=None)[0] for one in (z, y)]
    expected = np.corrcoef(rest[0][~own], rest[1][~own])[0, 1]
    assert float(correlation(parts[1], of[1], (parts[0], of[0]))) == pytest.approx(expected, abs=1e-12)


def test_it_starts_at_the_linear_twin_to_the_bit_and_at_components_of_the_rest() -> None:
    table, x = made.people(80, 11, effect=0.3)
    one = made.given(table, x, 0)
    line = made.fitted({**one}, network="none")
    assert line[1] == {**line[1], "latents": ["score"], "n_latent": 1} and "network" not in line[1]
    tensors, architecture, history = made.fitted(one, epochs=0)
    mu, logvar = aligned.embed(one["volumes"], made.MASK, tensors, architecture)
    twin = aligned.embed(one["volumes"], made.MASK, line[0], line[1])[0]
    assert np.array_equal(mu[:, :1], twin) and np.isfinite(logvar).all() and {row["epoch"] for row in history} == {0}
    own = one["split"] == "training"
    shown = aligned.reconstruct(mu, made.MASK, tensors, architecture)
    error, total = (np.square(x[own] - other).sum() for other in (shown[own], x[own].mean(axis=0)))
    assert 1 - error / total > 0.5


def test_free_latents_start_at_components_of_what_the_codes_leave() -> None:
    table, x = made.people(80, 11, effect=0.3)
    one = made.given(table, x, 0)
    found = aligned_start.inputs(one["volumes"], one["split"], one["mask"], one["scores"], one["scans"], ["score"],
                                 "ridge", 50, 3, 0)  # fmt: skip
    start, size = aligned_start.start(found, 6), found.sizes[0]
    rows = found.values[found.split == "training"].astype(float)
    left = rows[:, :size] - rows[:, size : size + 1] @ start.outward[:1]
    left -= left.mean(axis=0)
    z = left @ start.inward.T
    covariance = z.T @ z / len(z)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-6)
    np.testing.assert_allclose(np.diag(covariance) + np.exp(start.logvar[1:]), 1, rtol=1e-6)  # the prior's variance
    values = np.linalg.eigvalsh(left.T @ left / len(left))[::-1]
    assert start.noise == pytest.approx(values[5:].sum() / (size - 5), rel=1e-6)


def test_the_likelihood_of_components_is_that_of_voxels_up_to_what_the_model_does_not_change() -> None:
    rng = np.random.default_rng(5)
    basis = np.linalg.qr(rng.normal(size=(30, 6)))[0].T
    x, decoded, log_sigma = rng.normal(size=(4, 30)), rng.normal(size=(2, 4, 6)), torch.tensor(0.3)
    on = torch.from_numpy(x @ basis.T)
    voxels = [gaussian(torch.from_numpy(x), torch.from_numpy(one @ basis), log_sigma) for one in decoded]
    components = [gaussian(on, torch.from_numpy(one), log_sigma) for one in decoded]
    np.testing.assert_allclose(voxels[0] - voxels[1], components[0] - components[1], rtol=1e-10)


def test_codes_of_a_group_do_not_depend_on_its_scores() -> None:
    """Those of validation people depend on no validation score, those of training people on none of their group."""
    table, x = made.people(70, 12, effect=0.3)
    one = made.given(table, x, 0)
    args = (one["volumes"], one["split"], one["mask"])
    settings = (one["scans"], ["score"], "ridge", 50, 3, 0)
    before = aligned_start.inputs(*args, one["scores"], *settings)  # type: ignore[arg-type]
    own = np.flatnonzero(one["split"] != "test")
    group = aligned_start.groups(one["scans"]["person"].to_numpy()[own], one["split"][own] == "training", 3, 0)
    assert set(group) == {-1, 0, 1, 2}
    for number in (-1, 0):
        changed = one["scores"].table.copy()
        changed.loc[group == number, "score"] = np.random.default_rng(1).normal(size=int((group == number).sum()))
        after = aligned_start.inputs(*args, one["scores"]._replace(table=changed), *settings)  # type: ignore[arg-type]
        codes = [(one.values[:, one.sizes[0]] * one.units[0])[group == number] for one in (before, after)]
        np.testing.assert_allclose(codes[0], codes[1], rtol=1e-4, atol=1e-6)


def test_a_planted_square_is_found_by_the_network_and_not_by_its_twin() -> None:
    """40 % of the variance of the score, 300 people; more cohorts, and how much is found, are in the proof."""
    table, x = made.squared(300, 21, 0.4)
    data = cases(table, x)
    z, _ = made.out_of_fold(table, x)
    twin = out_of_fold(data.gram, data.parts, data.y[None], "ridge")[0]
    row = inference.gain(data, z, twin, 200, 0)
    r = [float(partial_r(one[None], data.y[None], inference.given(data))[0]) for one in (z, twin)]
    print(r, row)
    assert r[0] > 0.2 > r[1] and row["gain_low"] > 0


def test_the_same_seed_gives_the_same_bits() -> None:
    table, x = made.squared(120, 300, 0.4)
    one = made.given(table, x, 0)
    first, again, other = (made.fitted(one, epochs=60, seed=seed)[0] for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    last = "network.encoder.layers.4.weight"
    assert first[last].any() and not np.array_equal(first[last], other[last])


def test_too_few_people_and_too_many_latents_are_refused() -> None:
    table, x = made.people(30, 13)
    one = made.given(table, x, 0)
    with pytest.raises(InputError, match="give 1 to "):
        made.fitted(one, n_latent=100)
    one["split"][one["split"] == "validation"] = "test"
    with pytest.raises(InputError, match="0 validation scans; an aligned network needs"):
        made.fitted(one)


# The stage and its checks


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aligned")
    supervised_run.write(folder)
    for fold in (0, 1):
        supervised_run.fit_fold(folder, fold, options=supervised_run.NETWORK)
    supervised_run.results(folder)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def stamped(run: Path, fold: int, change: str) -> None:
    """Weights of a fold with one tensor, or one entry of the description, changed, and latents that carry their hash."""
    path = run / f"fold-{fold}" / "weights.safetensors"
    tensors, meta = weights.load(path)
    if change in tensors:
        tensors[change] = tensors[change] * 1.1 + 0.1
    else:
        meta[change] = "0" * 64
    weights.save(path, tensors, meta)
    table = pd.read_parquet(path.with_name("latents.parquet"))
    table.assign(model_hash=weights.model_hash(tensors, meta)).to_parquet(path.with_name("latents.parquet"))


def test_the_honest_run_holds_the_network_against_its_twin(finished: Path) -> None:
    row = pd.read_parquet(finished / "tests.parquet").iloc[0]
    assert (row["network"], row["n"], row["folds"], row["splits"]) == ("perceptron", 60, 2, 0)
    assert row["partial_r"] > 0.8 and row["twin_partial_r"] > 0.8 and row["twin_r2"] > 0.5 and row["p_folds"] < 0.01
    assert row["gain"] == pytest.approx(row["partial_r"] - row["twin_partial_r"], abs=1e-6)
    assert row["gain_low"] <= row["gain"] <= row["gain_high"]
    assert np.isnan(row["p_permutation"]) and row["permutations"] == 0 and "network_permutations" in row["reason"]
    index = pd.read_parquet(finished / "fold-0" / "latent_index.parquet")
    assert list(index["role"]) == ["aligned", *["free"] * 3] and list(index["comparable_across_folds"]) == [True, *[False] * 3]  # fmt: skip
    assert list(index["latent"]) == ["mu_score", *(f"mu_free_{k:02d}" for k in range(3))]
    table = pd.read_parquet(finished / "fold-0" / "latents.parquet")
    assert table["logvar_calibrated"].all() and (table.filter(like="kl_") >= 0).all(axis=None)


def test_refits_give_a_permutation_p_and_halves(run: Path) -> None:
    again = supervised_run.refitted(run, permutations=4, splits=2)
    row = supervised_run.results(run, str(again)).iloc[0]
    assert row["p_permutation"] == 1 / 5 and row["permutations"] == 4 and row["splits"] == 2 and row["p_splits"] < 0.05
    assert row["reason"] is None and "all folds refitted" in row["permutation"]


def test_nothing_of_the_test_people_enters_a_fit(run: Path) -> None:
    before, _ = weights.load(run / "fold-0" / "weights.safetensors")
    volumes, table = np.load(run / "v.npy"), pd.read_parquet(run / "cohort.parquet")
    volumes[(table["fold"] == 0).to_numpy()] = 7
    np.save(run / "v.npy", volumes)
    supervised_run.fit_fold(run, 0, options=supervised_run.NETWORK)
    after, _ = weights.load(run / "fold-0" / "weights.safetensors")
    assert before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("directions", "latents of the linear twin of score: a fit to the training people of each fold gives others"),
        ("network.encoder.layers.4.bias", "the weights give others for the same images"),
        ("scores_sha256", "weights of fold 0: trained with other scores"),
    ],
)
def test_what_is_not_an_honest_fit_is_refused(run: Path, change: str, message: str) -> None:
    stamped(run, 0, change)
    with pytest.raises(InputError, match=message):
        supervised_run.results(run)


def test_latents_that_follow_the_score_more_than_the_weights_say_are_refused(run: Path) -> None:
    score = pd.read_parquet(run / "cohort.parquet").set_index("scan")["score"]
    path = run / "fold-0" / "latents.parquet"
    table = pd.read_parquet(path)
    table.assign(mu_score=table["mu_score"] + 0.1 * score.loc[table["scan"]].to_numpy()).to_parquet(path)
    with pytest.raises(InputError, match="something else has entered the latents"):
        supervised_run.results(run)


# Configuration, maps and words


def configured(kind: str = "aligned", **keys: object) -> list[str]:
    models = [{"name": "pca", "kind": "pca"}, {"name": "axis", "kind": kind, **keys}]
    if kind == "aligned":
        models[1]["supervised_by"] = ["total"]  # type: ignore[assignment]
    cohort = {"name": "x", "bids": "b", "scores": [{"name": "total", "type": "continuous"}]}
    return supervised.problems(config.validate({"cohort": cohort, "train": {"models": models}}, config.load_schema()))


def test_each_network_has_its_keys() -> None:
    assert configured() == configured(network="perceptron", hidden_units=8) == []
    for keys, message in (
        ({"hidden_units": 8}, "aligned with network none has no 'hidden_units'"),
        ({"network": "local"}, "network of aligned is 'local'; give none or perceptron"),
        ({"kind": "vae", "network": "perceptron"}, "network of vae is 'perceptron'; give dense or local"),
    ):
        with pytest.raises(InputError, match=message):
            configured(**keys)  # type: ignore[arg-type]
    assert "each of the 1 scores has a latent" in configured(network="perceptron", n_latent=None)[0]
    assert "n_latent is the number of scores" in configured(n_latent=3)[0]


def test_agreement_is_a_correlation_over_voxels_or_missing_with_a_reason(finished: Path, tmp_path: Path) -> None:
    mask, voxels = finished / "m.nii.gz", int(supervised_run.MASK.sum())
    pattern = np.random.default_rng(0).normal(size=(2, voxels))
    write_maps(tmp_path / "p.nii.gz", pattern, mask)
    write_maps(tmp_path / "a_map.nii.gz", 2 * pattern[0] + 1, mask)
    write_maps(tmp_path / "a_t.nii.gz", pattern[1], mask)
    tests = pd.DataFrame({"score": ["a", "b"]})
    found = agreements(tests, tmp_path / "p.nii.gz", mask, str(tmp_path), "pca")
    assert found["agreement_map"][0] == pytest.approx(1, abs=1e-6) and found["agreement_reason"][0] is None
    assert found["agreement_t"][0] == pytest.approx(np.corrcoef(pattern)[0, 1], abs=1e-6)
    assert (
        found.loc[1, ["agreement_map", "agreement_t"]].isna().all() and "b_map.nii.gz" in found["agreement_reason"][1]
    )
    without = agreements(tests, tmp_path / "p.nii.gz", mask, "", "pca")
    assert "pca is not decoded to maps" in without["agreement_reason"][0]


def test_the_report_says_where_a_network_adds_nothing() -> None:
    row = {"score": "a", "model": "m", "p_permutation": np.nan, "partial_r": 0.5, "ci_low": 0.3, "ci_high": 0.6, "n": 9,
           "r2": 0.3, "r2_confounds": 0.1, "network": "perceptron", "twin_partial_r": 0.48, "gain": 0.02,
           "gain_low": -0.01, "gain_high": 0.05, "agreement_map": 0.7, "p_folds": 0.004}  # fmt: skip
    assert "p of the test folds combined" in sentence(row)
    assert "difference 0.020 [-0.010, 0.050]: the network adds nothing to its linear twin" in sentence(row)
    assert "the unsupervised score map r 0.70." in sentence(row)
    assert "the network adds to its linear twin." in sentence({**row, "gain_low": 0.01})
    assert "the network shows nothing." in sentence({**row, "gain_low": 0.01, "p_folds": 0.4})
    assert "twin" not in sentence({**row, "network": "none", "gain": np.nan})
    assert "For a it added nothing to its linear twin." in of_networks(pd.DataFrame([row]))
    assert of_networks(pd.DataFrame([{**row, "network": "none"}])) == ""


def test_weights_of_a_network_are_read_back() -> None:
    table, x = made.people(60, 14, effect=0.3)
    one = made.given(table, x, 0)
    tensors, architecture, _ = made.fitted(one, epochs=1)
    last = tensors["network.encoder.layers.4.weight"]
    tensors["network.encoder.layers.4.weight"] = np.random.default_rng(0).normal(size=last.shape).astype(np.float32)
    found = aligned.embed(one["volumes"], made.MASK, tensors, architecture)[0][:, :1]
    twin, again = honest.latents(one["volumes"], made.MASK, honest.Weights(tensors, architecture))
    assert np.abs(found - twin).max() > 0.01 * twin.std()
    np.testing.assert_allclose(again, found, atol=1e-4 * found.std())  # in numpy, by other code
    assert architecture["targets"] == ["score", *[None] * 7] and len(architecture["units"]) == 8
    model = aligned_network.network(tensors, architecture)
    assert not model.training and model.inward.shape == (7, architecture["sizes"][0])
