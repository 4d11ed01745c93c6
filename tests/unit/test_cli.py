"""Help: every command is listed and told of; the example of each rule is a command that its own parser accepts."""

import importlib
import re
import shlex
import subprocess
import sys

import pytest
from jsonargparse import auto_parser

from neurovae import __main__ as main
from neurovae import examples, manual
from neurovae.errors import InputError
from neurovae.io import progress

COMMANDS = sorted(main.commands())
EXAMPLES = examples.commands()


@pytest.mark.parametrize("module", sorted(EXAMPLES))
def test_the_parser_accepts_the_example(module):
    words = shlex.split(EXAMPLES[module][1].replace("\\\n", " "))
    arguments = words[words.index(module) + 1 :]
    parsed = auto_parser(importlib.import_module(module).run, as_positional=False).parse_args(arguments)
    assert any("results/demo/" in str(value) for value in vars(parsed).values())
    assert not re.search(r"\{[\w.:]+\}|\$\(", EXAMPLES[module][1]), "a field is left open"


def test_every_command_has_a_rule_and_its_example_but_those_run_by_hand():
    assert {f"neurovae.{name}" for name in COMMANDS} == {
        *EXAMPLES,
        *(f"neurovae.{name}" for name in ("export", "provenance", "verify")),
    }


@pytest.mark.parametrize("name", ["train.fit", "latents", "associate.permute", "export"])
def test_the_help_has_every_option_its_line_and_the_example(name):
    page = manual.page(importlib.import_module(f"neurovae.{main.BY_HAND.get(name, name)}").run)
    text, options = manual.told(importlib.import_module(f"neurovae.{main.BY_HAND.get(name, name)}").run)
    assert f"usage: python -m neurovae.{main.BY_HAND.get(name, name)}" in page and text.split("\n")[0] in page
    assert all(f"--{option}" in page for option in options) and options["out"].split()[0] in page
    assert "Example" in page and ("No rule" in page) == (name == "export")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_told_of(name):
    function = importlib.import_module(f"neurovae.{main.BY_HAND.get(name, name)}").run
    assert {*manual.told(function)[1], *manual.USUAL} >= set(function.__annotations__) - {"return"}


def test_the_overview_lists_all_and_a_stage_its_own(capsys):
    main.main([])
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS) and "snakemake --cores 2" in shown
    with pytest.raises(SystemExit) as end:
        main.main(["train", "--help"])
    assert end.value.code == 0 and "train.fit" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main.main(["trian.fit"])
    assert end.value.code == 2 and "did you mean train.fit" in capsys.readouterr().err


def test_a_command_runs_by_its_short_name_and_helps():
    done = subprocess.run(
        [sys.executable, "-m", "neurovae", "cohort.folds", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "Example (rule folds" in done.stdout and not done.stderr


def test_a_long_loop_says_rate_and_time_left_and_a_short_one_nothing(monkeypatch, capsys):
    assert list(progress.steps(range(3), "rows")) == [0, 1, 2] and not capsys.readouterr().out
    now = iter(range(0, 1000, 6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now)))
    assert list(progress.steps("abcde", "permutations", 1000)) == list("abcde")
    assert capsys.readouterr().out.splitlines() == [
        "permutations 200/1000, 16.7/s, 48 s left", "permutations 600/1000, 25/s, 16 s left"
    ]  # fmt: skip


def test_a_broken_workflow_leaves_the_help_without_example(monkeypatch):
    def broken() -> None:
        raise InputError("cohort: unknown key")

    monkeypatch.setattr(examples, "commands", broken)
    assert "gives no example: cohort: unknown key" in manual.ending("neurovae.train.fit")


@pytest.mark.parametrize(
    ("line", "record", "wanted"),
    [
        ("", False, "The file read last was latents.parquet"),
        ("", True, "The file read last was latents.parquet; a damaged result is made again once deleted"),
        ("open(latents).read(); raise MemoryError", True, ""),
        ("open(latents).read(); open('no/folder', 'w')", True, ""),
    ],
)
def test_an_error_of_a_library_names_the_file_that_was_read_last(line, record, wanted, tmp_path):
    (tmp_path / "latents.parquet").write_bytes(b"PAR1, cut short")
    (tmp_path / ".provenance").mkdir()
    if record:
        (tmp_path / ".provenance" / "latents.parquet.json").write_text("{}")
    script = [
        "from pathlib import Path",
        "import pandas as pd",
        "from neurovae.cli import cli",
        "def run(*, latents: Path) -> None:",
        f"    {line or 'pd.read_parquet(latents)'}",
        "cli(run)",
    ]
    (tmp_path / "job.py").write_text("\n".join(script))
    done = subprocess.run(
        [sys.executable, "job.py", "--latents", "latents.parquet"], cwd=tmp_path, capture_output=True, text=True
    )
    told, trace = done.stderr.split("Traceback", 1)
    assert done.returncode == 1 and ("ArrowInvalid" in trace) == (not line)
    assert told.strip() == wanted
