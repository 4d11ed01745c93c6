"""The methods text describes what was run, as it was run."""

import json
from pathlib import Path

import pandas as pd
import pytest
from report_tests import FIT, PEOPLE, associations, joined, run_of

from neurovae.report.sections import methods_inference, methods_models, methods_prediction, participants
from neurovae.train.health.health import STATED

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(("kind", "link", "freedman"), [("continuous", "identity", True), ("continuous", "log", False),
                                                        ("binary", "logit", False)])  # fmt: skip
def test_freedman_and_lane_are_cited_where_the_score_was_permuted(tmp_path: Path, kind: str, link: str, freedman: bool):
    tests = associations(joined(["A"] * PEOPLE)).query("status == 'ok'")
    run = run_of(tmp_path, findings__associations=tests.assign(type=kind, link=link, family="Gaussian (HC2)"))
    said = methods_inference.inference(run)
    assert ("[freedman]" in said) == freedman and ("residuals of the latent" in said) != freedman
    assert (f" and a {link} link" in said) == (link == "log")  # only where it is not the default


def test_maps_are_described_only_where_some_were_made(tmp_path: Path):
    ok, lost = pd.DataFrame({"status": ["ok"], "permutations": [500]}), pd.DataFrame({"status": ["not tested"]})
    (tmp_path / "interpret").mkdir()
    (tmp_path / "interpret/atlas.nii.gz").touch()
    assert methods_prediction.maps(run_of(tmp_path)) == ""
    where = f"interpret/vae/{FIT}"
    assert methods_prediction.maps(run_of(tmp_path, **{f"{where}/maps": lost, f"{where}/jacobian": lost})) == ""
    said = methods_prediction.maps(run_of(tmp_path, **{f"{where}/maps": ok}))
    assert said.startswith("Maps. For each score, the activation pattern") and "Jacobian" not in said
    assert "500 permutations" in said
    assert "Jacobian" in methods_prediction.maps(run_of(tmp_path, **{f"{where}/jacobian": ok}))


def test_the_network_is_described_as_it_was_trained(tmp_path: Path):
    """A search may have replaced what the configuration says."""
    assert {"epochs", "batch", "blur", "network", "cross_fit", *methods_models.AUGMENTED} <= set(
        STATED
    )  # what health.json says of the training
    run = run_of(tmp_path)
    run.config["train"] = {"models": [{"name": "vae", "epochs": 150, "batch": 8, "flip": False}]}
    found = {"kind": "vae", "n_latent": 16, "verdict": "healthy", "kept_epoch": 203, "epochs": 400, "batch": 4,
             "linear": "pca", "flip": True, "blur": 4.0, "mixup": 0.5, "noise": 0.2, "jitter": 0.0,
             "reconstruction": "gaussian", "divergence": "kl", "beta": 1, "people_training": 9, "people_validation": 2,
             "people_test": 1, "variance_explained_test": 0.51,
             "identification_accuracy_test": {"rate": 0.5, "people": 2, "chance": 1.0}}  # fmt: skip
    path = tmp_path / f"train/vae/{FIT}/health.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))
    said = methods_models.latent_models(run)
    for part in ("16 latent variables", "the KL divergence weighted by beta = 1", "in batches of 4 for at most 400 epochs",
                 "the parameters of epoch 203 were kept", "left-right mirroring, mixup of 50% of the scans", "(SD 4 mm)",
                 "comprised 9, 2 and 1 participants", "explained 51 % of the variance and identified 1 of 2"):  # fmt: skip
        assert part in said, part
    assert "150" not in said and "jitter" not in said and "Optuna" not in said
    path.write_text(json.dumps(found | {"linear": "none", "flip": False}))
    said = methods_models.latent_models(run)
    assert "Gaussian kernel" not in said and "mirroring" not in said and "principal components" not in said
    path.write_text(json.dumps(found | {"linear": "localised", "network": "local", "cross_fit": 4, "taper_mm": 90.0}))
    said = methods_models.latent_models(run)
    for part in ("Latents were inferred and decoded linearly", "corrected the linear reconstruction at each voxel",
                 "the PCA was cross-fitted in 4 groups of training participants [crossfit]",
                 "The covariance between voxels was localised"):  # fmt: skip
        assert part in said, part
    assert "Encoder and decoder were" not in said


def test_repeated_sessions_are_described_where_they_were_tested(tmp_path: Path):
    row = {"score": "dx", "model": "vae", "fold": 0, "seed": 0, "term": "within", "family": "binomial (GEE)", "n": 20,
           "n_scans": 55, "exchangeability": "sessions within a person", "status": "ok"}  # fmt: skip
    assert methods_inference.repeated(run_of(tmp_path)) == ""
    said = methods_inference.repeated(run_of(tmp_path, findings__mixed=pd.DataFrame([row, row | {"latent": "mu_001"}])))
    assert said.count("dx, within: binomial (GEE), 20 participants with 55 scans") == 1
    assert methods_inference.repeated(run_of(tmp_path, findings__mixed=pd.DataFrame([row | {"status": "flat"}]))) == ""


def test_imputation_is_described_where_rows_rest_on_it(tmp_path: Path):
    tests = associations(joined(["A"] * PEOPLE)).query("status == 'ok'")
    assert "imputed" not in methods_inference.inference(run_of(tmp_path, findings__associations=tests))
    text = "age (line), sex (2 levels); imputed (20 times): age of 9 people; left out: 6 without the score"
    said = methods_inference.inference(run_of(tmp_path, findings__associations=tests.assign(confounds=text)))
    assert "Confounds were age (line), sex (2 levels)." in said and "6 without the score" in said
    assert "Rubin's rules [rubin]" in said and f"Imputed: {tests['score'].iloc[0]}: age of 9 participants" in said


def test_a_confound_that_many_lack_is_named(tmp_path: Path):
    run = run_of(tmp_path)
    run.config["cohort"] = {"scores": [{"name": "a"}], "confounds": [{"name": "age"}, {"name": "sex"}]}
    table = pd.DataFrame(
        {"person": [f"p{k}" for k in range(20)], "a": 1.0, "age": [None] * 3 + [50.0] * 17, "sex": "F"}
    )
    (said,) = participants.lacking(run, table)
    assert said.startswith("age is missing in 3 of 20 participants with a score (15%).") and "leave them out" in said
    run.config["cohort"]["missing_confounds"] = "impute"
    assert "imputed" in participants.lacking(run, table)[0]
    assert participants.lacking(run, table.assign(age=1.0)) == []
