"""Prediction of held-out participants: models and baselines, calibration, importance, and the tables."""

from neurovae.report.blocks import NOT_WRITTEN, Block, by_model, heading, missing, picture, pictures, table
from neurovae.report.results import COMPARISONS, PREDICTIONS, Run, read

PREDICTED = {"score": "score", "model": "model", "seed": "seed", "features": "features", "learner": "learner",
             "metric": "metric", "value": "value", "ci_low": "95 % CI low", "ci_high": "95 % CI high",
             "gain": "gain over confounds", "p_permutation": "permutation p", "n": "n",
             "policy": "training of the latent model", "verdict": "model verdict", "status": "status",
             "reason": "note"}  # fmt: skip
COMPARED = {"score": "score", "model": "model", "features": "features", "against": "baseline", "learner": "learner",
            "metric": "metric", "difference": "difference", "ci_low": "95 % CI low", "ci_high": "95 % CI high",
            "p": "p", "favours": "favours", "policy": "training of the latent models", "status": "status",
            "reason": "note"}  # fmt: skip


WORDS = {
    "latents": "latents alone", "voxels": "voxels alone", "confounds": "confounds alone",
    "latents without confounds": "latents residualised on the confounds",
    "voxels without confounds": "voxels residualised on the confounds",
    "transductive against per fold": "model: once, on scans that include those of the test folds; "
                                     "baseline: within each fold",
}  # fmt: skip
METRICS = (
    "Prediction metrics of every model, learner and feature set. Transductive: the latent model was trained without "
    "scores, but on scans that included those of participants in the test folds. The permutation p is from the test of "
    "the gain over confounds"
)
AGAINST = (
    "Comparison of each model with its baselines in the same participants and folds: mean difference over the test "
    "folds, with the corrected resampled t test. The findings give another test of the gain over confounds, by "
    "permutation of the score; the t test over few folds has less power. R² is the mean over folds here, and pooled "
    "over participants in the table above"
)


def predictions(run: Run) -> list[Block]:
    """Models and baselines side by side, calibration, importance, and the tables."""
    blocks = [picture(run, "baselines.png", "prediction by all models and baselines")]
    names = {"calibration": "observed against predicted", "importance": "permutation importance of the latents"}
    if any(one["type"] == "survival" for one in run.config.get("cohort", {}).get("scores") or []):
        names["survival"] = "Kaplan-Meier curves by thirds of the predicted risk of held-out participants"
    for model in run.ordered():
        blocks += by_model(run, model, [heading(model), *pictures(run, model, run.seed, names)])
    return [
        *blocks,
        _table(run, PREDICTIONS, PREDICTED, run.worded(METRICS)),
        _table(run, COMPARISONS, COMPARED, AGAINST),
    ]


def _table(run: Run, path: str, heads: dict[str, str], title: str) -> Block:
    """A table with its features and policies in words: the figure's `alone` is another thing than `residualised`."""
    found = read(run, path)
    if found is None:
        return missing(path, NOT_WRITTEN)
    columns = {name: found[name].replace(WORDS) for name in ("features", "policy", "against") if name in found}
    return table(found.assign(**columns), heads, path, title)
