"""An export holds what validation elsewhere needs and no person: no id, no row, no value of anyone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tiny
from two_cohorts import AGE, CONFOUNDS, ILL, INNER, inferred, people

from neurovae.errors import InputError
from neurovae.export import export, inference, source
from neurovae.external import predictor
from neurovae.io import latent_table
from neurovae.io.files import sha256, write_json
from neurovae.plan import config, entries, source_models
from neurovae.plan import external as plan
from neurovae.plan.index import Index
from neurovae.predict.features import BOTH, LATENTS
from neurovae.provenance.record import place
from neurovae.train import fit, weights

FIT = "fold-0_seed-0"
PEOPLE = 83


def finished(folder: Path) -> Path:
    """A results folder as far as an export reads it; returns the weights."""
    files = tiny.packed(folder / "packed")
    root, model = folder / "results" / "x", folder / "results" / "x" / "train" / "m" / FIT / "weights.safetensors"
    run: dict[str, Any] = {"fold": 0, "seed": 0, "device": "cpu", "kind": "pca", "options": tiny.LINEAR}
    fit.run(**files, out=model, history=model.with_name("h.parquet"), **run)
    write_json(model.with_name("health.json"), {"verdict": "healthy", "reason": "", "caveats": []})
    way = {"Normalisation": "zscore", "Transform": "affine"}
    write_json(root / "preprocess" / "derivatives" / "sub-a000_desc-preproc_T1w.json", way)
    (root / "preprocess" / "mask.nii.gz").write_bytes(files["mask"].read_bytes())
    parts = people(PEOPLE)
    stamp = weights.model_hash(*weights.load(model))
    names = latent_table.columns(parts[1])
    sizes = pd.DataFrame({"latent": names, "position": range(len(names)), "size": np.linspace(1, 2, len(names))})
    _, tests, metrics = inferred(parts, [AGE, ILL])
    tables = {
        root / "cohort" / "cohort.parquet": parts[0],
        root / "latents" / "m" / FIT / "latents.parquet": parts[1].assign(model_hash=stamp),
        root / "latents" / "m" / FIT / latent_table.INDEX: sizes,
        root / "preprocess" / "qc.parquet": parts[2],
        root / "associate" / "m" / FIT / "glm.parquet": tests.drop(columns="p_maxt"),
        root / "associate" / "m" / FIT / "permute.parquet": tests[["score", "latent", "p_maxt"]],
        root / "predict" / "m" / "seed-0" / "predict.parquet": metrics,
    }
    for path, table in tables.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(path)
    words = ["--scores", json.dumps([AGE, ILL]), "--confounds", json.dumps(CONFOUNDS), "--cohort", "x.parquet"]
    write_json(place(root / "associate" / "m" / FIT / "glm.parquet"), {"arguments": words})
    more = ["--inner", str(INNER), "--seed", "0"]
    write_json(place(root / "predict" / "m" / "seed-0" / "predict.parquet"), {"arguments": more})
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    export.run(model=finished(folder), out=folder / "given", licence="cc-by-4.0")
    return folder / "given"


def lists(value: Any) -> Iterator[list[Any]]:
    """Every list inside a JSON value."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    yield from [value] if isinstance(value, list) else []
    for child in children:
        yield from lists(child)


