"""Reading one run's results: its tables, its models' health, who was analysed and which rows were tested."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.design.tables import STOPPING
from neurovae.io.parquet import read_parquet
from neurovae.plan.index import has_images
from neurovae.report import words
from neurovae.report.text import count
from neurovae.train.health.verdicts import FORWARD, NO_DECODER, NOT_APPLICABLE, forward_explains, no_forward_map

ASSOCIATIONS, OMNIBUS = "findings/associations.tsv", "findings/omnibus.tsv"
PREDICTIONS, COMPARISONS = "predict/predictions.tsv", "predict/comparisons.tsv"
COHORT, EXCLUDED, POWER = "cohort/cohort.parquet", "cohort/excluded.tsv", "audit/power.tsv"
QUALITY, DUPLICATES = "preprocess/qc.tsv", "preprocess/duplicates.tsv"
LEVEL = 0.05
LEAST = 0.1  # audit.min_variance_explained where the configuration does not give it
TEXTS = ["scan", "person", "session", "acquisition", "run", "site", "score", "model", "latent", "against", "term",
         "maxt_status", "maxt_reason", "scan_a", "scan_b", "person_a", "person_b", "reason", "nuisance", "replicated",
         "score_nuisance", "score_delay"]  # fmt: skip
Row = dict[Any, Any]


@dataclass(frozen=True)
class Run:
    """What one report is about: the results folder, the models, the fit shown, the validated configuration."""

    cohort: Path
    models: list[str]
    fit: str
    primary: str
    shown: list[str]
    captions: Path
    config: dict[str, Any]

    @property
    def fold(self) -> str:
        """ "fold-0" of "fold-0_seed-0"."""
        return self.fit.split("_")[0]

    @property
    def seed(self) -> str:
        """ "seed-0" of "fold-0_seed-0"."""
        return self.fit.split("_")[1]

    @property
    def images(self) -> bool:
        """Whether the cohort has images; a participants table alone has rows in place of scans."""
        return has_images(self.config.get("cohort", {}))

    @property
    def unit(self) -> str:
        """What a row of the cohort's table is, in words."""
        return "scan" if self.images else "session"

    def worded(self, text: str) -> str:
        """A text about scans; about sessions where there are no images."""
        if self.images:
            return text
        return re.sub(r"\bscan(s?)\b", r"session\1", text.replace("the preprocessed scans and of ", ""))

    def ordered(self) -> list[str]:
        """The primary model first."""
        return sorted(self.models, key=lambda model: model != self.primary)


def read_tsv(path: Path) -> pd.DataFrame:
    """A TSV of this run: only n/a is missing, so that a score may be called NA or 007."""
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values=["n/a"], dtype=dict.fromkeys(TEXTS, "object"))


def read(run: Run, path: str) -> pd.DataFrame | None:
    """A table (Parquet or TSV) below the results folder; None if it does not exist."""
    file = run.cohort / path
    if not file.exists():
        return None
    return read_parquet(file) if file.suffix == ".parquet" else read_tsv(file)


def of_fit(table: pd.DataFrame, fit: str) -> pd.DataFrame:
    """The rows of one fold and seed ("fold-0_seed-0")."""
    fold, seed = (part.split("-")[1] for part in fit.split("_"))
    return table[(table["fold"].astype(str) == fold) & (table["seed"].astype(str) == seed)]


def of_seed(table: pd.DataFrame, fit: str) -> pd.DataFrame:
    """The rows of one seed and those without a seed (voxels); the best of several seeds would be a selection."""
    return table[table["seed"].isna() | (table["seed"] == int(fit.rsplit("-", 1)[1]))]


def health(run: Run, model: str) -> dict[str, Any] | None:
    """A model's health file, or None."""
    path = run.cohort / "train" / model / run.fit / "health.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def stopped(found: dict[str, Any]) -> bool:
    """Whether a model's verdict excludes it from all later analyses."""
    return found["verdict"] in STOPPING and not found.get("kept_collapsed", False)


def verdict(found: dict[str, Any]) -> str:
    """A model's verdict with its caveats."""
    return "; ".join([found["verdict"], *found.get("caveats", [])])


def titled(model: str, judged: Any) -> str:
    """A model's name for a title, with its verdict unless that is healthy, which reads as a group of participants."""
    text = "" if judged is None or judged is pd.NA or judged != judged else str(judged)
    text = text.removeprefix("healthy").removeprefix(NOT_APPLICABLE).removeprefix("; ")
    return f"{model} ({text})" if text else str(model)


