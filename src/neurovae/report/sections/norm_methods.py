"""How brain age and deviations were computed, for the methods text."""

from typing import Any

from neurovae.norm.held_out import PARTS
from neurovae.norm.words import NORMED
from neurovae.report.results import Run, read


def methods(run: Run) -> str:
    """Empty in a run without `norm.age`."""
    section = run.config.get("norm") or {}
    parts = [_brain_age(run, section), _deviation(run, section)]
    return " ".join(part for part in parts if part)


def _brain_age(run: Run, section: dict[str, Any]) -> str:
    done = [read(run, f"norm/{model}/brain_age_metrics.tsv") for model in run.models]
    if not any(found is not None and (found["status"] == "ok").any() for found in done):
        return ""
    who = "participants of the reference group" if run.config["cohort"].get("reference_group") else "all participants"
    return (
        "Brain age. Age at the scan was predicted from the latents by ridge regression, tuned and fitted in the "
        f"training folds of {who}, and applied to the held-out fold. Mean absolute error, R² and r are those of the "
        "uncorrected predictions, beside the error of predicting the mean age; accuracy after correction for age is "
        "not reported [butler]. For display, the gap (predicted minus true age) was adjusted by its regression on age "
        "in out-of-fold reference participants of the other folds [beheshti, delange]. Scores were regressed on "
        "predicted age, a 3-df natural spline of age and the confounds, which needs no correction of the gap, with "
        f"p values from {section['permutations']:,} permutations [freedman]."
    )


def _deviation(run: Run, section: dict[str, Any]) -> str:
    done = [read(run, f"norm/{model}/deviation.tsv") for model in run.models]
    states = {found["status"].iloc[0] for found in done if found is not None}
    if not states & set(NORMED):
        return ""
    folds = (run.config.get("train") or {}).get("folds", [])
    within, combined = (
        ("", "") if len(folds) == 1 else ("within each fold ", "; folds were combined by the median percentile")
    )
    return (
        "Normative deviation. Models were trained on the reference group alone; all other participants were held out. "
        f"{_maps(section, len(folds) == 1) if 'ok' in states else ''}The distance of the latents was computed {within}"
        "with a shrinkage covariance [ledoit] and compared with the leave-one-out distances of held-out reference "
        f"participants{combined}."
    )


def _maps(section: dict[str, Any], one_model: bool) -> str:
    """The norms of voxels and regions, which a cohort without images does not have."""
    given = "age and sex" if section["sex"] else "age"
    others = f"the other {PARTS - 1} of {PARTS} parts" if one_model else "the other folds"
    return (
        "The residual of each held-out scan (scan minus reconstruction), smoothed with a Gaussian kernel of "
        f"{section['smooth_mm']:g} mm full width at half maximum, was expressed in standard deviations, with mean and "
        f"log-variance of the residual modelled on {given}, and its skewness, in held-out reference participants of "
        f"{others}, and with the uncertainty of mean and variance (predictive t). The same norm of the smoothed scans "
        "is reported for comparison. Centiles are given with "
        "the sampling error of the norm [bozek]. "
    )
