"""The steps of docs/explanation/argument.md: each computes the numbers of its table and draws its picture.

`python tests/proof/tutorial.py docs/explanation/argument` draws all and writes the tables into docs/explanation/argument.md; a step's name after it
makes that one alone. Everything is seeded; half a minute on one core.
"""

import re
import sys
from functools import cache
from itertools import groupby
from math import lgamma, sqrt
from pathlib import Path
from typing import Any
from unittest.mock import patch

import collapse_capacity
import collapse_models as tiny
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import shapes
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from scipy.stats import spearmanr
from univariate_rows import glm_rows, spline_rows

from neurovae.audit.components import shell
from neurovae.io.files import write_beside
from neurovae.io.volumes import masked
from neurovae.predict import features, learners, linear
from neurovae.report.figures.drawing import BLUE, GREEN, GREY, ORANGE, save
from neurovae.stats.direction import pattern
from neurovae.train.engine import data, rng
from neurovae.train.engine.rng import generator
from neurovae.train.health.evidence import rate
from neurovae.train.health.measures import variance_explained
from neurovae.train.losses import divergence
from neurovae.train.losses.ssim import dssim
from neurovae.train.models import isomap, lle, mds, pca, vae
from neurovae.train.models.network import VAE, sample

Row = dict[str, Any]
BETAS = (1, 30, 100, 300, 1000)
LOSSES: dict[str, Row] = {
    **{f"beta {beta}": {"beta": float(beta)} for beta in BETAS},
    "MMD": {"divergence": "mmd", "beta": 0.0, "mmd_weight": 0.1},
    "no divergence": {"divergence": "none", "beta": 0.0},
}
NEIGHBOURS = (0, 3, 13)
PRIOR = 1000  # draws of the prior with which latents are compared


def spiral() -> tuple[list[Row], Figure]:
    """One latent of each method, on scans along a spiral: does it order people as the spiral does?"""
    volumes, split, way = shapes.spiral()
    mask, held = shapes.MASK, split == "test"
    plain: Row = {"seed": 0, "device": "cpu", "flip": False}
    methods: dict[str, tuple[Any, Row]] = {
        "PCA": (pca, {"n_latent": 1, "blur": 0}),
        "PCA, 2 latents": (pca, {"n_latent": 2, "blur": 0}),
        "MDS": (mds, {"n_latent": 1}),
        "Isomap": (isomap, {"n_latent": 1, "neighbours": 5}),
        "LLE": (lle, {"n_latent": 1, "neighbours": 5}),
    }
    rows, latents = [], {}
    for name, (module, options) in methods.items():
        tensors, architecture, _ = module.fit(volumes, split, mask, **plain, **options)
        mu = latents[name] = module.embed(volumes, mask, tensors, architecture)[0]
        x, x_hat = masked(volumes, mask)[held], module.reconstruct(mu[held], mask, tensors, architecture)
        errors = (np.square(x - other).sum(axis=1) for other in (x_hat, tensors["mean"]))
        order = max(abs(spearmanr(column, way[held]).statistic) for column in mu[held].T)
        rows.append(
            {
                "method": name,
                "variance explained": variance_explained(*errors),
                "absolute rank correlation of latent and position": order,
            }
        )
    figure, axes = plt.subplots(1, 5, figsize=(10, 2.3), layout="constrained")
    axes[0].scatter(*latents["PCA, 2 latents"].T, c=way, cmap="cividis", s=8)
    axes[0].set(title="PCA, 2 latents", xlabel="latent 1", ylabel="latent 2", xticks=[], yticks=[], aspect="equal")
    for axis, name in zip(axes[1:], ("PCA", "MDS", "Isomap", "LLE"), strict=True):
        axis.scatter(way[~held], latents[name][~held, 0], s=6, color=GREY, label="training")
        axis.scatter(way[held], latents[name][held, 0], s=8, color=ORANGE, label="test")
        axis.set(title=f"{name}, 1 latent", xlabel="position along the spiral", xticks=[0, 1], yticks=[])
    axes[1].set_ylabel("latent 1")
    axes[3].legend(fontsize=7, handletextpad=0.1, loc="best")
    return rows, figure


