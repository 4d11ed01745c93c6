"""Pretrained encoders (`kind: pretrained`): the card beside their file, and what is wrong with either.

Nothing is loaded here: what only the encoder itself shows is checked by the job that loads it (`encode.dry`).
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from neurovae.errors import InputError
from neurovae.plan.config import SCHEMAS, refuse_repeats, validate

CARD = "encoder.yaml"
SCHEMA = SCHEMAS / "cards" / "encoder.schema.yaml"
ENDINGS = {
    "torch_export": (".pt2",),
    "torchscript": (".pt", ".pth", ".ts"),
    "onnx": (".onnx",),
    "autoencoderkl": (".safetensors", ".pt", ".pth", ".ckpt"),
}
DECODER = ("autoencoderkl",)  # formats that hold a decoder
SIDES = ("RL", "AP", "SI")  # the ends of the three axes of the body
BRAIN, MIDDLE = (144, 178, 154), (0, -17, 5)  # extent and middle of the template's brain, mm (preprocess.grid)
Card = dict[str, Any]


def entries(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of train.models that use a pretrained encoder."""
    return [entry for entry in config["train"]["models"] if entry["kind"] == "pretrained"]


def problems(config: dict[str, Any]) -> tuple[list[str], list[str], dict[str, Card]]:
    """Problems and notes of the pretrained encoders, and the cards that could be read, by model."""
    faults: list[str] = []
    notes: list[str] = []
    cards: dict[str, Card] = {}
    for entry in entries(config):
        place = f"train.models {entry['name']!r}"
        if not entry["path"]:
            faults.append(f"{place}: path is not given; give the folder that holds the encoder and its {CARD}")
            continue
        try:
            card = cards[entry["name"]] = read(entry["path"])
        except InputError as error:
            faults += [f"{place}: {line}" for line in error.problems]
            continue
        faults += [f"{place}: {line}" for line in _sizes(entry, card)]
        notes += _doubtful(Path(entry["path"]).name, card, config["preprocess"]["voxel_mm"])
    return faults, notes, cards


