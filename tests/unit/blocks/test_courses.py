"""Reading time series: every format gives the same numbers, empty first rows, and each fault with its place."""

from pathlib import Path

import numpy as np
import pytest
from functional import NAMES, courses, cpac, write_tsv, xcpd

from neurovae.blocks import courses as reader
from neurovae.errors import InputError
from neurovae.plan.block_files import File


def file(path: Path, motion: str = "") -> File:
    return File(str(path), {"sub": "01"}, "", motion)


def test_formats_give_the_same_numbers(tmp_path):
    values = courses(0)
    np.save(tmp_path / "a.npy", values)
    np.savetxt(tmp_path / "a.1D", values, fmt="%.5f")
    for path in (write_tsv(tmp_path / "a.tsv", values), write_tsv(tmp_path / "a.tsv.gz", values), tmp_path / "a.1D",
                 tmp_path / "a.npy", cpac(tmp_path, "1", 0)):  # fmt: skip
        found = reader.read(file(path))
        np.testing.assert_allclose(found.values, values, atol=1e-5)
        assert found.n_empty == 0 and len(found.names) == 5


def test_empty_first_rows_are_left_out(tmp_path):
    found = reader.read(file(xcpd(tmp_path, "01", empty=3)))
    assert found.n_empty == 3 and found.values.shape == (80, 5) and found.names == NAMES


def test_parcel_without_data_is_missing_as_a_whole(tmp_path):
    values = courses(0)
    values[:, 1] = np.nan
    values[:, 3] = 7
    found = reader.read(file(write_tsv(tmp_path / "a.tsv", values)))
    assert reader.constant(found.values).tolist() == [False, True, False, True, False]


def test_displacement_has_no_first_value(tmp_path):
    motion = tmp_path / "m.tsv"
    motion.write_text("framewise_displacement\nn/a\n0.2\n0.4\n")
    np.testing.assert_array_equal(reader.displacement(file(tmp_path / "a.tsv", str(motion))), [0, 0.2, 0.4])
    assert reader.displacement(file(tmp_path / "a.tsv")) is None
    motion.write_text("rot_x\n1\n")
    assert reader.displacement(file(tmp_path / "a.tsv", str(motion))) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n1\t2\n3\tx\n", "a.tsv, row 3: b is 'x' \\(1 such cells\\); give a number or n/a"),
        ("a\tb\n1\t2\n3\tn/a\n5\t6\n", "a.tsv, row 3: no value in b \\(1 such cells\\)"),
        ("a\tb\n1\t2\n3\tinf\n", "a.tsv, row 3: b is infinite"),
        ("a\tb\nn/a\tn/a\nn/a\tn/a\n", "a.tsv: no value in any row"),
        ("a\tb\tc\n1\t2\n3\t4\n", "a.tsv: 2 columns below 3 names \\(a, b, c\\)"),
        ("a\tb\n", "a.tsv: cannot be read"),
    ],
)
def test_faults_of_tables(tmp_path, text, message):
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        reader.read(file(tmp_path / "a.tsv"))


def test_faults_of_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(5))
    with pytest.raises(InputError, match=r"holds an array \(5,\); give time x parcels"):
        reader.read(file(tmp_path / "a.npy"))
    (tmp_path / "a.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match="a.npy: cannot be read"):
        reader.read(file(tmp_path / "a.npy"))
    damaged = write_tsv(tmp_path / "a.tsv.gz", courses(0))
    damaged.write_bytes(damaged.read_bytes()[:-40])
    with pytest.raises(InputError, match="a.tsv.gz: cannot be read"):
        reader.read(file(damaged))
