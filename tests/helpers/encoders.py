"""Small random encoders of the architectures that people use, saved in each format, with their cards."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml

SHAPE = (48, 48, 48)  # of voxels of 4 mm
KL_SHAPE = (12, 16, 12)  # of voxels of 16 mm
KL_SIZE = 2 * 3 * 4 * 3
VIT = {
    "in_channels": 1, "img_size": SHAPE, "patch_size": (16, 16, 16), "hidden_size": 24, "mlp_dim": 48, "num_layers": 2,
    "num_heads": 3, "spatial_dims": 3,
}  # fmt: skip  # as BrainIAC's ViT-B (96 x 96 x 96, 768, 3072, 12, 12) at a small width
KL: dict[str, Any] = {
    "spatial_dims": 3, "in_channels": 1, "out_channels": 1, "latent_channels": 2, "channels": [4, 4, 4],
    "num_res_blocks": 1, "norm_num_groups": 4, "attention_levels": [False, False, False],
    "with_encoder_nonlocal_attn": False, "with_decoder_nonlocal_attn": False,
}  # fmt: skip  # as BrLP's (four levels of 64 to 128 channels) at a small width
IMAGE: dict[str, Any] = {
    "shape": list(SHAPE), "voxel_mm": 4, "orientation": "RAS", "space": "MNI",
    "intensity": {"rule": "zscore", "voxels": "brain"},
}  # fmt: skip


class Convolutions(torch.nn.Module):
    """An encoder of torch alone: two convolutions and the mean over voxels."""

    def __init__(self, size: int = 12) -> None:
        super().__init__()
        self.first = torch.nn.Conv3d(1, 6, 5, stride=4)
        self.second = torch.nn.Conv3d(6, size, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu()).mean(dim=(2, 3, 4))


def seeded(made: Any, seed: int = 0) -> Any:
    """A network in evaluation mode, with random weights of a seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in made.parameters():
            one.copy_(torch.randn(one.shape, generator=generator) * (0.3 if one.ndim > 1 else 0.1))
    return made.eval()


def vit() -> Any:
    """MONAI's ViT; it returns its tokens, and the hidden states of its layers."""
    from monai.networks.nets import ViT

    return seeded(ViT(**VIT))


def autoencoder() -> Any:
    """MONAI's AutoencoderKL."""
    from monai.networks.nets import AutoencoderKL

    return seeded(AutoencoderKL(**KL))


def exported(folder: Path, module: Any, name: str = "encoder.pt2") -> Path:
    """The module saved by torch.export, for batches of any size."""
    batch = torch.export.Dim("batch", min=1, max=64)
    example = torch.zeros(2, 1, *SHAPE)
    torch.export.save(torch.export.export(module, (example,), dynamic_shapes=({0: batch},)), folder / name)
    return folder / name


def scripted(folder: Path, module: Any, name: str = "encoder.pt") -> Path:
    """The module saved by TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, torch.zeros(1, 1, *SHAPE)).save(str(folder / name))
    return folder / name


def weighted(folder: Path, made: Any) -> Path:
    """The weights of an autoencoder as safetensors, and its arguments as JSON."""
    from safetensors.torch import save_file

    save_file(made.state_dict(), folder / "weights.safetensors")
    (folder / "arguments.json").write_text(json.dumps(KL))
    return folder / "weights.safetensors"


def card(at: Path, kind: str, size: int, /, **changes: Any) -> dict[str, Any]:
    """A card for a file, written beside it; changes: keys of the card, or of its input (`input_...`) and output."""
    made: dict[str, Any] = {
        "name": "Random", "format": kind, "file": at.name, "sha256": hashlib.sha256(at.read_bytes()).hexdigest(),
        "input": {**IMAGE}, "output": {"size": size}, "licence": "CC0-1.0", "citation": "made by a test",
    }  # fmt: skip
    if kind == "autoencoderkl":
        made["arguments"] = "arguments.json"
        made["input"] |= {"shape": list(KL_SHAPE), "voxel_mm": 16}
    for key, value in changes.items():
        part, _, name = key.partition("_") if key.startswith(("input_", "output_")) else (None, None, key)
        (made[part] if part else made)[name] = value
    (at.parent / "encoder.yaml").write_text(yaml.safe_dump(made, sort_keys=False))
    return made


def onnx(folder: Path, module: Any) -> Path:
    """The module as an ONNX model, by torch's exporter of TorchScript, which needs the package onnx alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(1, 1, *SHAPE),), str(folder / "encoder.onnx"), dynamo=False, input_names=["image"],
            output_names=["embedding"], dynamic_axes={"image": {0: "batch"}, "embedding": {0: "batch"}},
        )  # fmt: skip
    return folder / "encoder.onnx"
