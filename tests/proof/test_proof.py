"""The proof in short: the same functions and the same exact-binomial bars on a few cohorts; and can a check fail at all?"""

import numpy as np
import pandas as pd
import proof_alarms
import proof_aligned
import proof_change
import proof_checks
import proof_cohort as made
import proof_confounding
import proof_copies
import proof_family
import proof_fdr
import proof_imputed
import proof_lines as lines
import proof_mixed
import proof_null
import proof_permute
import proof_pictures as pictures
import proof_power
import proof_predict
import proof_survival
import proof_vae
import pytest
from proof_lines import Check
from scipy.stats import binom

from neurovae.design.rows import standard


def missed(checks: list[Check]) -> list[str]:
    return [str(check) for check in checks if check.passed is False]


# The harness


def test_the_interval_is_the_exact_binomial_one() -> None:
    low, high = lines.interval(1000)
    assert binom.cdf(round(low * 1000) - 1, 1000, 0.05) <= 5e-4 < binom.cdf(round(low * 1000), 1000, 0.05)
    assert binom.sf(round(high * 1000), 1000, 0.05) <= 5e-4 < binom.sf(round(high * 1000) - 1, 1000, 0.05)
    assert lines.rate("", 50, 1000).passed and not lines.rate("", 90, 1000).passed
    assert lines.rate("", 20, 1000).information == "conservative" and lines.rate("", 20, 1000, sides=1).passed
    assert lines.rate("", 5, 1000).passed is False  # of no use
    assert (
        lines.rate("", 80, 1000, caveat="a.tsv").word == "info"
        and lines.rate("", 120, 1000, caveat="a.tsv").word == "FAILED"
    )
    words = [lines.reached("", value, 0.8, 100, "").word for value in (0.9, 0.5, 0.3, np.nan)]
    assert words == ["ok", "info", "FAILED", "FAILED"]
    assert lines.rate("", 0, 0).passed is False


def test_a_liberal_test_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = proof_null.p_values
    monkeypatch.setattr(proof_null, "p_values", lambda *given: {k: p / 3 for k, p in honest(*given).items()})
    monkeypatch.setattr(made, "SCORES", {"Gaussian": made.SCORES["Gaussian"]})
    found = proof_null.table(None, {"linear": 120, "iterative": 1}, (60,))
    assert len(missed(proof_null.checks(found))) >= 3


def test_cohorts_have_the_second_moments_of_ixi_and_the_same_bits_twice() -> None:
    table, z = made.people(20000, np.random.default_rng(0))
    a, woman = (table["age"] - 47.5) / 17.5, table["sex"] == "F"
    known = np.column_stack([a, (woman - woman.mean()) / woman.std(), (table["head_size"] - 1.15) / 0.05])
    slopes = np.linalg.lstsq(np.column_stack([np.ones(len(a)), known]), z, rcond=None)[0][1:]
    assert np.abs(slopes - [made.ON_AGE, made.ON_SEX, made.ON_SCALE]).max() < 0.04
    assert np.abs(z.std(axis=0) - 1).max() < 0.12
    again = made.people(20000, np.random.default_rng(0))[1]
    assert np.array_equal(z, again)


# The checks, short


def test_false_positives_of_regressions(tmp_path) -> None:
    found = proof_null.table(None, {"linear": 60, "iterative": 10}, (120,))
    pictures.rejections(found, tmp_path / "found.png", "short")
    assert not missed(proof_null.checks(found))
    refused = (found["test"] == "multivariable") & found["family"].isin(["gamma", "binary", "ordinal"])
    refused |= (found["test"] == "multivariable") & found["family"].str.contains("Poisson|binomial")
    assert (found.loc[refused, "tested"] == 0).all() and refused.sum() == 5
    assert (found.loc[~refused, "tested"] >= 0.9 * found.loc[~refused, "cohorts"]).all()


def test_false_positives_of_permutations(tmp_path) -> None:
    found, p = proof_permute.table(None, 10, (60,))
    pictures.uniform(p, tmp_path / "p.png")
    assert not missed(proof_permute.checks(found, p))


def test_false_positives_of_repeated_sessions() -> None:
    assert not missed(proof_mixed.checks(proof_mixed.table(None, 6, (60,))))


def test_a_score_against_change() -> None:
    """As the rest, at the 99.9 % interval, since few cohorts are drawn; and what is planted is found."""
    found = proof_change.table(None, 12)
    assert not missed([lines.rate(row.test, row.rejected, row.tested, 1) for row in found.itertuples()])
    assert not missed(proof_change.found_again(4)[:1])


def test_false_discoveries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_fdr, "EFFECTS", {"Gaussian": (0.5,)})
    assert not missed(proof_fdr.checks(proof_fdr.table(None, 60, 10)))


def test_prediction_of_noise() -> None:
    found = proof_predict.table(None, {"32 columns of noise": 6}, (60,))
    assert (found["status"] == "ok").all()
    numeric = found[found["score"] == "numeric"]["value_linear"]
    assert proof_predict.R2[0] <= numeric.mean() <= proof_predict.R2[1] + 3 * numeric.std() / np.sqrt(len(numeric))
    assert not missed([c for c in proof_predict.checks(found) if c.text.startswith("whole-CV")])


