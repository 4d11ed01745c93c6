"""Sphinx extension: pages of the reference are filled from schemas, rules, tables and source; gaps are warnings.

A page says where with `<!-- generated: configuration train -->`, `outputs` or `commands`; `make docs` makes warnings
errors.
"""

import re
from typing import Any

import generated
from sphinx.application import Sphinx
from sphinx.util import logging

PLACE = re.compile(r"<!-- generated: (\w+) ?(\w*) -->")


def fill(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the generated text into a page."""
    source[0] = PLACE.sub(lambda found: generated.text(found[1], found[2]), source[0])


def warn(app: Sphinx) -> None:
    """One warning per gap."""
    for line in generated.gaps():
        logging.getLogger(__name__).warning(line)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect both."""
    app.connect("builder-inited", warn)
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
