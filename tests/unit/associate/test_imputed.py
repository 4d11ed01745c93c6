"""Missing confounds imputed: who enters, that nothing missing changes nothing, and what the tables say of it."""

import numpy as np
import pandas as pd
import pytest
from simulated_tests import CONFOUNDS, KINDS, people, score

from neurovae.associate.multivariable import joint
from neurovae.associate.univariate import tests as univariate
from neurovae.design import imputed
from neurovae.design.design import design

pytestmark = pytest.mark.filterwarnings("error")
M = 5
SEX = [*CONFOUNDS, {"name": "sex", "type": "categorical"}]
PAIR = [score("continuous"), score("binary")]


def made(n: int = 80, size: int = 3, effect: float = 0.5) -> pd.DataFrame:
    """Whole data, two sites."""
    table = people(n, size, effect, seed=2, sites="AB")
    return table.assign(sex=np.random.default_rng(5).choice(["F", "M"], n), scan=table["person"])


def gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Age missing the more often, the higher the continuous score; sex in a tenth, one site unknown."""
    rng = np.random.default_rng(6)
    high = table["continuous"].rank(pct=True).to_numpy()
    site = table["site"].mask(np.arange(len(table)) == 3)
    return table.assign(
        age=table["age"].mask(rng.random(len(table)) < 0.5 * high),
        sex=table["sex"].mask(rng.random(len(table)) < 0.1),
        site=site,
    )


def test_with_nothing_missing_every_number_is_that_of_complete_cases() -> None:
    table = made()
    assert univariate(table, PAIR, SEX, 99, 0) == univariate(table, PAIR, SEX, 99, 0, 1, M)
    assert joint(table, PAIR[0], SEX, 2) == joint(table, PAIR[0], SEX, 2, M)


def test_everybody_with_score_and_site_enters_every_copy() -> None:
    table = gaps(made())
    found = imputed.designs(table, PAIR[0], SEX, M, 0)
    lost = table[["age", "sex"]].isna().any(axis=1) & table["site"].notna()
    assert len(found) == M and all(len(one.y) == 79 and one.imputed == lost.sum() for one in found)
    assert len({one.x.tobytes() for one in found}) == M
    known = ~table[["age", "sex"]].isna().any(axis=1).to_numpy()[found[0].rows]
    sex = [one.x[:, 4] for one in found]  # intercept, three of age, sex
    assert all(np.array_equal(column[known], sex[0][known]) for column in sex) and set(np.unique(sex)) == {0, 1}
    few = design(table, PAIR[0], SEX)
    assert f"imputed ({M} times): age of {table['age'].isna()[found[0].rows].sum()} people, sex" in found[0].text
    assert "left out: 1 without site" in found[0].text and "without age" in few.text and few.imputed == 0
    again = imputed.designs(table, PAIR[0], SEX, M, 0)
    assert all(np.array_equal(a.x, b.x) for a, b in zip(found, again, strict=True))


def test_a_person_alone_in_a_level_of_one_copy_is_left_out_of_all() -> None:
    table = made()
    table["sex"] = np.where(np.arange(80) == 7, "X", table["sex"])
    table["sex"] = pd.Series(table["sex"], dtype=object).mask(np.arange(80) % 20 == 5)
    found = imputed.designs(table, PAIR[0], SEX, 10, 0)
    assert len({one.rows.tobytes() for one in found}) == 1 and 7 not in found[0].rows


@pytest.fixture(scope="module")
def rows() -> dict[str, pd.DataFrame]:
    found = univariate(gaps(made()), [score(kind) for kind in KINDS], SEX, 199, 0, 1, M)
    return {name: pd.DataFrame(part) for name, part in zip(("glm", "spline", "curve", "permute"), found, strict=True)}


def test_every_row_says_that_it_rests_on_imputation(rows: dict[str, pd.DataFrame]) -> None:
    for name in ("glm", "spline", "permute"):
        assert (rows[name]["status"] == "ok").all() and (rows[name]["n_imputed"] > 10).all()
        assert rows[name]["confounds"].str.contains("imputed").all() and (rows[name]["n"] == 79).all()
    glm = rows["glm"]
    assert (
        glm["fmi"].between(0, 0.6).all() and ((glm["ci_low"] < glm["effect"]) & (glm["effect"] < glm["ci_high"])).all()
    )
    assert (rows["permute"]["quadratic_status"] == "not available").all()
    assert rows["permute"]["quadratic_reason"].str.contains("p_quadratic").all()
    planted = glm[glm["latent"] == "mu_000"].set_index("score")["p"]
    assert (planted.drop("ordinal") < 0.05).all()
    known = glm.merge(rows["permute"], on=["score", "latent"])
    assert np.corrcoef(np.log(known["p"]), np.log(known["p_parametric"]))[0, 1] > 0.95
    assert not {"se", "df_effect"} & set(glm)
    curve = rows["curve"]
    assert ((curve["low"] <= curve["fitted"]) & (curve["fitted"] <= curve["high"])).all()


def test_other_tests_say_that_they_are_of_complete_cases() -> None:
    table = gaps(made())
    given = [{"score": "continuous", "reason": ""}, {"score": "other", "reason": "x"}, {"status": "not tested"}]
    found = imputed.complete_only(given, table, PAIR[:1], SEX, M)
    assert found[0]["reason"] == "complete cases: age, sex not imputed in this test" and found[1:] == given[1:]
    assert imputed.complete_only(given, table, PAIR[:1], SEX, 0) == given
    assert imputed.complete_only(given, made(), PAIR[:1], SEX, M) == given


def test_several_latents_are_pooled_too() -> None:
    found = pd.DataFrame(joint(gaps(made()), PAIR[0], SEX, 2, M))
    assert (found["status"] == "ok").all() and found.loc[found["part"] != "together", "fmi"].notna().all()
    assert found["p"].between(0, 1).all() and found["p"].iloc[0] < 0.01


def test_nobody_knows_a_confound() -> None:
    table = made().assign(age=np.nan)
    (one,) = imputed.designs(table, PAIR[0], SEX, M, 0)
    assert one.status == "too few people" and "80 without age" in one.text
