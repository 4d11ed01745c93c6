"""Deviation: who is held out of what, cross-fitted z with a planted lesion, smoothing, calibration against binomials."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from neurovae.norm import calibration, deviation, latent, maps
from neurovae.norm.held_out import HeldOut, held_out


def tables(models: list[int], people: int = 60, folds: int = 3) -> dict[int, pd.DataFrame]:
    """First scans of each model's latents; odd people are the reference, the others are test people everywhere."""
    k = np.arange(people)
    rows = pd.DataFrame({"scan": [f"s{n:02d}" for n in k], "person": [f"p{n:02d}" for n in k], "fold": k % folds})
    rows = rows.assign(age=30.0 + k, sex=np.where(k % 4 > 1, "F", "M"))
    return {
        one: rows.assign(latents_split=np.where((k % 2 == 0) | (rows["fold"] == one), "test", "training"))
        for one in models
    }


REFERENCE = {f"p{n:02d}" for n in range(1, 60, 2)}


def test_with_a_model_per_fold_everybody_is_reconstructed_by_their_own_and_normed_by_the_others():
    found = held_out(tables([0, 1, 2]), REFERENCE, "age", "sex")
    assert len(found.table) == 60 and (found.fold == found.table["fold"]).all() and (found.group == found.fold).all()
    assert maps.sizes(found) == {0: 20, 1: 20, 2: 20}


def test_with_one_model_its_reference_people_are_divided_and_patients_get_all_of_them():
    found = held_out(tables([1]), REFERENCE, "age", None)
    assert (found.fold == 1).all() and found.reference.sum() == 10 and (~found.reference).sum() == 30
    assert (found.group[~found.reference] == -1).all() and sorted(set(found.group)) == [-1, 0, 1, 2, 3, 4]
    assert maps.sizes(found) == {-1: 10, 0: 8, 1: 8, 2: 8, 3: 8, 4: 8}


def test_people_without_age_or_sex_are_left_out():
    some = tables([0, 1, 2])
    for table in some.values():
        table.loc[0, "age"], table.loc[1, "sex"] = np.nan, None
    assert len(held_out(some, REFERENCE, "age", "sex").table) == 58
    assert len(held_out(some, REFERENCE, "age", None).table) == 59


def people(n: int, patients: int, seed: int) -> tuple[HeldOut, np.random.Generator]:
    rng = np.random.default_rng(seed)
    total = n + patients
    table = pd.DataFrame({"reference": np.arange(total) < n, "age_of": rng.uniform(20, 80, total)})
    fold = np.arange(total) % 5
    return HeldOut(table.assign(sex_of=rng.choice(["F", "M"], total)), fold, fold), rng


def test_z_is_calibrated_in_the_reference_and_a_planted_lesion_is_far_out():
    found, rng = people(120, 20, 0)
    age = found.table["age_of"].to_numpy()
    values = 0.02 * age[:, None] + np.exp((age - 50) / 60)[:, None] * rng.normal(size=(140, 500))
    values[120:, :50] -= 4 * np.exp((age[120:, None] - 50) / 60)
    z, error = maps.crossfit(values, found)
    beyond = np.abs(z) > 1.96
    assert beyond[:120].mean() == pytest.approx(0.05, abs=0.006)
    assert beyond[120:, 50:].mean() == pytest.approx(0.05, abs=0.01) and (z[120:, :50] < -2.6).mean() > 0.85
    assert (error > 0.1).all() and error[120:, :50].mean() > 1.5 * error[120:, 50:].mean()  # an outer z is less sure


def test_nobody_is_in_their_own_norm():
    found, rng = people(60, 5, 1)
    values = rng.normal(size=(65, 3))
    before = maps.crossfit(values, found)[0]
    values[0] += 1000.0
    after = maps.crossfit(values, found)[0]
    same = found.group == found.group[0]
    np.testing.assert_array_equal(before[same][1:], after[same][1:])
    assert (np.abs(after[0]) > 6).all() and (after[~same] != before[~same]).all()
    values[60:] += 7.0  # patients are in no norm
    np.testing.assert_array_equal(maps.crossfit(values, found)[0][:60], after[:60])


