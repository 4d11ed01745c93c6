"""Similarity of spaces against closed forms, and seeds of one model that are known to agree or not."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.linalg import orthogonal_procrustes

from neurovae.audit import stability
from neurovae.audit.similarity import CHANCE, MATCH, by_chance, cka, correlations, hsic, match, min_people, procrustes
from neurovae.errors import InputError
from neurovae.train import weights

pytestmark = pytest.mark.filterwarnings("error")
PEOPLE, LATENTS, SHAPE = 40, 6, (4, 5, 6)
OUT = ("out", "matches", "replicated")


def rotation(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def biased_cka(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return float(np.linalg.norm(a.T @ b) ** 2 / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b))


def test_hsic_equals_its_sum_over_distinct_people():
    rng = np.random.default_rng(0)
    k, m = (x @ x.T for x in rng.normal(size=(2, 7, 3)))
    people = range(7)
    pairs = [(i, j) for i in people for j in people if i != j]
    first = np.mean([k[i, j] * m[i, j] for i, j in pairs])
    second = np.mean([k[i, j] * m[p, q] for i, j in pairs for p, q in pairs if not {i, j} & {p, q}])
    third = np.mean([k[i, j] * m[i, q] for i, j in pairs for q in people if q not in (i, j)])
    np.testing.assert_allclose(hsic(k, m), first + second - 2 * third, rtol=1e-10)  # Song 2012, eq. 4


def test_debiased_cka_of_noise_is_none_where_the_plain_one_is_large():
    rng = np.random.default_rng(1)
    pairs = [rng.normal(size=(2, 24, 48)) for _ in range(200)]
    found = np.array([cka(a, b) for a, b in pairs])
    assert np.mean([biased_cka(a, b) for a, b in pairs]) > 0.6
    assert abs(found.mean()) < 3.3 * found.std(ddof=1) / np.sqrt(len(found))


def test_cka_and_procrustes_ignore_rotation_scale_and_shift():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(30, 5)) * [3, 2, 1, 1, 0.5]
    b = rng.normal(size=(30, 8)) + np.hstack([a, np.zeros((30, 3))])
    moved = 2.5 * a @ rotation(5, rng) + rng.normal(size=5)
    for measure in (cka, procrustes):
        np.testing.assert_allclose(measure(a, moved), 1, atol=1e-10)
        np.testing.assert_allclose(measure(a, b), measure(moved, -4 * b @ rotation(8, rng)), rtol=1e-9)
        assert measure(a, b) < 0.9


def test_procrustes_is_the_share_that_the_best_rotation_reproduces():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 25, 4))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    turn, scale = orthogonal_procrustes(b, a)
    left = np.sum((a - b @ turn * scale / np.sum(b**2)) ** 2)
    np.testing.assert_allclose(procrustes(a, b), 1 - left / np.sum(a**2), rtol=1e-10)
    one, two = np.eye(3)[:, :1] - 1 / 3, np.eye(3)[:, 1:2] - 1 / 3  # |cos| of the two is 1/2
    np.testing.assert_allclose(procrustes(one, two), 0.25, rtol=1e-12)


def test_procrustes_of_noise_is_large_where_latents_outnumber_people_and_chance_says_so():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 24, 48))
    share, matched = by_chance(a, b, 50, seed=0)
    assert share > 0.6 and abs(procrustes(a, b) - share) < 0.05 and matched < 2


def test_matching_recovers_a_permutation_with_flipped_signs():
    rng = np.random.default_rng(5)
    a = rng.normal(size=(50, 10))
    order, signs = rng.permutation(10), rng.choice([-1, 1], 10)
    b = (a * signs)[:, order] + 0.3 * rng.normal(size=(50, 10))
    b[:, 4] = rng.normal(size=50)
    b[:, 7] = 1.0
    found = match(correlations(a, b))
    expected = np.argsort(order)
    expected[np.isin(expected, (4, 7))] = -1
    np.testing.assert_array_equal(found, expected)


def test_a_pair_that_counts_is_kept_before_a_larger_sum():
    r = np.array([[0.75, 0.69], [0.69, 0.0]])  # .69 + .69 > .75, and neither counts
    np.testing.assert_array_equal(match(r), [0, -1])


@pytest.mark.parametrize("latents", [4, 16])
def test_from_the_fewest_people_on_noise_rarely_seems_to_have_a_counterpart(latents: int):
    rng = np.random.default_rng(7)
    shares = []
    for n in (min_people(latents) - 1, min_people(latents)):
        r = [correlations(rng.normal(size=(n, 200)), rng.normal(size=(n, latents))) for _ in range(100)]
        shares.append((np.abs(np.concatenate(r)) >= MATCH).any(axis=1).mean())
    assert shares[0] > CHANCE > shares[1]


def fit(
    folder: Path, z: np.ndarray, tensors: dict[str, np.ndarray], seed: int, way: np.ndarray, verdict: str = "healthy"
) -> dict[str, Path]:
    """Files of one seed: a PCA whose score follows `way` (latents, raw units), with q .001 where it does not vanish."""
    folder.mkdir()
    names = [f"mu_{k:03d}" for k in range(z.shape[1])]
    keys = {"model": "pca", "fold": 0, "seed": seed}
    people = [f"sub-{k:03d}" for k in range(len(z))]
    latents = pd.DataFrame({"scan": people, "person": people, **keys, "split": ["training", "test"] * (len(z) // 2)})
    pd.concat([latents, pd.DataFrame(z, columns=names)], axis=1).to_parquet(folder / "latents.parquet")
    meta = {"kind": "pca", "architecture": {"latent": len(names)}}
    weights.save(folder / "weights.safetensors", {k: v.astype(np.float32) for k, v in tensors.items()}, meta)
    same = {"score": "motor", **keys, "status": "ok", "reason": "", "verdict": verdict}
    q = np.where(np.abs(way) > 0.1, 0.001, 0.5)
    pd.DataFrame({"latent": names, "effect": way, "q": q, **same}).to_parquet(folder / "glm.parquet")
    weight, pattern = way * z.std(axis=0, ddof=1), way / z.std(axis=0, ddof=1)
    pd.DataFrame({"latent": names, "weight": weight, "pattern": pattern, **same}).to_parquet(
        folder / "directions.parquet"
    )
    pd.DataFrame([{**same, "p": 0.01 * (seed + 1)}]).to_parquet(folder / "omnibus.parquet")
    return {name: folder / f"{name}.parquet" for name in ("latents", "glm", "omnibus", "directions")} | {
        "weights": folder / "weights.safetensors"
    }


def seeds(folder: Path) -> list[dict[str, Path]]:
    """Three seeds: the second permutes and flips the first's latents, the third is another space."""
    rng = np.random.default_rng(6)
    mask = np.zeros(SHAPE, bool)
    mask[1:3, 1:4, 1:5] = True
    nib.Nifti1Image(mask.astype(np.uint8), np.eye(4)).to_filename(folder / "mask.nii.gz")
    parts = np.linalg.qr(rng.normal(size=(mask.sum(), LATENTS)))[0].T
    z, mean = rng.normal(size=(PEOPLE, LATENTS)) * [4, 3, 2, 2, 1, 1], rng.normal(size=mask.sum())
    way = np.array([1.0, -0.5, 0, 0, 0, 0.3])
    order, signs = np.array([2, 0, 1, 5, 3, 4]), np.array([1, -1, 1, 1, -1, -1])
    pca = {"mean": mean, "components": parts}
    again = {"mean": mean, "components": (parts * signs[:, None])[order]}
    other = rng.normal(size=(PEOPLE, LATENTS))
    return [
        fit(folder / "0", z, pca, 0, way),
        fit(folder / "1", (z * signs)[:, order], again, 1, (way * signs)[order]),
        fit(folder / "2", other, pca | {"components": parts[::-1]}, 2, way),
    ]


