"""neurovae under the benchmark's clock: the one place that knows how the training is taken apart."""

import contextlib
import dataclasses
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from benchmark_tools import Settings, now
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from neurovae.plan.config import load_schema, validate
from neurovae.train.engine import loop
from neurovae.train.engine.data import Data, gather
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.models import vae
from neurovae.train.models.network import VAE, Linear


class Enough(Exception):
    """Ends a training whose question is answered."""


@contextlib.contextmanager
def as_in_a_run() -> Iterator[None]:
    """Deterministic algorithms, as in `neurovae.train.fit`, and no output; MONAI's loop is spared the former."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        torch.use_deterministic_algorithms(False)


def defaults(given: dict[str, Any]) -> dict[str, Any]:
    """The options of a VAE as the schema completes them, read once: the file may change while a benchmark runs.

    given: on the command line; without a network among them the dense one, which is what MONAI's is like.
    """
    entry = {"name": "vae", "kind": "vae", "network": "dense", **given}
    complete = validate({"cohort": {"name": "x"}, "train": {"models": [entry]}}, load_schema())["train"]["models"][0]
    fields = {field.name for field in dataclasses.fields(Hyperparameters)}
    return {name: value for name, value in complete.items() if name in fields}


def options(settings: Settings, **changed: Any) -> dict[str, Any]:
    """The options of this run, with what a comparison changes."""
    return {**settings.options, **changed}


def parted(settings: Settings) -> np.ndarray:
    """Split of each volume: training people first, then held-out ones, on whom no step is taken."""
    return np.array(["training"] * settings.people + ["validation"] * settings.held_out)


@dataclasses.dataclass
class Trainer:
    """A network with its data and optimiser, as `vae.fit` has them before its first epoch."""

    model: VAE
    data: Data
    hp: Hyperparameters
    optimiser: torch.optim.Optimizer
    initial: dict[str, Tensor]
    epoch: int = 0

    def reset(self) -> None:
        """Back to the state before the first epoch, without compiling again."""
        self.model.load_state_dict(self.initial)
        self.optimiser, self.epoch = loop._optimiser(self.model, self.hp), 0

    def one_pass(self, rows: np.ndarray | None = None, *, volumes: np.ndarray | None = None) -> None:
        """One epoch's steps without its evaluation, on other rows or on volumes streamed from disk where given."""
        self.epoch += 1
        data = (
            self.data if rows is None else dataclasses.replace(self.data, index={**self.data.index, "training": rows})
        )
        data = data if volumes is None else dataclasses.replace(data, volumes=volumes, held=None)
        queue = torch.zeros(0, self.hp.n_latent, device=data.device)
        with as_in_a_run():
            loop._pass(
                self.model,
                data,
                self.hp,
                self.optimiser,
                queue,
                (0, self.epoch),
                self.hp.beta,
                1.0,
            )


def trainer(
    settings: Settings,
    volumes: np.ndarray,
    mask: np.ndarray,
    *,
    change: Callable[[VAE], None] = lambda model: None,
    **changed: Any,
) -> Trainer:
    """The network of the options, or one that `change` gives another encoder and decoder, ready for the first epoch."""
    of_run = options(settings, **changed)
    hp, split = Hyperparameters(**of_run), parted(settings)[: len(volumes)]
    torch.manual_seed(0)
    model = vae._untrained(vae._architecture(mask, of_run), mask, hp.dropout)
    chosen = vae._start(model, volumes, split, mask, hp)
    group = (
        vae._cross_fit(model, volumes, split, None, mask, hp, chosen) if hp.cross_fit and hp.linear != "none" else None
    )
    change(model)
    model.to(settings.device)
    model.without = [Linear(*(part.to(settings.device) for part in one)) for one in model.without]
    for part in (model.encoder, model.decoder):
        if settings.gpu or model.corrects:
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if hp.compile:
            part.compile()
    data = gather(volumes, split, mask, settings.device, 0, 1, group)
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    return Trainer(model, data, hp, loop._optimiser(model, hp), initial)


def flops(trained: Trainer) -> float:
    """Operations per volume of forward and backward (torch.utils.flop_counter: matrix products, convolutions)."""
    batch = trained.hp.batch
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        trained.one_pass(trained.data.index["training"][:batch])
    return counter.get_total_flops() / batch


def parameters(model: nn.Module) -> int:
    """Weights that are trained."""
    return sum(parameter.numel() for parameter in model.parameters())


def learning(trained: Trainer, budget: float) -> list[tuple[float, float]]:
    """(seconds, test variance explained) after each epoch of the real loop, its own evaluations included."""
    found: list[tuple[float, float]] = []
    start = now(trained.data.device)

    def watch(rows: list[dict[str, Any]]) -> None:
        found.append((now(trained.data.device) - start, held_out_share(rows)))
        if found[-1][0] > budget:
            raise Enough

    hp = dataclasses.replace(trained.hp, epochs=10_000, patience=10_000)
    with as_in_a_run(), contextlib.suppress(Enough):
        loop.train(trained.model, trained.data, hp, seed=0, folder=None, watch=watch)
    return found


def held_out_share(rows: list[dict[str, Any]]) -> float:
    """Share of the held-out people's variance about the training mean that is reconstructed."""
    return next(float(row["variance_explained"]) for row in rows if row["split"] == "validation")


def until(
    settings: Settings, volumes: np.ndarray, mask: np.ndarray, explained: float, seed: int, **changed: Any
) -> tuple[float, int]:
    """Seconds from calling `vae.fit` to the end of the epoch that reaches a test variance explained, and that epoch.

    Infinite where four times the budget does not suffice.
    """
    start, epochs = now(settings.device), 0

    def watch(rows: list[dict[str, Any]]) -> None:
        nonlocal epochs
        epochs += 1
        if held_out_share(rows) >= explained or now(settings.device) - start > 4 * settings.budget:
            raise Enough if held_out_share(rows) >= explained else TimeoutError

    chosen = options(settings, epochs=10_000, patience=10_000, **changed)
    with as_in_a_run():
        try:
            vae.fit(volumes, parted(settings), mask, seed=seed, device=str(settings.device), watch=watch, **chosen)
        except Enough:
            return now(settings.device) - start, epochs
        except TimeoutError:
            pass
    return float("inf"), epochs
