"""Words that health.json and all later tables share: verdicts that stop a model, and caveats."""

STOPPING = ("collapsed", "diverged", "untrained")  # verdicts after which nobody tests the latents
NOT_APPLICABLE = "not applicable"  # verdict of latents that come from a table: there is no reconstruction to judge
NO_DECODER = "latents from a table have no decoder"
KEPT_COLLAPSED, TRANSDUCTIVE = (
    "collapsed model kept by request",
    "hyperparameters transductive",
)  # caveats of every later table
SEEN = {
    "yes": "encoder trained on these participants",
    "unknown": "unknown whether the encoder was trained on these participants",
    "no": "",
}  # caveat of latents from a table, by `seen` of their entry
LOST = "the loss is not finite"  # training ends there, and the model has diverged
