"""A model that starts from a larger cohort's: its variants, the table of them, the words about it, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import source_folder
import tiny
import yaml

from neurovae.errors import InputError
from neurovae.estimator.model import LatentModel
from neurovae.export import source
from neurovae.io.volumes import masked
from neurovae.plan import baselines as pcas
from neurovae.plan import config, entries, graph, source_models, start_models
from neurovae.report.results import Run
from neurovae.report.sections import methods_models, provenance
from neurovae.report.sections import start_from as section
from neurovae.train import start_from, weights
from neurovae.train.health import health

FIT = "fold-0_seed-0"


def settings(path: Path | str | None, kind: str = "pca", search: str | None = None, **more: Any) -> dict[str, Any]:
    """A configuration with one model that starts from a folder, and with others of its name where they are given."""
    others = more.pop("others", [])
    entry = {"name": "mine", "kind": kind, "start_from": str(path) if path else None, **more}
    train = {"models": [entry, *others], "search": {"model": search}}
    given = {"cohort": {"name": "b", "bids": "x", "scores": []}, "train": train}
    found = config.validate(given, config.load_schema())
    found["preprocess"]["voxel_mm"] = 1
    return found


def planned(path: Path, **more: Any) -> entries.Entries:
    found = settings(path, **more)
    found["train"], _ = source_models.sized(found)
    return entries.models(found["train"], found["cohort"])


def test_the_plan_adds_the_source_as_it_is_and_the_entry_without_it(tmp_path):
    path = source_folder.exported(tmp_path)
    found = planned(path, n_latent=5)
    assert list(found) == ["mine", "mine-frozen", "mine-scratch"]
    assert (found["mine-frozen"]["kind"], found["mine-frozen"]["n_latent"], found["mine-frozen"]["centre"]) == (
        "frozen",
        3,
        "own",
    )
    assert found["mine-scratch"]["start_from"] is None and found["mine-scratch"]["capped"]
    files = source_models.inputs(found)
    assert files["mine"] == files["mine-frozen"] == [str(path / name) for name in source_models.FILES]
    assert files["mine-scratch"] == [] and "--source" in source_models.flags(found)["mine"]
    options = [
        json.loads(entries.model_flags(found)[name].split("--options ")[1].strip("'"))
        for name in ("mine", "mine-scratch")
    ]
    assert options[0] == {key: value for key, value in options[1].items() if key != "capped"}
    before = graph.contents(files["mine"], False)
    (path / "weights.safetensors").write_bytes((path / "weights.safetensors").read_bytes() + b" ")
    assert graph.contents(files["mine"], False) != before  # a param of the rule: other bytes run it again
    full = settings(path, n_latent=15)
    full["train"], _ = source_models.sized(full)
    models = entries.models(full["train"], full["cohort"])
    assert "and the source has 3 components; lower n_latent" in entries.impossible(full, models, 12)[0]
    assert not entries.impossible(full, models, 25)


def test_a_vae_has_one_baseline_for_itself_and_none_for_its_variants(tmp_path):
    found = planned(source_folder.exported(tmp_path), kind="vae", n_latent=4)
    assert list(found) == ["mine", "mine-frozen", "mine-scratch", "pca-4"]
    assert pcas.baselines(found, {"model": None, "space": {}}) == {"mine": ["pca-4"]}


def test_what_the_plan_refuses(tmp_path):
    path = source_folder.exported(tmp_path)

    def refused(words: str, at: Path | str = path, preprocess: dict[str, Any] | None = None, **more: Any) -> None:
        found = settings(at, **more)
        for key, values in (preprocess or {}).items():
            found["preprocess"][key] = found["preprocess"][key] | values if isinstance(values, dict) else values
        with pytest.raises(InputError, match=words):
            found["train"], _ = source_models.sized(found)
            entries.models(found["train"], found["cohort"])

    refused("'mine': start_from .*nowhere.* is no folder", tmp_path / "nowhere")
    refused("voxel_mm is 2 in this run, but 1.0 in", preprocess={"voxel_mm": 2})
    refused(
        "normalise.method is percentile in this run, but zscore", preprocess={"normalise": {"method": "percentile"}}
    )
    refused("start_from gives a linear part, and the entry has none", kind="vae", linear="none")
    refused("start_from gives a linear part, and the entry has none", kind="vae", latents="map")
    refused("mine-frozen: this name is reserved", others=[{"name": "mine-frozen", "kind": "pca"}])
    refused("train.search.model: 'mine' starts from the model of another cohort", kind="vae", search="mine")
    refused(
        "start_from is a mds, which has no linear part",
        source_folder.exported(tmp_path / "m", "mds", {"n_latent": 2, "flip": True}),
    )
    bare = {**tiny.SETTINGS, "linear": "none", "epochs": 1}
    refused(
        "this vae holds no variances of a linear part; give one",
        source_folder.exported(tmp_path / "v", "vae", bare, 20),
    )
    tensors, meta = weights.load(path / "weights.safetensors")
    del meta["architecture"]["left"], tensors["variances"]
    weights.save(path / "weights.safetensors", tensors, meta)
    refused("this pca holds no variances .* exported by an earlier version of neurovae; train and export it again")
    with pytest.raises(InputError, match="a mds has no 'start_from'"):
        settings(path, kind="mds", n_latent=2)


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained variants of an entry, with their files and the table."""
    folder = tmp_path_factory.mktemp("start")
    path = source_folder.exported(folder, options={**tiny.LINEAR, "flip": False})
    for name, kind, options, beside in (
        ("mine", "pca", {**tiny.LINEAR, "flip": False}, {"source": str(path)}),
        ("mine-frozen", "frozen", {"centre": "own"}, {"source": str(path)}),
        ("mine-scratch", "pca", {**tiny.LINEAR, "flip": False, "capped": True}, {}),
    ):
        model = source_folder.trained(folder / name, kind, options, 12, 5, **beside)
        (folder / "train" / name / FIT).mkdir(parents=True)
        (folder / "train" / name / FIT / "weights.safetensors").write_bytes(model.read_bytes())
    files = {
        key: folder / "mine" / name for key, name in (("volumes", "v.npy"), ("rows", "v.parquet"), ("mask", "m.nii.gz"))
    }
    out = folder / "train" / "start_from.tsv"
    start_from.run(**files, train=folder / "train", models=["mine"], fits=[FIT], out=out)
    judged = folder / "train" / "mine" / FIT / "health.json"
    same = {"model": folder / "mine" / "w.safetensors", "history": folder / "mine" / "h.parquet"}
    health.run(**files, **same, out=judged, seed=0)
    return folder


