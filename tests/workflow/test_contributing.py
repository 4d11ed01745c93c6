"""CONTRIBUTING.md is true: what it names exists, and its three recipes work when followed on a copy of the tree."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import workflow_rules

from neurovae.plan import fingerprint

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TOPS = ("Snakefile", "workflow/", "config/", "envs/", "profiles/", "src/", "tests/", "docs/", "pyproject.toml")
CODE = ("Snakefile", "workflow/", "src/", "envs/")
Edits = dict[str, list[tuple[str, str]]]  # path -> (text found once, its replacement)


def section(heading: str) -> str:
    return re.split(r"^## .*$", TEXT.split(f"## {heading}\n")[1], flags=re.M)[0]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`\s]+)`", text))


def paths(text: str) -> set[str]:
    return {name for name in quoted(text) if name.startswith(TOPS)}


def test_whatever_is_named_exists() -> None:
    whole = {name for name in paths(TEXT) if "<" not in name}
    assert len(whole) > 25
    assert [name for name in whole if not (any(ROOT.glob(name)) if "*" in name else (ROOT / name).exists())] == []
    tree = section("The tree")
    folders = {
        f"{path.relative_to(ROOT)}/"
        for path in (ROOT / "src" / "neurovae").iterdir()
        if (path / "__init__.py").exists()
    }
    assert folders - paths(tree) == set()
    makefile = (ROOT / "Makefile").read_text()
    assert [name for name in re.findall(r"`make ([a-z0-9-]+)", TEXT) if f"\n{name}:" not in makefile] == []
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    for name in ("flags", "cli", "model_codes", "write_both", "tidy", "preprocess", "run"):
        assert f"def {name}(" in source and name in TEXT
    shared = re.findall(r"`(\w+\.py)`", tree.split("what the stages share")[1].splitlines()[0])
    assert [name for name in shared if not (ROOT / "src" / "neurovae" / name).exists()] == [] != shared


@pytest.mark.parametrize("heading", ["To add a loss", "To add a preprocessing step", "To add an analysis"])
def test_a_recipe_has_three_steps(heading: str) -> None:
    assert re.findall(r"^(\d)\. ", section(heading), flags=re.M) == ["1", "2", "3"]
    assert all(line.startswith(("1. ", "2. ", "3. ", "   ")) for line in section(heading).strip().splitlines())


def followed(folder: Path, heading: str, edits: Edits, name: str = "") -> Path:
    """A copy of the tree after the edits, none of them in a file that the recipe does not name."""
    for part in ("src", "workflow", "envs", "config"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "Snakefile", folder)
    said = {path.replace("<name>", name) for path in paths(section(heading)) if path.startswith(CODE)}
    assert set(edits) <= said
    for path, changes in edits.items():
        text = (folder / path).read_text(encoding="utf-8") if changes[0][0] else ""
        for old, new in changes:
            assert not old or text.count(old) == 1, (path, old)
            text = text.replace(old, new) if old else new
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def python(folder: Path, code: str) -> str:
    """What Python prints in the copy."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder / 'src'}{os.pathsep}{ROOT / 'tests' / 'helpers'}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def commands(folder: Path, target: str) -> list[str]:
    """The commands that a dry run of the demo prints for a target."""
    snakemake = [sys.executable, "-m", "snakemake", "-n", "-p", "--configfile", "config/demo.yaml", "--", target]
    done = subprocess.run(snakemake, cwd=folder, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return re.findall(r"^Shell command: (.*)$", done.stdout + done.stderr, flags=re.M)


def reruns(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> bool:
    """Has a module's fingerprint changed?"""
    before = fingerprint.code(module)
    monkeypatch.setattr(fingerprint, "SOURCE", folder / "src")
    after = fingerprint.code(module)
    monkeypatch.undo()
    return before != after


def wired(folder: Path, monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """The workflow's own tests, on the copy: directives, environment, no lambdas."""
    monkeypatch.setattr(workflow_rules, "ROOT", folder)
    for directive in ("log", "benchmark", "resources", "conda", "params"):
        workflow_rules.check_directive(directive)
    workflow_rules.check_plain()
    found = [found for found in workflow_rules.rules() if found[0] == rule]
    assert len(found) == 1
    workflow_rules.check_environment(*found[0])
    monkeypatch.undo()


JEFFREYS = '''

def jeffreys(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q || p) + KL(p || q) of each latent (scans, latents) (Jeffreys 1946)."""
    return (mu.square() * (1 + (-logvar).exp()) + 2 * (logvar.cosh() - 1)) / 2
'''
LOSS: Edits = {
    "src/neurovae/train/losses/divergence.py": [("\n\ndef free_bits(", f"{JEFFREYS}\n\ndef free_bits(")],
    "src/neurovae/train/engine/hyperparameters.py": [
        ('Literal["kl", "mmd", "none"]', 'Literal["kl", "jeffreys", "mmd", "none"]')
    ],
    "workflow/schemas/train.schema.yaml": [("{enum: [kl, mmd, none]", "{enum: [kl, jeffreys, mmd, none]")],
    "src/neurovae/train/engine/step.py": [
        (
            "beta * (divergence.kl_per_dimension(mu, logvar) * above_floor)",
            "beta * ((divergence.jeffreys if hp.divergence == 'jeffreys' else divergence.kl_per_dimension)"
            "(mu, logvar) * above_floor)",
        )
    ],
    "src/neurovae/train/engine/evaluate.py": [
        (
            "hp.beta * float(divergence.free_bits(kl,",
            "hp.beta * float(divergence.free_bits(divergence.jeffreys(*codes) if hp.divergence == 'jeffreys' else kl,",
        )
    ],
}
TRY_LOSS = """
import numpy as np, torch, tiny, yaml
from torch.distributions import Normal, kl_divergence as kl
from neurovae.plan import config
from neurovae.train.losses import divergence
from neurovae.train.models import vae
entry = {"name": "a", "kind": "vae", "divergence": "jeffreys"}
config.validate({"cohort": {"name": "x"}, "train": {"models": [entry]}}, config.load_schema())
mu, logvar = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
own, prior = Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)
assert torch.allclose(divergence.jeffreys(mu, logvar), kl(own, prior) + kl(prior, own), atol=1e-5)
volumes, split = tiny.cohort()
options = {**tiny.SETTINGS, "beta": 50.0, "epochs": 2, "learning_rate": 0.01}
fits = {}
for name in ("kl", "jeffreys"):
    torch.use_deterministic_algorithms(True)
    tensors, architecture, rows = fits[name] = vae.fit(volumes, split, tiny.MASK, seed=0, device="cpu", **{**options, "divergence": name})
tensors, architecture, rows = fits["jeffreys"]
first = next(row for row in rows if row["split"] == "validation")
start = {**options, "divergence": "jeffreys", "epochs": 0}
mu, logvar = map(torch.from_numpy, vae.embed(volumes[split == "validation"], tiny.MASK, *vae.fit(volumes, split, tiny.MASK, seed=0, device="cpu", **start)[:2]))
wanted = first["nll"] + 50.0 * float(divergence.jeffreys(mu, logvar).sum(dim=1).mean())
assert abs(first["loss"] - wanted) < 1e-3 * abs(wanted), (first["loss"], wanted)
trained = [fits[name][2][-1]["kl"] for name in ("kl", "jeffreys")]
assert trained[0] != trained[1], trained  # what is minimised
"""


def test_a_loss_is_added_by_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = followed(tmp_path, "To add a loss", LOSS)
    python(folder, TRY_LOSS)
    assert reruns(folder, monkeypatch, "neurovae.train.models.vae")
    assert not reruns(folder, monkeypatch, "neurovae.associate.glm")
    assert not reruns(folder, monkeypatch, "neurovae.train.models.pca")


SMOOTH = '''"""Smooth registered brains by a Gaussian inside the brain."""

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from neurovae.cli import cli
from neurovae.io.files import sha256, write_beside
from neurovae.preprocess import batch
from neurovae.preprocess.names import in_space


def run(
    *, registered: Path, derivatives: Path, manifest: Path, seconds: Path, stamp: str, suffix: str, voxel_mm: float,
    fwhm: float, max_failed: float,
) -> None:
    """Write every scan of a batch smoothed.

    Args:
        registered: the manifest of the batch of registered brains.
        derivatives: folder of the BIDS derivatives.
        manifest: table to write, a row per scan.
        seconds: table to write of the seconds spent per scan.
        stamp: digest of code and environment.
        suffix: BIDS suffix of the images.
        voxel_mm: voxel size of the grid.
        fwhm: full width at half maximum, mm.
        max_failed: share of failed scans that ends the job.
    """

    def path(row: batch.Row, what: str) -> Path:
        return in_space(derivatives, row["scan"], voxel_mm, f"desc-{what}_{suffix}.nii.gz")

    def step(row: batch.Row, clock: batch.Clock) -> batch.Work:
        image = nib.Nifti1Image.from_filename(path(row, "brain"))
        with write_beside(path(row, "smooth")) as temporary:
            nib.save(nib.Nifti1Image(smoothed(image.get_fdata(dtype=np.float32), voxel_mm, fwhm), image.affine), temporary)
        return batch.Work([path(row, "smooth")], {}, {"FWHM": fwhm})

    batch.run(
        batch.read_manifest(registered), step, manifest=manifest, max_failed=max_failed, seconds=seconds,
        sidecar=lambda row: path(row, "smooth").with_name(path(row, "smooth").name[:-7] + ".json"),
        key=lambda row: batch.digest("smooth", stamp, fwhm, sha256(path(row, "brain"))),
    )


def smoothed(data: np.ndarray, voxel_mm: float, fwhm: float) -> np.ndarray:
    """Data (x, y, z) after a Gaussian of this width."""
    return gaussian_filter(data, fwhm / voxel_mm / np.sqrt(8 * np.log(2)))


if __name__ == "__main__":
    cli(run)
'''


def preprocessing() -> Edits:
    """A step `smooth` between register and normalise."""
    text = (ROOT / "workflow/rules/preprocess.smk").read_text()
    rule = re.search(r"^rule normalise:\n.*?(?=^rule )", text, flags=re.S | re.M)
    assert rule
    mine = rule[0].replace("normalise", "smooth").replace("        reference=REFERENCE,\n", "")
    mine = mine.replace('        grids="results/{cohort}/preprocess/grids.npz",\n', "").replace(
        "--grids {input.grids} ", ""
    )
    after = rule[0].replace("preprocess/register/{batch}.tsv", "preprocess/smooth/{batch}.tsv")
    key = '  smooth: {type: object, default: {}, additionalProperties: false, description: "smoothing", properties: {fwhm: {type: number, minimum: 0, default: 6, description: "mm"}}}\n'
    return {
        "src/neurovae/preprocess/smooth.py": [("", SMOOTH)],
        "workflow/rules/preprocess.smk": [(rule[0], mine + after)],
        "workflow/schemas/preprocess.schema.yaml": [("  normalise:\n", f"{key}  normalise:\n")],
        "src/neurovae/plan/graph.py": [
            ('        "normalise": ("voxel_mm",),\n', '        "smooth": ("voxel_mm",),\n        "normalise": ("voxel_mm",),\n'),
            ('("register", "normalise", "pack")', '("register", "smooth", "normalise", "pack")'),
        ],
    }  # fmt: skip


TRY_STEP = """
import os
from pathlib import Path
import nibabel as nib, numpy as np
from neurovae.plan import config
from neurovae.plan import graph
whole = config.validate({"cohort": {"name": "x"}}, config.load_schema())
options = graph.preprocess(whole["preprocess"], "T1w")["smooth"]
assert options == {"fwhm": 6, "voxel_mm": 2, "suffix": "T1w"}, options
from neurovae.preprocess import smooth
from neurovae.preprocess.names import in_space
brain = in_space(Path("d"), "sub-1", 2, "desc-brain_T1w.nii.gz")
brain.parent.mkdir(parents=True)
point = np.zeros((21, 21, 21), np.float32)
point[10, 10, 10] = 1
nib.save(nib.Nifti1Image(point, np.diag([2, 2, 2, 1])), brain)
Path("r.tsv").write_text("scan\\tstatus\\tcause\\nsub-1\\tok\\t\\n")
def go(**changed):
    smooth.run(**{**dict(registered=Path("r.tsv"), derivatives=Path("d"), manifest=Path("m.tsv"), seconds=Path("s.tsv"),
               stamp="a", max_failed=0.2), **options, **changed})
    return os.stat(out).st_mtime_ns
out = in_space(Path("d"), "sub-1", 2, "desc-smooth_T1w.nii.gz")
first = go()
found = nib.load(out).get_fdata()
sigma = 6 / 2 / np.sqrt(8 * np.log(2))
assert abs(found[10, 10, 10] / found[11, 10, 10] - np.exp(1 / (2 * sigma**2))) < 1e-3
assert go() == first and go(stamp="b") > first  # kept while nothing changed
"""


def test_a_preprocessing_step_is_added_by_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = followed(tmp_path, "To add a preprocessing step", preprocessing(), "smooth")
    printed = commands(folder, "results/demo/preprocess/normalise/0000.tsv")
    line = next(line for line in printed if "neurovae.preprocess.smooth" in line)
    assert "--fwhm 6" in line and "preprocess/register/0000.tsv" in line
    assert "preprocess/smooth/0000.tsv" in next(line for line in printed if "neurovae.preprocess.normalise" in line)
    python(folder, TRY_STEP)
    wired(folder, monkeypatch, "smooth")


SPREAD = '''"""Spread of each latent over people."""

from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.io import latent_table
from neurovae.design.tables import STOPPING, read_verdict, tidy, write_both
from neurovae.cli import cli

COLUMNS = {"latent": "object", "sd": "float64", "status": "object", "reason": "object", "verdict": "object"}


def run(*, latents: Path, health: Path, out: Path) -> None:
    """Write the spread of each latent.

    Args:
        latents: table of one model's latents.
        health: its health.json.
        out: Parquet to write, with a TSV beside it.
    """
    verdict, reason = read_verdict(health)
    stopped = [{"status": "not tested", "reason": reason, "verdict": verdict}]
    write_both(out, tidy(stopped if verdict in STOPPING else spread(pd.read_parquet(latents), verdict), COLUMNS))


def spread(table: pd.DataFrame, verdict: str) -> list[dict[str, Any]]:
    """A row per latent."""
    names = latent_table.columns(table)
    return [{"latent": name, "sd": table[name].std(), "status": "ok", "verdict": verdict} for name in names]


if __name__ == "__main__":
    cli(run)
'''
PLACE = "results/{cohort}/audit/{model}/fold-{fold}_seed-{seed}/spread.parquet"
RULE = f'''rule spread:
    input:
        latents="results/{{cohort}}/latents/{{model}}/fold-{{fold}}_seed-{{seed}}/latents.parquet",
        health="results/{{cohort}}/train/{{model}}/fold-{{fold}}_seed-{{seed}}/health.json",
    output:
        table="{PLACE}",
    log:
        "results/{{cohort}}/logs/audit/spread-{{model}}-fold-{{fold}}_seed-{{seed}}.log",
    benchmark:
        "results/{{cohort}}/benchmarks/audit/spread-{{model}}-fold-{{fold}}_seed-{{seed}}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=CODE["audit.spread"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.audit.spread --latents {{input.latents}} --health {{input.health}} --out {{output.table}} 2>&1 | tee {{log}}"


rule power:
'''
TARGET = '        expand("results/{cohort}/audit/power.tsv", cohort=COHORT),\n'
ANALYSIS: Edits = {
    "src/neurovae/audit/spread.py": [("", SPREAD)],
    "workflow/rules/audit.smk": [("rule power:\n", RULE)],
    "Snakefile": [
        (TARGET, TARGET + f'        expand("{PLACE}", cohort=COHORT, model=MODELS, fold=FOLDS, seed=SEEDS),\n')
    ],
}
TRY_ANALYSIS = """
import json, shlex, sys
from pathlib import Path
import numpy as np, pandas as pd
from neurovae import cli
words = shlex.split(LINE)
given = dict(zip(words[3::2], words[4::2]))
for option in ("--latents", "--health", "--out"):
    Path(given[option]).parent.mkdir(parents=True, exist_ok=True)
pd.DataFrame({"mu_000": [1.0, 3.0], "mu_001": [0.0, 0.0]}).to_parquet(given["--latents"])
from neurovae.audit import spread
for verdict in ("collapsed", "healthy"):
    Path(given["--health"]).write_text(json.dumps({"verdict": verdict, "reason": "why"}))
    sys.argv = words[2:]
    cli.cli(spread.run)
    found = pd.read_csv(Path(given["--out"]).with_suffix(".tsv"), sep="\\t")
    assert found["status"].tolist() == (["not tested"] if verdict == "collapsed" else ["ok", "ok"])
assert np.allclose(found["sd"], [2**0.5, 0])
"""


def test_an_analysis_is_added_by_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = followed(tmp_path, "To add an analysis", ANALYSIS, "spread")
    target = PLACE.format(cohort="demo", model="vae", fold=0, seed=0)
    line = next(line for line in commands(folder, target) if "neurovae.audit.spread" in line)
    python(folder, TRY_ANALYSIS.replace("LINE", repr(line.split(" 2>&1")[0])))
    wired(folder, monkeypatch, "spread")
