"""Checks 5, 9 and 10 of the design's ten that catch silent errors: a volume told from latents, noise, known numbers."""

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import proof_cohort as made
import proof_lines as lines
from proof_lines import Check
from proof_null import bend_overall
from proof_predict import INNER, R2, value
from scipy.stats import kstest
from univariate_rows import glm_rows

from neurovae.audit import power
from neurovae.design.design import join
from neurovae.predict.folds import Folds, complete_cases, outer_folds
from neurovae.stats import families

IXI, SCANS = Path("results/ixi"), Path("../shared/data/ixi")
VENTRICLES = (4, 11, 49, 50, 51, 52)  # MUSE labels: third, fourth, inferior lateral and lateral ventricles
STRONG = 0.3  # R2 of the ventricles' share of the head
MODELS = ("pca-48", "vae", "vae-alone")
N, COLUMNS, KS = 120, 32, 0.001
CHOSEN, CANDIDATES, NAIVE = 10, 200, 0.1  # latents kept of how many, and the R2 that the naive way exceeds


def volumes(scans: Path) -> pd.DataFrame:
    """Ventricles over all labelled voxels, of every person with a segmentation."""
    rows = []
    for path in sorted(scans.glob("derivatives/dlmuse/sub-*/anat/*_dseg.nii.gz")):
        labels = np.asarray(nib.Nifti1Image.from_filename(path).dataobj)
        share = np.isin(labels, VENTRICLES).sum() / (labels > 0).sum()
        rows.append({"person": path.parts[-3], "ventricles": share})
    return pd.DataFrame(rows)


def ventricles() -> list[Check]:
    """R2 of the ventricles from the latents of each fold's own model; the same with the scores shifted by one row."""
    if not IXI.is_dir() or not SCANS.is_dir():
        gone = "results/ixi (run make ixi)" if not IXI.is_dir() else str(SCANS)
        return [Check("DLMUSE ventricles / head from latents on ixi", "", f"{gone} is not there", None, 0)]
    cohort, qc = pd.read_parquet(IXI / "cohort/cohort.parquet"), pd.read_parquet(IXI / "preprocess/qc.parquet")
    cohort = cohort.merge(volumes(SCANS), on="person", how="left")
    cohort["shifted"] = np.roll(cohort["ventricles"].to_numpy(), 1)
    listed = []
    for model in MODELS:
        files = sorted((IXI / "latents" / model).glob("fold-*_seed-0/latents.parquet"))
        folds = outer_folds([join(cohort, pd.read_parquet(path), qc) for path in files])
        for name in ("ventricles", "shifted"):
            cases = complete_cases(folds, {"name": name, "type": "continuous"}, [], inner=INNER)
            found = value(cases, "linear")
            passed = found >= STRONG if name == "ventricles" else found <= 0
            bar = f"at least {STRONG:g}" if name == "ventricles" else "at most 0"
            what = "DLMUSE ventricles / head" if name == "ventricles" else "the same, shifted by one row"
            text = f"R2 of {what} from {model} ({folds.policy})"
            listed.append(Check(text, f"{found:.3f}", bar, bool(passed), len(cases.y)))
    return listed


def noise_p(start: int, stop: int) -> list[dict[str, float]]:
    """The p of one of 32 columns of noise against a numeric and a binary score, by the GLM and the spline."""
    rows = []
    for number in range(start, stop):
        rng = np.random.default_rng([606, number])
        table, _ = made.people(N, rng)
        z, x, eta = rng.normal(size=(N, COLUMNS)), made.columns(table), made.predictor(table)
        one, row = int(rng.integers(COLUMNS)), {}
        for family in ("Gaussian", "binary"):
            kind, y = made.KINDS[family], made.score(family, eta, rng)
            row |= {f"{name}, {family}": p for name, p in bend_overall(kind, y, x, z[:, one]).items()}
        rows.append(row)
    return rows


def noise(pool: Executor | None, cohorts: int) -> list[Check]:
    """The p of noise is uniform: Kolmogorov-Smirnov."""
    jobs = lines.blocks(cohorts, 100)
    found = pd.DataFrame([row for part in lines.shared(pool, noise_p, jobs) for row in part])
    listed = []
    for name in found:
        p = found[name].dropna().to_numpy()
        least = float(kstest(p, "uniform").pvalue)
        text = f"32 columns of noise: p uniform (KS), {name}"
        listed.append(Check(text, f"p {least:.3f}", f"at least {KS:g}", least >= KS, len(p)))
    return listed


