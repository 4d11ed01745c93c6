"""What Snakemake's plan costs on many scans, which jobs it lists, how long their commands are, and what a change reruns."""

import gzip
import re
from pathlib import Path

import nibabel as nib
import numpy as np
from lines import said
from project import Project, copy_code, jobs_of
from scale_measure import config, person, plant, snakemake

RULES = ("extract", "register", "normalise")  # a job per batch
SCANS = 50  # a batch
MOST = 131_072  # bytes that Linux takes as one argument
PREFIX = 1000  # bytes that shell.prefix puts before each command, rounded up
COMMAND = re.compile(r"^Shell command: (.*python -m neurovae\.(\S+).*)$", flags=re.M)
DEEP = "/".join(["..", *["a-long-name-of-a-folder-such-as-some-clusters-have"] * 7])


def project(folder: Path, people: int, batches: int, bids: str = "../bids") -> Project:
    """The code, and people with an empty scan each."""
    made = Project(folder / "code")
    made.folder.mkdir(parents=True)
    copy_code(made.folder)
    plant(made.folder / bids, range(people))
    made.write(config("many", bids, batches))
    return made


def planned(folder: Path, people: int, seconds: float) -> Project:
    """CPU and memory of `snakemake -n`, the jobs it lists, the longest command."""
    batches = people // SCANS
    made = project(folder, people, batches)
    cost, text = snakemake(made, "-n")
    said(cost.cpu <= seconds, f"snakemake -n, {people:,} scans:", f"{cost.cpu:.1f} s CPU", f"<= {seconds:g} s", people)
    said(cost.whole < 1000, f"snakemake -n, {people:,} scans:", f"{cost.whole:.0f} MB", "< 1000 MB", people)
    jobs = jobs_of(text)
    counts = {rule: sum(job.split()[0] == rule for job in jobs) for rule in RULES}
    table = re.search(r"^total +(\d+)$", text, flags=re.M)
    total = int(table[1]) - 1 if table else 0  # without `all`
    every = set(counts.values()) == {batches} and total == len(jobs)
    found = f"{len(jobs)}; " + ", ".join(f"{rule} {count}" for rule, count in counts.items())
    said(every, "jobs listed:", found, f"{total}; {batches} of each", total)
    sizes = {rule: len(command.encode()) for command, rule in COMMAND.findall(snakemake(made, "-n", "-p")[1])}
    rule, size = max(sizes.items(), key=lambda pair: pair[1])
    said(size + PREFIX < MOST, f"longest command, {people:,} scans:", f"{size:,} bytes, {rule}", f"< {MOST:,}", total)
    return made


def long_command(folder: Path, people: int = 390) -> None:
    """One batch whose paths are more than one argument may hold: Snakemake writes such a command to a script."""
    bids = f"{DEEP}/bids"
    made = project(folder, people, 1, bids)
    made.write({**config("many", bids, 1), "preprocess": {"batches": 1, "extract": {"method": "none"}}})
    data = np.zeros((16, 16, 16), np.int16)
    data[4:12, 4:12, 4:12] = 1000
    image = nib.Nifti1Image(data, np.diag([8.0, 8, 8, 1]))
    wanted = [f"{person(number)}\t{bids}/{person(number)}/anat/{person(number)}_T1w.nii.gz" for number in range(people)]
    for line in wanted:
        (made.folder / line.split("\t")[1]).write_bytes(gzip.compress(image.to_bytes()))
    snakemake(made, "--cores", "1", "--until", "extract")
    listed = (made.results.parent / "many/preprocess/extract/0000.list").read_text()
    size = len(listed.encode())
    said(
        listed.splitlines() == wanted and size > MOST,
        "paths in a command that ran:",
        f"{size:,} bytes",
        f"> {MOST:,}",
        people,
    )


def changed(made: Project, people: int, more: int = 20) -> None:
    """After a run, whose jobs only leave their manifest: what one changed scan, and new people, rerun."""
    before = _commands(made)
    stub = made.folder.parent / "stub" / "python"
    stub.parent.mkdir()
    stub.write_text(
        '#!/bin/sh\nwhile [ $# -gt 0 ]; do case "$1" in --manifest|--out) : > "$2";; esac; shift; done\nexit 0\n'
    )
    stub.chmod(0o755)
    snakemake(made, "--cores", "2", "--until", "normalise", python=stub.parent)
    said(not _listed(made), "jobs after a run:", len(_listed(made)), "0", people)
    scan = made.bids / person(7) / "anat" / f"{person(7)}_T1w.nii.gz"
    scan.write_bytes(b"another")
    jobs, own = _listed(made), [batch for batch, command in before.items() if person(7) in _scans(command)]
    wanted = {f"{rule} {batch}" for rule in RULES for batch in own}
    said(jobs == wanted and len(own) == 1, "one scan changed:", ", ".join(sorted(jobs)), "its batch alone", people)
    scan.write_bytes(b"")
    new = {person(number) for number in range(people, people + more)}
    plant(made.bids, range(people, people + more))
    after = _commands(made)
    others = {batch for batch, command in after.items() if not new & _scans(command)}
    same = sum(after[batch] == before.get(batch) for batch in others)
    said(same == len(others), f"batches without {more} new people:", f"{same} as before", f"{len(others)}", len(after))
    moved = sum(not _scans(before[batch]) <= _scans(after[batch]) for batch in before)
    said(not moved, "batches that a scan has left:", moved, "0", len(before))
    jobs = {job.split()[1] for job in _listed(made)} - set(own)
    said(
        jobs == set(after) - others - set(own),
        f"{more} new people rerun:",
        f"{len(jobs)} batches",
        "theirs",
        len(after),
    )


def _commands(made: Project) -> dict[str, str]:
    """The command of each batch's extract."""
    text = snakemake(made, "-n", "-p", "--forcerun", "extract", "--until", "extract")[1]
    return {re.findall(r"extract/(\d{4})\.tsv", command)[0]: command for command, _ in COMMAND.findall(text)}


def _scans(command: str) -> set[str]:
    return set(re.findall(r" (sub-\d+)(?=[ )])", command))


def _listed(made: Project) -> set[str]:
    """The jobs of batches that a run would do."""
    return jobs_of(snakemake(made, "-n", "--until", "normalise")[1])