@cache
def people() -> np.ndarray:
    return tiny.people()


@cache
def trained(name: str) -> tuple[tiny.Trained, Row]:
    """A tiny VAE with one of LOSSES, and its measures and verdict."""
    found = tiny.train("vae", {**tiny.VAE, "epochs": 25, **LOSSES[name]}, people())
    return found, tiny.judged(found, people())


@cache
def posterior(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Means and log-variances (people, latents) of everyone."""
    _, _, tensors, architecture, _ = trained(name)[0]
    return vae.embed(people(), tiny.MASK, tensors, architecture)


def collapse() -> tuple[list[Row], Figure]:
    """What happens to people, latents and the verdict as beta grows."""
    rows, images = [], {}
    shown = np.flatnonzero(tiny.SPLIT == "test")[:2]
    for beta in BETAS:
        (_, _, tensors, architecture, _), found = trained(f"beta {beta}")
        mu, logvar = posterior(f"beta {beta}")
        images[f"beta {beta}\n{found['verdict']}"] = vae.reconstruct(mu[shown], tiny.MASK, tensors, architecture)
        seen, known = tiny.SPLIT == "training", found["identification_accuracy_training"]
        shares = {
            "training variance explained": found["variance_explained_training"],
            "held-out variance explained": found["variance_explained_test"],
        }
        nats = {
            "beta": beta,
            "KL, nats per training scan": rate(mu[seen], logvar[seen]),
            "active units": found["active_units"],
        }
        rows.append({**nats, **shares, "identification accuracy": known["rate"], "verdict": found["verdict"]})
    figure = plt.figure(figsize=(8.6, 4.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[1.5, 1])
    _reconstructions(upper, {"input": masked(people()[shown], tiny.MASK), **images})
    share, nats = lower.subplots(1, 2)
    for column, colour in (("training variance explained", BLUE), ("held-out variance explained", ORANGE)):
        share.plot(BETAS, [row[column] for row in rows], "o-", color=colour, label=column)
    share.plot(
        BETAS,
        [row["identification accuracy"] for row in rows],
        "s--",
        color=GREEN,
        label="identification accuracy, training",
    )
    share.set(xscale="log", xlabel="beta", ylim=(-0.05, 1.4), yticks=[0, 0.5, 1])
    share.legend(fontsize=7, ncols=2, loc="upper right")
    nats.plot(BETAS, [row["KL, nats per training scan"] for row in rows], "o-", color=BLUE)
    nats.set(xscale="log", yscale="log", xlabel="beta", ylabel="KL, nats per scan")
    return rows, figure


def _reconstructions(figure: Any, images: dict[str, np.ndarray]) -> None:
    """One slice of each of two people, a column per model."""
    axes = figure.subplots(2, len(images))
    for column, (title, voxels) in enumerate(images.items()):
        for row, values in enumerate(voxels):
            volume = np.full(tiny.SHAPE, np.nan)
            volume[tiny.MASK] = values
            axes[row, column].imshow(volume[2:14, 3:21, 8].T, cmap="gray", vmin=-1, vmax=3)
            axes[row, column].set(xticks=[], yticks=[], frame_on=False)
        axes[0, column].set_title(title, fontsize=8)
    for row in (0, 1):
        axes[row, 0].set_ylabel(f"participant {row + 1}", fontsize=8)


def codes(name: str) -> torch.Tensor:
    """One draw of each person's posterior (people, latents)."""
    mu, logvar = map(torch.from_numpy, posterior(name))
    return sample(mu, logvar, torch.randn(mu.shape, generator=rng.generator(0)))


def far(z: torch.Tensor) -> float:
    """MMD between latents and prior."""
    return float(divergence.mmd(z, torch.randn(PRIOR, z.shape[1], generator=rng.generator(1))))


def divergences() -> tuple[list[Row], Figure]:
    """Nats per latent, and the latents of all participants beside the prior, for KL, MMD and neither."""
    rows, drawn = [], ("no divergence", "MMD", "beta 1", "beta 30")
    for name in (*drawn, "beta 100"):
        mu, logvar = posterior(name)
        length = float((np.square(mu) + np.exp(logvar)).sum(axis=1).mean())
        kept = {
            "held-out variance explained": trained(name)[1]["variance_explained_test"],
            "MMD between latents and prior": far(codes(name)),
        }
        nats: Any = rate(mu, logvar) if name.startswith("beta") else "not in the loss"
        rows.append(
            {"loss": name, **kept, "mean squared length of z": length, "KL, nats per scan (all participants)": nats}
        )
    figure, axes = plt.subplots(1, 5, figsize=(10, 2.4), layout="constrained", width_ratios=[1.5, 1, 1, 1, 1])
    for name, colour, marker in (("beta 1", BLUE, "o"), ("beta 30", ORANGE, "s"), ("beta 100", GREEN, "^")):
        nats = divergence.kl_per_dimension(*map(torch.from_numpy, posterior(name))).mean(dim=0).sort(descending=True)
        axes[0].plot(range(1, tiny.LATENT + 1), nats.values, f"{marker}-", color=colour, label=name)
    axes[0].set(yscale="log", xlabel="latent, ranked", ylabel="KL, nats", ylim=(None, 60))
    axes[0].legend(fontsize=7, ncols=3, columnspacing=0.7, handlelength=1.2, loc="upper center")
    for axis, name in zip(axes[1:], drawn, strict=True):
        axis.scatter(*codes(name)[:, :2].T, s=6, color=BLUE)
        axis.add_patch(Circle((0, 0), 2, fill=False, color=GREY, linestyle="--"))
        axis.set(title=name, aspect="equal", xlim=(-9, 9), ylim=(-9, 9), xticks=[-8, 0, 8], yticks=[-8, 0, 8])
    axes[1].set(xlabel="latent 1", ylabel="latent 2")
    return rows, figure


def capacity() -> tuple[list[Row], Figure]:
    """A decoder that sees ever more of the scan itself, and what is left in the latents."""
    volumes = tiny.people(noise=0.1)
    with patch.object(collapse_capacity, "EPOCHS", 40):
        found = [collapse_capacity.capacity(volumes, count, 0) for count in NEIGHBOURS]
    columns = {"KL, nats per scan": "rate", "information, nats": "information", "nats lost with another's z": "lost"}
    rows = [
        {"neighbours": row["neighbours"], **{name: row[key] for name, key in columns.items()},
         "held-out variance explained": row["variance_explained"], "held-out ELBO": row["elbo"]} for row in found
    ]  # fmt: skip
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.5), layout="constrained", width_ratios=[1.6, 1])
    at = np.arange(len(rows))
    for (name, colour), mark in zip(zip(columns, (BLUE, GREEN, ORANGE), strict=True), "os^", strict=True):
        left.plot(at, [row[name] for row in rows], f"{mark}-", color=colour, label=name)
    left.set(yscale="log", ylim=(1, 1000), ylabel="nats")
    left.legend(fontsize=7, loc="upper right")
    right.plot(at, [row["held-out variance explained"] for row in rows], "o-", color=BLUE)
    right.set(ylim=(0.8, 1), ylabel="held-out variance explained")
    for axis in (left, right):
        axis.set_xticks(at, map(str, NEIGHBOURS))
        axis.set_xlabel("neighbours that the decoder sees")
    return rows, figure


