"""Embeddings equal the encoder's own call on the same input, in every format; faulty encoders stop before a scan."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import encoders
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from encoders import KL_SIZE

from neurovae.encode import autoencoder, encode, geometry
from neurovae.errors import InputError
from neurovae.io import embeddings
from neurovae.plan import encoder_cards
from neurovae.train import inputs

PEOPLE = 5
AFFINE = np.diag([8.0, 8, 8, 1])
AFFINE[:3, 3] = [-60, -109, -55]
NEEDS = {
    "monai": "needs monai: pip install -e '.[pretrained]'",
    "onnx": "needs onnx and onnxruntime, of the extra dev",
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Packed volumes of a few people on a grid of 8 mm in MNI space."""
    files = tiny.packed(tmp_path_factory.mktemp("packed"), PEOPLE)
    nib.save(nib.Nifti1Image(tiny.MASK.astype(np.uint8), AFFINE), files["mask"])
    return {name: files[name] for name in ("volumes", "rows", "mask")}


def run(folder: Path, packed: dict[str, Path]) -> pd.DataFrame:
    """Embeddings by the encoder of a folder."""
    shared = {"out": folder / "embeddings.parquet", "decoder": folder / "decoder.safetensors", "device": "cpu"}
    encode.run(**packed, **shared, encoder=str(folder))
    return pd.read_parquet(folder / "embeddings.parquet")


def prepared(packed: dict[str, Path], card: dict[str, Any]) -> torch.Tensor:
    """The input (people, 1, x, y, z) of a card."""
    volumes = np.load(packed["volumes"])
    images = [geometry.prepared(one, tiny.MASK, AFFINE, card["input"]) for one in volumes]
    return torch.from_numpy(np.stack(images)[:, None])


def compared(
    folder: Path, packed: dict[str, Path], own: Callable[[torch.Tensor], torch.Tensor], size: int
) -> dict[str, Any]:
    """Assert that embeddings are those of `own` on the same input; return the card."""
    table, card = run(folder, packed), encoder_cards.read(str(folder))
    with torch.no_grad():
        expected = own(prepared(packed, card)).reshape(PEOPLE, -1).numpy()
    values = table[embeddings.names(size)].to_numpy()
    assert values.shape == expected.shape == (PEOPLE, size) and np.abs(expected).max() > 0.01
    assert np.abs(values - expected).max() <= 1e-6 * max(1, np.abs(expected).max())
    assert np.abs(values - values.mean(axis=0)).max() > 1e-3  # people differ
    return card


def test_torch_export(tmp_path: Path, packed: dict[str, Path]) -> None:
    module = encoders.seeded(encoders.Convolutions())
    encoders.card(encoders.exported(tmp_path, module), "torch_export", 12, input_batch=2)
    compared(tmp_path, packed, module, 12)
    assert (tmp_path / "decoder.safetensors").stat().st_size < 100


def test_torchscript(tmp_path: Path, packed: dict[str, Path]) -> None:
    module = encoders.seeded(encoders.Convolutions())
    encoders.card(encoders.scripted(tmp_path, module), "torchscript", 12, input_orientation="LPS")
    compared(tmp_path, packed, module, 12)


def test_the_vit_of_brainiac(tmp_path: Path, packed: dict[str, Path]) -> None:
    pytest.importorskip("monai.networks.nets", reason=NEEDS["monai"])
    pytest.importorskip("einops", reason=NEEDS["monai"])
    vit = encoders.vit()
    file = encoders.exported(tmp_path, vit)
    encoders.card(file, "torch_export", 24, output_pool="first")
    compared(tmp_path, packed, lambda x: vit(x)[0][:, 0], 24)
    encoders.card(file, "torch_export", 24, output_pool="mean")
    compared(tmp_path, packed, lambda x: vit(x)[0].mean(dim=1), 24)


def test_onnx(tmp_path: Path, packed: dict[str, Path]) -> None:
    pytest.importorskip("onnxruntime", reason=NEEDS["onnx"])
    pytest.importorskip("onnx", reason=NEEDS["onnx"])
    module = encoders.seeded(encoders.Convolutions())
    encoders.card(encoders.onnx(tmp_path, module), "onnx", 12, output_name="embedding")
    compared(tmp_path, packed, module, 12)
    encoders.card(tmp_path / "encoder.onnx", "onnx", 12, output_name="tokens")
    with pytest.raises(InputError, match="Random: output.name is 'tokens', but the outputs are embedding; correct it"):
        run(tmp_path, packed)
    (tmp_path / "encoder.onnx").write_bytes(b"\x08\x07 no model")
    encoders.card(tmp_path / "encoder.onnx", "onnx", 12)
    with pytest.raises(InputError, match="encoder.onnx: not a model that onnxruntime .* can load"):
        run(tmp_path, packed)


