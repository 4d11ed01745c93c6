"""The confound audit against statsmodels, planted nuisances, noise, and a score that goes with what nobody declared."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import binom

from neurovae.audit import confounds, nuisances
from neurovae.design.design import first_scans, join
from neurovae.errors import InputError
from neurovae.preprocess.columns import QUALITY

pytestmark = pytest.mark.filterwarnings("error")
PEOPLE, LATENTS, FLAG = 120, 12, 0.1
AGE = {"name": "age", "type": "continuous"}
MOTOR = {"name": "motor", "type": "continuous"}
OTHER = {"name": "other", "type": "continuous"}


def tables(seed: int = 0, people: int = PEOPLE) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Cohort, latents and qc tables in which nothing goes with anything."""
    rng = np.random.default_rng(seed)
    cohort = pd.DataFrame({"person": [f"sub-{k:03d}" for k in range(people)]})
    cohort = cohort.assign(scan=cohort["person"], session=None, acquisition=None, run=None, site="n/a", fold=0)
    cohort = cohort.assign(
        age=rng.uniform(20, 85, people), sex=rng.choice(["F", "M"], people), motor=rng.normal(size=people)
    )
    cohort["centre"] = rng.choice(["A", "B", "C"], people)
    latents = cohort[["scan", "person"]].assign(model="vae", fold=0, seed=1, split="test")
    z = pd.DataFrame(rng.normal(size=(people, LATENTS)), columns=[f"mu_{k:03d}" for k in range(LATENTS)])
    qc = pd.DataFrame(rng.normal(size=(people, len(QUALITY))), columns=list(QUALITY)).assign(clipped=0.0)
    return cohort, pd.concat([latents, z], axis=1), qc.assign(scan=cohort["scan"], excluded=False)


def audited(
    parts: tuple[pd.DataFrame, ...], declared: list[dict[str, Any]], scores: list[dict[str, Any]] | None = None
) -> pd.DataFrame:
    table = first_scans(join(*parts))
    return pd.DataFrame(confounds.audit(table, scores or [], declared, [], FLAG))


def one(rows: pd.DataFrame, latent: str, nuisance: str) -> pd.Series:
    return rows[(rows["latent"] == latent) & (rows["nuisance"] == nuisance)].iloc[0]


def test_shares_and_p_equal_statsmodels():
    cohort, latents, qc = tables()
    cohort.loc[:3, "age"] = np.nan
    latents["mu_000"] += 0.05 * cohort["age"].fillna(50) + 0.5 * qc["rotation_x"]
    parts = (cohort, latents, qc)
    row = one(audited(parts, [AGE]), "mu_000", "rotation")
    table = first_scans(join(*parts))
    known = table["age"].notna().to_numpy()
    blocks = {}
    for name in ("age", "qc_rotation_x", "qc_rotation_y", "qc_rotation_z"):
        values = table.loc[known, name]
        blocks[name] = nuisances.expand(name, "continuous", values, values)[1]
    rotation = np.hstack([blocks[f"qc_rotation_{axis}"] for axis in "xyz"])
    y = table.loc[known, "mu_000"]
    alone = sm.OLS(y, sm.add_constant(rotation)).fit()
    age = sm.OLS(y, sm.add_constant(blocks["age"])).fit()
    both = sm.OLS(y, sm.add_constant(np.hstack([blocks["age"], rotation]))).fit()
    assert (row["n"], row["df"], row["df_beyond"]) == (PEOPLE - 4, 9, 9)
    np.testing.assert_allclose([row["r2"], row["r2_adjusted"]], [alone.rsquared, alone.rsquared_adj], rtol=1e-9)
    np.testing.assert_allclose([row["p"], row["p_beyond"]], [alone.f_pvalue, both.compare_f_test(age)[1]], rtol=1e-6)
    np.testing.assert_allclose(row["r2_beyond"], both.rsquared_adj - age.rsquared_adj, rtol=1e-9)


def test_planted_rotation_is_named_and_declared_age_is_not():
    cohort, latents, qc = tables()
    latents["mu_003"] += 1.2 * qc["rotation_y"]
    latents["mu_005"] += 0.08 * cohort["age"]
    named = pd.DataFrame(confounds.summary(audited((cohort, latents, qc), [AGE]).to_dict("records"))).set_index(
        "latent"
    )
    assert named.index[named["flagged"]].tolist() == ["mu_003"]
    said = r"rotation explains \d\d % of this latent's variance beyond the declared confounds"
    assert re.fullmatch(said, named.loc["mu_003", "text"])
    assert re.fullmatch(r"age .* latent's variance \(a declared confound\)", named.loc["mu_005", "text"])
    undeclared = audited((cohort, latents, qc), [])
    assert one(undeclared, "mu_005", "age")["flagged"] and not one(undeclared, "mu_005", "age")["declared"]