class Volumes(maps.Scans):
    def __init__(self, array: np.ndarray) -> None:
        super().__init__(array, pd.DataFrame({"scan": range(len(array))}), pd.Series(range(len(array))))


def test_smoothing_keeps_a_constant_up_to_the_rim_and_spreads_as_a_gaussian():
    mask = np.zeros((21, 21, 21), bool)
    mask[3:18, 3:18, 3:18] = True
    array = np.full((2, 21, 21, 21), 5.0, np.float16)
    array[1] = 0
    array[1, 10, 10, 10] = 1
    found = maps.smoothed(maps.voxels(Volumes(array), mask), mask, 4.0)
    np.testing.assert_allclose(found[0], 5.0, rtol=1e-5)
    volume = np.zeros(mask.shape)
    volume[mask] = found[1]
    assert volume[10, 10, 12] / volume[10, 10, 10] == pytest.approx(0.5, rel=0.02)  # half at half the full width
    np.testing.assert_array_equal(maps.smoothed(maps.voxels(Volumes(array), mask), mask, 0.0)[0], 5.0)


def test_residuals_pair_each_scan_with_its_own_reconstruction():
    mask = np.ones((2, 2, 2), bool)
    array, fold = np.arange(5.0)[:, None, None, None] * np.ones((5, 2, 2, 2)), np.array([1, 0, 1, 0, 0])
    found = maps.residuals(Volumes(array), lambda k: np.flatnonzero(fold == k)[:, None] * np.ones(8) - 0.5, mask, fold)
    np.testing.assert_array_equal(found, 0.5)


def test_cells_are_within_simultaneous_bounds_in_95_percent_of_calibrated_norms_and_a_bad_one_is_named():
    names, within = [f"r{k}" for k in range(20)], 0
    tercile = np.arange(120) % 3
    for seed in range(40):
        rng = np.random.default_rng(seed)
        z = 0.6 * rng.normal(size=(120, 1)) + 0.8 * rng.normal(size=(120, 20))
        within += all(row["within"] for row in calibration.cells(z, tercile, names, 200, seed))
    low, high = stats.binom.ppf([0.005, 0.995], 40, 0.95)
    assert low <= within <= high
    z[tercile == 2, 3] *= 3
    outside = [row for row in calibration.cells(z, tercile, names, 200, 0) if not row["within"]]
    assert ("r3", 3) in [(row["region"], row["tercile"]) for row in outside]


def test_the_interval_over_people_is_wider_than_regions_alone_would_have_it():
    rng = np.random.default_rng(0)
    z = 0.9 * rng.normal(size=(100, 1)) + np.sqrt(0.19) * rng.normal(size=(100, 50))  # regions that go together
    row = calibration.overall(z, np.arange(100), 2000, 0)
    binomial = 1.96 * np.sqrt(0.05 * 0.95 / (100 * 50))
    assert row["n"] == 100 and row["high"] - row["low"] > 4 * binomial
    np.testing.assert_array_equal(np.bincount(calibration.terciles(np.arange(99.0))), [33, 33, 33])


def test_twins_of_the_same_norm_count_once_in_its_interval():
    """Each person twice in one family: the interval of one person each, and that of unrelated people is narrower."""
    rng = np.random.default_rng(0)
    z = 0.9 * rng.normal(size=(60, 1)) + np.sqrt(0.19) * rng.normal(size=(60, 20))
    one, person = calibration.overall(z, np.arange(60), 4000, 0), np.arange(120) // 2
    twins, strangers = (calibration.overall(np.repeat(z, 2, axis=0), g, 4000, 0) for g in (person, np.arange(120)))
    widths = [row["high"] - row["low"] for row in (one, twins, strangers)]
    assert twins["share"] == pytest.approx(one["share"]) and widths[1] == pytest.approx(widths[0])
    assert widths[2] == pytest.approx(widths[0] / np.sqrt(2), rel=0.15)


