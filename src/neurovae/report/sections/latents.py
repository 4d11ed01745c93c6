"""Latents: distribution of each, pairs of those with the smallest p, and nearest neighbours of test participants."""

import numpy as np
import pandas as pd

from neurovae.io import latent_table
from neurovae.io.volumes import read_volumes
from neurovae.report.blocks import Block, by_model, figure, heading, missing, text
from neurovae.report.figures import latents as drawn
from neurovae.report.figures import thumbnails
from neurovae.report.results import (
    ASSOCIATIONS,
    COHORT,
    Run,
    declared,
    health,
    levels,
    of_fit,
    positive,
    read,
    scans,
    tested,
    why,
)
from neurovae.report.text import shown

AXES = {"vae": "posterior mean", "pca": "component score", "pca_localised": "component score"}
NEIGHBOURS = 5  # test participants whose nearest training participant is shown


def latents(run: Run) -> list[Block]:
    """Per model: distribution of every latent, pairs of some by score and site, nearest neighbours."""
    people = scans(run)
    blocks = [text("Latents are posterior means of a VAE, component scores of a PCA, or variables supplied "
                   "in a table. The signs of VAE and PCA latents are arbitrary.")]  # fmt: skip
    for model in run.ordered():
        path = f"latents/{model}/{run.fit}/latents.parquet"
        points = read(run, path)
        if points is None or people is None:
            blocks += [missing(path, why(run, model))]
            continue
        points = latent_table.whole(points)
        blocks += by_model(run, model, [heading(model), *_model(run, model, points, people, path)])
    return blocks


def _model(run: Run, model: str, points: pd.DataFrame, people: pd.DataFrame, path: str) -> list[Block]:
    names, columns = latent_table.columns(points), declared(run, people)
    beside = people[list(dict.fromkeys(["scan", "site", *columns]))]  # site may be among the confounds
    joined = points.merge(beside, on="scan", how="left", validate="one_to_one")
    scores = [entry["name"] for entry in run.config["cohort"]["scores"] if entry["name"] in columns][:4]
    several = joined["site"].nunique() > 1
    judged = health(run, model) or {}
    prior = judged.get("kind") == "vae" and judged.get("divergence") != "none"
    spread = thumbnails.drawn(drawn.spread(points, names, AXES.get(str(judged.get("kind")), "latent"), prior))
    said = "Distribution of each latent in the training, validation and test sets: median, quartiles, and 5th to 95th "
    said += f"percentile across {run.unit}s." + " Dotted lines: mean and 95 % range of the prior." * prior
    blocks = [figure(spread, said, path, f"{model}: distribution of every latent")]
    ranked = strongest(run, model, names, joined)
    coloured = scores + ["site"] * several
    if len(ranked) > 1 and coloured:
        named = joined.assign(**{name: levels(joined[name], positive(run, name)) for name in coloured})
        image = thumbnails.drawn(drawn.pairs(named, ranked, coloured))
        last = " and, in the last row, by site" * several
        said = f"Pairs of the {len(ranked)} latents with the smallest max-T p across all scores: one point per "
        said += f"{run.unit}, coloured by score (one row per score){last}. Open circles: missing values."
        blocks += [figure(image, said, f"{path}, {COHORT}", f"{model}: pairs of latents")]
    return blocks + (
        neighbours(run, joined, names, columns, path) if run.images and model in {run.primary, *run.shown} else []
    )


def strongest(run: Run, model: str, names: list[str], points: pd.DataFrame, most: int = 3) -> list[str]:
    """Latents with the smallest max-T p across all scores; those of largest variance where nothing was tested."""
    tests = read(run, ASSOCIATIONS)
    if tests is not None:
        found = tested(of_fit(tests[tests["model"] == model], run.fit))
        if len(found):
            return [name for name in dict.fromkeys(found["latent"]) if name in names][:most]
    return list(points[names].var().sort_values(ascending=False).index[:most])


def neighbours(run: Run, points: pd.DataFrame, names: list[str], columns: list[str], path: str) -> list[Block]:
    """Some test participants, each with the training participant whose latents are nearest (Euclidean), as slices."""
    first = points.drop_duplicates("person").reset_index(drop=True)
    first = first.assign(**{name: levels(first[name], positive(run, name)) for name in columns[:4]})
    held, known = first[first["split"] == "test"].head(NEIGHBOURS), first[first["split"] == "training"]
    files = [run.cohort / "preprocess" / name for name in ("volumes.npy", "volumes.parquet")]
    if held.empty or known.empty or not all(file.exists() for file in files):
        return [missing("nearest neighbours", "they need test and training participants and preprocess/volumes.npy")]
    array, rows = read_volumes(*files)
    place = {scan: k for k, scan in enumerate(rows["scan"])}
    cards = []
    for person in held.to_dict("records"):
        distance = np.linalg.norm(known[names].to_numpy(float) - np.array([person[name] for name in names]), axis=1)
        near = known.iloc[int(distance.argmin())].to_dict()
        same = (
            f"distance {distance.min():.2f} (median distance to all training participants: {np.median(distance):.2f})"
        )
        for one, lines in ((person, ["test set"]), (near, ["nearest training participant", same])):
            values = ", ".join(f"{name} {shown(one[name])}" for name in columns[:4])
            src = thumbnails.scan(np.asarray(array[place[one["scan"]]])) if one["scan"] in place else ""
            cards.append({"title": str(one["scan"]), "src": src, "excluded": False, "reason": "",
                          "lines": [*lines, values]})  # fmt: skip
    caption = f"{len(held)} test participants, each with the training participant nearest in latent space (Euclidean)."
    source = f"{path}, preprocess/volumes.npy"
    return [{"kind": "gallery", "cards": cards, "caption": caption, "source": source, "paired": True}]
