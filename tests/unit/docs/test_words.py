"""What a user reads is in the field's words: a short list of words and phrases that must not come back.

README, pages, captions, schemas and configuration are read whole. Of the source, all texts are read: docstrings, messages
and captions, not names.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOT = {  # pattern -> what to write
    r"\btold from\b|\bis told\b|\bare told\b|\bhow well .* told\b": "predicted from",
    r"\btells? less than nothing\b": "negative: worse than predicting the mean",
    r"\bgoes? with\b|\bgoing with\b|\bgoes? along with\b": "is associated with, or: explains n % of the variance of",
    r"\bhardly meant\b": "valid, but probably not intended",
    r"\bspeaks? against\b": "its caveats",
    r"\bidentification rate\b|\bidentified rate\b": "identification accuracy",
    r"\boverrul\w*\b(?!\.)": "keep_collapsed, keep or exclude by hand",
    r"\bbuckets?\b": "batch of scans",
    r"\bbends?\b|\bbent\b": "nonlinearity, nonlinear, curved",
    r"\bshare of variance\b|\bvariance share\b|\bheld-out share\b|\bshare told\b": "variance explained",
    r"\bguards?\b": "leakage check",
    r"\bcop(y|ies) of scans?\b|\bscans? (that are|which are) alike\b|\bwrite ids alike\b": "duplicates, similar scans; use the same IDs",
    r"\bset the weights\b|\bends? the training\b|\bended the training\b|\bstopping people\b|\bstop people\b|\bweights people\b": "training, validation participants",
    r"\bnobody\b(?= left in (weights|stop))": "training, validation",
    r"\bin percent of the loss as it is\b": "% increase in loss",
    r"\bwhat it concerns of\b": "the affected outputs of",
    r"\bown memory\b": "private (not file-backed) memory",
    r"\brecipes?\b": "hyperparameters",
    r"\bweaker? evidence\b": "what it is: effect of single latents, joint test not significant",
    r"\bdecoding weights?\b": "weights of a predictive (backward) model",
    r"\bupper 99 % bound\b": "99th percentile of the chance distribution",
    r"\bdivisions? of the participants\b": "split",
    r"\bno interval of\b": "not a confidence interval for",
    r"\b(rules|science|house|platform|contract)\.md\b": "cite the paper: the page is not shipped",
    r"\bmarks\b(?! (of|the|it|them|where|which|each|as|with)\b)": "caveats",
}
ALLOWED = {"CONTRIBUTING.md": {r"\brecipes?\b"}}  # recipes are what it has


def pages() -> list[Path]:
    """What is read whole."""
    names = ["README.md", "CONTRIBUTING.md", "config/README.md", "results/README.md", "Makefile", "CITATION.cff"]
    patterns = [
        "docs/**/*.md",
        "docs/reference/*.yaml",
        "workflow/report/*.rst",
        "workflow/schemas/*.yaml",
        "config/*.yaml",
    ]
    listed = [ROOT / name for name in names] + [path for pattern in patterns for path in ROOT.glob(pattern)]
    return [path for path in listed if path.is_file() and "build" not in path.parts]


def texts(path: Path) -> Iterator[str]:
    """The texts of a module that hold more than one word."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.value


def found(name: str, text: str) -> list[str]:
    """Phrases of the list in a text, as `file: phrase; write ...`."""
    plain = re.sub(r"\s+", " ", text)
    allowed = ALLOWED.get(name, set())
    return [
        f"{name}: '{match[0]}' in '...{plain[max(0, match.start() - 40) : match.end() + 40]}...'; write: {instead}"
        for pattern, instead in NOT.items()
        if pattern not in allowed
        for match in re.finditer(pattern, plain, flags=re.I)
    ]


def names() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in [*pages(), *(ROOT / "src").rglob("*.py")])


def words(name: str) -> list[str]:
    path = ROOT / name
    parts = texts(path) if path.suffix == ".py" else [path.read_text(encoding="utf-8")]
    return [line for text in parts for line in found(name, text)]


@pytest.mark.parametrize("name", names())
def test_the_words_do_not_come_back(name: str) -> None:
    assert words(name) == []


def test_the_list_sees_what_it_should() -> None:
    for text in ("the score goes with noise", "Which latents a score is told from", "an own memory", "16 buckets"):
        assert found("x", text), text
    assert not found("x", "The score is associated with noise. A batch of scans.")
