"""A model of several blocks: product of experts, cross terms, linear start, recovery of planted factors."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal, norm
from sklearn.linear_model import LinearRegression

from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.plan import fused as plan
from neurovae.train.engine import multiblock as engine
from neurovae.train.health import by_block
from neurovae.train.health.examine import Model
from neurovae.train.losses import multiblock
from neurovae.train.losses.experts import product
from neurovae.train.models import fused, linear_blocks, shared_factors
from neurovae.train.models.block_network import Fused
from neurovae.train.side_by_side import Part, SideBySide, input_sets

NO_MASK = np.zeros((0, 0, 0), bool)
ENTRY = {
    "n_shared": 2, "n_private": 2, "cross_weight": 1.0, "hidden_units": 16, "base_channels": 4, "dropout": 0.0,
    "beta": 1.0, "warmup": 0, "learning_rate": 1e-3, "weight_decay": 0.01, "clip": 1e4, "batch": 32, "accumulate": 1,
    "epochs": 2, "patience": 2,
}  # fmt: skip


def simulated(n=200, sizes=(30, 40), snr=1.0, seed=0):
    """Two blocks of 2 shared and 2 private factors each, of equal variance; signal and noise variance per feature 1:1."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 2))
    private = [rng.standard_normal((n, 2)) for _ in sizes]
    features = []
    for size, own in zip(sizes, private, strict=True):
        loadings = rng.standard_normal((4, size)) / 2
        noise = rng.standard_normal((n, size)) / np.sqrt(snr)
        features.append((np.hstack([shared, own]) @ loadings + noise).astype(np.float32))
    return shared, private, features


def side_by_side(features, missing=()):
    """Blocks of the same people; missing: (block, person) that is not there."""
    parts = []
    for m, x in enumerate(features):
        rows = np.arange(len(x))
        rows[[person for block, person in missing if block == m]] = -1
        parts.append(Part("ab"[m], "table", x.shape[1], x, rows))
    return SideBySide(parts)


def split_of(n):
    """The first 65 % train, then 10 % end training, and the others are the test set."""
    return np.array(
        ["training"] * int(0.65 * n) + ["validation"] * int(0.1 * n) + ["test"] * (n - int(0.65 * n) - int(0.1 * n))
    )


def model_of(kind, features, missing=(), **more):
    """A fitted model and the array it was fitted to."""
    array = side_by_side(features, missing)
    split = split_of(len(array))
    options = {**ENTRY, **more}
    module = fused if kind == "fused" else linear_blocks
    options |= {} if kind == "fused" else {"twin": kind}
    tensors, architecture, history = module.fit(array, split, NO_MASK, seed=0, device="cpu", **options)
    return (
        Model(module=module, tensors=tensors, meta={"architecture": architecture}, mask=NO_MASK),
        array,
        split,
        history,
    )


def r2(z, factors, split):
    """Variance of each factor explained by latents in people whom the regression has not seen."""
    fit, new = split != "test", split == "test"
    error = factors[new] - LinearRegression().fit(z[fit], factors[fit]).predict(z[new])
    return 1 - np.square(error).sum(axis=0) / np.square(factors[new] - factors[fit].mean(axis=0)).sum(axis=0)


def test_product_of_experts_is_the_product_of_gaussians():
    rng = np.random.default_rng(0)
    mu, logvar = torch.tensor(rng.normal(size=(3, 5, 2))), torch.tensor(rng.normal(size=(3, 5, 2)))
    present = torch.ones(3, 5, dtype=torch.bool)
    present[1, 2], present[:, 4] = False, False
    mean, log_variance = product(mu, logvar, present)
    grid = np.linspace(-6, 6, 20001)
    for person in range(5):
        density = norm.logpdf(grid)
        for m in range(3):
            if present[m, person]:
                density = density + norm.logpdf(grid, float(mu[m, person, 0]), float(logvar[m, person, 0].exp().sqrt()))
        weights = np.exp(density - density.max())
        weights /= weights.sum()
        assert float(mean[person, 0]) == pytest.approx(weights @ grid, abs=1e-6)
        variance = weights @ grid**2 - (weights @ grid) ** 2
        assert float(log_variance[person, 0].exp()) == pytest.approx(variance, rel=1e-5)
    assert mean[4].tolist() == [0, 0] and log_variance[4].tolist() == [0, 0]
    mu[1, 2], logvar[1, 2] = float("nan"), float("inf")
    again = product(mu, logvar, present)
    assert torch.equal(again[0], mean) and torch.equal(again[1], log_variance)


