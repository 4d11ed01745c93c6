"""Two small cohorts with the latents of one model: what the first found, and people of the second to test it on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.associate import univariate
from neurovae.design.design import join
from neurovae.export import inference
from neurovae.external import external
from neurovae.io import latent_table
from neurovae.predict import predict
from neurovae.predict.folds import complete_cases, outer_folds

LATENTS, FOLDS, INNER = 6, 5, 3
AGE: dict[str, Any] = {"name": "motor", "type": "continuous"}
ILL: dict[str, Any] = {"name": "ill", "type": "binary", "positive": "yes"}
CONFOUNDS: list[dict[str, Any]] = [{"name": "age", "type": "continuous"}, {"name": "sex", "type": "categorical"}]
Parts = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def people(
    count: int = 80,
    seed: int = 0,
    *,
    effect: float = 1.0,
    site: str = "A",
    shift: float = 0.0,
    unit: float = 1.0,
    names: str = "a",
    kind: str = "pca",
) -> Parts:
    """Cohort, latents and quality tables; the first two latents drive the scores.

    effect: of these latents on the scores. shift: of all latents, as another scanner might. unit: of the score.
    """
    rng = np.random.default_rng(seed)
    z, age = rng.normal(size=(count, LATENTS)), rng.uniform(40, 80, count).round(1)
    eta = effect * (z[:, 0] - 0.7 * z[:, 1]) + (age - 60) / 20
    person = [f"sub-{names}{k:03d}" for k in range(count)]
    table = pd.DataFrame({"scan": person, "person": person, "session": "", "acquisition": "", "run": "", "site": site})
    table = table.assign(fold=np.arange(count) % FOLDS, age=age, sex=rng.choice(["F", "M"], count))
    table["motor"] = (unit * (20 + 3 * (eta + 0.7 * rng.normal(size=count)))).round(4)
    table["ill"] = np.where(eta + rng.logistic(size=count) > 0, "yes", "no")
    latents = table[["scan", "person"]].assign(model="m", kind=kind, fold=0, seed=0, split="test")
    columns = [f"mu_{k:03d}" for k in range(LATENTS)]
    latents = pd.concat([latents, pd.DataFrame(z + shift, columns=columns)], axis=1)
    return table, latents, table[["scan"]].assign(excluded=False, head_size=rng.normal(1, 0.05, count).round(4))


def inferred(
    parts: Parts, scores: list[dict[str, Any]], confounds: list[dict[str, Any]] = CONFOUNDS
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Joined table, tests with p_maxt, and cross-fitted metrics of a cohort."""
    table = join(*parts)
    glm, _, _, permuted = univariate.tests(table, scores, confounds, 199, 0)
    p = pd.DataFrame(permuted)[["score", "latent", "p_maxt"]]
    rows = []
    for score in scores:
        cases = complete_cases(outer_folds([table]), score, confounds, inner=INNER)
        rows += predict.summarise(cases, predict.cross_validate(cases, ["linear"]), {}, 50, 0)
    return table, pd.DataFrame(glm).merge(p, on=["score", "latent"]), pd.DataFrame(rows)


def given_away(
    parts: Parts, scores: list[dict[str, Any]], confounds: list[dict[str, Any]] = CONFOUNDS
) -> dict[str, Any]:
    """What an export of the first cohort holds."""
    found = inference.describe(*inferred(parts, scores, confounds), scores, confounds, INNER, 0)
    result: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    return result


def validated(
    folder: Path,
    theirs: dict[str, Any],
    parts: Parts,
    scores: list[dict[str, Any]],
    confounds: list[dict[str, Any]] = CONFOUNDS,
    mapping: dict[str, Any] | None = None,
    own: pd.DataFrame | None = None,
    size: np.ndarray | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tables of replication, transfer and predictions in the second cohort."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inference.json").write_text(json.dumps(theirs))
    paths = {name: folder / f"{name}.parquet" for name in ("cohort", "latents", "qc", "own", "index", "a", "b", "c")}
    for name, table in zip(
        ("cohort", "latents", "qc", "own"), (*parts, (parts[1] if own is None else own)), strict=True
    ):
        table.to_parquet(paths[name])
    latents = latent_table.columns(parts[1])
    size = np.ones(len(latents)) if size is None else size
    pd.DataFrame({"latent": latents, "position": range(len(latents)), "size": size}).to_parquet(paths["index"])
    external.run(
        cohort=paths["cohort"], qc=paths["qc"], latents=paths["latents"], own=[paths["own"]], index=[paths["index"]],
        inference=folder / "inference.json", scores=scores, confounds=confounds, mapping=mapping, inner=INNER,
        bootstraps=200, harmonise="none", new_site="refuse", seed=0, replicated=paths["a"], transferred=paths["b"],
        predictions=paths["c"],
    )  # fmt: skip
    return pd.read_parquet(paths["a"]), pd.read_parquet(paths["b"]), pd.read_parquet(paths["c"])
