"""Models: verdicts, reconstructions, health, training curves and the hyperparameter search."""

from typing import Any

import pandas as pd

from neurovae.report.blocks import Block, by_model, heading, note, picture, pictures, table
from neurovae.report.results import Run, health, stopped, titled, undecoded, verdict, why
from neurovae.report.sections.by_block import explained
from neurovae.report.sections.networks import networks
from neurovae.report.sections.start_from import started

HEADS = {"model": "model", "verdict": "verdict", "reason": "reason for the verdict",
         "advice": "suggested change", "kind": "kind", "n_latent": "latents",
         "variance_explained_training": "variance explained, training",
         "variance_explained_test": "variance explained, test", "accuracy": "identification accuracy, test",
         "chance": "identification accuracy, 99th percentile of the chance distribution", "ssim_test": "SSIM, test",
         "gain_test": "gain in variance explained over the linear part, test", "active_units": "active latents",
         "kept_epoch": "epoch kept"}  # fmt: skip


def verdicts(run: Run) -> pd.DataFrame:
    """A row per model: verdict with its caveats, variance explained, identification accuracy, reason, advice."""
    rows: list[dict[str, Any]] = []
    for model in run.ordered():
        found = health(run, model)
        if found is None:
            rows.append({"model": model, "verdict": "not available", "reason": why(run, model)})
            continue
        known = found.get("identification_accuracy_test") or {}
        reason = "" if found["verdict"] == "healthy" else found.get("reason", "")  # a healthy one's: the other columns
        rows.append({**found, "model": model, "verdict": verdict(found), "reason": reason,
                     "accuracy": known.get("rate"), "chance": known.get("chance")})  # fmt: skip
    return pd.DataFrame(rows)


def models(run: Run) -> list[Block]:
    """Verdicts in a table, rates of all models, and each model's pictures."""
    relative = ". Variance explained: inside the brain mask, relative to the mean training image"
    caption = f"Verdicts{relative * run.images}"
    blocks: list[Block] = [table(verdicts(run), HEADS, f"train/<model>/{run.fit}/health.json", caption, 30, "verdict")]
    for model in run.ordered():
        found = health(run, model)
        blocks += [note(f"{model}: {why(run, model)}")] if found and stopped(found) else []
    blocks += started(run)
    blocks += explained(run)
    blocks += networks(run)
    blocks += [picture(run, "rates.png", "rate and distortion of all models")] if run.images else []
    for model in run.ordered():
        blocks += by_model(run, model, _model(run, model))
    searches = sorted((run.cohort / "report").glob("*_search.png"))
    blocks += [heading("Hyperparameter search")] if searches else []
    return blocks + [picture(run, path.name, f"trials of the search, {path.stem}") for path in searches]


def _titled(model: str, found: dict[str, Any]) -> str:
    return titled(model, found["verdict"]) if found else f"{model}: not evaluated"


def _model(run: Run, model: str) -> list[Block]:
    found = health(run, model) or {}
    names = {"reconstructions": "inputs and reconstructions", "health": "model checks"}
    if undecoded(run, model):
        del names["reconstructions"]
    blocks = [heading(_titled(model, found)), *pictures(run, model, run.fit, names)]
    reason = why(run, model)
    if found.get("kept_epoch") is None:
        reason = f"{found.get('kind', model)} is fitted in one step and has no epochs"
    if undecoded(run, model) and "explained_by_block" not in found:  # a table is not trained
        return blocks
    return [*blocks, picture(run, f"{model}_{run.fit}_losses.png", f"{model}: training curves", reason)]
