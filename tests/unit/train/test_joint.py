"""A joint model of an image and scores: gradients of the cross terms, masks, likelihoods by type, planted factors."""

import numpy as np
import pytest
import torch
from scipy.stats import betabinom, nbinom, norm
from simulated_joint import MASK, NAMES, OPTIONS, cohort, explained, fitted, r2, with_holes, without_scores

from neurovae.stats import reml_ridge
from neurovae.train.engine import multiblock
from neurovae.train.losses.items import Items
from neurovae.train.models import joint, joint_start
from neurovae.train.models.joint_network import CLINICAL, IMAGE, Joint

SMALL = {**OPTIONS, "epochs": 3, "batch": 64, "hidden_units": 16}


def items():
    """One score of each type."""
    return [
        {"name": "c", "type": "continuous", "mean": 5.0, "scale": 2.0},
        {"name": "b", "type": "binary", "mean": 0.4, "scale": 0.49},
        {"name": "o", "type": "ordinal", "mean": 1.0, "scale": 0.8, "levels": [0.0, 1, 2], "frequencies": [30, 40, 30]},
        {"name": "q", "type": "ordinal", "mean": 0.5, "scale": 0.5, "levels": [1.0, 3], "frequencies": [50, 50]},
        {"name": "n", "type": "count", "mean": 3.0, "scale": 2.5},
        {"name": "m", "type": "bounded", "mean": 20.0, "scale": 5.0, "total": 30.0, "lowest": 0.0},
    ]


def untrained(dropout=0.0):
    torch.manual_seed(0)
    model = Joint(items(), 7, n_shared=3, n_private=2, groups=2, hidden=8, dropout=dropout)
    with torch.no_grad():
        for block in model.blocks:
            for name in ("inward", "outward"):
                getattr(block, name).normal_()
            for parameter in (*block.encoder.parameters(), *block.decoder.parameters()):
                parameter.add_(0.1 * torch.randn_like(parameter))
        for name in ("mean", "scale"):
            getattr(model.blocks[CLINICAL], name).copy_(torch.tensor([one[name] for one in items()]))
    return model


def people(n=5):
    codes = torch.tensor([[4.0, 1, 2, 0, 5, 12], [6, 0, 1, 1, 0, 30], [5, 1, 0, 1, 2, 0], [3, 0, 2, 0, 9, 22],
                          [7, 1, 1, 1, 1, 15]])  # fmt: skip
    return torch.cat([torch.randn(n, 7, generator=torch.Generator().manual_seed(1)), codes[:n]], dim=1)


@pytest.mark.parametrize("m", [IMAGE, CLINICAL])
def test_the_cross_term_trains_the_encoder_of_the_other_block_and_not_its_own(m):
    model, x = untrained(), people()
    draw = lambda one, number: one[0] + (one[1] / 2).exp() * 0.3  # noqa: E731
    found = multiblock.terms(model, x, draw)
    found.cross[:, m].sum().backward()  # two blocks: pair m is m decoded from the other
    own, other = (model.blocks[k].encoder.layers[1].weight.grad for k in (m, 1 - m))
    assert other.abs().max() > 1e-6
    assert own is None or not own.any()  # exactly zero


