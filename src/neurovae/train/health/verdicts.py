"""The words that health.json and every later table share: verdicts that stop a model, and marks."""

STOPPING = ("collapsed", "diverged", "untrained")  # verdicts after which nobody tests the latents
OVERRULED, TRANSDUCTIVE = "collapse overruled", "hyperparameters transductive"  # marks of every later table
LOST = "the loss is not finite"  # training ends there, and the model has diverged
