"""Latents from a table: standardised or projected by the training people alone, with an index, a verdict, and errors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from sklearn.decomposition import PCA

from neurovae import latents
from neurovae.blocks import connectivity
from neurovae.errors import InputError
from neurovae.estimator.model import LatentModel
from neurovae.export import export
from neurovae.io import blocks
from neurovae.plan.frozen import description
from neurovae.predict import leakage
from neurovae.train import fit, inputs
from neurovae.train.health import health
from neurovae.train.models import table

PEOPLE = [f"sub-{i:02d}" for i in range(24)]
SPLIT = np.array(tiny.roles(len(PEOPLE)))
VALUES = np.random.default_rng(0).normal([5, -2, 100, 0], [1, 3, 20, 0.1], size=(len(PEOPLE), 4))
COLUMNS = ["Left Hippocampus", "Right-Hippocampus", "ICV", "mu_007"]
OPTIONS: dict[str, Any] = {"n_latent": None, "standardise": True, "columns": None, "seen": "unknown"}


def frame(values: np.ndarray = VALUES, people: list[str] = PEOPLE) -> pd.DataFrame:
    return pd.DataFrame(values, columns=COLUMNS).assign(participant_id=people)


def written(folder: Path, given: pd.DataFrame, ending: str = "tsv") -> Path:
    path = folder / f"v.{ending}"
    if ending == "parquet":
        given.to_parquet(path)
    elif ending == "npz":
        np.savez(path, participant_id=given["participant_id"].to_numpy(str), **{name: given[name] for name in COLUMNS})
    else:
        given.to_csv(path, sep="\t" if ending == "tsv" else ",", index=False)
    return path


def trained(folder: Path, path: Path, **options: Any) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Latents, index and health of a table."""
    files = tiny.packed(folder / "packed")
    model, history = folder / "w.safetensors", folder / "h.parquet"
    fit.run(
        **files, out=model, history=history, kind="table", fold=0, seed=0, device="cpu", options=OPTIONS | options,
        table=str(path),
    )  # fmt: skip
    del files["folds"]
    out, index = folder / "l.parquet", folder / "i.parquet"
    latents.run(**files, model=model, name="given", out=out, index=index, table=str(path))
    health.run(**files, model=model, history=history, out=folder / "h.json", seed=0, table=str(path))
    return pd.read_parquet(out), pd.read_parquet(index), json.loads((folder / "h.json").read_text())


def test_columns_are_standardised_by_the_training_people_and_keep_their_names(tmp_path: Path) -> None:
    found, index, judged = trained(tmp_path, written(tmp_path, frame()))
    names = ["mu_left_hippocampus", "mu_right_hippocampus", "mu_icv", "mu_007"]
    training = VALUES[SPLIT == "training"]
    expected = (VALUES - training.mean(axis=0)) / training.std(axis=0, ddof=1)
    np.testing.assert_allclose(found[names].to_numpy(), expected, rtol=1e-12)
    assert list(index["latent"]) == names and set(index["role"]) == {"free"} and index["active"].isna().all()
    np.testing.assert_allclose(index["variance_training"], expected[SPLIT == "training"].var(axis=0))
    assert list(found["split"]) == list(SPLIT) and set(found["inputs"]) == {"table"} and set(found["kind"]) == {"table"}
    assert found["error"].isna().all() and not found["logvar_calibrated"].any()
    assert (judged["verdict"], judged["finite"], judged["advice"]) == ("not applicable", True, "")
    assert judged["caveats"] == ["unknown whether the encoder was trained on these participants"]


def test_components_are_those_of_the_training_people(tmp_path: Path) -> None:
    found, _, judged = trained(tmp_path, written(tmp_path, frame()), n_latent=2, seen="no")
    training = VALUES[SPLIT == "training"]
    scaled = (VALUES - training.mean(axis=0)) / training.std(axis=0, ddof=1)
    expected = PCA(2).fit(scaled[SPLIT == "training"]).transform(scaled)
    mu = found[["mu_000", "mu_001"]].to_numpy()
    np.testing.assert_allclose(np.abs(mu), np.abs(expected), rtol=1e-9, atol=1e-12)
    assert judged["caveats"] == [] and judged["components"] and judged["n_latent"] == 2


