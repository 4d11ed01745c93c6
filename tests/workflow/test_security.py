"""What comes in is data: nothing in a file, a name or a path is run, leads out of a folder, or becomes markup."""

import ast
import gzip
import json
import os
import pickle
import re
import shlex
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import simulated_tests
import tiny
import torch
import yaml
from project import CONFIG, ROOT, Project, copy_code
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError

from neurovae.associate import mixed, multivariable, omnibus, univariate
from neurovae.audit import confounds, nuisances, power, sites
from neurovae.cohort import check
from neurovae.errors import InputError
from neurovae.export import export
from neurovae.interpret.images import in_file, write_folder, write_maps
from neurovae.io import volumes
from neurovae.io.files import write_json, write_tsv
from neurovae.io.parquet import write_table
from neurovae.plan import config, frozen, graph, index
from neurovae.plan.bids import walk
from neurovae.predict import predict
from neurovae.preprocess import batch, extract, qc
from neurovae.preprocess.scan import read_canonical
from neurovae.report import page, results
from neurovae.report.figures import drawing
from neurovae.report.sections import participants
from neurovae.train import weights
from neurovae.train.engine import checkpoint
from neurovae.train.models import pca
from neurovae.train.search import study

NAMES = [
    "__import__('os').system('touch ran')", "a + b", 'Q("x") \\ y', "<img src=x onerror=alert(1)>", "=cmd|' /C calc'!A1",
    "$\\frac{1}{0}$", "$x^{$", "../../../up", "line\nbreak\ttab", "é漢 `touch ran`; $(touch ran)", '"quoted', "NA",
    "</script><script>alert(2)</script>", "{cohort} {fold} {nobody}", "@index", "n/a", "007",
]  # fmt: skip
BAD_IDS = ["../../up", "/etc", "..", "$(touch x)", "a;b", "a b", "a\n", "a'b", "<script>", "a{fold}", "", "é", "٣"]


class Bomb:
    """Runs a shell command where somebody unpickles it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """A file that would be there if anything had been run; it is also what `touch ran` makes."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "ran"
    assert not list(tmp_path.rglob("ran")), "something was run"


# --- files ---


def read_packed(path: Path) -> None:
    volumes.read_volumes(path, tiny.packed(path.parent / "packed")["rows"])


def read_rows(path: Path) -> None:
    volumes.read_volumes(tiny.packed(path.parent / "packed")["volumes"], path)


def read_state(path: Path) -> None:
    assert checkpoint.load(path.parent) is None, "a corrupted checkpoint was taken"
    raise InputError("named above")


def read_journal(path: Path) -> None:
    assert not study.load(path.parent).trials, "a line that is no JSON was taken"
    raise InputError("named above")


def read_table(path: Path) -> None:
    graph.refuse(index.look({"name": "x", "bids": str(path.parent), "scores": []}).problems)


READERS: dict[str, Callable[[Path], Any]] = {
    "volumes.npy": read_packed, "volumes.parquet": read_rows, "weights.safetensors": weights.load,
    "frozen.safetensors": frozen.description, "epoch-000001.safetensors": read_state, "journal.log": read_journal,
    "participants.tsv": read_table, "scan.nii.gz": read_canonical, "scan.nii": read_canonical,
}  # fmt: skip
PICKLES = {"pickle": pickle.dumps, "torch": None, "npy": None, "npz": None, "joblib in gzip": lambda bomb: gzip.compress(pickle.dumps(bomb))}  # fmt: skip


def hostile_file(path: Path, kind: str, mark: Path) -> None:
    bomb, made = Bomb(mark), PICKLES[kind]
    with path.open("wb") as file:
        if made:
            file.write(made(bomb))
        elif kind == "torch":
            torch.save(bomb, file)
        else:
            array = np.array([bomb], dtype=object)
            np.savez(file, a=array) if kind == "npz" else np.save(file, array, allow_pickle=True)


