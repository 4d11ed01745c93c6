"""Maps: the interactive viewer, figures and tables of the stage interpret."""

import pandas as pd

from neurovae.report.blocks import Block, by_model, heading, missing, note, pictures, table, text
from neurovae.report.results import Run, forward, read, undecoded, why, with_page
from neurovae.report.text import region
from neurovae.report.viewer import section
from neurovae.train.health.verdicts import FORWARD, NO_DECODER

BOXED = ("region", "peak_region")  # columns of region names
REGION = {"region": "region", "hemisphere": "hemisphere"}
STATED = {"status": "status", "reason": "note"}
TABLES = {
    "maps": ("score maps", {
        "score": "score", "n": "participants", "unit": "contrast", "voxels_below_05": "voxels with max-T p < 0.05",
        "voxels": "voxels tested", "smallest_p": "smallest max-T p", "peak_statistic": "peak statistic",
        "peak_x": "peak x (mm)", "peak_y": "peak y (mm)", "peak_z": "peak z (mm)", "peak_region": "region of the peak",
        "test": "test", **STATED}),
    "regions": ("score maps by region", {
        "score": "score", **REGION, "map": "mean difference in intensity", "low": "95 % CI low", "high": "95 % CI high",
        "mean_abs_t": "mean |statistic|", "largest_t": "statistic of largest magnitude",
        "fraction_below_05": "fraction of voxels with max-T p < 0.05", **STATED}),
    "jacobian": ("difference in regional volume, 95th relative to 5th percentile of each score (binary scores: between "
                 "the groups; not tested)", {
        "score": "score", **REGION, "voxels": "voxels", "percent": "difference (%)", **STATED}),
    "traversals": ("regions that change most along each latent", {
        "latent": "latent", **REGION, "change": "mean change between the extreme quantiles",
        "rms": "root mean square change",
        "posterior_low": "posterior range of the region's mean, low",
        "posterior_high": "posterior range of the region's mean, high", **STATED}),
}  # fmt: skip
POSTERIOR = (
    ". Posterior range: how much a region's mean would vary because the latents of a single scan are uncertain. All "
    "latents are drawn together, around the cohort's mean latents and with the posterior spread of a single scan, and "
    "decoded; the range runs from the 2.5th to the 97.5th percentile of the region's mean, relative to the volume "
    "decoded at the cohort's mean latents. For a given region it is the same for every latent. It is not a confidence "
    "interval for the change"
)
SEEDS = {"score": "score", "seed": "seed", "other_seed": "other seed", "r": "r of the maps across voxels",
         "one_sign": "fraction of voxels of one sign", **STATED}  # fmt: skip
KINDS = {"sample": "random samples", "path": "path between two participants"}
FIGURES = {"traversals": "latent traversals", "maps": "score maps", "samples": "random samples",
           "counterfactuals": "counterfactuals"}  # fmt: skip


NOT_GIVEN = "traversals, samples, counterfactuals or volume changes"
INTRODUCTION = (
    "Maps show activation patterns (Haufe et al., 2014), not the weights of a predictive (backward) model. Their "
    "confidence intervals do not include the uncertainty of the model's decoder, which turns latents into images."
)


def maps(run: Run) -> list[Block]:
    """The viewer, then each interpreted model's figures and tables."""
    if not (run.cohort / "interpret").exists():
        return [missing("interpret/", "interpret has not been run")]
    blocks: list[Block] = [text(INTRODUCTION)]
    viewer = section.section(run.cohort, run.shown, run.fit, run.primary, people=with_page(run))
    blocks += [{"kind": "html", "html": viewer}]
    given = [model for model in run.ordered() if undecoded(run, model)]
    blocks += [note(f"{', '.join(given)}: {NO_DECODER}, so there are no {NOT_GIVEN}.")] if given else []
    for model in [model for model in run.ordered() if model in run.shown]:
        blocks += by_model(run, model, [heading(model), *_model(run, model)])
    return blocks


def _model(run: Run, model: str) -> list[Block]:
    folder = f"interpret/{model}/{run.fit}"
    by = forward(run, model)
    if by and not by.startswith(FORWARD):
        return [note(f"{model}: no maps; {by}.")]
    beside, names = (f" ({by})", ("maps", "regions")) if by else ("", tuple(TABLES))
    figures = {name: words for name, words in FIGURES.items() if not by or name in names}
    tables = {f"{folder}/{name}.tsv": TABLES[name] for name in names}
    tables[f"interpret/{model}/{run.fold}/seeds.tsv"] = ("score maps of different seeds", SEEDS)
    blocks: list[Block] = [note(f"{model}: the maps are those of a {by}.")] if by else []
    blocks += [*pictures(run, model, run.fit, figures), *_duplicates(read(run, f"{folder}/realism.tsv"))]
    for path, (words, heads) in tables.items():
        found = read(run, path)
        if found is None:
            blocks.append(missing(path, why(run, model)))
            continue
        order = [name for name in ("rank", "order", "score") if name in found and "rank" in found]
        ranked = found.sort_values(order, kind="stable") if order else found
        named = {name: ranked[name].map(region, na_action="ignore") for name in BOXED if name in ranked}
        ranked = ranked.assign(**named)
        interval = "posterior_low" in ranked and ranked["posterior_low"].notna().any()
        blocks.append(table(ranked, heads, path, f"{model}: {words}{beside}{POSTERIOR if interval else ''}"))
    return blocks


def _duplicates(found: pd.DataFrame | None) -> list[Block]:
    """How many decoded volumes duplicate a training participant, from the table of realism."""
    if found is None or "duplicate" not in found:
        return []
    known = found[found["duplicate"].notna()]
    counts = {kind: part["duplicate"].astype(str).eq("True") for kind, part in known.groupby("kind", sort=False)}
    said = "; ".join(f"{KINDS.get(kind, kind)}: {int(same.sum())} of {len(same)}" for kind, same in counts.items())
    return [text(f"Decoded volumes that duplicate a training participant: {said}.")] if said else []
