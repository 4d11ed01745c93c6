"""Files that are cut short, that have a flipped bit, that are empty, or that were replaced behind the run's back."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fault_ground import LAST, LATENTS, VOLUMES, WEIGHTS, Ground, Seen, again, hook, log, planned, refused, unhook
from project import Project

Damage = Callable[[bytes], bytes]
RECORD = "_space-MNI152NLin2009aSym_res-4mm_desc-brain_T1w.json"


def half(content: bytes) -> bytes:
    """Cut short."""
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """One bit in the middle."""
    changed = bytearray(content)
    changed[len(content) // 2] ^= 0x40
    return bytes(changed)


def empty(content: bytes) -> bytes:
    """Nothing left, as a machine that went off may leave it."""
    return b""


def become(content: bytes) -> Damage:
    """Something else altogether."""
    return lambda before: content


def spoil(path: Path, how: Damage) -> None:
    """Other content, and the old time."""
    times = path.stat()
    path.write_bytes(how(path.read_bytes()))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def volumes_short(ground: Ground) -> Seen:
    """Packed volumes that are cut short."""
    return _named(ground, VOLUMES, half, LATENTS, "volumes.npy: cannot be read")


def weights_short(ground: Ground) -> Seen:
    """Weights that are cut short."""
    return _named(ground, WEIGHTS, half, LATENTS, "weights.safetensors: cannot be read as weights")


def table_short(ground: Ground) -> Seen:
    """Latents that are cut short."""
    return _named(ground, LATENTS, half, LAST, f"The file read last was {LATENTS}; if this result is damaged")


def verdict_empty(ground: Ground) -> Seen:
    """A verdict without content."""
    return _named(ground, str(Path(WEIGHTS).with_name("health.json")), empty, LAST, "health.json: ")


def _named(ground: Ground, spoilt: str, how: Damage, reader: str, message: str) -> Seen:
    """The job that reads it fails with the message; deleted, it is made again."""
    project = ground.copy("spoilt")
    spoil(project.folder / spoilt, how)
    (project.folder / reader).unlink()
    text = refused(project, message, target=reader)
    assert (project.folder / spoilt).exists() and not (project.folder / reader).exists()
    said = next(line for line in text.splitlines() if message in line)
    (project.folder / spoilt).unlink()
    seconds = again(project, target=reader)
    ground.whole(project)
    told = said.split(str(project.folder))[-1].strip()[:150]
    return Seen(f"the job that reads it ends: `{told}`; deleted, it is made again: same bytes", seconds)


def volumes_flipped(ground: Ground) -> Seen:
    """A flipped bit in the packed volumes: no job would see it."""
    return _verified(ground, VOLUMES)


def table_flipped(ground: Ground) -> Seen:
    """A flipped bit in the latents: Parquet has no checksum here."""
    return _verified(ground, LATENTS)


def weights_flipped(ground: Ground) -> Seen:
    """A flipped bit in the weights."""
    return _verified(ground, WEIGHTS)


def _verified(ground: Ground, spoilt: str) -> Seen:
    """`make verify` names it; deleted, it is made again."""
    project = ground.copy("flipped")
    status, text = verify(project)
    assert status == 0, text
    spoil(project.folder / spoilt, flipped)
    status, text = verify(project)
    named = [line for line in text.splitlines() if Path(spoilt).name in line]
    assert status != 0 and named, text
    (project.folder / spoilt).unlink()
    seconds = again(project, target=spoilt)
    ground.whole(project)
    status, text = verify(project)
    assert status == 0, text
    return Seen("no job sees it; `make verify` names the file; deleted, it is made again: same bytes", seconds)


def verify(project: Project) -> tuple[int, str]:
    """What `make verify` does; its exit status and all that it said."""
    done = subprocess.run(
        [sys.executable, "-m", "neurovae", "verify", "results/tiny"],
        cwd=project.folder, env={**os.environ, "PYTHONPATH": str(project.folder / "src")}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


def replaced(ground: Ground) -> Seen:
    """A scan replaced by another of the same name, size and time; then put back in the same way."""
    project = ground.copy("replaced")
    scan = project.bids / "sub-01" / "anat" / "sub-01_T1w.nii"
    right = scan.read_bytes()
    for content in (right[:400] + right[:399:-1], right):
        before = planned(project)
        assert content is right or not before
        spoil(scan, become(content))
        assert planned(project) == before
        status, text = verify(project)
        line = next((line for line in text.splitlines() if scan.name in line and "--forcerun" in line), "")
        assert status != 0 and line, text
        batch = line.split("--forcerun ")[1].split()[0]
        again(project, "--forcerun", batch, target=batch)
        digest = hashlib.sha256(content).hexdigest()
        assert digest in (project.folder / batch).read_text()
    seconds = again(project)
    ground.whole(project)
    return Seen(
        "Snakemake cannot see it; `make verify` names the scan and what to do (--forcerun of its batch)", seconds
    )


def swapped(ground: Ground) -> Seen:
    """A scan that is replaced between two of its steps, while the chain runs."""
    project = ground.copy("swapped", finished=False)
    scan, target = project.bids / "sub-01" / "anat" / "sub-01_T1w.nii", "results/tiny/preprocess/register/{}.tsv"
    right = scan.with_name("right")
    scan.rename(right)
    scan.write_bytes(right.read_bytes()[:-2] + b"\1\0")
    hook(project, SWAP.format(scan=str(scan), right=str(right)))
    batch = "0000" if b"sub-01" in ground.results["preprocess/extract/0000.tsv"] else "0001"
    again(project, target=target.format(batch))
    cause = "sub-01_T1w.nii: changed since its mask was made; rerun with --forcerun extract"
    assert cause in log(project, f"preprocess/register-{batch}.log")
    unhook(project)
    seconds = again(project, "--forcerun", "extract", target=target.format(batch))
    ground.intact(project)
    return Seen(f"`{cause}`: it is left out of that run; then same bytes", seconds)


SWAP = """
import os
inner = os.replace
def replace(source, target, **more):
    inner(source, target, **more)
    if "/extract/" in str(target) and str(target).endswith(".tsv") and os.path.exists({right!r}):
        inner({right!r}, {scan!r})
        os.utime({scan!r})