def test_an_autoencoder_gives_its_posterior_means_and_its_decoder(tmp_path: Path, packed: dict[str, Path]) -> None:
    pytest.importorskip("monai.networks.nets", reason=NEEDS["monai"])
    network = encoders.autoencoder()
    encoders.card(encoders.weighted(tmp_path, network), "autoencoderkl", KL_SIZE)
    compared(tmp_path, packed, lambda x: network.encode(x)[0], KL_SIZE)
    from safetensors.torch import load_file

    decoder = load_file(tmp_path / "decoder.safetensors")
    assert decoder and all(torch.equal(one, network.state_dict()[name]) for name, one in decoder.items())
    assert embeddings.described(tmp_path / "embeddings.parquet")["arguments"] == encoders.KL
    torch.save(network.state_dict(), tmp_path / "weights.pt")  # tensors alone, in torch's own format
    arguments = tmp_path / "arguments.json"
    other = autoencoder.load(tmp_path / "weights.pt", arguments).state_dict()
    assert all(torch.equal(one, network.state_dict()[name]) for name, one in other.items())
    older = {name.replace(".postconv.", ".conv."): one for name, one in network.state_dict().items()}
    assert older.keys() != network.state_dict().keys()  # as the package generative, of BrLP, calls them
    torch.save({"state_dict": older}, tmp_path / "older.pt")
    other = autoencoder.load(tmp_path / "older.pt", arguments).state_dict()
    assert all(torch.equal(one, network.state_dict()[name]) for name, one in other.items())
    for name in ("decoder.blocks.0.conv.weight", next(name for name in older if ".conv.conv." in name)):
        torch.save({key: one for key, one in older.items() if key != name}, tmp_path / "short.pt")
        with pytest.raises(InputError, match="short.pt: does not fit the arguments in arguments.json"):
            autoencoder.load(tmp_path / "short.pt", arguments)


def test_the_readers_table_is_in_the_order_of_the_scans_with_a_digest_of_both(
    tmp_path: Path, packed: dict[str, Path]
) -> None:
    encoders.card(encoders.scripted(tmp_path, encoders.seeded(encoders.Convolutions())), "torchscript", 12)
    table = run(tmp_path, packed)
    table.iloc[::-1].reset_index(drop=True).pipe(
        lambda turned: embeddings.write(tmp_path / "t.parquet", turned, {"name": "Random"})
    )
    given = inputs.read(packed["volumes"], packed["rows"], str(tmp_path / "t.parquet"))
    assert given.encoder == {"name": "Random"} and given.names == embeddings.names(12)
    np.testing.assert_array_equal(given.array, table[given.names].to_numpy(np.float64))
    scans = pd.read_parquet(packed["rows"])
    digest = encoder_cards.digest(encoder_cards.read(str(tmp_path)))
    expected = [hashlib.sha256(f"{one} {digest}".encode()).hexdigest() for one in scans["preproc_sha256"]]
    assert list(given.table["preproc_sha256"]) == expected
    embeddings.write(tmp_path / "few.parquet", table.iloc[1:], {"name": "Random"})
    with pytest.raises(
        InputError, match="few.parquet: holds other scans than the packed volumes; rerun with --forcerun"
    ):
        inputs.read(packed["volumes"], packed["rows"], str(tmp_path / "few.parquet"))


class Noisy(encoders.Convolutions):
    """As exported in training mode: dropout stays."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(super().forward(x), training=True)


class Normed(encoders.Convolutions):
    """As exported in training mode: batch norm over the batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x - x.mean(dim=0) * 0.5)


