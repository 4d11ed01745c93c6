"""The tables of all models together: no row vanishes, none is doubled, and each carries what speaks against it."""

from typing import Any

import pandas as pd
import pytest

from neurovae.errors import InputError
from neurovae.findings import with_audits, with_score_audit
from neurovae.report.results import of_seed
from neurovae.report.summary import prediction

LATENTS = ["mu_000", "mu_001"]


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"fold": "Int64", "seed": "Int64"})


def row(model: str, score: str | None, latent: str | None, **more: Any) -> dict[str, Any]:
    return {"model": model, "fold": 0, "seed": 0, "score": score, "latent": latent, **more}


def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tests, caveats and seeds of a model with two scores and two latents, and of one that collapsed."""
    pairs = [(score, latent) for score in ("a", "b") for latent in LATENTS]
    tests = frame([row("vae", *pair, p=0.1) for pair in pairs] + [row("bad", None, None)])
    caveats = frame(
        [row("vae", None, name, kind="latent", text=f"shear {name}", flagged=True) for name in LATENTS]
        + [
            row("vae", *pair, kind="association", text=f"shear {pair[1]}", flagged=pair == ("a", "mu_001"))
            for pair in pairs
        ]
        + [row("vae", "a", None, kind="score", text="noise .3", flagged=True)]
        + [row("vae", "b", None, kind="score", text="age .0", flagged=False)]
        + [row("bad", None, None, kind="association", text=None, flagged=None)]
    )
    seeds = frame(
        [row("vae", *pair, replicated="1 of 2") for pair in pairs] + [row("bad", None, None, replicated=None)]
    )
    return tests, caveats, seeds


def test_every_row_stays_and_carries_its_audits() -> None:
    tests, caveats, seeds = tables()
    found = with_audits(tests, caveats, seeds)
    assert len(found) == len(tests) == 5
    assert found.loc[found["latent"] == "mu_001", "flagged"].tolist() == [True, False]
    assert found.loc[found["latent"] == "mu_000", "nuisance"].tolist() == ["shear mu_000"] * 2
    assert (found["replicated"] == "1 of 2").sum() == 4
    assert found.loc[found["score"] == "a", "score_nuisance"].tolist() == ["noise .3"] * 2
    assert found.loc[found["score"] == "b", "score_nuisance"].isna().all()
    assert (
        found.loc[found["model"] == "bad", ["nuisance", "flagged", "replicated", "score_nuisance"]].isna().all().all()
    )


def test_a_score_that_goes_with_an_undeclared_nuisance_is_marked_in_every_table() -> None:
    _, caveats, _ = tables()
    omnibus = frame([row("vae", "a", None, p=0.01), row("vae", "b", None, p=0.5), row("bad", None, None)])
    found = with_score_audit(omnibus.drop(columns="latent"), caveats)
    assert found["score_nuisance"].fillna("").tolist() == ["noise .3", "", ""]


def test_a_test_whose_audit_is_lost_is_refused() -> None:
    """Its columns would be empty, as if nothing spoke against it."""
    tests, caveats, seeds = tables()
    with pytest.raises(InputError, match="stability: no row for 1 tests, first score b, model vae"):
        with_audits(tests, caveats, seeds.drop(index=3))
    with pytest.raises(InputError, match="confounds: no row for 2 tests"):
        with_audits(tests, caveats[caveats["latent"] != "mu_000"], seeds)


def told(seed: float, model: str, features: str, metric: str, value: float, p: float = float("nan")) -> dict[str, Any]:
    numbers = {"value": value, "ci_low": value - 0.1, "ci_high": value + 0.1, "p_permutation": p}
    same = {"score": "sick", "learner": "linear", "status": "ok", "policy": "per fold"}
    return {"seed": seed, "model": model, "features": features, "metric": metric, **same, **numbers}


def test_the_screen_shows_one_seed_and_its_own_p() -> None:
    """The smallest p over seeds would be a search; the p of a binary score stands in the row of its log loss."""
    both = "latents + confounds"
    rows = [
        told(seed, "vae", features, metric, value + seed / 100, p)
        for seed, p in ((0, 0.31), (1, 0.002))
        for features, metric, value, p in (
            ("latents", "auc", 0.8, float("nan")), (both, "auc", 0.85, float("nan")), (both, "log_loss", 0.4, p)
        )
    ]  # fmt: skip
    rows += [told(float("nan"), "voxels", "voxels", "auc", 0.7), told(0, "pca-3", "latents", "auc", 0.75)]
    line = prediction(of_seed(pd.DataFrame(rows), "fold-0_seed-0"), "sick", "vae")
    assert (
        line
        == "AUC 0.85 [0.75, 0.95] from latents + confounds (gain over confounds: permutation p = 0.31); voxels 0.70, "
        "pca-3 0.75"
    )
