"""The page "I already have embeddings": its configurations are whole, short, and read the tables that it shows."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from neurovae.cohort.check import check
from neurovae.plan import entries, index, latent_tables
from neurovae.plan.config import load_schema, validate

PAGE = (Path(__file__).parents[3] / "docs/how-to/embeddings.md").read_text(encoding="utf-8")
WITHOUT, WITH = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)[:2]
PEOPLE = [f"sub-{k:02d}" for k in range(1, 41)]


def configuration(text: str) -> dict[str, Any]:
    return validate(yaml.safe_load(text), load_schema())


def shown(name: str) -> list[str]:
    """Header and first row of a table of the page."""
    found = re.search(rf"`{re.escape(name)}`.*?\n\n    (.*?)\n    (.*?)\n", PAGE, flags=re.S)
    assert found
    header, row = (line.replace("\t...", "").split("\t") for line in found.groups())
    assert len(header) == len(row)
    return header


@pytest.mark.parametrize("text", [WITHOUT, WITH])
def test_the_whole_configuration_has_about_ten_lines(text: str) -> None:
    assert len(text.strip().splitlines()) <= 10
    assert configuration(text)["train"]["models"][0]["seen"] == "no"


def test_the_tables_of_the_page_are_read_without_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    draw = {"age": lambda: f"{rng.uniform(20, 60):.1f}", "sex": lambda: rng.choice(["F", "M"]),
            "site": lambda: rng.choice(["A", "B"]), "diagnosis": lambda: rng.choice(["patient", "control"])}  # fmt: skip
    people = shown("participants.tsv")
    rows = ["\t".join([one, *(draw[name]() for name in people[1:])]) for one in PEOPLE]
    Path("participants.tsv").write_text("\n".join(["\t".join(people), *rows]) + "\n")
    measures = [*shown("freesurfer.tsv"), *(f"m{k}" for k in range(30))]
    rows = ["\t".join([one, *(f"{value:.3f}" for value in rng.normal(size=len(measures) - 1))]) for one in PEOPLE]
    Path("freesurfer.tsv").write_text("\n".join(["\t".join(measures), *rows]) + "\n")
    config = configuration(WITHOUT)
    found = index.look(config["cohort"])
    assert check(config["cohort"], found) == [] and len(found.scans) == 40
    assert latent_tables.problems(config, found) == ([], [], {"freesurfer": 32})
    assert list(entries.models(config["train"], config["cohort"])) == ["freesurfer"]
    assert entries.impossible(config, entries.models(config["train"], config["cohort"]), 40) == []
    with_scans = configuration(WITH)
    assert list(entries.models(with_scans["train"], with_scans["cohort"])) == ["encoder", "pca-16"]
