"""Methods: the run described as in a paper, from the configuration and from what the tables say was done."""

import json
import re
from pathlib import Path

from neurovae.report.blocks import Block
from neurovae.report.results import Run
from neurovae.report.sections.external import methods as external
from neurovae.report.sections.joint import methods as joint
from neurovae.report.sections.methods_blocks import blocks
from neurovae.report.sections.methods_data import participants, preprocessing
from neurovae.report.sections.methods_inference import inference
from neurovae.report.sections.methods_models import latent_models
from neurovae.report.sections.methods_prediction import audits, maps, prediction, software
from neurovae.report.sections.norm_methods import methods as norm
from neurovae.report.sections.supervised import methods as supervised
from neurovae.report.sections.trajectories import methods as trajectories

WORKS: dict[str, tuple[str, str]] = json.loads(
    (Path(__file__).parents[1] / "assets" / "references.json").read_text(encoding="utf-8")
)
KEYS = re.compile(r"\[([a-z0-9]+(?:, ?[a-z0-9]+)*)\]")
INSIDE = re.compile(r"\(([^()\[\]]+; )(\[[a-z0-9, ]+\])\)")  # works cited within a bracket: "(2009a; [template])"


def methods(run: Run) -> list[Block]:
    """The text with its references, ready to copy."""
    words, works = cited(paragraphs(run))
    return [{"kind": "methods", "paragraphs": words, "references": works}]


def paragraphs(run: Run) -> list[str]:
    """Participants, preprocessing, blocks, models, inference, prediction, and what follows; a paragraph each."""
    tested = (participants, preprocessing, blocks, latent_models, inference, prediction, supervised, joint)
    parts = (*tested, trajectories, norm, external, audits, maps, software)
    return [run.worded(words) for words in (part(run) for part in parts) if words]


def cited(words: list[str]) -> tuple[list[str], list[str]]:
    """The paragraphs with "[key, key]" as "(Author, year; Author, year)", and their references in order of name.

    "(note; [key])" becomes "(note; Author, year)".
    """
    used: set[str] = set()

    def cite(match: re.Match[str]) -> str:
        keys = re.split(", ?", match[1])
        if not set(keys) <= set(WORKS):
            return match[0]
        used.update(keys)
        return f"({'; '.join(WORKS[key][0] for key in sorted(keys, key=lambda key: WORKS[key][0]))})"

    def within(match: re.Match[str]) -> str:
        return f"({match[1]}{KEYS.sub(cite, match[2]).strip('()')})"

    text = [KEYS.sub(cite, INSIDE.sub(within, part)) for part in words]
    return text, sorted(WORKS[key][1] for key in used)
