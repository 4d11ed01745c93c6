"""What reruns when: after a finished run, the exact set of jobs that a dry run schedules for each kind of change.

Every row works on a copy of the finished project at another path, so each of them also shows that moving it reruns nothing.
"""

import copy
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from project import CONFIG, Copy, Project
from reruns import ASSOCIATED, AUDITS, LAST, MAPPED, MODELS, PREDICTED, SEEN, SUMMARISED, TESTED, TESTS, jobs, older

Change = Callable[[Project], None]


VAES = "vae other"
BATCHES = "0000 0001"
PLOTS = {f"plot_{stage}" for stage in ("train", "associate", "predict", "audit", "interpret")}
EACH = f"train health latents {TESTS} predict {AUDITS}"  # jobs of every model
JUDGED = f"health {TESTS} predict {AUDITS}"  # what a verdict is carried into
DECODED = f"traverse samples {MAPPED}"
FITTED = jobs(EACH, MODELS) | jobs(DECODED, SEEN) | SUMMARISED | PLOTS | {"dimension"}
PACKED = {"qc", "pack", "duplicates", "voxels", "atlas"} | FITTED


def config(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Another value in the user's configuration."""

    def write(project: Project) -> None:
        changed = copy.deepcopy(CONFIG)
        change(changed)
        project.write(changed)

    return write


def edit(name: str, change: Callable[[str], str]) -> Change:
    """Another text in a file that keeps its old modification time, as `rsync -a` leaves it."""

    def write(project: Project) -> None:
        path = project.folder / name
        old, times = path.read_text(), path.stat()
        assert change(old) != old
        path.write_text(change(old))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return write


def append(name: str, text: str) -> Change:
    return edit(name, lambda old: old + text)


def pin(env: str, package: str) -> Change:
    return edit(f"envs/{env}.yaml", lambda text: re.sub(rf"{package}==[\d.]+", f"{package}==0.0.1", text))


def model(**values: Any) -> Change:
    return config(lambda it: it["train"]["models"][0].update(values))


def nothing(project: Project) -> None:
    pass


def touch(project: Project) -> None:
    """New times on everything that was not computed, and on the largest file that was."""
    scan = project.bids / "sub-01" / "anat" / "sub-01_T1w.nii"
    assert scan.stat().st_size > 1_000_000 < (project.results / "preprocess" / "volumes.npy").stat().st_size
    own = {project.folder / name for name in ("results", ".snakemake")}
    for folder in (project.bids, *(path for path in project.folder.iterdir() if path not in own)):
        for path in [folder, *folder.rglob("*")]:
            os.utime(path)
    os.utime(project.results / "preprocess" / "volumes.npy")


def comment(project: Project) -> None:
    for name in ("src/neurovae/train/models/network.py", "src/neurovae/associate/glm.py", "envs/train.yaml", "my.yaml"):
        append(name, "\n\n# a comment\n")(project)
    edit("workflow/rules/train.smk", lambda text: text.replace("rule train:", "# a comment\n\nrule train:"))(project)


def spelling(project: Project) -> None:
    """Keys in reverse order, `4.0` for `4`."""
    changed = _reversed(CONFIG)
    changed["preprocess"]["voxel_mm"] = 4.0
    changed["train"]["models"][1]["base_channels"] = 4.0
    project.write(changed)


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


def come(project: Project) -> None:
    """A new person, whose scan falls into bucket 0000."""
    new = project.bids / "sub-99" / "anat"
    new.mkdir(parents=True)
    shutil.copyfile(project.bids / "sub-02" / "anat" / "sub-02_T1w.nii.gz", new / "sub-99_T1w.nii.gz")
    append("../bids/participants.tsv", "sub-99\t60\tM\tA\t.5\t.5\n")(project)


def frozen(project: Project) -> None:
    """A new person who is embedded with the models that are there."""
    come(project)
    config(lambda it: it["cohort"].update(freeze=True))(project)


def go(project: Project, person: str = "sub-02") -> None:
    """A person less: scan and row."""
    shutil.rmtree(project.bids / person)
    edit("../bids/participants.tsv", lambda text: re.sub(rf"(?m)^{person}\t.*\n", "", text))(project)


def replace(project: Project) -> None:
    """Another scan under the same name."""
    scans = (project.bids / person / "anat" / f"{person}_T1w.nii.gz" for person in ("sub-02", "sub-03"))
    shutil.copyfile(next(scans), next(scans))


def delete(stage: str) -> Change:
    return lambda project: shutil.rmtree(project.results / stage)


ROWS = {
    "nothing": (nothing, set()),
    "touch, a clone with new times": (touch, set()),
    "comments": (comment, set()),
    "re-ordered keys, 4.0 for 4": (spelling, set()),
    "the network's module": (
        append("src/neurovae/train/models/network.py", "X = 1\n"),
        jobs(EACH, VAES) | jobs(DECODED, "vae") | SUMMARISED | PLOTS | {"dimension"},
    ),
    "a value of one model": (
        model(beta=2),
        jobs(f"{EACH} {DECODED}", "vae") | SUMMARISED | PLOTS | {"dimension"},
    ),
    "two values of one model swapped": (
        model(base_channels=2, epochs=4),
        jobs(f"{EACH} {DECODED}", "vae") | SUMMARISED | PLOTS | {"dimension"},
    ),
    "the size of one model": (
        model(n_latent=5),  # its baseline comes with it
        jobs(f"{EACH} {DECODED}", "vae pca-5") | SUMMARISED | PLOTS | {"dimension", "power"},
    ),
    "models in another order": (  # the first is the primary one, which is decoded
        config(lambda it: it["train"]["models"].reverse()),
        jobs(DECODED, "other") | SUMMARISED | PLOTS,
    ),
    "the spline's module": (
        append("src/neurovae/associate/spline.py", "X = 1\n"),
        jobs("univariate stability", MODELS) | ASSOCIATED | {"plot_associate", "plot_audit", "plot_interpret"},
    ),
    "a figure's module": (
        append("src/neurovae/report/figures/stability.py", "X = 1\n"),
        {"plot_audit", "report", "verdict"},
    ),
    "a value of predict": (
        config(lambda it: it["predict"].update(bootstraps=101)),
        jobs("predict", MODELS) | PREDICTED | {"voxels"},
    ),
    "quantiles of the traversals": (
        config(lambda it: it.update(interpret={"quantiles": [0.1, 0.9]})),
        jobs("traverse", SEEN) | {"plot_interpret", "report", "verdict"},
    ),
    "a model more that is decoded": (
        config(lambda it: it.update(interpret={"models": ["vae", "pca-3", "other"]})),
        jobs(DECODED, "other") | {"plot_interpret"} | LAST,
    ),
    "the page's style": (append("src/neurovae/report/assets/report.css", "p { color: red }\n"), {"report", "verdict"}),
    "a confound less": (config(lambda it: it["cohort"]["confounds"].pop()), {"cohort"} | TESTED),
    "a score less": (config(lambda it: it["cohort"]["scores"].pop()), {"cohort"} | TESTED),
    "a score renamed": (
        config(lambda it: it["cohort"].update(rename={"shuffled": "x"}, scores=it["cohort"]["scores"][:1])),
        {"cohort"} | TESTED,
    ),
    "one age": (older, {"cohort"} | TESTED),
    "normalisation": (
        config(lambda it: it["preprocess"].update(normalise={"method": "percentile"})),
        jobs("normalise", BATCHES) | PACKED,
    ),
    "a new person": (
        come,
        jobs("extract register normalise", "0000") | {"folds", "cohort", "power"} | PACKED,
    ),
    "a new person, frozen": (
        frozen,
        jobs("extract register normalise", "0000") | {"cohort", "power"} | PACKED - jobs("train health", MODELS),
    ),
    "a person removed": (  # their bucket's manifests too; nothing is computed there, see below
        go,
        jobs("extract register normalise", "0000") | {"folds", "cohort", "power"} | PACKED,
    ),
    "a scan replaced": (replace, jobs("extract register normalise", "0001") | PACKED),
    "a pin of register": (pin("register", "antspyx"), jobs("register normalise", BATCHES) | PACKED),
    "a pin of train": (pin("train", "torch"), FITTED),
    "a pin of associate": (
        pin("associate", "statsmodels"),
        jobs(f"{TESTS} confounds stability", MODELS)
        | ASSOCIATED
        | {"power", "plot_associate", "plot_audit", "plot_interpret"},
    ),
    "a pin of predict": (
        pin("predict", "scikit-learn"),
        jobs("predict sites", MODELS) | PREDICTED | {"voxels"},
    ),
    "a pin of interpret": (pin("interpret", "torch"), jobs(DECODED, SEEN) | {"atlas", "plot_interpret"} | LAST),
    "a value of the permutations": (
        config(lambda it: it["associate"].update(permutations=1000)),
        jobs("univariate omnibus mixed stability", MODELS)
        | jobs("maps jacobian seeds", SEEN)
        | ASSOCIATED
        | {"plot_associate", "plot_audit", "plot_interpret"},
    ),
    "from when on a nuisance is flagged": (
        config(lambda it: it.update(audit={"min_variance_explained": 0.2})),
        jobs("confounds", MODELS) | ASSOCIATED | {"plot_audit"},
    ),
    "a pin of report": (
        pin("report", "matplotlib"),
        PLOTS | LAST,
    ),
    "another seed besides": (
        config(lambda it: it["train"].update(seeds=[0, 1])),
        jobs(f"train health latents {TESTS} confounds predict stability", MODELS)
        | jobs("maps seeds", SEEN)
        | SUMMARISED
        | {"plot_audit", "plot_interpret"},
    ),
    "latents drawn per score": (
        config(lambda it: it.update(report={"latents": 2})),
        {"plot_associate", "report", "verdict"},
    ),
    "a collapsed model kept by request": (
        config(lambda it: it["train"].update(keep_collapsed=["vae"])),
        jobs(f"{JUDGED} {DECODED}", "vae") | SUMMARISED | PLOTS,
    ),
    "values chosen while looking": (
        model(transductive=True),
        jobs(f"{JUDGED} {DECODED}", "vae pca-3") | SUMMARISED | PLOTS,
    ),
    "the share that may fail": (config(lambda it: it["preprocess"].update(max_failed=0.3)), set()),
    "associate deleted": (
        delete("associate"),
        jobs(f"{TESTS} stability", MODELS) | ASSOCIATED | {"plot_associate", "plot_audit", "plot_interpret"},
    ),
    "audit deleted": (delete("audit"), jobs(AUDITS, MODELS) | {"power", "dimension", "plot_audit"} | ASSOCIATED),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_change_reruns_exactly(row: str, finished: Project, elsewhere: Copy) -> None:
    change, expected = ROWS[row]
    project = elsewhere(finished)
    change(project)
    assert project.plan() == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--cores", "1", "--set-threads", "train=1", "--set-resources", "train:mem_mb=100"], set()),
        (["--config", "preprocess={voxel_mm: '4.0'}"], set()),
        (["--until", "train"], set()),
        (["--forcerun", "findings"], ASSOCIATED),
        (["--forcerun", "univariate", "--until", "univariate"], jobs("univariate", MODELS)),
    ],
)
def test_options_rerun_exactly(arguments: list[str], expected: set[str], finished: Project) -> None:
    assert finished.plan(*arguments) == expected


