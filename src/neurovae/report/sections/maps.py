"""Maps: the interactive viewer, figures and tables of the stage interpret."""

import pandas as pd

from neurovae.report.blocks import Block, by_model, heading, missing, pictures, table, text
from neurovae.report.results import Run, read, why
from neurovae.report.viewer import section

REGION = {"region": "region", "hemisphere": "hemisphere"}
STATED = {"status": "status", "reason": "reason"}
TABLES = {
    "maps": ("score maps", {
        "score": "score", "n": "participants", "unit": "map per", "voxels_below_05": "voxels with max-T p < 0.05",
        "voxels": "voxels tested", "smallest_p": "smallest max-T p", "peak_statistic": "peak statistic",
        "peak_x": "peak x (mm)", "peak_y": "peak y (mm)", "peak_z": "peak z (mm)", "peak_region": "region of the peak",
        "test": "test", **STATED}),
    "regions": ("score maps by region", {
        "score": "score", **REGION, "map": "mean change", "low": "95 % CI low", "high": "95 % CI high",
        "mean_abs_t": "mean |t|", "largest_t": "t of largest magnitude",
        "fraction_below_05": "fraction of voxels with max-T p < 0.05", **STATED}),
    "jacobian": ("change of regional volume from the low to the high end of each score (not tested)", {
        "score": "score", **REGION, "voxels": "voxels", "percent": "change (%)", **STATED}),
    "traversals": ("regions that change most along each latent", {
        "latent": "latent", **REGION, "change": "mean change between the extreme quantiles",
        "rms": "root mean square change", "posterior_low": "95 % posterior interval low",
        "posterior_high": "95 % posterior interval high", **STATED}),
}  # fmt: skip
SEEDS = {"score": "score", "seed": "seed", "other_seed": "other seed", "r": "r of the maps over voxels",
         "one_sign": "fraction of voxels of one sign", **STATED}  # fmt: skip
KINDS = {"sample": "samples from the prior", "path": "path between two participants"}
FIGURES = {"traversals": "latent traversals", "maps": "score maps", "samples": "samples from the prior",
           "counterfactuals": "counterfactuals"}  # fmt: skip


def maps(run: Run) -> list[Block]:
    """The viewer, then each interpreted model's figures and tables."""
    if not (run.cohort / "interpret").exists():
        return [missing("interpret/", "interpret has not been run")]
    blocks: list[Block] = [text("Maps show activation patterns (Haufe et al., 2014), not decoding weights. Their "
                                "intervals do not include the uncertainty of the decoder.")]  # fmt: skip
    blocks += [{"kind": "html", "html": section.section(run.cohort, run.shown, run.fit, run.primary)}]
    for model in [model for model in run.ordered() if model in run.shown]:
        blocks += by_model(run, model, [heading(model), *_model(run, model)])
    return blocks


def _model(run: Run, model: str) -> list[Block]:
    folder = f"interpret/{model}/{run.fit}"
    tables = {f"{folder}/{name}.tsv": one for name, one in TABLES.items()}
    tables[f"interpret/{model}/{run.fold}/seeds.tsv"] = ("score maps of different seeds", SEEDS)
    blocks = [*pictures(run, model, run.fit, FIGURES), *_duplicates(read(run, f"{folder}/realism.tsv"))]
    for path, (words, heads) in tables.items():
        found = read(run, path)
        if found is None:
            blocks.append(missing(path, why(run, model)))
            continue
        order = [name for name in ("rank", "order", "score") if name in found and "rank" in found]
        ranked = found.sort_values(order, kind="stable") if order else found
        blocks.append(table(ranked, heads, path, f"{model}: {words}"))
    return blocks


def _duplicates(found: pd.DataFrame | None) -> list[Block]:
    """How many decoded volumes duplicate a training participant, from the table of realism."""
    if found is None or "duplicate" not in found:
        return []
    known = found[found["duplicate"].notna()]
    counts = {kind: part["duplicate"].astype(str).eq("True") for kind, part in known.groupby("kind", sort=False)}
    said = "; ".join(f"{KINDS.get(kind, kind)}: {int(same.sum())} of {len(same)}" for kind, same in counts.items())
    return [text(f"Decoded volumes that duplicate a training participant: {said}.")] if said else []
