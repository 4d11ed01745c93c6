"""Text of the methods section: which models were fitted, to whom, and what they started from."""

from typing import Any

from neurovae.report.results import Run, health
from neurovae.report.sections import methods_fused
from neurovae.report.text import count, listed, shown
from neurovae.train.health.verdicts import NOT_APPLICABLE, forward_explains, no_forward_map

COMPONENTS = ("pca", "pca_localised")  # kinds whose latents are called components
KINDS = {"vae": "a variational autoencoder [vae]", "autoencoder": "an autoencoder",
         "pca": "a principal component analysis", "pca_localised": "a localised principal component analysis",
         "mds": "metric multidimensional scaling (SMACOF)", "isomap": "Isomap [isomap]",
         "lle": "locally linear embedding [lle]"}  # fmt: skip
ENCODER = {"yes": "The encoder{} had been trained on these participants.",
           "no": "The encoder{} had not been trained on these participants.",
           "unknown": "Whether the encoder{} had been trained on these participants is unknown."}  # fmt: skip
AUGMENTED = {"flip": "left-right mirroring", "mixup": "mixup of {:.0%} of the scans [mixup]",
             "mosaic": "replacement of {:.0%} of the scans by mosaics of smooth regions of several participants",
             "noise": "addition of Gaussian noise (SD {:g})",
             "jitter": "random affine jitter (SD {:g} degrees, mm and %)"}  # fmt: skip
WHAT = {True: "The voxels inside a fixed brain mask", False: "The features of the blocks"}
EVALUATED = (
    "Models were evaluated by the variance explained relative to the mean training image, and by identification "
    "accuracy, that is, the proportion of participants whose reconstruction correlated more strongly with their own "
    "scan than with any other scan"
)
EVALUATED_BLOCKS = "Models were evaluated by the variance explained relative to the mean of the training set"


def latent_models(run: Run) -> str:
    """What was trained, on whom, and how it was evaluated."""
    found = {model: health(run, model) for model in run.ordered()}
    known = {model: one for model, one in found.items() if one}
    if not known:
        return ""
    one, train = next(iter(known.values())), run.config.get("train", {})  # all models share the sets
    folds, seeds, search = train.get("folds") or [0], train.get("seeds") or [0], train.get("search", {})
    sizes = [one[f"people_{name}"] for name in ("training", "validation", "test")]
    decoded = {model: one for model, one in known.items() if one["verdict"] != NOT_APPLICABLE}
    modelled = [one for one in decoded.values() if one["kind"] != "pretrained"]
    said = [
        "Latent variable models.",
        f"{WHAT[run.images]} were modelled without access to scores or diagnoses." if modelled else "",
        *(_model(model, one) for model, one in known.items()),
        f"Training, validation and test sets comprised {sizes[0]}, {sizes[1]} and {sizes[2]} participants.",
        _reported(run, folds, seeds),
        f"Hyperparameters of {search['model']} were chosen by {search['trials']} trials with Optuna [optuna] on "
        "training and validation participants."
        if search.get("model")
        else "",
        f"{EVALUATED if run.images else EVALUATED_BLOCKS}. In the test set, "
        f"{'; '.join(_evaluated(model, one) for model, one in decoded.items())}."
        if decoded
        else "",
        primary(run),
    ]
    return " ".join(words for words in said if words)


def _reported(run: Run, folds: list[int], seeds: list[int]) -> str:
    """Which split of the participants and which seed the results are of, and with how many the models were trained."""
    number, total = int(run.fold.split("-")[1]), run.config["cohort"].get("folds", {}).get("n", 5)
    seed = "one random seed" if len(seeds) == 1 else f"the first of {len(seeds)} random seeds"
    if len(folds) == 1:
        return f"Results are reported for one such split (fold {number} of folds 0 to {total - 1}) and {seed}."
    return (f"Models were trained for {len(folds)} such splits; models and associations are reported for fold {number} "
            f"of folds 0 to {total - 1} and {seed}.")  # fmt: skip


def primary(run: Run) -> str:
    """The primary model; that it was prespecified is only said where the configuration names it."""
    named = (run.config.get("associate") or {}).get("primary")
    return f"The model {run.primary} was {'prespecified' if named else 'used'} as the primary model."


def _evaluated(model: str, one: dict[str, Any]) -> str:
    explained, known = one.get("variance_explained_test"), one.get("identification_accuracy_test") or {}
    if "explained_by_block" in one:
        return methods_fused.evaluated(model, one)
    if explained is None or not known:
        return f"{model} was {one['verdict']}"
    right, bound = (round(known[name] * known["people"]) for name in ("rate", "chance"))
    judged = "" if one["verdict"] == "healthy" else f"; verdict: {one['verdict']}"
    return (f"{model} explained {100 * explained:.0f} % of the variance and identified {right} of {known['people']} "
            f"participants (99th percentile of the chance distribution: {bound}{judged})")  # fmt: skip


