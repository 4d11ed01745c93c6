"""The tables of a joint model in the supervised stage, and the metrics in them."""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.predict.metrics import metric_table, person_weights, summary

METHOD = "joint"
BASE = {"track": "object", "model": "object", "kind": "object", "seed": "Int64"}
METRICS = ("r2", "r", "mae", "calibration_slope", "calibration_intercept")
SCORES = BASE | {
    "score": "object", "type": "object", "volume": "Int64", "method": "object", "inputs": "object", "n": "Int64",
    "r2": "float64", "r2_low": "float64", "r2_high": "float64", "r": "float64", "mae": "float64",
    "calibration_slope": "float64", "calibration_intercept": "float64", "coverage": "float64", "gain": "float64",
    "gain_low": "float64", "gain_high": "float64",
}  # fmt: skip
IMAGES = BASE | {
    "method": "object", "inputs": "object", "n": "Int64", "variance_explained": "float64", "ci_low": "float64",
    "ci_high": "float64", "gain": "float64", "gain_low": "float64", "gain_high": "float64",
}  # fmt: skip
LEFT_OUT = BASE | {
    "score": "object", "type": "object", "method": "object", "inputs": "object", "scan": "object", "person": "object",
    "fold": "Int64", "truth": "float64", "prediction": "float64", "low": "float64", "high": "float64",
    "training_mean": "float64",
}  # fmt: skip
BLOCKS = BASE | {
    "fold": "Int64", "block": "object", "split": "object", "n": "Int64", "variance_explained_own": "float64",
    "variance_explained_cross": "float64", "variance_explained_shared": "float64", "kl_shared": "float64",
    "kl_private": "float64", "kl_shared_fraction": "float64", "clinical_weight": "float64", "verdict": "object",
    "remedy": "object",
}  # fmt: skip


def long(
    keys: pd.DataFrame, items: list[dict[str, Any]], truth: np.ndarray, mean: np.ndarray, method: str, inputs: str,
    value: np.ndarray, low: np.ndarray | None = None, high: np.ndarray | None = None,
) -> pd.DataFrame:  # fmt: skip
    """A row per person and known score."""
    found = []
    for j, item in enumerate(items):
        one = keys.assign(score=item["name"], type=item["type"], method=method, inputs=inputs, truth=truth[:, j],
                          prediction=value[:, j], low=np.nan if low is None else low[:, j],
                          high=np.nan if high is None else high[:, j], training_mean=mean[j])  # fmt: skip
        found.append(one[one["truth"].notna() & one["prediction"].notna()])
    return pd.concat(found, ignore_index=True)


def score_rows(predictions: pd.DataFrame, base: dict[str, Any], bootstraps: int, seed: int) -> list[dict[str, Any]]:
    """A row per score, method and inputs; gain: R2 of the joint model, from the image alone, above this method's.

    volume: where the score stands in the maps of decoded change, from 0.

    Intervals are of a bootstrap of people within their folds, with the fitted models held fixed.
    """
    rows = []
    for (score, kind, volume), of_score in predictions.groupby(["score", "type", "volume"], sort=False):
        reference = of_score[(of_score["method"] == METHOD) & (of_score["inputs"] == "image")]
        for (method, inputs), own in of_score.groupby(["method", "inputs"], sort=False):
            draws = person_weights(own["person"].to_numpy(str), own["fold"].to_numpy(int), bootstraps, seed)
            values = {str(one["metric"]): one for one in metric_table(own.assign(probability=np.nan), False, draws)}
            row = base | {"score": score, "type": kind, "volume": volume, "method": method, "inputs": inputs}
            row |= {"n": len(own)}
            row |= {name: values[name]["value"] for name in METRICS}
            row |= {"r2_low": values["r2"]["ci_low"], "r2_high": values["r2"]["ci_high"]}
            if method == METHOD:
                inside = (own["truth"] >= own["low"]) & (own["truth"] <= own["high"])
                row["coverage"] = float(inside.mean())
            if (method, inputs) != (METHOD, "image"):
                both = own.merge(reference[["scan", "prediction"]], on="scan", suffixes=("", "_joint"))
                draws = person_weights(both["person"].to_numpy(str), both["fold"].to_numpy(int), bootstraps, seed)
                total = np.square(both["truth"] - both["training_mean"]).to_numpy()
                less = np.square(both["truth"] - both["prediction"]) - np.square(
                    both["truth"] - both["prediction_joint"]
                )
                row |= _gain(draws @ less.to_numpy() / (draws @ total))
            rows.append(row)
    return rows


def image_rows(errors: pd.DataFrame, base: dict[str, Any], bootstraps: int, seed: int) -> list[dict[str, Any]]:
    """A row per method: variance explained over voxels of left-out people's images, predicted from their scores."""
    draws = person_weights(errors["person"].to_numpy(str), errors["fold"].to_numpy(int), bootstraps, seed)
    total = draws @ errors["total"].to_numpy()
    methods = [name for name in errors.columns if name not in ("scan", "person", "fold", "total")]
    explained = {name: 1 - draws @ errors[name].to_numpy() / total for name in methods}
    rows = []
    for name in methods:
        found = summary(explained[name])
        row = base | {"method": name, "inputs": "clinical", "n": len(errors), "variance_explained": found["value"]}
        row |= {"ci_low": found["ci_low"], "ci_high": found["ci_high"]}
        rows.append(row | (_gain(explained[METHOD] - explained[name]) if name != METHOD else {}))
    return rows


def _gain(values: np.ndarray) -> dict[str, float]:
    found = summary(values)
    return {"gain": found["value"], "gain_low": found["ci_low"], "gain_high": found["ci_high"]}
