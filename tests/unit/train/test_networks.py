"""Functional networks: planted ones come back, closed forms of the linear ones, held-out variance explained, the chain."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from scipy.optimize import linear_sum_assignment

from neurovae import latents
from neurovae.errors import InputError
from neurovae.plan import kinds
from neurovae.train import fit, inputs
from neurovae.train.health import health
from neurovae.train.models import networks

PARCELS, PLANTED, VOLUMES = 80, 3, 120
MASK = np.zeros((0, 0, 0), bool)


def maps() -> np.ndarray:
    """Planted maps (networks, parcels): eight parcels each, without overlap; the others belong to none."""
    return np.hstack([np.kron(np.eye(PLANTED), np.ones(8)), np.zeros((PLANTED, PARCELS - 8 * PLANTED))])


def series(n: int, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Runs (volumes, parcels) and their true courses (volumes, networks), of unequal variance."""
    rng = np.random.default_rng(seed)
    true = [rng.laplace(size=(VOLUMES, PLANTED)) * [1.5, 1.2, 1.0] for _ in range(n)]
    return [z @ maps() + rng.normal(size=(VOLUMES, PARCELS)) for z in true], true


class Runs(list):
    """A list that is indexed like an array."""

    def __getitem__(self, part: Any) -> Any:
        return [list.__getitem__(self, k) for k in np.arange(len(self))[part]]


def fitted(
    method: str, n_latent: int = PLANTED, n: int = 20, rotate: str = "none"
) -> tuple[Any, Any, Runs, list[np.ndarray]]:
    runs, true = series(n)
    split = np.array(["training"] * (n - 8) + ["validation"] * 4 + ["test"] * 4)
    tensors, architecture, _ = networks.fit(
        Runs(runs), split, MASK, seed=0, device="cpu", names=[f"p{k}" for k in range(PARCELS)], volumes=np.empty(0),
        rows=np.arange(n), people=np.arange(n), n_latent=n_latent, method=method,
        rotate=rotate,
    )  # fmt: skip
    return tensors, architecture, Runs(runs), true


def explained(tensors: Any, architecture: Any, runs: list[np.ndarray]) -> float:
    error = sum(np.square(run - networks.reconstructed(run, tensors, architecture)).sum() for run in runs)
    return 1 - error / sum(np.square(run - tensors["mean"]).sum() for run in runs)


def test_pca_equals_that_of_all_training_volumes():
    tensors, architecture, runs, _ = fitted("pca")
    x = np.concatenate(runs[:12])
    values, axes = np.linalg.eigh(np.cov(x.T, ddof=0))
    np.testing.assert_allclose(tensors["variances"], values[::-1], rtol=1e-8)
    projected = (x - x.mean(axis=0)) @ axes[:, ::-1][:, :PLANTED]
    mine = np.concatenate([networks.courses(run, tensors, architecture) for run in runs[:12]])
    np.testing.assert_allclose(np.abs(mine), np.abs(projected), atol=1e-4)
    share = values[::-1][:PLANTED].sum() / values.sum()
    assert explained(tensors, architecture, runs[:12]) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("method", ["vae", "ica"])
def test_planted_networks_come_back(method):
    tensors, architecture, runs, true = fitted(method)
    found = networks.maps(tensors, architecture, runs[:12])
    r = np.abs(np.corrcoef(found, maps())[:PLANTED, PLANTED:])
    if method == "ica":  # spatially independent: one by one
        assert r[linear_sum_assignment(-r)].mean() > 0.95
    courses = np.concatenate([networks.courses(run, tensors, architecture) for run in runs[16:]])
    truth = np.concatenate(true[16:])
    residual = truth - courses @ np.linalg.lstsq(courses, truth, rcond=None)[0]
    assert 1 - residual.var() / truth.var() > 0.85  # the space of the courses, in people who were not fitted


@pytest.mark.parametrize("method", ["vae", "pca"])
def test_varimax_finds_planted_networks_one_by_one_and_explains_as_much(method):
    plain, turned = fitted(method), fitted(method, rotate="varimax")
    found = networks.maps(*turned[:2], turned[2][:12])
    r = np.abs(np.corrcoef(found, maps())[:PLANTED, PLANTED:])
    assert r[linear_sum_assignment(-r)].mean() > 0.95
    assert explained(*turned[:2], turned[2][16:]) == pytest.approx(explained(*plain[:2], plain[2][16:]), abs=1e-6)


