"""Several latents at once: nested tests against statsmodels, planted products, and what cannot be tested."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit

from neurovae.associate import multivariable
from neurovae.design.rows import standard

pytestmark = pytest.mark.filterwarnings("error")
AGE = [{"name": "age", "type": "continuous"}]
SCORES: list[dict[str, Any]] = [{"name": name, "type": name} for name in ("continuous", "count", "binary")]


def table_of(people: int = 120, size: int = 4, product: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """A joined table: mu_000 drives every score by .5, the product of mu_001 and mu_002 by `product`; age is linear."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(people, size)) * np.linspace(2, 1, size)
    eta = 0.5 * standard(z[:, 0]) + product * standard(z[:, 1]) * standard(z[:, 2])
    table = pd.DataFrame(z, columns=[f"mu_{k:03d}" for k in range(size)])
    table["age"] = np.arange(people) % 4 * 10.0  # too few values for a spline
    return table.assign(
        person=[f"sub-{k:03d}" for k in range(people)],
        site="A",
        continuous=eta + rng.normal(size=people),
        count=rng.negative_binomial(2, 1 / (1 + 0.5 * np.exp(1 + eta))).astype(float),
        binary=(rng.random(people) < expit(eta)).astype(float),
        latents_model="vae",
        latents_fold=0,
        latents_seed=1,
        latents_split="test",
    )


def rows_of(table: pd.DataFrame, score: dict[str, Any], interactions: int = 4) -> pd.DataFrame:
    rows = multivariable.joint(table, score, AGE, interactions)
    return pd.DataFrame(rows).reindex(columns=[*multivariable.COLUMNS]).set_index("term")


