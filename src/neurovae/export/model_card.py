"""The model card of an exported model: Hugging Face's YAML, then description, quality, intended use and usage."""

from collections.abc import Sequence
from typing import Any

import yaml

from neurovae.io.exported import inner_kind

NAMES = {
    "vae": "A variational autoencoder",
    "autoencoder": "An autoencoder",
    "pca": "Principal components",
    "pca_localised": "Localised principal components",
    "mds": "Metric multidimensional scaling",
    "isomap": "Isomap",
    "lle": "Locally linear embedding",
}
MEASURES = {
    "variance_explained_training": "variance explained, training participants",
    "variance_explained_test": "variance explained, held-out participants",
    "variance_explained_linear_test": "the same of its linear part alone, held-out participants",
    "ssim_test": "structural similarity, held-out participants",
    "active_units": "active latents",
    "elbo": "evidence lower bound, nats a scan, held-out participants",
}
HIDDEN = ("affine", "code_at_export", "mask_sha256", "data_hash", "neurovae")  # of preprocessing.json
TEXT = """---
{front}---

# {name}: {n_latent} latents of brain anatomy

{what}, fitted by neurovae {version} without any clinical score. It turns a preprocessed brain into {n_latent} numbers
(posterior means), and such numbers into a brain.

**Verdict: {verdict}.** {reason}
{warning}
## Training data

The training, validation and test sets comprised {training}, {validation} and {test} participants (fold {fold},
seed {seed}). IDs of people and scans were removed from the weights' description and replaced by these counts; it
holds no name and no score.
{chain}{tested}
## How good it is

| measure | value |
|---|---|
{measures}

`health.json` has all of them with their definitions' names. Numbers of training people say nothing of new ones.

## Intended use, and its limits

For research on groups: associations, maps and predictions with cross-validation. Not a medical device, and no basis
for a statement about one person. A scan of another scanner, age, disease or preprocessing than the training's may
have latents that look fine and mean something else: look at its reconstruction first. Held-out numbers above hold for
people like those of the training. Folds cannot be guarded with this file, since it does not say who was trained on.

## What a scan must go through

{steps}

`preprocessing.json` has this, with the grid's affine and the fingerprints of the code at the time of the export. Run
the workflow's `preprocess` with the same version and values; its `desc-preproc` images are what the model takes.

## Use

```python
import pandas as pd
from neurovae.estimator.model import LatentModel

model = LatentModel.load("this-folder")
latents = model.transform(pd.DataFrame({{"path": ["sub-01_..._desc-preproc_T1w.nii.gz"]}}))
volumes = model.inverse_transform(latents)  # (scans, x, y, z) on the grid of mask.nii.gz
```

## Licence

Of the weights: {licence}. The code is under the MIT licence. The scans' own terms of use hold for what is made of them.
"""
TESTED = """
## Scores

The weights know no score. `inference.json` beside them does: effects and predictors of {names} in this cohort, to be
tested in another one. It holds means, standard deviations, coefficients and tests, and no participant.
"""
HELD = """
> **These weights contain brain scans.** {kind} places a new scan by its distances to the training scans, so that
> weights.safetensors holds the voxels of {count} of them (mirror images included). Share it only as you might share
> the scans themselves.
"""


def card(
    name: str,
    meta: dict[str, Any],
    health: dict[str, Any],
    way: dict[str, Any],
    licence: str,
    n_held_out: int,
    scores: Sequence[str] = (),
) -> str:
    """README.md of an exported model.

    Args:
        name: of the model.
        meta: description of the weights, people as counts.
        health: health.json.
        way: preprocessing.json.
        licence: of the weights.
        n_held_out: training scans whose voxels are in the weights.
        scores: names of the scores in inference.json.
    """
    source = meta["architecture"].get("source")
    front_matter = {
        "license": licence,
        **({"start_from": source} if source and meta["kind"] != "frozen" else {}),
        "library_name": "neurovae",
        "tags": ["neuroimaging", "structural-mri", "representation-learning", inner_kind(meta)],
    }
    rows = [f"| {text} | {health[key]:.4g} |" for key, text in MEASURES.items() if health.get(key) is not None]
    return TEXT.format(
        front=yaml.safe_dump(front_matter, sort_keys=False),
        name=name,
        n_latent=meta["architecture"]["n_latent"],
        what=NAMES[inner_kind(meta)],
        version=way["neurovae"],
        verdict=health["verdict"],
        reason="; ".join([health["reason"], *health.get("caveats", [])]) + ".",
        warning=HELD.format(kind=NAMES[inner_kind(meta)], count=n_held_out) if n_held_out else "",
        fold=meta["fold"],
        seed=meta["seed"],
        chain=_chain(meta),
        tested=TESTED.format(names=", ".join(scores)) if scores else "",
        **meta["people"],
        measures="\n".join(rows),
        steps="\n".join(
            f"- {key.replace('_', ' ')}: {_text(value)}" for key, value in way.items() if key not in HIDDEN
        ),
        licence=licence,
    )


def _chain(meta: dict[str, Any]) -> str:
    """The models that this one was taken from or started from, the nearest first."""
    lines, source = [], meta["architecture"].get("source")
    began = "It is this model, used as it is" if meta["kind"] == "frozen" else "Training started from this model"
    while source:
        people = source["people"]
        lines.append(
            f"- {began}: {NAMES[source['kind']].lower()} of {source['n_latent']} latents, fitted to "
            f"{people['training']} training and {people['validation']} validation participants of another cohort "
            f"(weights {source['exported_from']}, licence: {source['licence']})."
        )
        began, source = "That model came from", source.get("source")
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
