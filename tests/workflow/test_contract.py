"""The contract of latents: every later stage takes latents of any name, place and role, and none gets lost.

The names are neither numbers nor in alphabetical order, as those of a model with shared, private and mapped latents
will be. One small PCA is fitted, its latents are named so, and every later command is run on its files.
"""

import json
from pathlib import Path

import later_stages
import numpy as np
import pandas as pd
import pytest
from later_stages import DECLARED, FIT, SCORES, files
from report_folder import SETTINGS
from statsmodels.stats.multitest import multipletests

from neurovae import latents
from neurovae.errors import InputError
from neurovae.estimator.model import LatentModel
from neurovae.export import export
from neurovae.io import latent_table
from neurovae.report import page, summary
from neurovae.train import fit, weights
from neurovae.train.health import health

NAMES = ["mu_shared_01", "mu_c0_i02_j03_k04", "mu_shared_00", "mu_private_mri_00"]
ROLES = ["shared", "map", "shared", "private"]


def trained(results: Path) -> dict[str, Path]:
    """Fit the PCA, name its latents, infer them, and give the index roles and places. The packed files come back."""
    packed = later_stages.packed(results)
    folder, model = results / f"train/pca/{FIT}", results / f"train/pca/{FIT}/weights.safetensors"
    folder.mkdir(parents=True)
    options = {"n_latent": len(NAMES), "flip": False, "blur": 0.0}
    fit.run(
        **packed, out=model, history=folder / "history.parquet", kind="pca", fold=0, seed=0, device="cpu", options=options
    )  # fmt: skip
    tensors, meta = weights.load(model)
    meta["architecture"]["latents"] = [latent_table.short(name) for name in NAMES]
    weights.save(model, tensors, meta)
    del packed["folds"]
    health.run(**packed, model=model, history=folder / "history.parquet", out=folder / "health.json", seed=0)
    table = files(results)["latents"]
    table.parent.mkdir(parents=True)
    index = table.with_name(latent_table.INDEX)
    latents.run(**packed, model=model, name="pca", out=table, index=index)
    found = pd.read_parquet(index).assign(role=ROLES)
    mapped = found["role"] == "map"
    found.loc[mapped, ["channel", "i", "j", "k"]] = 0, 2, 3, 4
    found.loc[mapped, ["x_mm", "y_mm", "z_mm", "radius_mm"]] = 8.0, 12.0, 16.0, 10.0
    found.loc[mapped, "region"] = "upper half"
    found.loc[found["role"] == "private", "block"] = "mri"
    found.to_parquet(index)
    return packed


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of every later stage."""
    folder = tmp_path_factory.mktemp("contract") / "results/tiny"
    packed = trained(folder)
    z = pd.read_parquet(files(folder)["latents"])[NAMES].to_numpy()
    later_stages.people(folder, pd.read_parquet(packed["rows"]), z)
    later_stages.associated(folder)
    later_stages.audited(folder, packed)
    later_stages.merged(folder, packed, ["pca"], len(NAMES))
    later_stages.predicted(folder)
    later_stages.compared(folder, packed, ["pca"])
    later_stages.decoded(folder, packed)
    later_stages.drawn(folder, ["pca"], ["pca"])
    return folder


def read(results: Path, name: str) -> pd.DataFrame:
    path = results / f"{name}.parquet"
    return pd.read_parquet(path) if path.exists() else pd.read_csv(results / f"{name}.tsv", sep="\t")


@pytest.mark.parametrize(
    "name",
    [
        *(f"associate/pca/{FIT}/{name}" for name in ("glm", "spline", "curves", "permute", "directions")),
        "audit/pca/fold-0/replicated",
        "predict/pca/seed-0/importance",
    ],
)
def test_every_score_has_every_latent_in_the_order_of_the_index(results: Path, name: str) -> None:
    table = read(results, name)
    if "status" in table:
        assert set(table["status"]) <= {"ok", "one seed"}
    found = table.groupby("score", sort=False)["latent"].unique()
    assert list(found.index) == ["motor", "ill"] and [list(latents) for latents in found] == [NAMES, NAMES]


def test_the_audits_have_every_latent_in_the_order_of_the_index(results: Path) -> None:
    explained, caveats = (read(results, f"audit/pca/{FIT}/{name}") for name in ("confounds", "caveats"))
    assert list(explained.query("kind == 'latent'")["latent"].unique()) == NAMES
    assert list(caveats.query("kind == 'latent'")["latent"]) == NAMES
    pairs = caveats.query("kind == 'association'")
    assert list(zip(pairs["score"], pairs["latent"], strict=True)) == [(s["name"], z) for s in SCORES for z in NAMES]
    assert list(read(results, f"audit/pca/{FIT}/sites")["latent"]) == [*NAMES, "all"]
    measured = read(results, "audit/dimension").query("model == 'pca' and measure == 'MLE'")
    assert len(measured) == 1 and measured["value"].notna().all()


def test_all_latents_together_and_adjusted_for_each_other(results: Path) -> None:
    table = read(results, f"associate/pca/{FIT}/multivariable")
    adjusted = table.query("part == 'adjusted'").groupby("score", sort=False)["term"].agg(list)
    assert adjusted.to_dict() == {"motor": NAMES, "ill": NAMES}
    widest = pd.read_parquet(files(results)["latents"])[NAMES].var().nlargest(3).index
    a, b, c = (name for name in NAMES if name in widest)
    products = table.query("part == 'interaction' and score == 'motor'")["term"]
    assert list(products) == [f"{a} x {b}", f"{a} x {c}", f"{b} x {c}"]
    assert set(read(results, f"associate/pca/{FIT}/omnibus")["latents"]) == {len(NAMES)}


def test_the_latents_of_a_role_are_corrected_together_and_apart_from_others(results: Path) -> None:
    size = {"shared": 2, "map": 1, "private": 1}
    linear, permuted = (read(results, f"associate/pca/{FIT}/{name}") for name in ("glm", "permute"))
    for table, count in ((linear, "family_size"), (permuted, "m")):
        assert list(table["role"]) == ROLES * len(SCORES)
        assert list(table[count]) == [size[role] for role in table["role"]]
    alone = permuted["role"] != "shared"
    assert (permuted["p_maxt"] == permuted["p_permutation"])[alone].all()
    assert (permuted["p_maxt"] > permuted["p_permutation"])[~alone].any()
    for _, part in linear.groupby(["score", "role"]):
        np.testing.assert_allclose(part["q"], multipletests(part["p"], method="fdr_bh")[1])
        np.testing.assert_allclose(part["p_bonferroni"], np.minimum(len(part) * part["p"], 1))


def test_the_findings_have_every_latent_with_its_role(results: Path) -> None:
    table = read(results, "findings/associations")
    assert dict(zip(table["latent"], table["role"], strict=True)) == dict(zip(NAMES, ROLES, strict=True))
    assert (
        len(table) == len(SCORES) * len(NAMES)
        and table["p_maxt"].notna().all()
        and (table["replicated"] == "one seed").all()
    )
    best = table.sort_values("p").drop_duplicates("score").set_index("score")["latent"]
    assert best.to_dict() == {"motor": NAMES[0], "ill": NAMES[1]}  # as planted


def test_every_latent_is_decoded(results: Path) -> None:
    folder = results / f"interpret/pca/{FIT}"
    assert set(read(results, f"interpret/pca/{FIT}/traversals")["latent"]) == set(NAMES)
    images = {path.name.removesuffix(".nii.gz") for path in (folder / "traversals").glob("*.nii.gz")}
    assert images == {f"{name}{end}" for name in NAMES for end in ("", "_change")}
    for name in ("maps.parquet", "jacobian.tsv", "realism.parquet", "counterfactuals.parquet"):
        assert set(read(results, f"interpret/pca/{FIT}/{name.split('.')[0]}")["status"]) == {"ok"}, name


def test_figures_report_and_summary_name_the_latents(results: Path) -> None:
    drawn = {path.stem.rsplit("_", 1)[1] for path in (results / "report").glob("pca_*.png")}
    assert drawn >= {"health", "scores", "directions", "confounds", "importance", "traversals", "maps", "samples"}
    config = {"cohort": DECLARED, "report": {"scans": 3}, "preprocess": SETTINGS}
    page.run(cohort=results, models=["pca"], fit=FIT, primary="pca", shown=["pca"], settings=config, out=results / "report/report.html")  # fmt: skip
    text = (results / "report/report.html").read_text()
    assert all(f"{name}</" in text or f"{name} " in text for name in NAMES)
    merged = {name: results / f"findings/{name}.tsv" for name in ("associations", "omnibus")}
    summary.run(
        cohort=files(results)["cohort"], excluded=results / "cohort/excluded.tsv", qc=files(results)["qc"],
        power=results / "audit/power.tsv", health=results / "train", **merged, maps=results / "interpret",
        predictions=results / "predict/predictions.tsv", models=["pca"], fit=FIT, primary="pca",
        out=results / "report/summary.txt",
    )  # fmt: skip
    assert NAMES[0] in (results / "report/summary.txt").read_text()


def test_an_exported_model_keeps_the_names(results: Path, tmp_path: Path) -> None:
    (tmp_path / "derivatives").mkdir()
    (tmp_path / "derivatives/one.json").write_text(json.dumps({"Normalisation": "zscore"}))
    given = {"mask": results / "preprocess/mask.nii.gz", "derivatives": tmp_path / "derivatives"}
    export.run(model=results / f"train/pca/{FIT}/weights.safetensors", out=tmp_path / "shared", **given)
    model = LatentModel.load(tmp_path / "shared")
    assert list(model.get_feature_names_out()) == NAMES
    points = pd.read_parquet(files(results)["latents"])
    found = model.transform(np.load(results / "preprocess/volumes.npy"))
    np.testing.assert_allclose(found, points[NAMES], atol=1e-5)


def test_an_index_of_other_latents_is_refused(results: Path) -> None:
    points = pd.read_parquet(files(results)["latents"])
    index = pd.read_parquet(files(results)["latents"].with_name(latent_table.INDEX))
    with pytest.raises(InputError, match="describes 3 latents, not the 4 of latents.parquet; rerun with"):
        list(latent_table.by_role(points, index.iloc[1:]))
    parts = dict(latent_table.by_role(points, index.iloc[::-1]))
    assert list(parts) == ["shared", "map", "private"]
    assert latent_table.columns(parts["shared"]) == [NAMES[0], NAMES[2]]