def numbers(value: Any) -> Iterator[float]:
    """Every number that is no count inside a JSON value."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    yield from [value] if isinstance(value, float) and not value.is_integer() else []
    for child in children:
        yield from numbers(child)


def test_no_person_is_in_the_folder(exported: Path) -> None:
    cohort, latents, quality = people(PEOPLE)
    ids = [name.encode() for name in cohort["person"]] + [f"sub-{k:02d}".encode() for k in range(24)]
    values = {*cohort["motor"], *quality["head_size"], *latents.filter(like="mu_").to_numpy().ravel()}
    for path in exported.iterdir():
        data = path.read_bytes().replace(b"sub-01_..._desc-preproc_T1w.nii.gz", b"")  # the card's example of a path
        assert not any(name in data for name in ids), path.name
    found = json.loads((exported / "inference.json").read_text())
    assert len(set(numbers(found))) > 200 and not values & set(numbers(found))
    assert not [one for one in lists(found) if len(one) == PEOPLE]
    assert max(map(len, lists(found))) <= 4 * 6 + 4  # tests, metrics, columns of a predictor: by latents, not by people
    shapes = [tensor.shape for tensor in source.read(exported).tensors.values()]
    assert not [shape for shape in shapes if set(shape) & {15, 24, PEOPLE}]


def test_what_is_in_it_is_what_the_tables_hold(exported: Path) -> None:
    found = plan.inference(exported)
    _, tests, metrics = inferred(people(PEOPLE), [AGE, ILL])
    assert found["cohort"] == {"people": PEOPLE, "sites": 1} and (found["model"], found["fit"]) == ("m", FIT)
    motor, ill = found["scores"]
    assert (motor["people"], motor["status"], ill["positive"]) == (PEOPLE, "ok", "yes")
    assert motor["mean"] == pytest.approx(people(PEOPLE)[0]["motor"].mean())
    expected = tests[tests["score"] == "motor"].set_index("latent")
    for one in motor["associations"]:
        for name in ("effect", "ci_low", "p", "p_maxt"):
            assert one[name] == pytest.approx(expected.loc[one["latent"], name])
    assert [one["features"] for one in motor["predictors"]] == [LATENTS, "confounds", BOTH]
    kept = {(one["features"], one["metric"]): one["value"] for one in ill["cross_fitted"]}
    auc = metrics[(metrics["score"] == "ill") & (metrics["metric"] == "auc")].set_index("features")["value"]
    assert kept[LATENTS, "auc"] == pytest.approx(auc[LATENTS])


def test_the_card_says_that_the_folder_holds_effects_of_scores(exported: Path) -> None:
    text = " ".join((exported / "README.md").read_text().split())
    assert "`inference.json` beside them does: effects and predictors of motor, ill in this cohort" in text


def test_without_tests_there_is_no_inference_and_the_export_says_why(tmp_path: Path, capsys: Any) -> None:
    model = finished(tmp_path)
    (tmp_path / "results" / "x" / "associate" / "m" / FIT / "glm.parquet").unlink()
    export.run(model=model, out=tmp_path / "a")
    assert "no inference.json" in capsys.readouterr().out and not (tmp_path / "a" / "inference.json").exists()
    assert "inference.json" not in (tmp_path / "a" / "README.md").read_text()
    with pytest.raises(InputError, match="has no inference.json; export the model again"):
        plan.inference(tmp_path / "a")


def test_tests_of_other_weights_or_other_people_are_not_given_away(tmp_path: Path) -> None:
    """Trained again without what follows, the weights are not those that the tests and predictors are about."""
    model = finished(tmp_path)
    root = tmp_path / "results" / "x"
    cohort, record = root / "cohort" / "cohort.parquet", place(root / "associate" / "m" / FIT / "glm.parquet")
    given = {"results/x/cohort/cohort.parquet": sha256(cohort)}
    write_json(record, json.loads(record.read_text()) | {"inputs": given})
    export.run(model=model, out=tmp_path / "a")
    people(PEOPLE, 1)[0].to_parquet(cohort)
    with pytest.raises(InputError, match=r"glm.parquet: computed from another cohort.parquet than is there now; run"):
        export.run(model=model, out=tmp_path / "b")
    write_json(record, json.loads(record.read_text()) | {"inputs": {}})
    of_predict = place(root / "predict" / "m" / "seed-0" / "predict.parquet")
    write_json(of_predict, json.loads(of_predict.read_text()) | {"inputs": given})
    with pytest.raises(InputError, match=r"predict.parquet: computed from another cohort.parquet than is there now"):
        export.run(model=model, out=tmp_path / "b")
    tensors, meta = weights.load(model)
    weights.save(model, {**tensors, "mean": tensors["mean"] + 1}, meta)
    with pytest.raises(InputError, match=r"latents.parquet: of other weights than these; run the workflow again"):
        export.run(model=model, out=tmp_path / "b")
    export.run(model=model, out=tmp_path / "b", scores=False)
    assert not (tmp_path / "b" / "inference.json").exists()


def test_few_people_give_nothing_away() -> None:
    parts = people(60)
    rare = parts[0].assign(ill=np.where(np.arange(60) < 4, "yes", "no"))
    table, tests, _ = inferred((rare, *parts[1:]), [AGE])
    found = inference.describe(table, tests, None, [ILL], CONFOUNDS, INNER, 0)["scores"][0]
    assert found["status"] == "too few people of one class" and found["people"] is None and "mean" not in found
    cohort = parts[0].assign(motor=parts[0]["motor"].where(np.arange(60) < 9))
    table, tests, _ = inferred((cohort, *parts[1:]), [ILL])
    found = inference.describe(table, tests, None, [AGE], CONFOUNDS, INNER, 0)["scores"][0]
    assert found["status"] == "too few people" and found["people"] is None and "mean" not in found


# --- the plan ---


def settings(path: Path, own: list[dict[str, Any]], **external: Any) -> dict[str, Any]:
    given = {"path": str(path), **external} if external else str(path)
    cohort = {"name": "b", "bids": "x", "scores": own, "external": given}
    found = config.validate({"cohort": cohort}, config.load_schema())
    found["preprocess"]["voxel_mm"] = 1
    return found


def test_the_other_cohorts_model_is_an_entry_of_its_own(exported: Path) -> None:
    found = settings(exported, [AGE])
    found["train"] = plan.with_entry(found)
    found["train"], _ = source_models.sized(found)
    models = entries.models(found["train"], found["cohort"])
    assert list(models)[:2] == ["vae", "external"] and models["external"]["inner"] == "pca"
    assert models["external"]["centre"] == "source" and models["external"]["n_latent"] == 3
    with pytest.raises(InputError, match="'external' is the name of the model of cohort.external"):
        plan.with_entry(found)


def test_the_plan_names_what_cannot_be_compared(exported: Path) -> None:
    def faults(*scores: dict[str, Any], **external: Any) -> str:
        return "\n".join(plan.problems(settings(exported, list(scores), **external), Index([], [], [], [], []))[0])

    assert faults(AGE) == ""
    assert plan.problems(settings(exported, [AGE]), Index([], [], [], [], []))[1] == [
        "cohort.external: scores of the other cohort that are not tested here: ill"
    ]
    assert "score 'motor': type is gamma here, continuous in the other cohort" in faults({**AGE, "type": "gamma"})
    assert "no score of the other cohort (motor, ill) is one of cohort.scores" in faults({**AGE, "name": "rating"})
    assert faults({**AGE, "name": "rating"}, scores={"rating": "motor"}) == ""
    assert "has no score 'speed'; it has motor, ill" in faults(AGE, scores={"motor": "speed"})
    assert "no score 'speed' in cohort.scores; there are motor" in faults(AGE, scores={"speed": "motor"})
    twice = {"ill": {"score": "ill", "multiply": 2, "add": 0}}
    assert "multiply and add are for continuous scores, and this is binary" in faults(ILL, scores=twice)


def test_the_mask_is_the_same_file_as_before(exported: Path) -> None:
    assert (np.asarray(nib.load(exported / "mask.nii.gz").dataobj) > 0).sum() == tiny.MASK.sum()
    assert pd.Series(json.loads((exported / "preprocessing.json").read_text())["shape"]).tolist() == list(tiny.SHAPE)


def test_the_exported_predictor_weighs_latents_by_their_size() -> None:
    """Three large latents among 50 tell the score; in new people the weighted predictor errs less."""
    rng = np.random.default_rng(0)
    size, z = np.geomspace(8, 0.05, 50), rng.normal(size=(260, 50))
    y, latents = z[:, :3].sum(axis=1) + rng.normal(size=260), pd.DataFrame(z).add_prefix("mu_")
    error = []
    for known in (size, None):
        found = predictor.fit(
            LATENTS,
            y[:60],
            latents[:60],
            [],
            np.empty((60, 0)),
            np.arange(60),
            binary=False,
            inner=3,
            seed=0,
            size=known,
        )
        line = pd.DataFrame(found["columns"]).set_index("name")
        standard = (latents[60:][list(line.index)] - line["mean"]) / line["sd"]
        error.append(float(np.square(y[60:] - found["intercept"] - standard @ line["coefficient"]).mean()))
    assert error[0] < 0.8 * error[1]