@cache
def table(n: int = 240) -> pd.DataFrame:
    """Latents and two scores: latent 0 = signal + nuisance, 1 = nuisance alone, 2 goes into `u` as a square.

    Signal and nuisance are uncorrelated among these people, so that latent 1 tells of `line` by chance alone.
    """
    rng = np.random.default_rng(4)
    signal, z = rng.normal(size=n), rng.normal(size=(n, 5))
    z[:, 1] -= signal * (signal @ z[:, 1]) / (signal @ signal)
    z[:, 0] = signal + z[:, 1]
    found = pd.DataFrame(z, columns=[f"mu_{k:03d}" for k in range(5)])
    found = found.assign(site="A", latents_split="test", latents_model="made", latents_fold=0, latents_seed=0)
    return found.assign(line=signal + 0.5 * rng.normal(size=n), u=z[:, 2] ** 2 + 0.7 * rng.normal(size=n))


def parted(score: str) -> tuple[features.Split, np.ndarray]:
    """Two thirds to learn on, one to be told, and the score."""
    made = table()
    maker = features.feature_maker("latents", made.filter(like="mu_").to_numpy(), [])
    rows, learnt = np.arange(len(made)), 2 * len(made) // 3
    return features.split_rows(maker, rows.astype(str), rows[:learnt], rows[learnt:], 3, 0), made[score].to_numpy()


