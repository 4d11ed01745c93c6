"""Files that `.bidsignore` at the top of a BIDS folder excludes; its patterns are those of .gitignore."""

import re
from collections.abc import Callable

from neurovae.io.text import decode


def reader(root: str) -> tuple[Callable[[str], bool], list[str]]:
    """A test of whether a path (relative to the folder, with slashes) is excluded, and the problems of the file."""
    text, problems = decode(f"{root}/.bidsignore", ".bidsignore")
    if problems and "not found" in problems[0]:
        problems = []
    lines = [line.rstrip() for line in text.split("\n")]
    rules = [
        (not line.startswith("!"), _regex(line.lstrip("!"))) for line in lines if line and not line.startswith("#")
    ]

    def ignored(path: str) -> bool:
        parts = path.split("/")
        for end in range(1, len(parts) + 1):  # an excluded folder excludes everything inside it
            place = "/".join(parts[:end]) + ("/" if end < len(parts) else "")
            verdicts = [leave for leave, rule in rules if rule.fullmatch(place)]
            if verdicts and verdicts[-1]:
                return True
        return False

    return ignored, problems


def _regex(pattern: str) -> re.Pattern[str]:
    """Translate a pattern: `**` any folders, `*` within a name, `?` one letter, `[ab]`; with a slash inside it starts
    at the top.
    """
    folder = pattern.endswith("/")
    body = pattern.rstrip("/")
    anchored = "/" in body
    body = body.removeprefix("/")
    tokens = re.findall(r"\*\*/|/\*\*$|\*\*|\*|\?|\[[^\]]+\]|\\.|.", body)
    fixed = {"**/": "(?:[^/]+/)*", "/**": "/.+", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = "".join(fixed.get(token) or _token(token) for token in tokens)
    return re.compile(("" if anchored else "(?:[^/]+/)*") + text + ("/" if folder else "/?"))


def _token(token: str) -> str:
    if token.startswith("[") and len(token) > 2:
        return token.replace("[!", "[^").replace("\\", "\\\\")
    return re.escape(token.removeprefix("\\") or token)
