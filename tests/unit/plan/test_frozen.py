"""A frozen cohort: what was trained stays, new people are embedded, and whatever does not fit the models is refused."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from project import CONFIG, Copy, Project
from safetensors.numpy import save_file

from neurovae import latents
from neurovae.cohort.table import new_folds
from neurovae.errors import InputError
from neurovae.plan import frozen
from neurovae.train import weights

FIT = "fold-0_seed-0"
TABLE = f"latents/vae/{FIT}/latents.parquet"
META: dict[str, Any] = {
    "kind": "vae",
    "architecture": {"shape": [2, 2, 2]},
    "scans": {"sub-1": "a" * 16, "sub-2": "b" * 16},
}


def freeze(project: Project, **values: Any) -> None:
    mine = copy.deepcopy(CONFIG)
    mine["cohort"]["freeze"] = True
    mine["train"]["models"][0].update(values)
    project.write(mine)


def rows(**digests: str) -> pd.DataFrame:
    names = [name.replace("_", "-") for name in digests]
    return pd.DataFrame({"scan": names, "preproc_sha256": [digest * 64 for digest in digests.values()]})


def test_someone_new_is_embedded_and_nothing_is_trained(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    before = pd.read_parquet(project.results / TABLE).set_index("scan")
    held = {path: path.read_bytes() for path in sorted((project.results / "train").rglob("*")) if path.is_file()}
    source = project.bids / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    image = nib.load(source)
    shift = np.roll(image.get_fdata(), 1, axis=1) * np.linspace(0.7, 1.3, image.shape[2])  # no copy of sub-02
    (project.bids / "sub-99" / "anat").mkdir(parents=True)
    new = project.bids / "sub-99" / "anat" / "sub-99_T1w.nii.gz"
    nib.save(nib.Nifti1Image(shift.astype(np.int16), image.affine), new)
    with (project.bids / "participants.tsv").open("a") as file:
        file.write("sub-99\t60\tM\tA\t.5\t.5\n")
    freeze(project)
    jobs = project.plan()
    assert not {job for job in jobs if job.split()[0] in ("train", "health", "folds")}
    project.run(f"results/tiny/{TABLE}", "results/tiny/cohort/cohort.parquet")
    after = pd.read_parquet(project.results / TABLE).set_index("scan")
    judged = pd.read_parquet(project.results / "preprocess" / "qc.parquet").set_index("scan").loc["sub-99"]
    assert not judged["excluded"], judged["reason"]
    assert set(after.index) - set(before.index) == {"sub-99"} and after.loc["sub-99", "split"] == "test"
    pd.testing.assert_frame_equal(after.loc[before.index], before)
    folds = pd.read_parquet(project.results / "cohort" / "cohort.parquet").set_index("person")["fold"]
    dealt = pd.read_csv(project.results / "cohort" / "folds.tsv", sep="\t").set_index("person")["fold"]
    assert (folds[dealt.index] == dealt).all() and 0 <= folds["sub-99"] < 5
    assert {path: path.read_bytes() for path in held} == held


@pytest.mark.parametrize(
    ("break_", "message"),
    [
        (lambda project: freeze(project, beta=3), "train.models 'vae': beta is 3, was 1 in results/tiny/train/vae"),
        (
            lambda project: (freeze(project), shutil.rmtree(project.results / "train" / "other")),
            "not there: results/tiny/train/other/fold-0_seed-0/weights.safetensors",
        ),
    ],
)
def test_what_was_not_trained_so_is_refused_before_the_first_job(
    break_: Any, message: str, finished: Project, elsewhere: Copy
) -> None:
    project = elsewhere(finished)
    break_(project)
    done = project.snakemake("-n")
    assert done.returncode != 0 and message in done.stdout and "Traceback" not in done.stdout, done.stdout[-2000:]


def test_a_search_excuses_the_values_that_it_chose_alone(tmp_path: Path) -> None:
    fit, search = tmp_path / "fold-0_seed-0", tmp_path / "fold-0_search"
    for folder in (fit, search):
        folder.mkdir()
    then = {"n_latent": 16, "beta": 2.5, "flip": True}
    meta = {"kind": "vae", "searched": True, "options": then}
    weights.save(fit / "weights.safetensors", {"x": np.ones(3, np.float32)}, meta)
    entry = {"name": "vae", "kind": "vae", "transductive": False, "n_latent": 64, "beta": 1, "flip": True}
    for found, message in ((entry, "a search chose values of"), (entry | {"flip": False}, "flip is False, was True")):
        (line,) = frozen._other("vae", found, fit / "weights.safetensors")
        assert message in line and "latent is" not in line and "beta is" not in line
        (search / "chosen.json").write_text(json.dumps({"n_latent": 16, "beta": 2.5}))
    assert frozen._other("vae", entry, fit / "weights.safetensors") == []


def test_other_preprocessing_is_refused() -> None:
    same = rows(sub_1="a", sub_2="b", sub_3="c")
    latents.same_preprocessing(same, (2, 2, 2), META, "vae")
    latents.same_preprocessing(rows(sub_2="b", sub_3="c"), (2, 2, 2), META, "vae")  # someone has left
    latents.same_preprocessing(same, (2, 2, 2), {**META, "architecture": {"n_latent": 2}}, "pca")  # it states no grid
    for table, shape, message in [
        (rows(sub_1="a", sub_2="x"), (2, 2, 2), "voxels of 1 of its 2 scans have changed since training \\(sub-2\\)"),
        (same, (2, 2, 3), "on a grid of \\[2, 2, 3\\]"),
        (rows(sub_3="c"), (2, 2, 2), "none of its 2 scans is among the volumes"),
    ]:
        with pytest.raises(InputError, match=message):
            latents.same_preprocessing(table, shape, META, "vae")


def test_a_training_scan_under_another_id_is_not_new() -> None:
    """It would be tested as held out by a model that was trained on it."""
    with pytest.raises(InputError, match="sub-9 count as new, but are scans that it was trained with"):
        latents.same_preprocessing(rows(sub_1="a", sub_9="b"), (2, 2, 2), META, "vae")


def test_new_people_get_folds_that_others_do_not_change() -> None:
    dealt = {"a": 0, "b": 1, "c": 2}
    everyone = [(person, "here" if person < "c" else "there", "") for person in "abcdefgh"]
    found = new_folds(everyone, dealt, n=3, by="person")
    assert set(found) == set("defgh") and set(found.values()) <= {0, 1, 2} and len(set(found.values())) > 1
    assert new_folds(everyone[:5], dealt, n=3, by="person") == {person: found[person] for person in "de"}
    assert set(new_folds(everyone, dealt, n=3, by="site").values()) == {2}  # all of them come from c's site


def test_the_header_of_a_weights_file_is_read_without_its_tensors(tmp_path: Path) -> None:
    meta = {"kind": "pca", "options": {"n_latent": 3}, "searched": False}
    weights.save(tmp_path / "w.safetensors", {"x": np.ones(3, np.float32)}, meta)
    assert frozen.description(tmp_path / "w.safetensors") == meta
    save_file({"x": np.ones(3, np.float32)}, tmp_path / "v.safetensors", metadata={"neurovae": json.dumps(meta)})
    assert frozen.description(tmp_path / "v.safetensors") == meta