def _given(model: str, one: dict[str, Any]) -> str:
    """Latents that exist already, and what their encoder had been trained on."""
    if one["kind"] == "pretrained":
        return _pretrained(model, one)
    if one["kind"] == "networks":
        return _networks(model, one)
    size = one["n_latent"]
    said = [f"The {size} latents of {model} were read from a table and have no decoder."]
    if one.get("components"):
        said = [f"The latents of {model} were the first {size} principal components of the columns of a table, "
                "without a decoder."]  # fmt: skip
    people = sum(one[f"people_{name}"] for name in ("training", "validation", "test"))
    if block := one.get("block"):
        what = f"the first {size} principal components of the" if one.get("components") else f"the {size}"
        said = [f"The latents of {model} were {what} features of the block {block}, without a decoder.",
                f"{count(people, 'participant')} had this block."]  # fmt: skip
    else:
        said += [f"The table had a row for {count(people, 'participant')}."]
    said += ["Columns were standardised by the mean and SD of the training set."] if one.get("standardise") else []
    said += _seen(one, " that made the table")
    said += _forward(one)
    return " ".join(said)


def _networks(model: str, one: dict[str, Any]) -> str:
    """Functional networks: what models the volumes, and what of it is tested."""
    size = one["n_latent"]
    how = {"vae": "the latents of a variational autoencoder of the volumes' principal components [vae]",
           "pca": "the principal components of the volumes",
           "ica": "spatially independent components"}[one["method"]]  # fmt: skip
    how += ", rotated by varimax [varimax]" if one.get("rotate") == "varimax" and one["method"] != "ica" else ""
    value, low, high = (100 * one[f"variance_explained_test{end}"] for end in ("", "_low", "_high"))
    return (f"{model} described the time series of the block {one['block']} by {count(size, 'functional network')}, "
            f"{how}, fitted to the training set, which explained {value:.0f} % of the variance of the volumes in the "
            f"test set (95 % interval over participants {low:.0f} to {high:.0f} %). The features of a participant were "
            "the standard deviation of each network's course and the Fisher-transformed correlations of all "
            "pairs.")  # fmt: skip


def _pretrained(model: str, one: dict[str, Any]) -> str:
    """An encoder that was trained elsewhere, its input, and what decodes its latents."""
    encoder, size = one["encoder"], one["n_latent"]
    image, scaling = encoder["input"], encoder["input"]["intensity"]
    said = [f"The latents of {model} are embeddings of the scans by the pretrained encoder {encoder['name']} "
            f"({encoder['citation']}; licence: {encoder['licence']}; SHA-256 {encoder['sha256'][:12]}...), which was "
            "not trained further."]  # fmt: skip
    if one.get("components"):
        said = [said[0].replace("are embeddings", f"are the first {size} principal components of embeddings")]
    shape, size_mm = " x ".join(map(str, image["shape"])), image["voxel_mm"]
    voxels = f"{size_mm:g}" if isinstance(size_mm, int | float) else " x ".join(f"{one:g}" for one in size_mm)
    rule = {"zscore": "z-scored", "minmax": "scaled to their range", "percentiles": "scaled by percentiles"}
    of = "the brain" if scaling["voxels"] == "brain" else "the whole image"
    said += [f"Its input was the preprocessed scan, resampled linearly to {shape} voxels of {voxels} mm "
             f"({image['orientation']}), with intensities {rule[scaling['rule']]} over {of}."]  # fmt: skip
    said += ["Embeddings were standardised by the mean and SD of the training set."] if one.get("standardise") else []
    said += _seen(one, "")
    if one["verdict"] != NOT_APPLICABLE:
        said += ["Latents were decoded by the decoder of the same autoencoder; decoded images were calibrated on the "
                 "training set, by one slope for all voxels and an intercept for each."]  # fmt: skip
    return " ".join([*said, *_forward(one)])


def _seen(one: dict[str, Any], which: str) -> list[str]:
    """Whether the encoder had been trained on these participants."""
    return [ENCODER[str(one.get("seen"))].format(which)] if one.get("seen") in ENCODER else []


def _frozen(model: str, one: dict[str, Any]) -> str:
    """The model of another cohort: its kind, its participants, its licence, and what was re-estimated here."""
    source = one["source"]
    units = "components" if source["kind"] in COMPONENTS else "latent variables"
    people = source["people"]
    said = [f"The model {model} was {KINDS.get(source['kind'], source['kind'])} with {one['n_latent']} {units}, fitted "
            f"beforehand to another cohort ({people['training']} training and {people['validation']} validation "
            f"participants; weights {source['exported_from']}, licence: {source['licence']}) and not trained here."
            ]  # fmt: skip
    said += ["It had itself been taken from another model "
             f"(weights {source['source']['exported_from']})."] if "source" in source else []  # fmt: skip
    said += ["Its mean image was replaced by that of the training participants of this study."
             if one.get("centre") == "own" else "Latents are departures from the mean image of that cohort."
             ]  # fmt: skip
    return " ".join(said)


