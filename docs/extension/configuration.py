"""The reference of the configuration, from the schemas: each key with its type, default and description."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "array": "list",
    "object": "map",
    "null": "`null`",
}


class Key(NamedTuple):
    """One key of the configuration."""

    name: str  # dotted, without the numbers of list entries
    spec: dict[str, Any]
    required: bool


def keys(schema: dict[str, Any], place: str = "") -> Iterator[Key]:
    """Every key of a schema below this place, sections before what they hold."""
    for name, spec in schema.get("properties", {}).items():
        yield Key(f"{place}{name}", spec, name in schema.get("required", []))
        yield from keys(spec.get("items", spec), f"{place}{name}.")


def section(name: str, schema: dict[str, Any]) -> str:
    """The reference of one section as MyST."""
    return "\n".join([f"{sentence(schema['description'])}\n", *map(entry, keys(schema, f"{name}."))])


def entry(key: Key) -> str:
    """One key as a `confval`, to which pages refer by {confval}`name`."""
    lines = [f"::::{{confval}} {key.name}", f":type: {allowed(key.spec)}"]
    if key.required:
        lines.append(":default: none, required")
    elif "default" in key.spec and not nested(key.spec):
        lines.append(f":default: `{shown(key.spec['default'])}`")
    kinds = f" Model kinds: {', '.join(key.spec['kinds'])}." if "kinds" in key.spec else ""
    networks = "; ".join(f"{kind}: {', '.join(of)}" for kind, of in key.spec.get("of_network", {}).items())
    kinds += f" Networks of {networks}." if networks else ""
    kinds += f" Types: {', '.join(key.spec['types'])}." if "types" in key.spec else ""
    return "\n".join([*lines, "", sentence(key.spec.get("description", "")) + kinds, "::::", ""])


def shown(value: Any) -> str:
    """A default as it is written in YAML."""
    return value if isinstance(value, str) else json.dumps(value)


def nested(spec: dict[str, Any]) -> bool:
    """Is the key a section whose defaults are those of the keys below it?"""
    return spec.get("default") == {} and "properties" in spec


def sentence(text: str) -> str:
    """The text with a capital and a full stop, as a schema's description may lack them."""
    text = text.strip()
    start = (
        text if text[:1] in "`[" or text.split(":")[0].islower() and ":" in text[:20] else text[:1].upper() + text[1:]
    )
    return start if start.endswith((".", ")", "`", "?")) else f"{start}."


def allowed(spec: dict[str, Any]) -> str:
    """What a value may be, in words."""
    if "enum" in spec:
        return ", ".join("`null`" if value is None else f"`{value}`" for value in spec["enum"])
    types = [spec["type"]] if isinstance(spec.get("type"), str) else list(spec.get("type", ["object"]))
    named = " or ".join(TYPES[name] for name in types)
    within = spec.get("items", {}).get("type")
    if within in ("integer", "number"):
        named += f" of {TYPES[within]}s"
    return ", ".join([named, *limits(spec)])


def limits(spec: dict[str, Any]) -> list[str]:
    """The bounds of a number or of a list's length."""
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{word} {spec[name]}" for name, word in words.items() if name in spec]
    if spec.get("minItems") and spec.get("minItems") == spec.get("maxItems"):
        return [*found, f"exactly {spec['minItems']} entries"]
    return [*found, *([f"at least {spec['minItems']} entry"] if spec.get("minItems") == 1 else [])]


def undescribed(schemas: dict[str, dict[str, Any]]) -> list[str]:
    """Keys without a description, of which the reference would say nothing."""
    sections = [name for name, schema in schemas.items() if not schema.get("description")]
    every = (key for name, schema in schemas.items() for key in keys(schema, f"{name}."))
    return [
        f"{name}: no description in workflow/schemas"
        for name in [*sections, *(key.name for key in every if not key.spec.get("description"))]
    ]
