"""Configuration as YAML and Snakemake allow it: merge keys, keys that YAML retypes, JSON, Unicode forms."""

from pathlib import Path

import pytest
import yaml

from neurovae.errors import InputError
from neurovae.plan import config


def read(folder: Path, text: str) -> dict:
    """Read a file as the Snakefile does."""
    (folder / "my.yaml").write_text(text)
    config.refuse_repeats([str(folder / "my.yaml")])
    return config.validate(yaml.safe_load(text), config.load_schema())


def test_merge_keys(tmp_path):
    """`<<` takes over a section; own keys win; a section that only holds anchors begins with x-."""
    models = "train:\n  models:\n    - {<<: *base, name: one}\n    - {<<: [*base], name: two, beta: 3}\n"
    found = read(tmp_path, "x-base: &base {kind: vae, beta: 2}\ncohort: {name: a}\n" + models)
    assert [(m["name"], m["beta"]) for m in found["train"]["models"]] == [
        ("one", 2),
        ("two", 3),
    ] and "x-base" not in found
    with pytest.raises(InputError, match=r"unknown key 'base'.* only holds anchors begins with x-"):
        read(tmp_path, "base: &base {kind: vae}\ncohort: {name: a}\n" + models)
    with pytest.raises(InputError, match="line 1: name is given twice"):
        read(tmp_path, "cohort: {name: a, name: b}\n")


@pytest.mark.parametrize(
    "key, read_as",
    [("no", "false"), ("on", "true"), ("1", "the number 1"), ("~", "nothing"), ("2020-01-01", "the date")],
)
def test_retyped_keys(tmp_path, key, read_as):
    """Named with line, what YAML made of it, and the remedy; without a file too."""
    with pytest.raises(InputError) as raised:
        read(tmp_path, f"cohort:\n  name: a\n  rename: {{{key}: sex}}\n")
    message = str(raised.value)
    assert (
        f"my.yaml, line 3: YAML reads the key {key} as {read_as}" in message and f'put it in quotes: "{key}"' in message
    )
    with pytest.raises(InputError, match="cohort.rename: a key was read as .*; put it in quotes"):
        config.validate(yaml.safe_load(f"cohort: {{name: a, rename: {{{key}: sex}}}}"), config.load_schema())
    assert read(tmp_path, f'cohort: {{name: a, rename: {{"{key}": sex}}}}')["cohort"]["rename"] == {key: "sex"}


@pytest.mark.parametrize(
    "text, where",
    [
        ("{name: 2024}", "cohort.name: 2024 is not of type 'string'"),
        ("{name: a, site: no}", "cohort.site: False is not of type"),
        ("{name: a, rename: {x: 1}}", "cohort.rename.x: 1 is not of type 'string'"),
        ("{name: a, not_missing: {site: [NO]}}", "cohort.not_missing.site.0: False is not of type"),
        ("{name: a, session: 2020-01-31}", "cohort.session: datetime.date(2020, 1, 31) is not of type"),
        ("{name: a, missing: [~]}", "cohort.missing.0: None is not of type"),
    ],
)
def test_retyped_values(tmp_path, text, where):
    """A value that YAML retyped is told to be put in quotes."""
    with pytest.raises(InputError) as raised:
        read(tmp_path, f"cohort: {text}\n")
    assert str(raised.value).startswith(where) and "put it in quotes" in str(raised.value)


def test_keys_in_the_text_of_the_command_line():
    """`--config 'cohort={name: a, rename: {no: x}}'` is parsed as YAML, too."""
    with pytest.raises(InputError, match="cohort.rename: a key was read as false"):
        config.validate({"cohort": "{name: a, rename: {no: x}}"}, config.load_schema())


def test_numbers_are_finite(tmp_path):
    """.nan passes every comparison of the schema."""
    for text in (".nan", ".inf"):
        with pytest.raises(InputError, match=r"train.models.0.beta: .* is not a finite number"):
            read(tmp_path, f"cohort: {{name: a}}\ntrain: {{models: [{{name: b, kind: vae, beta: {text}}}]}}\n")


def test_json_is_a_configuration_too(tmp_path):
    """Also indented by tabs, which YAML refuses; a key given twice is found."""
    (tmp_path / "my.json").write_text('{"cohort":\n\t{"name": "a"}}')
    config.refuse_repeats([str(tmp_path / "my.json")])
    (tmp_path / "my.json").write_text('{"cohort":\n\t{"name": "a", "name": "b"}}')
    with pytest.raises(InputError, match="name is given twice"):
        config.refuse_repeats([str(tmp_path / "my.json")])


def test_names_are_compared_in_one_form(tmp_path):
    """A column in NFD or with a zero-width blank in the configuration is the column of the table; paths stay."""
    text = 'cohort: {name: a, bids: "Jose\u0301", site: "Gro\u0308\u00dfe\u200b", rename: {"e\u0301": x}}'
    found = read(tmp_path, text)["cohort"]
    assert (found["bids"], found["site"], found["rename"]) == ("Jose\u0301", "Gr\u00f6\u00dfe", {"\u00e9": "x"})


@pytest.mark.parametrize(
    "text, value",
    [("bounds: [0, 030]", "030 as the number 24"), ("bounds: [0, 1:30]", "1:30 as the number 90"),
     ("positive: 010", "010 as the number 8")],
)  # fmt: skip
def test_numbers_to_base_8_and_60(tmp_path, text, value):
    """YAML 1.1 counts 030 to base 8 and 1:30 to base 60; neither is what people mean."""
    with pytest.raises(InputError, match=f"my.yaml, line 2: YAML reads {value}; write the number"):
        read(tmp_path, f"cohort: {{name: a, bids: b,\n scores: [{{name: m, type: bounded, {text}}}]}}")
    same = read(tmp_path, "cohort: {name: a, bids: b, session: '010', missing: [0, 01, -9, 0.5, 1.5e+3]}")["cohort"]
    assert same["session"] == "010" and same["missing"] == [0, 1, -9, 0.5, 1500]
