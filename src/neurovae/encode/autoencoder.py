"""MONAI's AutoencoderKL from a file of tensors and a JSON file of its arguments; its decoder alone."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from neurovae.errors import InputError


def network(arguments: dict[str, Any]) -> Any:
    """An AutoencoderKL with untrained weights, in evaluation mode.

    Raises:
        InputError: MONAI is not installed, or refuses the arguments.
    """
    try:
        from monai.networks.nets import AutoencoderKL
    except ImportError as error:
        raise InputError(
            "an autoencoderkl needs the package monai, which is not installed; run `pip install "
            "-e '.[pretrained]'`, or use --use-conda"
        ) from error
    try:
        model = AutoencoderKL(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"AutoencoderKL refuses its arguments ({error}); correct the JSON file") from error
    return model.eval()


def load(file: Path, arguments: Path) -> Any:
    """An AutoencoderKL with the weights of a file.

    Raises:
        InputError: weights that are not tensors alone, or that do not fit the arguments.
    """
    made = network(json.loads(arguments.read_text(encoding="utf-8")))
    state = tensors(file)
    try:
        _fill(made, state)
    except (RuntimeError, KeyError) as error:
        first = " ".join(str(error).split())[:300]
        raise InputError(
            f"{file.name}: does not fit the arguments in {arguments.name} ({first}); correct the arguments"
        ) from error
    return made


def _fill(made: Any, state: dict[str, torch.Tensor]) -> None:
    """Load weights into a network, those of the older package `generative` too, whose names MONAI translates.

    MONAI's translation leaves random weights where a name is absent, so that every tensor has to be used.
    """
    if set(state) & set(made.state_dict()) == set(state) or ".postconv." not in "".join(made.state_dict()):
        made.load_state_dict(state)
        return
    rest = dict(state)
    made.load_old_state_dict(rest)
    if rest or len(state) < len(made.state_dict()):
        raise KeyError(
            f"{len(made.state_dict())} tensors are needed, {len(state)} are there, {len(rest)} of other names"
        )


def tensors(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, by name; nothing in it is executed.

    Raises:
        InputError: a pickle that needs code, or a file that holds no tensors.
    """
    try:
        state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except SafetensorError as error:
        raise InputError(f"{file.name}: cannot be read as safetensors ({error}); download it again") from error
    except Exception as error:  # a dozen kinds; torch names a pickle that needs code by one of them
        if type(error).__name__ != "UnpicklingError":
            raise InputError(f"{file.name}: cannot be read as weights ({error}); download it again") from error
        raise InputError(
            f"{file.name}: a pickle that runs code when it is read, which is refused. If you trust where it is from, "
            "read it once where it was made, and save its tensors alone: "
            "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        ) from error
    for key in ("state_dict", "model"):  # as trainers store them
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    if not isinstance(state, dict) or not state or not all(isinstance(one, torch.Tensor) for one in state.values()):
        raise InputError(f"{file.name}: holds no dictionary of tensors; save model.state_dict()")
    return state


def decoding(made: Any) -> dict[str, torch.Tensor]:
    """The weights that `decode` uses, by name."""
    used = ("decoder.", "post_quant_conv.")
    return {name: one.contiguous() for name, one in made.state_dict().items() if name.startswith(used)}
