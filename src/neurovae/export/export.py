"""A trained model as one folder that may be given away: weights, mask, what a new scan must go through, a model card.

The card follows Hugging Face's form (YAML first, then Markdown). Ids of people and scans are in the weights' own
description; they are replaced by counts, so that an exported model cannot be used where folds have to be guarded.
"""

import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from neurovae.cli import cli
from neurovae.errors import InputError
from neurovae.export import inference
from neurovae.export.model_card import card
from neurovae.io.exported import inner_kind
from neurovae.io.files import sha256, write_json
from neurovae.io.images import read_image
from neurovae.io.volumes import SPLITS, read_mask
from neurovae.plan import fingerprint
from neurovae.train import weights

STEPS = ("extract", "register", "normalise", "pack")
KEPT = {
    "Method": "methods",
    "BiasField": "bias_field",
    "Transform": "transform",
    "TemplateVoxelMm": "template_voxel_mm",
    "Normalisation": "Normalisation",
    "NormalisationReference": "normalise.reference",
    "SpatialReference": "SpatialReference",
    "SkullStripped": "SkullStripped",
}  # of the sidecars; Normalisation and the last two as a brain's own sidecar has them
PREPROC = "_desc-preproc_"  # before the BIDS suffix, in the name of a preprocessed brain


def run(
    *,
    model: Path,
    out: Path,
    mask: Path | None = None,
    health: Path | None = None,
    derivatives: Path | None = None,
    licence: str = "unknown",
    force: bool = False,
    scores: bool = True,
) -> None:
    """Write a folder with weights.safetensors, mask.nii.gz, preprocessing.json, health.json and README.md.

    Where the model's associations were tested, inference.json has what validates them in another cohort: effects and
    predictors of the scores, without any participant.

    Example:
        python -m neurovae export --model results/demo/train/vae/fold-0_seed-0/weights.safetensors --out exported/vae

    Args:
        model: weights.safetensors in results/<cohort>/train/<model>/<fit>.
        out: folder to write; must not be there yet.
        mask: the fixed mask; by default results/<cohort>/preprocess/mask.nii.gz.
        health: health.json of the model; by default beside it.
        derivatives: the preprocessed brains, with their sidecars; by default results/<cohort>/preprocess/derivatives.
        licence: of the weights, as Hugging Face spells it ("cc-by-4.0"); yours to decide, within that of the scans.
        force: replace a folder that an earlier export has written.
        scores: write inference.json; false: the folder says nothing about scores.

    Raises:
        InputError: a file is missing, the folder is there, its mask is not that of the weights, or the tests of scores
            are older than the weights.
    """
    stage = model.resolve().parents[3] / "preprocess" if len(model.resolve().parents) > 3 else model.parent
    mask, health = mask or stage / "mask.nii.gz", health or model.with_name("health.json")
    derivatives = derivatives or stage / "derivatives"
    missing = [f"{path}: not there; give its place" for path in (model, mask, health, derivatives) if not path.exists()]
    if out.exists() and not (force and (out / "weights.safetensors").is_file()):
        missing.append(f"{out}: is there already; give another folder, or --force true for an earlier export")
    if missing:
        raise InputError(missing)
    tensors, meta = weights.load(model)
    weights.refuse_supervised(model, meta)
    if not weights.reads_scans(meta):
        several = "blocks" in meta["architecture"]
        if several:
            raise InputError(
                f"{model}: a model of several blocks, which cannot be exported; share its folder in results"
            )
        what = "the table and its encoder" if meta["kind"] == "table" else "the encoder and its card"
        raise InputError(f"{model}: latents from a {meta['kind']} entry, not a model of scans; share {what} instead")
    if "mask" in tensors and (tensors["mask"] != read_mask(mask)).any():
        raise InputError(f"{mask}: not the mask that {model} was trained with; give that one")
    verdict = json.loads(health.read_text(encoding="utf-8"))
    description = stripped(tensors, meta)
    way = preprocessing(derivatives, mask, meta)
    tests, why = (
        inference.of_run(
            stage.parent, model.resolve().parents[1].name, model.resolve().parent.name, description["exported_from"]
        )
        if scores
        else (None, "scores: false")
    )
    hidden, earlier = (out.with_name(f".{os.getpid()}.{out.name}{end}") for end in ("", ".earlier"))
    hidden.mkdir(parents=True)
    try:
        weights.save(hidden / "weights.safetensors", tensors, description)
        shutil.copyfile(mask, hidden / "mask.nii.gz")
        write_json(hidden / "health.json", verdict)
        write_json(hidden / "preprocessing.json", way)
        if tests:
            write_json(hidden / "inference.json", tests)
        text = card(
            model.parts[-3] if len(model.parts) > 2 else meta["kind"],
            description,
            verdict,
            way,
            licence,
            scans(tensors),
            [score["name"] for score in tests["scores"]] if tests else [],
        )
        (hidden / "README.md").write_text(text, encoding="utf-8")
        shutil.copymode(hidden / "README.md", hidden / "weights.safetensors")
        if out.exists():
            os.replace(out, earlier)
        os.replace(hidden, out)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    shutil.rmtree(earlier, ignore_errors=True)
    print(f"{out}: a {meta['kind']} of {meta['architecture']['n_latent']} latents, {verdict['verdict']}", flush=True)
    if not tests:
        print(f"no inference.json for validation in another cohort: {why}")
    if n_scans := scans(tensors):
        kind = inner_kind(meta)
        print(f"warning: the weights of a {kind} hold the voxels of {n_scans} training scans; share them as scans")


