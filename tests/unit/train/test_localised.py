"""Localised PCA: closed forms of its taper, a dense eigendecomposition, more components than people, the choice."""

import numpy as np
import pytest
from tiny import MASK, SETTINGS, SHAPE, cohort

from neurovae.errors import InputError
from neurovae.io.volumes import masked
from neurovae.train.engine.windows import axes, spline, taper, windows
from neurovae.train.models import localised_components, pca, pca_localised, principal_components, vae

SMALL = MASK & (np.indices(SHAPE).sum(axis=0) % 4 == 0)  # 648 voxels: few enough for a matrix of their pairs
AT = np.argwhere(SMALL)


def gaspari_cohn(distance: np.ndarray) -> np.ndarray:
    """Gaspari and Cohn 1999, equation 4.10, with c = 1/2: zero from distance 1 on."""
    z = 2 * distance.clip(max=1)
    near = -(z**5) / 4 + z**4 / 2 + 5 * z**3 / 8 - 5 * z**2 / 3 + 1
    far = z**5 / 12 - z**4 / 2 + 5 * z**3 / 8 + 5 * z**2 / 3 - 5 * z + 4 - 2 / (3 * z.clip(min=1e-9))
    return np.where(z < 1, near, far)


def found(people: int = 24, **options: object) -> tuple[principal_components.Principal, np.ndarray, np.ndarray]:
    """Components of noisy people on SMALL, the volumes, and the rows of the training people."""
    volumes, split = cohort(people)
    rows = np.flatnonzero(split == "training"), np.flatnonzero(split == "validation")
    chosen = {"n_latent": 4, "flip": False, "blur": 0.0, "tapers": [60.0], **options}
    return localised_components.localised(volumes, *rows, SMALL, **chosen).principal, volumes, rows[0]