def test_vae_explains_held_out_volumes_about_as_well_as_pca():
    of_vae, of_pca = (explained(*fitted(method)[:2], fitted(method)[2][16:]) for method in ("vae", "pca"))
    assert of_pca > 0.3 and of_pca - 0.02 < of_vae < of_pca + 0.02  # the truth is linear


def test_ica_explains_what_pca_does():
    assert explained(*fitted("ica")[:2], fitted("ica")[2]) == pytest.approx(
        explained(*fitted("pca")[:2], fitted("pca")[2]), abs=1e-6
    )


def test_same_seed_gives_the_same_bits():
    one, other = fitted("vae")[0], fitted("vae")[0]
    assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_features_are_spread_amplitude_and_correlation():
    rng = np.random.default_rng(0)
    z, own = rng.normal(size=(200, 3)) * [1, 2, 3], rng.normal(size=(3, 40))
    found = networks.features(5 + z @ own, z)
    np.testing.assert_allclose(found[:3], z.std(axis=0, ddof=1))
    np.testing.assert_allclose(found[3:6], z.std(axis=0, ddof=1) * np.sqrt(np.square(own).mean(axis=1)))
    np.testing.assert_allclose(np.tanh(found[6:]), np.corrcoef(z.T)[np.tril_indices(3, -1)])
    each = [f"{name}_0{k}" for name in ("sd", "amplitude") for k in range(3)]
    assert networks.ids(3) == [*each, "r_01_00", "r_02_00", "r_02_01"]


def test_more_networks_than_parcels_are_refused():
    with pytest.raises(InputError, match="80 networks, but the series have 80 parcels"):
        fitted("pca", n_latent=80)


@pytest.mark.parametrize("method", ["vae", "pca", "ica"])
def test_chain_from_series_to_latents(tmp_path: Path, method: str):
    files = tiny.packed(tmp_path / "packed")
    scans, folder = pd.read_parquet(files["rows"]), tmp_path / "rest"
    folder.mkdir()
    runs = series(len(scans))[0]
    np.save(folder / "series.npy", np.concatenate(runs).astype(np.float32))
    pd.DataFrame({"scan": scans["scan"], "start": np.arange(len(scans)) * VOLUMES, "n_time": VOLUMES}).to_parquet(
        folder / "series.parquet"
    )
    pd.DataFrame({"parcel": [f"p{k}" for k in range(PARCELS)], "kept": True}).to_parquet(folder / "parcels.parquet")
    table = str(folder / "series.npy")
    np.testing.assert_allclose(inputs.read(files["volumes"], files["rows"], table).array[2:4][1], runs[3], rtol=1e-6)
    model, history = tmp_path / "w.safetensors", tmp_path / "h.parquet"
    fit.run(**files, out=model, history=history, kind="networks", fold=0, seed=0, device="cpu",
            options={"n_latent": 4, "method": method, "rotate": "none"}, table=table)  # fmt: skip
    del files["folds"]
    out, index = tmp_path / "l.parquet", tmp_path / "i.parquet"
    latents.run(**files, model=model, name="nets", out=out, index=index, table=table)
    health.run(**files, model=model, history=history, out=tmp_path / "h.json", seed=0, table=table)
    judged, found = json.loads((tmp_path / "h.json").read_text()), pd.read_parquet(out)
    low, value, high = (judged[f"variance_explained_test{end}"] for end in ("_low", "", "_high"))
    assert 0.3 < low < value < high < 0.7
    assert set(found["inputs"]) == {"rest"} and set(pd.read_parquet(index)["role"]) == {"network"}
    assert [name for name in found.columns if name.startswith("mu_")][:5] == [
        "mu_sd_00",
        "mu_sd_01",
        "mu_sd_02",
        "mu_sd_03",
        "mu_amplitude_00",
    ]


def test_of_networks_each_sd_amplitude_and_correlation_is_tested() -> None:
    assert kinds.tested({"kind": "networks", "n_latent": 10}, 1) == 10 + 10 + 45
    assert (
        kinds.tested({"kind": "table", "n_latent": None}, 7) == 7
        and kinds.tested({"kind": "pca", "n_latent": 3}, 1) == 3
    )