def test_gaussian_likelihood_leaves_missing_features_out_to_the_bit():
    x = torch.tensor([[0.5, -1.0, 2.0], [0.1, float("nan"), 0.3]])
    decoded = torch.tensor([[0.2, 0.1, 1.0], [0.0, 5.0, 0.1]], requires_grad=True)
    log_sigma = torch.tensor(-0.3)
    found = multiblock.gaussian(x, decoded, log_sigma)
    sigma = float(log_sigma.exp())
    wanted = -norm.logpdf([0.5, -1, 2], [0.2, 0.1, 1.0], sigma).sum(), -norm.logpdf([0.1, 0.3], [0, 0.1], sigma).sum()
    assert found.tolist() == pytest.approx(wanted, rel=1e-6)
    found.sum().backward()
    assert decoded.grad[1, 1] == 0
    other = decoded.detach().clone()
    other[1, 1] = 1e6
    assert torch.equal(multiblock.gaussian(x, other, log_sigma), found)


def network(sizes=(6, 9)):
    """A small network whose weights are all at random, so that no gradient is zero by its start."""
    torch.manual_seed(0)
    described = [{"name": name, "type": "table", "size": size} for name, size in zip("ab", sizes, strict=True)]
    model = Fused(described, torch.zeros(0, 0, 0, dtype=torch.bool), n_shared=2, n_private=2, hidden=5, base_channels=4,
                  dropout=0.0)  # fmt: skip
    for value in [*model.parameters(), *(value for name, value in model.named_buffers() if "ward" in name)]:
        torch.nn.init.normal_(value, std=0.3)
    return model


def draw(one, number):
    noise = torch.randn(one[0].shape, generator=torch.Generator().manual_seed(number))
    return one[0] + (one[1] / 2).exp() * noise


def test_the_cross_term_trains_the_encoder_of_the_other_block_and_not_its_own():
    model, x = network(), torch.randn(7, 15, generator=torch.Generator().manual_seed(1))
    for m, k in ((0, 1), (1, 0)):
        model.zero_grad()
        cross = engine.terms(model, x, draw).cross[:, m]  # block m, decoded from k
        cross.sum().backward()
        own = [value.grad for value in model.blocks[m].encoder.parameters()]
        other = [value.grad for value in model.blocks[k].encoder.parameters()]
        assert all(grad is None or not grad.any() for grad in own)  # exactly zero
        assert all(grad is not None and grad.any() for grad in other)
        n_shared = 2
        last = model.blocks[k].encoder.layers[-1].weight.grad
        assert last[:n_shared].any() and not last[n_shared : n_shared + 2].any()  # not through its private latents


def test_terms_weigh_blocks_alike_and_leave_absent_ones_out_to_the_bit():
    model, x = network(), torch.randn(4, 15, generator=torch.Generator().manual_seed(1))
    x[0, :6] = float("nan")
    found = engine.terms(model, x, draw)
    assert model.weights == [1, pytest.approx(6 / 9)]
    assert found.own[0, 0] == 0 and found.own[0, 1] != 0 and found.cross[0].tolist() == [0, 0]
    parts = model.split(x)
    posteriors = model.encode(parts)
    s, p = draw(posteriors.joint(), 0), draw(posteriors.private[1], 4)
    by_hand = multiblock.gaussian(parts[1], model.decode(1, s, p), model.blocks[1].log_sigma)
    s_alone = draw(posteriors.single(1), 2)
    by_hand = by_hand + multiblock.gaussian(parts[1], model.decode(1, s_alone, p), model.blocks[1].log_sigma)
    torch.testing.assert_close(found.own[:, 1], by_hand * 6 / 9)
    assert found.kl.shape == (4, 2 * 3 + 2 * 2)
    assert found.kl[0, 2:4].tolist() == [0, 0]  # s given the absent block alone is the prior
    assert found.kl[0, 6:8].tolist() == [0, 0]  # and so are its private latents
    total = found.total(cross=0.5, beta=2.0)
    torch.testing.assert_close(total, found.own.sum(1) + 0.5 * found.cross.sum(1) + 2 * found.kl.sum(1))


