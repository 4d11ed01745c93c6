"""The methods of the run as text for a paper, written from the configuration and from what the tables say was done."""

import json
import re
from pathlib import Path
from typing import Any

from neurovae.report.blocks import Run, read, shown
from neurovae.report.sections.methods_tests import audits, inference, maps, prediction, software
from neurovae.report.sections.models import health
from neurovae.report.sections.people import limit
from neurovae.report.sections.tested import COHORT, QUALITY, analysed

WORKS: dict[str, tuple[str, str]] = json.loads(
    (Path(__file__).parents[1] / "assets" / "references.json").read_text(encoding="utf-8")
)
EXTRACT = {"deepbet": "Brains were extracted with deepbet [deepbet]",
           "template": "Brain masks were propagated from the template",
           "none": "Scans were skull-stripped beforehand"}  # fmt: skip
NORMALISE = {"zscore": "scaled to mean 0 and standard deviation 1 inside the brain",
             "percentile": "scaled by percentiles inside the brain",
             "white-matter": "divided by the white-matter peak",
             "reference": "divided by the mean of a reference region", "none": "left as they were"}  # fmt: skip
KINDS = {"vae": "a variational autoencoder [vae]", "autoencoder": "an autoencoder",
         "pca": "principal component analysis [ppca]", "mds": "metric multidimensional scaling (SMACOF)",
         "isomap": "Isomap [isomap]", "lle": "locally linear embedding [lle]"}  # fmt: skip

AUGMENTED = {"flip": "mirror images of scans", "mixup": "averages of two people in place of {:.0%} of scans",
             "noise": "noise of standard deviation {:g} on inputs",
             "jitter": "random affine jitter of {:g} degrees, mm and percent"}  # fmt: skip


def paragraphs(run: Run) -> list[str]:
    """Participants, preprocessing, models, inference, prediction, audits, maps and software; a paragraph each."""
    made = [
        people(run),
        preprocessing(run),
        models(run),
        inference(run),
        prediction(run),
        audits(run),
        maps(run),
        software(run),
    ]
    return [words for words in made if words]


def cited(words: list[str]) -> tuple[list[str], list[str]]:
    """The paragraphs with "[key]" turned into "(Author, year)", and the references that they use, in order of name."""
    keys = sorted({key for part in words for key in re.findall(r"\[([a-z0-9]+)\]", part) if key in WORKS})
    told = [
        re.sub(r"\[([a-z0-9]+)\]", lambda m: f"({WORKS[m[1]][0]})" if m[1] in WORKS else m[0], part) for part in words
    ]
    return told, sorted(WORKS[key][1] for key in keys)


def people(run: Run) -> str:
    """Who was studied."""
    table, left, checks = (read(run, path) for path in (COHORT, "cohort/excluded.tsv", QUALITY))
    if table is None:
        return ""
    kept, cohort = analysed(table, checks), run.config["cohort"]
    sites, unknown = kept["site"].nunique(), int(kept["site"].isna().sum())
    said = [
        f"Participants. {kept['person'].nunique()} {'simulated ' if cohort.get('simulate') else ''}people with "
        f"{len(kept)} scans ({cohort.get('suffix', 'T1w')}) from {sites or 'an unknown number of'} site(s) were "
        f"analysed, of {table['person'].nunique()} people with {len(table)} scans before quality control.",
        f"The site of {unknown} scans is not known." if sites and unknown else "",
        f"{len(left)} scans or table rows without a counterpart were left out." if left is not None else "",
    ]
    if checks is not None:
        said += [f"{int(checks['excluded'].astype(bool).sum())} of {len(checks)} scans were excluded for quality."]
    return " ".join(words for words in said if words)