def dense(volumes: np.ndarray, rows: np.ndarray, taper_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors (columns) of the Schur product of covariance and taper, largest first."""
    covariance = np.cov(masked(volumes[rows], SMALL).astype(np.float64), rowvar=False)
    values, vectors = np.linalg.eigh(covariance * taper(axes(SHAPE, taper_mm), AT, AT))
    return values[::-1], vectors[:, ::-1]


@pytest.mark.parametrize("shape", [(40, 48, 40), (80, 96, 80)])
@pytest.mark.parametrize("length", [40.0, 60.0, 120.0])
def test_the_taper_is_that_of_gaspari_and_cohn_to_the_stated_error(shape: tuple[int, ...], length: float) -> None:
    at = np.random.default_rng(0).integers(shape, size=(600, 3))
    mm = np.linalg.norm((at[:, None] - at) * 160 / shape[0], axis=2)
    error = taper(axes(shape, length), at, at) - gaspari_cohn(mm / length)
    assert np.abs(error).max() < 0.08 and np.abs(np.diag(error)).max() < 1e-12
    assert np.sqrt(np.square(error[mm < length]).mean()) < 0.02


def test_the_windows_multiply_to_the_taper_and_their_squares_sum_to_1() -> None:
    splines = axes(SHAPE, 50.0)
    whole = np.zeros((len(AT), len(AT)))
    for window in windows(splines, SMALL):
        whole[np.ix_(window.voxels, window.voxels)] += np.outer(window.values, window.values)
    assert np.abs(whole - taper(splines, AT, AT)).max() < 0.015  # windows are cut where they are nearly zero
    assert np.allclose(np.diag(whole), 1, atol=1e-6) and np.linalg.eigvalsh(whole).min() > -1e-6
    x = np.linspace(-3, 3, 601)
    assert np.allclose(sum(spline(x - k) for k in range(-6, 7)), 1)  # a partition of unity


def test_components_are_eigenvectors_of_the_schur_product() -> None:
    one, volumes, rows = found(n_latent=20)  # more than the 15 training people
    values, vectors = dense(volumes, rows, 60.0)
    components = one.components.astype(np.float64)
    assert np.allclose(components @ components.T, np.eye(20), atol=1e-5)
    captured = np.square((components @ vectors) * np.sqrt(values.clip(min=0))).sum()
    assert captured == pytest.approx(values[:20].sum(), rel=0.01)
    assert np.allclose(np.abs(np.sum(components[:4].T * vectors[:, :4], axis=0)), 1, atol=0.01)
    assert np.allclose(one.variances[:4], values[:4], rtol=0.01)
    assert one.left == pytest.approx(values[20:].sum() / len(AT), rel=0.02)


def test_a_taper_of_ones_gives_pca_and_a_short_one_the_variances() -> None:
    one, volumes, rows = found(tapers=[1e5])
    plain = principal_components.principal(volumes, rows, SMALL, n_latent=4, flip=False, blur=0.0)
    assert np.allclose(np.abs(np.sum(one.components * plain.components, axis=1))[:3], 1, atol=1e-3)
    assert np.allclose(one.variances, plain.variances, rtol=1e-3)
    short, _ = dense(volumes, rows, 5.0)  # neighbours in SMALL are more than 5 mm apart
    variances = masked(volumes[rows], SMALL).astype(np.float64).var(axis=0, ddof=1)
    assert np.allclose(short, np.sort(variances)[::-1])


def test_on_a_fine_grid_components_found_on_some_voxels_are_carried_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    volumes, split = cohort()
    rows = np.flatnonzero(split == "training"), np.flatnonzero(split == "validation")
    options = {"n_latent": 8, "flip": True, "blur": 0.0, "tapers": [60.0]}
    whole, _ = localised_components.localised(volumes, *rows, MASK, **options)
    monkeypatch.setattr(localised_components, "COARSE", 20.0)  # of voxels of 10 x 8 x 10 mm every second one
    assert np.count_nonzero(localised_components.thinned(MASK)) == np.count_nonzero(MASK) / 8
    carried, _ = localised_components.localised(volumes, *rows, MASK, **options)
    assert carried.variances.sum() == pytest.approx(whole.variances.sum(), rel=0.02)
    assert np.allclose(carried.components @ carried.components.T, np.eye(8), atol=1e-5)
    assert abs(carried.components[0] @ whole.components[0]) == pytest.approx(1, abs=0.01)


def test_scans_read_a_few_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _, _ = found(flip=True)
    monkeypatch.setattr(localised_components, "AT_ONCE", 4)
    other, _, _ = found(flip=True)
    assert np.allclose(one.components, other.components, atol=1e-4)
    again, _, _ = found(flip=True)
    assert np.array_equal(other.components, again.components)


def test_the_validation_people_choose_the_taper(capsys: pytest.CaptureFixture[str]) -> None:
    volumes, split = cohort(60)  # three fields that reach through the whole brain: a taper can only lose
    fitted = {"seed": 0, "device": "cpu", "flip": False, "blur": 0.0, "taper_mm": ["none", 60.0]}
    _, architecture, history = pca_localised.fit(volumes, split, SMALL, n_latent=3, **fitted)
    assert architecture.pop("left") == pytest.approx(0.01, rel=0.2)  # the noise
    assert architecture == {"n_latent": 3, "kl": False, "taper_mm": "none"} and history == []
    told = capsys.readouterr().out
    assert "taper_mm none: variance explained 0.9" in told and "taper_mm 60.0: variance explained 0." in told
    rng = np.random.default_rng(0)  # 64 blocks that vary on their own: 36 people know less of them than their places
    blocks = np.kron(rng.normal(size=(60, 4, 4, 4)), np.ones((1, 4, 6, 4)))
    volumes = np.where(MASK, blocks + 0.1 * rng.normal(size=(60, *SHAPE)), 0).astype(np.float16)
    _, architecture, _ = pca_localised.fit(volumes, split, SMALL, n_latent=30, **fitted)
    assert architecture["taper_mm"] == 60.0
    held = volumes[split == "test"]
    explained = {}
    for length, n_latent in (("none", 35), (60.0, 48)):  # 36 people have 35 components
        options = {**fitted, "taper_mm": [length], "n_latent": n_latent}
        tensors, _, _ = pca_localised.fit(volumes, split, SMALL, **options)
        x = masked(held, SMALL) - tensors["mean"]
        left = x - (pca_localised.embed(held, SMALL, tensors, {})[0] @ tensors["components"])
        explained[length] = 1 - np.square(left).sum() / np.square(x).sum()
    assert explained[60.0] > explained["none"] + 0.05


def test_more_latents_than_people_need_a_taper_and_a_baseline_has_as_many_as_there_are() -> None:
    volumes, split = cohort()
    fitted = {"seed": 0, "device": "cpu", "n_latent": 20, "flip": False, "blur": 0.0}
    tensors, architecture, _ = pca_localised.fit(volumes, split, SMALL, **fitted, taper_mm=["none", 60.0])
    assert tensors["components"].shape == (20, len(AT)) and architecture["taper_mm"] == 60.0
    with pytest.raises(InputError, match="too few people or voxels for 20 latents"):
        pca_localised.fit(volumes, split, SMALL, **fitted, taper_mm=["none"])
    with pytest.raises(InputError, match="nobody is in validation"):
        pca_localised.fit(volumes, np.full(24, "training"), SMALL, **{**fitted, "taper_mm": [40.0, 60.0]})
    tensors, architecture, _ = pca.fit(volumes, split, SMALL, **fitted, capped=True)
    assert architecture["n_latent"] == len(tensors["components"]) == 14  # of 15 training people


def test_a_network_starts_from_localised_components() -> None:
    volumes, split = cohort()
    options = {**SETTINGS, "n_latent": 18, "linear": "localised", "taper_mm": [60.0], "epochs": 1, "flip": False}
    tensors, architecture, history = vae.fit(volumes, split, MASK, seed=0, device="cpu", **options)
    rows = np.flatnonzero(split == "training")
    one, _ = localised_components.localised(
        volumes, rows, rows[:0], MASK, n_latent=18, flip=False, blur=0.0, tapers=[60.0]
    )
    assert architecture["taper_mm"] == 60.0 and history[0]["variance_explained"] > 0.5
    assert np.allclose(tensors["outward"], one.components * np.sqrt(one.variances)[:, None], atol=1e-4)
