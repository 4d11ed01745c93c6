"""Losses, divergences and bounds against closed forms, other implementations, and what may not change them."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import multivariate_normal
from torch import Tensor

from neurovae.plan import beta_schedule
from neurovae.train.health import bounds
from neurovae.train.losses import divergence
from neurovae.train.losses.losses import gaussian_nll, squared_error
from neurovae.train.losses.ssim import dssim, ssim
from neurovae.train.models.network import sample

SHAPE = (12, 16, 14)
MASK = torch.zeros(SHAPE, dtype=torch.bool)
MASK[1:11, 2:14, 3:12] = True
MASK[0, 8, 8] = True  # the mask touches the edge of the grid


def drawn(*shape: int, seed: int = 0, kind: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def volumes(scans: int = 3, kind: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Smooth images and noisy copies of them (scans, 1, x, y, z)."""
    smooth = gaussian_filter(drawn(scans, 1, *SHAPE).numpy(), 1, axes=(2, 3, 4))
    x = torch.from_numpy(smooth / smooth.std())
    return x.to(kind), (x + 0.4 * drawn(scans, 1, *SHAPE, seed=1)).to(kind)


def grown(x: Tensor) -> Tensor:
    """Each voxel eight times: a grid of half the spacing."""
    for axis in (-1, -2, -3):
        x = x.repeat_interleave(2, axis)
    return x


# Gaussian likelihood


def test_the_likelihood_is_a_sum_with_its_closed_form() -> None:
    sigma, mask = 0.7, torch.rand(20, 20, 20, generator=torch.Generator().manual_seed(0)) < 0.5
    x_hat = drawn(3, 1, 20, 20, 20)
    x = x_hat + sigma * drawn(3, 1, 20, 20, 20, seed=1)
    nll = gaussian_nll(x, x_hat, mask, sigma)
    normal = torch.distributions.Normal(x_hat, sigma)
    assert torch.allclose(nll, -(normal.log_prob(x) * mask).sum(dim=(1, 2, 3, 4)))
    expected = math.log(2 * math.pi * sigma**2) / 2 + 0.5  # nats a voxel
    assert float(nll.mean()) / int(mask.sum()) == pytest.approx(expected, abs=0.02)
    assert torch.allclose(gaussian_nll(grown(x), grown(x_hat), grown(mask), sigma), 8 * nll)


def test_learned_sigma_squared_is_the_masked_mean_squared_error() -> None:
    x, x_hat = volumes()
    log_sigma = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_sigma], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = gaussian_nll(x, x_hat, MASK, log_sigma.exp()).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    mse = (x - x_hat)[:, 0, MASK].square().mean()
    assert float(log_sigma.detach().exp() ** 2) == pytest.approx(float(mse), rel=1e-6)
    at_best = gaussian_nll(x, x_hat, MASK, float(mse) ** 0.5).mean() / int(MASK.sum())
    assert float(at_best) == pytest.approx(math.log(2 * math.pi * float(mse)) / 2 + 0.5, rel=1e-9)
    parameter = torch.tensor(0.5, requires_grad=True)  # in single precision beside double images
    gaussian_nll(x, x_hat, MASK, parameter).sum().backward()
    assert parameter.grad is not None and parameter.grad != 0


@pytest.mark.parametrize("noise", [1e6, math.nan, math.inf])
@pytest.mark.parametrize("term", ["squared error", "likelihood", "dssim"])
def test_a_masked_loss_ignores_the_background_to_the_bit(term: str, noise: float) -> None:
    function = {
        "squared error": squared_error,
        "likelihood": lambda x, x_hat, mask: gaussian_nll(x, x_hat, mask, 0.9),
        "dssim": lambda x, x_hat, mask: dssim(x, x_hat, mask, data_range=4.0, low=-2.0, outside=0.3),
    }[term]
    x, x_hat = volumes(kind=torch.float32)
    other, other_hat = (torch.where(MASK, image, noise) for image in (x, x_hat))
    found = []
    for target, image in ((x, x_hat), (other, x_hat), (x, other_hat), (other, torch.where(MASK, x_hat, -noise))):
        leaf = image.clone().requires_grad_()
        value = function(target, leaf, MASK)
        value.sum().backward()
        assert leaf.grad is not None and (leaf.grad[:, 0, ~MASK] == 0).all() and (leaf.grad[:, 0, MASK] != 0).all()
        found.append((value.detach(), leaf.grad))
    assert all(torch.equal(a, b) for pair in found[1:] for a, b in zip(pair, found[0], strict=True))
    inside = x.clone()
    inside[:, 0, 5, 5, 5] += 1
    assert (function(inside, x_hat, MASK) != found[0][0]).all()


