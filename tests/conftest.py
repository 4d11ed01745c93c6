"""A tiny cohort with a planted effect, and a finished run of the whole chain on it, made once per session."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from project import CONFIG, Copy, Project, copy_code, moved, write_bids

os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"  # as in every rule: ANTs is deterministic with one thread only


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the finished run as `chain` (`make chain-test`), and put the longest files first.

    So no process of pytest-xdist ends alone with a long file. One process makes the finished run, for minutes; what
    needs none is done meanwhile by the other.
    """
    for item in items:
        if "finished" in getattr(item, "fixturenames", ()):
            item.add_marker("chain")

    def turn(item: pytest.Item) -> int:
        if item.path.name == "test_end_to_end.py":
            return 0
        if item.get_closest_marker("chain"):
            return 2
        return 1 if {"workflow", "proof", "associate"} & set(item.path.parts) else 3

    items.sort(key=turn)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Code, configuration and cohort before anything has run; not to be changed."""
    project = Project(tmp_path_factory.mktemp("prepared") / "code")
    copy_code(project.folder)
    write_bids(project.bids)
    project.write(CONFIG)
    return project


@pytest.fixture(scope="session")
def finished(prepared: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run of the whole chain with two cores, one for all processes of pytest-xdist; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            moved(prepared, folder).run()
            (folder / "done").touch()
    return Project(folder / prepared.folder.name)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Copy]:
    """Give a project's copy at another path, that a test may change."""
    yield lambda project: moved(project, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