def test_each_score_has_the_likelihood_of_its_type():
    module = Items(items())
    y = np.array([4.0, 1, 2, 0, 5, 12])
    predictor, dispersion = np.array([0.3, -0.2, 0.4, 0.1, -0.3, 0.2]), np.array([0.1, 0, 0, 0, -0.7, 1.5])
    x = (torch.tensor(y) - module.mean) / module.scale
    base, slope = module.base.detach().numpy().astype(float), module.slope.detach().numpy().astype(float)
    eta = base + slope * predictor
    cuts = module.thresholds().detach().numpy().astype(float)
    expit = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    size, c, p = np.exp(0.7), np.exp(1.5), expit(eta[5])
    wanted = [
        -norm.logpdf((4.0 - 5) / 2, 0.3, np.exp(0.1)), -np.log(expit(eta[1])), -np.log(1 - expit(cuts[0, 1] - eta[2])),
        -np.log(expit(cuts[1, 0] - eta[3])), -nbinom.logpmf(5, size, size / (size + np.exp(eta[4]))),
        -betabinom.logpmf(12, 30, c * p, c * (1 - p)),
    ]  # fmt: skip
    for k, value in enumerate(wanted):
        alone = torch.full((1, 6), torch.nan)
        alone[0, k] = x[k]
        found = module.nll(
            alone.float(), torch.tensor(predictor)[None].float(), torch.tensor(dispersion).float()
        ).detach()
        assert float(found) == pytest.approx(value, rel=2e-4), items()[k]["name"]
    assert module.levels(torch.zeros(1, 6)).detach().sum(dim=-1).numpy() == pytest.approx(1)
    drawn = module.draw(torch.zeros(20000, 6), torch.tensor(dispersion).float(), np.random.default_rng(0))
    expected = (module.expected(torch.zeros(1, 6)) * module.scale + module.mean).detach().numpy()[0]
    assert drawn.mean(axis=0) == pytest.approx(expected, rel=0.03)


def test_a_masked_score_changes_nothing_to_the_bit():
    """Neither the loss nor a gradient of the others, whatever the network says of it; and it gets no gradient."""
    model, x = untrained(), people()
    x[1, 7:9], x[2, 12], x[3, 7:] = torch.nan, torch.nan, torch.nan
    parts = model.split(x)
    clinical = model.blocks[CLINICAL]
    decoded = torch.randn(5, 6, requires_grad=True)
    found = clinical.likelihood(parts[CLINICAL], decoded, clinical.log_sigma)
    found.sum().backward()
    assert not decoded.grad[x[:, 7:].isnan()].any() and not found[3].any()
    other = torch.where(x[:, 7:].isnan(), 1e3, decoded.detach())
    assert torch.equal(clinical.likelihood(parts[CLINICAL], other, clinical.log_sigma), found)
    posterior = model.encode(parts)
    assert not posterior.present[CLINICAL, 3] and posterior.present[CLINICAL, 1]
    alone = model.encode(model.split(torch.cat([x[:, :7], torch.full((5, 6), torch.nan)], dim=1)))
    assert torch.equal(posterior.joint()[0][3], alone.joint()[0][3])


def test_the_linear_expert_of_scores_is_the_gaussian_posterior():
    model = untrained()
    clinical = model.blocks[CLINICAL]
    standard = torch.randn(4, 6, generator=torch.Generator().manual_seed(2))
    standard[0, 2:], standard[1] = torch.nan, torch.nan
    mean, logvar = (value.detach().double().numpy() for value in clinical.linear(standard))
    loads = clinical.outward.T.double().numpy()
    for person in (0, 2):
        known = ~standard[person].isnan().numpy()
        covariance = np.linalg.inv(np.eye(5) + loads[known].T @ loads[known])
        wanted = covariance @ loads[known].T @ standard[person].double().numpy()[known]
        expert = 1 / np.diag(covariance)[:3] - 1
        assert mean[person, :3] * expert / (1 + expert) == pytest.approx(wanted[:3], rel=1e-4)  # times the prior
        assert mean[person, 3:] == pytest.approx(wanted[3:], rel=1e-4)
        assert np.exp(-logvar[person, :3]) == pytest.approx(expert, rel=1e-4)
    assert not mean[1].any()


