"""Load an encoder by its library's own loader, as a function of a batch.

torch.export and TorchScript files and ONNX models are programs: loading one runs what its author wrote. Weights of an
AutoencoderKL are read as tensors alone. torch.export: docs.pytorch.org/docs/stable/export.html; ONNX: onnxruntime.ai.
"""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurovae.encode import autoencoder
from neurovae.errors import InputError

Encode = Callable[[np.ndarray], np.ndarray]  # (scans, 1, x, y, z), single precision -> (scans, size)


def load(card: dict[str, Any], folder: Path, device: torch.device) -> Encode:
    """The encoder of a card: a function from a batch of inputs to their embeddings.

    Args:
        card: as `plan.encoder_cards.read` returns it.
        folder: where its files are.
        device: that computes; with onnx, the GPU needs the package onnxruntime-gpu.

    Raises:
        InputError: a file that its format's library cannot load.
    """
    file = folder / card["file"]
    if card["format"] == "autoencoderkl":
        network = autoencoder.load(file, folder / card["arguments"]).to(device)
        return _torch(network.encode, card, device, pool="flatten")
    if card["format"] == "onnx":
        return _onnx(file, card, device)
    load_program = {"torch_export": _exported, "torchscript": _scripted}[card["format"]]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, which is the concern of whoever saved it
            program = load_program(file, device)
    except Exception as error:  # a damaged or foreign file: either loader raises half a dozen kinds
        saver = {"torch_export": "torch.export.save", "torchscript": "torch.jit.save"}[card["format"]]
        raise InputError(
            f"{file.name}: not a program of {saver} that torch {torch.__version__} can load ({_first_line(error)}); "
            "save it again, or correct format"
        ) from error
    return _torch(program, card, device, pool=card["output"]["pool"])


def _exported(file: Path, device: torch.device) -> Any:
    from torch.export.passes import move_to_device_pass

    program = torch.export.load(file)
    return (program if device.type == "cpu" else move_to_device_pass(program, str(device))).module()


def _scripted(file: Path, device: torch.device) -> Any:
    model = torch.jit.load(file, map_location=device)
    return model.eval()


def _torch(program: Any, card: dict[str, Any], device: torch.device, pool: str) -> Encode:
    """A function of arrays around a program of torch."""

    def encode(batch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            outputs = program(torch.from_numpy(_ordered(batch, card)).to(device))
            return _a_row_each(pooled(_chosen(outputs, card).float().cpu().numpy(), card, pool), batch)

    return encode


def _onnx(file: Path, card: dict[str, Any], device: torch.device) -> Encode:
    """A function of arrays around a model of onnxruntime, on as many threads as torch uses."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"{file.name}: needs the package onnxruntime, which is not installed; run `pip install "
            "-e '.[pretrained]'`, or use --use-conda"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"] if device.type == "cuda" else ["CPUExecutionProvider"]
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(os.fspath(file), options, providers=providers)
    except Exception as error:
        raise InputError(
            f"{file.name}: not a model that onnxruntime {onnxruntime.__version__} can load ({_first_line(error)}); "
            "export it again; weights that are a file of their own must be inside"
        ) from error
    names, entry = [output.name for output in session.get_outputs()], session.get_inputs()[0].name

    def encode(batch: np.ndarray) -> np.ndarray:
        outputs = dict(zip(names, session.run(names, {entry: _ordered(batch, card)}), strict=True))
        rows = pooled(np.asarray(_chosen(outputs, card), np.float32), card, card["output"]["pool"])
        return _a_row_each(rows, batch)

    return encode


def _ordered(batch: np.ndarray, card: dict[str, Any]) -> np.ndarray:
    """The batch with its channel where the card says."""
    return np.ascontiguousarray(np.moveaxis(batch, 1, -1) if card["input"]["channel"] == "last" else batch)


def _chosen(outputs: Any, card: dict[str, Any]) -> Any:
    """The output of a program that is the embedding; of an output that is itself a list, the first.

    Raises:
        InputError: there is no such output.
    """
    name, index = card["output"]["name"], card["output"]["index"]
    if name is not None:
        if not isinstance(outputs, Mapping) or name not in outputs:
            names = ", ".join(map(str, outputs)) if isinstance(outputs, Mapping) else "without names"
            raise InputError(f"output.name is {name!r}, but the outputs are {names}; correct it, or give index")
        return outputs[name]
    several = list(outputs.values()) if isinstance(outputs, Mapping) else outputs
    if not isinstance(several, Sequence):
        several = [several]
    if index >= len(several):
        raise InputError(f"output.index is {index}, but there are {len(several)} outputs, counted from 0; correct it")
    return several[index]


def pooled(output: np.ndarray, card: dict[str, Any], pool: str) -> np.ndarray:
    """One row per scan (scans, size) of an output (scans, ...).

    Raises:
        InputError: an output of another shape than `pool` and `size` of the card say.
    """
    size = card["output"]["size"]
    fits = {"none": output.ndim == 2, "first": output.ndim == 3, "mean": output.ndim >= 3, "flatten": output.ndim >= 2}
    rows = output
    if fits[pool] and pool == "flatten":
        rows = output.reshape(len(output), -1)
    elif fits[pool] and pool == "first":
        rows = output[:, 0]
    elif fits[pool] and pool == "mean":
        rows = output.mean(axis=1) if output.ndim == 3 else output.mean(axis=tuple(range(2, output.ndim)))
    if rows.ndim != 2 or rows.shape[1] != size:
        raise InputError(
            f"the output is of shape {list(output.shape)}, which pool: {pool} does not turn into rows of {size} "
            "numbers (output.size); correct output"
        )
    return rows


def _a_row_each(rows: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """The rows (scans, size), if there are as many as scans.

    Raises:
        InputError: a program that gives one row for a whole batch, or whose first axis is not that of the scans.
    """
    if len(rows) != len(batch):
        raise InputError(
            f"the output has {len(rows)} rows for a batch of {len(batch)} scans; set batch: 1, or correct output.pool "
            "(scans must be the first axis of the output)"
        )
    return rows


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