def test_what_merely_goes_with_a_declared_confound_raises_no_alarm():
    cohort, latents, qc = tables()
    qc["head_size"] = cohort["age"] / 20 + 0.3 * qc["head_size"]
    latents["mu_001"] += 0.1 * cohort["age"]
    row = one(audited((cohort, latents, qc), [AGE]), "mu_001", "head size")
    assert row["r2_adjusted"] > 0.5 and row["q"] < 1e-6 and abs(row["r2_beyond"]) < 0.05 and not row["flagged"]
    assert one(audited((cohort, latents, qc), []), "mu_001", "head size")["flagged"]


def test_noise_is_flagged_in_no_more_cohorts_than_alpha_and_p_is_uniform():
    draws = [audited(tables(seed, 60), [AGE]) for seed in range(40)]
    alarms = sum(rows["flagged"].any() for rows in draws)
    assert alarms <= binom.isf(0.001, len(draws), 0.05)
    p = np.concatenate([rows["p_beyond"].dropna() for rows in draws])
    share, nulls = (
        (p < 0.05).mean(),
        len(p) / 4,
    )  # the latents' tests are nearly independent, the nuisances' are not all
    assert abs(share - 0.05) < 3.3 * np.sqrt(0.05 * 0.95 / nulls)
    shares = np.concatenate([rows["r2_adjusted"].dropna() for rows in draws])
    assert abs(shares.mean()) < 0.005  # plain R2 is .08 on average


@pytest.mark.parametrize("name", ["age", "centre"])
def test_a_score_that_goes_with_an_undeclared_column_is_named(name: str):
    cohort, latents, qc = tables()
    drive = cohort["age"] / 20 if name == "age" else cohort["centre"].map({"A": -1.0, "B": 0.0, "C": 2.0})
    cohort["motor"] += drive
    rows = audited((cohort, latents, qc), [], [MOTOR])
    named = pd.DataFrame(confounds.summary(rows.to_dict("records")))
    said = named[named["kind"] == "score"].iloc[0]
    assert (
        said["flagged"]
        and said["text"].startswith(f"{name} explains ")
        and said["text"].endswith(" % of the variance in motor beyond the declared confounds")
    )
    kind = "continuous" if name == "age" else "categorical"
    rows = audited((cohort, latents, qc), [{"name": name, "type": kind}], [MOTOR])
    assert not rows.loc[rows["kind"] == "score", "flagged"].any()


def test_a_nuisance_of_a_latent_is_a_caveat_of_its_associations_only_where_the_score_has_it_too():
    cohort, latents, qc = tables()
    cohort["other"] = np.random.default_rng(9).normal(size=PEOPLE)
    cohort["motor"] += qc["noise"]
    latents["mu_000"] += qc["noise"]
    latents["mu_001"] += qc["rotation_x"]
    rows = confounds.audit(first_scans(join(cohort, latents, qc)), [MOTOR, OTHER], [AGE], [], FLAG)
    named = pd.DataFrame(confounds.summary(rows))
    pairs = named[named["kind"] == "association"].set_index(["score", "latent"])
    assert len(pairs) == 2 * LATENTS and pairs.index[pairs["flagged"]].tolist() == [("motor", "mu_000")]
    said = r"image noise explains \d\d % of this latent's variance beyond the declared confounds and is also associated with motor"
    assert re.fullmatch(said, pairs.loc[("motor", "mu_000"), "text"])
    said = r"rotation explains \d\d % of this latent's variance beyond the declared confounds"
    assert re.fullmatch(said, pairs.loc[("other", "mu_001"), "text"])
    declared = {"name": "noise", "type": "continuous", "from": "preprocess"}
    rows = confounds.audit(first_scans(join(cohort, latents, qc)), [MOTOR, OTHER], [AGE, declared], [], FLAG)
    assert not any(row["flagged"] for row in confounds.summary(rows) if row["kind"] != "latent")


