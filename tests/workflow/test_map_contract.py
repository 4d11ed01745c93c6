"""A map with more latents than people through every later stage: families, places, maps, report, export, estimator."""

import json
from pathlib import Path

import later_stages
import numpy as np
import pandas as pd
import pytest
import tiny
from later_stages import DECLARED, FIT, PEOPLE, SCORES, files
from report_folder import SETTINGS

from neurovae import latents
from neurovae.estimator.model import LatentModel
from neurovae.export import export
from neurovae.interpret import traverse
from neurovae.io import latent_table
from neurovae.plan import config
from neurovae.plan.kinds import NOT_OPTIONS
from neurovae.report import page
from neurovae.report.figures import places
from neurovae.report.plots import associate
from neurovae.train import fit
from neurovae.train.health import health

POINTS = 96  # of the tiny grid in its mask
MAP = {"latents": "map", "n_global": 1, "base_channels": 8, "flip": False, "blur": 4, "epochs": 8, "patience": 8,
       "batch": 4, "learning_rate": 2e-3}  # fmt: skip


def options() -> dict:
    """The entry with the schema's defaults."""
    schema = config.load_schema()["properties"]["train"]["properties"]["models"]
    asked = {"models": [{"name": "map", "kind": "vae", **MAP}]}
    entry = config.validate(asked, {"type": "object", "properties": {"models": schema}})["models"][0]
    return {key: value for key, value in entry.items() if key not in NOT_OPTIONS}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of every later stage; motor follows the strongest latent of the map."""
    folder = tmp_path_factory.mktemp("map") / "results/tiny"
    packed = later_stages.packed(folder)
    model = folder / f"train/map/{FIT}/weights.safetensors"
    model.parent.mkdir(parents=True)
    history = model.with_name("history.parquet")
    fit.run(**packed, out=model, history=history, kind="vae", fold=0, seed=0, device="cpu", options=options())
    del packed["folds"]
    health.run(**packed, model=model, history=history, out=model.with_name("health.json"), seed=0)
    table = files(folder, "map")["latents"]
    table.parent.mkdir(parents=True)
    later_stages.people(folder, pd.read_parquet(packed["rows"]), np.random.default_rng(0).normal(size=(PEOPLE, 2)))
    index = table.with_name(latent_table.INDEX)
    given = {"atlas": str(folder / "interpret/atlas.nii.gz"), "name": "map", "out": table, "index": index}
    latents.run(**packed, model=model, **given)
    points, cohort = pd.read_parquet(table), pd.read_parquet(files(folder)["cohort"])
    noise = np.random.default_rng(1).normal(size=PEOPLE)
    planted = points[strongest(points)]
    cohort["motor"] = 10 + planted / planted.std() + 0.5 * noise
    cohort.to_parquet(files(folder)["cohort"])
    later_stages.associated(folder, "map")
    later_stages.audited(folder, packed, "map")
    later_stages.merged(folder, packed, ["map"], POINTS + 1)
    later_stages.predicted(folder, "map")
    later_stages.compared(folder, packed, ["map"])
    later_stages.decoded(folder, packed, "map")
    later_stages.drawn(folder, ["map"], ["map"])
    associate.run(results=folder, models=[], mapped=["map"], **DECLARED, fit=FIT, most=4)
    return folder


def strongest(points: pd.DataFrame) -> str:
    """The latent of the map that differs most between people."""
    return str(points[latent_table.columns(points)].var().drop("mu_global_00").idxmax())


def read(results: Path, name: str) -> pd.DataFrame:
    path = results / f"{name}.parquet"
    return pd.read_parquet(path) if path.exists() else pd.read_csv(results / f"{name}.tsv", sep="\t")


def test_the_index_has_points_places_and_regions(results: Path) -> None:
    index = read(results, f"latents/map/{FIT}/latent_index")
    of_map = index[index["role"] == "map"]
    assert len(of_map) == POINTS and list(index["role"])[-1] == "global" and index["latent"].is_unique
    for row in of_map.to_dict("records"):
        assert row["latent"] == f"mu_c{row['channel']}_i{row['i']:02d}_j{row['j']:02d}_k{row['k']:02d}"
        assert [row["x_mm"], row["y_mm"], row["z_mm"]] == [4 * (4 * row[axis] + 1.5) for axis in "ijk"]
    assert set(of_map["radius_mm"]) == {40.0}
    assert list(of_map["region"]) == list(np.where(of_map["k"] < 2, "lower half", "upper half"))
    assert index.iloc[-1][["channel", "i", "x_mm", "region"]].isna().all()


def test_max_t_is_over_the_map_and_finds_the_planted_place(results: Path) -> None:
    permuted = read(results, f"associate/map/{FIT}/permute").query("score == 'motor'")
    assert set(permuted.groupby("role")["m"].first().items()) == {("global", 1), ("map", POINTS)}
    points = pd.read_parquet(files(results, "map")["latents"])
    best = places.strongest(permuted)
    assert best["latent"] == strongest(points) and best["p_maxt"] == 0.01  # of 99 permutations
    table = read(results, "findings/associations")
    assert set(table["latent"]) == set(latent_table.columns(points)) and table["p_maxt"].notna().all()


def test_more_latents_than_people_are_tested_together_and_predicted_from(results: Path) -> None:
    whole = read(results, f"associate/map/{FIT}/omnibus").set_index("score")
    assert (whole["status"] == "ok").all() and set(whole["latents"]) == {POINTS + 1} and POINTS > PEOPLE
    assert whole.loc["motor", "p"] <= 0.01 < whole.loc["ill", "p"] and whole.loc["motor", "partial_r2_cv"] < 1
    told = read(results, "predict/map/seed-0/predict").query("score == 'motor' and learner == 'linear'")
    r2 = told[told["metric"] == "r2"].set_index("features")["value"]
    assert r2["latents"] > 0.2 and r2.between(-1, 1).all()
    together = read(results, f"associate/map/{FIT}/multivariable").query("part == 'together'")
    assert set(together["status"]) == {"too few people"} and together["reason"].str.contains("see the omnibus").all()


def test_maps_and_traversals(results: Path, tmp_path: Path) -> None:
    for name in ("maps.parquet", "jacobian.tsv", "realism.parquet", "counterfactuals.parquet"):
        assert set(read(results, f"interpret/map/{FIT}/{name.split('.')[0]}")["status"]) == {"ok"}, name
    folder = results / f"interpret/map/{FIT}"
    assert read(results, f"interpret/map/{FIT}/traversals")["latent"].nunique() == POINTS + 1
    assert len(list((folder / "traversals").glob("*_change.nii.gz"))) == 32
    given = files(results, "map")
    del given["cohort"], given["qc"]
    traverse.run(
        **given, model=results / f"train/map/{FIT}/weights.safetensors", mask=results / "preprocess/mask.nii.gz",
        atlas=results / "interpret/atlas.nii.gz", quantiles=[0.05, 0.95], draws=20, seed=0, maps=tmp_path / "t",
        out=tmp_path / "t.parquet", images=2, tests=str(results / f"associate/map/{FIT}/permute.parquet"),
    )  # fmt: skip
    drawn = {path.name.removesuffix("_change.nii.gz") for path in (tmp_path / "t").glob("*_change.nii.gz")}
    smallest = read(results, f"associate/map/{FIT}/permute").groupby("latent")["p_maxt"].min()
    assert len(drawn) == 2 and (smallest[list(drawn)] == smallest.min()).all()  # several are planted, by the fields
    size = read(results, f"interpret/map/{FIT}/traversals").groupby("latent")["rms_latent"].first()
    assert drawn == set(size[smallest[size.index] == smallest.min()].nlargest(2).index)


def test_the_figure_of_places_paints_each_test_in_its_cell(results: Path) -> None:
    assert (results / f"report/map_{FIT}_places.png").exists()
    index = read(results, f"latents/map/{FIT}/latent_index").query("role == 'map'")
    rows = read(results, f"associate/map/{FIT}/permute").query("score == 'motor'").merge(index, on="latent")
    statistic, significant = places.painted(rows, tiny.MASK, np.diag([4.0, 4, 4, 1]))
    for row in rows.to_dict("records"):
        cell = tuple(slice(4 * row[axis], 4 * row[axis] + 4) for axis in "ijk")
        assert (statistic[cell] == row["statistic"]).all() and (significant[cell] == (row["p_maxt"] < 0.05)).all()
    assert np.count_nonzero(statistic) == POINTS * 64 and places.side(rows) == 16.0
    assert places.strongest(rows)["latent"] == strongest(pd.read_parquet(files(results, "map")["latents"]))


def test_the_report_shows_the_map(results: Path) -> None:
    run = {"cohort": DECLARED, "report": {"scans": 3}, "preprocess": SETTINGS}
    page.run(cohort=results, models=["map"], fit=FIT, primary="map", shown=["map"], settings=run, out=results / "report/report.html")  # fmt: skip
    text = (results / "report/report.html").read_text()
    assert "where in the brain the latents of the map are associated" in text
    assert strongest(pd.read_parquet(files(results, "map")["latents"])) in text


def test_an_exported_map_and_the_estimator_give_the_same_latents(results: Path, tmp_path: Path) -> None:
    (tmp_path / "derivatives").mkdir()
    (tmp_path / "derivatives/one.json").write_text(json.dumps({"Normalisation": "zscore"}))
    given = {"mask": results / "preprocess/mask.nii.gz", "derivatives": tmp_path / "derivatives"}
    export.run(model=results / f"train/map/{FIT}/weights.safetensors", out=tmp_path / "shared", **given)
    loaded = LatentModel.load(tmp_path / "shared")
    points, array = pd.read_parquet(files(results, "map")["latents"]), np.load(results / "preprocess/volumes.npy")
    names = latent_table.columns(points)
    assert list(loaded.get_feature_names_out()) == names
    np.testing.assert_allclose(loaded.transform(array), points[names], atol=1e-5)
    fitted = LatentModel(options={**MAP, "epochs": 1}, mask=tiny.MASK).fit(array)
    assert fitted.transform(array).shape == (PEOPLE, POINTS + 1)
    assert fitted.inverse_transform(fitted.transform(array[:2])).shape == (2, *tiny.SHAPE)
    assert SCORES[0]["name"] == "motor"
