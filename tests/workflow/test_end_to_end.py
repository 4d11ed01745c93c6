"""The whole chain on a tiny cohort: what is planted is found, what is not is not, and the same comes out every time."""

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from project import CONFIG, CUT, HEADING, PEOPLE, ROOT, Copy, Project, contents, jobs_of
from reruns import TESTED

FIT = "fold-0_seed-0"
MODELS = {"vae", "other", "pca-3"}
GOOD = {f"sub-{number:02d}" for number in range(1, PEOPLE + 1)}


def test_the_planted_effect_is_found_and_the_shuffled_one_is_not(finished: Project) -> None:
    table = pd.read_csv(finished.results / "findings" / "associations.tsv", sep="\t")
    assert set(table["model"]) == MODELS
    assert set(table["status"]) == {"ok"}
    assert len(table) == 2 * (3 + 3 + 3) and table.groupby("model")["primary"].all().to_dict() == {
        name: name == "vae" for name in MODELS
    }
    smallest = table.groupby(["score", "model"])[["p", "q", "p_maxt"]].min()
    assert (smallest.loc["severity", "p_maxt"] < 0.05).all(), smallest
    whole = pd.read_csv(finished.results / "findings" / "omnibus.tsv", sep="\t").set_index("score")
    assert (whole.loc["severity", "p"] < 0.01).all() and (whole.loc["shuffled", "p"] > 0.001).all(), whole
    mixed = pd.read_csv(finished.results / "findings" / "mixed.tsv", sep="\t")
    assert set(mixed["status"]) == {"one scan per person"} and len(mixed) == len(MODELS)
    assert (smallest.loc["severity", "q"] < 0.05).all(), smallest
    assert (smallest.loc["shuffled", "p"] > 0.001).all(), smallest
    told = pd.read_csv(finished.results / "predict" / "predictions.tsv", sep="\t").query("metric == 'r2'")
    r2 = told[told["features"] == "latents"].groupby("score")["value"].max()
    assert r2["severity"] > 0.5 > 0.3 > r2["shuffled"], r2


def test_a_scan_that_is_cut_short_is_named_and_the_others_are_there(finished: Project) -> None:
    qc = pd.read_csv(finished.results / "preprocess" / "qc.tsv", sep="\t", keep_default_na=False).set_index("scan")
    assert set(qc.index) == GOOD | {CUT}
    assert qc.loc[CUT, "status"] == "failed"
    assert f"{CUT}_T1w.nii.gz: the file is cut short" in qc.loc[CUT, "cause"]
    assert qc.loc[CUT, "reason"] == f"failed: {qc.loc[CUT, 'cause']}"
    assert set(qc.index[~qc["excluded"].astype(bool)]) == GOOD
    for model in MODELS:
        latents = pd.read_parquet(finished.results / "latents" / model / FIT / "latents.parquet")
        assert set(latents["scan"]) == GOOD
    assert set(pd.read_parquet(finished.results / "cohort" / "cohort.parquet")["scan"]) == GOOD | {CUT}


