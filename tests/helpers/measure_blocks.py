"""What `make abide` prints of each model: age in sites left out, site, and diagnosis within sites; no test, run by hand."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurovae.io import blocks

DRAWS = 2000
FEWEST = 5  # people of a site whose site is predicted, one in each fold


def within_site_auc(score: np.ndarray, case: np.ndarray, site: np.ndarray) -> float:
    """Share of pairs of a case and a control of one site that are in the right order, ties half."""
    right = pairs = 0.0
    for one in np.unique(site):
        cases, controls = score[(site == one) & case], score[(site == one) & ~case]
        difference = cases[:, None] - controls
        right, pairs = right + (difference > 0).sum() + 0.5 * (difference == 0).sum(), pairs + difference.size
    return right / pairs if pairs else float("nan")


def interval(score: np.ndarray, case: np.ndarray, site: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % interval over people who are drawn within their site."""
    rng, members = np.random.default_rng(seed), [np.flatnonzero(site == one) for one in np.unique(site)]
    draws = []
    for _ in range(DRAWS):
        drawn = np.concatenate([rng.choice(own, len(own)) for own in members])
        draws.append(within_site_auc(score[drawn], case[drawn], site[drawn]))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def diagnosis(results: Path, model: str, people: pd.DataFrame, name: str = "diagnosis") -> None:
    """Within-site AUC of the predictions in sites that were left out, for people of sites with both classes."""
    path = results / "predict" / model / "seed-0" / "predictions.parquet"
    table = pd.read_parquet(path).query("score == @name and learner == 'linear'")
    for features, own in table.groupby("features"):
        one = own.merge(people[["scan", "site"]], on="scan")
        both = one.groupby("site")["truth"].transform("nunique") == 2
        one = one[both]
        score, case = one["prediction"].to_numpy(float), one["truth"].to_numpy(float) > 0.5
        site = one["site"].to_numpy(str)
        low, high = interval(score, case, site)
        auc = within_site_auc(score, case, site)
        print(
            f"{model:<12} diagnosis, within-site AUC from {features:<27} {auc:.3f} [{low:.3f}, {high:.3f}], n {len(one)}, {len(set(site))} sites"
        )


def age(results: Path) -> None:
    """R2 of age in people of sites that were left out."""
    table = pd.read_csv(results / "predict" / "predictions.tsv", sep="\t").query(
        "score == 'age' and metric == 'r2' and learner == 'linear'"
    )
    for row in table[table["fold"].isna() | (table["fold"].astype(str) == "all")].itertuples():
        print(
            f"{row.model:<12} age, R2 in sites left out from {row.features:<27} {row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}], n {row.n} ({row.status})"
        )


def site(results: Path, name: str, people: pd.DataFrame, n_latent: int) -> None:
    """Balanced accuracy of predicting the site over folds balanced by site, from components of the other folds' people."""
    block = blocks.read(results / "blocks" / name)
    one = block.rows[["scan"]].merge(people[["scan", "site"]], on="scan")
    counts = one["site"].value_counts()
    used = one["site"].isin(counts[counts >= FEWEST].index).to_numpy()
    x, y = np.asarray(block.values, float)[used], one["site"].to_numpy(str)[used]
    predicted = np.empty_like(y)
    for train, test in StratifiedKFold(FEWEST, shuffle=True, random_state=0).split(x, y):
        model = make_pipeline(
            StandardScaler(),
            PCA(n_latent, svd_solver="full"),
            StandardScaler(),
            LogisticRegression(class_weight="balanced", max_iter=2000),
        )
        predicted[test] = model.fit(x[train], y[train]).predict(x[test])
    accuracy = balanced_accuracy_score(y, predicted)
    print(
        f"{name:<12} site, balanced accuracy from {n_latent} components {accuracy:.3f}, chance {1 / len(set(y)):.3f}, n {len(y)} of {len(set(y))} sites"
    )


def main(results: Path) -> None:
    people = pd.read_parquet(results / "cohort" / "cohort.parquet")
    models = sorted(path.parent.parent.name for path in results.glob("predict/*/seed-0/predictions.parquet"))
    age(results)
    for model in models:
        diagnosis(results, model, people)
    for folder in sorted((results / "blocks").iterdir()):
        site(results, folder.name, people, 20)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