def read(path: str) -> Card:
    """The card of an encoder, with defaults filled in; its files exist, and have the checksum that it gives.

    Args:
        path: of the folder that holds the card, of the card, or of the encoder's file beside it.

    Raises:
        InputError: each problem of the card and its files.
    """
    place = card_path(path)
    if not place.is_file():
        what = "no such file or folder" if not Path(path).exists() else f"no card {CARD} there"
        raise InputError(f"{path}: {what}; write {place} (docs/how-to/pretrained.md)")
    try:
        refuse_repeats([str(place)])
        parsed = yaml.safe_load(place.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{place}: not YAML ({' '.join(str(error).split())}); correct the file") from error
    if not isinstance(parsed, dict):
        raise InputError(f"{place}: holds no keys; write them as in docs/how-to/pretrained.md")
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    try:
        card = validate(parsed, schema, whole="the card")
    except InputError as error:
        raise InputError([f"{place}: {line}" for line in error.problems]) from None
    found = _inconsistent(card) + _files(card, place, Path(path))
    if found:
        raise InputError([f"{place}: {line}" for line in found])
    return card


def card_path(path: str) -> Path:
    """Where the card of an encoder is, given its folder, the card itself, or the encoder's file."""
    given = Path(path)
    if given.suffix.lower() in (".yaml", ".yml"):
        return given
    return (given if given.is_dir() or not given.suffix else given.parent) / CARD


def files(path: str, card: Card) -> list[str]:
    """Paths of the card, of the encoder and of its arguments."""
    folder = card_path(path).parent
    return [str(card_path(path)), *(str(folder / card[key]) for key in ("file", "arguments") if card[key])]


def inputs(config: dict[str, Any], cards: dict[str, Card]) -> dict[str, list[str]]:
    """The files of each encoder, inputs of the rule that uses it, by model."""
    return {entry["name"]: files(entry["path"], cards[entry["name"]]) for entry in entries(config)}


def embeddings(cards: Iterable[str], cohort: str) -> dict[str, list[str]]:
    """The files that the rule `encode` writes, inputs of the rules of a pretrained model, by model."""
    names = ("embeddings.parquet", "decoder.safetensors")
    return {model: [f"results/{cohort}/encode/{model}/{name}" for name in names] for model in cards}


def decoders(cards: dict[str, Card]) -> list[str]:
    """The models whose encoder has a decoder."""
    return [name for name, card in cards.items() if card["format"] in DECODER]


def digest(card: Card) -> str:
    """Digest of all that determines the embedding of a scan: the encoder's file, its input and its output."""
    of_result = {key: card[key] for key in ("format", "sha256", "input", "output", "arguments_sha256") if key in card}
    return hashlib.sha256(json.dumps(of_result, sort_keys=True).encode()).hexdigest()


def voxel_mm(card: Card) -> list[float]:
    """Voxel size of the input along its three axes."""
    size = card["input"]["voxel_mm"]
    return list(size) if isinstance(size, list) else [size] * 3


def _inconsistent(card: Card) -> list[str]:
    """Values of a card that are each allowed, but not together."""
    image, scaling = card["input"], card["input"]["intensity"]
    found = []
    if image["space"] == "native":
        found.append(
            "input.space is native, but the scans of this pipeline are in MNI space; run the encoder on your own "
            "scans, and give what it returns as kind: table"
        )
    if any(sum(letter in axis for letter in image["orientation"]) != 1 for axis in SIDES):
        found.append(
            f"input.orientation is {image['orientation']}, which does not name each of left-right, front-back and "
            "up-down once; give three letters as nibabel.aff2axcodes does, such as RAS"
        )
    for key in ("percentiles", "range"):
        low, high = scaling[key]
        if low >= high:
            found.append(f"input.intensity.{key} is [{low}, {high}]; write the lower value first")
    extent = [n * size for n, size in zip(image["shape"], voxel_mm(card), strict=True)]
    if min(extent) < 60 or max(extent) > 600:
        text = " x ".join(f"{side:g}" for side in extent)
        found.append(
            f"input.shape {image['shape']} of voxels of {image['voxel_mm']} mm spans {text} mm, which is not the size "
            "of a head; correct shape or voxel_mm"
        )
    own = card["format"] == "autoencoderkl"
    if own != bool(card["arguments"]):
        found.append(
            "arguments is not given; save the arguments of AutoencoderKL as JSON, and give the file"
            if own
            else f"arguments belongs to autoencoderkl, and format is {card['format']}; leave it out"
        )
    output = card["output"]
    if own and (image["channel"] == "last" or output["pool"] != "none" or output["name"] or output["index"]):
        found.append("an autoencoderkl has channel: first and its posterior mean as output; leave these keys out")
    return found


def _files(card: Card, place: Path, given: Path) -> list[str]:
    """Problems of the encoder's files; the digest of the arguments enters the card."""
    file = place.parent / card["file"]
    if given.is_file() and given not in (place, file):
        return [f"file is {card['file']}, but path names {given.name}; correct one of them"]
    if not file.is_file():
        return [f"file {str(file)!r} not found; put it beside the card, or correct file"]
    if not file.name.lower().endswith(ENDINGS[card["format"]]):
        return [
            f"file {card['file']!r} ends in none of {', '.join(ENDINGS[card['format']])}, as {card['format']} does; "
            "correct format or file"
        ]
    found = _sha256(file)
    if found != card["sha256"]:
        return [
            f"the checksum of {card['file']} is {found}, not {card['sha256']} as sha256 says; the file is damaged, or "
            "is another version: download it again, or correct sha256 if you know where it is from"
        ]
    own = card["format"] == "autoencoderkl" and card["arguments"]
    return _arguments(card, place.parent / card["arguments"]) if own else []


def _arguments(card: Card, path: Path) -> list[str]:
    """Problems of the arguments of an AutoencoderKL."""
    if not path.is_file():
        return [f"arguments {str(path)!r} not found; save the arguments of AutoencoderKL there, as JSON"]
    try:
        arguments = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return [f"{path.name}: not JSON ({error}); correct the file"]
    if not isinstance(arguments, dict) or not isinstance(arguments.get("channels"), list):
        return [
            f"{path.name}: has no list 'channels', as AutoencoderKL of MONAI {_MONAI} needs; if it has 'num_channels', "
            "as the older package generative called it, rename that key"
        ]
    card["arguments_sha256"] = _sha256(path)
    factor, shape = 2 ** (len(arguments["channels"]) - 1), card["input"]["shape"]
    if any(side % factor for side in shape):
        return [
            f"input.shape is {shape}, but {len(arguments['channels'])} levels of channels halve each side "
            f"{len(arguments['channels']) - 1} times; give sides that {factor} divides"
        ]
    size = arguments.get("latent_channels", 3)
    for side in shape:
        size *= side // factor
    if size != card["output"]["size"]:
        return [f"output.size is {card['output']['size']}, but shape and arguments give {size} numbers; correct it"]
    return []


_MONAI = "1.3 and later"


def _sizes(entry: dict[str, Any], card: Card) -> list[str]:
    """Problems of the number of latents beside the size of the embedding."""
    size, n_latent = card["output"]["size"], entry["n_latent"]
    if n_latent is None and card["format"] in DECODER:
        return [
            f"n_latent is null, but the {size} numbers of an autoencoderkl are places of an image and no latents to "
            "test one by one; give the number of components, such as 16"
        ]
    if n_latent is not None and n_latent > size:
        return [f"n_latent is {n_latent}, but the embedding has {size} numbers; lower it"]
    return []


def _doubtful(name: str, card: Card, grid_mm: float) -> list[str]:
    """Notes: an input that cuts the brain, or that is finer than the run's own scans."""
    shape, sizes, letters = card["input"]["shape"], voxel_mm(card), card["input"]["orientation"]
    notes = []
    for world, axis in enumerate(SIDES):
        k = next(k for k, letter in enumerate(letters) if letter in axis)
        half, away = shape[k] * sizes[k] / 2, abs(card["input"]["centre_mm"][world] - MIDDLE[world])
        if half - away < BRAIN[world] / 2 - sizes[k]:
            notes.append(f"{name}: an input of {shape[k] * sizes[k]:g} mm along {axis} cuts the template's brain")
    if min(sizes) < grid_mm * 0.75:
        notes.append(
            f"{name}: needs voxels of {min(sizes):g} mm, and the scans of this run have {grid_mm:g} mm, so that the "
            "encoder sees less detail than in its training; lower preprocess.voxel_mm"
        )
    return notes


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