def selection(cohorts: int) -> list[Check]:
    """Latents chosen by their correlation with the score in all people, then cross-validated, against all latents."""
    naive, ours = [], []
    for number in range(cohorts):
        rng = np.random.default_rng([707, number])
        table, _ = made.people(N, rng)
        z, y = rng.normal(size=(N, CANDIDATES)), rng.normal(size=N)
        best = np.argsort(-np.abs(np.corrcoef(z.T, y)[-1, :-1]))[:CHOSEN]
        for columns, into in ((z[:, best], naive), (z, ours)):
            whole = made.cohort_table(table, columns, {"score": y})
            folds = Folds(dict.fromkeys(range(5), whole), "transductive")
            cases = complete_cases(folds, {"name": "score", "type": "continuous"}, [], inner=INNER, seed=number)
            into.append(value(cases, "linear"))
    text = f"noise, {CHOSEN} of {CANDIDATES} latents chosen on all people: the naive R2 that the guard must refuse"
    return [
        Check(text, f"{np.mean(naive):.3f}", f"above {NAIVE:g}", bool(np.mean(naive) > NAIVE), cohorts),
        Check("the same noise, no latent chosen beforehand: mean R2", f"{np.mean(ours):.3f}", f"{R2[0]:g} to {R2[1]:g}",
              bool(R2[0] <= np.mean(ours) <= R2[1]), cohorts),
    ]  # fmt: skip


def design_check() -> list[Check]:
    """What 118 people could find, as the design states it."""
    rng = np.random.default_rng(8)
    people, z = made.people(118, rng)
    table = made.cohort_table(people, z, {"score": rng.normal(size=118)})
    score: dict[str, Any] = {"name": "score", "type": "continuous"}
    rows = power.check(table, score, made.CONFOUNDS[:1], COLUMNS, 0.8, 0.05)
    return [
        Check(f"design check, 118 people, {row['confound_columns']} confound columns: |partial r| at .05 / {row['tests']}",
              f"{row['partial_r']:.4f}", f"{bar:g} +- .005", abs(row["partial_r"] - bar) <= 0.005, 118)
        for row, bar in zip(rows, (0.26, 0.36), strict=True)
    ]  # fmt: skip


def dispersion(cohorts: int) -> list[Check]:
    """The alpha of negative-binomial scores of .5."""
    found = []
    for number in range(cohorts):
        rng = np.random.default_rng([808, number])
        table, _ = made.people(500, rng)
        y = made.score("negative binomial", made.predictor(table), rng)
        found.append(families.fit("count", y, made.columns(table)))
    known = [fit.alpha for fit in found if fit.status == "ok"]
    text = f"alpha of negative-binomial scores of .5, mean of {len(known)} fits (of {cohorts}), 500 people"
    mean = float(np.mean(known)) if known else np.nan
    passed = abs(mean - 0.5) <= 0.1 and len(known) == cohorts
    return [Check(text, f"{mean:.3f}", "0.5 +- .1, all fitted", bool(passed), cohorts)]


def flipped() -> list[Check]:
    """A latent with its sign turned: the effect turns, the p stays."""
    listed = []
    for family, kind in made.KINDS.items():
        rng = np.random.default_rng(9)
        people, z = made.people(N, rng)
        y = made.score(family, made.predictor(people) + 0.3 * z[:, 0], rng)
        score = {"name": "score", "type": kind} | ({"bounds": [0, 1]} if kind == "bounded" else {})
        one, other = (
            glm_rows(made.cohort_table(people, a * z[:, :1], {"score": y}), score, made.CONFOUNDS)[0] for a in (1, -1)
        )
        ok = one["status"] == other["status"] == "ok"
        gap = max(abs(one["effect"] + other["effect"]), abs(one["p"] - other["p"])) if ok else np.nan
        text = f"a latent's sign turned, {family}: effect turns, p stays"
        listed.append(Check(text, f"{gap:.1e}", "at most 1e-6", bool(gap <= 1e-6), N))
    return listed
