"""Planted faults, each refused or flagged: leaks of the folds, chosen latents, ComBat on all people."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import collapse_models as tiny
import numpy as np
import pandas as pd
import proof_cohort as made
from proof_lines import Check

from neurovae import latents as embedding
from neurovae.errors import InputError
from neurovae.io.files import write_json
from neurovae.io.latent_table import ids
from neurovae.predict import harmonise, leakage
from neurovae.predict.features import LATENTS
from neurovae.predict.folds import Folds, complete_cases
from neurovae.train import weights
from neurovae.train.models import pca

FOLDS = 5
SCORE = {"name": "score", "type": "continuous"}
Files = tuple[list[Path], list[Path], pd.DataFrame]  # latents, weights, cohort


def clean(folder: Path) -> Files:
    """Five folds of a PCA on sixty tiny people, as the pipeline writes them."""
    volumes, fold = tiny.people(seed=5), np.arange(len(tiny.PERSON)) % FOLDS
    cohort = pd.DataFrame({"scan": tiny.PERSON, "person": tiny.PERSON, "fold": fold})
    tables, models = [], []
    for k in range(FOLDS):
        split = np.where(fold == k, "test", np.where(np.arange(len(fold)) % 8 == 0, "validation", "training"))
        tensors, architecture, _ = pca.fit(volumes, split, tiny.MASK, seed=0, device="cpu", **tiny.PCA)
        people = {name: sorted(tiny.PERSON[split == name]) for name in ("training", "validation", "test")}
        meta = {"kind": "pca", "architecture": architecture, "options": tiny.PCA, "people": people}
        meta |= {"fold": k, "seed": 0, "data_hash": "0" * 16}
        models.append(folder / f"fold-{k}" / "weights.safetensors")
        weights.save(models[-1], tensors, meta)
        tables.append(folder / f"fold-{k}" / "latents.parquet")
        _write_latents(tables[-1], volumes, tensors, meta, split)
    return tables, models, cohort


def _write_latents(path: Path, volumes: np.ndarray, tensors: weights.Tensors, meta: dict, split: np.ndarray) -> None:
    numbers, error = embedding.embed(volumes, tiny.MASK, tensors, meta)
    named = {f"{prefix}{one}": values[:, k] for prefix, values in numbers.items() for k, one in enumerate(ids(meta))}
    keys = pd.DataFrame({"scan": tiny.PERSON, "person": tiny.PERSON, "model": "pca", "split": split})
    stamps = {name: meta[name] for name in ("fold", "seed", "data_hash")}
    table = keys.assign(model_hash=weights.model_hash(tensors, meta), **stamps)
    pd.concat([table, pd.DataFrame(named).assign(error=error)], axis=1).to_parquet(path)


def _edit(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(path)).to_parquet(path)


def _retrained(files: Files, split_of: str) -> Files:
    """An honest leak: the model of fold 0 did train, or stop, on a person tested there, and all files say so."""
    tensors, meta = weights.load(files[1][0])
    person = meta["people"]["test"][0]
    people = {name: sorted(set(known) - {person}) for name, known in meta["people"].items()}
    meta = {**meta, "people": {**people, split_of: sorted([*people[split_of], person])}}
    weights.save(files[1][0], tensors, meta)
    stamp = weights.model_hash(tensors, meta)
    _edit(files[0][0], lambda t: t.assign(model_hash=stamp, split=t["split"].mask(t["person"] == person, split_of)))
    return files


def _forged_description(files: Files) -> Files:
    """The weights' list of people is edited afterwards so that a training person passes as held out."""
    tensors, meta = weights.load(files[1][0])
    person = meta["people"]["training"][0]
    people = {name: sorted(set(known) - {person}) for name, known in meta["people"].items()}
    weights.save(files[1][0], tensors, {**meta, "people": {**people, "test": [*people["test"], person]}})
    return files


def _forged_sidecar(files: Files) -> Files:
    """A text beside the weights, and the latents' own column, claim that nobody was trained on."""
    write_json(
        files[1][0].with_suffix(".json"), {"people": {"training": [], "validation": [], "test": list(tiny.PERSON)}}
    )
    _edit(files[0][0], lambda t: t.assign(split="test"))
    return files


def _both_sides(files: Files) -> Files:
    cohort = pd.concat([files[2], files[2].iloc[[0]].assign(scan="again", fold=1)], ignore_index=True)
    return files[0], files[1], cohort


def _swapped(files: Files) -> Files:
    return files[0], [files[1][1], files[1][0], *files[1][2:]], files[2]


