"""The report: one HTML file that opens offline, with everything that the run found and the path of every number."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from neurovae.cli import Json, cli
from neurovae.io.files import write_beside
from neurovae.report.blocks import Block, Run
from neurovae.report.sections import findings as sections_summary
from neurovae.report.sections import maps as sections_maps
from neurovae.report.sections import methods
from neurovae.report.sections import models as sections_models
from neurovae.report.sections import people as sections_people
from neurovae.report.sections import tests as sections_tests
from neurovae.report.sections.provenance import provenance

ASSETS = Path(__file__).parent / "assets"
CAPTIONS = Path(__file__).parents[3] / "workflow" / "report"
SECTIONS: list[tuple[str, str, Callable[[Run], list[Block]]]] = [
    ("summary", "Summary", sections_summary.summary),
    ("cohort", "Cohort", sections_people.cohort),
    ("quality", "Quality", sections_people.quality),
    ("duplicates", "Copies", sections_people.duplicates),
    ("models", "Models", sections_models.models),
    ("latents", "Latents", sections_models.latents),
    ("associations", "Associations", sections_tests.associations),
    ("predictions", "Predictions", sections_tests.predictions),
    ("maps", "Maps", sections_maps.maps),
    ("audits", "Audits", sections_tests.audit),
    ("proof", "Proof", sections_tests.proof),
    ("methods", "Methods", lambda run: [_methods(run)]),
    ("provenance", "Provenance", provenance),
]


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
        captions: folder of the pictures' captions.
    """
    start = time.monotonic()
    html = build(Run(Path(cohort), models, fit, primary, shown, Path(captions), settings))
    with write_beside(out) as temporary:
        temporary.write_text(html, encoding="utf-8")
    print(f"{out}: {len(html.encode()) / 1e6:.1f} MB, {time.monotonic() - start:.0f} s", flush=True)


def build(run: Run) -> str:
    """The page as HTML; texts of the run are escaped, only the viewer's markup and our assets are taken as they are."""
    made = []
    for k, (name, title, section) in enumerate(SECTIONS):
        start = time.monotonic()
        made.append({"id": name, "title": title, "blocks": section(run)})
        print(f"{k + 1}/{len(SECTIONS)} {title}: {time.monotonic() - start:.1f} s", flush=True)
    loader = FileSystemLoader(ASSETS)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    ours = {name: (ASSETS / f"report.{name}").read_text(encoding="utf-8") for name in ("css", "js")}
    template = environment.get_template("report.html.jinja", globals={"flagged": flagged})
    return template.render(name=run.cohort.name, sections=made, **ours)


def flagged(words: str) -> bool:
    """Whether a cell of verdicts or audits speaks against its row (as report.js has it)."""
    return words.startswith(("FLAGGED", "NOT TESTED", "not there", "collapsed", "untrained", "diverged", "overfit"))


def _methods(run: Run) -> dict[str, Any]:
    words, works = methods.cited(methods.paragraphs(run))
    return {"kind": "methods", "paragraphs": words, "references": works}


if __name__ == "__main__":
    cli(run)
