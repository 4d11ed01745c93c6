"""A results folder that the report can be built from."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import tiny

from neurovae.report.results import Run

FIT = "fold-0_seed-0"


OK = {"status": "ok", "reason": "", "verdict": "healthy"}


def folder(path: Path, score: str, people: list[str], sites: list[str], reason: str) -> Run:
    """A folder of results as small as the page can be built from."""
    cohort = path / "results" / "tiny"
    rng = np.random.default_rng(0)
    scans = pd.DataFrame({"scan": people, "person": people, "session": "", "acquisition": "", "run": ""})
    table = scans.assign(site=[sites[k % 2] for k in range(len(people))], fold=0, age=rng.normal(60, 8, len(people)))
    put(cohort / "cohort/cohort.parquet", table.assign(**{score: rng.normal(size=len(people))}))
    put(cohort / "cohort/excluded.tsv", pd.DataFrame([{"scan": people[0], "person": people[0], "reason": reason}]))
    checks = [{"scan": name, "status": "ok", "template_r": 0.5 + k / 100, "mask_dice": 0.9, "snr": 10 - k / 8,
               "excluded": k == 3, "reason": reason if k == 3 else ""} for k, name in enumerate(people)]  # fmt: skip
    put(cohort / "preprocess/qc.tsv", pd.DataFrame(checks))
    put(
        cohort / "preprocess/duplicates.tsv",
        pd.DataFrame([{"scan_a": people[0], "scan_b": people[1], "r": 0.999, "copy": False}]),
    )
    np.save(cohort / "preprocess/volumes.npy", tiny.cohort(len(people))[0])
    scans.to_parquet(cohort / "preprocess/volumes.parquet")
    mu = {f"mu_{k:03d}": rng.normal(size=len(people)) for k in range(3)}
    put(cohort / f"latents/vae/{FIT}/latents.parquet", scans.assign(split=tiny.roles(len(people)), **mu))
    health = {"kind": "vae", "n_latent": 3, "verdict": "healthy", "reason": reason, "caveats": [], "variance_explained_training": 0.61234, "beta": 1,
              "people_training": 14, "people_validation": 5, "people_test": 5, "kept_epoch": 2, "divergence": "kl"}  # fmt: skip
    stopped = {**health, "verdict": "collapsed", "reason": "no active unit", "kind": "pca", "kept_epoch": None}
    for model, found in (("vae", health), ("pca-3", stopped)):
        file = cohort / f"train/{model}/{FIT}/health.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(found))
    put(cohort / "findings/associations.tsv", associations(score, reason))
    put(cohort / "findings/omnibus.tsv", pd.DataFrame([{"score": score, "model": "vae", "fold": 0, "seed": 0, "p": 0.0123, "q": 0.0123, "partial_r2_cv": 0.21,
                                                         "permutations": 500, **OK}]))  # fmt: skip
    config = {"cohort": {"scores": [{"name": score, "type": "continuous"}], "confounds": [{"name": "age", "type": "continuous"}]},
              "report": {"scans": 3}, "preprocess": SETTINGS}  # fmt: skip
    return Run(cohort, ["pca-3", "vae"], FIT, "vae", ["vae"], path / "captions", config)


SETTINGS = {"voxel_mm": 4, "extract": {"method": "none"}, "register": {"transform": "none", "bias_field": "n4"},
            "normalise": {"method": "zscore"}, "qc": {"thresholds": {"snr": [2, None], "clipped": [None, None]}}}  # fmt: skip


def associations(score: str, reason: str) -> pd.DataFrame:
    same = {"score": score, "type": "continuous", "model": "vae", "fold": 0, "seed": 0, "link": "identity", "n": 24,
            "family": "Gaussian (HC2)", "confounds": "age; left out: 1 without the score", "maxt_family": "3 latents",
            "split_policy": "transductive", "p_nonlinear": 0.4, "permutations": 500, "exchangeability": "people", "maxt_status": "ok", "maxt_reason": "", **OK}  # fmt: skip
    numbers = [
        (-0.51237, 0.00123456, 0.0120, True, "0 of 2"),
        (0.2, 0.25, 0.6, False, "2 of 2"),
        (0.1, 0.9, 1.0, False, "2 of 2"),
    ]
    rows = [same | {"latent": f"mu_{k:03d}", "effect": effect, "ci_low": effect - 0.3, "ci_high": effect + 0.3, "p": p, "q": 3 * p, "q_of": "p",
                    "p_maxt": maxt, "maxt_statistic": -3.0 + k, "p_quadratic_maxt": 1.0, "p_quadratic": 1.0, "flagged": flag, "nuisance": reason if flag else "", "replicated": seen}
            for k, (effect, p, maxt, flag, seen) in enumerate(numbers)]  # fmt: skip
    return pd.DataFrame(
        [*rows, {"model": "pca-3", "fold": 0, "seed": 0, **OK, "status": "not tested", "reason": "no active unit"}]
    )


def put(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, sep="\t", index=False, na_rep="n/a")
