"""The measured lines of the benchmark that need ours and MONAI side by side, one function each."""

import statistics
from unittest import mock

import benchmark_ours as ours
import numpy as np
import torch
from benchmark_profile import where
from benchmark_tools import Row, Settings, digits, interleaved, judged, ratio

from neurovae.train.losses.ssim import dssim

try:
    import benchmark_monai as monai
except ModuleNotFoundError:
    monai = None  # type: ignore[assignment]


def arithmetic(settings: Settings, volumes: np.ndarray, mask: np.ndarray) -> list[Row]:
    """Line 1: TFLOP/s of the default network's steps beside a matrix product's and a copy's rate in the same minutes."""
    made = ours.trainer(settings, volumes, mask, linear="none")  # the same arithmetic, with zeros in the linear part
    side, kind = (8192, torch.bfloat16) if settings.gpu else (1536, torch.float32)
    a, b = (torch.randn(side, side, device=settings.device).to(kind) for _ in range(2))
    long = torch.zeros(2**28 if settings.gpu else 2**24, device=settings.device)
    work = {"ours": made.one_pass, "product": lambda: a @ b, "copy": lambda: long.clone()}
    if monai:
        other = monai.Loop(settings, volumes, mask, made.hp.n_latent, made.hp.batch)
        work["monai"] = other.one_pass
    times = interleaved(work, settings)
    each, peak = ours.flops(made), 2 * side**3 / statistics.median(times["product"]) / 1e12
    rate = settings.people / statistics.median(times["ours"])
    reached = [each * settings.people / 1e12 / second for second in times["ours"]]
    product = [2 * side**3 / 1e12 / second for second in times["product"]]
    explained, words = ratio(reached, product, 3)
    n = f"{settings.people} volumes a pass, batch {made.hp.batch}, {settings.repeats} repeats"
    rows = [
        Row(number="1", what=f"share of the {str(kind)[6:]} matrix rate ({digits(peak)} TFLOP/s), forward + backward + optimiser",
            measured=words, goal=">= 0.6 on a GPU", n=n, **judged(settings, explained >= 0.6)),
        Row(number="1", what=f"the same in figures: {digits(each / 1e9)} GFLOP a volume (torch.utils.flop_counter)",
            measured=f"{digits(each * rate / 1e12)} TFLOP/s, {digits(rate)} volumes/s; copy "
            f"{digits(2 * long.nbytes / statistics.median(times['copy']) / 1e9)} GB/s", n=n),
    ]  # fmt: skip
    if monai:
        _, faster = ratio(times["monai"], times["ours"])
        rows.append(Row(number="1", what="volumes/s, ours / MONAI's VarAutoEncoder (fp32, Adam)", measured=faster, n=n))
    return rows + where(settings, made.one_pass)


def same_error(settings: Settings, volumes: np.ndarray, mask: np.ndarray) -> list[Row]:
    """Line 2: time until the held-out error is the best that MONAI reaches in its budget, ours from start to finish."""
    n_latent, batch = ours.options(settings)["n_latent"], ours.options(settings)["batch"]
    found: list[tuple[float, ...]] = []
    for seed in range(min(settings.repeats, 3)):
        curve = monai.Loop(settings, volumes, mask, n_latent, batch).learning(settings.budget, seed)
        best = max(explained for _, explained in curve)
        theirs = next(second for second, explained in curve if explained == best)
        own, epochs = ours.until(settings, volumes, mask, best, seed)
        alone, more = ours.until(settings, volumes, mask, best, seed, linear="none")
        found.append((best, theirs, own, epochs, alone, more))
    best, theirs, own, epochs, alone, more = zip(*found, strict=True)
    n = f"{settings.people} + {settings.held_out} volumes, {len(found)} seeds"
    faster, words = ratio(list(theirs), list(own), 1)
    _, network = ratio(list(theirs), list(alone), 1)
    says = f"MONAI {_median(theirs)} s to test variance explained {_median(best)}"
    return [
        Row(number="2", what="time to MONAI's best held-out error, MONAI / ours (defaults, `vae.fit`)",
            measured=f"{words}; {says}, ours {_median(own)} s, epoch {statistics.median(epochs):g}",
            goal=">= 10 on a GPU", n=n, **judged(settings, faster >= 10)),
        Row(number="2", what="the same, our network without its linear part (linear: none)",
            measured=f"{network}; ours {_median(alone)} s, epoch {statistics.median(more):g}", n=n),
    ]  # fmt: skip


def _median(values: tuple[float, ...]) -> str:
    return digits(statistics.median(values))


def structural(settings: Settings, volumes: np.ndarray, mask: np.ndarray) -> list[Row]:
    """Line 3: what the structural loss costs an epoch; its speed and values beside MONAI's."""
    mse, unlike = (
        ours.trainer(settings, volumes, mask, linear="none", reconstruction=kind) for kind in ("gaussian", "dssim")
    )
    times = interleaved({"mse": mse.one_pass, "dssim": unlike.one_pass}, settings)
    cost, words = ratio(times["dssim"], times["mse"])
    n = f"{settings.people} volumes, batch {mse.hp.batch}, {settings.repeats} repeats"
    rows = [Row(number="3", what="epoch with DSSIM / epoch with squared error", measured=words,
                goal="<= 1.15 on a GPU", n=n, **judged(settings, cost <= 1.15))]  # fmt: skip
    return rows + (_beside_monai(settings, volumes, unlike) if monai else [])


def _beside_monai(settings: Settings, volumes: np.ndarray, made: ours.Trainer) -> list[Row]:
    batch, brain, data = made.hp.batch, made.model.mask, made.data
    scale = {"data_range": data.data_range, "low": data.low}
    x = torch.from_numpy(volumes[: 2 * batch]).to(settings.device).float()[:, None]
    x, x_hat = x[:batch], (0.7 * x[:batch] + 0.3 * x[batch:]).requires_grad_()
    loss = monai.dissimilarity(data.data_range)
    first = data.index["training"][:batch]

    def patched() -> None:
        with mock.patch("neurovae.train.engine.step.dssim", lambda a, b, *_, **__: loss(b, a).expand(len(a))):
            made.one_pass(first)

    work = {
        "ours": lambda: dssim(x, x_hat, brain, **scale).mean().backward(),
        "theirs": lambda: loss(x_hat, x).backward(),
        "step": lambda: made.one_pass(first),
        "their step": patched,
    }
    times = interleaved(work, settings)
    (faster, words), (_, whole) = ratio(times["theirs"], times["ours"], 1), ratio(times["their step"], times["step"], 1)
    with torch.no_grad(), torch.backends.cudnn.flags(allow_tf32=False):
        apart = dssim(x, x_hat, brain, **scale) - monai.dssim_in_mask(x, x_hat, brain, **scale)
    gap, n = float(apart.abs().max()), f"{batch} volumes, {settings.repeats} repeats"
    return [
        Row(number="3", what="MONAI's SSIMLoss (window 11, 3-D) / our loss, forward + backward", measured=words,
            goal=">= 8 on a GPU", n=n, **judged(settings, faster >= 8)),
        Row(number="3", what="the same in a whole training step of our network", measured=whole, n=n),
        Row(number="3", what="largest difference of SSIM from MONAI's map averaged over the same mask",
            measured=f"{gap:.1e}", goal="<= 1e-5", n=f"{batch} pairs", met=gap <= 1e-5),
    ]  # fmt: skip
