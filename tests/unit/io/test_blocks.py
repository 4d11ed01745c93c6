"""Blocks: what is written comes back, and files that do not agree are refused."""

import numpy as np
import pandas as pd
import pytest

from neurovae.errors import InputError
from neurovae.io import blocks


def block(n: int = 3, p: int = 2) -> blocks.Block:
    rows = pd.DataFrame(
        {
            "block": "fs", "scan": [f"s{k}" for k in range(n)], "person": [f"p{k}" for k in range(n)], "session": "",
            "source_path": "fs.tsv", "source_volume": pd.array([None] * n, "Int64"), "row": range(2, n + 2),
            "n_time": pd.array([None] * n, "Int64"), "tr_s": np.nan,
        }
    )  # fmt: skip
    names = [f"f{k}" for k in range(p)]
    features = pd.DataFrame(
        {"feature": names, "name": names, "network": None, "x_mm": np.nan, "y_mm": np.nan, "z_mm": np.nan}
    )
    values = np.arange(n * p, dtype=np.float32).reshape(n, p)
    values[0, 0] = np.nan
    return blocks.Block(rows, features, values)


def test_what_is_written_comes_back(tmp_path):
    blocks.write(tmp_path / "fs", block())
    back = blocks.read(tmp_path / "fs")
    np.testing.assert_array_equal(back.values, block().values)
    assert list(back.rows["scan"]) == ["s0", "s1", "s2"] and list(back.features["feature"]) == ["f0", "f1"]
    assert isinstance(back.values, np.memmap)


def test_same_block_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        blocks.write(tmp_path / name, block())
    for file in blocks.FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (block()._replace(values=np.zeros((3, 3), np.float32)), r"float32 \(3, 3\), rows and features ask for"),
        (block()._replace(values=np.zeros((3, 2))), "values are float64"),
        (block()._replace(rows=block().rows.drop(columns="tr_s")), "no column tr_s"),
        (block()._replace(rows=block().rows.assign(scan="s")), "scan 's' is there twice"),
        (block()._replace(features=block().features.assign(feature="f")), "feature 'f' is there twice"),
    ],
)
def test_parts_that_do_not_agree_are_refused(tmp_path, broken, message):
    with pytest.raises(InputError, match=message):
        blocks.write(tmp_path, broken)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"rows.parquet: cannot be read .* delete the folder"):
        blocks.read(tmp_path)
