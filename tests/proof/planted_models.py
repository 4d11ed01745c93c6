"""Components of the scans of one fold for every number of latents at once, and how their number is chosen.

Principal components are nested: the first 48 of 400 are those of a fit of 48, to the error of the iteration.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurovae.io.files import write_beside
from neurovae.train.engine.windows import axes, windows
from neurovae.train.models import principal_components
from neurovae.train.models.localised_components import AT_ONCE, MORE, PASSES, iterated, orthonormal, product

TAPERS = (90.0, 60.0, 120.0)  # mm, those of the default, the middle one first
CANDIDATES = (48, 100, 150, 200, 300, 400)
MOST = max(CANDIDATES)
AGAIN = 2  # passes from the components of another fold
WITHIN = 0.01  # of the best variance explained: the smallest number of latents there is taken
BLUR = 4.0  # mm, of the PCA's blurred copies: the default


Fits = dict[float, "Components"]


class Components(NamedTuple):
    """Mean (voxels,) and orthonormal components (latents, voxels), the first explaining most."""

    mean: np.ndarray
    components: np.ndarray

    def scores(self, x: np.ndarray, n_latent: int) -> np.ndarray:
        """Scores (scans, n_latent) of masked voxels (scans, voxels)."""
        scores: np.ndarray = (x - self.mean) @ self.components[:n_latent].T
        return scores

    def explained(self, x: np.ndarray) -> np.ndarray:
        """Variance explained in x (scans, voxels) by the first 1, 2, ... components (latents,)."""
        squares = np.square(self.scores(x, len(self.components)), dtype=np.float64).sum(axis=0)
        total = float(np.square(x - self.mean, dtype=np.float64).sum())
        return np.asarray(np.cumsum(squares) / total)


def localised(
    volumes: np.ndarray,
    rows: np.ndarray,
    mask: np.ndarray,
    taper_mm: float,
    n_latent: int,
    start: np.ndarray | None = None,
    passes: int = PASSES,
) -> Components:
    """Localised components of some rows and their mirror images (`pca_localised`), from a start or at random.

    start: components of nearly the same scans (latents, voxels), from which one or two passes are enough.
    """
    mean = principal_components.mean_of(volumes, rows, mask, True)
    drawn = np.random.default_rng(0).standard_normal((n_latent + MORE, len(mean)), np.float32)
    basis = drawn if start is None else np.concatenate([start, drawn[:MORE]])
    scans = partial(principal_components.centred, volumes, rows, mask, mean, True, AT_ONCE)
    own = windows(axes(mask.shape, taper_mm), mask)
    vectors, _ = iterated(lambda vectors: product(scans(), own, vectors), orthonormal(basis), passes)
    return Components(mean, vectors[:n_latent])


def plain(
    volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, *, flip: bool = True, blur: float = BLUR
) -> Components:
    """As many principal components as there are (`pca`), of scans, mirror images and blurred copies."""
    found = principal_components.components(volumes, rows, mask, n_latent=len(rows) - 1, flip=flip, blur=blur)
    return Components(found.mean, found.components)


def kept(path: Path, fit: Any) -> Components:
    """Components from a file, or those that `fit` finds, which are written to it."""
    if path.exists():
        with np.load(path) as arrays:
            return Components(arrays["mean"], arrays["components"])
    found: Components = fit()
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_beside(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, mean=found.mean, components=found.components)
    return found


def smallest(explained: dict[int, float]) -> int:
    """The smallest number of latents whose variance explained is within WITHIN of the best."""
    return min(n for n, value in explained.items() if value >= max(explained.values()) - WITHIN)


def all_tapers(volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, name: str, folder: Path, start: Path) -> Fits:
    """Localised components (MOST) for each taper, kept in files; all but the first of all begin with others' (`start`).

    Vectors of another fold or taper are near those sought: one or two passes over the scans then go further than the
    four from random vectors.
    """
    found: Fits = {}
    for taper in TAPERS:
        first = next(iter(found.values())).components if found else _start(start)
        passes = PASSES if first is None else AGAIN if taper == TAPERS[0] else 1
        fit = partial(localised, volumes, rows, mask, taper, MOST, first, passes)
        found[taper] = kept(folder / f"{name}-{taper:g}.npz", fit)
    return found


def _start(path: Path) -> np.ndarray | None:
    if not path.exists():
        return None
    with np.load(path) as arrays:
        components: np.ndarray = arrays["components"]
        return components


def by_number(fits: Fits, x: dict[str, np.ndarray]) -> dict[str, Any]:
    """Per number of latents the taper that validation chooses and the variance explained; and the number chosen.

    x: masked voxels (scans, voxels) of the people of each split.
    """
    explained = {name: {taper: one.explained(scans) for taper, one in fits.items()} for name, scans in x.items()}
    tapers = {n: max(fits, key=lambda taper: explained["validation"][taper][n - 1]) for n in CANDIDATES}
    row = {name: {n: float(explained[name][tapers[n]][n - 1]) for n in CANDIDATES} for name in x}
    return {"tapers": tapers, **row, "chosen": smallest(row["validation"])}