def columns_of(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Confounds and standardised latents."""
    z = np.column_stack([standard(table[name].to_numpy()) for name in table if name.startswith("mu_")])
    return sm.add_constant(standard(table["age"].to_numpy())), z


def test_all_latents_equal_the_f_test_of_statsmodels():
    table = table_of()
    x, z = columns_of(table)
    y = standard(table["continuous"].to_numpy())
    full, null = sm.OLS(y, np.hstack([x, z])).fit(), sm.OLS(y, x).fit()
    row = rows_of(table, SCORES[0]).loc[multivariable.ALL]
    assert np.isclose(row["p"], full.compare_f_test(null)[1], rtol=1e-6) and row["df"] == 4
    assert np.isclose(row["partial_r2"], 1 - full.ssr / null.ssr) and pd.isna(row["effect"])


@pytest.mark.parametrize("kind", ["count", "binary"])
def test_all_latents_equal_the_scaled_likelihood_ratio(kind: str):
    table = table_of()
    x, z = columns_of(table)
    model = {"count": sm.NegativeBinomial, "binary": sm.Logit}[kind]
    options: dict[str, Any] = {"method": "bfgs", "maxiter": 500, "gtol": 1e-7, "disp": 0}
    null, full = (model(table[kind], part).fit(**options) for part in (x, np.hstack([x, z])))
    p = stats.chi2.sf(2 * (full.llf - null.llf) * (120 - len(full.params)) / 120, 4)
    assert np.isclose(rows_of(table, {"name": kind, "type": kind}).loc[multivariable.ALL, "p"], p, rtol=1e-4)


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score["type"])
def test_adjusted_effects_are_those_of_the_one_model(score: dict[str, Any]):
    table = table_of()
    x, z = columns_of(table)
    y = table[score["name"]].to_numpy()
    both = np.hstack([x, z])
    theirs = {
        "continuous": lambda: sm.OLS(standard(y), both).fit(),
        "count": lambda: sm.NegativeBinomial(y, both).fit(disp=0, method="bfgs", maxiter=500, gtol=1e-7),
        "binary": lambda: sm.Logit(y, both).fit(disp=0),
    }[score["type"]]()
    rows = rows_of(table, score).query("part == 'adjusted'")
    assert np.allclose(rows["effect"], theirs.params[2:6], atol=1e-4) and (rows["df"] == 1).all()
    assert np.allclose(rows["q"], stats.false_discovery_control(rows["p"])) and (rows["family_size"] == 4).all()
    if score["type"] == "binary":
        without = sm.Logit(y, np.delete(both, 3, axis=1)).fit(disp=0)
        assert np.isclose(rows["p"].iloc[1], stats.chi2.sf(2 * (theirs.llf - without.llf) * (120 - 6) / 120, 1))


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score["type"])
def test_a_planted_product_is_found_and_signs_flip_effects_not_p(score: dict[str, Any]):
    table = table_of(people=300, product=0.8)
    rows = rows_of(table, score)
    products = rows.query("part == 'interaction'")
    assert len(products) == 6 and products["q"].idxmin() == "mu_001 x mu_002" and products["q"].min() < 1e-3
    planted = products.loc["mu_001 x mu_002"]
    assert planted["effect"] > 0 and products.drop("mu_001 x mu_002")["p"].min() > 1e-3
    if score["type"] != "continuous":  # in the link's unit, as planted
        assert planted["ci_low"] < 0.8 < planted["ci_high"]
    flipped = rows_of(table.assign(mu_001=-table["mu_001"]), score)
    sign = np.where(rows.index.str.contains("mu_001"), -1, 1)[1:]
    assert np.allclose(flipped["effect"][1:], sign * rows["effect"][1:], rtol=1e-3, atol=1e-5)
    assert np.allclose(flipped["p"], rows["p"], rtol=1e-3)
    assert np.allclose(flipped["ci_low"].iloc[2], -rows["ci_high"].iloc[2], rtol=1e-3)


def test_both_sides_of_the_null():
    p = []
    for seed in range(80):
        table = table_of(people=60, size=3, seed=seed)
        table["noise"] = np.random.default_rng(1000 + seed).normal(size=60)
        rows = rows_of(table, {"name": "noise", "type": "continuous"}, 3)
        p.append([rows.loc[term, "p"] for term in (multivariable.ALL, "mu_001", "mu_000 x mu_001")])
    for column in np.array(p).T:
        assert stats.binomtest(int(np.sum(column < 0.05)), 80, 0.05).pvalue > 0.001


def test_too_few_people_for_all_latents_still_get_their_products():
    rows = rows_of(table_of(people=40, size=30), SCORES[0], 3)
    apart = rows.query("part != 'interaction'")
    assert set(apart["status"]) == {"too few people"} and apart["p"].isna().all() and len(apart) == 31
    assert apart["reason"].iloc[0] == "40 people for 1 confound columns and 30 latents; see the omnibus table"
    assert (rows.query("part == 'interaction'")["status"] == "ok").all()
    few = rows_of(table_of(people=12), SCORES[0])
    assert set(few["status"]) == {"too few people"} and len(few) == 1 + 4 + 6
    edge = [rows_of(table_of(people=people), SCORES[0], 0).loc[multivariable.ALL, "status"] for people in (15, 16)]
    assert edge == ["too few people", "ok"]  # 2 columns and 4 latents leave 9 and 10


def test_latents_without_values_of_their_own():
    table = table_of().assign(mu_001=3.0, mu_003=lambda t: t["mu_000"] + t["mu_002"])
    rows = rows_of(table, SCORES[0])
    status = rows.query("part == 'adjusted'")["status"].to_list()
    assert status == ["ok", "constant latent", "ok", "constant latent"] and rows.loc[multivariable.ALL, "df"] == 2
    assert rows.loc["mu_000 x mu_001", "status"] == "constant latent" and rows.loc["mu_000 x mu_002", "status"] == "ok"
    flat = table_of().assign(**{f"mu_{k:03d}": 1.0 for k in range(4)})
    assert set(rows_of(flat, SCORES[0])["status"]) == {"constant latent"}


def test_separation_by_several_latents_is_a_status():
    table = table_of(people=60, size=3)
    table["binary"] = (table["mu_000"] + table["mu_001"] > 0).astype(float)
    rows = rows_of(table, SCORES[2])
    assert set(rows.query("part != 'interaction'")["status"]) == {"separation"} and rows["p"].iloc[:4].isna().all()


def test_pairs_are_chosen_by_variance_and_never_by_a_score():
    table = table_of()
    assert multivariable.widest(table, 2) == ["mu_000", "mu_001"]
    assert multivariable.widest(table.assign(mu_003=9 * table["mu_003"]), 2) == ["mu_000", "mu_003"]
    moved = table.assign(continuous=table["continuous"].sample(frac=1, random_state=0).to_numpy())
    moved.loc[:20, "continuous"] = np.nan
    assert list(rows_of(moved, SCORES[0], 3).index) == list(rows_of(table, SCORES[0], 3).index)
    assert len(rows_of(table, SCORES[0], 0)) == len(rows_of(table, SCORES[0], 1)) == 5


def written(folder: Path, verdict: str) -> pd.DataFrame:
    table = table_of(people=60)
    given = [name for name in table if name.startswith(("mu_", "latents_"))]
    cohort = table.drop(columns=given).assign(scan=table["person"], session="1", acquisition=None, run=None, fold=0)
    latents = table[given].rename(columns=lambda name: name.removeprefix("latents_"))
    parts = {"cohort": cohort, "latents": latents.assign(scan=table["person"], person=table["person"])}
    parts["qc"] = pd.DataFrame({"scan": table["person"], "excluded": False})
    for name, part in parts.items():
        part.to_parquet(folder / f"{name}.parquet")
    (folder / "health.json").write_text(json.dumps({"verdict": verdict, "reason": "no active unit"}))
    files = {name: folder / f"{name}.parquet" for name in parts} | {"health": folder / "health.json"}
    multivariable.run(**files, scores=SCORES, confounds=AGE, interactions=3, out=folder / "multivariable.parquet")
    return pd.read_parquet(folder / "multivariable.parquet")


def test_the_table_on_disk(tmp_path: Path):
    table = written(tmp_path, "overfit")
    assert list(table.columns) == list(multivariable.COLUMNS) and len(table) == 3 * (1 + 4 + 3)
    assert set(table["verdict"]) == {"overfit"} and set(table["part"]) == {"together", "adjusted", "interaction"}
    assert (table["split_policy"] == "people unseen in training").all() and (table["n"] == 60).all()
    stopped = written(tmp_path, "collapsed")
    assert len(stopped) == 1 and stopped["p"].isna().all() and stopped["verdict"].item() == "collapsed"


def test_a_likelihood_ratio_of_many_columns_needs_ten_people_a_column():
    assert multivariable.too_few_for("count", 259, 26) and not multivariable.too_few_for("count", 260, 26)
    assert not multivariable.too_few_for("continuous", 60, 26) and multivariable.too_few_for("bounded", 35, 26)