def stripped(tensors: weights.Tensors, meta: dict[str, Any]) -> dict[str, Any]:
    """The description without ids: people as counts per split, scans left out; the hash of the weights as they were."""
    people = {name: len(meta["people"][name]) for name in SPLITS}
    description = {key: value for key, value in meta.items() if key not in ("people", "scans")}
    return {**description, "people": people, "exported_from": weights.model_hash(tensors, meta)}


def scans(tensors: weights.Tensors) -> int:
    """Training scans whose voxels the weights hold (isomap, lle, mds need them to place a new scan), else 0."""
    return len(tensors["voxels"]) if "voxels" in tensors else 0


def preprocessing(derivatives: Path, mask: Path, meta: dict[str, Any]) -> dict[str, Any]:
    """Return the preprocessing of the training scans, from their sidecars, and fingerprints of code and data.

    Raises:
        InputError: no sidecars.
    """
    values_of: dict[str, set[str]] = {}
    suffixes: set[str] = set()
    for path in sorted(derivatives.rglob("*.json")):
        sidecar = json.loads(path.read_text(encoding="utf-8"))
        for key in KEPT.keys() & sidecar.keys():
            values_of.setdefault(key, set()).add(json.dumps(sidecar[key]))
        if PREPROC in path.stem:
            suffixes.add(json.dumps(path.stem.rpartition(PREPROC)[2]))
    if "Normalisation" not in values_of:
        raise InputError(
            f"{derivatives}: no sidecar says how intensities were normalised; give the folder of derivatives"
        )
    settings = {KEPT[key]: _one(values) for key, values in values_of.items()}
    settings |= {"suffix": _one(suffixes)} if suffixes else {}
    image = read_image(mask)
    return settings | {
        "shape": list(image.shape),
        "affine": image.affine.tolist(),
        "voxel_mm": float(image.header.get_zooms()[0]),
        "mask_sha256": sha256(mask),
        "data_hash": meta.get("data_hash"),
        "neurovae": version("neurovae"),
        "code_at_export": {name: fingerprint.code(f"neurovae.preprocess.{name}") for name in STEPS},
    }


def _one(values: set[str]) -> Any:
    """The value that all sidecars have, or all of several."""
    values_parsed = [json.loads(value) for value in sorted(values)]
    return values_parsed[0] if len(values_parsed) == 1 else values_parsed


if __name__ == "__main__":
    cli(run)
