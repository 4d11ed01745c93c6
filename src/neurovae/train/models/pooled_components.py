"""Components of the covariance of the training people pooled with that of a larger cohort, each about its own mean.

    w S / tr S + (1 - w) T / tr T

S: of the larger cohort, as the components and variances of its model. T: of the training people, as a PCA here
estimates it: with mirror images, with blurred copies, tapered or not. Each is divided by its total variance (trace), so
that w does not depend on units of intensity or on the numbers of people. w is that of WEIGHTS which explains most
variance in the validation participants; 0 is a PCA of the training people alone, 1 the components of the larger cohort.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from neurovae.errors import InputError
from neurovae.io.volumes import evenly
from neurovae.train.models import localised_components
from neurovae.train.models.localised_components import MORE, Taper, thinned
from neurovae.train.models.principal_components import MAX_SCANS, Principal, combined, products, stacked, total
from neurovae.train.models.source_covariance import Covariance

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the larger cohort


class Pooled(NamedTuple):
    """Components, with the weight of the larger cohort and the taper that were chosen for them."""

    principal: Principal
    weight: float
    taper_mm: Taper


class _People(NamedTuple):
    """The training people, and how their covariance is estimated."""

    volumes: np.ndarray
    rows: np.ndarray
    n_latent: int
    flip: bool
    blur: float


def pooled(
    volumes: np.ndarray,
    training: np.ndarray,
    validation: np.ndarray,
    mask: np.ndarray,
    source: Covariance,
    *,
    n_latent: int,
    flip: bool,
    blur: float,
    tapers: Sequence[Taper] = ("none",),
    weights: Sequence[float] = WEIGHTS,
) -> Pooled:
    """Pooled components with the weight, and the taper, that explain most variance of the rows in `validation`.

    The variances are those of the pooled covariance (of the plain one, without blurred copies), in units of the
    training people's total variance. With tapers and a fine grid, the choice is made on some of the voxels, as in
    `localised_components`. Of more than MAX_SCANS training scans, a plain PCA takes as many, evenly spaced.

    Args:
        volumes: packed volumes (scans, x, y, z).
        training, validation: rows.
        mask: the fixed mask (x, y, z).
        source: covariance of the larger cohort in the mask.
        n_latent, flip, blur: as of `pca.fit`.
        tapers: of the training people's covariance, the choices.
        weights: the choices.

    Raises:
        InputError: more latents than both have together, or nobody in `validation` to choose by.
    """
    people = _People(volumes, training, n_latent, flip, blur)
    coarse = mask if list(tapers) == ["none"] else thinned(mask)
    choices = _choices(people, len(source.components), int(coarse.sum()), tapers, weights)
    if not choices:
        raise InputError(
            f"start_from: n_latent is {n_latent}, but the source has {len(source.components)} components and "
            f"{len(training)} training scans have {len(training) - 1}; lower n_latent"
        )
    if len(choices) > 1 and not len(validation):
        raise InputError("start_from: the weight of the source is to be chosen, but nobody is in validation")
    weight, taper, found = _best(_found(people, coarse, source.at(coarse[mask]), choices), volumes, validation, coarse)
    if coarse is not mask:
        start = (coarse, found.components)
        found = next(_found(people, mask, source, [(weight, taper)], start))[2]
    return Pooled(found, weight, taper)


Choice = tuple[float, Taper]
Tried = tuple[float, Taper, Principal]


def _choices(
    people: _People, source: int, voxels: int, tapers: Sequence[Taper], weights: Sequence[float]
) -> list[Choice]:
    """Weights and tapers that have enough components; with weight 1 a taper has no effect."""
    own = len(people.rows) - 1
    found: list[Choice] = []
    for weight in weights:
        plain = (own if weight < 1 else 0) + (source if weight > 0 else 0)
        if weight == 1 or "none" in tapers:
            found += [(weight, "none")] if people.n_latent <= min(plain, voxels) else []
        if weight < 1 and people.n_latent + MORE <= voxels:
            found += [(weight, taper) for taper in tapers if taper != "none"]
    return found


def _best(tried: Iterator[Tried], volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> Tried:
    """What explains most of the variance of rows, of those tried; the first, where there are no rows."""
    best, most = next(tried), -np.inf
    if not len(rows):
        return best
    for one in (best, *tried):
        value = localised_components.explained(volumes, rows, mask, one[2])
        print(
            f"start_from: weight {one[0]:g}, taper_mm {one[1]}: variance explained {value:.3f} in the validation set",
            flush=True,
        )
        if value > most:
            best, most = one, value
    return best


def _found(
    people: _People,
    mask: np.ndarray,
    source: Covariance,
    choices: list[Choice],
    start: tuple[np.ndarray, np.ndarray] | None = None,
) -> Iterator[Tried]:
    """Components of each choice on the voxels of a mask."""
    untapered = [weight for weight, taper in choices if taper == "none"]
    if untapered:
        for weight, found in zip(untapered, _plain(people, mask, source, untapered), strict=True):
            yield weight, "none", found
    for weight, taper in choices:
        if taper != "none":
            same = people.volumes, people.rows, mask, taper, people.n_latent, people.flip
            yield weight, taper, localised_components.components(*same, start=start, mixed=(weight, source))


def _plain(people: _People, mask: np.ndarray, source: Covariance, weights: list[float]) -> Iterator[Principal]:
    """Components of each weight without a taper: the source's, times the roots of their variances, are more rows."""
    rows = people.rows[evenly(len(people.rows), MAX_SCANS)]
    more = len(source.components)
    both, mean, count = stacked(people.volumes, rows, mask, flip=people.flip, blur=people.blur, more=more)
    x, variance, size = both[:count], total(both[:count]), len(both) - more
    squares = total(both[:size]) * (size - 1)
    both[:size] /= np.sqrt(squares)  # of trace 1, as the source's with what it leaves
    both[size:] = source.components * np.sqrt(source.variances / source.total)[:, None]
    inner = products(both)
    for weight in weights:
        scale = np.sqrt(np.repeat([1 - weight, weight], [size, more]))
        components = combined(both, inner, people.n_latent, scale)
        own = np.square(x @ components.T).sum(axis=0, dtype=np.float64) * squares / (count - 1)
        others = np.square(both[size:] @ components.T).sum(axis=0, dtype=np.float64) * variance
        variances = ((1 - weight) * own + weight * others).astype(np.float32)
        yield Principal(mean, components, variances, (variance - float(variances.sum())) / both.shape[1])
