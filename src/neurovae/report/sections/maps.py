"""Maps: the interactive viewer, figures and tables of the stage interpret."""

import pandas as pd

from neurovae.report.blocks import Block, by_model, heading, missing, pictures, table, text
from neurovae.report.results import Run, read, why
from neurovae.report.viewer import section

TABLES = {"traversals": "regions that change most along each latent", "maps": "score maps",
          "regions": "score maps by region", "jacobian": "local volume change by region",
          "realism": "realism of decoded volumes", "counterfactuals": "counterfactuals"}  # fmt: skip
WORDS = {"mean_abs_t": "mean |t|", "largest_t": "t of largest magnitude"}
FIGURES = {"traversals": "latent traversals", "maps": "score maps", "samples": "samples from the prior",
           "counterfactuals": "counterfactuals"}  # fmt: skip


def maps(run: Run) -> list[Block]:
    """The viewer, then each interpreted model's figures and tables."""
    if not (run.cohort / "interpret").exists():
        return [missing("interpret/", "interpret has not been run")]
    said = "Maps show activation patterns (Haufe et al., 2014), not decoding weights. Their intervals hold for this "
    blocks: list[Block] = [text(f"{said}decoder only.")]
    blocks += [{"kind": "html", "html": section.section(run.cohort, run.shown, run.fit, run.primary)}]
    for model in [model for model in run.ordered() if model in run.shown]:
        blocks += by_model(run, model, [heading(model), *_model(run, model)])
    return blocks


def _model(run: Run, model: str) -> list[Block]:
    blocks = pictures(run, model, run.fit, FIGURES)
    paths = {f"interpret/{model}/{run.fit}/{name}.tsv": words for name, words in TABLES.items()}
    paths[f"interpret/{model}/{run.fold}/seeds.tsv"] = "score maps over seeds"
    for path, words in paths.items():
        found = read(run, path)
        if found is None:
            blocks.append(missing(path, why(run, model)))
            continue
        order = [name for name in ("rank", "order", "score") if name in found and "rank" in found]
        ranked = found.sort_values(order, kind="stable") if order else found
        blocks += [*_duplicates(found), table(ranked, _heads(found), path, f"{model}: {words}")]
    return blocks


def _duplicates(found: pd.DataFrame) -> list[Block]:
    """How many decoded volumes duplicate a training participant, from the table of realism."""
    if "duplicate" not in found:
        return []
    known = found[found["duplicate"].notna()]
    counts = {kind: part["duplicate"].astype(str).eq("True") for kind, part in known.groupby("kind", sort=False)}
    said = "; ".join(f"{kind}: {int(same.sum())} of {len(same)}" for kind, same in counts.items())
    return [text(f"Decoded volumes that duplicate a training participant: {said}.")] if said else []


def _heads(found: pd.DataFrame) -> dict[str, str]:
    """All columns with content; keys that are constant over the table are left to its caption."""
    same = ("model", "fold", "seed")
    kept = [name for name in found if name not in same and not found[name].isna().all()]
    return {name: WORDS.get(str(name), str(name).replace("_", " ")) for name in kept}