def compared(folder: Path, fits: list[dict[str, Path]]) -> tuple[pd.DataFrame, ...]:
    files: dict[str, Any] = {name: [one[name] for one in fits] for name in fits[0]}
    paths = {name: folder / f"{name}.parquet" for name in OUT}
    stability.run(**files, mask=folder / "mask.nii.gz", **paths)
    return tuple(pd.read_parquet(paths[name]) for name in OUT)


def test_seeds_that_differ_by_order_and_sign_agree_and_another_space_does_not(tmp_path: Path):
    pairs, matches, replicated = compared(tmp_path, seeds(tmp_path))
    assert len(pairs) == 6 and set(pairs["status"]) == {"ok"} and set(pairs["n"]) == {PEOPLE // 2}
    space = pairs[pairs["kind"] == "space"].set_index(["seed", "other_seed"])
    same, strange = space.loc[(0, 1)], space.loc[(0, 2)]
    np.testing.assert_allclose([same["cka"], same["procrustes_r2"]], 1, atol=1e-9)
    assert same["matched"] == LATENTS and strange["matched"] == 0 and abs(strange["cka"]) < 0.4
    way = pairs[pairs["kind"] == "direction"].set_index(["seed", "other_seed"])
    np.testing.assert_allclose(way.loc[(0, 1), ["r_people", "r_map"]].astype(float), 1, atol=1e-5)
    assert abs(way.loc[(0, 2), "r_people"]) < 0.6 and way.loc[(0, 2), "r_map"] < 0.9
    assert way.loc[(0, 2), ["p", "p_other"]].tolist() == [0.01, 0.03]
    first = matches[(matches["seed"] == 0) & (matches["other_seed"] == 1)].set_index("latent")
    assert first.loc["mu_000", "counterpart"] == "mu_001" and first.loc["mu_002", "counterpart"] == "mu_000"
    np.testing.assert_allclose(first["r"], [1, -1, 1, 1, -1, -1], atol=1e-9)
    assert set(matches.loc[matches["other_seed"] == 2, "status"]) == {"no counterpart"}
    found = replicated[replicated["seed"] == 0].set_index("latent")["replicated"]
    assert found.tolist() == ["1 of 2", "1 of 2", "0 of 2", "0 of 2", "0 of 2", "1 of 2"]
    assert set(replicated.loc[replicated["seed"] == 2, "replicated"]) == {"no counterpart"}


def test_a_sign_that_turns_is_no_replication(tmp_path: Path):
    fits = seeds(tmp_path)
    turned = pd.read_parquet(fits[1]["glm"])
    turned["effect"] *= -1
    turned.to_parquet(fits[1]["glm"])
    replicated = compared(tmp_path, fits[:2])[2]
    assert set(replicated["replicated"]) == {"0 of 1"}


def test_seeds_with_the_same_latents_are_no_replication(tmp_path: Path):
    fits = seeds(tmp_path)
    one = pd.read_parquet(fits[0]["latents"])
    one.assign(seed=1).to_parquet(fits[1]["latents"])
    fits[1] |= {name: fits[0][name] for name in ("weights", "glm", "directions", "omnibus")}
    pairs, _, replicated = compared(tmp_path, fits[:2])
    assert set(pairs["status"]) == {"same latents"} and set(replicated["replicated"]) == {"same latents"}
    np.testing.assert_allclose(pairs["cka"].dropna().astype(float), 1, atol=1e-9)
    pairs, _, replicated = compared(tmp_path, fits)
    assert set(replicated["replicated"]) == {"no counterpart"}
    assert set(replicated["seeds"]) == {1}


def test_seeds_with_the_same_latents_count_once(tmp_path: Path):
    fits = seeds(tmp_path)
    pd.read_parquet(fits[1]["latents"]).assign(seed=2).to_parquet(fits[2]["latents"])
    fits[2] |= {name: fits[1][name] for name in ("weights", "glm", "directions", "omnibus")}
    _, matches, replicated = compared(tmp_path, fits)
    first = replicated[replicated["seed"] == 0]
    assert first["replicated"].tolist() == ["1 of 1", "1 of 1", "0 of 1", "0 of 1", "0 of 1", "1 of 1"]
    assert set(replicated["seeds"]) == {1}
    same = matches["seed"].isin([1, 2]) & matches["other_seed"].isin([1, 2])
    assert set(matches.loc[same, "status"]) == {"same latents"} and set(matches.loc[~same, "status"]) == {"ok"}


def test_with_too_few_held_out_people_no_latent_has_a_counterpart(tmp_path: Path):
    fits = seeds(tmp_path)
    for left, text in ((min_people(LATENTS), "1 of 1"), (min_people(LATENTS) - 1, "too few people")):
        for one in fits[:2]:
            table = pd.read_parquet(one["latents"])
            table["split"] = np.where(np.arange(PEOPLE) < left, "test", "training")
            table.to_parquet(one["latents"])
        pairs, matches, replicated = compared(tmp_path, fits[:2])
        assert replicated["replicated"].iloc[0] == text and pairs["n"].iloc[0] == left
    assert set(matches["status"]) == set(replicated["replicated"]) == {"too few people"}
    assert matches["counterpart"].isna().all() and pairs["matched"].isna().all()
    assert "12 held-out people; with fewer than 13" in matches["reason"][0]
    pd.read_parquet(fits[0]["latents"]).assign(seed=1).to_parquet(fits[1]["latents"])
    pairs, matches, replicated = compared(tmp_path, fits[:2])
    assert set(pairs["status"]) == set(matches["status"]) == set(replicated["replicated"]) == {"same latents"}


def test_one_seed_and_stopped_seeds_say_so(tmp_path: Path):
    fits = seeds(tmp_path)
    pairs, matches, replicated = compared(tmp_path, fits[:1])
    assert pairs["status"].tolist() == matches["status"].tolist() == ["one seed"]
    assert "train.seeds" in pairs["reason"][0] and set(replicated["replicated"]) == {"one seed"}
    gone = pd.DataFrame([{"model": "pca", "status": "not tested", "reason": "no active unit", "verdict": "collapsed"}])
    gone.assign(score=None, latent=None, effect=np.nan, q=np.nan).to_parquet(fits[1]["glm"])
    pairs = compared(tmp_path, fits[:2])[0]
    assert pairs[["seed", "status"]].to_numpy().tolist() == [[0, "one seed"], [1, "not tested"]]
    pairs, *_ = compared(tmp_path, fits)
    assert len(pairs) == 3 and pairs["reason"].iloc[-1] == "no active unit"


def test_seeds_of_different_people_are_refused(tmp_path: Path):
    fits = seeds(tmp_path)
    table = pd.read_parquet(fits[1]["latents"])
    table.assign(split=table["split"].to_numpy()[::-1]).to_parquet(fits[1]["latents"])
    with pytest.raises(InputError, match="different test people"):
        compared(tmp_path, fits[:2])
    with pytest.raises(InputError, match="each seed once"):
        compared(tmp_path, [fits[0], fits[0]])