def test_test_people_do_not_enter_the_fit() -> None:
    volumes = tiny.cohort(len(PEOPLE))[0]
    training = SPLIT == "training"
    others = np.where(training[:, None], VALUES, 3 * VALUES + 1), np.where(training[:, None, None, None], volumes, 9)
    fitted = [
        table.fit(
            values, SPLIT, tiny.MASK, seed=0, device="cpu", names=COLUMNS, volumes=voxels, rows=np.arange(len(PEOPLE)),
            people=np.array(PEOPLE), **OPTIONS | {"n_latent": 3},
        )[:2]
        for values, voxels in ((VALUES, volumes), others)
    ]  # fmt: skip
    (one, described), (other, described_other) = fitted
    assert set(one) == {"mean", "scale", "components", "forward", "forward_mean", "forward_centre"}
    assert all(np.array_equal(one[name], other[name]) for name in one) and described == described_other


@pytest.mark.parametrize("ending", ["tsv", "csv", "parquet", "npz"])
def test_every_format_gives_the_same_numbers_in_the_order_of_the_scans(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, frame().sample(frac=1, random_state=0), ending)
    files = tiny.packed(tmp_path / "packed")
    found = inputs.read(files["volumes"], files["rows"], str(path))
    assert list(found.table["scan"]) == PEOPLE
    order = [found.names.index(name) for name in COLUMNS]
    assert np.array_equal(found.array[:, order], VALUES)  # every digit


@pytest.mark.parametrize("ending", ["tsv", "parquet", "npz"])
def test_codes_of_missing_values_hold_in_every_format(tmp_path: Path, ending: str) -> None:
    values = VALUES.copy()
    values[2, 1] = -999
    path, files = written(tmp_path, frame(values), ending), tiny.packed(tmp_path / "packed")
    paths = files["volumes"], files["rows"], str(path)
    assert -999 in inputs.read(*paths).array
    for codes in ([-999], {"Right-Hippocampus": ["-999.0"]}):
        with pytest.raises(InputError, match=rf"v.{ending}, row \d+: no value in Right-Hippocampus"):
            inputs.read(*paths, missing={"missing": codes})
    assert -999 in inputs.read(*paths, missing={"missing": {"ICV": [-999]}}).array


