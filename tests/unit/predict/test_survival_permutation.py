"""The permutation test of a predicted time to event where latents differ between people whom a model saw and did not."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from neurovae.predict import survival_permutation
from neurovae.predict.folds import Folds, complete_cases
from neurovae.predict.ridge_cox import Trained
from neurovae.predict.survival_permutation import Fold, gains, standardised

pytestmark = pytest.mark.filterwarnings("error")
PEOPLE, DRAWS, FOLDS = 48, 19, 3


def folds_of(seed: int, unseen: float) -> tuple[np.ndarray, list[Fold]]:
    """Outcomes of nobody's latents, and folds whose models spread the people that they did not see `unseen` times as far."""
    rng, fold = np.random.default_rng([31, seed]), np.arange(PEOPLE) % FOLDS
    z, end = rng.normal(size=(PEOPLE, 2)), 2 * rng.exponential(size=PEOPLE)
    event = rng.exponential(size=PEOPLE)
    names = [f"s{k:02d}" for k in range(PEOPLE)]
    table = pd.DataFrame({"scan": names, "person": names, "session": "", "session_order": 1, "site": "A", "fold": fold})
    table = table.assign(conversion=np.minimum(event, end), conversion_event=(event <= end) * 1.0, latents_seed=0)
    table = table.assign(latents_split="test", latents_model="m", latents_fold=0, mu_0=z[:, 0], mu_1=z[:, 1])
    score = {"name": "conversion", "type": "survival", "time": "years", "event": "converted"}
    cases = complete_cases(Folds(dict.fromkeys(range(FOLDS), table), "per fold"), score, [], inner=2, seed=0)
    latents = {k: z * np.where(fold == k, unseen, 1.0)[:, None] for k in range(FOLDS)}
    return cases.y, [survival_permutation._fold(cases, split, latents) for split in cases.splits[cases.full]]


def roles_stay(fold: Fold, confounds: np.ndarray, order: np.ndarray, together: bool) -> Trained:
    """As it was until 0.2: the latents change places between people, who stay in their folds."""
    z = fold.fit + fold.rest[order]

    def trained(who: np.ndarray, inner: tuple[Trained, ...] = ()) -> Trained:
        train = np.broadcast_to(who, order.shape)
        return Trained(standardised(z, train), train, confounds.shape[1], inner)

    return trained(fold.train, tuple(trained(one) for one in fold.inner))


def p_value(seed: int, unseen: float) -> float:
    y, folds = folds_of(seed, unseen)
    rng = np.random.default_rng([32, seed])
    order = np.array([np.arange(PEOPLE), *(rng.permutation(PEOPLE) for _ in range(DRAWS))])
    found = gains(y, np.empty((PEOPLE, 0)), folds, order, together=False)
    return float(1 + np.sum(found[1:] >= found[0] - 1e-10)) / (DRAWS + 1)


def test_p_is_uniform_where_a_model_spreads_people_whom_it_did_not_see(monkeypatch: pytest.MonkeyPatch):
    """Under the null; where latents change places between people whom the model saw and did not, p is much too large."""
    cohorts, expected, sd = 24, (DRAWS + 2) / (DRAWS + 1) / 2, np.sqrt(((DRAWS + 1) ** 2 - 1) / 12) / (DRAWS + 1)
    low, high = norm.ppf([0.005, 0.995], expected, sd / np.sqrt(cohorts))  # of the mean p
    held = np.mean([p_value(seed, 8.0) for seed in range(cohorts)])
    monkeypatch.setattr(survival_permutation, "moved", roles_stay)
    before = np.mean([p_value(seed, 8.0) for seed in range(cohorts)])
    assert low < held < high < 0.85 < before