class First(encoders.Convolutions):
    """One row for a whole batch, that of its first scan, which all scans of the batch would be given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:1]


class Constant(encoders.Convolutions):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(0 * x)


class Infinite(encoders.Convolutions):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) / (0 * x.sum())


class Several(encoders.Convolutions):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().forward(x), self.first(x)


FAULTS: list[tuple[Any, dict[str, Any], str]] = [
    (Noisy, {}, "Random: gives another embedding each time (dropout?); save the encoder in evaluation mode"),
    (Normed, {"input_batch": 2}, "Random: an embedding depends on the other scans of its batch (batch norm?); save"),
    (First, {"input_batch": 2}, "Random: the output has 1 rows for a batch of 2 scans; set batch: 1, or correct output"),
    (Constant, {}, "Random: gives the same embedding for two different images; correct output"),
    (Infinite, {}, "Random: its output is not finite for noise; the weights are damaged"),
    (Several, {"output_index": 2}, "Random: output.index is 2, but there are 2 outputs, counted from 0; correct it"),
    (Several, {"output_index": 1}, "Random: the output is of shape [1, 6, 11, 11, 11], which pool: none does not turn into"),
    (Several, {"output_name": "cls"}, "Random: output.name is 'cls', but the outputs are without names; correct it, or"),
    (encoders.Convolutions, {"output_size": 13}, "which pool: none does not turn into rows of 13 numbers (output.size)"),
    (encoders.Convolutions, {"input_channel": "last"}, "Random: fails on an image of shape [48, 48, 48] ("),
]  # fmt: skip


@pytest.mark.parametrize(("module", "changes", "message"), FAULTS, ids=[message[:60] for *_, message in FAULTS])
def test_a_faulty_encoder_stops_before_the_first_scan(
    tmp_path: Path,
    packed: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    changes: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(encode, "embedded", lambda *_: pytest.fail("a scan was read"))
    encoders.card(encoders.scripted(tmp_path, encoders.seeded(module())), "torchscript", 12, **changes)
    with pytest.raises(InputError) as caught:
        run(tmp_path, packed)
    assert message in str(caught.value) and not (tmp_path / "embeddings.parquet").exists()


class Opens:
    """A pickle that writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, packed: dict[str, Path]) -> None:
    torch.save({"state_dict": Opens(tmp_path / "ran")}, tmp_path / "weights.pt")
    with pytest.raises(
        InputError, match="weights.pt: a pickle that runs code when it is read, which is refused. If you"
    ):
        autoencoder.tensors(tmp_path / "weights.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.safetensors", b"weights", "w.safetensors: cannot be read as safetensors"),
        ("w.pt", b"weights", "w.pt: "),
        ("w.pth", None, "w.pth: holds no dictionary of tensors; save model.state_dict()"),
    ],
)
def test_weights_that_are_no_tensors_are_refused(tmp_path: Path, name: str, content: Any, message: str) -> None:
    if content is None:
        torch.save({"epoch": 3}, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        autoencoder.tensors(tmp_path / name)


@pytest.mark.parametrize(("kind", "name"), [("torch_export", "encoder.pt2"), ("torchscript", "encoder.pt")])
def test_a_damaged_program_is_refused_with_its_format(
    tmp_path: Path, packed: dict[str, Path], kind: str, name: str
) -> None:
    (tmp_path / name).write_bytes(b"no program")
    encoders.card(tmp_path / name, kind, 12)
    with pytest.raises(InputError, match=rf"{name}: not a program of torch\.(export|jit)\.save that torch .* can load"):
        run(tmp_path, packed)


def test_a_scan_without_contrast_is_named(tmp_path: Path, packed: dict[str, Path]) -> None:
    flat = np.load(packed["volumes"])
    flat[3] = 1
    np.save(tmp_path / "flat.npy", flat)
    encoders.card(encoders.scripted(tmp_path, encoders.seeded(encoders.Convolutions())), "torchscript", 12)
    with pytest.raises(InputError, match="sub-03: zscore of its voxels finds no contrast; inspect the scan"):
        run(tmp_path, {**packed, "volumes": tmp_path / "flat.npy"})


def test_arguments_that_monai_refuses_are_named(tmp_path: Path) -> None:
    pytest.importorskip("monai.networks.nets", reason=NEEDS["monai"])
    for changes in ({"colour": 1}, {"norm_num_groups": 3}):
        arguments = json.loads(json.dumps(encoders.KL)) | changes
        with pytest.raises(InputError, match="AutoencoderKL refuses its arguments .*; correct the JSON file"):
            autoencoder.network(arguments)