def _started(one: dict[str, Any]) -> list[str]:
    """The model of a larger cohort that training started from, and what was taken of it."""
    source = one["source"]
    people = source["people"]
    kind = KINDS.get(source["kind"], source["kind"])
    said = [f"It started from a model of another cohort: {kind} fitted to {people['training']} training and "
            f"{people['validation']} validation participants (weights {source['exported_from']}, licence: "
            f"{source['licence']})."]  # fmt: skip
    said += ["That model had itself started from another "
             f"(weights {source['source']['exported_from']})."] if "source" in source else []  # fmt: skip
    if one.get("source_network") and one.get("source_weight") == 1:
        return [*said, "Its linear part was kept, and its network was fine-tuned."]
    said += ["The covariance described by its components and variances was pooled with that of the training "
             "participants of this study, each about its own mean and divided by its total variance; the weight of the "
             f"other cohort, {one['source_weight']:g} of 1, explained most variance in the validation participants."
             ]  # fmt: skip
    return said + (["The network started at that of the other model."] if one.get("source_network") else [])


def _forward(one: dict[str, Any]) -> list[str]:
    """How the latents' table got its maps, or why it has none."""
    if not (explains := forward_explains(one)):
        return []
    chosen = "by cross-validation over its participants"
    said = ["Maps are those of a linear forward model [haufe], not of a decoder: the voxels inside the brain mask were "
            f"regressed on the latents by ridge regression in the training set, with one penalty for all voxels chosen "
            f"{chosen}."]  # fmt: skip
    outcome = ", an interval that is not above 0, so no map was made" if no_forward_map(one) else ""
    return [*said, f"The forward model explained {explains}{outcome}."]


def _model(model: str, one: dict[str, Any]) -> str:
    if one["verdict"] == NOT_APPLICABLE or one["kind"] == "pretrained":
        return _given(model, one)
    if one["kind"] == "frozen":
        return _frozen(model, one)
    if "explained_by_block" in one:
        return methods_fused.model(model, one)
    units = "components" if one["kind"] in COMPONENTS else "latent variables"
    said = [f"The model {model} was {KINDS.get(one['kind'], one['kind'])} with {one['n_latent']} {units}."]
    if one.get("latents") == "map":
        said += [f"They stand on a grid of points about {one['map_mm']:g} mm apart in the brain; each is inferred from "
                 "and decoded into the region around its point."]  # fmt: skip
    said += _network(one) if one["kind"] in ("vae", "autoencoder") else []
    said += _started(one) if "source" in one else []
    used = [words.format(one[name]) for name, words in AUGMENTED.items() if one.get(name)]
    said += [f"Training scans were augmented by {listed(used)}."] if used else []
    if one.get("blur") and (one["kind"] == "pca" or one.get("linear") == "pca"):
        said += [f"Principal components were estimated from the scans and from copies smoothed with a Gaussian kernel "
                 f"(SD {one['blur']:g} mm)."]  # fmt: skip
    said += ["Latents were rotated by varimax after training [varimax]."] if one.get("rotate") == "varimax" else []
    if isinstance(one.get("taper_mm"), int | float):
        said += [f"The covariance between voxels was localised: multiplied by a taper that falls to zero at a distance "
                 f"of {one['taper_mm']:g} mm [taper, localisation]."]  # fmt: skip
    return " ".join(said)


def _network(one: dict[str, Any]) -> list[str]:
    """Loss, architecture and optimisation of a model that is trained by gradient."""
    likelihood, dssim = "the negative Gaussian log-likelihood", "structural dissimilarity (1 - SSIM) [ssim]"
    terms = {"gaussian": [likelihood], "dssim": [dssim], "both": [likelihood, dssim]}.get(
        str(one.get("reconstruction")), []
    )
    divergence = {"kl": f"the KL divergence weighted by beta = {shown(one.get('beta'))}",
                  "mmd": "the maximum mean discrepancy to the prior [infovae]"}  # fmt: skip
    terms += [divergence[one["divergence"]]] if one.get("divergence") in divergence else []
    said = [f"The loss was {'the sum of ' * (len(terms) > 1)}{listed(terms)}."] if terms else []
    added = "; their outputs were added to those of a probabilistic PCA of the training participants [ppca]"
    alone = one.get("linear") not in ("pca", "localised")
    shared = ", whose weights were shared between places and modulated by a scale and an offset for each place"
    if one.get("network") == "local":
        said += [
            "Latents were inferred and decoded linearly, by a probabilistic PCA of the training participants [ppca]; "
            "a 3-D convolutional network corrected the linear reconstruction at each voxel from its neighbourhood."
        ]
    else:
        said += [f"Encoder and decoder were 3-D convolutional networks{'' if alone else added}"
                 f"{shared if one.get('latents') == 'map' else ''}."]  # fmt: skip
    if one.get("cross_fit") and not alone:
        said += [f"While the network was trained, the PCA was cross-fitted in {one['cross_fit']} groups of training "
                 "participants [crossfit]."]  # fmt: skip
    if one.get("epochs"):
        kept = f"; the parameters of epoch {one['kept_epoch']} were kept" if one.get("kept_epoch") is not None else ""
        cycle = ", one cycle of the learning rate" if one.get("learning_rate_cycle") else ""
        said += [f"Parameters were optimised with AdamW [adamw] in batches of {one['batch']} for at most "
                 f"{one['epochs']} epochs{cycle}, with early stopping on the validation set{kept}."]  # fmt: skip
    return said