def test_until_train_leaves_out_what_it_does_not_need(prepared: Project) -> None:
    expected = (
        jobs("extract register normalise", BATCHES)
        | {"grids", "qc", "pack", "duplicates", "folds"}
        | jobs("train", MODELS)
    )
    assert prepared.plan("--until", "train") == expected


def test_only_who_came_is_computed(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    folder = project.results / "preprocess"
    before = _images(folder / "derivatives")
    manifest = folder / "normalise" / "0000.tsv"
    members = [line.split("\t")[0] for line in manifest.read_text().splitlines()[1:]]
    assert len(members) > 2
    come(project)
    go(project, members[0])
    project.run("results/tiny/preprocess/normalise/0000.tsv")
    after = _images(folder / "derivatives")
    assert {path: after[path] for path in before} == before
    assert {path.name.split("_")[0] for path in after.keys() - before.keys()} == {"sub-99"}
    assert [line.split("\t")[0] for line in manifest.read_text().splitlines()[1:]] == [*members[1:], "sub-99"]


def _images(folder: Path) -> dict[Path, tuple[int, int]]:
    """Time and inode per image: a file written anew has others, even with equal content."""
    found = (path for path in folder.rglob("*.nii.gz"))
    return {path.relative_to(folder): (path.stat().st_mtime_ns, path.stat().st_ino) for path in found}


def test_a_cohort_at_a_new_place_is_read_there(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    project.bids.rename(project.bids.with_name("moved"))
    (project.results / "cohort" / "source.json").unlink()
    config(lambda it: it["cohort"].update(bids="../moved"))(project)
    project.run("results/tiny/preprocess/extract/0000.tsv")  # masks are kept: the scans are the same
    append("src/neurovae/preprocess/register.py", "X = 1\n")(project)
    project.run("results/tiny/preprocess/register/0000.tsv")  # reads the scans again
    assert "failed" not in (project.results / "preprocess" / "register" / "0000.tsv").read_text()


def test_a_reference_region_replaced_is_seen(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    region = project.folder / "region.nii.gz"
    shutil.copyfile(project.results / "preprocess" / "mask.nii.gz", region)
    config(lambda it: it["preprocess"].update(normalise={"method": "reference", "reference": region.name}))(project)
    manifest = "results/tiny/preprocess/normalise/0000.tsv"
    project.run(manifest)
    assert project.plan(manifest) == set()
    shutil.copyfile(
        next((project.results / "preprocess" / "derivatives").rglob("*res-4mm*_label-brain_probseg.nii.gz")), region
    )
    assert project.plan(manifest) == {"normalise 0000"}


def test_a_misspelt_key_is_refused_by_name(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    model(epoch=5)(project)
    done = project.snakemake("--cores", "1")
    assert done.returncode != 0
    assert "train.models.0: unknown key 'epoch' (did you mean 'epochs'?)" in done.stdout
    assert "Traceback" not in done.stdout
    assert "\nrule " not in done.stdout


def test_a_name_that_holds_other_data_is_refused(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    shutil.copytree(project.bids, project.bids.with_name("others"))
    config(lambda it: it["cohort"].update(bids="../others"))(project)
    done = project.snakemake("-n")
    assert done.returncode != 0, done.stdout[-3000:]
    assert "cohort.name 'tiny' already holds the results of" in done.stdout
    assert "Traceback" not in done.stdout


def test_two_cohorts_share_no_file(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    config(lambda it: it["cohort"].update(name="second"))(project)
    done = project.snakemake("-n", "-p")
    written = re.findall(r"^ +(?:output|log|benchmark): (.+)$", done.stdout, flags=re.M)
    names = {re.sub(r" \(check.*", "", name) for line in written for name in line.split(", ")}
    assert len(names) > 100
    assert {name for name in names if not name.startswith("results/second/")} == set()
    assert "results/tiny" not in done.stdout
    assert (
        project.plan() == jobs("extract register normalise", BATCHES) | {"grids", "folds", "cohort", "power"} | PACKED
    )


def test_a_users_configuration_shows_nothing_of_the_demo(prepared: Project, elsewhere: Copy) -> None:
    project = elsewhere(prepared)
    mine = {**CONFIG, "train": {"models": [{"name": "mine", "kind": "vae", "n_latent": 3}]}}
    project.write(mine)
    assert {job for job in project.plan() if job.startswith("train")} == {"train mine", "train pca-3"}
    text = project.snakemake("-n", "-p").stdout
    assert re.findall(r"motor|falls|diagnosis|mmse|ushape|cohort\.simulate|results/demo|/vae/", text) == []


def test_without_a_configuration_the_demo_is_listed(prepared: Project) -> None:
    tables = {
        "simulate",
        "grids",
        "folds",
        "cohort",
        "qc",
        "pack",
        "duplicates",
        "power",
        "voxels",
        "atlas",
        "dimension",
    }
    tables |= PLOTS | SUMMARISED
    batches = jobs("extract register normalise", "0000 0001 0002 0003 0004 0005")
    models = jobs(EACH, "vae pca-16") | jobs(DECODED, "vae")
    assert prepared.plan(config=None) == tables | batches | models