def told(score: str, learner: str) -> tuple[float, np.ndarray]:
    """R2 of a learner in test participants, and how much it loses with each latent permuted among them."""
    split, y = parted(score)
    learnt, truth, rng = learners.learn(learner, split, y, False), y[split.test], np.random.default_rng(0)
    around = float(np.square(truth - y[split.train].mean()).mean())

    def r2(x: np.ndarray) -> float:
        return 1 - float(np.square(truth - learnt(x)[0]).mean()) / around

    lost = []
    for k in range(split.x_test.shape[1]):
        mixed = [np.array(split.x_test) for _ in range(20)]
        for x in mixed:
            x[:, k] = rng.permutation(x[:, k])
        lost.append(r2(split.x_test) - np.mean([r2(x) for x in mixed]))
    return r2(split.x_test), np.array(lost)


def regressions() -> tuple[list[Row], Figure]:
    """What a GLM, a spline, a linear filter and an RBF-SVR say of the same latents."""
    effects = glm_rows(table(), {"name": "line", "type": "continuous"}, [])
    bends, curves = spline_rows(table(), {"name": "u", "type": "continuous"}, [])
    lines = glm_rows(table(), {"name": "u", "type": "continuous"}, [])
    split, y = parted("line")
    weights = linear.fitted(split, y[:, None], False)[1][:, 0]
    shown, rows = {"filter": weights / np.abs(weights).max(), "pattern": pattern(split.x_train, weights)}, []
    r2 = {(score, name): told(score, name) for score in ("line", "u") for name in ("linear", "svm")}
    lost = {score: r2[score, "svm"][1] for score in ("line", "u")}
    for k in range(5):
        of_line = {"GLM p, `line`": effects[k]["p"], "filter": shown["filter"][k], "pattern": shown["pattern"][k]}
        of_line["SVR importance, `line`"] = lost["line"][k]
        of_u = {
            "GLM p, `u`": lines[k]["p"],
            "spline p, `u`": bends[k]["p_nonlinear"],
            "SVR importance, `u`": lost["u"][k],
        }
        rows.append({"latent": k, **of_line, **of_u})
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 2.6), layout="constrained", width_ratios=[1.3, 1.3, 1])
    at = np.arange(5)
    bars = {
        "filter": (shown["filter"], ORANGE),
        "pattern": (shown["pattern"], BLUE),
        "permutation importance (R²)": (lost["line"], GREY),
    }
    for shift, (name, (values, colour)) in zip((-0.27, 0, 0.27), bars.items(), strict=True):
        axes[0].bar(at + shift, values, 0.25, color=colour, label=name)
    axes[0].axhline(0, color=GREY, linewidth=0.6)
    axes[0].set(title="score `line`", xlabel="latent", xticks=at)
    axes[0].legend(fontsize=7)
    axes[1].scatter(table()["mu_002"], table()["u"], s=6, color=GREY)
    drawn = pd.DataFrame(curves).query("latent == 'mu_002'")
    axes[1].plot(drawn["latent_value"], drawn["fitted"], color=BLUE, label="spline")
    slope = np.polyfit(table()["mu_002"], table()["u"], 1)
    axes[1].plot([-2, 2], np.polyval(slope, [-2, 2]), "--", color=ORANGE, label="linear fit")
    axes[1].set(title="score `u`", xlabel="latent 2", ylabel="u")
    axes[1].legend(fontsize=7, loc="upper center")
    for shift, (name, label, colour) in zip(
        (-0.2, 0.2), (("linear", "ridge", ORANGE), ("svm", "SVR", GREY)), strict=True
    ):
        axes[2].bar(
            np.arange(2) + shift, [r2[score, name][0] for score in ("line", "u")], 0.38, color=colour, label=label
        )
    axes[2].axhline(0, color=GREY, linewidth=0.6)
    axes[2].set(title="test participants", ylabel="R²", ylim=(-0.15, 1.1))
    axes[2].set_xticks([0, 1], ["line", "u"])
    axes[2].legend(fontsize=7, ncols=2)
    names = {"linear": "ridge", "svm": "SVR"}
    ends = [
        {"R² in test participants": name, **{f"`{score}`": r2[score, key][0] for score in ("line", "u")}}
        for key, name in names.items()
    ]
    return rows + ends, figure


