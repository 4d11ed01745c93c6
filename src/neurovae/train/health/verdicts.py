"""Words that health.json and later tables share: verdicts that stop a model, caveats, what a forward model explains."""

from typing import Any

STOPPING = ("collapsed", "diverged", "untrained")  # verdicts after which nobody tests the latents
NOT_APPLICABLE = "not applicable"  # verdict of latents without a decoder: there is no reconstruction to judge
NO_DECODER = "the latents have no decoder"
DECODER, FORWARD = "decoder", "linear forward model, not a decoder"  # what turned latents into a map
KEPT_COLLAPSED, TRANSDUCTIVE = (
    "collapsed model kept by request",
    "hyperparameters transductive",
)  # caveats of every later table
SEEN = {
    "yes": "encoder trained on these participants",
    "unknown": "unknown whether the encoder was trained on these participants",
    "no": "",
}  # caveat of latents that exist before training, by `seen` of their entry
LOST = "the loss is not finite"  # training ends there, and the model has diverged


def forward_explains(health: dict[str, Any]) -> str:
    """What the forward model of latents without a decoder explains, in words; empty where health.json has none."""
    names = ("forward_explained_test", "forward_explained_test_low", "forward_explained_test_high")
    if names[0] not in health:
        return ""
    value, low, high = (100 * health[name] + 0.0 for name in names)
    return f"{value:.1f} % [95 % CI {low:.1f}, {high:.1f}] of the variance of scans in the test set"


def no_forward_map(health: dict[str, Any]) -> str:
    """Why the forward model gives no maps; empty where it does.

    Of 200 simulated tables of noise, 45 explained a little more than nothing, by chance; 3 had an interval above 0.
    """
    if not (explains := forward_explains(health)):
        return f"{NO_DECODER}, and these weights hold no forward model; train again"
    if health["forward_explained_test_low"] > 0:
        return ""
    return f"the linear forward model explains {explains}, an interval that is not above 0"