def test_the_table_is_of_the_same_held_out_people(variants):
    table = pd.read_csv(variants / "train" / "start_from.tsv", sep="\t", na_values="n/a").set_index("variant")
    assert list(table.index) == ["pooled", "frozen", "scratch"]
    assert list(table["training_people"]) == [8, 0, 8] and list(table["source_people"][:2]) == [36, 36]
    volumes, split = tiny.cohort(12, 5)
    x, mean = (masked(volumes[split == name], tiny.MASK).astype(float) for name in ("test", "training"))
    total, errors = np.square(x - mean.mean(axis=0)).sum(), {}
    for variant, row in table.iterrows():
        tensors = weights.load(variants / "train" / row["model"] / FIT / "weights.safetensors")[0]
        own = x - tensors["mean"]
        errors[variant] = np.square(own - own @ tensors["components"].T @ tensors["components"]).sum()
        assert row["variance_explained_test"] == pytest.approx(1 - errors[variant] / total, abs=1e-5)
    best = table["variance_explained_test"].idxmax()
    assert list(table.index[table["best"]]) == [best] and np.isnan(table.loc[best, "difference"])
    others = table.drop(best)
    expected = others["variance_explained_test"] - table.loc[best, "variance_explained_test"]
    np.testing.assert_allclose(others["difference"], expected, atol=1e-9)
    assert (others["difference_low"] <= others["difference"]).all() and (
        others["difference"] <= others["difference_high"]
    ).all()


def test_report_methods_and_card_name_the_source(variants):
    table = pd.read_csv(variants / "train" / "start_from.tsv", sep="\t", na_values="n/a")
    line = section.line(table)
    assert "36 of the source and 8 training participants here" in line and "from scratch, 8 training" in line
    assert "explains most variance in the 2 test participants" in line and "percentage points" in line
    run = Run(variants, ["mine"], FIT, "mine", [], variants, {})
    blocks = section.started(run)
    assert [block["kind"] for block in blocks] == ["text", "table"] and blocks[0]["text"] == line
    assert len(blocks[1]["rows"]) == 3 and not section.started(Run(variants / "no", [], FIT, "", [], variants, {}))
    judged = json.loads((variants / "train" / "mine" / FIT / "health.json").read_text())
    words = methods_models._model("mine", judged)
    record = source.read(variants / "exported").record
    assert provenance.sources(run) == [
        ("source of mine", f"pca of 36 training participants, weights {record['exported_from']}, licence: cc-by-4.0")
    ]
    assert f"weights {record['exported_from']}, licence: cc-by-4.0" in words
    assert "36 training and 12 validation participants" in words and f"{judged['source_weight']:g} of 1" in words
    again = source_folder.given_away(variants / "mine" / "w.safetensors", variants / "again", "cc0-1.0")
    _, front, text = (again / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["license"] == "cc0-1.0" and front["start_from"]["exported_from"] == record["exported_from"]
    assert "Training started from this model: principal components of 3 latents, fitted to 36 training" in text
    chain = source.read(again).record
    assert chain["source"]["people"] == record["people"] and "people" in chain
    assert str(variants) not in json.dumps(weights.load(again / "weights.safetensors")[1])  # no path of this machine
    second = source_folder.trained(variants / "third", "pca", tiny.LINEAR, 12, 7, source=str(again))
    once_more = source_folder.given_away(second, variants / "once-more")
    assert "That model came from: " in (once_more / "README.md").read_text()


def test_an_estimator_starts_from_a_folder_and_killed_trainings_of_another_source_are_not_continued(variants):
    volumes, split = tiny.cohort(12, 5)
    model = LatentModel("pca", 3, options={"start_from": str(variants / "exported")}, mask=tiny.MASK)
    model.fit(volumes, split=np.where(split == "test", "validation", split))
    assert model.model_.meta["architecture"]["source"]["people"]["training"] == 36
    assert "start_from" not in model.model_.meta["options"]
    with pytest.raises(InputError, match="has no weights.safetensors"):
        LatentModel("pca", 3, options={"start_from": "no"}, mask=tiny.MASK).fit(volumes)


def test_names_that_start() -> None:
    given = {"a": {"start_from": "x"}, "b": {"start_from": None}, "c": {}}
    assert start_models.names(given) == ["a"]