def slips() -> tuple[list[Row], Figure]:
    """Each formula as printed, as it should be, and an independent number to hold it against."""
    mu, sigma, thickness, size, many = 1.0, 0.5, 0.1, 48, 20_000
    rng = np.random.default_rng(0)
    own = torch.distributions.Normal(mu, sigma)
    kl = float(divergence.kl_per_dimension(torch.tensor([[mu]]), 2 * torch.tensor([[sigma]]).log()))
    held = float(torch.distributions.kl_divergence(own, torch.distributions.Normal(0.0, 1.0)))
    ball = rng.normal(size=(many, size))
    radius = rng.random(many) ** (1 / size)  # of points drawn evenly from the unit ball
    mean_length = sqrt(2) * np.exp(lgamma((size + 1) / 2) - lgamma(size / 2))
    means, logvars = exact()
    inside, whole = np.square(means).sum(axis=1), (np.square(means) + np.exp(logvars)).sum(axis=1)
    x = torch.from_numpy(people()[:2].astype(np.float32))[:, None]
    low, data_range = data.intensities(people(), tiny.MASK)
    mask = torch.from_numpy(tiny.MASK)
    unlike, same = (float(dssim(x[:1], y, mask, data_range=data_range, low=low)) for y in (x[1:], x[:1]))
    alone = np.mean([far(cloud(k)) for k in range(len(people()))])
    checks = {
        "KL divergence of N(1, .5²) from the prior, nats: without the minus sign, with it, by torch.distributions": (-kl, kl, held),
        "fraction of a ball's volume in its outer tenth, 48 dimensions: by n e/R, by 1 - (1 - e/R)^n, of draws from the ball": (
            size * thickness, shell(thickness, size), float((radius > 1 - thickness).mean())),
        "mean length of draws from the prior, 48 dimensions: without the square root, with it, in closed form": (
            float(size), float(np.linalg.norm(ball, axis=1).mean()), mean_length),
        "exact posterior: mean squared length of mu, the same plus the sum of sigma², value under the prior (d)": (
            float(inside.mean()), float(whole.mean()), float(tiny.LATENT)),
        "DSSIM of two participants: by (1 - SSIM)/2, by 1 - SSIM; of two equal scans by 1 - SSIM": (unlike / 2, unlike, same),
        "beta 100, MMD from the prior: of single posteriors, of all posteriors together, of as many draws from the prior": (
            float(alone), far(codes("beta 100")), far(torch.randn(len(people()), tiny.LATENT, generator=generator(2)))),
    }  # fmt: skip
    rows = [{"what": name, **dict(zip(("first value (as printed, or usual)", "second value (used here)", "third value (for comparison)"), values, strict=True))}
            for name, values in checks.items()]  # fmt: skip
    return rows, _appendix(inside, whole, thickness)


