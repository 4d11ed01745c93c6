"""Text of the methods section: models of several blocks. Unsupervised: no score is read."""

from typing import Any

from neurovae.report.text import listed

LINEAR = {"pca": "principal components of all blocks together, each over the root of its number of features",
          "cca": "canonical correlation analysis of principal components, as a latent variable model [pcca]",
          "pls": "canonical partial least squares [plsc]",
          "jive": "joint and individual variation explained, with the joint rank by permutation [ajive]"}  # fmt: skip


def model(name: str, one: dict[str, Any]) -> str:
    """What a model of several blocks is."""
    blocks = listed(one["blocks"])
    private = f"{one['n_private']} private latents of each block" if one["n_private"] else "no private latents"
    if one["kind"] != "fused":
        return (f"The linear model {name} of the blocks {blocks} was {LINEAR[one['twin']]}, with {one['n_shared']} "
                f"shared latents and {private}.")  # fmt: skip
    return (
        f"The model {name} was a variational autoencoder [vae] of the blocks {blocks} with up to {one['n_shared']} "
        f"shared latents ({one['shared_active']} active) and {private}, trained without access to scores "
        "(unsupervised). The posterior of the shared latents was the product of the prior and one expert per "
        "available block [poe]. Each block was reconstructed from the shared latents of all blocks and of itself with "
        f"its private latents, and (weight {one['cross_weight']:g}) from the shared latents of each other block with "
        "private latents drawn from the prior; log-likelihoods were multiplied by the smallest number of features "
        "over that of the block. Training started at linear shared and private factors (inter-battery factor analysis "
        "[ibfa]), with as many shared factors as a permutation of participants supported."
    )


def evaluated(name: str, one: dict[str, Any]) -> str:
    """Variance explained by block."""
    parts = [f"{100 * found['all']['test']:.0f} % of {block} ({100 * found['other']['test']:.0f} % from the other "
             "blocks alone)" for block, found in one["explained_by_block"].items()]  # fmt: skip
    judged = "" if one["verdict"] == "healthy" else f" (verdict: {one['verdict']})"
    return f"{name} explained {listed(parts)} of the variance{judged}"
