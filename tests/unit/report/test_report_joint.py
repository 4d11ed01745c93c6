"""Joint models in report, summary and methods: what is said of each score, and of a block that was ignored."""

from pathlib import Path

import pandas as pd

from neurovae.report.results import Run
from neurovae.report.sections import joint

TRACK = {"track": "supervised", "model": "j", "kind": "joint", "seed": 0, "n": 80}
MODEL = {"name": "j", "kind": "joint", "n_shared": 5, "n_private": 2}


def run(folder: Path) -> Run:
    """The results of one joint model, with a collapsed block in two folds."""
    place = folder / "supervised" / "j" / "seed-0"
    place.mkdir(parents=True)
    both = {"r2_low": 0.3, "r2_high": 0.5, "gain": 0.02, "gain_low": -0.03, "gain_high": 0.07, "inputs": "image"}
    scores = [
        TRACK | both | {"score": "updrs", "method": "joint", "r2": 0.41, "gain": None},
        TRACK | both | {"score": "updrs", "method": "ridge on voxels", "r2": 0.39},
    ]
    pd.DataFrame(scores).to_csv(place / "scores.tsv", sep="\t", index=False, na_rep="n/a")
    images = [TRACK | {"method": "joint", "variance_explained": 0.05, "ci_low": 0.01, "ci_high": 0.09}]
    pd.DataFrame(images).to_csv(place / "images.tsv", sep="\t", index=False, na_rep="n/a")
    health = [
        TRACK | {"fold": fold, "block": block, "split": "training", "verdict": verdict, "remedy": "do that"}
        for fold in (0, 1)
        for block, verdict in (("image", "collapsed"), ("clinical", "healthy"))
    ]
    pd.DataFrame(health).to_csv(place / "health.tsv", sep="\t", index=False, na_rep="n/a")
    return Run(folder, ["pca"], "fold-0_seed-0", "pca", [], folder, {"train": {"models": [MODEL]}})


def test_every_sentence_says_supervised_and_what_ridge_gives(tmp_path: Path) -> None:
    of_run = run(tmp_path)
    lines = joint.summary_lines([tmp_path / "supervised" / "j" / "seed-0" / "scores.tsv"])
    assert lines[0] == (
        "updrs (model j, supervised, cross-fitted): R² 0.41 [0.30, 0.50] from the image in 80 left-out participants; "
        "ridge on voxels 0.39, difference 0.02 [-0.03, 0.07]."
    )
    assert "variance explained over voxels 0.05 [0.01, 0.09]" in lines[1] and "supervised, cross-fitted" in lines[1]
    blocks = joint.joint(of_run)
    said = " ".join(str(block) for block in blocks)
    assert "Model j, image: collapsed in folds 0 and 1: do that." in said and "clinical: healthy" not in said
    assert "5 shared and 2 private latents" in joint.methods(of_run)


def test_nothing_is_said_without_a_joint_model(tmp_path: Path) -> None:
    of_run = Run(
        tmp_path, ["pca"], "fold-0_seed-0", "pca", [], tmp_path, {"train": {"models": [{"name": "pca", "kind": "pca"}]}}
    )
    assert joint.joint(of_run) == [] and joint.methods(of_run) == ""
