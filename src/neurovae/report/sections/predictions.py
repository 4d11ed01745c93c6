"""Prediction of held-out participants: models and baselines, calibration, importance, and the tables."""

from neurovae.report.blocks import Block, by_model, file_table, heading, picture, pictures
from neurovae.report.results import COMPARISONS, PREDICTIONS, Run

PREDICTED = {"score": "score", "model": "model", "seed": "seed", "features": "features", "learner": "learner",
             "metric": "metric", "value": "value", "ci_low": "95 % CI low", "ci_high": "95 % CI high",
             "gain": "gain over confounds", "p_permutation": "permutation p", "n": "n",
             "policy": "training of the model", "verdict": "model verdict", "status": "status",
             "reason": "reason"}  # fmt: skip
COMPARED = {"score": "score", "model": "model", "features": "features", "against": "baseline", "learner": "learner",
            "metric": "metric", "difference": "difference", "ci_low": "95 % CI low", "ci_high": "95 % CI high",
            "p": "p", "favours": "favours", "policy": "training of the model", "status": "status",
            "reason": "reason"}  # fmt: skip


def predictions(run: Run) -> list[Block]:
    """Models and baselines side by side, calibration, importance, and the tables."""
    blocks = [picture(run, "baselines.png", "prediction by all models and baselines")]
    names = {"calibration": "predicted against observed", "importance": "permutation importance of the latents"}
    for model in run.ordered():
        blocks += by_model(run, model, [heading(model), *pictures(run, model, run.seed, names)])
    title = "Comparison of each model with its baselines in the same participants and folds"
    return [
        *blocks,
        file_table(run, PREDICTIONS, PREDICTED, "Prediction metrics of every model, learner and feature set"),
        file_table(run, COMPARISONS, COMPARED, title),
    ]
