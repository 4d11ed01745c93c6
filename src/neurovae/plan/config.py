"""Check the configuration against the closed schemas and fill in defaults; every problem is named at once."""

import difflib
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from neurovae.errors import InputError

SCHEMAS = Path(__file__).parents[3] / "workflow" / "schemas"


def load_schema(folder: Path = SCHEMAS) -> dict[str, Any]:
    """One closed schema with a property per section, read from `<section>.schema.yaml`."""
    sections = {
        path.name.split(".")[0]: yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.schema.yaml"))
    }
    required = [name for name, schema in sections.items() if "default" not in schema]
    return {"type": "object", "additionalProperties": False, "properties": sections, "required": required}


class _Strict(yaml.SafeLoader):
    """A loader that notes keys given twice, of which YAML silently keeps the last."""


def _map(loader: _Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
    if repeated:
        raise InputError(
            f"{node.start_mark.name}, line {node.start_mark.line + 1}: {', '.join(repeated)} "
            "is given twice in one section; put its keys together"
        )
    return dict(loader.construct_pairs(node, deep=True))


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _map)


def refuse_repeats(paths: list[str]) -> None:
    """Raise InputError where a configuration file gives a key twice in one section."""
    for path in paths:
        with open(path, encoding="utf-8") as file:
            yaml.load(file, Loader=_Strict)  # noqa: S506 - a SafeLoader


def validate(config: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with text from `--config` typed and defaults filled in.

    Raises:
        InputError: unknown keys, impossible values, missing sections; each with its place and what is allowed.
    """
    typed = _coerce(deepcopy(config), schema)
    foreign = _foreign(typed, schema, [])
    if foreign:
        raise InputError(foreign)
    filled = _fill(typed, schema)
    errors = sorted(
        Draft202012Validator(schema).iter_errors(filled), key=lambda error: list(map(str, error.absolute_path))
    )
    if errors:
        raise InputError([line for error in errors for line in _explain(error)])
    return dict(_normalise(filled))


def _fill(value: Any, schema: dict[str, Any]) -> Any:
    """Defaults of absent keys, section by section, and inside the entries of lists."""
    if isinstance(value, dict):
        for key, child in schema.get("properties", {}).items():
            if key not in value and "default" in child and _suits(value, child):
                value[key] = deepcopy(child["default"])
            if key in value:
                value[key] = _fill(value[key], child)
    if isinstance(value, list) and "items" in schema:
        return [_fill(item, schema["items"]) for item in value]
    return value


def _suits(entry: dict[str, Any], child: dict[str, Any]) -> bool:
    """Some keys of an entry belong to certain kinds (`kinds` in the schema)."""
    return "kinds" not in child or entry.get("kind") in child["kinds"]


def _foreign(value: Any, schema: dict[str, Any], place: list[str]) -> list[str]:
    """Keys given to an entry whose kind has no use for them; silently dropped, they would seem to have worked."""
    if isinstance(value, list):
        found = [_foreign(item, schema.get("items", {}), [*place, str(i)]) for i, item in enumerate(value)]
        return [line for lines in found for line in lines]
    if not isinstance(value, dict):
        return []
    known = schema.get("properties", {})
    lines = [
        f"{'.'.join(place)}: a {value.get('kind')} has no {key!r} (it belongs to {', '.join(known[key]['kinds'])}); "
        "leave it out"
        for key in value
        if key in known and not _suits(value, known[key])
    ]
    return [*lines, *(line for key in value for line in _foreign(value[key], known.get(key, {}), [*place, key]))]


def _coerce(value: Any, schema: dict[str, Any]) -> Any:
    """Turn text into the type that the schema asks for: `--config` gives only text."""
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if isinstance(value, str) and types and "string" not in types:
        return _typed(value, types)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return {key: _coerce(child, properties.get(key, {})) for key, child in value.items()}
    if isinstance(value, list):
        return [_coerce(item, schema.get("items", {})) for item in value]
    return value


def _typed(text: str, types: list[str]) -> Any:
    """YAML takes `1e-3` for text; a number that is asked for is read as one."""
    if {"number", "integer"} & set(types):
        try:
            return float(text)
        except ValueError:
            pass
    return yaml.safe_load(text)


def _normalise(value: Any) -> Any:
    """4.0 and 4 are one value: whole floats become integers, so that neither reruns what the other made."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _normalise(child) for key, child in value.items()}
    return [_normalise(item) for item in value] if isinstance(value, list) else value


def _explain(error: ValidationError) -> list[str]:
    schema: dict[str, Any] = dict(error.schema)  # type: ignore[arg-type]
    place = ".".join(map(str, error.absolute_path)) or "the configuration"
    if error.validator == "additionalProperties":
        known = sorted(schema["properties"])
        unknown = sorted({*dict(error.instance)} - {*known})  # type: ignore[arg-type]
        return [f"{place}: unknown key {key!r}{_closest(key, known)}; known are {', '.join(known)}" for key in unknown]
    return [f"{place}: {error.message}; {schema.get('description', 'see docs/reference/configuration.md')}"]


def _closest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