def test_an_array_of_embeddings_has_a_column_per_number(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", person=np.array(PEOPLE), emb=VALUES.astype(np.float32))
    files = tiny.packed(tmp_path / "packed")
    found = inputs.read(files["volumes"], files["rows"], str(tmp_path / "e.npz"), "emb_*")
    assert found.names == ["emb_000", "emb_001", "emb_002", "emb_003"]
    assert np.array_equal(found.array, VALUES.astype(np.float32))


def test_people_without_a_row_have_no_latents_and_a_changed_cell_changes_the_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, _, judged = trained(tmp_path, written(tmp_path, frame()[:-2]))
    assert list(found["scan"]) == PEOPLE[:-2] and judged["people_training"] == 14
    assert "warning: v.tsv: 2 of 24 scans have no row (sub-22, sub-23)" in capsys.readouterr().out
    changed = VALUES[:-2].copy()
    changed[3, 1] += 1e-9
    files = tiny.packed(tmp_path / "packed")
    del files["folds"]
    path = written(tmp_path, frame(changed, PEOPLE[:-2]))
    with pytest.raises(InputError, match="fitted on other values than v.tsv describes; rerun with --forcerun train"):
        latents.run(
            **files, model=tmp_path / "w.safetensors", name="given", out=tmp_path / "l.parquet",
            index=tmp_path / "i.parquet", table=str(path),
        )  # fmt: skip


def test_a_frozen_table_takes_new_people_and_keeps_mean_and_scale(tmp_path: Path) -> None:
    known, _, _ = trained(tmp_path, written(tmp_path, frame()[:-2]))
    files = tiny.packed(tmp_path / "packed")
    del files["folds"]
    later = {"out": tmp_path / "l2.parquet", "index": tmp_path / "i2.parquet", "table": str(written(tmp_path, frame()))}
    latents.run(**files, model=tmp_path / "w.safetensors", name="given", freeze=True, **later)
    found = pd.read_parquet(later["out"])
    names = [name for name in found if name.startswith("mu_")]
    assert np.array_equal(found[names][:-2], known[names]) and list(found["split"][-2:]) == ["test", "test"]
    np.testing.assert_allclose(found[names][-2:], (VALUES[-2:] - VALUES[:-2][SPLIT[:-2] == "training"].mean(axis=0))
                               / VALUES[:-2][SPLIT[:-2] == "training"].std(axis=0, ddof=1))  # fmt: skip


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda given: given.assign(ICV=np.where(SPLIT == "training", 1.0, np.arange(24))), {}, "1 columns do not differ "
         "between the 15 training scans: ICV; leave them out with columns"),
        (lambda given: given, {"n_latent": 5}, "5 components, but 4 columns of 15 training scans have 4 at most; lower"),
        (lambda given: given.assign(ICV=1.0), {}, "v.parquet: column 'ICV' is 1 for every scan; leave it out"),
        (lambda given: given.assign(ICV=np.where(np.arange(24) == 2, np.nan, VALUES[:, 2])), {}, "v.parquet, row 3: no "
         "value in ICV; give numbers"),
        (lambda given: given.assign(ICV=np.where(np.arange(24) == 2, np.inf, VALUES[:, 2])), {}, "v.parquet, row 3: ICV is "
         "'inf'; give a number or n/a"),
        (lambda given: given.rename(columns={"participant_id": "id"}), {}, "v.parquet, row 1: no column 'participant_id'"),
        (lambda given: given, {"columns": ["emb_*"]}, "v.parquet, row 1: no column begins with 'emb_'; there are"),
    ],
)  # fmt: skip
def test_the_job_refuses_what_it_cannot_use(tmp_path: Path, change: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        trained(tmp_path, written(tmp_path, change(frame()), "parquet"), **options)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("v.parquet", b"PAR1 no more", "v.parquet: cannot be read"),
        ("v.npz", b"no zip", "v.npz: cannot be read"),
        ("v.tsv", b"\xff\xfe\x00", "v.tsv"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    files = tiny.packed(tmp_path / "packed")
    with pytest.raises(InputError, match=message):
        inputs.read(files["volumes"], files["rows"], str(tmp_path / name))


def test_arrays_of_unequal_length_and_objects_are_refused(tmp_path: Path) -> None:
    files = tiny.packed(tmp_path / "packed")
    np.savez(tmp_path / "a.npz", person=np.array(PEOPLE), emb=VALUES[:3])
    np.savez(tmp_path / "b.npz", person=np.array(PEOPLE, dtype=object), emb=VALUES)
    with pytest.raises(InputError, match=r"a.npz: arrays person \(24,\), emb \(3, 4\); give one row per scan in each"):
        inputs.read(files["volumes"], files["rows"], str(tmp_path / "a.npz"))
    with pytest.raises(InputError, match=r"b.npz: cannot be read \(Object arrays cannot be loaded"):
        inputs.read(files["volumes"], files["rows"], str(tmp_path / "b.npz"))


def test_names_become_ids_that_differ() -> None:
    assert table.ids(["mu_000", "3rd-Ventricle", "a b", "A_B", "µ"]) == [
        "000", "3rd_ventricle", "a_b_002", "a_b_003", "column"
    ]  # fmt: skip
    assert len(set(table.ids(["a", "A", "a_001"]))) == 3


@pytest.mark.parametrize(
    ("options", "found", "expected"),
    [
        ({"seen": "yes"}, "per fold", "transductive"),
        ({"seen": "unknown"}, "transductive", "transductive"),
        ({"seen": "unknown", "standardise": False}, "transductive", "transductive"),
        ({"seen": "no", "standardise": False}, "transductive", "per fold"),
        ({"seen": "no", "standardise": False, "n_latent": 2}, "transductive", "transductive"),
        ({"seen": "no"}, "per fold", "per fold"),
    ],
)
def test_the_policy_says_what_the_encoder_had_seen(
    tmp_path: Path, options: dict[str, Any], found: str, expected: str
) -> None:
    trained(tmp_path, written(tmp_path, frame()), **options)
    assert description(tmp_path / "w.safetensors")["options"]["seen"] == options["seen"]
    assert leakage.policy(found, [tmp_path / "h.json"]) == expected


def test_a_table_is_no_model_of_scans(tmp_path: Path) -> None:
    trained(tmp_path, written(tmp_path, frame()))
    model, mask = tmp_path / "w.safetensors", tmp_path / "packed" / "m.nii.gz"
    with pytest.raises(InputError, match="latents from a table entry, not a model of scans; share the table"):
        export.run(model=model, out=tmp_path / "e", mask=mask, health=tmp_path / "h.json", derivatives=tmp_path)
    with pytest.raises(InputError, match="latents from a table entry, not a model of scans; read the table"):
        LatentModel.load(model, mask=mask)
    with pytest.raises(InputError, match="kind 'table': its latents exist already and need no model"):
        LatentModel("table").fit(VALUES)


def test_parquet_as_pandas_writes_it(tmp_path: Path) -> None:
    """IDs as the index are read; a column of lists is no number."""
    packed = tiny.packed(tmp_path / "packed")
    frame().assign(**{"lists": [[1, 2]] * len(PEOPLE)}).set_index("participant_id").to_parquet(tmp_path / "v.parquet")
    found = inputs.read(packed["volumes"], packed["rows"], str(tmp_path / "v.parquet"))
    assert found.names == COLUMNS and np.array_equal(found.array, VALUES)


def block_files(folder: Path, values: np.ndarray) -> Path:
    """A block with these values, of the people of the packed scans."""
    scans = pd.read_parquet(tiny.packed(folder / "packed")["rows"])
    rows = scans[["scan", "person", "session"]].assign(block="b", source_path="x", row=0, n_time=1, tr_s=1.0)
    features = pd.DataFrame({"feature": [f"f{k}" for k in range(values.shape[1])]})
    features = features.assign(name=features["feature"], network=None, x_mm=0.0, y_mm=0.0, z_mm=0.0)
    blocks.write(folder / "b", blocks.Block(rows.assign(source_volume=0), features, values.astype(np.float32)))
    return folder / "b" / "values.npy"


def test_block_gives_the_same_latents_as_a_table(tmp_path: Path) -> None:
    own, _, judged = trained(tmp_path, block_files(tmp_path, VALUES), n_latent=2)
    other = trained(tmp_path, written(tmp_path, frame(VALUES.astype(np.float32))), n_latent=2)[0]
    np.testing.assert_allclose(own[["mu_000", "mu_001"]], other[["mu_000", "mu_001"]], atol=1e-6)
    assert set(own["inputs"]) == {"b"} and judged["verdict"] == "not applicable"


def test_missing_features_are_filled_in_with_the_training_mean(tmp_path: Path) -> None:
    values = VALUES.copy()
    test, training = np.flatnonzero(SPLIT == "test")[0], SPLIT == "training"
    values[[test, np.flatnonzero(training)[0]], 1] = np.nan
    found = trained(tmp_path, block_files(tmp_path, values))[0]
    filled = np.where(np.isnan(values), np.nanmean(values[training], axis=0), values)
    assert found["mu_f1"].iloc[test] == pytest.approx(0, abs=1e-6)
    expected = (filled[:, 1] - filled[training, 1].mean()) / filled[training, 1].std(ddof=1)
    np.testing.assert_allclose(found["mu_f1"], expected, atol=1e-5)


def test_tangent_space_is_that_of_the_training_people(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    series = rng.normal(size=(len(SPLIT), 60, 4)) @ rng.normal(size=(4, 4))
    values = np.array([connectivity.vector(one, "tangent", True) for one in series])
    found = trained(tmp_path, block_files(tmp_path, values), tangent=True, standardise=False)[0]
    changed = values.copy()
    changed[SPLIT == "test"] *= 3  # nothing of test people enters the reference
    other = trained(tmp_path, block_files(tmp_path, changed), tangent=True, standardise=False)[0]
    names = [name for name in found.columns if name.startswith("mu_")]
    rest = SPLIT != "test"
    np.testing.assert_array_equal(found.loc[rest, names], other.loc[rest, names])
    np.testing.assert_allclose(found.loc[SPLIT == "training", names].mean(), 0, atol=1e-4)
    assert np.abs(found.loc[~rest, names] - other.loc[~rest, names]).to_numpy().max() > 0.5
