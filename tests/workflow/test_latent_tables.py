"""Latents from a table go through every later stage: as the model's own where they are its own, and without a decoder.

A PCA is fitted to the tiny cohort. Its latents, given back as a table, must lead to the same tests and predictions. A
second table has more columns than there are participants.
"""

import json
import re
from pathlib import Path
from typing import Any

import later_stages
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tiny
from later_stages import DECLARED, FIT, PEOPLE, files
from pandas.testing import assert_frame_equal
from report_folder import SETTINGS

from neurovae import latents
from neurovae.report import page, summary, verdict
from neurovae.report.results import Run
from neurovae.report.sections.findings import _map as map_of
from neurovae.train import fit
from neurovae.train.health import health

MODELS = ["given", "pca", "wide"]
COLUMNS = 70  # of the wide table
OWN = {"model", "verdict", "kind"}  # columns that name the model
SEEN = "encoder trained on these participants"
FORWARD = "linear forward model, not a decoder"
NOT_ABOVE = re.compile(r"the linear forward model explains -?\d+\.\d % \[95 % CI -?\d+\.\d, -?\d+\.\d\] of the variance of "
                       r"scans in the test set, an interval that is not above 0")  # fmt: skip


def trained(
    results: Path, packed: dict[str, Path], model: str, kind: str, options: dict[str, Any], table: str = ""
) -> None:
    """Weights, health and latents of one model."""
    folder, read = results / f"train/{model}/{FIT}", {name: packed[name] for name in ("volumes", "rows", "mask")}
    folder.mkdir(parents=True)
    one = {"model": folder / "weights.safetensors", "history": folder / "history.parquet"}
    fit.run(
        **packed, out=one["model"], history=one["history"], kind=kind, fold=0, seed=0, device="cpu", options=options,
        table=table,
    )  # fmt: skip
    health.run(**read, **one, out=folder / "health.json", seed=0, table=table)
    out = files(results, model)["latents"]
    out.parent.mkdir(parents=True)
    index = out.with_name("latent_index.parquet")
    latents.run(**read, model=one["model"], name=model, out=out, index=index, table=table)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of every later stage, with a PCA, its latents as a table, and a wide table."""
    folder = tmp_path_factory.mktemp("tables") / "results/tiny"
    packed = later_stages.packed(folder)
    trained(folder, packed, "pca", "pca", {"n_latent": 3, "flip": False, "blur": 0.0})
    own = {"n_latent": None, "standardise": False, "columns": "mu_*", "seen": "yes"}
    trained(folder, packed, "given", "table", own, str(files(folder, "pca")["latents"]))
    noise = pd.DataFrame(np.random.default_rng(1).normal(size=(PEOPLE, COLUMNS))).add_prefix("emb_")
    table = pd.read_parquet(packed["rows"])[["person"]].join(noise)
    table.to_csv(folder / "wide.csv", index=False)
    wide = {"n_latent": None, "standardise": True, "columns": None, "seen": "unknown"}
    trained(folder, packed, "wide", "table", wide, str(folder / "wide.csv"))
    del packed["folds"]
    z = pd.read_parquet(files(folder)["latents"])[["mu_000", "mu_001", "mu_002"]].to_numpy()
    later_stages.people(folder, pd.read_parquet(packed["rows"]), z)
    for model in MODELS:
        later_stages.associated(folder, model)
        later_stages.audited(folder, packed, model)
        later_stages.predicted(folder, model)
        later_stages.decoded(folder, packed, model)
    later_stages.merged(folder, packed, MODELS, COLUMNS)
    later_stages.compared(folder, packed, MODELS)
    later_stages.drawn(folder, MODELS, ["pca"])
    return folder


@pytest.mark.parametrize(
    "name",
    [
        *(f"associate/{{}}/{FIT}/{name}.parquet" for name in ("glm", "spline", "curves", "permute", "omnibus",
                                                             "directions", "multivariable", "mixed")),
        *(f"audit/{{}}/{FIT}/{name}.parquet" for name in ("confounds", "caveats", "sites")),
        *(f"predict/{{}}/seed-0/{name}.parquet" for name in ("predict", "predictions", "importance")),
    ],
)  # fmt: skip
def test_a_models_own_latents_as_a_table_give_the_models_own_tables(results: Path, name: str) -> None:
    given, own = (pd.read_parquet(results / name.format(model)) for model in ("given", "pca"))
    kept = [column for column in own if column not in OWN or column == "kind" and "audit" in name]
    assert len(own) and list(given.columns) == list(own.columns)
    rtol = 1e-5 if "predict" in name else 1e-9  # sizes of latents come from decoded images, in single precision
    assert_frame_equal(given[kept], own[kept], rtol=rtol, atol=1e-12 if rtol < 1e-6 else 1e-7)
    if "model" in own:
        assert set(given["model"]) == {"given"}
    if "verdict" in own:
        assert set(given["verdict"]) == {f"not applicable; {SEEN}"} and set(own["verdict"]) <= {"healthy", "partial"}


def test_the_same_people_and_splits_but_no_reconstruction(results: Path) -> None:
    given, own = (pd.read_parquet(files(results, model)["latents"]) for model in ("given", "pca"))
    shared = ["scan", "person", "split", "mu_000", "mu_001", "mu_002"]
    assert_frame_equal(given[shared], own[shared])
    assert given["error"].isna().all() and own["error"].notna().all()


def test_more_columns_than_people_are_all_tested(results: Path) -> None:
    tests = pd.read_parquet(results / f"associate/wide/{FIT}/permute.parquet")
    assert set(tests["m"]) == {COLUMNS} and tests["p_maxt"].notna().all()
    assert set(pd.read_parquet(results / f"associate/wide/{FIT}/omnibus.parquet")["status"]) == {"ok"}
    told = pd.read_parquet(results / "predict/wide/seed-0/predict.parquet")
    assert set(told["status"]) == {"ok"}


@pytest.mark.parametrize("model", ["given", "wide"])
def test_what_needs_a_decoder_has_a_row_that_says_so(results: Path, model: str) -> None:
    folder = results / f"interpret/{model}/{FIT}"
    for name in ("traversals", "realism", "counterfactuals"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        assert [tuple(row) for row in table[["model", "status", "reason"]].to_numpy()] == [
            (model, "no decoder", "the latents have no decoder")
        ], name
    changes = pd.read_csv(folder / "jacobian.tsv", sep="\t", keep_default_na=False)
    assert set(changes["status"]) == {"no decoder" if model == "given" else "no map"}
    assert not list((folder / "jacobian").iterdir())


def test_the_forward_model_of_a_models_own_latents_gives_its_maps(results: Path) -> None:
    given, own = (pd.read_parquet(results / f"interpret/{model}/{FIT}/maps.parquet") for model in ("given", "pca"))
    assert (
        set(given["status"]) == {"ok"} and set(given["mapped_by"]) == {FORWARD} and set(own["mapped_by"]) == {"decoder"}
    )
    for score in ("motor", "ill"):
        images = [
            nib.load(results / f"interpret/{model}/{FIT}/maps/{score}_map.nii.gz").get_fdata()[tiny.MASK]
            for model in ("given", "pca")
        ]
        assert np.corrcoef(*images)[0, 1] > 0.999 and images[0].std() / images[1].std() == pytest.approx(1, abs=0.05)
    kept = ["score", "n", "unit", "step", "test", "permutations", "exchangeability"]
    assert_frame_equal(given[kept], own[kept])
    assert np.abs(given["peak_statistic"] - own["peak_statistic"]).max() < 0.05
    judged = {model: json.loads((results / f"train/{model}/{FIT}/health.json").read_text()) for model in MODELS}
    explained = judged["pca"]["variance_explained_test"]
    assert given["variance_explained_test"].to_numpy() == pytest.approx(explained, abs=0.02)
    assert own["variance_explained_test"].to_numpy() == pytest.approx(explained)
    places = pd.read_parquet(results / f"interpret/given/{FIT}/regions.parquet")
    assert set(places["mapped_by"]) == {FORWARD} and len(places) == 4


def test_a_forward_model_that_explains_nothing_gives_no_map(results: Path) -> None:
    folder = results / f"interpret/wide/{FIT}"
    for name in ("maps", "regions"):
        row = pd.read_parquet(folder / f"{name}.parquet").iloc[0]
        assert row["status"] == "no map" and NOT_ABOVE.fullmatch(row["reason"]), row["reason"]
    assert not list((folder / "maps").iterdir())


def test_findings_and_predictions_carry_the_caveat_and_the_policy(results: Path) -> None:
    for name in ("findings/associations", "findings/omnibus", "predict/predictions"):
        table = pd.read_csv(results / f"{name}.tsv", sep="\t")
        of_model = {model: set(part["verdict"]) for model, part in table.groupby("model")}
        assert of_model["given"] == {f"not applicable; {SEEN}"}
        assert of_model["wide"] == {"not applicable; unknown whether the encoder was trained on these participants"}
    policies = pd.read_csv(results / "predict/predictions.tsv", sep="\t").groupby("model")["policy"].agg(set)
    assert policies["given"] == {"transductive"}


def test_the_report_says_what_the_maps_are_and_why_there_are_none(results: Path, tmp_path: Path) -> None:
    config = {"cohort": DECLARED, "report": {"scans": 3}, "preprocess": SETTINGS}
    out = tmp_path / "report.html"
    shared: dict[str, Any] = {"models": MODELS, "fit": FIT, "primary": "wide"}
    page.run(cohort=results, **shared, shown=MODELS, settings=config, out=out)
    text = out.read_text()
    for words in (
        "wide, given: the latents have no decoder, so there are no traversals, samples, counterfactuals or volume "
        "changes.",
        "Maps are those of a linear forward model",
        "given: score maps (linear forward model, not a decoder, which explains ",
        "motor: pattern (linear forward model, not a decoder)",
        "For latents without a decoder, the linear forward model took the place of the decoder, and no volume change was",
        "The 3 latents of given were read from a table and have no decoder. The table had a row for 50 participants. The encoder that made the table had been "
        "trained on these participants.",
        "Whether the encoder that made the table had been trained on these participants is unknown.",
        "Columns were standardised by the mean and SD of the training set.",
        "wide (latents without a decoder; unknown whether the encoder was trained on these participants)",
    ):
        assert words in text, words
    assert "the model is not applicable" not in text and "values are not finite" not in text
    assert NOT_ABOVE.search(text) and "not above 0, so no map was made" in text
    assert re.search(
        r"given: the maps are those of a linear forward model, not a decoder, which explains \d+\.\d % \[95 % CI", text
    )
    assert "of given: " not in text.split("Maps that are not shown")[1].split("</ul>")[0]  # none is missed
    for name, models in (("reconstructions", ["pca"]), ("maps", MODELS), ("traversals", ["pca"]), ("samples", ["pca"])):
        assert [one for one in MODELS if (results / f"report/{one}_{FIT}_{name}.png").exists()] == sorted(models), name
    summary.run(
        cohort=files(results)["cohort"], excluded=results / "cohort/excluded.tsv", qc=files(results)["qc"],
        power=results / "audit/power.tsv", health=results / "train", maps=results / "interpret",
        predictions=results / "predict/predictions.tsv", out=tmp_path / "summary.txt", **shared,
        **{name: results / f"findings/{name}.tsv" for name in ("associations", "omnibus")},
    )  # fmt: skip
    said = (tmp_path / "summary.txt").read_text()
    assert "wide           latents without a decoder; unknown whether" in said
    assert said.count("Map: none (no map: the linear forward model explains") == said.count("Map: ") > 0


def test_the_card_of_a_finding_names_the_forward_model_or_why_there_is_no_map(results: Path) -> None:
    shared: dict[str, Any] = {
        "models": MODELS,
        "fit": FIT,
        "shown": MODELS,
        "captions": results,
        "config": {"cohort": DECLARED},
    }
    figures, said = map_of(Run(cohort=results, primary="given", **shared), "motor")
    assert len(figures) == 1 and said.startswith(
        f"Map (+1 standard deviation of the score) ({FORWARD}, which explains 98.7 % [95 % CI 98.3, 99.0] of"
    )
    figures, said = map_of(Run(cohort=results, primary="wide", **shared), "motor")
    assert not figures and said.startswith("No map: the linear forward model explains ") and NOT_ABOVE.search(said)
    assert map_of(Run(cohort=results, primary="pca", **shared), "motor")[1].startswith(
        "Map (+1 standard deviation of the score): "
    )


def test_a_table_does_not_fail_the_run(results: Path, tmp_path: Path) -> None:
    verdict.run(train=results / "train", models=["given", "wide"], fits=[FIT], out=tmp_path / "verdict.txt")
    assert (tmp_path / "verdict.txt").read_text().startswith(f"given {FIT}: not applicable; {SEEN}: no decoder, and so")
    judged = json.loads((results / f"train/wide/{FIT}/health.json").read_text())
    assert not [name for name in judged if name.startswith(("variance_explained", "identification"))]
