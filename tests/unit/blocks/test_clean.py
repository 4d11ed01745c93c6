"""Cleaning of one run: nilearn's numbers, volumes that are left out, and what is refused."""

from typing import Any

import numpy as np
import pytest
from nilearn.signal import clean as nilearn_clean

from neurovae.blocks import clean, connectivity
from neurovae.errors import InputError

ENTRY = {"drop_first": 0, "detrend": True, "high_pass_hz": None, "low_pass_hz": None, "scrub_mm": None, "zscore": True}
NONE = np.zeros(4, bool)
TIME = np.arange(200) * 2.0


def courses(seed: int = 0) -> np.ndarray:
    return 50 + np.random.default_rng(seed).normal(size=(200, 4))


def run(
    values: np.ndarray, still: np.ndarray = NONE, fd: Any = None, confounds: Any = None, sample: Any = None, **more: Any
):
    return clean.run(values, still, fd, confounds, sample, 2.0, {**ENTRY, **more}, "a.tsv")


def test_courses_are_standardised_within_the_run():
    found = run(courses())
    np.testing.assert_allclose(found.values.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.values.std(axis=0, ddof=1), 1, rtol=1e-12)
    assert found.n_volumes == 200 and np.isnan(found.mean_fd)


def test_tsnr_is_mean_over_standard_deviation():
    assert 48 < run(courses()).tsnr < 53  # mean 50, SD 1
    assert np.isnan(run(courses() - 50).tsnr)  # of centred series it is not known


def test_band_keeps_what_lies_in_it():
    inside, outside = np.sin(2 * np.pi * 0.05 * TIME), np.sin(2 * np.pi * 0.2 * TIME)
    found = run(np.column_stack([inside + outside] * 4), high_pass_hz=0.01, low_pass_hz=0.1).values[20:-20, 0]
    assert np.corrcoef(found, inside[20:-20])[0, 1] > 0.99 and abs(np.corrcoef(found, outside[20:-20])[0, 1]) < 0.05


def test_confounds_are_regressed_out():
    confound = np.random.default_rng(1).normal(size=(200, 2))
    found = run(courses() + confound @ np.ones((2, 4)) * 5, confounds=confound).values
    np.testing.assert_allclose(confound.T @ found, 0, atol=1e-9)


def test_scrubbing_equals_the_sample_mask_of_nilearn():
    fd = np.full(200, 0.1)
    fd[[50, 51, 120]] = 2.0
    found = run(courses(), fd=fd, scrub_mm=0.5, high_pass_hz=0.01)
    expected = nilearn_clean(
        courses(), standardize="zscore_sample", sample_mask=np.flatnonzero(fd < 0.5), high_pass=0.01, t_r=2.0
    )
    np.testing.assert_allclose(found.values, expected, atol=1e-10)
    assert len(found.values) == 197 and found.n_volumes == 200 and found.mean_fd == pytest.approx(fd.mean())


def test_first_volumes_are_left_out_of_everything():
    values, fd = courses(), np.r_[np.full(5, 9.0), np.full(195, 0.1)]
    values[:5] += 1000
    found = run(values, fd=fd, drop_first=5, sample=np.arange(8, 200))
    np.testing.assert_allclose(found.values, run(values[5:], sample=np.arange(3, 195)).values)
    assert len(found.values) == 192 and found.mean_fd == pytest.approx(0.1)


def test_constant_parcels_are_missing_and_change_no_other():
    values = courses()
    values[:, 2] = 0
    found = run(values, np.array([False, False, True, False]))
    assert np.isnan(found.values[:, 2]).all()
    np.testing.assert_array_equal(np.delete(found.values, 2, 1), run(courses()[:, [0, 1, 3]], NONE[:3]).values)


def test_a_parcel_that_varies_in_scrubbed_volumes_alone_is_constant():
    values, fd = courses(), np.full(200, 0.1)
    fd[[20, 90]] = 2.0
    values[:, 1] = 50
    values[[20, 90], 1] = 70, 30
    found = run(values, fd=fd, scrub_mm=0.5)
    np.testing.assert_array_equal(found.still, [False, True, False, False])
    assert np.isnan(found.values[:, 1]).all() and np.isfinite(found.values[:, [0, 2, 3]]).all()
    assert not run(values, fd=fd).still.any()
    connections = connectivity.vector(found.values, "correlation", False)
    np.testing.assert_array_equal(np.isnan(connections), [True, False, True, False, True, False])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"fd": np.zeros(199)}, "a.tsv: 200 volumes, but 199 rows of framewise displacement"),
        ({"confounds": np.zeros((3, 1))}, "a.tsv: 200 volumes, but 3 rows of confounds"),
        ({"fd": np.ones(200), "scrub_mm": 0.5}, "a.tsv: 0 of 200 volumes are left after drop_first and scrubbing"),
        ({"drop_first": 199}, "a.tsv: 1 of 1 volumes are left"),
    ],
)
def test_what_is_refused(more, message):
    with pytest.raises(InputError, match=message):
        run(courses(), **more)
