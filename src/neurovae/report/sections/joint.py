"""The supervised track: joint models of the image and scores, judged in participants who were left out of each fit."""

from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.report.blocks import Block, details, note, pictures, table, text
from neurovae.report.results import Run, read, read_tsv
from neurovae.report.text import count, listed, two_digits, unsigned

HEADS = {"score": "score", "method": "method", "inputs": "inputs", "track": "track", "n": "n", "r2": "R²",
         "r2_low": "95 % CI low", "r2_high": "95 % CI high", "r": "r, mean of folds", "mae": "MAE",
         "calibration_slope": "calibration slope", "calibration_intercept": "calibration intercept",
         "coverage": "coverage of the 95 % interval", "gain": "R² that joint adds", "gain_low": "CI low",
         "gain_high": "CI high"}  # fmt: skip
IMAGES = {"method": "method", "inputs": "inputs", "track": "track", "n": "n",
          "variance_explained": "variance explained", "ci_low": "95 % CI low", "ci_high": "95 % CI high",
          "gain": "that joint adds", "gain_low": "CI low", "gain_high": "CI high"}  # fmt: skip
HEALTH = {"fold": "test fold", "block": "block", "split": "participants", "n": "n",
          "variance_explained_own": "explained from itself", "variance_explained_cross": "explained from the other",
          "variance_explained_shared": "explained by shared latents", "kl_shared": "KL, shared (nats)",
          "kl_private": "KL, private (nats)", "kl_shared_fraction": "shared fraction of KL",
          "clinical_weight": "chosen weight", "verdict": "verdict", "remedy": "remedy"}  # fmt: skip
FIGURES = {"joint": "scores predicted from the image", "shared": "scores against shared latents of one fold",
           "decoded": "decoded change per unit of each score"}  # fmt: skip
EXPLAINED = (
    "A joint model of image and scores is supervised: scores entered its fit. All numbers are from participants who "
    "were left out of the fit of their fold, whose latents come from the image alone unless another input is named "
    "(supervised, cross-fitted). Shared latents of different folds are different latents and are never pooled."
)
TITLE = (
    "Supervised, cross-fitted: prediction of each score in left-out participants. Where other scores are an input, the "
    "predicted one, its items and its totals are hidden. Intervals: bootstrap of participants, fitted models held fixed"
)


def joint(run: Run) -> list[Block]:
    """Sentences, figures and tables of each joint model; nothing without one."""
    blocks: list[Block] = []
    for name in names(run):
        folder = f"supervised/{name}/{run.seed}"
        scores = read(run, f"{folder}/scores.tsv")
        if scores is None:
            continue
        images, health = read(run, f"{folder}/images.tsv"), read(run, f"{folder}/health.tsv")
        assert images is not None and health is not None  # noqa: S101 - written by the same rule
        blocks += [] if blocks else [note(EXPLAINED, "info")]
        blocks += [text(line) for line in sentences(scores, images)]
        blocks += [note(line) for line in warnings(health, name)]
        blocks += pictures(run, name, run.seed, FIGURES)
        blocks.append(table(scores, HEADS, f"{folder}/scores.tsv", TITLE))
        title = "Supervised, cross-fitted: variance explained over voxels by images predicted from scores"
        blocks.append(table(images, IMAGES, f"{folder}/images.tsv", title))
        of_model = table(health, HEALTH, f"{folder}/health.tsv", "Health of each block, by fold (supervised)")
        blocks.append(details(f"Model {name}, health of image and scores", [of_model]))
    return blocks


def names(run: Run) -> list[str]:
    """Joint models of the configuration."""
    models = run.config.get("train", {}).get("models", [])
    return [one["name"] for one in models if one["kind"] == "joint"]


def sentences(scores: pd.DataFrame, images: pd.DataFrame) -> list[str]:
    """What is predicted of each score from the image beside ridge on voxels, and of the image from the scores."""
    lines = []
    for score, rows in scores.groupby("score", sort=False):
        own = rows[(rows["method"] == "joint") & (rows["inputs"] == "image")].iloc[0]
        ridge = rows[rows["method"] == "ridge on voxels"].iloc[0]
        lines.append(
            f"{score} (model {own['model']}, supervised, cross-fitted): R² {_interval(own, 'r2')} from the image in "
            f"{count(own['n'], 'left-out participant')}; ridge on voxels {two_digits(ridge['r2'])}, difference "
            f"{unsigned(ridge['gain'], ridge['gain_low'], ridge['gain_high'])}."
        )
    image = images[images["method"] == "joint"].iloc[0]
    value = unsigned(image["variance_explained"], image["ci_low"], image["ci_high"])
    return [*lines, f"The image from the scores (model {image['model']}, supervised, cross-fitted): variance explained "
            f"over voxels {value} in {count(image['n'], 'left-out participant')}."]  # fmt: skip


def _interval(row: Any, name: str) -> str:
    return unsigned(row[name], row[f"{name}_low"], row[f"{name}_high"])


def warnings(health: pd.DataFrame, name: str) -> list[str]:
    """A line per block that is not healthy in some fold."""
    ill = health[health["verdict"] != "healthy"].drop_duplicates(["fold", "block"])
    return [
        f"Model {name}, {block}: {verdict} in fold{'s' if len(rows) > 1 else ''} "
        f"{listed(list(map(str, rows['fold'])))}: {rows['remedy'].iloc[0]}."
        for (block, verdict), rows in ill.groupby(["block", "verdict"], sort=False)
    ]


def summary_lines(paths: list[Path]) -> list[str]:
    """Sentences of the tables of scores of all joint models, for the summary on one screen."""
    return [line for path in paths for line in
            sentences(read_tsv(path), read_tsv(path.with_name("images.tsv")))]  # fmt: skip


def methods(run: Run) -> str:
    """How joint models were fitted and judged; empty without them."""
    parts = []
    for one in run.config.get("train", {}).get("models", []):
        scores = read(run, f"supervised/{one['name']}/{run.seed}/scores.tsv") if one["kind"] == "joint" else None
        if scores is None:
            continue
        fields = listed(list(dict.fromkeys(scores["score"])))
        parts.append(
            f"Joint model (supervised, cross-fitted). A model with {one['n_shared']} shared and {one['n_private']} "
            f"private latents each of image and scores ({fields}) was fitted in every fold to the participants "
            "outside it. The image entered as principal components of the training scans; each score had the "
            "likelihood of its type, and missing scores were masked. The posterior of the shared latents was the "
            "product of the prior and the experts of what a participant had [poe]; the loss also decoded each of the "
            "two from what the other one says of the shared latents, with private latents drawn from the prior. The "
            "encoder of the image began at ridge regression [reml], and the weight of the scores was chosen in "
            "validation participants. Predictions, beside ridge on voxels, partial least squares [pls] and canonical "
            "correlation with ridge [ridgecca], are of left-out participants from their images alone."
        )
    return " ".join(parts)