def exact(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Posterior of people (count, latents) whose scans a linear-Gaussian decoder has made: here it is exact."""
    rng, ratio = np.random.default_rng(6), np.array([4, 2, 1, 0.5, 0.25, 0.1], np.float32)  # signal over noise variance
    components = np.linalg.qr(rng.normal(size=(int(tiny.MASK.sum()), len(ratio))))[0].T.astype(np.float32)
    model = VAE(mask=torch.from_numpy(tiny.MASK), n_latent=len(ratio), base_channels=1, dropout=0.0)
    model.start_at(torch.from_numpy(components), torch.from_numpy(ratio), sigma=1.0)
    x = np.zeros((count, 1, *tiny.SHAPE), np.float32)
    drawn = rng.normal(size=(count, len(ratio))) * np.sqrt(ratio) @ components
    x[:, 0, tiny.MASK] = drawn + rng.normal(size=drawn.shape)
    with torch.no_grad():
        mu, logvar = model.encode(torch.from_numpy(x))
    return mu.numpy(), logvar.numpy()


def cloud(person: int) -> torch.Tensor:
    """As many draws of one person's posterior as there are people (people, latents)."""
    mu, logvar = (torch.from_numpy(part[[person]]).expand(len(people()), -1) for part in posterior("beta 100"))
    return sample(mu, logvar, torch.randn(mu.shape, generator=rng.generator(3, person)))


def _appendix(inside: np.ndarray, whole: np.ndarray, thickness: float) -> Figure:
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.5), layout="constrained")
    mu = torch.linspace(-3, 3, 61)[:, None]
    kl = divergence.kl_per_dimension(mu, torch.full_like(mu, -1.4))[:, 0]
    axes[0].plot(mu[:, 0], kl, color=BLUE, label="corrected")
    axes[0].plot(mu[:, 0], -kl, "--", color=ORANGE, label="as printed")
    axes[0].set(title="KL, nats (eq. 7)", xlabel="mu, at sigma = .5")
    sizes = np.arange(1, 49)
    axes[1].plot(sizes, [shell(thickness, n) for n in sizes], color=BLUE, label="1 - (1 - e/R)ⁿ")
    axes[1].plot(sizes, sizes * thickness, "--", color=ORANGE, label="n e/R")
    axes[1].set(title="volume in the shell, e/R = .1", xlabel="dimension n", ylim=(0, 2))
    bins = np.linspace(0, 16, 25)
    axes[2].hist(inside, bins, color=ORANGE, alpha=0.8, label="|mu|²")
    axes[2].hist(whole, bins, color=BLUE, alpha=0.8, label="|mu|² + sum sigma²")
    axes[2].axvline(tiny.LATENT, ymax=0.68, color=GREY, linestyle="--", label="d")
    axes[2].set(
        title="radius of the shell: √d", xlabel="squared length, exact posterior", ylabel="participants", ylim=(0, 135)
    )
    far_off = int(np.linalg.norm(posterior("beta 100")[0][:, :2], axis=1).argmax())
    axes[3].scatter(*cloud(far_off)[:, :2].T, s=6, color=ORANGE, label="one posterior")
    axes[3].scatter(*codes("beta 100")[:, :2].T, s=6, color=BLUE, label="all posteriors")
    axes[3].add_patch(Circle((0, 0), 2, fill=False, color=GREY, linestyle="--"))
    axes[3].set(
        title="MMD: all, not each", xlabel="latent 1", ylabel="latent 2", aspect="equal", xlim=(-4, 4), ylim=(-4, 6)
    )
    for axis in axes:
        axis.legend(fontsize=7)
    return figure


STEPS = {
    "spiral": spiral,
    "collapse": collapse,
    "divergences": divergences,
    "capacity": capacity,
    "regressions": regressions,
    "slips": slips,
}


def markdown(rows: list[Row]) -> str:
    """A table per run of rows with the same columns; numbers to three decimals."""
    tables = [list(group) for _, group in groupby(rows, list)]
    return "\n\n".join(_table(group) for group in tables)


def _table(rows: list[Row]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, str | int | np.integer):
        return str(value)
    if 0 < abs(value) < 1e-3:
        return f"{value:.0e}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def written(page: str, step: str, table: str) -> str:
    """The page with the table of a step between its marks replaced."""
    found, times = re.subn(
        rf"(<!-- {step} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{table}\n{m[2]}", page, flags=re.S
    )
    if times != 1:
        raise ValueError(f"the page has {times} places for the table of {step}; one is needed")
    return found


def main(folder: Path, names: list[str]) -> dict[str, list[Row]]:
    """Draw <folder>/<step>.png and write the tables into <folder>.md; the rows by step."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    page, rows = folder.with_suffix(".md"), {}
    for name in names or STEPS:
        rows[name], figure = STEPS[name]()
        save(figure, folder / f"{name}.png")
        with write_beside(page) as temporary:
            temporary.write_text(
                written(page.read_text(encoding="utf-8"), name, markdown(rows[name])), encoding="utf-8"
            )
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
