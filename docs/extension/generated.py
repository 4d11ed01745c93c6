"""The generated parts of the reference's pages, and what is missing in them; needs no Sphinx, so that tests can ask."""

from typing import Any

import commands
import configuration
import outputs

from neurovae.plan.config import load_schema


def gaps() -> list[str]:
    """Configuration keys, files and columns without an entry, and entries without a key, file or column."""
    return configuration.undescribed(load_schema()["properties"]) + outputs.problems(*tables(), outputs.from_rules())


def tables() -> tuple[dict[str, Any], dict[str, Any], dict[str, list[str]]]:
    """The entries of files and of columns, and the columns that finished runs hold."""
    return outputs.read("outputs.yaml"), outputs.read("columns.yaml"), outputs.read("written.yaml")


def text(what: str, which: str) -> str:
    """The text that stands in place of `<!-- generated: what which -->`."""
    if what == "configuration":
        return configuration.section(which, load_schema()["properties"][which])
    return outputs.page(*tables()) if what == "outputs" else commands.page()
