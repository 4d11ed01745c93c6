"""The supervised track: latents that a score entered, tested in participants who were left out of each fit."""

import pandas as pd

from neurovae.report.blocks import Block, details, note, pictures, table, text
from neurovae.report.results import LEVEL, Row, Run, read
from neurovae.report.text import count, listed, p_value, two_digits, unsigned

TESTS = "supervised/tests.tsv"
HEADS = {"score": "score", "model": "model", "track": "track", "direction": "direction", "network": "network", "n": "n",
         "partial_r": "partial r", "ci_low": "95 % CI low", "ci_high": "95 % CI high",
         "p_permutation": "permutation p", "effect": "score per SD of the latent", "effect_low": "CI low",
         "effect_high": "CI high", "r2": "R² of confounds and latent", "r2_confounds": "R² of confounds alone",
         "r2_voxels": "R² of ridge on voxels", "r2_latents": "R² of unsupervised latents", "p_split": "p, one split",
         "n_split": "n of the split", "p_folds": "p, folds combined", "p_splits": "p, random halves combined",
         "twin_partial_r": "partial r of the linear twin", "gain": "gain over the twin", "gain_low": "gain, CI low",
         "gain_high": "gain, CI high", "twin_r2": "R² of the linear twin", "pattern_r": "r of the folds' patterns",
         "agreement_map": "r of the pattern with the unsupervised score map",
         "agreement_t": "r of the pattern with the test of voxels", "agreement_reason": "note on maps",
         "confounds": "confounds", "permutation": "permuted",
         "status": "status", "reason": "note"}  # fmt: skip
FOLDS = {"score": "score", "fold": "test fold", "track": "track", "n_training": "training n", "n": "n",
         "family": "regression", "effect": "effect", "ci_low": "95 % CI low", "ci_high": "95 % CI high",
         "p_one_sided": "one-sided p", "status": "status", "reason": "note"}  # fmt: skip
TITLE = (
    "Supervised, cross-fitted: tests of each declared score against its latent in left-out participants. The "
    "permutation p is the primary one; the others test the same question with less power, and are not further evidence"
)
OF_FOLDS = "Supervised, cross-fitted: the regression of the score on the latent in the test participants of each fold"
UNSUPERVISED = (
    "Unsupervised: no score entered the models of this section. Supervised models are in a section of their own."
)
EXPLAINED = (
    "A score entered the fit of these models, so that their latents follow it in the participants they were fitted on, "
    "whether or not the images say anything about it. All numbers here are from participants who were left out of the "
    "fit, of the adjustment for confounds and of the choice of the penalty (supervised, cross-fitted)."
)


def supervised(run: Run) -> list[Block]:
    """A sentence per score and model, figures and tables; nothing in a run without supervised models."""
    found = read(run, TESTS)
    if found is None:
        return []
    blocks = [note(EXPLAINED, "info"), *(text(line) for line in sentences(found))]
    for (model, seed), _ in found.groupby(["model", "seed"], sort=False):
        blocks += pictures(run, str(model), f"seed-{seed}", {"supervised": "latents in left-out participants"})
    blocks.append(table(found, HEADS, TESTS, TITLE))
    for (model, seed), _ in found.groupby(["model", "seed"], sort=False):
        path = f"supervised/{model}/seed-{seed}/folds.tsv"
        rows = read(run, path)
        blocks += [] if rows is None else [details(f"Model {model}, by fold", [table(rows, FOLDS, path, OF_FOLDS)])]
    return blocks


def sentences(tests: pd.DataFrame) -> list[str]:
    """What each test says, in a sentence."""
    return [sentence(row) for row in tests.to_dict("records")]


def sentence(row: Row) -> str:
    """Association of a score with its latent, what the prediction explains, and how ridge on voxels does."""
    p = "" if pd.isna(row["p_permutation"]) else f"; permutation p {p_value(row['p_permutation'])}, all fits repeated"
    if not p and pd.notna(row.get("p_folds")):
        p = f"; p of the test folds combined {p_value(row['p_folds'])} (no permutation p)"
    words = (
        f"{row['score']} (model {row['model']}, supervised, cross-fitted): partial correlation with its latent "
        f"{unsigned(row['partial_r'], row['ci_low'], row['ci_high'])} in {count(row['n'], 'left-out participant')}{p}. "
        f"Confounds and latent explain R² {two_digits(row['r2'])}, confounds alone {two_digits(row['r2_confounds'])}"
    )
    beside = [
        f"{name} {two_digits(row[key])}"
        for key, name in (("r2_voxels", "ridge on voxels"), ("r2_latents", "ridge on unsupervised latents"))
        if pd.notna(row.get(key))
    ]
    words += f" ({', '.join(beside)}, each with the confounds)." if beside else "."
    return " ".join(part for part in (words, against_twin(row), of_maps(row)) if part)


