"""Random numbers by counter: a generator is made from seed, epoch and step each time, so that no state is kept."""

import numpy as np
import torch


def number(*counters: int) -> int:
    """A seed of 63 bits from several counters; their count is one of them, since numpy takes (1, 2) for (1, 2, 0)."""
    return int(np.random.SeedSequence((len(counters), *counters)).generate_state(1, np.uint64)[0] >> 1)


def generator(*counters: int) -> torch.Generator:
    """Return a generator on the CPU, so that a seed means the same on every device."""
    return torch.Generator().manual_seed(number(*counters))
