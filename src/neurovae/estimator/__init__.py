from neurovae.estimator.model import LatentModel as LatentModel
