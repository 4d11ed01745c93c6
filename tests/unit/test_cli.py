"""Help: every command is listed and documented, with an example that its parser or Snakemake accepts."""

import importlib
import shlex
import subprocess
import sys
from collections.abc import Callable

import pytest
from jsonargparse import ArgumentParser, auto_parser

from neurovae import __main__ as main
from neurovae.cli import parser_options
from neurovae.io import progress
from neurovae.provenance import trace

COMMANDS = sorted(main.commands())


def command(name: str) -> Callable[..., None]:
    return importlib.import_module(f"neurovae.{main.BY_HAND.get(name, name)}").run


def parser(name: str) -> ArgumentParser:
    return auto_parser(command(name), **parser_options(command(name)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_runs_it_and_a_line_for_each_option(name: str) -> None:
    made, rules = parser(name), trace.rules()
    lines = made.description.split("Example:\n")[1].strip().split("\n")
    words = shlex.split(lines[0])
    assert len(lines) == 1
    if name in main.BY_HAND:
        assert words[:4] == ["python", "-m", "neurovae", name]
        made.parse_args(words[4:] if words[4].startswith("-") else [f"--{FIRST[name]}", *words[4:]])
    else:
        assert words[:2] == ["snakemake", "--cores"] and words[-2:] == ["--forcerun", rules[name]]
    options = {action.dest: action.help for action in made._actions}
    undocumented = [key for key in command(name).__annotations__ if key != "return" and not options[key]]
    assert undocumented == []


FIRST = {"provenance": "file", "verify": "cohort"}  # the option that a first word without dashes is the value of


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
    assert (
        done.returncode == 0
        and "--forcerun folds" in done.stdout
        and "usage: python -m neurovae cohort.folds" in done.stdout
        and not done.stderr
    )


def test_a_long_loop_says_rate_and_time_left_and_a_short_one_nothing(monkeypatch, capsys):
    assert list(progress.steps(range(3), "rows")) == [0, 1, 2] and not capsys.readouterr().out
    now = iter(range(0, 1000, 6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now)))
    assert list(progress.steps("abcde", "permutations", 1000)) == list("abcde")
    assert capsys.readouterr().out.splitlines() == [
        "permutations 200/1000, 16.7/s, 48 s left", "permutations 600/1000, 25/s, 16 s left"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "record", "wanted"),
    [
        ("", False, "The file read last was latents.parquet"),
        ("", True, "The file read last was latents.parquet; if this result is damaged, delete it and run again"),
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
