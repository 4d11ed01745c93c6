"""The same results every time: twice from scratch at two places, and after changes that are made and taken back.

`make reproduce`. The tiny chain runs with two cores and, at a longer path, with one. Then a copy goes through changes:
each is made and run, and taken back and run; what Snakemake reran, and what it left, must give the bytes of the run from
scratch. Records, logs and benchmarks hold times and are not compared. At last a Snakefile in another folder uses the
workflow as a module and goes to the end on the least that a configuration may ask for.
"""

import argparse
import copy
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lines import closed, said
from project import CONFIG, MODULE, Project, copy_code, jobs_of, moved, write_bids
from reruns import older

ENDINGS = (".parquet", ".tsv", ".json", ".safetensors", ".npy", ".nii.gz", ".png", ".html", ".txt")
ASIDE = {"logs", "benchmarks", ".provenance", ".state"}
PERSON = "sub-02"


def main() -> int:
    """Run all of it in a folder of its own; the exit status."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--keep", action="store_true", help="leave the folder of the runs")
    asked.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS), help="changes to try")
    given = asked.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="neurovae-reproduce-"))
    try:
        _all(folder, given.rows)
    except (AssertionError, subprocess.SubprocessError) as error:
        said(False, "the run stopped:", str(error)[-3000:], "no error", 1)
    finally:
        print(f"kept: {folder}") if given.keep else shutil.rmtree(folder, ignore_errors=True)
    return closed()


def _all(folder: Path, rows: list[str]) -> None:
    first, second = prepared(folder / "a"), prepared(folder / "another place" / "with a longer name")
    timed("from scratch, two cores", first, cores=2)
    fresh = contents(first)
    timed("from scratch, one core, another path", second, cores=1)
    compared("two places, two and one cores", fresh, contents(second))
    for row in rows:
        project = moved(first, folder / row.replace(" ", "-"))
        changed(row, project, fresh)
        shutil.rmtree(project.folder.parent)
    module(first, folder / "module")


def module(own: Project, folder: Path) -> None:
    """Twelve people, one score, no confound and a PCA alone, to the report, from somebody else's Snakefile."""
    before, study = contents(own), Project(folder / "study")
    study.folder.mkdir(parents=True)
    for person in sorted(own.bids.glob("sub-*"))[:12]:
        shutil.copytree(person, study.bids / person.name)
    shutil.copy(own.bids / "participants.tsv", study.bids)
    least = config()
    least["cohort"] |= {"scores": CONFIG["cohort"]["scores"][:1], "confounds": []}
    least["preprocess"]["batches"] = 1
    least["train"]["models"] = [{"name": "pca", "kind": "pca", "n_latent": 2, "flip": False}]
    study.write(least, "study.yaml")
    (study.folder / "Snakefile").write_text(MODULE.format(path=str(own.folder / "Snakefile")))
    done = study.snakemake("--cores", "2", "strongest", "all", config=None, fresh=True)
    assert done.returncode == 0, done.stdout[-6000:]
    again = study.plan("strongest", "all", config=None)
    said(not again, "as a module, to the end: jobs that a second run would do:", len(again), "0", 1)
    size = (study.results / "report" / "report.html").stat().st_size
    said(size > 100_000, "as a module: bytes of the report:", size, "> 100000", 1)
    rows = len((study.folder / "strongest.tsv").read_text().splitlines())
    said(rows == 2, "as a module: lines that the study's own rule took:", rows, "2", 1)
    said(contents(own) == before, "as a module: results of the workflow's own folder:", "unchanged", "unchanged", 1)


def prepared(folder: Path) -> Project:
    """The code and the tiny cohort with one VAE and its baseline."""
    project = Project(folder / "code")
    project.folder.mkdir(parents=True)
    copy_code(project.folder)
    write_bids(project.bids)
    project.write(config())
    return project


def config() -> dict[str, Any]:
    """The tests' configuration with one model, and little drawn."""
    small = copy.deepcopy(CONFIG)
    small["train"]["models"] = small["train"]["models"][:1]
    small["associate"] = {"permutations": 199}
    small["predict"] = {"bootstraps": 100, "permutations": 19, "importance": 1}
    return small


def timed(what: str, project: Project, cores: int = 2) -> int:
    """Run the chain; how many jobs it ran."""
    start = time.monotonic()
    jobs = len(jobs_of(project.run(cores=cores)))
    print(f"{what}: {jobs} jobs, {time.monotonic() - start:.0f} s", flush=True)
    return jobs


def contents(project: Project) -> dict[str, bytes]:
    """The bytes of every result, by path."""
    found = (path for path in project.results.rglob("*") if not ASIDE & set(path.parts) and path.is_file())
    return {str(path.relative_to(project.results)): path.read_bytes() for path in found if path.name.endswith(ENDINGS)}


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Files that are in one only, or differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def compared(what: str, fresh: dict[str, bytes], found: dict[str, bytes]) -> None:
    """Say whether all files are the same, how many of each kind, and which are not."""
    others = differing(fresh, found)
    kinds = Counter(next(end for end in ENDINGS if name.endswith(end)) for name in fresh)
    print("  " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()), flush=True)
    said(not others, f"{what}: files that differ:", ", ".join(others[:20]) or 0, "0", len(fresh))
    said(len(kinds) == len(ENDINGS), f"{what}: kinds of files compared:", len(kinds), str(len(ENDINGS)), len(fresh))


def changed(row: str, project: Project, fresh: dict[str, bytes]) -> None:
    """Make a change and run, take it back and run: the first must change results, the second must end as from scratch."""
    make, undo = ROWS[row]
    kept = {path: path.read_bytes() for path in (project.folder / "my.yaml", project.bids / "participants.tsv")}
    make(project)
    timed(f"{row}, made", project)
    others = differing(fresh, contents(project))
    said(bool(others), f"{row}, made: files that it changed:", len(others), "> 0", len(fresh))
    for path, data in kept.items():
        path.write_bytes(data)
    undo(project)
    jobs = timed(f"{row}, taken back", project)
    compared(f"{row}, taken back ({jobs} jobs)", fresh, contents(project))


def permutations(project: Project) -> None:
    """More permutations of associations."""
    project.write({**config(), "associate": {"permutations": 299}})


def normalisation(project: Project) -> None:
    """Another normalisation of intensities."""
    other = config()
    other["preprocess"]["normalise"] = {"method": "percentile"}
    project.write(other)


def leave(project: Project) -> None:
    """A person less: scan and row. Taken back, they are a new person."""
    shutil.move(project.bids / PERSON, project.folder.parent / "kept")
    table = project.bids / "participants.tsv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if not line.startswith(f"{PERSON}\t")))


def come(project: Project) -> None:
    """The person's scan again."""
    shutil.move(project.folder.parent / "kept", project.bids / PERSON)


def nothing(project: Project) -> None:
    """The configuration and the table are all there is to take back."""


ROWS: dict[str, tuple[Callable[[Project], None], Callable[[Project], None]]] = {
    "one age": (older, nothing),
    "permutations": (permutations, nothing),
    "a new person": (leave, come),
    "normalisation": (normalisation, nothing),
}


if __name__ == "__main__":
    sys.exit(main())
