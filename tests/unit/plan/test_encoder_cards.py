"""Cards of pretrained encoders: what is refused before the first job, with its message, and what is noted."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import encoders
import pytest
import yaml

from neurovae.errors import InputError
from neurovae.plan import encoder_cards, entries
from neurovae.preprocess import grid


def folder(tmp_path: Path, kind: str = "onnx", size: int = 4, /, **changes: Any) -> Path:
    """A folder with a card and a file that has its checksum; nothing that could be loaded."""
    file = tmp_path / {"onnx": "e.onnx", "autoencoderkl": "w.safetensors"}[kind]
    file.write_bytes(b"weights")
    if kind == "autoencoderkl":
        (tmp_path / "arguments.json").write_text(json.dumps(encoders.KL))
    encoders.card(file, kind, size, **changes)
    return tmp_path


def config(path: Any, n_latent: int | None = 2, voxel_mm: float = 4) -> dict[str, Any]:
    entry = {"name": "e", "kind": "pretrained", "path": None if path is None else str(path), "n_latent": n_latent}
    return {"train": {"models": [entry]}, "preprocess": {"voxel_mm": voxel_mm}}


def test_a_card_is_read_with_its_defaults_from_its_folder_itself_or_its_file(tmp_path: Path) -> None:
    faults, notes, cards = encoder_cards.problems(config(folder(tmp_path)))
    assert faults == notes == []
    card = cards["e"]
    assert (
        card["input"]["centre_mm"] == [0, -17, 5] and card["input"]["batch"] == 1 and card["output"]["pool"] == "none"
    )
    for path in (tmp_path / "encoder.yaml", tmp_path / "e.onnx"):
        assert encoder_cards.read(str(path)) == card
    assert encoder_cards.inputs(config(tmp_path), cards) == {
        "e": [str(tmp_path / "encoder.yaml"), str(tmp_path / "e.onnx")]
    }
    assert (grid.CENTRE, grid.BOX[0] > encoder_cards.BRAIN[0]) == (encoder_cards.MIDDLE, True)


def test_the_digest_follows_what_determines_the_embedding_and_nothing_else(tmp_path: Path) -> None:
    digests = [
        encoder_cards.digest(encoder_cards.read(str(folder(tmp_path, **changes))))
        for changes in (
            {},
            {"licence": "MIT"},
            {"input_orientation": "LPS"},
            {"output_index": 1},
            {"input_voxel_mm": 3},
        )
    ]
    assert digests[0] == digests[1] and len(set(digests)) == 4


def test_an_autoencoder_has_a_decoder_and_its_arguments_count(tmp_path: Path) -> None:
    path = folder(tmp_path, "autoencoderkl", encoders.KL_SIZE)
    faults, _, cards = encoder_cards.problems(config(path))
    assert faults == [] and encoder_cards.decoders(cards) == ["e"]
    made = {"e": {"kind": "pretrained"}, "t": {"kind": "table"}, "p": {"kind": "pca"}}
    assert entries.without_decoder(made, ["e"]) == ["t"] and entries.without_decoder(made, []) == ["e", "t"]
    assert len(encoder_cards.inputs(config(path), cards)["e"]) == 3
    before = encoder_cards.digest(cards["e"])
    (path / "arguments.json").write_text(json.dumps({**encoders.KL, "num_res_blocks": 2}))
    assert encoder_cards.digest(encoder_cards.read(str(path))) != before


SHA = hashlib.sha256(b"weights").hexdigest()
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"format": "keras"}, "format: 'keras' is not one of"),
    ({"file": "../e.onnx"}, "file: '../e.onnx' does not match"),
    ({"file": "{scan}.onnx"}, "file: '{scan}.onnx' does not match"),
    ({"sha256": "0" * 64}, f"the checksum of e.onnx is {SHA}, not 0000"),
    ({"file": "other.onnx"}, "other.onnx' not found; put it beside the card, or correct file"),
    ({"input_orientation": "RAL"}, "input.orientation is RAL, which does not name each of left-right, front-back"),
    ({"input_orientation": "XYZ"}, "input.orientation: 'XYZ' does not match"),
    ({"input_space": "native"}, "input.space is native, but the scans of this pipeline are in MNI space"),
    ({"input_shape": [96, 96]}, "input.shape: [96, 96] is too short"),
    ({"input_shape": [8, 8, 8]}, "spans 32 x 32 x 32 mm, which is not the size of a head"),
    ({"input_voxel_mm": 0}, "input.voxel_mm: 0 is less than or equal to the minimum"),
    ({"input_intensity": {"rule": "nyul", "voxels": "brain"}}, "input.intensity.rule: 'nyul' is not one of"),
    ({"input_intensity": {"rule": "percentiles", "voxels": "image", "percentiles": [99, 1]}}, "percentiles is [99, 1]; write"),
    ({"output_pools": "mean"}, "output: unknown key 'pools' (did you mean 'pool'?)"),
    ({"licence": None}, "licence: None is not of type 'string'"),
    ({"arguments": "a.json"}, "arguments belongs to autoencoderkl, and format is onnx; leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), FAULTS, ids=[message[:40] for _, message in FAULTS])
def test_a_wrong_card_is_refused_with_the_card_and_the_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    faults, _, cards = encoder_cards.problems(config(folder(tmp_path, **changes)))
    assert len(faults) == 1 and faults[0].startswith(f"train.models 'e': {tmp_path / 'encoder.yaml'}: ")
    assert message in faults[0] and cards == {}


def test_what_is_missing_is_refused_by_name(tmp_path: Path) -> None:
    def said(path: Any, **changes: Any) -> str:
        return "\n".join(encoder_cards.problems(config(path, **changes))[0])

    assert (
        said(None) == "train.models 'e': path is not given; give the folder that holds the encoder and its encoder.yaml"
    )
    assert "nowhere: no such file or folder; write" in said(tmp_path / "nowhere")
    assert "no card encoder.yaml there; write" in said(tmp_path)
    assert "n_latent is 5, but the embedding has 4 numbers; lower it" in said(folder(tmp_path), n_latent=5)
    (tmp_path / "f.onnx").write_bytes(b"weights")
    assert "file is e.onnx, but path names f.onnx; correct one of them" in said(tmp_path / "f.onnx")
    (tmp_path / "encoder.yaml").write_text("name: [")
    assert "not YAML" in said(tmp_path)
    (tmp_path / "encoder.yaml").write_text("name: a\nname: b\n")
    assert "name is given twice in one section" in said(tmp_path)
    (tmp_path / "encoder.yaml").write_text("just text\n")
    assert "holds no keys" in said(tmp_path)


def test_what_does_not_suit_an_autoencoder_is_refused(tmp_path: Path) -> None:
    def said(n_latent: int | None = 2, arguments: Any = encoders.KL, **changes: Any) -> str:
        path = folder(tmp_path, "autoencoderkl", changes.pop("size", encoders.KL_SIZE), **changes)
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        (path / "arguments.json").write_text(text)
        return "\n".join(encoder_cards.problems(config(path, n_latent))[0])

    assert said() == ""
    assert "n_latent is null, but the 72 numbers of an autoencoderkl are places" in said(None)
    assert "input.shape is [10, 16, 12], but 3 levels of channels halve each side 2 times; give sides that 4" in said(
        input_shape=[10, 16, 12]
    )
    assert "an autoencoderkl has channel: first and its posterior mean as output" in said(output_index=1)
    assert "output.size is 7, but shape and arguments give 72 numbers" in said(size=7)
    assert "arguments.json: not JSON" in said(arguments="{")
    older = {**encoders.KL, "num_channels": encoders.KL["channels"]}
    del older["channels"]
    assert "if it has 'num_channels', as the older package generative called it, rename that key" in said(
        arguments=older
    )
    assert "arguments is not given; save the arguments of AutoencoderKL as JSON" in said(
        arguments=encoders.KL
    ) + "\n".join(
        encoder_cards.problems(config(folder(tmp_path, "autoencoderkl", encoders.KL_SIZE, arguments=None)))[0]
    )


def test_an_input_that_cuts_the_brain_or_is_finer_than_the_scans_is_noted(tmp_path: Path) -> None:
    notes = encoder_cards.problems(config(folder(tmp_path, input_shape=[96, 96, 96], input_voxel_mm=1), voxel_mm=2))[1]
    assert [re.sub(r"^.*?: ", "", note)[:60] for note in notes] == [
        "an input of 96 mm along RL cuts the template's brain",
        "an input of 96 mm along AP cuts the template's brain",
        "an input of 96 mm along SI cuts the template's brain",
        "needs voxels of 1 mm, and the scans of this run have 2 mm, s",
    ]
    moved = folder(tmp_path, input_orientation="SPL", input_centre_mm=[0, -17, 60])
    assert [note.split(" mm along ")[1] for note in encoder_cards.problems(config(moved))[1]] == [
        "SI cuts the template's brain"
    ]


def test_a_card_that_is_refused_raises_every_line(tmp_path: Path) -> None:
    path = folder(tmp_path, input_space="native", input_orientation="RAL")
    with pytest.raises(InputError) as caught:
        encoder_cards.read(str(path))
    assert len(caught.value.problems) == 2 and yaml.safe_load((path / "encoder.yaml").read_text())["name"] == "Random"
