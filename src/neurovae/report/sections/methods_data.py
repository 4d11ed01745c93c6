"""The methods text up to the models: participants, preprocessing."""

from neurovae.plan.derivatives import space
from neurovae.report.results import COHORT, EXCLUDED, QUALITY, Run, analysed, counted, read
from neurovae.report.text import count, listed

EXTRACT = {"deepbet": "Brains were extracted with deepbet [deepbet].",
           "template": "Brain masks were propagated from the template by affine registration [ants].",
           "mask": "The brain masks of the tool that had preprocessed the images were used.",
           "none": "Images had been skull-stripped beforehand."}  # fmt: skip
NORMALISE = {"zscore": "Intensities were z-scored within the brain.",
             "percentile": "Intensities were scaled by percentiles within the brain.",
             "white-matter": "Intensities were divided by the white-matter peak.",
             "reference": "Intensities were divided by the mean of a reference region.",
             "none": "Intensities were not normalised."}  # fmt: skip
TRANSFORM = {"affine": "affine registration with ANTs [ants]",
             "syn": "affine and nonlinear (SyN) registration with ANTs [ants, syn]"}  # fmt: skip
OUT_OF = {
    "clipped": ("at most {} % of brain voxels had saturated (clipped) intensities",
                "more than {} % of brain voxels had saturated (clipped) intensities"),
    "outside_fov": ("at most {} % of the brain lay outside the field of view",
                    "more than {} % of the brain lay outside the field of view"),
    "orientation_lead": ("the R² with the template in the orientation given by the image header did not exceed that in "
                         "the best alternative orientation by at least {}",
                         "the R² with the template in the orientation given by the image header exceeded that in the "
                         "best alternative orientation by more than {}"),
}  # what excluded a scan, by a lower and by an upper threshold  # fmt: skip
FRACTIONS = ("clipped", "outside_fov")
LIMITED = {"mask_dice": "the Dice overlap between their brain mask and the template's was {}",
           "mask_ml": "brain volume was {} ml", "snr": "the signal-to-noise ratio was {}",
           "template_r": "the correlation with the template was {}"}  # fmt: skip
WEIGHTED = {"T1w": "T1-weighted", "T2w": "T2-weighted", "PDw": "proton-density-weighted", "FLAIR": "FLAIR"}


def participants(run: Run) -> str:
    """Who was studied."""
    table, left, checks = (read(run, path) for path in (COHORT, EXCLUDED, QUALITY))
    if table is None:
        return ""
    kept, cohort = analysed(table, checks), run.config["cohort"]
    sites, unknown = kept["site"].nunique(), int(kept["site"].isna().sum())
    people = "simulated participant" if cohort.get("simulate") else "participant"
    where = f" from {count(sites, 'site')}" if sites else ""
    if not run.images:
        out = 0 if checks is None else int(checks["excluded"].astype(bool).sum())
        gone = out + (0 if left is None else len(left))
        said = [f"Participants. The analysis included {counted(run, kept)}{where}, without images."]
        said += [f"The site of {count(unknown, 'participant')} was unknown."] if sites and unknown else []
        return " ".join([*said, *([f"{count(gone, 'table row')} had been excluded."] if gone else [])])
    suffix, n = cohort.get("suffix", "T1w"), kept["person"].nunique()
    scan = f"{WEIGHTED.get(suffix, suffix)} scan"
    scans = f"one {scan} each" if n == len(kept) > 1 else count(len(kept), scan)
    said = [f"Participants. The analysis included {count(n, people)}{where}, with {scans}."]
    said += [f"The site of {count(unknown, 'scan')} was unknown."] if sites and unknown else []
    if left is not None and len(left):
        said += [f"Before preprocessing, {count(len(left), 'scan or table row', 'scans or table rows')} without a "
                 "counterpart were excluded."]  # fmt: skip
    if checks is not None:
        out = int(checks["excluded"].astype(bool).sum())
        said += [f"{out} of {len(checks)} scans failed quality control and were excluded." if out else
                 "No scan failed quality control."]  # fmt: skip
    return " ".join(said)


def preprocessing(run: Run) -> str:
    """How scans became volumes."""
    settings = run.config.get("preprocess")
    if not settings or not run.images:
        return ""
    register, size = settings["register"], f"{settings['voxel_mm']:g}-mm isotropic voxels"
    said = [f"Preprocessing. {EXTRACT[settings['extract']['method']]}"]
    if register["bias_field"] == "n4":
        said += ["Intensity non-uniformity was corrected with N4BiasFieldCorrection [n4]."]
    if register["transform"] in TRANSFORM:
        said += [f"Images were registered to the ICBM 152 nonlinear symmetric template (version 2009a; [template]) by "
                 f"{TRANSFORM[register['transform']]} at {register['template_mm']:g}-mm resolution, and resampled to "
                 f"{size} in a single interpolation step."]  # fmt: skip
    else:
        name = space(run.config["cohort"], [run.config["cohort"].get("files") or ""])[0]
        said += [f"Images were in MNI space{f' ({name})' if name else ''} and were resampled to {size}."]
    said += [NORMALISE[settings["normalise"]["method"]]]
    thresholds = {name: pair for name, pair in settings["qc"]["thresholds"].items() if pair != [None, None]}
    excluded = [words for name, pair in thresholds.items() for words in _excluded(name, *pair)]
    return " ".join([*said, f"Scans were excluded if {listed(excluded, 'or')}."] if excluded else said)


def _excluded(name: str, low: float | None, high: float | None) -> list[str]:
    """What excluded a scan, one clause for each threshold or both."""
    if name in OUT_OF:
        scale = 100 if name in FRACTIONS else 1
        return [
            OUT_OF[name][k].format(f"{scale * value:g}") for k, value in enumerate((low, high)) if value is not None
        ]
    limits = [f"{side} {value:g}" for side, value in (("below", low), ("above", high)) if value is not None]
    return [LIMITED.get(name, f"{name} was {{}}").format(" or ".join(limits))]
