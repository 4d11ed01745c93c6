"""Norms of `norm/estimate.py` beside those of PCNtoolkit 1.3, an independent implementation, on simulated volumes.

Regional volumes depend on age (curved), sex and, in one part, site (3 sites); their residuals are skewed and spread with
age. Both learn from the same reference and give z of the same other people, whose true z is known. PCNtoolkit: Bayesian
linear regression on B-splines of age, heteroskedastic, sinh-arcsinh warp, sex (and site) as batch effects. Its pins are
not those of the package, so it has an environment of its own:

    python3 -m venv /tmp/pcn && /tmp/pcn/bin/pip install pcntoolkit==1.3.0
    PYTHONPATH=src /tmp/pcn/bin/python tests/proof/norm_pcntoolkit.py
"""

import tempfile

import numpy as np
import pandas as pd
from pcntoolkit import BLR, BsplineBasisFunction, NormativeModel, NormData
from pcntoolkit.util.output import Output
from scipy import stats

from neurovae.norm import estimate

REFERENCE, OTHERS, REGIONS, SEEDS = 120, 200, 2, 1  # of 300 people, 1,000 others and 8 regions a row takes minutes
SHAPE, SITE = 12.0, 0.5  # gamma shape: skewness .58; site effect in SD
CENTILES = (0.025, 0.05, 0.95, 0.975)


def simulated(seed: int, sites: bool) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Table of people (age, sex, site), volumes (people, regions) and the true z."""
    rng, n = np.random.default_rng(seed), REFERENCE + OTHERS
    table = pd.DataFrame(
        {"age": rng.uniform(20, 85, n), "sex": rng.choice(["F", "M"], n), "site": rng.choice(list("ABC"), n)}
    )
    old = ((table["age"] - 52) / 19).to_numpy()
    draw = rng.gamma(SHAPE, size=(n, REGIONS))
    z = stats.norm.ppf(stats.gamma.cdf(draw, SHAPE))
    noise = (draw - SHAPE) / np.sqrt(SHAPE) * np.exp(0.2 * old)[:, None]
    slope, bend = rng.normal(-0.5, 0.2, REGIONS), rng.normal(-0.2, 0.1, REGIONS)
    y = old[:, None] * slope + (old**2)[:, None] * bend + 0.6 * (table["sex"] == "M").to_numpy()[:, None] + noise
    if sites:
        y = y + SITE * rng.normal(size=(3, REGIONS))[table["site"].map({"A": 0, "B": 1, "C": 2})]
    return table, 10 + y, z


def theirs(table: pd.DataFrame, y: np.ndarray, sites: bool) -> np.ndarray:
    """z of the others by PCNtoolkit, (people, regions)."""
    names = [f"r{k}" for k in range(y.shape[1])]
    whole = pd.concat([table, pd.DataFrame(y, columns=names)], axis=1).assign(ID=[f"s{k}" for k in range(len(table))])
    batch = ["sex", "site"] if sites else ["sex"]
    parts = [
        NormData.from_dataframe(name, part, ["age"], batch, names, "ID")
        for name, part in (("reference", whole[:REFERENCE]), ("others", whole[REFERENCE:]))
    ]
    basis = {"nknots": 5, "degree": 3}
    blr = BLR(fixed_effect=True, heteroskedastic=True, warp_name="WarpSinhArcsinh", warp_reparam=True,
              basis_function_mean=BsplineBasisFunction(**basis), basis_function_var=BsplineBasisFunction(**basis))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        model = NormativeModel(
            blr, savemodel=False, evaluate_model=False, saveresults=False, saveplots=False, save_dir=folder
        )
        model.fit(parts[0])
        model.predict(parts[1])
    found = parts[1]["Z"].sel(response_vars=names)
    return np.asarray(found.transpose("observations", "response_vars"))


def row(seed: int, sites: bool) -> dict[str, object]:
    """Agreement of both with the truth and with each other, and the share of people beyond outer centiles."""
    table, y, z = simulated(seed, sites)
    age, sex = table["age"].to_numpy(), table["sex"].to_numpy(str)
    norm = estimate.fit(y[:REFERENCE], age[:REFERENCE], sex[:REFERENCE])
    both = {
        "ours": estimate.z(norm, y[REFERENCE:], age[REFERENCE:], sex[REFERENCE:]),
        "pcntoolkit": theirs(table, y, sites),
    }
    true = z[REFERENCE:]
    found: dict[str, object] = {"seed": seed, "sites": sites}
    found["r of both"] = np.mean(
        [np.corrcoef(a, b)[0, 1] for a, b in zip(both["ours"].T, both["pcntoolkit"].T, strict=True)]
    )
    for name, one in both.items():
        found[f"{name}: r with truth"] = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(one.T, true.T, strict=True)])
        found[f"{name}: RMSE of z"] = np.sqrt(np.mean((one - true) ** 2))
        for centile in CENTILES:
            found[f"{name}: below {centile:g}"] = float((one < stats.norm.ppf(centile)).mean())
        share = [(np.abs(one[(table["site"][REFERENCE:] == s).to_numpy()]) > 1.96).mean() for s in "ABC"]
        found[f"{name}: beyond 1.96 by site"] = ", ".join(f"{100 * value:.1f}" for value in share)
    return found


if __name__ == "__main__":
    Output.set_show_messages(False)
    for seed in range(SEEDS):
        for sites in (False, True):
            print(pd.Series(row(seed, sites)).to_string(float_format="{:.3f}".format), flush=True)
