"""MONAI beside ours: its VarAutoEncoder in a plain fp32 loop with Adam, and its SSIMLoss."""

from collections.abc import Callable

import numpy as np
import torch
from benchmark_tools import Settings, now
from monai.losses.ssim_loss import SSIMLoss
from monai.metrics.regression import compute_ssim_and_cs
from monai.networks.nets import VarAutoEncoder
from torch import Tensor
from torch.nn import functional

CHANNELS, STRIDES = (32, 64, 128, 256), (2, 2, 2, 2)
LEARNING_RATE = 1e-3


def network(settings: Settings, n_latent: int) -> VarAutoEncoder:
    """MONAI's network with its defaults; without the sigmoid, since intensities are z-scores."""
    torch.manual_seed(0)
    made = VarAutoEncoder(3, (1, *settings.grid), 1, n_latent, CHANNELS, STRIDES, use_sigmoid=False)
    return made.to(settings.device)


def step(model: VarAutoEncoder, optimiser: torch.optim.Optimizer, x: Tensor, mask: Tensor) -> None:
    """One step on our default loss: Gaussian with sigma 1, summed over the mask, and the KL."""
    optimiser.zero_grad()
    x_hat, mu, logvar, _ = model(x)
    error = ((x - x_hat) * mask).square().sum() / 2
    kl = (mu.square() + logvar.exp() - logvar - 1).sum() / 2
    ((error + kl) / len(x)).backward()
    optimiser.step()


class Loop:
    """A plain loop over volumes that lie on the device in float32."""

    def __init__(self, settings: Settings, volumes: np.ndarray, mask: np.ndarray, n_latent: int, batch: int) -> None:
        self.x = torch.from_numpy(volumes).to(settings.device).float()[:, None]
        self.mask, self.batch, self.people = torch.from_numpy(mask).to(settings.device), batch, settings.people
        self.model = network(settings, n_latent)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)

    def one_pass(self, count: int | None = None) -> None:
        """One epoch's steps."""
        self.model.train()
        order = torch.randperm(count or self.people, device=self.x.device)
        for rows in order.split(self.batch):
            step(self.model, self.optimiser, self.x[rows], self.mask)

    @torch.no_grad()
    def held_out_share(self) -> float:
        """Share of the held-out people's variance about the training mean, reconstructed at z = mu."""
        self.model.eval()
        centre, error, total = self.x[: self.people].mean(dim=0), 0.0, 0.0
        for x in self.x[self.people :].split(16):
            x_hat = self.model.decode_forward(self.model.encode_forward(x)[0], use_sigmoid=False)
            error += float(((x - x_hat) * self.mask).square().sum())
            total += float(((x - centre) * self.mask).square().sum())
        return 1 - error / total

    def learning(self, budget: float, seed: int) -> list[tuple[float, float]]:
        """(seconds, test variance explained) after each epoch, evaluations included."""
        torch.manual_seed(seed)
        start, found = now(self.x.device), []
        while not found or found[-1][0] < budget:
            self.one_pass()
            explained = self.held_out_share()
            found.append((now(self.x.device) - start, explained))
        return found


def dissimilarity(data_range: float) -> Callable[[Tensor, Tensor], Tensor]:
    """MONAI's loss, window 11, in three dimensions, mean over the batch."""
    return SSIMLoss(3, data_range=data_range, win_size=11)


def dssim_in_mask(x: Tensor, x_hat: Tensor, mask: Tensor, *, data_range: float, low: float) -> Tensor:
    """1 - the mean of MONAI's map over our mask (scans,), of images as ours treats them: 0 outside it, `low` is black."""
    one, other = (functional.pad(torch.where(mask, image, 0) - low, [5] * 6, value=-low) for image in (x, x_hat))
    values, _ = compute_ssim_and_cs(one, other, 3, (11, 11, 11), (1.5, 1.5, 1.5), data_range)
    return 1 - (values[:, 0] * mask).flatten(1).sum(dim=1) / mask.sum()
