"""The workflow's own promises: environments name what rules import, fingerprints, flags, schemas, dry runs."""

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import derivative_trees as trees
import pytest
import yaml
from bids_tree import plant
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from workflow_rules import ROOT, bodies, check_directive, check_environment, check_plain, pins, rules, third_party

from neurovae.errors import InputError
from neurovae.plan import config as configuration
from neurovae.plan import entries, fingerprint, graph, kinds, search_space


@pytest.mark.parametrize(("rule", "module", "env"), rules())
def test_each_environment_names_what_its_rule_imports(rule: str, module: str, env: str) -> None:
    check_environment(rule, module, env)


@pytest.mark.parametrize("env", sorted({env for _, _, env in rules()}))
def test_no_environment_names_what_no_rule_needs(env: str) -> None:
    needed = set().union(*(third_party(module) for _, module, other in rules() if other == env))
    assert pins(env) - needed <= {"numpy", "scipy", "pandas"}  # pinned everywhere: others bring newer ones


def test_the_lock_has_every_package_that_is_needed_at_the_version_that_is_tested() -> None:
    lines = [line for line in (ROOT / "envs" / "lock.txt").read_text().splitlines() if not line.startswith("#")]
    locked = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    needed, waiting = set(), [("neurovae", frozenset({"dev"}))]
    while waiting:
        name, extras = waiting.pop()
        for text in metadata.requires(name) or []:
            found = Requirement(text)
            asked = found.marker is None or any(found.marker.evaluate({"extra": extra}) for extra in {"", *extras})
            one = (canonicalize_name(found.name), frozenset(found.extras))
            card = re.match("nvidia-|cuda-|triton", found.name)  # of torch's build for GPUs, which pins them itself
            if asked and one not in needed and not card:
                needed.add(one)
                waiting.append(one)
    installed = {name: metadata.version(name).split("+")[0] for name, _ in needed}
    assert len(installed) > 80 and installed == {name: locked.get(name) for name in installed}


def test_environments_and_pyproject_pin_one_version() -> None:
    wanted = {}
    for line in re.findall(r'^    "([\w.-]+==[\w.]+)",$', (ROOT / "pyproject.toml").read_text(), flags=re.M):
        wanted.update([line.split("==")])
    for path in (ROOT / "envs").glob("*.yaml"):
        listed = yaml.safe_load(path.read_text())["dependencies"][-1]["pip"]
        assert {
            line for line in listed if wanted.get(line.split("==")[0], line.split("==")[1]) != line.split("==")[1]
        } == set()


@pytest.mark.parametrize("directive", ["log", "benchmark", "resources", "conda", "params"])
def test_every_rule_has(directive: str) -> None:
    check_directive(directive)


def test_the_slurm_profile_gives_every_rule_its_memory_and_time_times_the_attempt() -> None:
    asked = yaml.safe_load((ROOT / "workflow" / "profiles" / "slurm" / "config.yaml").read_text())["set-resources"]
    given = {rule: {key: values[key] for key in ("mem_mb", "runtime")} for rule, values in asked.items()}
    wanted = {}
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for rule, body in bodies(path):
            found = dict(re.findall(r"^ +(mem_mb|runtime)=(\d+),", body, flags=re.M))
            wanted[rule] = {key: f"{value} * attempt" for key, value in found.items()}
    assert given == wanted


def test_rules_hold_no_functions_and_no_lambdas() -> None:
    check_plain()


def module_tree(folder: Path, inner: str = "x = 1\n") -> Path:
    package = folder / "pkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.py").write_text("from .b import f\n\ndef g():\n    import pkg.c\n    return f(pkg.c.x)\n")
    (package / "b.py").write_text("import numpy\n\ndef f(x):\n    return x  # as it is\n")
    (package / "c.py").write_text(inner)
    (package / "d.py").write_text("y = 1\n")
    return folder