def test_a_loss_of_a_scan_does_not_depend_on_its_batch() -> None:
    x, x_hat = volumes()
    for function in (lambda *a: gaussian_nll(*a, MASK, 0.7), lambda *a: dssim(*a, MASK, data_range=4.0)):
        alone = torch.cat([function(x[i : i + 1], x_hat[i : i + 1]) for i in range(3)])
        assert torch.allclose(function(x, x_hat), alone, rtol=1e-12)


# Structural similarity


def printed(x: np.ndarray, y: np.ndarray, data_range: float, outside: float, low: float) -> float:
    """Equation 13 of Wang 2004 as it is printed, in double precision, on a grid with a wide margin."""
    inside = np.pad(MASK.numpy(), 8)
    x, y = (np.where(inside, np.pad(image, 8), outside) - low for image in (x, y))

    def windowed(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, 1.5, radius=5, mode="nearest")

    a, b = windowed(x), windowed(y)
    xx, yy, xy = windowed(x * x) - a * a, windowed(y * y) - b * b, windowed(x * y) - a * b
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    found = (2 * a * b + c1) * (2 * xy + c2) / ((a * a + b * b + c1) * (xx + yy + c2))
    return float(found[inside].mean())


@pytest.mark.parametrize(("kind", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize(
    ("offset", "outside", "low"), [(0, 0, 0), (0, 0, -3), (5, 0, 2), (5, 5, 0), (1000, 1000, 997), (1000, 1000, 0)]
)
def test_ssim_equals_the_printed_formula(
    kind: torch.dtype, close: float, offset: float, outside: float, low: float
) -> None:
    x, x_hat = (image + offset for image in volumes(kind=kind))
    ours = ssim(x, x_hat, MASK, data_range=6.0, low=low, outside=outside)
    theirs = [
        printed(a.double().numpy(), b.double().numpy(), 6.0, outside, low)
        for a, b in zip(x[:, 0], x_hat[:, 0], strict=True)
    ]
    assert np.abs(ours.numpy() - theirs).max() < close * (100 if offset == 1000 else 1)
    assert ours.dtype == kind and 0.05 < ours.min() and ours.max() < 0.999
    assert torch.equal(1 - dssim(x, x_hat, MASK, data_range=6.0, low=low, outside=outside), ours)


def test_equal_images_have_ssim_1_and_different_ones_less() -> None:
    x, x_hat = volumes(kind=torch.float32)
    assert (ssim(x, x, MASK, data_range=6.0) == 1).all()
    found = [float(ssim(x, x + size * (x_hat - x), MASK, data_range=6.0).mean()) for size in (0.1, 0.5, 1.0, 2.0)]
    assert found == sorted(found, reverse=True) and found[0] < 1
    near = dssim(x.double(), x.double() + 1e-4 * (x_hat - x), MASK, data_range=6.0)
    assert torch.allclose(dssim(x, x + 1e-4 * (x_hat - x), MASK, data_range=6.0).double(), near, rtol=1e-2)
    opposite = ssim(x - x.mean(), x.mean() - x, MASK, data_range=0.1, low=-100.0)
    assert (opposite < -0.8).all()


def test_gradient_of_dssim() -> None:
    x, x_hat = drawn(2, 1, 4, 5, 3), drawn(2, 1, 4, 5, 3, seed=1).requires_grad_()
    mask = torch.rand(4, 5, 3, generator=torch.Generator().manual_seed(0)) < 0.7
    for low in (0.0, -3.0):
        assert torch.autograd.gradcheck(lambda image, low=low: dssim(x, image, mask, data_range=3.0, low=low), x_hat)


def test_dssim_is_in_single_precision_under_autocast() -> None:
    x, x_hat = volumes(kind=torch.float32)
    plain = dssim(x, x_hat, MASK, data_range=6.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(dssim(x, x_hat, MASK, data_range=6.0), plain)
        assert dssim(x.bfloat16(), x_hat.bfloat16(), MASK, data_range=6.0).dtype == torch.float32


# KL


def test_kl_equals_torch() -> None:
    mu, logvar = drawn(50, 4), 3 * drawn(50, 4, seed=1)
    ours = divergence.kl_per_dimension(mu, logvar)
    posterior = torch.distributions.Normal(mu, (logvar / 2).exp())
    assert torch.allclose(ours, torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)))
    assert (ours >= 0).all()
    assert divergence.kl_per_dimension(torch.zeros(1, 2), torch.zeros(1, 2)).sum() == 0
    near = divergence.kl_per_dimension(torch.zeros(1), torch.full((1,), 1e-3))
    assert float(near) == pytest.approx(2.5e-7, rel=1e-2)  # logvar^2 / 4; the printed form leaves no digit of it


def test_free_bits_floor_the_batch_s_mean_of_each_latent() -> None:
    kl = torch.tensor([[0.0, 1.0, 0.1], [0.8, 3.0, 0.1]], requires_grad=True)
    found = divergence.free_bits(kl, 0.3)
    assert torch.allclose(found, torch.tensor([0.4, 2.0, 0.3]))  # a scan below the floor counts, a latent does not
    found.sum().backward()
    assert torch.equal(kl.grad, torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]]))
    assert torch.equal(divergence.free_bits(kl, 0.0), kl.mean(dim=0))


