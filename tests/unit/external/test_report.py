"""The report's section on another cohort: the numbers of the tables in sentences, a figure, and what was not tested."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from two_cohorts import AGE, ILL, given_away, people, validated

from neurovae.design.design import join
from neurovae.io.parquet import read_parquet
from neurovae.predict import leakage
from neurovae.report.figures import external as figure
from neurovae.report.results import Run
from neurovae.report.sections import external, methods

SOURCE = {"exported_from": "0123abcd", "people": {"training": 56}, "licence": "cc-by-4.0"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("report")
    theirs = given_away(people(80), [AGE, ILL])
    validated(folder, theirs, people(60, 1, site="B", names="b"), [AGE])
    (folder / "external").mkdir()
    for name, file in (("a", "replication"), ("b", "transfer")):
        (folder / f"{name}.tsv").rename(folder / "external" / f"{file}.tsv")
    health = folder / "train" / "external" / "fold-0_seed-0" / "health.json"
    health.parent.mkdir(parents=True)
    health.write_text(json.dumps({"verdict": "healthy", "source": SOURCE}))
    config: dict[str, Any] = {"predict": {"bootstraps": 200}}
    return Run(folder, ["vae", "external"], "fold-0_seed-0", "vae", [], folder, config)


def test_sentences_have_the_numbers_of_the_tables(run: Run) -> None:
    blocks = external.external(run)
    words = " ".join(block.get("text", "") for block in blocks)
    assert "56 training participants" in words and "0123abcd" in words and "cc-by-4.0" in words
    assert "of 2 latents associated with it in the other cohort (max-T), 2 had an effect of the same sign here" in words
    metrics = read_parquet(run.cohort / "b.parquet")
    row = metrics[(metrics[["features", "application", "metric"]] == ["latents", "untouched", "r2"]).all(axis=1)].iloc[
        0
    ]
    assert f"R² {row['value']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]" in words
    assert "Scores of the other cohort that were not tested here: ill." in words and "site, scanner" in words
    assert [block["kind"] for block in blocks].count("table") == 1


def test_what_cannot_be_tested_here_was_found_all_the_same(tmp_path: Path) -> None:
    """A dozen people are too few for the tests; that says nothing of what the other cohort found."""
    tests, metrics, _ = validated(tmp_path, given_away(people(80), [AGE]), people(12, 1, site="B", names="b"), [AGE])
    assert set(tests["status"]) == {"too few people", "too few latents"} and tests["n_found"].max() == 2
    said = external.sentences(tests, metrics)[0]
    assert said.startswith(
        "motor: 2 latents associated with it in the other cohort (max-T) could not be tested here (too few people)."
    )
    assert "found no latent" not in said


def test_a_run_without_another_cohort_has_no_section(tmp_path: Path) -> None:
    empty = Run(tmp_path, ["vae"], "fold-0_seed-0", "vae", [], tmp_path, {})
    assert external.external(empty) == [] and external.methods(empty) == ""


def test_the_methods_text_says_what_was_done_and_cites(run: Run) -> None:
    text = external.methods(run)
    assert "200 bootstrap samples" in text and "re-estimated in the training folds" in text and "[nadeau]" in text
    assert "Nadeau" in methods.cited([text])[0][0]


def test_the_figure_has_a_row_per_score(run: Run, tmp_path: Path) -> None:
    files = {name: run.cohort / f"{key}.parquet" for name, key in (("replication", "a"), ("transfer", "b"))}
    figure.draw(**files, predictions=run.cohort / "c.parquet", out=tmp_path / "one.png")
    both = tmp_path / "both"
    validated(both, given_away(people(80), [AGE, ILL]), people(60, 1, site="B", names="b"), [AGE, ILL])
    files = {name: both / f"{key}.parquet" for name, key in (("replication", "a"), ("transfer", "b"))}
    figure.draw(**files, predictions=both / "c.parquet", out=tmp_path / "two.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert two.height > 1.6 * one.height


def test_nobody_here_trained_the_other_cohorts_model(tmp_path: Path) -> None:
    cohort, latents, quality = people(40, kind="frozen")
    latents.loc[:20, "split"] = "training"
    assert set(join(cohort, latents, quality)["latents_split"]) == {"test"}
    assert set(join(cohort, latents.assign(kind="vae"), quality)["latents_split"]) == {"training", "test"}
    paths = {name: tmp_path / f"{name}.json" for name in ("source", "own", "vae")}
    paths["source"].write_text(json.dumps({"kind": "frozen", "centre": "source"}))
    paths["own"].write_text(json.dumps({"kind": "frozen", "centre": "own"}))
    paths["vae"].write_text(json.dumps({"kind": "vae"}))
    found = {name: leakage.policy("transductive", [path]) for name, path in paths.items()}
    assert found == {"source": "per fold", "own": "transductive", "vae": "transductive"}
