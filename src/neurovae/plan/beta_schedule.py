"""The weight beta of the divergence in each epoch; standard library only, since the Snakefile uses it too."""


def warmup(epoch: int, epochs: int, length: int, cycles: int) -> float:
    """Return the fraction of beta in an epoch, from 0 in the first to 1 after `length` epochs (Fu 2019).

    Args:
        epoch: counted from 1.
        epochs: of the whole training.
        length: epochs of each rise; 0 has none.
        cycles: 0 rises once; n starts again at 0 n times, at equal distances over the training.
    """
    epochs_risen = ((epoch - 1) * cycles % epochs) / cycles if cycles else epoch - 1
    return min(1.0, epochs_risen / length) if length else 1.0


def max_fraction(epochs: int, length: int, cycles: int) -> float:
    """Return the largest fraction of beta in a training; less than 1 where a warm-up is longer than the training."""
    return max(warmup(epoch, epochs, length, cycles) for epoch in range(1, epochs + 1))
