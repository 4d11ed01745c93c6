"""What latents change in tables and connectivity: the closed form of a linear model, and the files and figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurovae.interpret import block_maps
from neurovae.io import blocks
from neurovae.report.figures import block_maps as figures
from neurovae.report.sections import by_block
from neurovae.train.models import linear_blocks
from neurovae.train.side_by_side import Part, SideBySide

NO_MASK = np.zeros((0, 0, 0), bool)
PEOPLE, SIZES = 80, {"a": 10, "b": 7}


def fitted() -> tuple[dict, dict, pd.DataFrame, pd.DataFrame, dict[str, np.ndarray]]:
    """A JIVE of two blocks, which ten people of the second lack: tensors, description, latents, index and features."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((PEOPLE, 1))
    x = {name: (shared @ rng.normal(size=(1, size)) + rng.standard_normal((PEOPLE, 1)) @ rng.normal(size=(1, size))
                + 0.5 * rng.standard_normal((PEOPLE, size))).astype(np.float32) for name, size in SIZES.items()}  # fmt: skip
    rows = {"a": np.arange(PEOPLE), "b": np.r_[np.arange(PEOPLE - 10), [-1] * 10]}
    array = SideBySide([Part(name, "table", SIZES[name], x[name], rows[name]) for name in SIZES])
    tensors, architecture, _ = linear_blocks.fit(
        array, np.full(PEOPLE, "training"), NO_MASK, seed=0, device="cpu", twin="jive", n_shared=1, n_private=1
    )
    mu = linear_blocks.embed(array[:], NO_MASK, tensors, architecture)[0]
    names = [f"mu_{one}" for one in architecture["latents"]]
    role, block = linear_blocks.roles(architecture)
    index = pd.DataFrame({"latent": names, "role": role, "block": block})
    scans = [f"s{k:02d}" for k in range(PEOPLE)]
    table = pd.DataFrame(mu, columns=names).assign(scan=scans, inputs=np.where(rows["b"] < 0, "a", "a+b"))
    return tensors, {"kind": "linear_blocks", "architecture": architecture}, table, index, x


def test_changes_of_a_linear_model_are_its_loadings_per_sd_of_the_latent() -> None:
    tensors, meta, table, index, _ = fitted()
    found = block_maps.decoded_changes(table, index, NO_MASK, tensors, meta)
    assert [list(one.columns) for one in found.values()] == [["mu_shared_00", "mu_a_00"], ["mu_shared_00", "mu_b_00"]]
    has_b = table[table["inputs"] == "a+b"]
    for block, latent, k, people in (("a", "mu_shared_00", 0, table), ("b", "mu_b_00", 2, has_b)):
        where = slice(0, 10) if block == "a" else slice(10, 17)
        expected = tensors[f"outward.{block}"][:, k] * tensors["scale"][where] * people[latent].std(ddof=1)
        np.testing.assert_allclose(found[block][latent], expected, rtol=1e-9)


def test_rows_are_in_units_and_in_sd_of_the_feature() -> None:
    _, _, table, index, x = fitted()
    rows = pd.DataFrame({"block": "a", "scan": table["scan"], "person": table["scan"], "session": "", "source_path": "",
                         "source_volume": pd.NA, "row": range(PEOPLE), "n_time": pd.NA, "tr_s": np.nan})  # fmt: skip
    features = pd.DataFrame({"feature": [f"f{k}" for k in range(10)]}).reindex(columns=list(blocks.FEATURES))
    values = x["a"].copy()
    values[:, 3] = 1
    values[0, 4] = np.nan
    block = blocks.Block(rows, features.assign(name=features["feature"]), values)
    changes = pd.DataFrame({"mu_shared_00": np.zeros(10), "mu_a_00": np.full(10, 2.0)})
    both = block_maps._rows(changes, block, table["scan"], index)
    found = both[both["latent"] == "mu_a_00"]
    assert both["latent"].nunique() == 2 and both.loc[both["latent"] == "mu_shared_00", "change_sd"].eq(0).all()
    expected = 2 / np.nanstd(np.delete(values, 3, axis=1).astype(float), axis=0, ddof=1)
    assert found["change"].eq(2).all() and found["change_sd"].iloc[3] == 0 and found["role"].eq("private").all()
    np.testing.assert_allclose(found["change_sd"].drop(3), expected, rtol=1e-6)


@pytest.mark.parametrize("place", [True, False])
def test_connections_are_drawn_as_matrices_and_in_the_brain(place: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    first, second = np.tril_indices(9, -1)
    names = [f"p{k}" for k in range(9)]
    parcels = pd.DataFrame({"parcel": names, "name": names, "network": ["Vis"] * 4 + ["Def"] * 5, "kept": True})
    places = rng.uniform(-50, 50, (9, 3)) if place else np.full((9, 3), np.nan)
    folder = tmp_path / "rest"
    folder.mkdir()
    parcels.assign(**dict(zip(("x_mm", "y_mm", "z_mm"), places.T, strict=True))).to_parquet(folder / "parcels.parquet")
    edges = pd.DataFrame({"feature": [f"{a}-{b}" for a, b in zip(first, second, strict=True)],
                          "first": [names[k] for k in first], "second": [names[k] for k in second]})  # fmt: skip
    rows = pd.DataFrame([dict.fromkeys(blocks.ROWS)]).assign(scan="s1", block="rest")
    features = edges.reindex(columns=[*blocks.FEATURES, "first", "second"])
    blocks.write(folder, blocks.Block(rows, features, rng.normal(size=(1, 36)).astype(np.float32)))
    one = edges.assign(latent="mu_shared_00", change_sd=rng.normal(size=36))
    matrix = figures.matrix(one, parcels)
    np.testing.assert_array_equal(matrix[first, second], one["change_sd"])
    np.testing.assert_array_equal(matrix, matrix.T)
    maps = pd.concat([one, one.assign(latent="mu_rest_00", change_sd=0.0)])
    figures.draw(maps=maps, folder=folder, out=tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as image:
        assert image.width > (2.2 if place else 0.9) * image.height


def test_the_strongest_latents_and_features_are_named(tmp_path: Path) -> None:
    sizes = {"mu_shared_00": [1.0, -2.0, 0.5], "mu_shared_01": [0.1, 0.1, 0.2], "mu_a_00": [0.0, 0.0, 0.0]}
    maps = pd.concat([pd.DataFrame({"latent": name, "role": "shared", "block": "a", "name": ["x", "y", "z"],
                                    "change_sd": one, "first": None}) for name, one in sizes.items()])  # fmt: skip
    assert figures.strongest(maps).to_dict() == pytest.approx({"mu_shared_00": 1.75, "mu_shared_01": 0.02})
    table = by_block.features(maps)
    assert table["latent"].tolist() == ["shared_00", "shared_01"]
    assert table["features"][0] == "y -2.00; x +1.00; z +0.50"
    figures.draw(maps=maps, folder=tmp_path / "a", out=tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5_000