def against_twin(row: Row) -> str:
    """Whether a network adds to its linear twin; empty for linear latents."""
    if row.get("network") in (None, "none") or pd.isna(row.get("gain")):
        return ""
    interval = f"{row['gain']:.3f} [{row['gain_low']:.3f}, {row['gain_high']:.3f}]"  # near 0 the third digit decides
    if adds(row):
        verdict = "the network adds to its linear twin"
    elif row["gain_low"] > 0:
        verdict = "but no association of the latent with the score was found, so that the network shows nothing"
    else:
        verdict = "the network adds nothing to its linear twin, which is to be preferred"
    return f"Partial r of the linear twin {two_digits(row['twin_partial_r'])}; difference {interval}: {verdict}."


def adds(row: Row) -> bool:
    """Is the interval of the gain above 0, and the association itself found?

    The interval alone is no test: without an association both correlations are biased below zero, the twin's more.
    """
    p = row["p_permutation"] if pd.notna(row["p_permutation"]) else row["p_folds"]
    return bool(row["gain_low"] > 0 and p < LEVEL)


def of_maps(row: Row) -> str:
    """How the pattern agrees with the unsupervised track; empty without its maps."""
    known = [
        f"{name} r {two_digits(row[key])}"
        for key, name in (("agreement_map", "the unsupervised score map"), ("agreement_t", "the test of each voxel"))
        if pd.notna(row.get(key))
    ]
    return f"Over voxels, its pattern correlates with {' and with '.join(known)}." if known else ""


def methods(run: Run) -> str:
    """How supervised latents were fitted and tested; empty without them."""
    found = read(run, TESTS)
    if found is None:
        return ""
    scores, settings = list(dict.fromkeys(found["score"])), run.config.get("supervised", {})
    ways = {"ridge": "ridge regression on all voxels with its penalty by restricted maximum likelihood [reml]",
            "pls": "one component of partial least squares [pls]"}  # fmt: skip
    used = [words for name, words in ways.items() if name in set(found["direction"])]
    said = [
        "Supervised latents. All other models were unsupervised: no score entered their fit. In addition, latents "
        f"aligned with {listed(scores)} were estimated (supervised, cross-fitted): in each of "
        f"{found['folds'].max():.0f} folds, the direction in the images that predicts the score beyond the confounds "
        f"was found by {listed(used)}, with adjustment for confounds and choice of the penalty in the participants "
        "outside the test fold. Latents of the test participants were then computed from their images alone.",
        of_networks(found),
        "Their association with the score was measured by the partial correlation given confounds and fold, with a "
        f"95 % interval from {settings.get('bootstraps', 0):,} bootstrap samples of participants, the fitted models "
        "held fixed.",
        f"Its p value is one-sided, from {found['permutations'].max():,.0f} permutations of the residual of the score "
        "given the confounds [freedman], in each of which all folds were fitted again."
        if found["permutations"].fillna(0).max() > 0
        else "",
        "Regressions in single test folds were combined by Rüger's rule [ruger]"
        + (
            f", and p values of {settings.get('splits')} random splits into halves by its improvement for exchangeable "
            "p values [gasparin]. "
            if found["p_splits"].notna().any()
            else ". "
        )
        + "Patterns are regressions of the voxels on the latent in the test participants of each fold "
        "[haufe]; their mean and standard deviation over folds are shown.",
    ]
    return " ".join(words for words in said if words)


def of_networks(found: pd.DataFrame) -> str:
    """How aligned networks were fitted, and whether they add to their linear twins; empty without them."""
    own = found[found["network"] != "none"] if "network" in found else found.iloc[:0]
    if own.empty:
        return ""
    words = (
        "Where the model is a perceptron, it began at this direction and was trained on the evidence lower bound of "
        "the scans and on the partial correlation of each latent with its score in the training participants "
        "[alignment]; training ended by the loss in validation participants, who were not in the test fold."
    )
    without = [str(row["score"]) for row in own.to_dict("records") if not adds(row)]
    with_gain = [str(row["score"]) for row in own.to_dict("records") if adds(row)]
    words += f" For {listed(with_gain)} it had a higher partial correlation than its linear twin." if with_gain else ""
    return words + (f" For {listed(without)} it added nothing to its linear twin." if without else "")
