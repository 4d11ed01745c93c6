"""The documentation names what exists: keys, files, columns, messages, links; its generated parts say what they should."""

import ast
import json
import re
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "docs" / "extension"))

import bibliography  # noqa: E402
import commands  # noqa: E402
import configuration  # noqa: E402
import generated  # noqa: E402
import outputs  # noqa: E402

READ = ["README.md", "CONTRIBUTING.md", "config/README.md", "results/README.md", "CHANGELOG.md"]


def test_every_key_file_and_column_has_an_entry_and_every_entry_is_used() -> None:
    assert generated.gaps() == []


def test_a_gap_is_named() -> None:
    entries = {"common": {"n": "people", "old": "gone"}, "tables": {"a.tsv": {"p": "p value", "x": "?"}}}
    written = {"a.tsv": ["n", "p", "new"], "b.tsv": ["n", "p"]}
    files = {"stage": {"a.tsv": "a table", "c.tsv": "nowhere"}}
    lines = outputs.problems(files, entries, written, {"a.tsv", "d.png"})
    expected = [
        "no entry for b.tsv", "no entry for d.png", "no rule writes c.tsv", "no entry for column new of a.tsv",
        "no entry for column p of b.tsv", "no table has old", "a.tsv has no column x",
    ]  # fmt: skip
    assert [line.split(": ", 1)[1] for line in lines] == expected
    schema = {"a": {"description": "section", "properties": {"b": {}, "c": {"description": "key"}}}}
    assert configuration.undescribed(schema) == ["a.b: no description in workflow/schemas"]


def test_paths_of_runs_and_of_rules_are_one() -> None:
    for run, rule in (
        ("associate/vae/fold-0_seed-2/glm.parquet", "associate/{model}/fold-{fold}_seed-{seed}/glm.parquet"),
        ("predict/pca-16/seed-0/predict.tsv", "predict/{model}/seed-{seed}/predict.tsv"),
        ("preprocess/extract/0007.tsv", "preprocess/extract/{batch}.tsv"),
        ("audit/vae/fold-3/stability.tsv", "audit/{{model}}/fold-{{fold}}/stability.tsv"),
    ):
        assert outputs.MODEL.sub(r"\1/<model>/", outputs.general(run)) == outputs.general(rule)
    assert outputs.general("predict/voxels/predict.tsv") == "predict/voxels/predict.tsv"


def test_a_key_is_shown_with_type_default_and_bounds() -> None:
    spec = {"type": "number", "minimum": 0, "default": 0.2, "kinds": ["vae"], "description": "weight of a term"}
    text = configuration.entry(configuration.Key("train.models.beta", spec, False))
    assert text == (
        "::::{confval} train.models.beta\n:type: number, at least 0\n:default: `0.2`\n\n"
        "Weight of a term. Model kinds: vae.\n::::\n"
    )
    assert ":default: none, required" in configuration.entry(configuration.Key("a.b", {"enum": ["x"]}, True))
    assert configuration.allowed({"enum": ["x", None]}) == "`x`, `null`"


def test_every_command_is_described_with_all_its_options() -> None:
    page = commands.page()
    for name, run in commands.functions().items():
        assert f"neurovae {name}`" in page or f"### `{name}`" in page
        assert ast.get_docstring(run)
    assert {"train.fit", "verify", "export", "provenance"} <= set(commands.functions())


@pytest.mark.parametrize("name", READ)
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name
    links = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_the_readme_is_a_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 1200
    config = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    from neurovae.plan.config import load_schema, validate

    assert validate(config, load_schema())["cohort"]["name"] == "mystudy"


def blocks() -> list[tuple[str, str]]:
    """Every configuration that the pages show, with its page."""
    found = []
    for path in sorted((ROOT / "docs").rglob("*.md")):
        if "build" not in path.parts:
            text = path.read_text(encoding="utf-8")
            found += [(path.name, block) for block in re.findall(r"^ *```yaml\n(.*?)^ *```", text, flags=re.M | re.S)]
    return [(name, block) for name, block in found if "set-resources" not in block]


def cards() -> list[tuple[str, str]]:
    """Those of them that are cards of encoders."""
    return [(name, block) for name, block in blocks() if re.search("^format: ", block, flags=re.M)]


@pytest.mark.parametrize(("name", "block"), [one for one in blocks() if one not in cards()])
def test_the_configurations_of_the_pages_are_valid(name: str, block: str) -> None:
    from neurovae.plan.config import load_schema, validate

    config = yaml.safe_load(block)
    config["cohort"] = {"name": "x", **config.get("cohort", {})}
    validate(config, load_schema())


@pytest.mark.parametrize("block", [block for _, block in cards()])
def test_the_cards_of_the_pages_are_valid_where_they_are_complete(block: str) -> None:
    from neurovae.plan.config import validate
    from neurovae.plan.encoder_cards import SCHEMA

    card = yaml.safe_load(block)
    assert "look it up" in block  # what was not found is not made up
    card["input"] = {"shape": [96] * 3, "voxel_mm": 2, "orientation": "RAS", **card.get("input", {})}
    card["input"] = {"space": "MNI", "intensity": {"rule": "zscore", "voxels": "brain"}, **card["input"]}
    card = {"sha256": "0" * 64, "output": {"size": 1}, "licence": "unknown", **card}
    validate(card, yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))


