"""A batch of small scans through the real rules: killed with -9 in each of them and gone on; one scan changed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from lines import said
from project import Project, copy_code, moved, write_scan
from scale_measure import config, person, plant, surroundings

from neurovae.preprocess import grid

RULES = {"extract": "desc-brain_mask", "register": "desc-brain_T1w", "normalise": "desc-preproc_T1w"}
SCANS = 30
VOXEL_MM = 4.0


def project(folder: Path) -> Project:
    """One batch of stripped brains that lie in MNI space, which the rules need about a tenth of a second each for."""
    made = Project(folder / "code")
    made.folder.mkdir(parents=True)
    copy_code(made.folder)
    plant(made.bids, range(SCANS))
    rng = np.random.default_rng(0)
    image, brain = grid.template(VOXEL_MM), grid.brain_mask(VOXEL_MM)
    for number in range(SCANS):
        (made.bids / person(number) / "anat" / f"{person(number)}_T1w.nii.gz").unlink()
        data = image.get_fdata() + rng.normal(0, 0.02, brain.shape)
        write_scan(made.bids, person(number), np.where(brain, np.clip(data, 0.02, None), 0), image.affine)
    settings = config("tiny", "../bids", 1)
    more = {"voxel_mm": 4, "extract": {"method": "none"}, "register": {"transform": "none", "bias_field": "none"}}
    made.write({**settings, "preprocess": {**settings["preprocess"], **more}})
    return made


def killed(folder: Path) -> None:
    """Each rule is killed in the middle of the batch; the same command goes on and loses at most the scan in hand."""
    made = project(folder / "killed")
    other = moved(made, folder / "whole")
    for rule, image in RULES.items():
        started = _start(made)
        try:
            told = _kill(made, rule)
        finally:
            started.wait(300)
        before = _times(made, image)
        made.run("--until", rule, cores=1)
        after = _times(made, image)
        kept = sum(after[name] == changed for name, changed in before.items())
        lost = len(before) - kept
        middle = 0 < told < SCANS and started.returncode != 0
        found = f"{told} scans done, {kept} kept, {SCANS - kept} computed after it"
        said(
            middle and kept >= told and lost <= 1,
            f"{rule} killed with -9:",
            found,
            "every one done is kept",
            SCANS,
        )
    other.run("--until", "normalise", cores=1)
    one, two = (_manifests(each) for each in (made, other))
    said(
        one == two,
        "manifests after three kills:",
        "equal" if one == two else "differ",
        "those of a run without",
        len(RULES),
    )
    _changed(made)


def _changed(made: Project) -> None:
    """One scan is replaced by its mirror image: its batch reruns, and only that scan's images are written anew."""
    before = {rule: _times(made, image) for rule, image in RULES.items()}
    scan = nib.Nifti1Image.from_filename(made.bids / person(3) / "anat" / f"{person(3)}_T1w.nii.gz")
    write_scan(made.bids, person(3), np.asarray(scan.dataobj)[::-1] / 1000, scan.affine)
    made.run("--until", "normalise", cores=1)
    for rule, image in RULES.items():
        now = _times(made, image)
        anew = sorted(name for name in now if now[name] != before[rule].get(name))
        alone = len(anew) == 1 and anew[0].startswith(person(3))
        said(alone, f"one scan changed, {rule} computes:", ", ".join(anew), "that scan alone", SCANS)


def _start(made: Project) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "snakemake", "--configfile", "my.yaml", "--cores", "1", "--until", "normalise"]
    out = (made.folder / "out.txt").open("wb")
    return subprocess.Popen(command, cwd=made.folder, env=surroundings(made.folder), stdout=out, stderr=out)


def _kill(made: Project, rule: str) -> int:
    """Kill the rule's process once a third of the batch is done; how many scans it has said to be done."""
    log = made.results / "logs/preprocess" / f"{rule}-0000.log"
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if log.exists() and f"\n{SCANS // 3}/{SCANS} " in log.read_text():
            for pid in _processes(made, rule):
                os.kill(pid, signal.SIGKILL)
            return len([line for line in log.read_text().splitlines() if f"/{SCANS} sub-" in line])
        time.sleep(0.005)
    raise TimeoutError(f"{rule} did not get so far: {(made.folder / 'out.txt').read_text()[-2000:]}")


def _processes(made: Project, rule: str) -> list[int]:
    """The rule's Python process, by its command and its folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            if f"neurovae.preprocess.{rule}".encode() in words and (place / "cwd").resolve() == made.folder.resolve():
                found.append(int(place.name))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


def _times(made: Project, image: str) -> dict[str, int]:
    """When each finished image of a rule was written (its sidecar is there), ns."""
    found = {}
    for sidecar in (made.results / "preprocess/derivatives").rglob(f"*{image}.json"):
        if ("space-" in sidecar.name) == (image != RULES["extract"]):
            found[sidecar.name] = sidecar.with_name(sidecar.name.replace(".json", ".nii.gz")).stat().st_mtime_ns
    return found


def _manifests(made: Project) -> dict[str, str]:
    return {rule: (made.results / f"preprocess/{rule}/0000.tsv").read_text() for rule in RULES}
