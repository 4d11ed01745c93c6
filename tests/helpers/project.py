"""A copy of the repository with a small cohort beside it, in which a test runs snakemake as a user would."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
import nibabel as nib
import numpy as np
import yaml
from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
from scipy.ndimage import gaussian_filter

ROOT = Path(__file__).parents[2]


PEOPLE = 24


CUT = "sub-25"  # one more, whose scan is cut short


CONFIG: dict[str, Any] = {
    "cohort": {
        "name": "tiny",
        "bids": "../bids",
        "site": "site",
        "scores": [{"name": "severity", "type": "continuous"}, {"name": "shuffled", "type": "continuous"}],
        "confounds": [{"name": "age", "type": "continuous"}, {"name": "sex", "type": "categorical"}],
    },
    "preprocess": {
        "voxel_mm": 4,
        "batches": 2,
        "extract": {"method": "none"},
        "register": {"transform": "none", "bias_field": "none"},
    },
    "train": {
        "models": [
            {"name": "vae", "kind": "vae", "n_latent": 3, "base_channels": 4, "epochs": 2},
            {"name": "other", "kind": "vae", "n_latent": 3, "base_channels": 4, "epochs": 1},
        ]
    },
    "associate": {"permutations": 999},
    "predict": {"bootstraps": 100, "permutations": 19, "importance": 1},
}


MODULE = """
configfile: "study.yaml"


module neurovae:
    snakefile:
        {path!r}
    config:
        config


use rule * from neurovae


rule strongest:
    input:
        "results/tiny/findings/associations.tsv",
    output:
        "strongest.tsv",
    shell:
        "head -n 2 {{input}} > {{output}}"
"""  # somebody else's Snakefile


HEADING = re.compile(r"^(?:local)?rule (\w+):$", flags=re.M)


@dataclass(frozen=True)
class Project:
    """A copy of the repository with its cohort beside it; snakemake runs in the copy."""

    folder: Path

    @property
    def bids(self) -> Path:
        return self.folder.parent / "bids"

    @property
    def results(self) -> Path:
        return self.folder / "results" / "tiny"

    def write(self, config: dict[str, Any], name: str = "my.yaml") -> None:
        (self.folder / name).write_text(yaml.safe_dump(config, sort_keys=False))

    def snakemake(
        self, *arguments: str, config: str | None = "my.yaml", fresh: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run snakemake as a user would; stdout and stderr are one text.

        It is a fork of a process that has imported Snakemake before, or a `fresh` process, 2 seconds later.
        """
        command = ["-m", "snakemake", *(["--configfile", config] if config else []), *arguments]
        if not fresh:
            return forks.snakemake(self.folder, *command[2:])
        return subprocess.run(
            [sys.executable, *command], cwd=self.folder, env=forks.surroundings(), text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, *arguments: str, cores: int = 2) -> str:
        """Run jobs; the run must succeed."""
        done = self.snakemake("--cores", str(cores), *arguments, fresh=True)
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def plan(self, *arguments: str, config: str | None = "my.yaml") -> set[str]:
        """The jobs that a dry run schedules; see `jobs_of`."""
        done = self.snakemake("-n", *arguments, config=config)
        assert done.returncode == 0, done.stdout[-6000:]
        jobs = jobs_of(done.stdout)
        counted = _counts(done.stdout)
        assert sum(counted.values()) - counted.get("all", 0) == len(jobs), "the listing and the table of jobs disagree"
        assert counted or "Nothing to be done" in done.stdout
        return jobs


def jobs_of(text: str) -> set[str]:
    """The jobs that a run or a dry run lists: "<rule>", "<rule> <model>" or "<rule> <batch>"; `all` is left out."""
    parts = HEADING.split(text)[1:]
    jobs = [_job(rule, body.split("\n\n")[0]) for rule, body in zip(parts[::2], parts[1::2], strict=True)]
    assert len(set(jobs)) == len(jobs), "two jobs of one name"
    return set(jobs) - {"all"}


def _job(rule: str, body: str) -> str:
    wildcards = dict(
        re.findall(r"(model|batch)=([^,\s]+)", "".join(re.findall(r"^ +wildcards: .*$", body, flags=re.M)))
    )
    return " ".join([rule, *wildcards.values()])


def _counts(text: str) -> dict[str, int]:
    """The table `Job stats`: rule -> count; empty when there is nothing to be done."""
    table = re.search(r"^Job stats:\n(.*?)^total", text, flags=re.M | re.S)
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table[1], flags=re.M)} if table else {}


def copy_code(folder: Path) -> None:
    """What a clone would hold: tracked files and those that git does not ignore."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in (name for name in listed if name and (ROOT / name).is_file()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def write_bids(folder: Path) -> None:
    """24 stripped brains in MNI space, which darken near the ventricles with `severity`, and a scan that is cut short.

    The first scan is over 1 MB; the last, sub-25, has half of its bytes.
    """
    rng = np.random.default_rng(0)
    template = load_mni152_template(resolution=2)
    brain = template.get_fdata(dtype=np.float32) * load_mni152_brain_mask(resolution=2).get_fdata(dtype=np.float32)
    world = nib.affines.apply_affine(template.affine, np.moveaxis(np.indices(brain.shape), 0, -1))
    near = np.exp(
        -((np.abs(world[..., 0]) - 15) ** 2 + (world[..., 1] + 15) ** 2 + (world[..., 2] - 15) ** 2) / 2 / 15**2
    )
    others = [gaussian_filter(rng.normal(size=brain.shape), 8) for _ in range(3)]
    severity = rng.permutation(np.linspace(0, 1, PEOPLE + 1))
    shuffled, age = rng.permutation(severity), rng.uniform(50, 80, PEOPLE + 1)
    rows = ["participant_id\tage\tsex\tsite\tseverity\tshuffled"]
    for number in range(PEOPLE + 1):
        person = f"sub-{number + 1:02d}"
        anatomy = sum(rng.normal(0, 0.02) * other / other.std() for other in others)
        image = brain * (1 - 0.5 * severity[number] * near + anatomy) + rng.normal(0, 0.05, brain.shape)
        write_scan(folder, person, np.where(brain > 0, np.clip(image, 0.02, None), 0), template.affine, number == 0)
        known = (f"{age[number]:.1f}", "MF"[number % 2], "AB"[number // 2 % 2])
        rows.append("\t".join([person, *known, f"{severity[number]:.4f}", f"{shuffled[number]:.4f}"]))
    (folder / "participants.tsv").write_text("\n".join(rows) + "\n")
    short = folder / CUT / "anat" / f"{CUT}_T1w.nii.gz"
    short.write_bytes(short.read_bytes()[: short.stat().st_size // 2])


def write_scan(folder: Path, person: str, data: np.ndarray, affine: np.ndarray, large: bool = False) -> None:
    path = folder / person / "anat" / f"{person}_T1w.nii{'' if large else '.gz'}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image((1000 * data).astype(np.int16), affine), path)


def contents(project: Project, *stages: str) -> dict[str, bytes]:
    """The bytes of a stage's files, or of all, without the records beside them, which note times."""
    files = (path for stage in stages or [""] for path in (project.results / stage).rglob("*") if path.is_file())
    files = (path for path in files if ".provenance" not in path.parts)
    return {str(path.relative_to(project.results)): path.read_bytes() for path in files}


def moved(project: Project, folder: Path) -> Project:
    """The same project at another path, times and results included."""
    shutil.copytree(project.folder.parent, folder, dirs_exist_ok=True, symlinks=True)
    return Project(folder / project.folder.name)


Copy = Callable[[Project], Project]