def _pooled(files: Files) -> Files:
    """The latents of one fold's model are used for all folds, under the other folds' names."""
    for k in range(1, FOLDS):
        _edit(files[0][k], lambda t, k=k: pd.read_parquet(files[0][0]).assign(fold=k))
    return files


def _chosen(files: Files) -> Files:
    """Full-sample feature selection: only latents that go with the score in all people are kept."""
    for path in files[0]:
        _edit(path, lambda t: t.drop(columns=["mu_001", "mu_003", "mu_004"]))
    return files


def _added(files: Files) -> Files:
    """A latent that no model made: the score itself, with noise, found in nobody's weights."""
    for path in files[0]:
        _edit(path, lambda t: t.assign(mu_006=np.arange(len(t), dtype=float)))
    return files


def _moved(files: Files) -> Files:
    """The folds are dealt anew after training: the people tested are those trained on."""
    return files[0], files[1], files[2].assign(fold=(files[2]["fold"] + 1) % FOLDS)


LEAKS: dict[str, Callable[[Files], Files]] = {
    "a person on both sides of a split": _both_sides,
    "test people in the weights": lambda files: _retrained(files, "training"),
    "test people stopped the training": lambda files: _retrained(files, "validation"),
    "forged sidecar and split column": _forged_sidecar,
    "people edited in the weights' description": _forged_description,
    "weights of two folds exchanged": _swapped,
    "one fold's latents used for all folds": _pooled,
    "folds dealt anew after training": _moved,
    "latents chosen on all people (columns dropped)": _chosen,
    "a latent that no model made (column added)": _added,
}


def refused(plant: Callable[[Files], Files] | None) -> str:
    """First line of the refusal; empty if the guard lets it pass."""
    with tempfile.TemporaryDirectory() as folder:
        files = clean(Path(folder))
        try:
            leakage.refuse(*(plant(files) if plant else files))
        except InputError as error:
            return error.problems[0].replace(f"{Path(folder).name}/", "")
    return ""


def harmonised() -> list[Check]:
    """Do test people reach the harmonised columns that a model is trained on? Ours against a fit on all people."""
    rng = np.random.default_rng(3)
    table, z = made.people(120, rng)
    site = np.array(["A", "B", "C"])[np.arange(120) // 7 % 3]
    z = z + np.where(site == "B", 1.0, 0.0)[:, None]
    whole = made.cohort_table(table, z, {"score": rng.normal(size=120)}).assign(site=site)
    names = [name for name in whole if name.startswith("mu_")]
    other = whole.copy()
    other.loc[other["fold"] == 0, names] = rng.normal(5, 3, (int((other["fold"] == 0).sum()), len(names)))
    columns = [_training_columns(one) for one in (whole, other)]
    ours = float(np.abs(columns[0] - columns[1]).max())
    train, nothing = (whole["fold"] != 0).to_numpy(), np.empty((120, 0))
    naive = []
    for one in (whole, other):
        values = one[names].to_numpy(float)
        naive.append(harmonise.apply(harmonise.fit(values, site, nothing), values, site, nothing)[train])
    leak = float(np.abs(naive[0] - naive[1]).max())
    moved = whole.assign(fold=np.unique(site, return_inverse=True)[1])
    folds = Folds(dict.fromkeys(range(3), moved), "transductive")
    status = complete_cases(folds, SCORE, made.CONFOUNDS, inner=3, harmonise="combat").base["status"]
    return [
        Check("ComBat: training columns move when test people change, ours", f"{ours:.1e}", "0", ours == 0, 120),
        Check("ComBat fitted on all people: the planted leak moves them", f"{leak:.2f}", "above .1", leak > 0.1, 120),
        Check(
            "ComBat or site as covariate where a whole site is left out", status, "new site", status == "new site", 120
        ),
    ]


def _training_columns(table: pd.DataFrame) -> np.ndarray:
    folds = Folds(dict.fromkeys(range(5), table), "transductive")
    cases = complete_cases(folds, SCORE, made.CONFOUNDS, inner=3, harmonise="combat")
    return cases.splits[LATENTS][0].x_train


def checks() -> list[Check]:
    """Each leak refused, and nothing where none was planted; then ComBat."""
    said = {name: refused(plant) for name, plant in LEAKS.items()}
    listed = [
        Check(f"leak planted: {name}", "refused" if text else "passed", f"refused: {text}"[:90], bool(text), 1)
        for name, text in said.items()
    ]
    told = refused(None)
    listed.append(Check("no leak planted", "refused" if told else "passes", told[:90] or "passes", not told, 1))
    return listed + harmonised()