def test_the_bomb_goes_off_where_pickles_are_loaded(tmp_path: Path):
    hostile_file(tmp_path / "x.npy", "npy", tmp_path / "ran")
    np.load(tmp_path / "x.npy", allow_pickle=True)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("name", READERS)
def test_no_pickle_is_loaded_and_the_file_is_named(name: str, kind: str, tmp_path: Path, mark: Path, capsys):
    folder = tmp_path / "given"
    folder.mkdir()
    hostile_file(folder / name, kind, mark)
    with pytest.raises(InputError) as error:
        READERS[name](folder / name)
    assert name in f"{error.value}{capsys.readouterr().out}"


def test_yaml_makes_no_objects(tmp_path: Path, mark: Path):
    path = tmp_path / "my.yaml"
    path.write_text(f"cohort:\n  name: !!python/object/apply:os.system ['touch {mark}']\n")
    with pytest.raises(WorkflowError):
        load_configfile(str(path))
    with pytest.raises(yaml.constructor.ConstructorError, match="python/object"):
        config.refuse_repeats([str(path)])


def called(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


PROGRAMS = ("torch.export.load", "torch.jit.load")  # what the page on security says of pretrained encoders


def test_the_package_neither_unpickles_nor_evaluates_nor_opens_a_connection():
    runs = re.compile(r"(^|\.)(eval|exec|system|popen|read_pickle|unsafe_load|full_load|getoutput|from_formula)$")
    loads = re.compile(r"^(pickle|joblib|torch|marshal|shelve|dill)\.")
    nets = re.compile(
        r"^(socket|http|requests|ftplib|smtplib|webbrowser|aiohttp|urllib\.request|pickle|shelve|marshal)\b"
    )
    suspicious = re.compile(
        r"eval|exec|system|popen|pickle|load|shel|marshal|dill|getoutput|formula|socket|http|request|ftp|smtp"
    )
    for path in sorted((ROOT / "src" / "neurovae").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not suspicious.search(text):
            continue
        tree = ast.parse(text)
        for name, call in called(tree):
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert name == "model.eval" or not runs.search(name), f"{path}: {name}"
            if name == "torch.load":
                assert given["weights_only"] == "True", path
            elif path != ROOT / "src/neurovae/encode/programs.py" or name not in PROGRAMS:
                assert not (loads.match(name) and name.endswith((".load", ".loads"))), f"{path}: {name}"
            assert not {"allow_pickle", "shell"} & set(given), f"{path}: {name}"
            assert name != "yaml.load" or given["Loader"] in ("_Strict", "_FAST"), f"{path}: {name}"
        imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not [name for name in imported if nets.match(name)], path
    assert issubclass(config._Strict, yaml.SafeLoader) and config._FAST in (yaml.CSafeLoader, yaml.SafeLoader)


# --- names ---


def parts(named: Callable[[str], str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Cohort, latents and qc tables of 40 people seen twice; `named` gives a column's name or a level's."""
    rng = np.random.default_rng(0)
    people = 40
    z, age = rng.normal(size=(people, 2)), rng.uniform(20, 85, people)
    table = pd.DataFrame({"person": [f"sub-{k:03d}" for k in range(people)], "fold": np.arange(people) % 5})
    table["site"] = [named(f"site{k}") for k in rng.integers(0, 2, people)]
    table[named("years")], table[named("group")] = age, [named(f"level{k}") for k in rng.integers(0, 2, people)]
    table[named("memory")] = z[:, 0] + rng.normal(size=people)
    table[named("ill")] = (rng.random(people) < 0.5).astype(float)
    table = pd.concat([table.assign(session=f"ses-{k}") for k in range(2)], ignore_index=True)
    table[named("memory")] += 0.1 * rng.normal(size=len(table))
    table = table.assign(scan=table["person"] + "_" + table["session"], acquisition=None, run=None)
    latents = table[["scan", "person"]].assign(model="vae", fold=0, seed=1, split="test")
    mu = np.tile(z, (2, 1)) + 0.1 * rng.normal(size=(len(table), 2))
    return table, latents.assign(mu_000=mu[:, 0], mu_001=mu[:, 1]), table[["scan"]].assign(excluded=False)


def everything(folder: Path, named: Callable[[str], str], predicted: bool = True) -> dict[str, pd.DataFrame]:
    """All tables that tests and audits write, and those of predictions where they are asked for."""
    folder.mkdir()
    for name, table in zip(("cohort", "latents", "qc"), parts(named), strict=True):
        table.to_parquet(folder / f"{name}.parquet")
    (folder / "health.json").write_text(json.dumps({"verdict": "healthy", "reason": ""}))
    files: dict[str, Any] = {name: folder / f"{name}.parquet" for name in ("cohort", "latents", "qc")}
    files["health"] = folder / "health.json"
    declared: dict[str, Any] = {
        "scores": [{"name": named("memory"), "type": "continuous"}, {"name": named("ill"), "type": "binary"}],
        "confounds": [{"name": named("years"), "type": "continuous"}, {"name": named("group"), "type": "categorical"}],
    }
    out, draws = {name: folder / f"{name}_out.parquet" for name in OUT}, {"permutations": 19, "seed": 0}
    tables = {name: out[name] for name in ("glm", "spline", "curves", "permute")}
    simulated_tests.index(pd.read_parquet(files["latents"])).to_parquet(folder / "index.parquet")
    univariate.run(**files, index=folder / "index.parquet", **declared, **draws, **tables)
    multivariable.run(**files, **declared, out=out["multivariable"], interactions=2)
    omnibus.run(**files, **declared, out=out["omnibus"], directions=out["directions"], **draws)
    mixed.run(**files, **declared, out=out["mixed"], site="covariate", **draws)
    confounds.run(
        **files, **declared, out=out["confounds"], caveats=out["caveats"], volumes=None, min_variance_explained=0.05
    )
    sites.run(**files, confounds=declared["confounds"], out=out["sites"])
    power.run(cohort=files["cohort"], **declared, out=out["power"], latents=2, power=0.8)
    lists = {"latents": [files["latents"]], "health": [files["health"]], "weights": [folder / "none"]}
    if predicted:
        predict.run(
            **{**files, **lists}, **{**declared, "scores": declared["scores"][:1]}, permutations=1, seed=0, inner=2, bootstraps=5, out=out["predict"],
            predictions=out["predictions"], importance_table=out["importance"], svm_permutations=0, importance=1,
            harmonise="none", new_site="refuse",
        )  # fmt: skip
    return {name: pd.read_parquet(path) for name, path in out.items() if path.exists()}


OUT = ["glm", "spline", "curves", "multivariable", "permute", "omnibus", "directions", "mixed", "confounds", "caveats", "sites", "power",
       "predict", "predictions", "importance"]  # fmt: skip
ROLES = ["years", "group", "memory", "ill", "site0", "site1", "level0", "level1"]


def test_names_of_columns_and_levels_change_no_number(tmp_path: Path, mark: Path, monkeypatch):
    monkeypatch.setattr(predict.leakage, "refuse", lambda *given: None)  # there are no weights here
    plain = everything(tmp_path / "plain", lambda role: role)
    assert set(plain) == set(OUT)
    for turn in (0, 8):
        chosen = [NAMES[(turn + k) % len(NAMES)] for k in range(8)]
        levels = [name.replace("n/a", "n / a") for name in chosen[4:]]  # as a value, n/a is missing
        names = dict(zip(ROLES, [*chosen[:4], *sorted(levels[:2]), *sorted(levels[2:])], strict=True))
        found = everything(tmp_path / str(turn), names.__getitem__, predicted=turn == 8)
        for name, table in ((name, plain[name]) for name in found):
            numbers = table.select_dtypes("number")
            pd.testing.assert_frame_equal(found[name].select_dtypes("number"), numbers, check_exact=True)
            texts = table["score"].dropna().map(names) if "score" in table else pd.Series(dtype=object)
            assert list(found[name].get("score", texts).dropna()) == list(texts)


def test_names_reach_a_command_as_they_are_written(tmp_path: Path, mark: Path):
    """What bash takes a rule's command for, as a dry run prints it, holds each name, path and value to the letter."""
    project = Project(tmp_path / "it $(touch ran)" / "code")
    copy_code(project.folder)
    data = project.folder.parent / "bids 'q' \"d\" $(touch ran); `touch ran` &"
    bids(data, [f"sub-{k:02d}" for k in range(12)], len(NAMES))
    settings: dict[str, Any] = deepcopy(CONFIG)
    settings["cohort"] |= {"bids": str(data), "site": None, "confounds": []}
    settings["cohort"]["scores"] = [
        {"name": name, "column": f"s{k}", "type": "continuous"} for k, name in enumerate(NAMES)
    ]
    settings["train"]["models"] = [{"name": "vae", "kind": "vae", "n_latent": 3, "base_channels": 4, "epochs": 1}]
    project.write(settings)
    done = project.snakemake("-n", "-p", "--until", "extract", "cohort")
    assert done.returncode == 0, done.stdout[-3000:]
    commands = re.findall(r"Shell command: (.*?> \S+ 2>&1)$", done.stdout, flags=re.M | re.S)
    table = next(words for words in map(shlex.split, commands) if "neurovae.cohort.table" in words)
    given = json.loads(table[table.index("--cohort") + 1])
    assert [score["name"] for score in given["scores"]] == NAMES and given["bids"] == str(data)
    lists = [shlex.split(line.split("> results")[0]) for line in commands if line.startswith("printf")]
    scans = {path: key for words in lists for key, path in zip(words[2::4], words[3::4], strict=True)}
    assert scans == {str(path): path.parents[1].name for path in data.rglob("*_T1w.nii.gz")}


def bids(folder: Path, people: list[str], scores: int = 0) -> None:
    rng = np.random.default_rng(0)
    rows = ["\t".join(["participant_id", *(f"s{k}" for k in range(scores))])]
    for person in people:
        path = folder / person / "anat" / f"{person}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        path.touch()
        rows.append("\t".join([person, *(f"{value:.3f}" for value in rng.normal(size=scores))]))
    (folder / "participants.tsv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("path", ["a{fold}b", "a<results>b", "a\nb", "a\tb", "a\x1bb"])
def test_paths_that_snakemake_would_read_otherwise_are_refused(path: str):
    settings = config.validate({**deepcopy(CONFIG), "cohort": {**CONFIG["cohort"], "bids": path}}, config.load_schema())
    assert any("cohort.bids" in problem for problem in graph.paths(settings))
    settings["cohort"]["bids"] = '/data/it\'s "1" $(x); é'
    assert graph.paths(settings) == []


# --- ids ---


@pytest.mark.parametrize("name", [name for name in BAD_IDS if name != "a\n"] + ["-x", ".x", "a\nb"])
def test_a_cohort_or_model_of_such_a_name_is_refused(name: str):
    schema = config.load_schema()
    for place in ("cohort", "train"):
        settings = deepcopy(CONFIG)
        (settings["cohort"] if place == "cohort" else settings["train"]["models"][0])["name"] = name
        with pytest.raises(InputError, match=rf"{place}\.(models\.0\.)?name"):
            config.validate(settings, schema)
    with pytest.raises(InputError, match="suffix"):
        config.validate({**CONFIG, "cohort": {**CONFIG["cohort"], "suffix": name}}, schema)


@pytest.mark.parametrize("label", BAD_IDS)
def test_ids_are_labels_or_are_refused_by_name(label: str, tmp_path: Path):
    bids(tmp_path / "b", ["sub-01"])
    (tmp_path / "b" / "participants.tsv").write_text(
        f"participant_id\tsession_id\nsub-{label}\tn/a\nsub-01\tses-{label}\n"
    )
    found = index.look({"name": "x", "bids": str(tmp_path / "b"), "scores": []})
    stray = label.strip() != label  # a line break ends a row
    assert stray or len([line for line in found.problems if re.search("(participant|session)_id is", line)]) == 2
    assert all(scan.scan == "sub-01" for scan in found.scans)
    if label and "/" not in label and label != "..":
        for folder in (f"sub-{label}", f"sub-02/ses-{label}"):
            scan = tmp_path / "c" / folder / "anat" / f"{folder.replace('/', '_')}_T1w.nii.gz"
            scan.parent.mkdir(parents=True)
            scan.touch()
        walked = walk(str(tmp_path / "c"), "T1w")
        assert not walked.scans and sum("rename the folder" in line for line in walked.problems) == 2
    (tmp_path / "t.csv").write_text(
        f'participant_id,session,path\n"sub-{label}",,x.nii\nsub-01,"{label or "?"}",x.nii\n'
    )
    found = index.look({"name": "x", "table": str(tmp_path / "t.csv"), "scores": []})
    assert not found.scans and len([line for line in found.problems if "letters" in line or "such file" in line]) == 2


def test_a_path_that_would_break_a_list_is_refused(tmp_path: Path):
    names = ["a\tb.nii", "c\nd.nii", "e\x85f\u2028g.nii"]
    for name in names:
        (tmp_path / name).touch()
    rows = "".join(f'sub-{k},"{name}"\n' for k, name in enumerate(names))
    (tmp_path / "t.csv").write_text(f"participant_id,path\n{rows}")
    found = index.look({"name": "x", "table": str(tmp_path / "t.csv"), "scores": []})
    assert [scan.scan for scan in found.scans] == ["sub-2"]
    assert sum("control character" in line for line in found.problems) == 2
    (tmp_path / "list").write_text(f"sub-2\t{found.scans[0].path}\nsub-3\tx\n")
    assert [row["source"] for row in batch.read_list(tmp_path / "list")] == [found.scans[0].path, "x"]


def test_no_row_is_lost_after_a_cause_that_begins_with_a_quote(tmp_path: Path):
    causes = ["", '"odd.nii.gz: empty', 'a "b" c', "tab\there\nbreak\rreturn", "<b>"]
    rows = [{"scan": f"sub-{k}", "status": "ok", "cause": cause, "snr": k} for k, cause in enumerate(causes)]
    write_tsv(tmp_path / "m.tsv", rows, ["scan", "status", "cause", "snr"])
    wanted = [re.sub(r"[\t\n\r]", " ", cause) for cause in causes]
    assert [row["cause"] for row in batch.read_manifest(tmp_path / "m.tsv")] == wanted
    found = qc.read_manifest(tmp_path / "m.tsv")
    assert list(found["cause"]) == wanted and list(found["snr"]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", [*NAMES, "..", ".", "/etc/passwd", "C:\\x", "\0", "🧠" * 10])
def test_the_file_of_a_score_lies_in_its_folder(name: str, tmp_path: Path):
    path = Path(os.path.normpath(tmp_path / f"{in_file(name)}_map.nii.gz"))
    assert path.parent == tmp_path and "\0" not in str(path)
    path.touch()
    assert Path(path).exists() and not re.search(r"[\n\t<>&\"'`$;{}]", path.name)


def test_a_score_whose_name_is_too_long_for_a_file_is_refused_at_once(tmp_path: Path):
    bids(tmp_path / "b", [f"sub-{k:02d}" for k in range(12)], 1)
    cohort = {"name": "x", "bids": str(tmp_path / "b"), "folds": {"n": 5}}
    for name, refused in (("認知機能検査", False), ("認知機能検査" * 4, True), ("x" * 200, True)):
        found = check.check({**cohort, "scores": [{"name": name, "column": "s0", "type": "continuous"}]})
        assert any("too long" in line for line in found) == refused


@pytest.mark.parametrize("name", nuisances.GROUPS)
def test_a_confound_called_as_a_group_of_the_audit_is_refused(name: str, tmp_path: Path):
    bids(tmp_path / "b", [f"sub-{k:02d}" for k in range(12)], 1)
    entry = {"name": name, "column": "s0", "type": "continuous"}
    found = check.check({"name": "x", "bids": str(tmp_path / "b"), "folds": {"n": 5}, "confounds": [entry]})
    assert [line for line in found if f"'{name}'" in line and "another name" in line]


# --- report ---


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", NAMES)
def test_a_figure_shows_a_name_as_text(name: str):
    assert drawing.BLUE  # the house style is set where it is imported
    figure, axis = plt.subplots(figsize=(1, 1))
    texts = [axis.set_title(f"{name}, linear\nn 3"), axis.set_ylabel(name), axis.text(0, 0, name)]
    axis.set_yticks([0], [name])
    figure.canvas.draw()
    assert all(not text.get_parse_math() for text in texts) and texts[1].get_text() == name
    plt.close(figure)


def test_the_page_may_load_and_send_nothing():
    text = (page.ASSETS / "report.html.jinja").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy and policy[1].startswith("default-src 'none'")
    allowed = {word for rule in policy[1].split(";")[1:] for word in rule.split()[1:]}
    assert allowed == {"data:", "blob:", "'unsafe-inline'", "'wasm-unsafe-eval'"}
    for name in ("report.html.jinja", "viewer.html", "report.css", "report.js", "viewer.js"):
        text = (page.ASSETS / name).read_text(encoding="utf-8")
        assert not re.search(
            r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//|@import|fetch\(|XMLHttpRequest|sendBeacon", text
        ), name


def test_a_site_with_the_name_of_a_column_takes_no_column_away():
    people = pd.DataFrame({"site": ["n", "value", "n", "value"], "age": [50.0, 60.0, 70.0, 80.0]})
    settings = {"cohort": {"scores": [], "confounds": [{"name": "age", "type": "continuous"}]}}
    run = results.Run(Path("x"), [], "fold-0_seed-0", "", [], Path("x"), settings)
    row = participants.summary(run, people, ["age"]).iloc[0]
    assert row["n"] == 4 and row["value"].startswith("65")


def test_scores_called_by_numbers_keep_their_names(tmp_path: Path):
    pd.DataFrame({"score": ["007", "1.0"], "p": [0.1, 0.2]}).to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    assert list(results.read_tsv(tmp_path / "t.tsv")["score"]) == ["007", "1.0"]


# --- what is given away ---


def test_headers_of_scans_go_nowhere(tmp_path: Path):
    secret = b"Doe^Jane 1950"
    rng = np.random.default_rng(0)
    image = nib.Nifti1Image(np.pad(rng.uniform(1, 2, (40, 40, 40)), 4).astype(np.float32), np.diag([4, 4, 4, 1]))
    for field in ("descrip", "db_name", "aux_file", "intent_name"):
        image.header[field] = secret[: image.header[field].dtype.itemsize]
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", secret))
    nib.save(image, tmp_path / "scan.nii")
    assert (tmp_path / "scan.nii").read_bytes().count(secret[:8]) == 5
    read = read_canonical(tmp_path / "scan.nii")
    assert not read.header.extensions and secret[:8] not in read.to_bytes()
    (tmp_path / "list").write_text(f"sub-01\t{tmp_path / 'scan.nii'}\n")
    files = {"list": tmp_path / "list", "manifest": tmp_path / "m.tsv", "seconds": tmp_path / "s.tsv"}
    extract.run(**files, derivatives=tmp_path / "d", stamp="", method="none", nonfinite="fail", max_failed=0.0)
    made = [path for path in (tmp_path / "d").rglob("*") if path.is_file()] + [tmp_path / "m.tsv"]
    texts = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in made]
    assert len(made) == 3 and not any(secret[:8] in text or str(tmp_path).encode() in text for text in texts)


def test_an_exported_model_holds_no_id_no_digest_of_a_scan_and_no_path(tmp_path: Path):
    files, (array, split) = tiny.packed(tmp_path), tiny.cohort()
    own = {"model": tmp_path / "w.safetensors", "mask": files["mask"], "health": tmp_path / "health.json"}
    tensors, architecture, _ = pca.fit(array, split, tiny.MASK, seed=0, device="cpu", **tiny.LINEAR)
    people = {name: ["sub-01", "sub-02"] for name in volumes.SPLITS}
    meta = {"kind": "pca", "fold": 0, "seed": 0, "data_hash": "1", "people": people, "scans": {"sub-01": "loader"}}
    weights.save(own["model"], tensors, {**meta, "architecture": architecture, "searched": False, "options": {}})
    own["health"].write_text(json.dumps({"verdict": "healthy", "reason": "<script>", "caveats": []}))
    side = tmp_path / "derivatives" / "sub-01_desc-preproc_T1w.json"
    write_json(
        side,
        {
            "Normalisation": "zscore",
            "Images": {"sub-01.nii": "loader"},
            "Key": "loader",
            "Columns": {"a": str(tmp_path)},
        },
    )
    export.run(**own, derivatives=side.parent, out=tmp_path / "given")
    for path in (tmp_path / "given").iterdir():
        text = path.read_bytes().replace(b"sub-01_..._desc-preproc", b"")  # the card's example
        assert not any(word in text for word in (b"sub-", b"feed", b'scans\\"', str(tmp_path).encode())), path.name


@pytest.mark.parametrize("umask", [0o002, 0o027, 0o077])
def test_files_have_the_users_umask(umask: int, tmp_path: Path):
    before = os.umask(umask)
    try:
        tensors = {"a": np.zeros(3, np.float32)}
        weights.save(tmp_path / "w.safetensors", tensors, {})
        checkpoint.save(tmp_path / "state", 1, {"a": torch.zeros(3)}, {"epoch": 1})
        write_table(tmp_path / "t.parquet", pd.DataFrame({"a": [1]}))
        write_table(tmp_path / "t.tsv", pd.DataFrame({"a": [1]}))
        write_tsv(tmp_path / "u.tsv", [{"a": 1}], ["a"])
        write_json(tmp_path / "j.json", {})
        drawing.save(plt.figure(figsize=(1, 1)), tmp_path / "p.png")
        study.load(tmp_path / "study")
        with write_folder(tmp_path / "maps") as folder:
            nib.save(nib.Nifti1Image(tiny.MASK.astype(np.uint8), np.eye(4)), tmp_path / "m.nii.gz")
            write_maps(folder / "a.nii.gz", np.zeros(tiny.MASK.sum()), tmp_path / "m.nii.gz")
    finally:
        os.umask(before)
    found = {path.relative_to(tmp_path): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    wrong = {str(path): oct(mode) for path, mode in found.items() if mode & ~0o111 & 0o777 != 0o666 & ~umask & 0o777}
    assert len(found) >= 12 and not wrong


def test_every_dependency_has_one_version():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r'^    "([A-Za-z][^"]*)",$', text, flags=re.M)
    for path in sorted((ROOT / "envs").glob("*.yaml")):
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
        named += [name for entry in listed for name in (entry["pip"] if isinstance(entry, dict) else [entry])]
    loose = [name for name in named if name != "pip" and not re.fullmatch(r"[\w.-]+==?\d[\w.]*(\.\*)?", name)]
    assert len(named) > 40 and not loose