def test_a_fingerprint_follows_code_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "SOURCE", module_tree(tmp_path))
    first = fingerprint.code("pkg.a")
    for name, text in [("d", "y = 2\n"), ("c", "# a comment\n\nx = 1   # one\n\n")]:
        (tmp_path / "pkg" / f"{name}.py").write_text(text)
        assert fingerprint.code("pkg.a") == first, name
    (tmp_path / "pkg" / "c.py").write_text("x = '# 2'\n")  # imported inside a function; the hash is no comment
    fingerprint.imports.cache_clear()
    assert fingerprint.code("pkg.a") != first
    assert fingerprint.imports("pkg.a", tmp_path) == (frozenset({"pkg.b", "pkg.c"}), frozenset())
    assert fingerprint.imports("pkg.b", tmp_path) == (frozenset(), frozenset({"numpy"}))


def test_package_markers_are_empty() -> None:
    filled = [path.parent.name for path in (ROOT / "src").rglob("__init__.py") if path.read_text().strip()]
    assert filled == ["estimator"]  # which no rule imports


def test_flags_are_alphabetical_and_quoted() -> None:
    section = {"b": "two words; rm -rf /", "a": [{"name": "x'y", "bounds": [0, 1.5]}], "c": None, "d": True}
    assert graph.flags(section) == (
        """--a '[{"bounds": [0, 1.5], "name": "x'"'"'y"}]' --b 'two words; rm -rf /' --d true"""
    )
    assert graph.flags({"x": 1, "y": 2}) == graph.flags({"y": 2, "x": 1}) != graph.flags({"x": 2, "y": 1})


def complete(text: str) -> dict:
    return configuration.validate({"cohort": {"name": "x"}, **yaml.safe_load(text)}, configuration.load_schema())


