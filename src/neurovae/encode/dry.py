"""Try an encoder on two images of noise before the first scan: what its card says of its output must be true."""

from typing import Any

import numpy as np

from neurovae.encode.programs import Encode
from neurovae.errors import InputError

SAME = 1e-4  # difference, as a fraction of the largest number, from which on two embeddings differ


def check(encode: Encode, card: dict[str, Any]) -> None:
    """Raise InputError unless the embeddings of noise have the card's size, are finite, and depend on the image alone.

    Args:
        encode: the encoder.
        card: its card.

    Raises:
        InputError: a program that refuses the input, another output, numbers that are not finite, one output for any
            input, or an output that depends on chance or on the other scans of a batch.
    """
    shape, batch = tuple(card["input"]["shape"]), card["input"]["batch"]
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, 1, *shape)).astype(np.float32)
    try:
        first, again, second = encode(noise[:1]), encode(noise[:1]), encode(noise[1:])
        whole = encode(noise[np.arange(batch) % 2]) if batch > 1 else first
    except InputError as error:
        raise InputError([f"{card['name']}: {line}" for line in error.problems]) from None
    except Exception as error:  # whatever the program raises on an image of the card's shape
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{card['name']}: fails on an image of shape {list(shape)} ({reason}); correct shape, channel or "
            "batch of input"
        ) from error
    if not all(np.isfinite(rows).all() for rows in (first, again, second, whole)):
        raise InputError(
            f"{card['name']}: its output is not finite for noise; the weights are damaged, or half precision"
        )
    if _same(first, second):
        raise InputError(
            f"{card['name']}: gives the same embedding for two different images; correct output, or save the encoder "
            "with its weights"
        )
    remedy = "save the encoder in evaluation mode (model.eval())"
    if not _same(first, again):
        raise InputError(f"{card['name']}: gives another embedding each time (dropout?); {remedy}")
    if not _same(whole[0], first[0]) or (batch > 1 and not _same(whole[1], second[0])):
        raise InputError(
            f"{card['name']}: an embedding depends on the other scans of its batch (batch norm?); {remedy}, or set "
            "batch: 1"
        )


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() <= SAME * max(np.abs(a).max(), np.abs(b).max()))
