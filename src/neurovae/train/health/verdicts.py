"""Words that health.json and all later tables share: verdicts that stop a model, and caveats."""

STOPPING = ("collapsed", "diverged", "untrained")  # verdicts after which nobody tests the latents
KEPT_COLLAPSED, TRANSDUCTIVE = (
    "collapsed model kept by request",
    "hyperparameters transductive",
)  # caveats of every later table
LOST = "the loss is not finite"  # training ends there, and the model has diverged