def test_numbers_are_one_value_however_they_are_written() -> None:
    assert len({str(complete(f"preprocess: {{voxel_mm: {value}}}")) for value in ("4", "4.0", "4.0e0", "'4'")}) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {epoch: 3}", "train: unknown key 'epoch'"),
        (
            "train: {models: [{name: a, kind: vae, epoch: 3}]}",
            "train.models.0: unknown key 'epoch' .did you mean 'epochs'",
        ),
        ("trian: {}", "unknown key 'trian' .did you mean 'train'"),
        ("preprocess: {voxel_mm: 3}", "preprocess.voxel_mm: 3 is not one of"),
        ("preprocess: {max_failed: 2}", "preprocess.max_failed: 2 is greater than"),
        ("train: {models: [{name: 'a/b', kind: vae}]}", "train.models.0.name: 'a/b' does not match"),
        (
            "train: {models: [{name: a, kind: vae, epochs: many}]}",
            "train.models.0.epochs: 'many' is not of type 'integer'",
        ),
        ("cohort: {name: x, scores: [{name: age, type: numeric}]}", "cohort.scores.0.type: 'numeric' is not one of"),
        ("train: [1]", "train: .* is not of type 'object'"),
        ("train: {models: [{name: a, kind: pca, beta: 2}]}", "train.models.0: a pca has no 'beta' .it belongs to vae"),
        ("train: {models: [{name: a, kind: vae, sigma: free}]}", "train.models.0.sigma: 'free' does not match"),
        ("train: {models: [{name: a, kind: vae, sigma: 0}]}", "train.models.0.sigma: 0 is less than or equal"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        complete(text)


def test_all_problems_of_a_configuration_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        complete("{train: {epoch: 3}, preprocess: {voxel_mm: 3, batches: 0}}")
    assert len(caught.value.problems) == 3


def test_config_yaml_shows_the_schemas_defaults() -> None:
    shown = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    assert complete(yaml.safe_dump(shown)) == complete("{}")


def test_every_vae_brings_a_pca_of_its_size() -> None:
    whole = complete(
        "train: {models: [{name: a, kind: vae, n_latent: 8}, {name: b, kind: vae, n_latent: 8, flip: false}]}"
    )
    train, cohort = whole["train"], whole["cohort"]
    assert list(entries.models(train, cohort)) == ["a", "b", "pca-8", "pca-8-unmirrored"]
    others = [{**train["models"][0], "name": name, "blur": blur} for name, blur in (("c", 0), ("d", 2))]
    others.append({"name": "e", "kind": "lle", "n_latent": 8, "flip": True, "neighbours": 5, "transductive": True})
    found = entries.models({**train, "models": [*train["models"], *others]}, cohort)
    assert list(found)[5:] == ["pca-8", "pca-8-unmirrored", "pca-8-sharp", "pca-8-2mm"]
    assert [found[name]["transductive"] for name in list(found)[5:]] == [False, False, True, False]
    many = {**train["models"][0], "name": "f", "n_latent": 400, "linear": "localised"}
    found = entries.models({**train, "models": [many]}, cohort)
    assert found["pca-400"]["capped"] and not entries.impossible(whole, found, 100)  # as many as there are
    for other in ({"taper_mm": ["none"]}, {"linear": "pca"}):
        assert "only about" in entries.impossible(whole, {"f": {**many, **other}}, 100)[0]
    with pytest.raises(InputError, match="not unique"):
        entries.models({**train, "models": [train["models"][0]] * 2}, cohort)
    with pytest.raises(InputError, match="one fold, or all"):
        entries.models({**train, "folds": [0, 1]}, cohort)
    sided = {**cohort, "scores": [{"name": "updrs_left", "lateralised": True}]}
    with pytest.raises(InputError, match="'a': flip is true, but .'updrs_left'. depend on the side"):
        entries.models(train, sided)


def test_docstrings_and_modules_parse() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        if path.name != "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text())), path


@pytest.mark.parametrize("name", ["demo", "ixi", "ds000011", "abide"])
def test_the_shipped_configurations_list_their_jobs(name: str) -> None:
    if name != "demo" and not (ROOT.parent / "shared" / "data" / name).is_dir():
        pytest.skip(f"../shared/data/{name} is not there; lay it beside the checkout and run `make test`")
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--configfile", f"config/{name}.yaml", "--directory"]
    done = subprocess.run([*command, "."], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_dry_run_reads_every_table_and_warns(tmp_path: Path) -> None:
    """Merge keys, codes for missing, the order of sessions, a bad override: all of it before the first job."""
    people = [f"sub-{number:02d}" for number in range(1, 31)]
    rows = [f"{person}\t{999 if turn == 3 else 50 + turn}\n" for turn, person in enumerate(people)]
    cohort = plant(tmp_path / "bids", people, table="participant_id\tage\n" + "".join(rows))
    for session in ("pre", "post"):
        folder = tmp_path / "bids" / "sub-01" / f"ses-{session}" / "anat"
        folder.mkdir(parents=True)
        (folder / f"sub-01_ses-{session}_acq-a+b_T1w.NII.GZ").touch()
    text = "x-base: &base {kind: vae, n_latent: 2}\ntrain: {models: [{<<: *base, name: one}]}\n"
    text += f"cohort: {{name: x, bids: {cohort['bids']}, scores: [{{name: age, type: continuous}}]}}\n"
    (tmp_path / "my.yaml").write_text(text)
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--configfile", str(tmp_path / "my.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning: participants.tsv, row 5: age is 999, a usual code for missing" in done.stderr
    assert "sessions are ordered alphabetically" in done.stderr and "(1 person: " in done.stderr
    (tmp_path / "o.csv").write_text('scan,keep,reason\nsub-02,no,"moved\nsub-02,yes,fine\n')
    (tmp_path / "my.yaml").write_text(text + f"preprocess: {{qc: {{override: {tmp_path}/o.csv}}}}\n")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "o.csv, row 3: sub-02 was already given in row 2" in done.stderr + done.stdout


def test_a_preset_reaches_the_jobs_and_the_users_own_keys_go_before_it(tmp_path: Path) -> None:
    """The defaults of config/config.yaml, which Snakemake reads first, do not replace those of a preset."""
    people = [f"sub-{number:02d}" for number in range(1, 7)]
    trees.fmriprep(tmp_path / "fmriprep", people)
    table = trees.participants(tmp_path, people)
    text = (
        f"cohort: {{name: x, preset: fmriprep, files: {tmp_path}/fmriprep, participants: {table}, folds: {{n: 2}}}}\n"
    )
    text += "train: {models: [{name: one, kind: pca, n_latent: 1}]}\npreprocess: "

    def said(own: str) -> str:
        (tmp_path / "my.yaml").write_text(text + own)
        command = [sys.executable, "-m", "snakemake", "-n", "-p", "--configfile", str(tmp_path / "my.yaml")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    jobs = said("{batches: 1}")
    assert all(
        words in jobs for words in ("--method mask ", "--transform none", "--bias_field none", "--method zscore")
    )
    own = said("{batches: 1, extract: {method: deepbet}}")
    assert "cohort.masks are given, but preprocess.extract.method is deepbet" in own


def test_the_report_waits_for_every_result(tmp_path: Path) -> None:
    config = ["--configfile", str(ROOT / "config" / "demo.yaml"), "--config"]
    config += ["train={folds: [0, 1, 2, 3, 4], seeds: [0, 1]}"]

    def made(*target: str) -> set[str]:
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "-n", "--forceall", *config]
        done = subprocess.run([*command, "--", *target], cwd=tmp_path, capture_output=True, text=True, check=True)
        lines = re.findall(r"^    output: (.*)$", done.stdout + done.stderr, flags=re.M)
        return {path for line in lines for path in line.split(", ")}

    before = made("results/demo/report/report.html")
    assert len(before) > 300
    assert made() - before == {"results/demo/report/verdict.txt"}  # made from the report, and not listed in it


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("preprocess: {voxel_mm: 4}\ntrain: {}\npreprocess: {batches: 2}\n")
    with pytest.raises(InputError, match="my.yaml.*, line 1: preprocess is given twice"):
        configuration.refuse_repeats([str(tmp_path / "my.yaml")])
    configuration.refuse_repeats([str(path) for path in (ROOT / "config").glob("*.yaml")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "cohort: {name: x, confounds: [{name: size, type: continuous, from: preprocess}]}",
            "'size' is no column of the",
        ),
        ("preprocess: {qc: {thresholds: {dice: [0, 1]}}}", "thresholds: no column 'dice'"),
        ("preprocess: {qc: {override: gone.tsv}}", "override: file 'gone.tsv' not found"),
        ("preprocess: {normalise: {method: reference}}", "reference: give brain, or"),
        ("preprocess: {normalise: {method: reference, reference: gone.nii}}", "file 'gone.nii' not found"),
        ("train: {models: [{name: a, kind: pca, n_latent: 70}]}", "'a': n_latent is 70, but only about 70 people"),
        (
            "train: {models: [{name: a, kind: vae, network: dense, n_latent: 70}]}",
            "'a': n_latent is 70, but only about 70 people",
        ),
        ("train: {models: [{name: a, kind: vae, batch: 4, accumulate: 5}]}", "'a': accumulate is 5, batch only 4"),
        (
            "train: {models: [{name: a, kind: lle, neighbours: 140}]}",
            "'a': neighbours is 140, but there are only about 140",
        ),
        ("train: {keep_collapsed: [b]}", "train.keep_collapsed: no model 'b'; there are vae, pca-400"),
    ],
)
def test_what_would_fail_after_hours_is_refused_before_the_first_job(text: str, message: str) -> None:
    def problems(config: dict) -> list[str]:
        named = entries.models(config["train"], config["cohort"])
        return graph.names_and_files(config) + entries.impossible(config, named, 100)

    assert any(re.search(message, problem) for problem in problems(complete(text)))
    assert problems(complete("{}")) == []


def test_what_is_hardly_meant_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    from neurovae.train.models import manifold

    listed = "{name: a, kind: vae, warmup: 200}, {name: b, kind: lle, neighbours: 16}, {name: c, kind: mds}"
    whole = complete(f"train: {{models: [{listed}]}}")
    found = entries.models(whole["train"], whole["cohort"])
    entries.warn(found, search_space.keys(configuration.load_schema()))
    lines = capsys.readouterr().err.splitlines()
    assert (
        len(lines) == 2 and "'a': warmup is 200 epochs" in lines[0] and "'b': n_latent is 16, neighbours 16" in lines[1]
    )
    many = entries.impossible(whole, found, 10_000)
    assert len(many) == 2 and "'c': mds compares every pair of about 14000" in many[1]
    assert kinds.MAX_SCANS == manifold.MAX_SCANS


@pytest.mark.parametrize(
    ("entry", "idle"),
    [
        (
            "divergence: none, beta: 5, warmup: 10, cycles: 1, free_bits: 2, mmd_weight: 7",
            ["beta", "warmup", "cycles", "free_bits", "mmd_weight"],
        ),
        ("divergence: mmd, beta: 0, warmup: 3", ["warmup"]),
        ("mmd_weight: 7, dssim_weight: 9, cycles: 2", ["cycles", "mmd_weight", "dssim_weight"]),
        ("linear: none, blur: 9", ["blur"]),
        ("reconstruction: dssim, sigma: 2, dssim_weight: 9", ["sigma"]),
        ("divergence: mmd, beta: 2, warmup: 3, cycles: 1, free_bits: 1, mmd_weight: 2, sigma: learned", []),
    ],
)
def test_a_key_that_changes_nothing_is_named(entry: str, idle: list[str]) -> None:
    whole = complete(f"train: {{models: [{{name: a, kind: vae, {entry}}}]}}")
    keys = search_space.keys(configuration.load_schema())
    assert entries.without_effect(whole["train"]["models"][0], keys) == idle


def test_a_search_brings_a_pca_of_each_size_and_says_what_it_saw() -> None:
    whole = complete("train: {models: [{name: a, kind: vae}], search: {model: a, space: {n_latent: [4, 8]}}}")
    found = entries.models(whole["train"], whole["cohort"])
    assert list(found) == ["a", "pca-4", "pca-8", "pca-400"]
    assert "--transductive true" in entries.verdict_flags(found, whole["train"])["a"]
    every = {**whole["train"], "folds": [0, 1, 2, 3, 4]}
    assert "--transductive false" in entries.verdict_flags(found, every)["a"]


def test_the_columns_that_can_be_named_are_those_that_are_measured() -> None:
    import numpy as np

    from neurovae.preprocess import affine, columns, image_quality, normalise

    brain = np.ones((4, 4, 4), dtype=bool)
    noise = np.random.default_rng(0).random((4, 4, 4))
    measured = {*affine.columns(np.eye(4)), *normalise.quality(noise, brain, brain, noise, brain, np.eye(4))}
    measured |= {*image_quality.image_quality(noise, brain, np.ones(3)), *columns.OTHERS, *columns.OFFSET}
    assert measured == set(columns.QUALITY)


def test_a_collapsed_model_ends_the_run_with_a_failure_that_names_it(tmp_path: Path) -> None:
    from neurovae.io.files import write_json
    from neurovae.report import verdict

    for model, found in (("a", "healthy"), ("b", "collapsed")):
        write_json(tmp_path / model / "fold-0_seed-0" / "health.json", {"verdict": found, "reason": "why"})
    verdict.run(train=tmp_path, models=["a"], fits=["fold-0_seed-0"], out=tmp_path / "v.txt")
    assert (tmp_path / "v.txt").read_text() == "a fold-0_seed-0: healthy: why\n"
    with pytest.raises(InputError, match="b fold-0_seed-0: collapsed: why"):
        verdict.run(train=tmp_path, models=["a", "b"], fits=["fold-0_seed-0"], out=tmp_path / "w.txt")
    assert not (tmp_path / "w.txt").exists()
