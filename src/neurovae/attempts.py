"""Memory and time of a job that is tried again: those of its rule, times the attempt."""

from collections.abc import Callable, Iterable
from typing import Any


def grow(rules: Iterable[Any]) -> None:
    """Let each of Snakemake's rules ask for its own memory and time, times the attempt.

    Jobs are tried again where `retries` is given, as in the profile for SLURM. What a rule or --set-resources gives as
    an expression stays as it is.
    """
    for rule in rules:
        for name in ("mem_mb", "runtime"):
            if name in rule.resources and not rule.resources[name].is_evaluable():
                rule.resources[name] = _times(rule.resources[name].value)


def _times(base: int) -> Callable[[Any, int], int]:
    return lambda wildcards, attempt: base * attempt