os.replace = replace
"""


def image_flipped(ground: Ground) -> Seen:
    """A flipped bit in a preprocessed image."""
    project = ground.copy("image")
    (project.folder / VOLUMES).unlink()
    path = sorted((project.results / "preprocess" / "derivatives").rglob("*desc-preproc_T1w.nii.gz"))[0]
    spoil(path, flipped)
    refused(
        project, f"{path.name}: differs from what the manifest says; rerun with --forcerun normalise", target=VOLUMES
    )
    seconds = again(project, "--forcerun", "normalise", target=VOLUMES)
    ground.whole(project)
    return Seen("pack names it and what to do (--forcerun normalise); same bytes", seconds)


def record_empty(ground: Ground) -> Seen:
    """The record beside a preprocessed image without content: the scan is computed again."""
    project = ground.copy("record")
    target = "results/tiny/preprocess/register/0000.tsv"
    path = sorted((project.results / "preprocess" / "derivatives").rglob(f"*{RECORD}"))
    named = ground.results["preprocess/register/0000.tsv"].decode()
    spoil(next(one for one in path if one.name.split("_")[0] in named), empty)
    seconds = again(project, "--forcerun", "register", target=target)
    ground.whole(project)
    return Seen("that scan's step is done again; same bytes", seconds)


def manifest_short(ground: Ground) -> Seen:
    """The last row of a batch's manifest is missing: nobody may vanish from the cohort unsaid."""
    project = ground.copy("manifest")
    manifest = project.results / "preprocess" / "register" / "0000.tsv"
    gone = manifest.read_text().splitlines()[-1].split("\t")[0]
    spoil(manifest, lambda content: content[: content.rstrip(b"\n").rfind(b"\n") + 1])
    target = "results/tiny/preprocess/qc.parquet"
    refused(project, gone, "--forcerun", "normalise", target=target)
    seconds = again(project, "--forcerun", "extract", target=target)
    ground.whole(project)
    return Seen(
        "qc names who is missing and what to do (--forcerun extract): nothing is computed again; same bytes", seconds
    )


def source_empty(ground: Ground) -> Seen:
    """What remembers whose results a folder holds, without content."""
    project = ground.copy("source")
    path = project.results / "cohort" / "source.json"
    spoil(path, empty)
    text = refused(project, "source.json: ")
    assert "Traceback" not in text
    path.unlink()
    seconds = again(project, target="results/tiny/cohort/source.json")
    ground.whole(project)
    return Seen("named before the first job; deleted, it is made again: same bytes", seconds)


def journal(ground: Ground) -> Seen:
    """Snakemake's own notes, cut short, empty, or gone altogether."""
    project = ground.copy("journal")
    notes = sorted(path for path in (project.folder / ".snakemake" / "metadata").rglob("*") if path.is_file())
    for number, path in enumerate(notes):
        spoil(path, (half, empty)[number % 2])
    done = project.snakemake("-n", "--", LAST)
    assert "Ignore corrupted" in done.stdout and "Nothing to be done" in done.stdout, done.stdout[-3000:]
    for path in notes:
        path.unlink()
    done = project.snakemake("-n", "--", LAST)
    assert "Nothing to be done" in done.stdout and "missing provenance/metadata" in done.stdout, done.stdout[-3000:]
    ground.whole(project)
    return Seen("it says so and reruns nothing, but no longer sees a change of the configuration made before", 0.0)