def preprocessing(run: Run) -> str:
    """How scans became volumes."""
    made = run.config.get("preprocess")
    if not made:
        return ""
    register = made["register"]
    said = f"Preprocessing. {EXTRACT[made['extract']['method']]}. "
    said += "Intensity inhomogeneity was corrected with N4 [n4]. " if register["bias_field"] == "n4" else ""
    if register["transform"] != "none":
        said += "Brains were registered to the ICBM 2009a symmetric template [template] by "
        said += f"{register['transform']} transforms "
        said += f"with ANTs [ants], computed at {register['template_mm']:g} mm, and resampled once"
    else:
        said += "Scans were in MNI space beforehand, and resampled"
    said += f" to a grid of {made['voxel_mm']:g} mm. Intensities were {NORMALISE[made['normalise']['method']]}. "
    thresholds = {name: pair for name, pair in made["qc"]["thresholds"].items() if pair != [None, None]}
    named = ", ".join(f"{name} {limit(pair)}" for name, pair in thresholds.items())
    return said + (f"Scans had to meet these limits: {named}." if named else "No limits were set on quality.")


def models(run: Run) -> str:
    """What was trained, on whom, and what became of it."""
    found = {model: health(run, model) for model in run.ordered()}
    known = {model: one for model, one in found.items() if one}
    if not known:
        return ""
    one, train = next(iter(known.values())), run.config.get("train", {})  # the people are those of every model
    search = train.get("search", {})
    verdicts = {model: "; ".join([one["verdict"], *one.get("caveats", [])]) for model, one in known.items()}
    told = "; ".join(f"{model}: {verdict} ({known[model].get('reason', '')})" for model, verdict in verdicts.items())
    said = [
        f"Models. {len(known)} model(s) of the volumes inside a fixed mask were fitted without any score: "
        + "; ".join(_model(model, one) for model, one in known.items())
        + ".",
        f"Training, validation and test sets comprised {one['people_training']}, {one['people_validation']} and "
        f"{one['people_test']} participants ({run.fit}).",
        f"Folds {train.get('folds')} and seeds {train.get('seeds')} were trained.",
        f"Hyperparameters of {search['model']} were chosen by {search['trials']} trials with Optuna [optuna], on "
        "people who set the weights or end the training."
        if search.get("model")
        else "",
        f"Verdicts, by rules fixed beforehand: {told}.",
        f"{primary(run)} The approach is that of the tutorial [tutorial].",
    ]
    return " ".join(words for words in said if words)


def primary(run: Run) -> str:
    """Which model was the primary one; that it was named beforehand is only said where the configuration names it."""
    named = (run.config.get("associate") or {}).get("primary")
    how = "was named in the configuration" if named else "is the first in the configuration, which names none"
    return f"The primary model, {run.primary}, {how}."


def _model(model: str, one: dict[str, Any]) -> str:
    said = f"{model}, {KINDS.get(one['kind'], one['kind'])} with {one['n_latent']} latents"
    if one["kind"] in ("vae", "autoencoder"):
        loss = str(one.get("reconstruction")).replace("gaussian", "Gaussian")
        said += f", {'1 - SSIM [ssim]' if loss == 'dssim' else loss} reconstruction loss"
        said += {
            "kl": f", KL divergence with beta {shown(one.get('beta'))}",
            "mmd": ", maximum mean discrepancy [infovae]",
        }.get(str(one.get("divergence")), "")
        said += ", correcting the probabilistic PCA of the training people [ppca]" if one.get("linear") == "pca" else ""
        said += f", weights of epoch {one['kept_epoch']} kept" if one.get("kept_epoch") is not None else ""
        said += f" (at most {one['epochs']} epochs, batches of {one['batch']})" if one.get("epochs") else ""
    made = [words.format(one[name]) for name, words in AUGMENTED.items() if one.get(name)]
    if one.get("blur") and (one["kind"] == "pca" or one.get("linear") == "pca"):
        made += [f"copies blurred by {one['blur']:g} mm (standard deviation) for the principal components"]
    return said + (f", trained with {', '.join(made)}" if made else "")