def test_a_sex_with_few_people_in_the_reference_gets_no_norm_of_another():
    """Two men in the reference and one patient without any of his sex: no z for them, and the women's norm is theirs."""
    found, rng = people(60, 5, 2)
    sex = np.array(["F"] * 65, object)
    sex[[0, 1, 63, 64]] = ["M", "M", "M", "X"]
    alone = HeldOut(found.table.assign(sex_of=sex), found.fold, found.group)
    values = rng.normal(size=(65, 4))
    z, error = maps.crossfit(values, alone)
    assert (np.isnan(z).all(axis=1) == (sex != "F")).all() and (np.isnan(error) == np.isnan(z)).all()
    women = np.flatnonzero(sex == "F")
    only = HeldOut(alone.table.iloc[women].reset_index(drop=True), found.fold[women], found.group[women])
    np.testing.assert_array_equal(z[women], maps.crossfit(values[women], only)[0])
    assert maps.sizes(alone) == maps.sizes(only)
    table = alone.table.assign(scan=np.arange(65).astype(str), person=np.arange(65).astype(str))
    named = HeldOut(table, alone.fold, alone.group)
    own = deviation._described(named)
    assert [row.get("reason", "") for row in own][62:] == [
        "",
        "no norm for sex M: fewer than 5 of it in the reference",
        "no norm for sex X: fewer than 5 of it in the reference",
    ]
    latents = table.assign(latents_split="test", mu_0=values[:, 0], mu_1=values[:, 1])
    deviation._latent(own, {0: latents}, named)
    assert [np.isnan(row["d2_percentile"]) for row in own] == list(sex != "F")


def test_calibration_leaves_out_what_has_no_z_and_makes_no_interval_of_few_people():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 4))
    z[:, 1], z[3] = np.nan, np.nan
    names = pd.DataFrame({"name": list("abcd"), "hemisphere": "left"})
    table = pd.DataFrame({"age_of": np.repeat([20.0, 21.0], 20), "site": ["A"] * 38 + ["B"] * 2, "person": range(40)})
    found = pd.DataFrame(deviation._calibration(z, table, names, "model", 50, 0))
    cells = found[found["scope"] == "region and age tercile"]
    assert set(cells["level"]) == {"left a", "left c", "left d"} and set(cells["tercile"]) == {1, 2}  # ages are tied
    assert found.loc[0, "n"] == 39 and found[["share"]].notna().all().all()
    of_site = found[found["scope"] == "site"].set_index("level")
    assert np.isfinite(of_site.loc["A", "low"]) and np.isnan(of_site.loc["B", "low"])


def test_reference_people_get_the_fold_that_held_them_out_and_others_the_median_over_all():
    """45 of the reference, 15 held out of each fold, and 6 others: the percentiles by hand, fold by fold."""
    rng, n = np.random.default_rng(3), 51
    own_fold, reference = np.arange(n) % 3, np.arange(n) < 45
    sex, years = np.where(np.arange(n) % 2, "F", "M"), rng.uniform(20, 60, n)
    table = pd.DataFrame({"scan": [f"s{k}" for k in range(n)], "age_of": years, "sex_of": sex, "reference": reference})
    tables, expected = {}, np.full((3, n), np.nan)
    for k in range(3):
        z, unseen = rng.normal(size=(n, 2)), (own_fold == k) | ~reference
        tables[k] = table.assign(latents_split=np.where(unseen, "test", "training"), mu_0=z[:, 0], mu_1=z[:, 1])
        held, others = (own_fold == k) & reference, ~reference
        parts = [values[rows] for rows in (held, others) for values in (z, years, sex)]
        expected[k, held], expected[k, others] = latent.percentiles(*parts)
    rows: list[dict[str, object]] = [{} for _ in range(n)]
    deviation._latent(rows, tables, HeldOut(table, own_fold, own_fold))
    assert [row["d2_folds"] for row in rows] == [1] * 45 + [3] * 6
    found = np.array([row["d2_percentile"] for row in rows], float)
    np.testing.assert_allclose(found[reference], expected[own_fold[reference], np.flatnonzero(reference)])
    np.testing.assert_allclose(found[~reference], np.median(expected[:, ~reference], axis=0))