def test_an_outlier_reaches_the_encoder_at_three_standard_deviations_and_the_likelihood_as_it_is():
    clinical = untrained().blocks[CLINICAL]
    far, at = torch.full((2, 1, 6), torch.nan)
    far[:, clinical.items.places["continuous"]], at[:, clinical.items.places["continuous"]] = 9.0, 3.0
    for one, other in zip(clinical.encode(far), clinical.encode(at), strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    given = [clinical.likelihood(x, torch.zeros(1, 6), clinical.log_sigma) for x in (far, at)]
    assert given[0] > given[1]


def test_leave_one_out_predictions_are_those_without_the_person():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 50)), rng.normal(size=30)
    fitted = reml_ridge.fit(x, y, 20.0)
    for person in (0, 17):
        others = np.delete(np.arange(30), person)
        assert reml_ridge.fit(x[others], y[others], 20.0).predict(x[person]) == pytest.approx(
            fitted.leave_one_out[person], rel=1e-9
        )


def test_the_start_predicts_scores_as_ridge_does():
    given = cohort(200, seed=3)
    x = given.volumes[:, MASK].astype(float)
    y = given.scores[NAMES[:4]].to_numpy()
    train, test = np.arange(150), np.arange(150, 200)
    middle, mean, scale = x[train].mean(axis=0), y[train].mean(axis=0), y[train].std(axis=0)
    start = joint_start.fit(x[train] - middle, (y[train] - mean) / scale, np.arange(150) % 4, 5, 2, 1.0)
    spread = np.exp(start.logvar[:5])
    s = (x[test] - middle) @ start.inward[0, :5].T / (1 + spread)  # times the prior
    predicted = mean + scale * (s @ start.scores.shared.T)
    of_ridge = np.column_stack([reml_ridge.fit(x[train] - middle, one).predict(x[test] - middle) for one in y[train].T])
    r2 = [1 - np.square(y[test] - one).sum() / np.square(y[test] - mean).sum() for one in (predicted, of_ridge)]
    assert r2[1] > 0.2 and r2[0] > r2[1] - 0.05


def test_missing_scores_do_not_shrink_the_moments_at_which_training_starts():
    """Counted as the mean, scores that half of the people lack would halve every slope."""
    rng = np.random.default_rng(0)
    y, predicted = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    complete = joint_start.moments(y, predicted)
    np.testing.assert_allclose(complete[0], y.T @ y / 40)
    np.testing.assert_allclose(complete[1], y.T @ predicted / 40)
    half = np.concatenate([y, np.full((40, 3), np.nan)])
    for found, expected in zip(joint_start.moments(half, np.tile(predicted, (2, 1))), complete, strict=True):
        np.testing.assert_allclose(found, expected)


def test_planted_factors_are_found_from_the_image_alone():
    """Short form of the proof, with a third of the scores missing and half of the people without scores."""
    given = cohort(260, seed=11)
    tensors, architecture, history = fitted(given, **SMALL)
    mu, logvar = joint.embed(given.volumes, MASK, tensors, architecture)
    assert mu.shape == logvar.shape == (260, 7)
    assert explained(mu[:, :5], given.shared, given.split).min() > 0.6
    own, ridge = r2(given, tensors, architecture).mean(axis=0)
    assert ridge > 0.3 and own > ridge - 0.05
    assert {row["split"] for row in history} == {"training", "validation"}
    fewer = without_scores(with_holes(given, 0.3), 0.3)
    assert r2(fewer, *fitted(fewer, **SMALL)[:2])[:, 0].mean() > own - 0.15


def test_scores_that_have_nothing_to_do_with_the_image_are_not_predicted():
    given = cohort(200, seed=12, null=True)
    own, _ = r2(given, *fitted(given, **SMALL)[:2]).mean(axis=0)
    assert -0.1 < own < 0.1


def test_a_fit_is_the_same_twice_and_its_weight_is_chosen():
    given = cohort(60, seed=1)
    first, second = (
        fitted(given, **{**SMALL, "clinical_weight": [0.5, 2.0], "n_shared": 2, "epochs": 2}) for _ in range(2)
    )
    assert all(np.array_equal(first[0][name], second[0][name]) for name in first[0])
    losses = first[1]["validation"]
    assert first[1]["clinical_weight"] == float(min(losses, key=losses.get)) and len(losses) == 2
