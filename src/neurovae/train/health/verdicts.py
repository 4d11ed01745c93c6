"""The words that health.json and every later table share: verdicts that stop a model, and caveats."""

STOPPING = ("collapsed", "diverged", "untrained")  # verdicts after which nobody tests the latents
KEPT_COLLAPSED, TRANSDUCTIVE = (
    "collapsed model kept by request",
    "hyperparameters transductive",
)  # caveats of every later table
LOST = "the loss is not finite"  # training ends there, and the model has diverged