def test_another_score_alarms_a_score_and_no_latent():
    cohort, latents, qc = tables()
    cohort["motor"] += cohort["age"] / 15
    latents["mu_000"] += cohort["age"] / 15
    rows = audited((cohort, latents, qc), [], [MOTOR, AGE])
    assert one(rows, "mu_000", "age")["r2"] > 0.4 and not one(rows, "mu_000", "age")["flagged"]
    assert rows.loc[(rows["score"] == "motor") & (rows["nuisance"] == "age"), "flagged"].all()
    assert not ((rows["score"] == "age") & (rows["nuisance"] == "age")).any()


def test_several_sites_are_accounted_for_by_the_design_itself():
    cohort, latents, qc = tables()
    cohort["site"] = cohort["centre"]
    latents["mu_000"] += cohort["centre"].map({"A": -2.0, "B": 0.0, "C": 2.0})
    rows = audited((cohort.drop(columns="centre"), latents, qc), [])
    row = one(rows, "mu_000", "site")
    assert row["declared"] and row["r2"] > 0.5 and row["r2_beyond"] == 0 and not row["flagged"]


def test_what_cannot_be_tested_says_so():
    cohort, latents, qc = tables()
    latents["mu_002"] = 1.0
    rows = audited((cohort.drop(columns="sex").assign(note=cohort["person"]), latents, qc.drop(columns="noise")), [])
    untested = rows[rows["status"] != "ok"]
    found = untested[untested["latent"] == "mu_000"].set_index("nuisance")
    assert "no column 'sex'" in found.loc["sex", "reason"] and "missing" in found.loc["site", "reason"]
    assert "levels" in found.loc["note", "reason"] and found.loc["noise", "status"] == "constant nuisance"
    assert one(rows, "mu_002", "rotation")["status"] == "constant" and np.isnan(one(rows, "mu_002", "rotation")["r2"])
    assert not untested["flagged"].any()


def options(folder: Path, parts: tuple[pd.DataFrame, ...], verdict: str = "healthy") -> dict[str, Any]:
    for name, table in zip(("cohort", "latents", "qc"), parts, strict=True):
        table.to_parquet(folder / f"{name}.parquet")
    (folder / "health.json").write_text(json.dumps({"verdict": verdict, "reason": "no active unit"}))
    files = {name: folder / f"{name}.parquet" for name in ("cohort", "latents", "qc")}
    wanted = {"health": folder / "health.json", "scores": [MOTOR], "confounds": [AGE], "min_variance_explained": FLAG}
    return files | wanted | {"out": folder / "out.parquet", "caveats": folder / "caveats.parquet"}


def test_regions_are_told_and_never_flagged(tmp_path: Path):
    cohort, latents, qc = tables()
    rng = np.random.default_rng(5)
    volumes = pd.DataFrame(
        {"participant_id": cohort["person"].str.removeprefix("sub-"), "ventricles": rng.normal(size=PEOPLE)}
    )
    latents["mu_004"] += 2 * volumes["ventricles"]
    volumes[::-1].to_csv(tmp_path / "volumes.tsv", sep="\t", index=False)
    confounds.run(**options(tmp_path, (cohort, latents, qc)), volumes=tmp_path / "volumes.tsv")
    rows = pd.read_parquet(tmp_path / "out.parquet")
    row = one(rows, "mu_004", "ventricles")
    assert row["nuisance_kind"] == "region" and row["r2"] > 0.6 and row["family_size"] == LATENTS and not row["flagged"]
    flags = pd.read_parquet(tmp_path / "caveats.parquet")
    assert len(flags) == LATENTS + 1 + LATENTS and set(flags["verdict"]) == {"healthy"}
    pd.concat([volumes, volumes]).to_csv(tmp_path / "volumes.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match="was already given in row 2"):
        confounds.run(**options(tmp_path, (cohort, latents, qc)), volumes=tmp_path / "volumes.tsv")


def test_a_collapsed_model_is_one_row(tmp_path: Path):
    confounds.run(**options(tmp_path, tables(), "collapsed"), volumes=Path(""))
    for name in ("out", "caveats"):
        rows = pd.read_parquet(tmp_path / f"{name}.parquet")
        assert rows["status"].tolist() == ["not tested"] and rows["verdict"].tolist() == ["collapsed"]


def test_a_nuisance_of_two_words_is_named_whole():
    rows = [{"nuisance": "head size", "r2_beyond": 0.742}, {"nuisance": "noise", "r2_beyond": 0.1}]
    assert confounds._in_words(rows) == "head size explains 74 %, image noise 10 %"