def test_linear_start_is_the_posterior_of_the_linear_model():
    rng = np.random.default_rng(3)
    found = shared_factors.Factors(rng.normal(size=(7, 1)), rng.normal(size=(7, 2)), 0.4)
    weight, x = 0.5, rng.normal(size=7)
    linear = shared_factors.posterior(found, weight)
    tau = 0.4 / weight
    covariance = found.shared @ found.shared.T + found.private @ found.private.T + tau * np.eye(7)
    mean, logvar = product(
        torch.tensor(linear.shared @ x)[None, None], torch.tensor(np.log(linear.shared_variance))[None, None],
        torch.ones(1, 1, dtype=torch.bool),
    )  # fmt: skip
    exact = found.shared.T @ np.linalg.inv(covariance)
    assert mean[0].tolist() == pytest.approx(exact @ x)
    assert float(logvar.exp()) == pytest.approx((1 - exact @ found.shared).item())
    exact = found.private.T @ np.linalg.inv(covariance)
    assert (linear.private @ x).tolist() == pytest.approx(exact @ x)
    assert linear.private_variance.tolist() == pytest.approx(np.diag(np.eye(2) - exact @ found.private))


def test_em_raises_the_likelihood_and_takes_people_without_a_block():
    _, _, features = simulated(150, (8, 12))
    x = [one - one.mean(axis=0) for one in features]

    def likelihood(found):
        loadings = [np.hstack([found[0].shared, found[0].private, np.zeros((8, 2))]),
                    np.hstack([found[1].shared, np.zeros((12, 2)), found[1].private])]  # fmt: skip
        joint = np.vstack(loadings)
        covariance = joint @ joint.T + np.diag(np.r_[np.full(8, found[0].noise), np.full(12, found[1].noise)])
        return multivariate_normal(np.zeros(20), covariance).logpdf(np.hstack(x)).sum()

    values = []
    for iterations in (0, 3, 300):
        shared_factors.ITERATIONS = iterations
        values.append(likelihood(shared_factors.fit(x, [1.0, 1.0], 2, 2)))
    shared_factors.ITERATIONS = 500
    assert values[0] < values[1] < values[2]
    without = [x[0].copy(), x[1].copy()]
    without[0][:20] = np.nan
    part = shared_factors.fit(without, [1.0, 1.0], 2, 2)
    whole = shared_factors.fit(x, [1.0, 1.0], 2, 2)
    assert part[1].noise == pytest.approx(whole[1].noise, rel=0.05)


@pytest.mark.parametrize(("shared", "rank"), [(True, 2), (False, 0)])
def test_joint_rank_counts_what_blocks_share(shared, rank):
    _, _, features = simulated(200)
    _, _, others = simulated(200, seed=7)
    x = [features[0], features[1] if shared else others[1]]
    everyone = np.ones((2, 200), bool)
    assert shared_factors.joint_rank([one - one.mean(axis=0) for one in x], everyone, [30, 40], 16) == rank


def test_scans_of_a_person_are_permuted_together_so_that_blocks_of_nothing_in_common_share_nothing():
    """Four nearly equal scans a person look like shared directions if each scan changes places alone."""
    first, second = (simulated(40, seed=seed)[2][k] for k, seed in ((0, 1), (1, 7)))
    rng, person = np.random.default_rng(0), np.repeat(np.arange(40), 4)
    x = [one[person] + 0.05 * rng.normal(size=(160, one.shape[1])) for one in (first, second)]
    x, everyone = [one - one.mean(axis=0) for one in x], np.ones((2, 160), bool)
    assert shared_factors.joint_rank(x, everyone, [30, 40], 16) > 0
    assert shared_factors.joint_rank(x, everyone, [30, 40], 16, person) == 0
    both = simulated(40)[2]
    x = [one[person] + 0.05 * rng.normal(size=(160, one.shape[1])) for one in both]
    assert shared_factors.joint_rank([one - one.mean(axis=0) for one in x], everyone, [30, 40], 6, person) == 2


