"""Section of the report about maps: the viewer, pictures and tables of the stage interpret."""

import pandas as pd

from neurovae.report.blocks import Block, Run, absent, folded, heading, read, table, text
from neurovae.report.figures import thumbnails
from neurovae.report.sections.models import why
from neurovae.report.viewer import viewer

TABLES = {"traversals": "regions that change most along each latent", "maps": "score maps",
          "regions": "score maps by region", "jacobian": "local volume change by region",
          "realism": "are decoded brains like real ones?", "counterfactuals": "counterfactuals"}  # fmt: skip
WORDS = {"mean_abs_t": "mean |t|", "largest_t": "t farthest from 0"}
PICTURES = {"traversals": "traversals of latents", "maps": "score maps", "samples": "samples of the prior",
            "counterfactuals": "counterfactuals"}  # fmt: skip


def maps(run: Run) -> list[Block]:
    """The viewer first, then per model that was interpreted its pictures and tables."""
    if not (run.cohort / "interpret").exists():
        return [absent("interpret/", "the stage interpret has not run: no maps were made")]
    said = "Maps are patterns (what goes along with a score), not filters; intervals are given this decoder."
    blocks: list[Block] = [text(said)]
    html = viewer.section(run.cohort, run.shown, run.fit, run.primary)
    blocks += [{"kind": "html", "html": html}] if html else [absent("viewer", "there was no map to show")]
    for model in [model for model in run.ordered() if model in run.shown]:
        blocks += folded(model, [heading(model), *_model(run, model)], run, model)
    return blocks


def _model(run: Run, model: str) -> list[Block]:
    blocks: list[Block] = []
    for name, words in PICTURES.items():
        blocks += [thumbnails.picture(run, f"{model}_{run.fit}_{name}.png", f"{model}: {words}", why(run, model))]
    paths = {f"interpret/{model}/{run.fit}/{name}.tsv": words for name, words in TABLES.items()}
    paths[f"interpret/{model}/{run.fold}/seeds.tsv"] = "score maps over seeds"
    for path, words in paths.items():
        found = read(run, path)
        if found is None:
            blocks.append(absent(path, why(run, model)))
            continue
        order = [name for name in ("rank", "order", "score") if name in found and "rank" in found]
        ranked = found.sort_values(order, kind="stable") if order else found
        blocks += [*_copies(found), table(ranked, _heads(found), path, f"{model}: {words}")]
    return blocks


def _copies(found: pd.DataFrame) -> list[Block]:
    """How many decoded volumes are copies of a training person, from the table of realism."""
    if "duplicate" not in found:
        return []
    made = found[found["duplicate"].notna()]
    counts = {kind: part["duplicate"].astype(str).eq("True") for kind, part in made.groupby("kind", sort=False)}
    told = "; ".join(f"{kind}: {int(copies.sum())} of {len(copies)}" for kind, copies in counts.items())
    return [text(f"Copies of a training person among decoded volumes: {told}.")] if told else []


def _heads(found: pd.DataFrame) -> dict[str, str]:
    """Every column that says something: constant keys of the whole table are left to its caption."""
    same = ("model", "fold", "seed")
    kept = [name for name in found if name not in same and not found[name].isna().all()]
    return {name: WORDS.get(str(name), str(name).replace("_", " ")) for name in kept}