def test_power_rises_and_the_oracle_is_not_beaten_by_luck(tmp_path) -> None:
    found = pd.DataFrame([
        {"shape": shape, "n": 120, "effect": effect, "cohorts": 15} | proof_power.power(shape, 120, effect, 0, 15)
        for shape in ("linear", "binary") for effect in (0.0, proof_power.SHAPES[shape][3][-1])
    ])  # fmt: skip
    none, strong = found[found["effect"] == 0], found[found["effect"] > 0]
    assert (none["ours"] <= 2).all() and (strong["oracle"] >= 10).all()
    assert (strong["ours"] >= 0.6 * strong["oracle"]).all()
    bends = pd.DataFrame(
        [{"shape": "U-shaped", "n": 120, "effect": 0.4, "cohorts": 15} | proof_power.bend("U-shaped", 120, 0.4, 0, 15)]
    )
    assert bends["ours"].iloc[0] >= 12
    pictures.powers(found, bends, tmp_path / "power.png")


def test_power_through_a_model(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_vae, "EFFECTS", (0.0, 0.5))
    found = proof_vae.table(None, 16, ("pca",))
    pictures.through(found, tmp_path / "through.png")
    assert found["recovery"].iloc[0] > 0.9
    assert not missed(proof_vae.checks(found))


def test_confounds_alone() -> None:
    assert not missed(proof_confounding.checks(proof_confounding.table(None, 6, (120,))))


def test_every_planted_leak_is_refused() -> None:
    assert not missed(proof_alarms.checks())


def test_every_planted_copy_is_found() -> None:
    assert not missed(proof_copies.checks())


def test_known_numbers() -> None:
    found = [*proof_checks.design_check(), *proof_checks.dispersion(10), *proof_checks.flipped()]
    assert not missed([*found, *proof_checks.selection(5), *proof_checks.noise(None, 60)])


def test_ixi_is_named_where_it_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(proof_checks, "IXI", tmp_path / "none")
    (skipped,) = proof_checks.ventricles()
    assert skipped.passed is None and "make ixi" in skipped.bar


def test_an_effect_is_found_by_every_regression_test() -> None:
    rng = np.random.default_rng(1)
    table, z = made.people(300, rng)
    y = made.score("Gaussian", made.predictor(table) + 1.0 * standard(z[:, 3]) + 0.5 * standard(z[:, 3]) ** 2, rng)
    assert max(proof_null.p_values("continuous", y, made.columns(table), z, 3).values()) < 1e-4


def test_relatives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_family, "FAMILIES", {"Gaussian": proof_family.FAMILIES["Gaussian"]})
    found = proof_family.table(None, 2)
    assert missed(proof_family.checks(found)) == [] and set(found["tested"]) == {1, 2}
    table, _ = proof_family.cohort("Gaussian", 0)
    pairs = [table[name].to_numpy().reshape(-1, 2) for name in ("score", "mu_000", "mu_001", "mu_002", "mu_003")]
    assert 0.7 < np.mean([np.corrcoef(pair.T)[0, 1] for pair in pairs]) < 0.9


# Times to events


def test_a_planted_hazard_is_found_by_every_test_of_an_effect() -> None:
    found = pd.DataFrame([proof_survival.p_values("planted", number) for number in (0, 2)])
    assert (found[["Cox", "permutation, one latent", "max-T", "omnibus"]] < 0.05).all(axis=None)
    assert (found["prediction"] == 1 / (proof_survival.PREDICTED + 1)).all()


# Missing confounds


def test_imputed_confounds_hold_the_level_and_find_more_than_complete_cases() -> None:
    level = pd.DataFrame(proof_imputed.counted("Gaussian", 60, 0.0, 0, 0, 10))
    planted = pd.DataFrame(proof_imputed.counted("Gaussian", 60, 0.5, 0, 0, 6))
    assert missed([check for check in proof_imputed.checks(level) if "false positives" in check.text]) == []
    by = {way: part.reset_index() for way, part in planted.groupby("way")}
    assert (by["imputed"]["n"] == 60).all() and by["complete cases"]["n"].mean() < 50
    width = {way: (part["ci_high"] - part["ci_low"]).mean() for way, part in by.items()}
    assert width["whole"] < width["imputed"] < width["complete cases"]
    assert abs(by["imputed"]["effect"].mean() - by["whole"]["effect"].mean()) < 0.05


# Aligned networks


def test_aligned_networks_hold_their_level_and_the_naive_route_does_not() -> None:
    found = proof_aligned.table(None, nulls=4, planted=1)
    assert not missed(proof_aligned.checks(found))
    square = found[found["case"] == "square"].iloc[0]
    assert square["network"] > square["twin"] + 0.1
    bad = found.assign(**{"one split": 0.01})
    assert len(missed(proof_aligned.checks(bad))) == 1  # a liberal test is caught