def test_planted_factors_are_found_and_private_ones_stay_private():
    """Short form of `proof_fused`: 260 people, 30 and 40 features, signal and noise of equal variance."""
    shared, private, features = simulated(260)
    model, array, split, _ = model_of("fused", features, n_shared=8, n_private=8)
    values, everyone = array[:], np.ones((2, 260), bool)
    assert model.meta["architecture"]["unused"] == [f"shared_{k:02d}" for k in range(2, 8)]
    bars = {"both": (everyone, 0.6), "a": (everyone & [[True], [False]], 0.4), "b": (everyone & [[False], [True]], 0.4)}
    for use, bar in bars.values():
        z = fused.embed(values, NO_MASK, model.tensors, model.meta["architecture"], use)[0][:, :8]
        assert (r2(z, shared, split) >= bar).all()
        assert all((r2(z, own, split) <= 0.1).all() for own in private)
    again = fused.embed(values, NO_MASK, model.tensors, model.meta["architecture"])[0]
    assert np.array_equal(again, fused.embed(values, NO_MASK, model.tensors, model.meta["architecture"])[0])


def test_each_linear_model_explains_one_block_from_the_other():
    shared, _, features = simulated(260)
    units, explained = None, {}
    for kind in ("fused", *linear_blocks.METHODS):
        model, array, split, _ = model_of(kind, features)
        units = by_block.reference(array, np.flatnonzero(split == "training"))
        found = by_block.errors(model, array, np.flatnonzero(split == "test"), units)
        explained[kind] = {source: by_block.explained(found, source, 0) for source in by_block.INPUTS}
        z = model.module.embed(array[:], NO_MASK, model.tensors, model.meta["architecture"])[0]
        assert (r2(z, shared, split) > 0.8).all(), kind
    for kind, one in explained.items():
        assert 0.1 < one["other"] < one["all"] < 0.6, kind
    assert explained["pca"]["shared"] == explained["pca"]["all"]


@pytest.mark.parametrize("kind", ["fused", "pca", "cca", "pls", "jive"])
def test_a_table_with_fewer_features_than_latents_is_taken(kind):
    _, _, features = simulated(90, (60, 5))
    model, array, split, _ = model_of(kind, features, n_shared=8, n_private=8)
    mu = model.module.embed(array[:], NO_MASK, model.tensors, model.meta["architecture"])[0]
    assert np.isfinite(mu).all() and mu.std(axis=0).max() > 0.3
    units = by_block.reference(array, np.flatnonzero(split == "training"))
    errors = by_block.errors(model, array, np.flatnonzero(split == "test"), units)
    assert errors["own"].sum(axis=0)[1] < errors["total"].sum(axis=0)[1]  # better than the mean


def test_more_components_than_features_are_refused():
    _, _, features = simulated(90, (6, 5))
    with pytest.raises(InputError, match="the blocks have 11 features in all, too few for 24 components"):
        model_of("pca", features, n_shared=8, n_private=8)


def test_pca_of_all_blocks_is_that_of_scikit_learn():
    from sklearn.decomposition import PCA

    _, _, features = simulated(100, (20, 20))
    model, array, split, _ = model_of("pca", features)
    values = array[:]
    units = by_block.reference(array, np.flatnonzero(split == "training"))
    standard = (values - units["mean"]) / units["scale"]
    reference = PCA(6).fit(standard[split == "training"])
    z = model.module.embed(values, NO_MASK, model.tensors, model.meta["architecture"])[0]
    scores = reference.transform(standard)
    for k in range(6):
        assert abs(np.corrcoef(z[:, k], scores[:, k])[0, 1]) == pytest.approx(1, abs=1e-4)


def test_rows_of_a_model_of_several_blocks_are_by_scan_and_inputs():
    there = np.array([[True, True, False, False], [True, False, True, False]])
    found = input_sets(there, ["b", "a"])
    assert [(name, scans.tolist()) for name, scans, _ in found] == [
        ("a+b", [0]), ("b", [1]), ("a", [2]), ("b", [0]), ("a", [0])]  # fmt: skip
    table = pd.DataFrame([(name, scan) for name, scans, _ in found for scan in scans], columns=["inputs", "scan"])
    kept = latent_table.whole(table)
    assert dict(zip(kept["scan"], kept["inputs"], strict=True)) == {0: "a+b", 1: "b", 2: "a"}


