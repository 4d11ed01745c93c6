"""Sections of the report about models and latents: verdicts, curves, reconstructions; spread, pairs and neighbours."""

import json
from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.tables import STOPPING
from neurovae.io import latent_table
from neurovae.io.volumes import read_volumes
from neurovae.report.blocks import Block, Run, absent, figure, folded, heading, note, of_fit, read, shown, table, text
from neurovae.report.figures import charts, thumbnails
from neurovae.report.sections.people import declared
from neurovae.report.sections.tested import scans, tested

NEIGHBOURS = 5  # held-out people whose nearest training person is shown
HEADS = {"model": "model", "verdict": "verdict", "reason": "reason", "advice": "to change", "kind": "kind",
         "n_latent": "latents", "variance_explained_training": "variance explained, training",
         "variance_explained_test": "variance explained, test",
         "identified": "identified, held out", "chance": "chance", "ssim_test": "SSIM, held out",
         "gain_test": "network beyond linear part", "active_units": "active",
         "kept_epoch": "epoch kept"}  # fmt: skip


def health(run: Run, model: str) -> dict[str, Any] | None:
    """A model's health file, or None."""
    path = run.cohort / "train" / model / run.fit / "health.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def why(run: Run, model: str) -> str:
    """Why something of a model is not there: its verdict if that stops it, else that nothing wrote the file."""
    found = health(run, model)
    if found is None:
        return f"{model} has no health.json for {run.fit}: it was not trained or not judged"
    if found["verdict"] in STOPPING and not found.get("kept_collapsed"):
        return f"{model} is {found['verdict']} and is not taken further: {found.get('reason', '')}"
    return "this run has not written it"


def verdicts(run: Run) -> pd.DataFrame:
    """A row per model: verdict with its caveats, shares, identification, reason, advice."""
    rows: list[dict[str, Any]] = []
    for model in run.ordered():
        found = health(run, model)
        if found is None:
            rows.append({"model": model, "verdict": "not there", "reason": why(run, model)})
            continue
        known = found.get("identification_accuracy_test") or {}
        caveats = [*found.get("caveats", []), *(["kept_collapsed"] if found.get("kept_collapsed") else [])]
        rows.append({**found, "model": model, "verdict": "; ".join([found["verdict"], *caveats]),
                     "identified": known.get("rate"), "chance": known.get("chance")})  # fmt: skip
    return pd.DataFrame(rows)


def models(run: Run) -> list[Block]:
    """Verdicts in a table; per model reconstructions, health, training and search; rates of all."""
    frame = verdicts(run)
    source = f"train/<model>/{run.fit}/health.json"
    blocks: list[Block] = [
        table(
            frame,
            HEADS,
            source,
            "Verdict of each model (share: of the variance in the mask; chance: 99 % bound)",
            30,
            "verdict",
        )
    ]
    for model in run.ordered():
        found = health(run, model)
        if found is not None and found["verdict"] in STOPPING:
            blocks += [note(f"{model}: {why(run, model)}")]
    blocks += [
        thumbnails.picture(run, "rates.png", "rate against distortion of all models", "this run has not drawn it")
    ]
    for model in run.ordered():
        blocks += folded(model, _model(run, model), run, model)
    searches = sorted((run.cohort / "report").glob("*_search.png"))
    blocks += [heading("Search of hyperparameters")] if searches else []
    blocks += [thumbnails.picture(run, path.name, f"trials of the search, {path.stem}", "") for path in searches]
    return blocks


def _model(run: Run, model: str) -> list[Block]:
    found = health(run, model) or {}
    epochs = f"{found.get('kind', model)} is fitted in one step: there are no epochs"
    reason = epochs if "kept_epoch" not in found or found.get("kept_epoch") is None else why(run, model)
    names = {
        "reconstructions": (f"{model}: inputs over reconstructions", why(run, model)),
        "health": (f"{model}: health", why(run, model)),
        "losses": (f"{model}: training curves", reason),
    }
    pictures = [thumbnails.picture(run, f"{model}_{run.fit}_{name}.png", *rest) for name, rest in names.items()]
    return [heading(f"{model}: {found.get('verdict', 'not judged')}"), *pictures]


