"""ComBat against neuroCombat and neuroHarmonize, planted sites, what it must not do; the audit of the sites."""

import inspect
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from neurovae.audit import sites
from neurovae.design.design import first_scans, join
from neurovae.errors import InputError
from neurovae.predict import harmonise
from neurovae.predict.harmonise import apply, fit

pytestmark = pytest.mark.filterwarnings("error")

# Frozen from neuroCombat 0.2.12 (iterated until 1e-13 instead of 1e-4) and, for new people, neuroHarmonize 2.5.2
SITE = np.array(list("AAAAABBBBBBCCC"))
Z = np.array([
    [2.946, 1.945, 0.895, 1.217], [1.221, 2.615, 0.41, 0.436], [1.762, -0.126, 0.468, 1.643],
    [1.4, 0.912, 1.49, -2.008], [1.801, -0.18, -0.889, 1.056], [3.101, 1.455, 2.324, 2.926],
    [2.407, 3.366, 4.207, 3.154], [3.292, 1.474, 2.254, 3.264], [2.203, 0.905, 1.837, 2.349],
    [-0.814, 1.87, 3.171, 0.541], [1.981, 0.456, 3.677, 0.386], [0.159, 2.595, 3.264, -1.707],
    [1.083, 2.322, 0.916, 4.216], [-0.196, 2.122, 0.018, 3.699],
])  # fmt: skip
AGE = [70, 34, 38, 41, 39, 70, 73, 59, 31, 34, 46, 51, 61, 53]
COVARIATES = np.column_stack([AGE, [1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 1, 1]]).astype(float)
HARMONISED = np.array([
    [2.484590631, 2.209309577, 1.844990164, 1.995076459], [0.705809124, 2.68457201, 1.362983468, 1.198929288],
    [1.38769794, 0.285212981, 1.417076516, 2.399869391], [0.947628989, 1.195531838, 2.427525607, -1.207272348],
    [1.330573962, 0.287591709, 0.080310317, 1.814282232], [2.763104968, 1.40395253, 1.479210607, 2.288038109],
    [2.362029651, 3.232454226, 3.344917674, 2.567114684], [2.921445375, 1.421627402, 1.411876748, 2.738174806],
    [1.741733479, 0.836477208, 0.994599248, 1.849547046], [-0.775531108, 1.734530439, 2.309919078, -0.165009177],
    [1.72621224, 0.437981204, 2.816123498, -0.334529796], [1.409318891, 2.063160166, 3.191864516, -0.851285942],
    [2.230848175, 1.793551546, 1.371504916, 3.630147078], [1.037151872, 1.592924706, 0.661141099, 3.161315142],
])  # fmt: skip
NEW = np.array([
    [-0.022, -0.372, -1.718, 1.682], [0.753, 0.754, 1.138, 0.349], [-0.639, -0.8, -0.8, 1.37],
    [-1.46, -0.596, -0.321, 0.225], [0.575, -1.249, -1.73, -0.004],
])  # fmt: skip
NEW_SITE, NEW_COVARIATES = np.array(list("ABCBA")), np.column_stack([[76, 54, 78, 56, 66], [0, 1, 1, 0, 1]])
NEW_HARMONISED = np.array([
    [-1.064875852, 0.274894282, -0.731958746, 2.451833225], [0.701565527, 0.714591406, 0.303970347, -0.447178453],
    [0.780805366, -1.278446096, 0.137687819, 1.824661929], [-0.931600531, -0.538561472, -1.134001965, -0.5460978],
    [-0.20404859, -0.570120258, -0.749649674, 0.786200444],
])  # fmt: skip


def planted(n: int = 300, latents: int = 8, seed: int = 0, shift: float = 1.5, scale: float = 2.0):
    """Latents of three sites, A as it is, B shifted, C scaled about its age; age differs between sites."""
    rng = np.random.default_rng(seed)
    site = rng.choice(list("ABC"), n)
    age = rng.normal(60, 8, n) + 5 * (site == "B")
    noise = rng.normal(size=(n, latents)) * np.where(site == "C", scale, 1)[:, None]
    return noise + 0.05 * (age - 60)[:, None] + shift * (site == "B")[:, None], site, age[:, None]