def passed(found: dict[str, Any]) -> str:
    """A model's verdict with its caveats for a sentence."""
    return words.verdict(verdict(found))


def undecoded(run: Run, model: str) -> str:
    """Why a model has no maps although it was not stopped; empty where it can have them."""
    found = health(run, model)
    without_image = (
        found is not None and found.get("image") is False
    )  # a model of several blocks, none of them the scans
    return NO_DECODER if found and (found["verdict"] == NOT_APPLICABLE or without_image) else ""


def forward(run: Run, model: str) -> str:
    """What the forward model of latents without a decoder gives, in words; empty for a model with a decoder."""
    found = health(run, model)
    if not found or not undecoded(run, model):
        return ""
    return no_forward_map(found) or f"{FORWARD}, which explains {forward_explains(found)}"


def why(run: Run, model: str) -> str:
    """Why a result of a model does not exist: its verdict, or that no stage wrote it."""
    found = health(run, model)
    if found is None:
        return f"{model} was not trained or not evaluated (no health.json of {run.fit})"
    if stopped(found):
        return f"{model} is {found['verdict']} and was not analysed further: {found.get('reason', '')}"
    return "this run has not written it"


def counted(run: Run, people: pd.DataFrame) -> str:
    """Participants and scans of the cohort's table; without images, sessions where there are several of a person."""
    n, rows = people["person"].nunique(), len(people)
    beside = f" with {count(rows, run.unit)}" if run.images or rows > n else ""
    return f"{count(n, 'participant')}{beside}"


def with_page(run: Run) -> list[str]:
    """Participants whose deviation has a page of its own (`norm.people`)."""
    return list(run.config.get("norm", {}).get("people", []))


def scans(run: Run) -> pd.DataFrame | None:
    """The scans that were analysed; None where the cohort's table does not exist."""
    people = read(run, COHORT)
    return None if people is None else analysed(people, read(run, QUALITY))


def analysed(people: pd.DataFrame, checks: pd.DataFrame | None) -> pd.DataFrame:
    """Rows of the cohort's table that passed quality control (no quality table: all); an unknown site is missing."""
    out = set() if checks is None else set(checks.loc[checks["excluded"].astype(bool), "scan"])
    kept = people[~people["scan"].isin(out)].reset_index(drop=True)
    return kept.assign(site=kept["site"].where(kept["site"] != "n/a"))


def tested(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with a p of the regression or of max-T, the strongest by max-T first.

    A latent that separates the classes of a binary score perfectly has no finite estimate, but a max-T p.
    """
    kept = rows[(rows["status"] == "ok") | rows["p_maxt"].notna()]
    size = -pd.to_numeric(kept["maxt_statistic"]).abs()  # orders latents that share the smallest possible p
    return kept.assign(size=size).sort_values(["p_maxt", "size", "p"]).drop(columns="size")


def pooled(tests: pd.DataFrame) -> bool:
    """Whether min-P corrects for more than max-T: it does across scores that exactly the same participants have."""
    if not {"p_minp", "p_maxt"} <= set(tests):
        return False
    both = tests[["p_minp", "p_maxt"]].dropna()
    return bool((both["p_minp"] != both["p_maxt"]).any())


def entry(run: Run, score: Any) -> dict[str, Any]:
    """A score's entry in the configuration; empty where there is none."""
    entries = run.config.get("cohort", {}).get("scores", [])
    return next((one for one in entries if one["name"] == score), {})


def positive(run: Run, score: Any) -> Any:
    """The value of a binary score that counts as 1, where the configuration gives one."""
    found = entry(run, score)
    return found.get("positive") if found.get("type") == "binary" else None


def levels(values: pd.Series, up: Any) -> pd.Series:
    """A binary score (0 and 1) with the name `up` for 1 and "other group" for 0, where there is one; else unchanged."""
    return values if up is None else values.map({1.0: str(up), 0.0: words.OTHER})


def declared(run: Run, people: pd.DataFrame) -> list[str]:
    """Scores and confounds of the configuration that the cohort's table has, each once."""
    section = run.config.get("cohort", {})
    names = [one["name"] for key in ("scores", "confounds") for one in section.get(key, [])]
    return [name for name in dict.fromkeys(names) if name in people]