def latents(run: Run) -> list[Block]:
    """Per model: spread of every latent, pairs of the top ones coloured by score and site; nearest neighbours."""
    people = scans(run)
    blocks = [text("A latent is a person's posterior mean; its sign means nothing. Top latents: smallest max-T p.")]
    for model in run.ordered():
        path = f"latents/{model}/{run.fit}/latents.parquet"
        points = read(run, path)
        if points is None or people is None:
            blocks += [absent(path, why(run, model))]
            continue
        blocks += folded(model, [heading(model), *_latents(run, model, points, people, path)], run, model)
    return blocks


def _latents(run: Run, model: str, points: pd.DataFrame, people: pd.DataFrame, path: str) -> list[Block]:
    names = latent_table.columns(points)
    columns = declared(run, people)
    told = people[list(dict.fromkeys(["scan", "site", *columns]))]  # site may be among the confounds
    joined = points.merge(told, on="scan", how="left", validate="one_to_one")
    scores = [entry["name"] for entry in run.config["cohort"]["scores"] if entry["name"] in columns][:4]
    several = joined["site"].nunique() > 1
    spread = thumbnails.drawn(charts.spread(points, names))
    said = "Latents by split: median, quartiles and 5 to 95 % of scans; dotted: the prior's -1.96, 0, 1.96."
    blocks = [figure(spread, said, path, f"{model}: distribution of every latent")]
    ranked = top(run, model, names, joined)
    coloured = scores + ["site"] * several
    if len(ranked) > 1 and coloured:
        image = thumbnails.drawn(charts.pairs(joined, ranked, coloured))
        said = f"Pairs of the top latents, coloured by score{' and site' * several}; open circles: no value."
        said += "" if several else " All scans are of one site."
        blocks += [figure(image, said, f"{path}, cohort/cohort.parquet", f"{model}: pairs of the top latents")]
    return blocks + (neighbours(run, joined, names, columns, path) if model in {run.primary, *run.shown} else [])


def top(run: Run, model: str, names: list[str], points: pd.DataFrame, most: int = 3) -> list[str]:
    """Latents with the smallest max-T p over all scores; those of largest variance where nothing was tested."""
    tests = read(run, "findings/associations.tsv")
    if tests is not None:
        found = tested(of_fit(tests[tests["model"] == model], run.fit))
        if len(found):
            return [name for name in dict.fromkeys(found["latent"]) if name in names][:most]
    return list(points[names].var().sort_values(ascending=False).index[:most])


def neighbours(run: Run, points: pd.DataFrame, names: list[str], columns: list[str], path: str) -> list[Block]:
    """Some held-out people, each with the training person whose latents are nearest (Euclidean), as slices."""
    first = points.drop_duplicates("person").reset_index(drop=True)
    held, known = first[first["split"] == "test"].head(NEIGHBOURS), first[first["split"] == "training"]
    files = [run.cohort / "preprocess" / name for name in ("volumes.npy", "volumes.parquet")]
    if held.empty or known.empty or not all(file.exists() for file in files):
        return [absent("nearest neighbours", "they need held-out people, training people and preprocess/volumes.npy")]
    array, rows = read_volumes(*files)
    place = {scan: k for k, scan in enumerate(rows["scan"])}
    cards = []
    for person in held.to_dict("records"):
        distance = np.linalg.norm(known[names].to_numpy(float) - np.array([person[name] for name in names]), axis=1)
        near = known.iloc[int(distance.argmin())]
        same = f"distance {distance.min():.2f}; median of all {np.median(distance):.2f}"
        for one, lines in ((person, ["held out"]), (near.to_dict(), ["nearest training person", same])):
            told = ", ".join(f"{name} {shown(one[name])}" for name in columns[:4])
            src = thumbnails.scan(np.asarray(array[place[one["scan"]]])) if one["scan"] in place else ""
            cards.append({"title": str(one["scan"]), "src": src, "excluded": False, "reason": "", "values": {},
                          "lines": [*lines, told]})  # fmt: skip
    caption = f"{len(held)} held-out people and, after each, the training person whose latents are nearest (Euclidean)."
    source = f"{path}, preprocess/volumes.npy"
    return [{"kind": "cards", "cards": cards, "numbers": {}, "caption": caption, "source": source, "paired": True}]