# --- ComBat ---


def test_equals_neurocombat_on_training_people_and_neuroharmonize_on_new_ones():
    model = fit(Z, SITE, COVARIATES)
    assert apply(model, Z, SITE, COVARIATES) == pytest.approx(HARMONISED, abs=1e-8)
    assert apply(model, NEW, NEW_SITE, NEW_COVARIATES) == pytest.approx(NEW_HARMONISED, abs=1e-8)


def test_planted_shift_and_scale_are_gone_in_test_people_and_age_is_kept():
    z, site, age = planted()
    train = np.arange(300) < 150
    model = fit(z[train], site[train], age[train])
    before, after = z[~train], apply(model, z[~train], site[~train], age[~train])
    site, x = site[~train], sm.add_constant(age[~train])
    assert np.mean([sites.site_r2(latent, site, x)[0] for latent in before.T]) > 0.1
    shares = np.array([sites.site_r2(after[:, k], site, x) for k in range(z.shape[1])])
    assert shares[:, 0].mean() < 0.03
    left = after - x @ np.linalg.lstsq(x, after, rcond=None)[0]
    assert np.std(left[site == "C"]) / np.std(left[site == "A"]) == pytest.approx(1, abs=0.15)
    slopes = [sm.OLS(after[:, k], x).fit().params[1] for k in range(z.shape[1])]
    assert np.mean(slopes) == pytest.approx(0.05, abs=0.015)


def test_order_of_rows_and_company_do_not_matter():
    z, site, age = planted(60)
    mixed = np.random.default_rng(1).permutation(60)
    one = apply(fit(z, site, age), z, site, age)
    other = apply(fit(z[mixed], site[mixed], age[mixed]), z[mixed], site[mixed], age[mixed])
    assert other == pytest.approx(one[mixed], abs=1e-9)
    alone = apply(fit(z, site, age), z[7:8], site[7:8], age[7:8])
    assert alone == pytest.approx(one[7:8], abs=1e-12)


def test_a_score_has_no_way_in():
    assert list(inspect.signature(fit).parameters) == ["latents", "site", "covariates"]
    assert list(inspect.signature(apply).parameters) == ["harmoniser", "latents", "site", "covariates", "new_site"]


def test_learnt_on_all_people_differs_and_leaks():
    """Two sites, noise latents, training people of one kind of score: what all people teach knows the test people."""
    rng = np.random.default_rng(0)
    z, site = rng.normal(size=(40, 200)), np.repeat(["A", "B"], 20)
    train, none = np.arange(40) % 20 < 16, np.empty((40, 0))
    honest = apply(fit(z[train], site[train], none[train]), z, site, none)
    leaky = apply(fit(z, site, none), z, site, none)
    assert np.abs(honest - leaky)[~train].max() > 0.05
    changed = np.where(train[:, None], z, 100 * z)  # test people change what all people teach, never what training does
    assert fit(changed[train], site[train], none[train]).shift == pytest.approx(
        fit(z[train], site[train], none[train]).shift, abs=0
    )
    assert np.abs(fit(changed, site, none).centre - fit(z, site, none).centre).max() > 1


def test_a_score_confounded_with_site_is_not_resurrected():
    """Noise latents and a score that is nearly the site: protected on all people it is found in them (Nygaard 2016).

    Its slope is judged by its spread over all people, 1 / 4, while only that within sites, .09, told it: 24 % at 5 %.
    """
    rng = np.random.default_rng(0)
    latents = 1000
    site = np.repeat(["A", "B"], 50)
    score = np.where(np.arange(100) % 10 == 0, site == "A", site == "B").astype(float)
    z = rng.normal(size=(100, latents)) + (site == "B")[:, None] * rng.normal(size=latents)
    none, train = np.empty((100, 0)), np.arange(100) % 2 == 0
    protected = apply(fit(z, site, score[:, None]), z, site, score[:, None])
    honest = apply(fit(z[train], site[train], none[train]), z, site, none)[~train]

    def found(values: np.ndarray, of: np.ndarray) -> int:
        return int((stats.ttest_ind(values[of == 1], values[of == 0]).pvalue < 0.05).sum())

    low, high = stats.binom.interval(0.999, latents, 0.05)
    assert found(z, score) > 300  # the sites themselves
    assert found(protected, score) > 3 * high
    after_all = apply(fit(z, site, none), z, site, none)
    assert found(after_all, score) <= high
    half = found(honest, score[~train])  # shifts learnt from other people leave their own error, hence more than 5 %
    assert half < found(z[~train], score[~train]) / 2