def test_warmup_is_linear_or_cyclic() -> None:
    def betas(epochs: int, length: int, cycles: int) -> list[float]:
        return [beta_schedule.warmup(epoch, epochs, length, cycles) for epoch in range(1, epochs + 1)]

    assert betas(8, 4, 0) == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert betas(8, 2, 2) == [0, 0.5, 1, 1, 0, 0.5, 1, 1]
    assert betas(8, 4, 2) == [0, 0.25, 0.5, 0.75] * 2
    assert betas(5, 2, 2) == [0, 0.5, 1, 0.25, 0.75]  # cycles of 2.5 epochs
    assert betas(3, 0, 0) == betas(3, 0, 3) == [1, 1, 1]


@pytest.mark.parametrize(
    ("epochs", "length", "cycles", "reached"),
    [(10, 9, 0, 1), (10, 10, 0, 0.9), (10, 20, 0, 0.45), (10, 4, 2, 1), (10, 5, 2, 0.8), (10, 0, 0, 1)],
)
def test_a_warmup_longer_than_the_training_is_told(epochs: int, length: int, cycles: int, reached: float) -> None:
    assert beta_schedule.max_fraction(epochs, length, cycles) == reached


# MMD


def double_loop(z: Tensor, prior: Tensor) -> float:
    """The U-statistic of Gretton 2012 by its definition."""

    def kernel(a: Tensor, b: Tensor) -> float:
        base, squared = 2 * len(a), float((a - b).square().sum())
        return sum(base * s / (base * s + squared) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    n, m = len(z), len(prior)
    own = sum(kernel(z[i], z[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    theirs = sum(kernel(prior[i], prior[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return own + theirs - 2 * sum(kernel(a, b) for a in z for b in prior) / (n * m)


def test_mmd_equals_its_definition() -> None:
    z, prior = 0.5 * drawn(7, 3) + 1, drawn(9, 3, seed=1)
    assert float(divergence.mmd(z, prior)) == pytest.approx(double_loop(z, prior), rel=1e-10)
    assert float(divergence.mmd(z.float(), prior.float())) == pytest.approx(double_loop(z, prior), rel=1e-5)
    assert torch.autograd.gradcheck(divergence.mmd, (z.requires_grad_(), prior))
    assert torch.isfinite(divergence.mmd(z[:1], prior))


def test_mmd_of_the_prior_is_zero_on_average_and_of_either_sign() -> None:
    found = torch.stack([divergence.mmd(drawn(40, 8, seed=i), drawn(30, 8, seed=1000 + i)) for i in range(400)])
    assert abs(float(found.mean())) < 3 * float(found.std()) / 20
    assert 0.2 < float((found < 0).double().mean()) < 0.8


@pytest.mark.parametrize("latents", [2, 32])
def test_mmd_falls_as_the_codes_near_the_prior(latents: int) -> None:
    noise, prior = drawn(300, latents), drawn(300, latents, seed=1)
    shifts = [float(divergence.mmd(noise + shift, prior)) for shift in (4, 2, 1, 0.5, 0.2)]
    wide, narrow = (
        [float(divergence.mmd(noise * s, prior)) for s in sizes] for sizes in ((8, 4, 2, 1), (0.05, 0.3, 0.6, 1))
    )
    for values in (shifts, wide, narrow):
        assert values == sorted(values, reverse=True)
        assert values[0] > 0.2 > 10 * abs(float(divergence.mmd(noise, prior)))


@pytest.mark.parametrize(("spread", "shift"), [(1.0, 3.0), (0.1, 0.0)])
def test_the_pull_is_toward_the_prior_in_32_dimensions(spread: float, shift: float) -> None:
    z, queue = (spread * drawn(rows, 32, seed=seed) + shift for rows, seed in ((32, 0), (256, 2)))
    prior, other = drawn(288, 32, seed=1), drawn(288, 32, seed=5)
    value, pull = divergence.mmd_pull(z, queue, prior, 1.0)
    if shift:  # descending goes against the pull: the codes' mean moves to 0
        assert torch.nn.functional.cosine_similarity(pull.mean(dim=0), z.mean(dim=0), dim=0) > 0.9
    else:  # and codes too near each other move outwards
        assert (torch.nn.functional.cosine_similarity(pull, z) < -0.9).all()
    assert float(32 * pull.norm(dim=1).mean()) > 0.3
    leaf = z.clone().requires_grad_()
    unit = torch.exp(-torch.cdist(leaf, prior).square() / 2).mean()  # a unit radial basis has no gradient there
    assert float(torch.autograd.grad(unit, leaf)[0].norm()) < 1e-5
    assert float(divergence.mmd(torch.cat([z - 32 * pull, queue]), prior)) < value
    start = float(divergence.mmd(z, other))
    for _ in range(200):
        z = z - 80 * divergence.mmd_pull(z, queue[:0], prior, 1.0)[1]
    assert abs(float(divergence.mmd(z, other))) < 0.05 * start
    assert abs(float(z.mean())) < 0.2 and 0.9 < float(z.std()) < 1.2


def test_the_pull_is_the_gradient_whatever_share_of_the_codes_is_fresh() -> None:
    codes, prior = 0.5 * drawn(24, 4) + 1, drawn(24, 4, seed=1)
    value, whole = divergence.mmd_pull(codes, codes[:0], prior, 3.0)
    leaf = codes.clone().requires_grad_()
    (3 * divergence.mmd(leaf, prior)).backward()
    assert torch.allclose(whole, leaf.grad) and value == divergence.mmd(codes, prior)
    fresh, old = codes[:8], codes[8:].clone().requires_grad_()
    value, pull = divergence.mmd_pull(fresh, old, prior, 3.0)
    assert torch.allclose(pull, 3 * whole[:8]) and float(value) == pytest.approx(float(divergence.mmd(codes, prior)))
    assert old.grad is None and not pull.requires_grad


def encoder_gradient(parts: list[list[int]], x: Tensor, eps: Tensor, queue: Tensor, prior: Tensor) -> Tensor:
    """Gradient of a linear encoder and decoder under reconstruction + MMD, the batch taken in parts."""
    weight = drawn(6, 4, seed=7, kind=torch.float32).requires_grad_()
    with torch.no_grad():
        codes = x @ weight + 0.3 * eps
    _, pull = divergence.mmd_pull(codes, queue, prior, 50.0)
    for rows in parts:
        z = x[rows] @ weight + 0.3 * eps[rows]
        error = (x[rows] - z @ weight.T).square().sum()
        (error / len(x) + (z * pull[rows]).sum()).backward()
    assert weight.grad is not None
    return weight.grad


def test_one_batch_of_32_two_processes_of_16_and_two_parts_of_16_agree() -> None:
    x, eps, queue, prior = (
        drawn(rows, columns, seed=i, kind=torch.float32)
        for i, (rows, columns) in enumerate(((32, 6), (32, 4), (256, 4), (288, 4)))
    )
    whole = encoder_gradient([list(range(32))], x, eps, queue, prior)
    for parts in ([list(range(16)), list(range(16, 32))], [list(range(0, 32, 2)), list(range(1, 32, 2))]):
        found = encoder_gradient(parts, x, eps, queue, prior)
        assert torch.allclose(found, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))
    weight = drawn(6, 4, seed=7, kind=torch.float32).requires_grad_()  # the same by one loss, without the detour
    z = x @ weight + 0.3 * eps
    value = divergence.mmd(torch.cat([z, queue]), prior)
    ((x - z @ weight.T).square().sum() / 32 + 50 * 288 / 32 * value).backward()
    assert torch.allclose(weight.grad, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))
    apart = sum(divergence.mmd_pull(z[i : i + 16], queue, prior, 1.0)[0] for i in (0, 16)) / 2
    assert abs(float((apart - value).detach())) > 1e-4  # a mean over the parts would be another number


def test_the_queue_keeps_the_newest_codes() -> None:
    queue = torch.zeros(0, 2)
    for i in range(5):
        queue = divergence.push(queue, torch.full((3, 2), float(i), requires_grad=True), size=7)
    assert queue[:, 0].tolist() == [2, 3, 3, 3, 4, 4, 4] and not queue.requires_grad
    assert len(divergence.push(queue, torch.ones(300, 2))) == 256


# Bounds, on x = W z + sigma e, z ~ N(0, I), whose likelihood is known

VOXELS, SIGMA = (2, 3, 2), 0.5


def linear(orthogonal: bool) -> tuple[Tensor, Tensor, Tensor]:
    """A decoder W (voxels, latents), data (scans, voxels) and their exact log-likelihood (scans,)."""
    w = drawn(12, 3)
    if orthogonal:
        w = torch.linalg.qr(w)[0] * torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    x = drawn(20, 3, seed=1) @ w.T + SIGMA * drawn(20, 12, seed=2)
    exact = multivariate_normal(np.zeros(12), (w @ w.T + SIGMA**2 * torch.eye(12)).numpy()).logpdf(x.numpy())
    return w, x, torch.from_numpy(exact)


def posterior(w: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Best diagonal posterior, mean and log-variance (scans, latents), and the true one's covariance."""
    precision = w.T @ w / SIGMA**2 + torch.eye(3)
    mu = x @ w @ torch.linalg.inv(precision) / SIGMA**2  # Tipping and Bishop 1999
    return mu, -precision.diagonal().log().expand_as(mu), torch.linalg.inv(precision)


def log_likelihood(w: Tensor, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) of samples z (samples, scans, latents), by the likelihood that training uses: (samples, scans)."""
    mask = torch.ones(VOXELS, dtype=torch.bool)
    return torch.stack(
        [-gaussian_nll(x.view(-1, 1, *VOXELS), (code @ w.T).view(-1, 1, *VOXELS), mask, SIGMA) for code in z]
    )


def sigma_points(mu: Tensor, logvar: Tensor) -> Tensor:
    """Six points (6, scans, 3) over which the mean of any quadratic is exact."""
    steps = math.sqrt(3) * torch.cat([torch.eye(3), -torch.eye(3)]).to(mu.dtype)
    return sample(mu, logvar, steps[:, None].expand(-1, len(mu), -1))


@pytest.mark.parametrize("orthogonal", [True, False])
def test_the_elbo_is_tight_where_the_posterior_is_diagonal_and_else_off_by_its_known_gap(orthogonal: bool) -> None:
    w, x, exact = linear(orthogonal)
    mu, logvar, covariance = posterior(w, x)
    found = bounds.elbo(
        log_likelihood(w, x, sigma_points(mu, logvar)), divergence.kl_per_dimension(mu, logvar).sum(dim=1)
    )
    zero = torch.zeros(3, dtype=torch.float64)
    gap = torch.distributions.kl_divergence(
        torch.distributions.MultivariateNormal(zero, torch.diag(logvar[0].exp())),
        torch.distributions.MultivariateNormal(zero, covariance),
    )
    assert (exact - found - gap).abs().max() < 1e-3
    assert gap < 1e-9 if orthogonal else gap > 0.05
    wrong = bounds.elbo(
        log_likelihood(w, x, sigma_points(mu, logvar + 1)), divergence.kl_per_dimension(mu, logvar + 1).sum(dim=1)
    )
    assert (wrong < found - 0.1).all()


def test_the_importance_bound_closes_the_gap() -> None:
    w, x, exact = linear(False)
    mu, logvar, _ = posterior(w, x)
    mu = mu + 0.3 * (logvar / 2).exp()  # a worse posterior than the best
    z = sample(mu, logvar, drawn(20_000, 20, 3, seed=4))
    terms = log_likelihood(w, x, z), bounds.log_normal(z, *torch.zeros(2, 3)), bounds.log_normal(z, mu, logvar)
    gaps = [float((exact - _mean_bound(terms, size)).mean()) for size in (1, 10, 100, 20_000)]
    elbo = bounds.elbo(terms[0], divergence.kl_per_dimension(mu, logvar).sum(dim=1))
    assert gaps[0] == pytest.approx(float((exact - elbo).mean()), abs=0.02)  # one sample is the ELBO
    assert gaps == sorted(gaps, reverse=True) and gaps[0] > 0.3 and abs(gaps[-1]) < 0.01
    far = [terms[0] - 1e6, *terms[1:]]
    assert torch.allclose(bounds.importance_bound(*far) + 1e6, bounds.importance_bound(*terms), atol=1e-6)
    single = bounds.importance_bound(*(term.float() for term in terms))
    assert torch.allclose(single, bounds.importance_bound(*terms), atol=1e-4)


def _mean_bound(terms: tuple[Tensor, ...], size: int) -> Tensor:
    """The bound with so many samples, averaged over as many groups as there are."""
    groups = zip(*(term.split(size) for term in terms), strict=True)
    return torch.stack([bounds.importance_bound(*group) for group in groups]).mean(dim=0)


def test_beta_0_is_the_autoencoder_only_with_z_at_mu() -> None:
    w, x, _ = linear(False)
    mu, logvar, _ = posterior(w, x)
    logvar = logvar.clone().requires_grad_()
    autoencoder = -log_likelihood(w, x, mu[None]).mean(dim=0)
    sampled = -log_likelihood(w, x, sigma_points(mu, logvar)).mean(dim=0)
    extra = (w.square() @ logvar.exp().T).sum(dim=0) / (2 * SIGMA**2)  # tr(W S W^T) / 2 sigma^2
    assert torch.allclose(sampled, autoencoder + extra) and (extra > 0.5).all()
    sampled.sum().backward()
    assert logvar.grad is not None and (logvar.grad > 0).all()  # without a KL the variance goes to 0
    assert torch.equal(-log_likelihood(w, x, sample(mu, logvar.detach(), torch.zeros(1, 20, 3)))[0], autoencoder)


def test_the_reparameterised_gradient_is_that_of_the_score_function() -> None:
    x, count = drawn(1, 1, 2, 2, 1, seed=3), 200_000
    mask, w = torch.ones(2, 2, 1, dtype=torch.bool), drawn(2, 4, seed=4)
    start = torch.tensor([[0.4, -0.7], [-0.5, 0.3]], dtype=torch.float64)  # mu, logvar

    def nll(z: Tensor) -> Tensor:
        x_hat = (torch.tanh(z) @ w).view(-1, 1, 2, 2, 1)
        return gaussian_nll(x.expand(len(z), -1, -1, -1, -1), x_hat, mask, 0.8)

    leaf = start.expand(count, 2, 2).clone().requires_grad_()
    nll(sample(leaf[:, 0], leaf[:, 1], drawn(count, 2, seed=5))).sum().backward()
    ours = leaf.grad  # (draws, mu and logvar, latents)
    leaf = start.expand(count, 2, 2).clone().requires_grad_()
    with torch.no_grad():
        z = sample(leaf[:, 0], leaf[:, 1], drawn(count, 2, seed=6))
        cost = nll(z) - 7
    (cost * bounds.log_normal(z, leaf[:, 0], leaf[:, 1])).sum().backward()  # Williams 1992
    theirs = leaf.grad
    assert ours is not None and theirs is not None
    error = ((ours.var(dim=0) + theirs.var(dim=0)) / count).sqrt()
    difference = ours.mean(dim=0) - theirs.mean(dim=0)
    assert (difference.abs() < 4 * error).all()
    assert (ours.mean(dim=0).abs() > 10 * error).all()  # the test would see a wrong sign or factor


def test_log_normal_equals_torch() -> None:
    z, mu, logvar = drawn(7, 5, 3), drawn(5, 3, seed=1), drawn(5, 3, seed=2)
    normal = torch.distributions.Normal(mu, (logvar / 2).exp())
    assert torch.allclose(bounds.log_normal(z, mu, logvar), normal.log_prob(z).sum(dim=-1))


# Mutual information


def information(mu: Tensor, logvar: Tensor, samples: int = 20, seed: int = 0) -> float:
    """The estimate with its own generator."""
    return bounds.mutual_information(mu, logvar, samples=samples, generator=torch.Generator().manual_seed(seed))


def test_information_is_0_where_posteriors_are_equal_and_log_n_where_they_are_apart() -> None:
    equal = drawn(1, 5).expand(30, 5)
    assert information(equal, equal / 3) == pytest.approx(0, abs=1e-9)
    apart = 100 * torch.arange(30.0)[:, None].expand(30, 2)
    assert information(apart, torch.zeros(30, 2)) == pytest.approx(math.log(30), abs=1e-9)
    assert information(apart, torch.full((30, 2), -10.0)) == pytest.approx(math.log(30), abs=1e-6)
    pairs = apart.floor_divide(200)  # two people at each place
    assert information(100 * pairs, torch.zeros(30, 2)) == pytest.approx(math.log(15), abs=1e-9)
    near = drawn(30, 2), torch.zeros(30, 2)
    assert information(*near, seed=1) == information(*near, seed=1) != information(*near, seed=2)


def test_information_is_mean_kl_minus_the_kl_of_the_aggregate() -> None:
    mu, logvar = 1.5 * drawn(12, 1), drawn(12, 1, seed=1) - 1
    at = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    own = torch.distributions.Normal(mu, (logvar / 2).exp()).log_prob(at)  # (people, points)
    mixture = own.logsumexp(dim=0) - math.log(12)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(at)
    aggregate = torch.trapezoid(mixture.exp() * (mixture - prior), at)
    expected = divergence.kl_per_dimension(mu, logvar).sum(dim=1).mean() - aggregate
    repeats = [information(mu, logvar, samples=200, seed=seed) for seed in range(20)]
    assert np.mean(repeats) == pytest.approx(float(expected), abs=4 * np.std(repeats) / math.sqrt(20))
    assert 0.5 < expected < math.log(12) and np.std(repeats) < 0.05


def test_information_of_a_few_people_is_too_small() -> None:
    exact = 8 * math.log(1 + 3) / 2  # x ~ N(0, I), mu = x, variance 1/3, in 8 latents: 5.5 nats
    found = [
        information(drawn(people, 8, seed=people), torch.full((people, 8), -math.log(3))) for people in (10, 100, 1000)
    ]
    assert found == sorted(found) and found[-1] < exact
    assert all(value <= math.log(people) for value, people in zip(found, (10, 100, 1000), strict=True))
    one = information(drawn(1000, 1), torch.full((1000, 1), -math.log(3)))
    assert one == pytest.approx(exact / 8, abs=0.05)  # with one latent the people suffice