def test_a_person_without_a_block_has_the_prior_of_its_private_latents():
    _, _, features = simulated(120)
    model, array, _, history = model_of("fused", features, missing=[(0, 3), (1, 5)])
    mu, logvar = model.encode(array[:8])
    assert model.meta["architecture"]["latents"] == ["shared_00", "shared_01", "a_00", "a_01", "b_00", "b_01"]
    assert mu[3, 2:4].tolist() == [0, 0] and logvar[3, 2:4].tolist() == [0, 0] and mu[3, 4:].any()
    assert mu[5, 4:].tolist() == [0, 0] and mu[5, 2:4].any()
    assert len(history) == 3 * 3


def test_a_block_whose_decoder_ignores_the_shared_latents_is_a_verdict():
    _, _, features = simulated(200)
    model, array, split, _ = model_of("fused", features)
    person = np.array([f"p{k}" for k in range(200)])
    same = {"kept_epoch": 0, "has_trained": True}
    assert by_block.measure(model, array, person, split, 0, **same)["verdict"] == "healthy"
    model.tensors["blocks.1.outward"][:2] = 0
    found = by_block.measure(model, array, person, split, 0, **same)
    assert found["verdict"] == "partial" and "the decoder of b ignores the shared latents" in found["reason"]
    for name in ("outward", "decoder.layers.3.weight", "decoder.layers.3.bias"):
        model.tensors[f"blocks.0.{name}"][:], model.tensors[f"blocks.1.{name}"][:] = 0, 0
    assert by_block.measure(model, array, person, split, 0, **same)["verdict"] == "collapsed"


def test_too_few_people_with_all_blocks_are_refused():
    _, _, features = simulated(60)
    missing = [(0, person) for person in range(36)]
    with pytest.raises(InputError, match=r"3 training scans have all blocks, but 4 latents .* lower n_shared"):
        model_of("fused", features, missing=missing)


def entry(**more):
    values = {"name": "both", "kind": "fused", "blocks": ["a", "b"], "n_shared": 8, "n_private": 8, "n_latent": None,
              "twins": ["pca", "cca"], "transductive": False, **more}  # fmt: skip
    return values


def faults(**more):
    cohort = {"blocks": [{"name": "a", "type": "table"}, {"name": "b", "type": "timeseries", "connectivity": "tangent"},
                         {"name": "c", "type": "table"}, {"name": "image", "type": "volumes"}]}  # fmt: skip
    train = SimpleNamespace(models=[entry(**more)], search={"model": None})
    return plan.problems(vars(train), cohort, images=False)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"blocks": ["a"]}, "give two or more names of cohort.blocks"),
        ({"blocks": ["a", "d"]}, "no block d; cohort.blocks has a, b, c"),
        ({"blocks": ["a", "image"]}, "no block image"),
        ({}, "block 'b' has connectivity: tangent"),
        ({"blocks": ["a", "c"], "n_latent": 4}, "follows from n_shared and n_private"),
        ({"blocks": ["a", "c", "a"]}, "each once"),
    ],
)
def test_impossible_entries_are_refused_before_the_first_job(more, message):
    found = faults(**more)
    assert len(found) == 1 and found[0].startswith("train.models 'both': ") and message in found[0]


def test_linear_models_are_added_to_a_fused_one():
    sized = plan.sized({"models": [entry(blocks=["a", "c"])]})["models"]
    found = plan.with_twins({"both": sized[0]})
    assert list(found) == ["both", "both-pca", "both-cca"] and found["both-cca"]["n_latent"] == 24
    assert plan.twins(found) == {"both": ["both-pca", "both-cca"]}
    cohort = {"name": "x", "blocks": [{"name": "a", "type": "volumes"}, {"name": "c", "type": "table"}]}
    assert plan.folders(found, cohort)["both-pca"] == {"a": "", "c": "results/x/blocks/c"}
    assert plan.inputs(found, cohort)["both"] == [f"results/x/blocks/c/{name}" for name in plan.FILES]