def test_a_new_site_is_refused_or_left_as_it_is():
    z, site, age = planted(90)
    model = fit(z[site != "C"], site[site != "C"], age[site != "C"])
    with pytest.raises(InputError, match="site C has no training people: leave-site-out with ComBat cannot predict"):
        apply(model, z, site, age)
    found = apply(model, z, site, age, "mean")
    assert np.array_equal(found[site == "C"], z[site == "C"]) and not np.allclose(found[site == "B"], z[site == "B"])
    with pytest.raises(InputError, match="use refuse or mean"):
        apply(model, z, site, age, "median")


def test_what_cannot_be_learnt_is_said():
    z, site, age = planted(30)
    lone = np.where(np.arange(30) == 3, "D", site)
    with pytest.raises(InputError, match="site D has 1 training people, 2 are needed"):
        fit(z, lone, age)
    with pytest.raises(InputError, match="a confound has missing values"):
        fit(z, site, np.where(np.arange(30) == 3, np.nan, age[:, 0]))
    with pytest.raises(InputError, match="a latent has missing values"):
        apply(fit(z, site, age), np.where(np.arange(30)[:, None] == 3, np.nan, z), site, age)
    with pytest.raises(InputError, match="6 training people for 6 columns"):
        fit(z[:6], np.repeat(["A", "B", "C"], 2), np.random.default_rng(0).normal(size=(6, 5)))


def test_odd_columns():
    z, site, age = planted(60, 3)
    z[:, 1] = 4.0
    twice = np.column_stack([age, age, site == "B", np.ones(60)])  # a copy, a site in disguise, a constant
    found = apply(fit(z, site, twice), z, site, twice)
    assert np.isfinite(found).all() and found[:, 1] == pytest.approx(4.0)
    assert found == pytest.approx(apply(fit(z, site, age), z, site, age), abs=1e-8)
    one = apply(fit(z[:, :1], site, age), z[:, :1], site, age)  # one latent: nothing to shrink towards
    share, *_ = sites.site_r2(one[:, 0], site, sm.add_constant(age))
    assert share < 1e-4
    single = np.repeat("A", 60)
    assert apply(fit(z, single, age), z, single, age) == pytest.approx(z, abs=1e-12)


# --- the audit ---


def cohort(n: int = 200, **options: float) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    z, site, age = planted(n, **options)
    table = pd.DataFrame({"scan": [f"s{k}" for k in range(n)], "person": [f"p{k}" for k in range(n)], "site": site})
    table = table.assign(age=age[:, 0], fold=np.arange(n) % 5, session=None, acquisition=None, run=None)
    latents = table[["scan", "person"]].assign(model="vae", fold=0, seed=1, split="test")
    latents = pd.concat([latents, pd.DataFrame(z, columns=[f"mu_{k:03d}" for k in range(z.shape[1])])], axis=1)
    return table, latents, table[["scan"]].assign(excluded=False)


def audited(tmp_path: Path, parts: tuple[pd.DataFrame, ...], verdict: str = "healthy") -> pd.DataFrame:
    for name, part in zip(("cohort", "latents", "qc"), parts, strict=True):
        part.to_parquet(tmp_path / f"{name}.parquet")
    (tmp_path / "health.json").write_text(json.dumps({"verdict": verdict, "reason": "why"}))
    files = {name: tmp_path / f"{name}.parquet" for name in ("cohort", "latents", "qc")}
    confounds = [{"name": "age", "type": "continuous"}]
    sites.run(**files, health=tmp_path / "health.json", confounds=confounds, out=tmp_path / "sites.parquet")
    table = pd.read_parquet(tmp_path / "sites.parquet")
    assert list(table) == list(sites.COLUMNS)
    return table


