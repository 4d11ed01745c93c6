"""Score maps against closed forms, maxt, nilearn and planted effects on a linear decoder; seeds that agree or not."""

from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from nilearn.mass_univariate import permuted_ols
from simulated_tests import draw

from neurovae.design.design import design, join
from neurovae.errors import InputError
from neurovae.interpret import maps, scoremap, seeds, shift, spread, voxelwise
from neurovae.interpret.decoder import Decoder
from neurovae.interpret.images import read_maps
from neurovae.stats import exchangeability, families, maxt, rao

pytestmark = pytest.mark.filterwarnings("error")
KINDS = ("continuous", "count", "binary", "ordinal", "bounded", "gamma")
SHAPE = (4, 5, 6)
N = 60


def problem(kind: str, n: int = N, voxels: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    return draw(kind, 0.5 * x[:, 1], rng), x, rng.normal(size=(n, voxels)) + x[:, [1]]


def null(kind: str, y: np.ndarray, x: np.ndarray) -> rao.Null:
    return rao.null(kind, y, x, families.fit(kind, y, x, None))


# --- the shift of the latents ---


def test_the_slope_is_the_coefficient_of_the_score_beside_the_confounds():
    y, x, z = problem("continuous")
    expected = [sm.OLS(column, np.column_stack([x, y])).fit().params[-1] for column in z.T]
    np.testing.assert_allclose(shift.slope(z, x, y), expected, rtol=1e-10)


def test_a_planted_shift_comes_back_and_the_filter_would_not():
    rng = np.random.default_rng(1)
    y, noise = rng.normal(size=(2, 4000))
    z = np.column_stack([y + noise, noise])  # the best filter weighs the second by -1; the score does not move it
    moved = shift.slope(z, np.ones((4000, 1)), y)
    np.testing.assert_allclose(moved, [1, 0], atol=0.06)
    filter_ = np.linalg.lstsq(z - z.mean(axis=0), y - y.mean(), rcond=None)[0]
    np.testing.assert_allclose(filter_, [1, -1], atol=1e-6 + 0.06)


def test_steps_and_ends_are_classes_or_standard_deviations_and_quantiles():
    y, x, z = problem("binary")
    b = shift.slope(z, x, y)
    assert shift.step(y, "binary") == (1, "larger minus smaller value")
    assert shift.step(y, "binary", "PD") == (1, "PD minus other group")
    low, high = shift.ends(z, y, b, "binary")
    np.testing.assert_allclose(high - low, b, rtol=1e-12)
    np.testing.assert_allclose((1 - y.mean()) * low + y.mean() * high, z.mean(axis=0), atol=1e-12)
    y = np.arange(N, dtype=float)
    np.testing.assert_allclose(shift.step(y, "count")[0], y.std(ddof=1))
    low, high = shift.ends(z, y, b, "count")
    np.testing.assert_allclose(high - low, 0.9 * (N - 1) * b, rtol=1e-12)


def test_the_intercept_of_the_ends_is_what_least_squares_predicts_at_mean_confounds():
    y, x, z = problem("continuous")
    fit = sm.OLS(z[:, 0], np.column_stack([x, y])).fit()
    expected = [fit.predict([*x.mean(axis=0), value])[0] for value in np.quantile(y, [0.05, 0.95])]
    np.testing.assert_allclose(shift.ends(z, y, shift.slope(z, x, y), "continuous")[:, 0], expected, rtol=1e-10)


def test_resamples_stay_in_their_strata_spread_as_theory_says_and_leave_out_what_has_no_slope():
    rng = np.random.default_rng(2)
    y, z = rng.normal(size=200), rng.normal(size=(200, 1))
    found = shift.resampled(z, np.ones((200, 1)), y, np.zeros(200), 400, 0)
    se = sm.OLS(z[:, 0], sm.add_constant(y)).fit().bse[1]
    assert found.shape == (400, 1) and abs(found.std() / se - 1) < 0.25
    np.testing.assert_array_equal(found, shift.resampled(z, np.ones((200, 1)), y, np.zeros(200), 400, 0))
    rare = np.zeros(200)
    rare[:2] = 1  # about 13 % of the draws have nobody of it
    kept = len(shift.resampled(z, np.ones((200, 1)), rare, np.zeros(200), 400, 0))
    assert 310 < kept < 390
    site = np.repeat([0, 1], 100)
    assert len(shift.resampled(z, np.ones((200, 1)), site.astype(float), site, 20, 0)) == 20  # both sites, every draw


# --- the test of every voxel ---


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_equal_those_of_maxt_with_the_rows_on_the_move(kind):
    y, x, z = problem(kind)
    data = maxt.batch(z, x, [null(kind, y, x)])
    index = exchangeability.shuffle(np.repeat([0, 1], N // 2), 40, 3)
    np.testing.assert_allclose(voxelwise.statistics(data, index), maxt.statistics(data, index), rtol=1e-9, atol=1e-9)


def test_statistics_of_several_scores_equal_those_of_maxt():
    y, x, z = problem("continuous")
    others = [null(kind, problem(kind)[0], x) for kind in ("count", "ordinal")]
    data = maxt.batch(z, x, [null("continuous", y, x), null("continuous", y**2, x), *others])
    index = exchangeability.shuffle(np.zeros(N, int), 10, 3)
    np.testing.assert_allclose(voxelwise.statistics(data, index), maxt.statistics(data, index), rtol=1e-9, atol=1e-9)


def test_t_and_p_agree_with_nilearn():
    y, x, z = problem("continuous", voxels=30)
    z[:, 0] += 0.4 * y
    ran = voxelwise.permute(z, np.arange(N), x, null("continuous", y, x), np.zeros(N, int), 100, 1999, 0)
    theirs = permuted_ols(y[:, None], z, x[:, 1:], n_perm=1999, random_state=0, output_type="dict", verbose=0)
    np.testing.assert_allclose(ran.statistic, theirs["t"][0], atol=1e-8)
    p = 10.0 ** -theirs["logp_max_t"][0]
    assert np.all(np.abs(ran.p - p) <= 4 * np.sqrt(2 * p * (1 - p) / 2000) + 1e-3)
    assert ran.p[0] < 0.05


@pytest.mark.parametrize("kind", ["continuous", "ordinal"])
def test_draws_are_those_of_associate_whatever_the_blocks_of_voxels_and_threads(kind, monkeypatch):
    y, x, z = problem(kind)
    strata, data = np.repeat([0, 1, 2], N // 3), maxt.batch(z, x, [null(kind, y, x)])
    expected = maxt.draw([partial(maxt.statistics, data)], strata, 30, 200, 5)[0]
    p = maxt.maxt(maxt.statistics(data, np.arange(N)[None, :])[0], expected)[1][0]
    for values, threads in ((voxelwise.VALUES, 1), (4 * N, 2)):
        monkeypatch.setattr(voxelwise, "VALUES", values)
        found = voxelwise.permute(z, np.arange(N), x, null(kind, y, x), strata, 30, 200, 5, threads)
        np.testing.assert_allclose(found.largest, expected.largest[:, 0], rtol=1e-9)
        np.testing.assert_allclose(found.p, p, rtol=1e-12)


def test_a_voxel_that_does_not_vary_has_p_1_and_changes_no_other():
    y, x, z = problem("continuous")
    at = (np.arange(N), x, null("continuous", y, x), np.zeros(N, int), 50, 99, 0)
    still = np.column_stack([z[:, :4], np.full(N, 3.0), 2 + x[:, 1], 7 + 1e-7 * z[:, 5], z[:, 4:]]).astype(np.float32)
    found, plain = voxelwise.permute(still, *at), voxelwise.permute(z.astype(np.float32), *at)
    assert (found.p[4:7] == 1).all() and (found.statistic[4:7] == 0).all()
    np.testing.assert_array_equal(np.delete(found.p, [4, 5, 6]), plain.p)
    everything = voxelwise.permute(np.ones((N, 3)), *at)
    assert (everything.p == 1).all() and np.isfinite(everything.statistic).all()


# --- intervals ---


@pytest.mark.parametrize("draws", [1, 2, 41, 60, 200])
def test_the_interval_from_blocks_is_that_of_all_draws_at_once(draws):
    values = np.random.default_rng(0).normal(size=(draws, 7))
    found = spread.spread(lambda part: part, values, lambda block: block[:, :3].mean(axis=1, keepdims=True))
    low, high = np.quantile(values, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(found.low, low, rtol=1e-12)
    np.testing.assert_allclose(found.high, high, rtol=1e-12)
    expected = np.quantile(values[:, :3].mean(axis=1), [0.025, 0.975])
    np.testing.assert_allclose([found.region_low[0], found.region_high[0]], expected, rtol=1e-12)


# --- the whole rule, on a linear decoder ---


class Linear(Decoder):
    """decode(z) = z @ basis: every map has its closed form."""

    def decode(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(z @ self.tensors["basis"], np.float32)


def project(folder: Path, monkeypatch, verdict: str = "healthy", n: int = 80) -> tuple[dict[str, Any], Linear]:
    """Files of a rule on n people; latent 0 goes with the score `planted`, and moves the first half of the voxels."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, 3))
    z[n // 2 :, 2] = z[: n // 2, 2]
    people = [f"sub-{k:02d}" for k in range(n)]
    table = pd.DataFrame({"scan": people, "person": people, "session": "", "acquisition": "", "run": ""})
    cohort = table.assign(site="A", age=rng.normal(size=n), planted=z[:, 0] + 0.5 * rng.normal(size=n))
    cohort = cohort.assign(noise=rng.normal(size=n), still=1.0, sex=np.where(z[:, 0] > 0, 1.0, 0.0))
    cohort.loc[3, "planted"] = np.nan
    cohort.to_parquet(folder / "cohort.parquet")
    table.assign(excluded=False).to_parquet(folder / "qc.parquet")
    latents = table.assign(model="vae", fold=0, seed=0, split="test", model_hash="x")
    latents = pd.concat([latents, pd.DataFrame(z, columns=[f"mu_{k:03d}" for k in range(3)])], axis=1)
    mask = np.ones(SHAPE, bool)
    mask[0] = False
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = [-8, -10, 3]
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), folder / "mask.nii.gz")
    half = np.arange(mask.sum()) < mask.sum() // 2
    labels = np.zeros(SHAPE, np.int16)
    labels[mask] = np.where(half, 1, 2)
    nib.save(nib.Nifti1Image(labels, affine), folder / "atlas.nii.gz")
    rows = [(1, "first", "left", half.sum()), (2, "second", "midline", (~half).sum())]
    pd.DataFrame(rows, columns=["index", "name", "hemisphere", "voxels"]).to_csv(folder / "atlas.tsv", sep="\t")
    basis = np.where(half, np.array([[1.0], [0], [0.1]]), np.array([[0.0], [1], [0.1]]))
    decoder = Linear({"basis": basis}, {"kind": "vae"}, mask, latents, verdict, "why")
    monkeypatch.setattr(maps, "read", lambda *_: decoder)
    scores = [{"name": name, "type": "continuous"} for name in ("planted", "noise", "still")]
    scores.append({"name": "sex", "type": "binary", "positive": "M"})
    files = {name: folder / f"{name}.parquet" for name in ("cohort", "qc")}
    files |= {name: folder / f"{name}.nii.gz" for name in ("mask", "atlas")}
    files |= {"latents": folder / "l.parquet", "health": folder / "h.json", "model": folder / "w.safetensors"}
    out = {"out_folder": folder / "maps", "out": folder / "maps.parquet", "regions": folder / "regions.parquet"}
    given = {"scores": scores, "confounds": [{"name": "age", "type": "continuous"}], "permutations": 199, "seed": 0}
    return files | out | given, decoder


def test_the_rule_finds_what_was_planted_where_it_was_planted(tmp_path, monkeypatch):
    files, decoder = project(tmp_path, monkeypatch)
    maps.run(**files)
    table = pd.read_parquet(files["out"]).set_index("score")
    assert table["status"].to_dict() == {"planted": "ok", "noise": "ok", "still": "constant score", "sex": "ok"}
    assert table.loc["planted", "n"] == 79 and table.loc["planted", "peak_region"] == "left first"
    half, n = decoder.mask.sum() // 2, decoder.mask.sum()
    assert table.loc["planted", "voxels"] == n and table.loc["planted", "voxels_below_05"] == half
    assert table.loc["noise", "voxels_below_05"] == 0 and pd.isna(table.loc["still", "voxels"])
    assert (tmp_path / "maps" / "sex_map.nii.gz").exists() and len(list((tmp_path / "maps").iterdir())) == 21
    assert table.loc["sex", "unit"] == "M minus other group" and "standard deviation" in table.loc["planted", "unit"]
    named = {
        end: read_maps(tmp_path / "maps" / f"planted_{end}.nii.gz", decoder.mask) for end in ("map", "low", "high")
    }
    cohort = pd.read_parquet(files["cohort"]).drop(3)
    y, x = (
        cohort["planted"].to_numpy(),
        design(
            join(pd.read_parquet(files["cohort"]), decoder.latents, pd.read_parquet(files["qc"])),
            files["scores"][0],
            files["confounds"],
        ).x,
    )
    moved = shift.slope(np.delete(decoder.mu, 3, axis=0), x, y) * y.std(ddof=1)
    np.testing.assert_allclose(named["map"], moved @ decoder.tensors["basis"], rtol=1e-4, atol=1e-6)
    assert (named["low"] <= named["map"]).all() and (named["map"] <= named["high"]).all()
    assert (named["low"][:half] > 0.5).all() and (named["low"][half:] < 0.2).all()
    regions = pd.read_parquet(files["regions"]).query("score == 'planted'").set_index("region")
    np.testing.assert_allclose(regions.loc["first", "map"], named["map"][:half].mean(), rtol=1e-5)
    assert regions["rank"].to_dict() == {"first": 1, "second": 2}
    assert regions.loc["first", "fraction_below_05"] == 1 and regions.loc["first", "low"] > 0.5
    assert nib.load(tmp_path / "maps" / "planted_t.nii.gz").header["sform_code"] == 4


def test_the_largest_t_of_a_region_keeps_its_sign_and_the_mean_says_that_it_has_none():
    labels, parts = (
        np.array([1, 1, 2, 2]),
        pd.DataFrame({"index": [1, 2], "name": ["hippocampus", "ventricle"], "hemisphere": "left"}),
    )
    t = np.array([-6.0, 5.0, 3.0, 2.0])
    over_people = spread.Spread(t, t, np.array([-6.0, 2.0]), np.array([-5.0, 3.0]))
    row = dict.fromkeys([*maps.SAME, *maps.AFTER, "mapped_by"])
    tested = voxelwise.Voxels(t, np.array([0.01, 0.01, 0.2, 0.3]), t)
    found = maps.in_regions(row, tested, scoremap.ScoreMap(t, over_people, 200, np.zeros((2, 4))), labels, parts)
    assert [one["largest_t"] for one in found] == [-6, 3] and [one["mean_abs_t"] for one in found] == [5.5, 2.5]
    assert [one["rank"] for one in found] == [1, 2] and set(found[0]) <= set(maps.REGIONS)


def test_the_peak_is_told_in_mm_and_the_ends_lie_a_shift_apart(tmp_path, monkeypatch):
    files, decoder = project(tmp_path, monkeypatch)
    decoder.tensors["basis"][0, np.arange(decoder.mask.sum()) != 17] *= 0.1  # the others hold the score in noise
    decoder.tensors["basis"][1] += 1.0 * (np.arange(decoder.mask.sum()) != 17)
    files["scores"] = files["scores"][:1]
    maps.run(**files)
    peak = pd.read_parquet(files["out"]).iloc[0]
    voxel = np.argwhere(decoder.mask)[17]
    assert [peak["peak_x"], peak["peak_y"], peak["peak_z"]] == (voxel * 4 + [-8, -10, 3]).tolist()
    ends = [read_maps(tmp_path / "maps" / f"planted_{end}.nii.gz", decoder.mask) for end in ("from", "to")]
    change = read_maps(tmp_path / "maps" / "planted_map.nii.gz", decoder.mask)
    y = pd.read_parquet(files["cohort"])["planted"].dropna()
    between = (y.quantile(0.95) - y.quantile(0.05)) / y.std()
    np.testing.assert_allclose(ends[1] - ends[0], between * change, rtol=1e-3, atol=1e-5)


def test_a_stopped_model_has_one_row_with_the_reason_and_no_maps(tmp_path, monkeypatch):
    files, _ = project(tmp_path, monkeypatch, verdict="collapsed")
    maps.run(**files)
    for name in ("out", "regions"):
        row = pd.read_parquet(files[name]).iloc[0]
        assert (row["status"], row["verdict"], row["reason"]) == ("not tested", "collapsed", "why")
    assert list((tmp_path / "maps").iterdir()) == []


def test_the_same_inputs_give_the_same_bits(tmp_path, monkeypatch):
    files, _ = project(tmp_path, monkeypatch)
    found = []
    for _ in range(2):
        maps.run(**files)
        found.append({path.name: path.read_bytes() for path in (tmp_path / "maps").iterdir()})
    assert found[0] == found[1]


def test_region_means_are_means():
    labels, parts = np.array([0, 2, 2, 5, 5, 5]), pd.DataFrame({"index": [2, 5]})
    values = np.arange(12.0).reshape(2, 6)
    np.testing.assert_allclose(scoremap.region_means(labels, parts)(values), [[1.5, 4], [7.5, 10]])


# --- seeds ---


def seeded(folder: Path, arrays: dict[int, np.ndarray | None]) -> dict[str, Any]:
    mask = folder / "mask.nii.gz"
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8), np.eye(4)), mask)
    given: dict[str, Any] = {"maps": [], "tables": [], "mask": mask}
    for seed, array in arrays.items():
        path = folder / f"seed-{seed}"
        path.mkdir()
        row = {
            "score": "s/x",
            "model": "vae",
            "fold": 0,
            "seed": seed,
            "status": "ok",
            "reason": "",
            "verdict": "healthy",
        }
        if array is None:
            row |= {"score": None, "status": "not tested", "reason": "flat", "verdict": "collapsed"}
        else:
            maps.write_maps(path / f"{maps.in_file('s/x')}_map.nii.gz", array, mask)
        pd.DataFrame([row]).to_parquet(path / "maps.parquet")
        given["maps"].append(path)
        given["tables"].append(path / "maps.parquet")
    return given | {"out_folder": folder / "seeds", "out": folder / "seeds.parquet"}


def test_seeds_are_averaged_and_compared_voxel_by_voxel(tmp_path):
    rng = np.random.default_rng(0)
    a = rng.normal(size=120).astype(np.float32)
    b, c = -a, np.where(np.arange(120) < 30, -a, a)
    seeds.run(**seeded(tmp_path, {0: a, 1: b, 2: c, 3: None}))
    table = pd.read_parquet(tmp_path / "seeds.parquet")
    pairs = table[table["kind"] == "pair"].set_index(["seed", "other_seed"])
    assert len(pairs) == 3 and table["status"].unique().tolist() == ["ok"]
    np.testing.assert_allclose(pairs.loc[(0, 1), "r"], -1, atol=1e-6)
    np.testing.assert_allclose(pairs.loc[(0, 2), "r"], np.corrcoef(a, c)[0, 1], rtol=1e-6)
    assert pairs["one_sign"].tolist() == [0, 0.75, 0.25]
    whole = table[table["kind"] == "all"].iloc[0]
    assert whole["one_sign"] == 0 and whole["seeds"] == 3
    np.testing.assert_allclose(whole["r"], pairs["r"].mean())
    stack, inside = np.stack([a, b, c]), np.ones(SHAPE, bool)
    name = maps.in_file("s/x")
    np.testing.assert_allclose(read_maps(tmp_path / "seeds" / f"{name}_mean.nii.gz", inside), stack.mean(0), atol=1e-6)
    np.testing.assert_allclose(read_maps(tmp_path / "seeds" / f"{name}_sd.nii.gz", inside), stack.std(0, ddof=1), 1e-5)


def test_seeds_with_one_map_are_no_second_opinion(tmp_path):
    a = np.random.default_rng(0).normal(size=120).astype(np.float32)
    seeds.run(**seeded(tmp_path, {0: a, 1: a}))
    table = pd.read_parquet(tmp_path / "seeds.parquet")
    assert table["kind"].tolist() == ["pair", "all"] and set(table["status"]) == {"same maps"}
    assert table["reason"].str.contains("bit for bit").all() and table["r"].notna().tolist() == [True, False]
    assert list((tmp_path / "seeds").iterdir()) == []


def test_seeds_with_one_map_count_once_beside_another(tmp_path):
    a, b = np.random.default_rng(0).normal(size=(2, 120)).astype(np.float32)
    seeds.run(**seeded(tmp_path, {0: a, 1: b, 2: b}))
    table = pd.read_parquet(tmp_path / "seeds.parquet")
    assert table["status"].tolist() == ["ok", "ok", "same maps", "ok"] and set(table["seeds"]) == {2}
    whole = table[table["kind"] == "all"].iloc[0]
    np.testing.assert_allclose([whole["r"], whole["one_sign"]], table.loc[0, ["r", "one_sign"]].astype(float))
    assert whole["reason"] == "of 3, those with the same map count once"
    mean = read_maps(tmp_path / "seeds" / f"{maps.in_file('s/x')}_mean.nii.gz", np.ones(SHAPE, bool))
    np.testing.assert_allclose(mean, (a + b) / 2, atol=1e-6)


@pytest.mark.parametrize(("arrays", "status"), [((1,), "one seed"), ((1, 0), "one seed"), ((0, 0), "not tested")])
def test_a_seed_alone_says_so(tmp_path, arrays, status):
    seeds.run(**seeded(tmp_path, {k: np.ones(120) if made else None for k, made in enumerate(arrays)}))
    table = pd.read_parquet(tmp_path / "seeds.parquet")
    assert table["status"].tolist() == [status] and list((tmp_path / "seeds").iterdir()) == []


def test_seeds_of_several_models_are_refused(tmp_path):
    given = seeded(tmp_path, {0: np.ones(120), 1: np.ones(120)})
    with pytest.raises(InputError, match="one of each per seed"):
        seeds.run(**given | {"maps": given["maps"][:1]})
    with pytest.raises(InputError, match="give each seed once"):
        seeds.run(**given | {"maps": given["maps"][:1] * 2, "tables": given["tables"][:1] * 2})
    pd.read_parquet(given["tables"][1]).assign(model="other").to_parquet(given["tables"][1])
    with pytest.raises(InputError, match="several models"):
        seeds.run(**given)
