"""Columns of the tables of aligned models."""

BASE = {"track": "object", "score": "object", "type": "object", "model": "object", "kind": "object",
        "direction": "object", "network": "object", "seed": "Int64", "latent": "object"}  # fmt: skip
TESTS = BASE | {
    "n": "Int64", "confounds": "object", "n_confound_columns": "Int64",
    "partial_r": "float64", "ci_low": "float64", "ci_high": "float64",
    "p_permutation": "float64", "permutations": "Int64", "permutation": "object",
    "effect": "float64", "effect_low": "float64", "effect_high": "float64",
    "r2": "float64", "r2_confounds": "float64", "r2_gain": "float64",
    "fold": "Int64", "n_split": "Int64", "p_split": "float64",
    "folds": "Int64", "p_folds": "float64",
    "splits": "Int64", "p_splits": "float64", "p_splits_ruger": "float64",
    "twin_partial_r": "float64", "twin_r2": "float64",
    "gain": "float64", "gain_low": "float64", "gain_high": "float64",
    "pattern_r": "float64", "status": "object", "reason": "object",
}  # fmt: skip
FOLDS = BASE | {
    "fold": "Int64", "n_training": "Int64", "n": "Int64", "family": "object", "effect": "float64", "ci_low": "float64",
    "ci_high": "float64", "p": "float64", "p_one_sided": "float64", "status": "object", "reason": "object",
}  # fmt: skip
PREDICTIONS = BASE | {
    "scan": "object", "person": "object", "fold": "Int64", "truth": "float64", "value": "float64",
    "prediction": "float64", "prediction_confounds": "float64", "training_mean": "float64", "residual": "float64",
    "residual_value": "float64",
}  # fmt: skip
