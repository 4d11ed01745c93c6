"""Check the configuration against the closed schemas and fill in defaults; all problems are listed at once."""

import difflib
import io
import json
import math
import re
from copy import deepcopy
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from neurovae.errors import InputError
from neurovae.io.text import clean
from neurovae.plan import presets

PATHS = ("bids", "table")  # names of files stay as they are
SORTS = ("kind", "type")  # keys that decide which other keys an entry has
SCHEMAS = Path(__file__).parents[3] / "workflow" / "schemas"
_FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with its C library


def load_schema(folder: Path = SCHEMAS) -> dict[str, Any]:
    """Read one closed schema with a property per section from `<section>.schema.yaml`."""
    paths = sorted(folder.glob("*.schema.yaml"))
    sections = {path.name.split(".")[0]: yaml.load(path.read_text(), Loader=_FAST) for path in paths}
    required = [name for name, schema in sections.items() if "default" not in schema]
    return {"type": "object", "additionalProperties": False, "properties": sections, "required": required}


class _Strict(yaml.SafeLoader):
    """A loader that refuses keys given twice (YAML keeps the last) and keys that YAML takes for something else."""


def _map(loader: _Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    """Read a section with its merge keys (`<<: *base`); its own keys override merged ones."""
    own_keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    names = [loader.construct_object(key) for key in own_keys]
    repeated = sorted({str(name) for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"{node.start_mark.name}, line {node.start_mark.line + 1}: {', '.join(repeated)} "
            "is given twice in one section; put its keys together"
        )
    for key, name in zip(own_keys, names, strict=True):
        if not isinstance(name, str):
            raise InputError(
                f"{key.start_mark.name}, line {key.start_mark.line + 1}: YAML reads the key {key.value} as "
                f'{_read_as(name)}; put it in quotes: "{key.value}"'
            )
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


def _number(loader: _Strict, node: yaml.ScalarNode) -> Any:
    """Read a number, but not one that YAML counts to base 8 or 60: 030 would be 24, and 1:30 90."""
    make = loader.construct_yaml_int if node.tag.endswith("int") else loader.construct_yaml_float
    value = make(node)
    if (":" in node.value or re.fullmatch(r"[+-]?0[0-9_]+", node.value)) and value != _decimal(node.value):
        raise InputError(
            f"{node.start_mark.name}, line {node.start_mark.line + 1}: YAML reads {node.value} as the number {value}; "
            f'write the number that you mean, or put it in quotes if it is text: "{node.value}"'
        )
    return value


def _decimal(text: str) -> float | None:
    return None if ":" in text else float(text)


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _map)
_Strict.add_constructor("tag:yaml.org,2002:int", _number)
_Strict.add_constructor("tag:yaml.org,2002:float", _number)


def _read_as(value: Any) -> str:
    """Say in words how YAML has read a word."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"{str(value).lower()} (a yes or no)"
    return f"the {'number' if isinstance(value, int | float) else 'date'} {value}"


def refuse_repeats(paths: list[str]) -> None:
    """Raise InputError where a configuration file gives a key twice in one section, or one that is not read as text."""
    for path in paths:
        text = Path(path).read_text(encoding="utf-8")
        try:
            json.loads(text, object_pairs_hook=partial(_unique, path))  # Snakemake reads JSON, too
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            stream = io.StringIO(text)
            stream.name = path
            yaml.load(stream, Loader=_Strict)  # noqa: S506 - a SafeLoader


def _unique(path: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: {', '.join(repeated)} is given twice in one section; put its keys together")
    return dict(pairs)


def validate(
    config: dict[str, Any],
    schema: dict[str, Any],
    given: dict[str, Any] | None = None,
    whole: str = "the configuration",
) -> dict[str, Any]:
    """Return the configuration with text from `--config` typed and defaults filled in.

    Keys at the top that begin with `x-` hold anchors for merge keys and are left out.

    Args:
        config: with the defaults of config/config.yaml, where a workflow has read that file.
        schema: from `load_schema`.
        given: what the user gives of it, which takes precedence over a preset (`cohort.preset`); None: all of it.
        whole: what messages call it.

    Raises:
        InputError: unknown keys, impossible values, missing sections; each with its place and what is allowed.
    """
    without_anchors = {key: value for key, value in config.items() if not str(key).startswith("x-")}
    typed = _coerce(deepcopy(without_anchors), schema)
    retyped = _retyped(typed, [], whole)
    if retyped:
        raise InputError(retyped)
    of_user = typed if given is None else _coerce(deepcopy(given), schema)
    typed = presets.complete(_one_form(typed), _one_form(of_user))
    foreign = _foreign(typed, schema, [])
    if foreign:
        raise InputError(foreign)
    complete = _fill(typed, schema)
    errors = sorted(
        Draft202012Validator(schema).iter_errors(complete), key=lambda error: list(map(str, error.absolute_path))
    )
    if errors:
        raise InputError([line for error in errors for line in _explain(error, whole)])
    return dict(_normalise(complete))


def _retyped(value: Any, place: list[str], whole: str = "the configuration") -> list[str]:
    """List keys that are not text (YAML reads a bare no, 1 or 2020-01-01 as something else) and infinite numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{'.'.join(place)}: {value} is not a finite number; give a number"]
    if isinstance(value, list):
        return [line for number, child in enumerate(value) for line in _retyped(child, [*place, str(number)])]
    if not isinstance(value, dict):
        return []
    section = ".".join(place) or whole
    lines = [
        f"{section}: a key was read as {_read_as(key)}; put it in quotes" for key in value if not isinstance(key, str)
    ]
    return lines + [line for key, child in value.items() for line in _retyped(child, [*place, str(key)])]


def _one_form(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the cohort section's names as tables are read (Unicode NFC, no zero-width blanks)."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {clean(key): cleaned(child) for key, child in value.items()}
        if isinstance(value, list):
            return [cleaned(child) for child in value]
        return clean(value) if isinstance(value, str) else value

    cohort = config.get("cohort")
    if not isinstance(cohort, dict):
        return config
    paths = {key: cohort[key] for key in PATHS if key in cohort}
    return {**config, "cohort": {**cleaned(cohort), **paths}}


def _fill(value: Any, schema: dict[str, Any]) -> Any:
    """Fill in defaults of absent keys, section by section, and inside the entries of lists."""
    if isinstance(value, dict):
        for key, child in schema.get("properties", {}).items():
            if key not in value and "default" in child and _suits(value, child):
                value[key] = deepcopy(default_of(child, value))
            if key in value:
                value[key] = _fill(value[key], child)
    if isinstance(value, list) and "items" in schema:
        return [_fill(item, schema["items"]) for item in value]
    return value


def default_of(child: dict[str, Any], entry: dict[str, Any]) -> Any:
    """The default of a key, which may depend on the entry's kind (`kind_defaults`), network or form of latents."""
    default = child["default"]
    for key in ("kind", "network", "latents"):
        default = child.get(f"{key}_defaults", {}).get(entry.get(key), default)
    return default


def _suits(entry: dict[str, Any], child: dict[str, Any]) -> bool:
    """Whether a key of an entry is one of its kind (`kinds` in the schema), type (`types`) and network."""
    suits = all(entry.get(key) in child[f"{key}s"] for key in SORTS if f"{key}s" in child)
    return suits and entry.get("network") in _networks(entry, child, entry.get("network"))


def _networks(entry: dict[str, Any], child: dict[str, Any], found: Any) -> list[Any]:
    """The networks of an entry's kind that have a key (`of_network`); where all have it, the one that was found."""
    networks: list[Any] = child.get("of_network", {}).get(entry.get("kind"), [found])
    return networks


def _foreign(value: Any, schema: dict[str, Any], place: list[str]) -> list[str]:
    """List keys of an entry that its kind or type does not use; dropped silently, they would seem to have an effect."""
    if isinstance(value, list):
        lines_by_item = [_foreign(item, schema.get("items", {}), [*place, str(i)]) for i, item in enumerate(value)]
        return [line for lines in lines_by_item for line in lines]
    if not isinstance(value, dict):
        return []
    properties = schema.get("properties", {})
    lines = [
        f"{'.'.join(place)}: a {value.get(sort)} has no {key!r} "
        f"(it belongs to {', '.join(properties[key][f'{sort}s'])}); leave it out"
        for key in value
        for sort in SORTS
        if f"{sort}s" in properties.get(key, {}) and value.get(sort) not in properties[key][f"{sort}s"]
    ]
    lines += _of_other_networks(value, properties, ".".join(place))
    return [*lines, *(line for key in value for line in _foreign(value[key], properties.get(key, {}), [*place, key]))]


def _of_other_networks(entry: dict[str, Any], properties: dict[str, Any], place: str) -> list[str]:
    """List a value that the entry's kind does not have (`kind_enums`), and keys that its network does not use."""
    lines = [
        f"{place}: {key} of {entry['kind']} is {value!r}; give {' or '.join(allowed)}"
        for key, value in entry.items()
        for allowed in [properties.get(key, {}).get("kind_enums", {}).get(entry.get("kind"), [value])]
        if value not in allowed
    ]
    network = entry.get("network") or (default_of(properties["network"], entry) if "network" in properties else None)
    return lines + [
        f"{place}: {entry['kind']} with network {network} has no {key!r} (it belongs to network "
        f"{', '.join(_networks(entry, properties[key], network))}); leave it out"
        for key in entry
        if network not in _networks(entry, properties.get(key, {}), network)
    ]


def _coerce(value: Any, schema: dict[str, Any]) -> Any:
    """Convert text to the type that the schema asks for: `--config` gives only text. YAML reads a bare yes as true."""
    if isinstance(value, bool) and {"yes", "no"} <= set(schema.get("enum", [])):
        return "yes" if value else "no"
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
    """Convert text to a number where the schema asks for one: YAML reads `1e-3` as text."""
    if {"number", "integer"} & set(types):
        try:
            return float(text)
        except ValueError:
            pass
    return yaml.safe_load(text)


def _normalise(value: Any) -> Any:
    """Convert whole floats to integers: 4.0 and 4 are the same value, and a change between them reruns nothing."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _normalise(child) for key, child in value.items()}
    return [_normalise(item) for item in value] if isinstance(value, list) else value


def _explain(error: ValidationError, whole: str) -> list[str]:
    schema: dict[str, Any] = dict(error.schema)  # type: ignore[arg-type]
    place = ".".join(map(str, error.absolute_path)) or whole
    if error.validator == "additionalProperties":
        allowed = sorted(schema["properties"])
        extra = sorted({*dict(error.instance)} - {*allowed})  # type: ignore[arg-type]
        anchor = " (a section that only holds anchors begins with x-)" if place == "the configuration" else ""
        return [
            f"{place}: unknown key {key!r}{_closest(key, allowed)}; known are {', '.join(allowed)}{anchor}"
            for key in extra
        ]
    not_text = isinstance(error.instance, bool | int | float | date) or error.instance is None
    if error.validator == "type" and not_text and "string" in str(error.validator_value):
        hint = f" (YAML read the value as {_read_as(error.instance)}: put it in quotes)"
        return [f"{place}: {error.message}{hint}; {schema.get('description', 'see docs/reference/configuration.md')}"]
    return [f"{place}: {error.message}; {schema.get('description', 'see docs/reference/configuration.md')}"]


def _closest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