def test_the_page_of_encoders_explains_every_key_of_the_card() -> None:
    from neurovae.plan.encoder_cards import SCHEMA

    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    page = (ROOT / "docs/how-to/pretrained.md").read_text(encoding="utf-8").split("### What the encoder gets")[0]
    parts = {"input": schema["properties"]["input"], "output": schema["properties"]["output"]}
    names = [f"{part}.{key}" for part, one in parts.items() for key in one["properties"]]
    names += [f"input.intensity.{key}" for key in ("rule", "voxels")]
    names += [key for key in schema["properties"] if key not in parts]
    assert len(names) > 15 and [name for name in names if f"`{name}`" not in page and name != "input.intensity"] == []


@cache
def source_texts() -> str:
    """All texts of the source and the workflow, values in them as `...`, white space as one blank."""
    parts = [path.read_text(encoding="utf-8") for path in [*ROOT.glob("workflow/rules/*.smk"), ROOT / "Makefile"]]
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts.append("".join(str(one.value) if isinstance(one, ast.Constant) else "..." for one in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts.append(node.value)
    return re.sub(r"\s+", " ", " | ".join(parts))


FOREIGN = (  # said by Snakemake, SLURM, the shell or the operating system
    "command not found", "No module named", "ensurepip", "Directory cannot be locked", "No space left", "Read-only file",
    "MissingOutputException", "invalid choice", "invalid partition", "Invalid generic", "generic-resources", "srun: fatal",
    "Unable to guess", "exceeded memory", "OUT_OF_MEMORY",
)  # fmt: skip


def messages() -> list[str]:
    """The messages that pages list with a remedy: what stands in code in the first or second column of their tables."""
    found = []
    for name in ("troubleshooting", "recover", "slurm"):
        text = (ROOT / "docs" / "how-to" / f"{name}.md").read_text(encoding="utf-8")
        for row in re.findall(r"^\| (`.*)$", text, flags=re.M):
            found += re.findall(r"`([^`]+)`", row.split(" | ")[0])
    return [text for text in found if len(text.split()) > 2 and not any(word in text for word in FOREIGN)]


@pytest.mark.parametrize("message", messages())
def test_a_message_with_a_remedy_is_one_that_the_code_gives(message: str) -> None:
    """Three words in a row of it, or two where values stand between, are in the source."""
    words = message.split()
    runs = [[" ".join(words[k : k + size]) for k in range(len(words) - size + 1)] for size in (3, 2)]
    plain = [[text for text in run if not re.search(r"\d|'|\[", text)] for run in runs]
    valued = re.search(r"\d|'|\[", message) is not None
    assert any(text in source_texts() for text in plain[0] + plain[1] * valued), message


def test_references_of_the_report_become_entries_of_the_bibliography() -> None:
    report = json.loads(bibliography.SOURCE.read_text(encoding="utf-8"))
    for key, (short, text) in report.items():
        entry = bibliography.entry(key, text)
        surname, year = re.split(r" et al| & |,", short)[0], short[-4:]
        assert entry.startswith(f"@misc{{{key},") and f"{{{surname}}}, " in entry and f"year = {{{year}}}" in entry, (
            entry
        )
        doi = re.search(r"doi:(\S+?)\.?$", text)
        assert doi is None or f"doi = {{{doi[1]}}}" in entry
    assert bibliography.author("van de Geer SA") == "{van de Geer}, S. A."
    with pytest.raises(ValueError, match="reference x is not"):
        bibliography.entry("x", "Somebody, some day")


def test_a_reference_is_written_once_and_every_cited_one_is_there() -> None:
    written = re.findall(r"^@\w+{(\w+),", (ROOT / "docs" / "references.bib").read_text(encoding="utf-8"), re.M)
    written += json.loads(bibliography.SOURCE.read_text(encoding="utf-8"))
    assert sorted(written) == sorted(set(written))
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    cited = {key for keys in re.findall(r"{cite:[tp]}`([\w,]+)`", pages) for key in keys.split(",")}
    assert cited and cited <= set(written)


def test_only_the_page_on_validation_says_when_something_was_seen() -> None:
    dated = [
        str(path.relative_to(ROOT))
        for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        if "build" not in path.parts
        and re.search(r"\b20\d\d-\d\d-\d\d\b|\b[Ss]een on\b|not tried here", path.read_text(encoding="utf-8"))
    ]
    assert dated == ["docs/validation.md"]


def test_every_quality_measure_is_explained() -> None:
    """The page has a row for each measure; those of the affine share one."""
    import numpy as np

    from neurovae.preprocess import affine, columns

    page = (ROOT / "docs" / "reference" / "quality.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in page.splitlines() if line[:2] == "| ")))
    assert {*columns.QUALITY} - {*affine.columns(np.eye(4))} <= named and {"rotation_x", "head_size"} <= named
