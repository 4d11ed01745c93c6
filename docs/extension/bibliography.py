"""The references of the report as BibTeX: each is written once, in the assets of neurovae.report."""

import json
import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "neurovae" / "report" / "assets" / "references.json"
TEXT = re.compile(
    r"^(?P<authors>.+?) \((?P<year>\d{4})\)\. (?P<title>.+?)[.?]"
    r"(?: (?P<where>(?!doi:).+?))?\.?(?: doi:(?P<doi>\S+?)\.?)?$"
)


def entry(key: str, text: str) -> str:
    """One reference, written as the report prints it, as an entry of BibTeX.

    Raises:
        ValueError: the text is not "Authors (year). Title. Journal 1:2-3. doi:..."; the key is named.
    """
    found = TEXT.match(text)
    if not found:
        raise ValueError(f"reference {key} is not 'Authors (year). Title. Where. doi:...': {text}")
    fields = {
        "author": " and ".join(map(author, found["authors"].split(", "))),
        "title": f"{{{found['title']}}}",
        "year": found["year"],
        "howpublished": f"{{{found['where']}}}" if found["where"] else "",
        "doi": found["doi"] or "",
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def author(name: str) -> str:
    """A surname with initials after it, as BibTeX has it: "van de Geer SA" is "van de Geer, S. A."."""
    if name == "et al.":
        return "others"
    surname, initials = name.rsplit(" ", 1)
    return f"{{{surname}}}, " + " ".join(f"{letter}." for letter in re.findall(r"[A-Z]", initials))


def write(path: Path) -> None:
    """Write all references of the report."""
    references = json.loads(SOURCE.read_text(encoding="utf-8"))
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(entry(key, text) for key, (_, text) in references.items()) + "\n", encoding="utf-8")