def test_audit_names_the_site_and_what_harmonisation_leaves(tmp_path):
    table = audited(tmp_path, cohort()).set_index("latent")
    every, rest = table.loc["all"], table.drop(index="all")
    assert set(table["status"]) == {"ok"} and len(rest) == 8 and set(rest["n_sites"]) == {3}
    assert rest["r2_before"].mean() > 0.1 and rest["r2_after"].mean() < 0.03 and rest["levene_p_before"].max() < 1e-4
    assert rest["q_before"].max() < 0.01 and (rest["p_after"] > 0.001).all() and (rest["levene_p_after"] > 1e-3).all()
    assert every["chance"] == pytest.approx(1 / 3)  # A and C differ in spread only, which the classifier cannot see
    assert every["accuracy_before"] > 0.43 and every["accuracy_after"] < every["accuracy_before"] - 0.1
    assert "site" not in rest["confounds"].iloc[0] and "age" in rest["confounds"].iloc[0]


def test_site_share_equals_statsmodels_and_scipy():
    z, site, age = planted(80)
    x, dummies = sm.add_constant(age), pd.get_dummies(site, drop_first=True).to_numpy(float)
    full, short = sm.OLS(z[:, 0], np.column_stack([x, dummies])).fit(), sm.OLS(z[:, 0], x).fit()
    share, p, levene = sites.site_r2(z[:, 0], site, x)
    assert share == pytest.approx(1 - full.ssr / short.ssr) and p == pytest.approx(full.compare_f_test(short)[1])
    assert levene == pytest.approx(stats.levene(*[full.resid[site == name] for name in "ABC"]).pvalue)


def test_the_audits_harmonisation_is_out_of_fold():
    z, site, age = planted(60)
    fold = np.arange(60) % 3
    found, _ = sites.out_of_fold(z, site, age, fold)
    changed = np.where((fold == 1)[:, None], z + 50, z)  # people of fold 1 must not move what is applied to them
    again, _ = sites.out_of_fold(changed, site, age, fold)
    train = fold != 1
    model = harmonise.fit(z[train], site[train], age[train])
    assert again[fold == 1] == pytest.approx(apply(model, changed[fold == 1], site[fold == 1], age[fold == 1]))
    assert found[fold == 1] == pytest.approx(apply(model, z[fold == 1], site[fold == 1], age[fold == 1]))


def test_audit_statuses(tmp_path):
    table, latents, qc = cohort(60)
    assert list(audited(tmp_path, (table.assign(site="A"), latents, qc))["status"]) == ["one site"]
    (row,) = audited(tmp_path, (table.assign(site="n/a"), latents, qc)).to_dict("records")
    assert (row["status"], row["reason"], row["n"]) == ("one site", "no site is known", 0)
    assert list(audited(tmp_path, (table, latents, qc), "collapsed")["status"]) == ["not tested"]
    flat = audited(tmp_path, (table, latents.assign(mu_001=1.0), qc)).set_index("latent")["status"]
    assert flat["mu_001"] == "constant latent" and (flat.drop("mu_001") == "ok").all()
    few = table.assign(site=np.where(np.arange(60) < 2, "D", table["site"]))
    found = audited(tmp_path, (few, latents, qc))
    assert set(found["status"]) == {"no harmonisation"} and found["r2_after"].isna().all()
    assert found["reason"].str.contains("site D has 1 training people").all()
    assert found["r2_before"].notna().sum() == 8
    whole = found.set_index("latent").loc["all"]  # the accuracy as it is needs no harmonisation
    assert 0 <= whole["accuracy_before"] <= 1 and np.isnan(whole["accuracy_after"])
    joined = first_scans(join(table, latents, qc))
    z, site = joined.filter(regex="^mu_").to_numpy(), joined["site"].to_numpy(str)
    alone = sites.unharmonised(z, site, joined["fold"].to_numpy())
    assert alone == pytest.approx(
        sites.sites(joined, [])[-1]["accuracy_before"]
    )  # as beside ComBat, where it is possible
    assert set(audited(tmp_path, tuple(part.head(14) for part in cohort(14)))["status"]) == {"too few people"}