def test_scores_permuted_leave_weights_and_latents_alone(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    table = project.bids / "participants.tsv"
    people = pd.read_csv(table, sep="\t", dtype=str)
    for score in ("severity", "shuffled"):
        people[score] = people[score].sample(frac=1, random_state=3).to_numpy()
    people.to_csv(table, sep="\t", index=False)
    assert project.plan() == {"cohort"} | TESTED
    before = contents(project, "train", "latents", "preprocess")
    done = project.run("--until", "univariate")
    assert jobs_of(done) == {"cohort", *(f"univariate {model}" for model in MODELS)}
    assert contents(project, "train", "latents", "preprocess") == before
    found = pd.read_parquet(project.results / "associate" / "vae" / FIT / "glm.parquet")
    assert found["p"].min() > 0.001
    again = project.run("--forcerun", "train", "latents", "--", f"results/tiny/latents/vae/{FIT}/latents.parquet")
    assert jobs_of(again) == {"train vae", "latents vae"}
    assert differing(before, contents(project, "train", "latents", "preprocess")) == set()


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> set[str]:
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


PLACE = re.compile(r"(?:^|[\s\"'=:,(])/[\w.-]+/[\w./-]+")
TIME = re.compile(r"\b(?:19|20)\d\d-[01]\d-[0-3]\d\b|\b[0-2]?\d:[0-5]\d:[0-5]\d\b")


def outputs(project: Project) -> list[Path]:
    """Everything that the chain writes as text or tables, without what Snakemake measures (benchmarks) and logs."""
    aside = {project.results / name for name in ("logs", "benchmarks")}
    found = (path for path in project.results.rglob("*") if not aside & set(path.parents))
    return sorted(path for path in found if path.suffix in (".parquet", ".tsv", ".json", ".txt", ".safetensors"))


def places_and_times(project: Project) -> list[str]:
    """Absolute paths and times in any output, as `file: what`."""
    found = []
    for path in outputs(project):
        text = path.read_bytes().decode("latin-1") if path.suffix == ".safetensors" else None
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            text = f"{table.schema}\n{table.schema.metadata}\n" + table.to_pandas().to_csv(sep="\t")
            assert not re.search(r"timestamp|date\d\d", str(table.schema)), path.name
        text = path.read_text() if text is None else text.split("}}", 1)[0] if path.suffix == ".safetensors" else text
        found += [f"{path.name}: {match}" for match in [*PLACE.findall(text), *TIME.findall(text)]]
        found += [f"{path.name}: {project.folder.parent}"] * (str(project.folder.parent) in text)
    return found


def test_no_output_holds_a_place_or_a_time(finished: Project) -> None:
    assert len(outputs(finished)) > 60
    assert places_and_times(finished) == []


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    change(config)
    return config


def rows(old: str, new: str) -> Callable[[Project], None]:
    """Another text in participants.tsv, for every match."""

    def write(project: Project) -> None:
        table = project.bids / "participants.tsv"
        text = re.sub(old, new, table.read_text(), flags=re.M)
        assert text != table.read_text()
        table.write_text(text)

    return write


def values(change: Callable[[dict[str, Any]], Any]) -> Callable[[Project], None]:
    return lambda project: project.write(changed(change))


def several(project: Project) -> None:
    """Five mistakes in one table and its scores."""
    rows(r"^(sub-03\t.*\t)\S+$", r"\1many")(project)
    rows(r"^(sub-04\t)\S+", r"\1old")(project)
    rows(r"^(sub-05\t.*)$", r"\1\n\1")(project)
    extra = [{"name": "iq", "type": "continuous"}, {"name": "sex", "type": "binary"}]
    values(lambda it: it["cohort"]["scores"].extend(extra))(project)


BAD = {
    "keys and values": (
        values(lambda it: (it["train"].update(epoch=3), it["preprocess"].update(voxel_mm=3), it.update(trian={}))),
        ["unknown key 'epoch'", "preprocess.voxel_mm: 3 is not one of", "unknown key 'trian' (did you mean 'train'?)"],
    ),
    "rows": (
        several,
        [
            "participants.tsv, row 4: shuffled is 'many'; give a number or n/a",
            "participants.tsv, row 5: age is 'old'; give a number or n/a",
            "participants.tsv, row 7: sub-05 was already given in row 6; keep one of the two",
            "score 'iq': no column 'iq'",
            "sex is 'F', 'M', positive is not given",
        ],
    ),
    "a constant score": (rows(r"^(sub-.*\t)\S+$", r"\g<1>1"), ["shuffled is constant, '1' for everyone"]),
    "more folds than people": (
        values(lambda it: it["cohort"].update(folds={"n": 40})),
        ["25 people have a scan and a row, folds.n is 40"],
    ),
    "no folder": (
        values(lambda it: it["cohort"].update(bids="../nowhere")),
        ["cohort.bids: folder '../nowhere' not found; correct the path"],
    ),
    "no table": (lambda project: (project.bids / "participants.tsv").unlink(), ["participants.tsv: table not found"]),
    "two models of one name": (
        values(lambda it: it["train"]["models"][1].update(name="vae")),
        ["train.models: names are not unique"],
    ),
    "no cohort's name": (values(lambda it: it["cohort"].pop("name")), ["cohort: 'name' is a required property"]),
    "no mapping": (lambda project: (project.folder / "my.yaml").write_text("cohort: [1\n"), ["not valid JSON or YAML"]),
    "no section": (
        lambda project: (project.folder / "my.yaml").write_text("cohort:\n"),
        ["cohort: None is not of type"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_without_a_traceback(case: str, prepared: Project, elsewhere: Copy) -> None:
    spoil, messages = BAD[case]
    project = elsewhere(prepared)
    spoil(project)
    done = project.snakemake("--cores", "1")
    assert done.returncode != 0
    assert [message for message in messages if message not in done.stdout] == [], done.stdout[-3000:]
    assert "Traceback" not in done.stdout
    assert not HEADING.search(done.stdout), "a job was started"


def test_a_cohort_of_broken_scans_is_refused_with_their_causes(prepared: Project, elsewhere: Copy) -> None:
    project = elsewhere(prepared)
    for scan in project.bids.glob("sub-*/anat/*.nii*"):
        scan.write_text("no image")
    values(lambda it: it["preprocess"].update(batches=1))(project)
    done = project.snakemake("--cores", "1", "--until", "qc")
    assert done.returncode != 0
    assert "25 of 25 scans" in done.stdout
    assert "sub-07_T1w.nii.gz: not a readable NIfTI image" in done.stdout
    assert "Traceback" not in done.stdout


def test_tables_have_the_columns_of_the_reference(finished: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/reference/written.yaml is what a run writes; `python docs/extension/outputs.py results/demo` makes it anew."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "extension"))
    import outputs

    written, found = outputs.read("written.yaml"), outputs.of_run(finished.results)
    assert {path: [*names] for path, names in found.items() if sorted(names) != sorted(written.get(path, []))} == {}
    assert len(found) > 30


def test_the_derivatives_are_a_valid_bids_dataset(finished: Project) -> None:
    folder = finished.results / "preprocess" / "derivatives"
    found = json.loads((folder / "dataset_description.json").read_text())
    assert found["DatasetType"] == "derivative" and found["GeneratedBy"][0]["Name"] == "neurovae"
    assert (folder / found["SourceDatasets"][0]["URL"]).resolve() == finished.bids.resolve()
    validator = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([validator, "--json", folder], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
