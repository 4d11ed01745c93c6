"""First layers and architectures under one training loop: which reconstructs most of held-out people per second?"""

from collections.abc import Callable

import benchmark_ours as ours
import numpy as np
from benchmark_tools import Row, Settings, digits, interleaved
from torch import Tensor, nn
from torch.nn import functional

from neurovae.train.models.network import VAE

Change = Callable[[VAE], None]


class ToBlocks(nn.Module):
    """Space to depth: (n, 1, 4x, 4y, 4z) -> (n, 64, x, y, z)."""

    def forward(self, x: Tensor) -> Tensor:
        n, _, *sides = x.shape
        a, b, c = (side // 4 for side in sides)
        return x.view(n, a, 4, b, 4, c, 4).permute(0, 2, 4, 6, 1, 3, 5).reshape(n, 64, a, b, c)


class FromBlocks(nn.Module):
    """Depth to space: (n, 64, x, y, z) -> (n, 1, 4x, 4y, 4z)."""

    def forward(self, x: Tensor) -> Tensor:
        n, _, a, b, c = x.shape
        return x.view(n, 4, 4, 4, a, b, c).permute(0, 4, 1, 5, 2, 6, 3).reshape(n, 1, 4 * a, 4 * b, 4 * c)


class Pad(nn.Module):
    """Zeros around each volume; a negative number cuts off."""

    def __init__(self, voxels: int) -> None:
        super().__init__()
        self.voxels = voxels

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x, [self.voxels] * 6)


class Residual(nn.Module):
    """Two 3 x 3 x 3 convolutions beside the identity, without a norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GELU(), nn.Conv3d(channels, channels, 3, 1, 1), nn.GELU(), nn.Conv3d(channels, channels, 3, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def as_blocks(model: VAE) -> None:
    """The same functions as the default's: a kernel of 8 at stride 4 is one of 2 on blocks of 4 x 4 x 4."""
    base_channels = model.encoder[0].out_channels
    model.encoder = nn.Sequential(Pad(2), ToBlocks(), nn.Conv3d(64, base_channels, 2), *model.encoder[1:])


def transposed(model: VAE) -> None:
    """A last layer that is the first one's mirror image: a transposed convolution to one channel."""
    base_channels = model.encoder[0].out_channels
    last = _silent(nn.ConvTranspose3d(base_channels, 1, 8, 4, 2))
    model.decoder = nn.Sequential(*model.decoder[:-2], last)


def residual(model: VAE) -> None:
    """4 x 4 x 4 space to depth, a residual block at each of 128-256-256 channels, and the mirror image of it."""
    shape, n_latent = model.mask.shape, len(model.inward)
    a, b, c = (side // 16 for side in shape)
    model.encoder = nn.Sequential(
        ToBlocks(), nn.Conv3d(64, 128, 1), Residual(128),
        nn.Conv3d(128, 256, 2, 2), Residual(256), nn.Conv3d(256, 256, 2, 2), Residual(256),
        nn.GELU(), nn.Flatten(), model.encoder[-2], _silent(nn.Linear(256 * a * b * c, 2 * n_latent)),
    )  # fmt: skip
    model.decoder = nn.Sequential(
        nn.Linear(n_latent, 256 * a * b * c), nn.Unflatten(1, (256, a, b, c)), Residual(256),
        nn.ConvTranspose3d(256, 256, 2, 2), Residual(256), nn.ConvTranspose3d(256, 128, 2, 2), Residual(128),
        nn.GELU(), _silent(nn.Conv3d(128, 64, 1)), FromBlocks(),
    )  # fmt: skip


def plain(model: VAE) -> None:
    """Kernels of 4 at stride 2 from the full resolution on, 32-64-128-256 channels: one channel meets the first."""
    shape, n_latent, channels = model.mask.shape, len(model.inward), (1, 32, 64, 128, 256)
    a, b, c = (side // 16 for side in shape)
    pairs = list(zip(channels, channels[1:], strict=False))
    down = [layer for i, o in pairs for layer in (nn.Conv3d(i, o, 4, 2, 1), nn.GELU())]
    up = [layer for i, o in pairs[:0:-1] for layer in (nn.GELU(), nn.ConvTranspose3d(o, i, 4, 2, 1))]
    head = _silent(nn.Linear(256 * a * b * c, 2 * n_latent))
    model.encoder = nn.Sequential(*down, nn.Flatten(), model.encoder[-2], head)
    model.decoder = nn.Sequential(
        nn.Linear(n_latent, 256 * a * b * c), nn.Unflatten(1, (256, a, b, c)),
        *up, nn.GELU(), _silent(nn.ConvTranspose3d(32, 1, 4, 2, 1)),
    )  # fmt: skip


def _silent(layer: nn.Module) -> nn.Module:
    """A last layer at zero, as the default network begins."""
    for weight in layer.parameters():
        nn.init.zeros_(weight)
    return layer


def as_it_is(model: VAE) -> None:
    """The default network."""


DEFAULT = "the default: stride-4 convolution in, blocks out"
STEMS: dict[str, tuple[Change, str]] = {
    DEFAULT: (as_it_is, "none"),
    "the default's functions, first layer on 4x4x4 blocks": (as_blocks, "none"),
    "stride-4 convolution in, transposed convolution out": (transposed, "none"),
    "4x4x4 space to depth, residual 128-256-256": (residual, "none"),
    "plain stride 2, 32-64-128-256": (plain, "none"),
    "the default around its linear part (linear: pca, made before the clock starts)": (as_it_is, "pca"),
}


def table(settings: Settings, volumes: np.ndarray, mask: np.ndarray) -> list[Row]:
    """Volumes and operations per second at equal volumes, and the test variance explained after equal time."""
    made = {
        name: ours.trainer(settings, volumes, mask, change=change, linear=linear)
        for name, (change, linear) in STEMS.items()
    }
    rows = made[DEFAULT].data.index["training"][: 2 * ours.options(settings)["batch"]]
    times = interleaved({name: lambda made=one: made.one_pass(rows) for name, one in made.items()}, settings)
    return [_row(settings, name, one, times[name], len(rows)) for name, one in made.items()]


def _row(settings: Settings, name: str, one: ours.Trainer, times: list[float], volumes: int) -> Row:
    rate, work, size = volumes / float(np.median(times)), ours.flops(one), ours.parameters(one.model)
    one.reset()
    length = settings.budget / 2
    curve = ours.learning(one, length)
    return Row(
        number="stem",
        what=f"{name}: {size / 1e6:.2f} M weights, {digits(work / 1e9)} GFLOP a volume",
        measured=f"{digits(rate)} volumes/s, {digits(rate * work / 1e12)} TFLOP/s; {_shares(curve, length)}",
        n=f"{settings.people} + {settings.held_out} volumes, 1 seed",
    )


def _shares(curve: list[tuple[float, float]], length: float) -> str:
    """Best test variance explained after a quarter, half and all of the time, and the last per second."""
    within = [[explained for at, explained in curve if at <= part * length] for part in (0.25, 0.5, 1)]
    if not within[-1]:
        return f"no epoch within {length:g} s: the first took {curve[0][0]:.1f} s, test variance explained {curve[0][1]:.3f}"
    found = [f"{max(shares):.3f}" if shares else "no epoch" for shares in within]
    return (
        f"test variance explained {', '.join(found)} after {length / 4:g}, {length / 2:g}, {length:g} s "
        f"({len(within[-1])} epochs): {max(within[-1]) / length:.4f}/s"
    )
