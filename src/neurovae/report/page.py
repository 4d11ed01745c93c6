"""The report: one HTML file that opens offline, with the findings first and everything else behind headings."""

import time
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from neurovae.cli import Json, cli
from neurovae.io.files import write_beside
from neurovae.report.blocks import Block, text
from neurovae.report.results import Run
from neurovae.report.sections.associations import associations
from neurovae.report.sections.audits import audits
from neurovae.report.sections.blocks import blocks
from neurovae.report.sections.external import external
from neurovae.report.sections.findings import findings
from neurovae.report.sections.joint import joint
from neurovae.report.sections.joint import names as joint_models
from neurovae.report.sections.latents import latents
from neurovae.report.sections.maps import maps
from neurovae.report.sections.methods import methods
from neurovae.report.sections.models import models
from neurovae.report.sections.norm import norm
from neurovae.report.sections.participants import participants
from neurovae.report.sections.predictions import predictions
from neurovae.report.sections.provenance import provenance
from neurovae.report.sections.quality import quality
from neurovae.report.sections.supervised import TESTS, UNSUPERVISED, supervised
from neurovae.report.sections.trajectories import trajectories

ASSETS = Path(__file__).parent / "assets"
CAPTIONS = Path(__file__).parents[3] / "workflow" / "report"
SECTIONS: list[tuple[str, str, str, Callable[[Run], list[Block]]]] = [
    ("findings", "Findings", "what was found, and its caveats", findings),
    ("participants", "Participants", "who was analysed, and which effects could be detected", participants),
    ("quality", "Quality control", "excluded and atypical scans, quality measures, duplicates", quality),
    ("blocks", "Blocks", "tables and functional data: who has them, and their quality", blocks),
    ("models", "Models", "verdicts, reconstructions, training", models),
    ("latents", "Latents", "distributions, relation to scores, nearest neighbours", latents),
    ("associations", "Associations", "all tests of latents against scores", associations),
    ("predictions", "Prediction", "prediction of scores in held-out participants", predictions),
    ("supervised", "Supervised models", "latents that a score entered, in left-out participants", supervised),
    ("joint", "Joint models", "image and scores, each from the other, in left-out participants", joint),
    ("trajectories", "Trajectories", "change over visits, and a later visit predicted", trajectories),
    ("external", "External validation", "findings of another cohort, tested here", external),
    ("norm", "Brain age and norm", "predicted age, and deviations from the reference", norm),
    ("maps", "Maps", "interactive viewer, score maps, traversals", maps),
    ("audits", "Sensitivity checks", "nuisance variables, sites, seeds, dimension", audits),
    ("methods", "Methods", "text for a paper, with references", methods),
    ("provenance", "Provenance", "versions, configuration, files", provenance),
]
UNLABELLED = ("latents", "associations", "predictions", "maps")  # that say they are unsupervised where others are not
OF_IMAGES = ("quality", "maps")  # sections that a cohort without images lacks


def run(
    *,
    cohort: Path,
    models: list[str],
    fit: str,
    primary: str,
    shown: list[str],
    settings: Json,
    out: Path,
    captions: Path = CAPTIONS,
) -> None:
    """Write the report of one run.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun report

    Args:
        cohort: folder of results (results/<cohort>).
        models: names of the models.
        fit: fold and seed that are shown ("fold-0_seed-0").
        primary: the model that was named beforehand.
        shown: names of the models that the stage interpret has maps of.
        settings: the whole validated configuration.
        out: HTML to write.
        captions: folder of the figures' captions.
    """
    start = time.monotonic()
    html = build(Run(Path(cohort), models, fit, primary, shown, Path(captions), settings))
    with write_beside(out) as temporary:
        temporary.write_text(html, encoding="utf-8")
    print(f"{out}: {len(html.encode()) / 1e6:.1f} MB, {time.monotonic() - start:.0f} s", flush=True)


def build(run: Run) -> str:
    """The page as HTML; texts of the run are escaped, only the viewer's markup and our assets are inserted as is."""
    sections = []
    shown = [one for one in SECTIONS if run.images or one[0] not in OF_IMAGES]
    for k, (name, title, about, section) in enumerate(shown):
        start = time.monotonic()
        if parts := section(run):  # sections of what was not asked for are empty
            labelled = name in UNLABELLED and ((run.cohort / TESTS).exists() or bool(joint_models(run)))
            parts = [text(UNSUPERVISED), *parts] if labelled else parts
            sections.append({"id": name, "title": title, "about": about, "blocks": parts})
        print(f"{k + 1}/{len(shown)} {title}: {time.monotonic() - start:.1f} s", flush=True)
    loader = FileSystemLoader(ASSETS)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    ours = {name: (ASSETS / f"report.{name}").read_text(encoding="utf-8") for name in ("css", "js")}
    return environment.get_template("report.html.jinja").render(name=run.cohort.name, sections=sections, **ours)


if __name__ == "__main__":
    cli(run)
