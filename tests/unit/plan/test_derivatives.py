"""Images of fMRIPrep, CAT12, FSL-VBM and FreeSurfer, by the examples of docs/how-to/inputs.md: index and first steps."""

import re
import shlex
from pathlib import Path

import derivative_trees as trees
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from bids_tree import only

from neurovae.cohort.check import check
from neurovae.errors import InputError
from neurovae.plan import config, derivatives, graph, index, nifti, pattern, presets
from neurovae.preprocess import extract, grid, normalise, placement, qc, register
from neurovae.preprocess.names import in_space

PEOPLE = ["sub-01", "sub-02", "sub-03", "sub-04"]
TEXT = (Path(__file__).parents[3] / "docs" / "how-to" / "inputs.md").read_text(encoding="utf-8")
EXAMPLES = {e["cohort"]["name"]: e for e in map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))}
LAYOUTS = {"fmriprep": ("derivatives/fmriprep", trees.fmriprep), "grey": ("derivatives/fmriprep", trees.fmriprep),
           "cat12": ("cat12", trees.cat12), "vbm": ("vbm", trees.fsl_vbm), "freesurfer": ("freesurfer", trees.freesurfer)}  # fmt: skip


def example(name: str, **own: str) -> dict:
    """A documented configuration, validated, with three folds and other keys of the cohort."""
    given = EXAMPLES[name]
    cohort = {**given["cohort"], **own, "scores": [{"name": "age", "type": "continuous"}], "folds": {"n": 3}}
    return config.validate({**given, "cohort": cohort}, config.load_schema())


@pytest.fixture
def laid_out(tmp_path, monkeypatch, request) -> dict:
    """The folder of a tool in the working folder, and the documented configuration that reads it."""
    folder, lay_out = LAYOUTS[request.param]
    lay_out(tmp_path / folder, PEOPLE)
    trees.participants(tmp_path, PEOPLE)
    monkeypatch.chdir(tmp_path)
    return {"settings": example(request.param), "name": request.param}


def chain(settings: dict, scans: list, out: Path) -> pd.DataFrame:
    """Extract, register and normalise at 4 mm as the rules do, from the list that Snakemake writes."""
    texts = shlex.split(graph.lists({"0": scans})["0"])
    out.mkdir()
    rows = ["\t".join(texts[turn : turn + 4]) for turn in range(0, len(texts), 4)]
    (out / "list").write_text("\n".join(rows) + "\n")
    common = dict(derivatives=out, seconds=out / "s", stamp="x", max_failed=1.0)
    made, suffix = settings["preprocess"], settings["cohort"]["suffix"]
    extract.run(list=out / "list", manifest=out / "e.tsv", method=made["extract"]["method"], nonfinite="fail", **common)
    register.run(
        extracted=out / "e.tsv", list=out / "list", manifest=out / "r.tsv", suffix=suffix, bias_field=made["register"]["bias_field"],
        transform=made["register"]["transform"], template_mm=4, voxel_mm=4, nonfinite="fail", **common,
    )  # fmt: skip
    normalise.run(
        registered=out / "r.tsv",
        manifest=out / "n.tsv",
        suffix=suffix,
        method=made["normalise"]["method"],
        reference=None,
        voxel_mm=4,
        **common,
    )
    return qc.read_manifest(out / "n.tsv")


@pytest.mark.parametrize("laid_out", list(LAYOUTS), indirect=True)
def test_documented_examples(laid_out, tmp_path):
    """Each scan is found once, keeps its person through the chain, lies in place and passes the documented limits."""
    settings, name = laid_out["settings"], laid_out["name"]
    found = index.look(settings["cohort"])
    assert check(settings["cohort"], found) == [] and [scan.scan for scan in found.scans] == PEOPLE
    assert (None, "sub-99", f"participants.tsv, row 6: no {settings['cohort']['suffix']} scan") in found.excluded
    paths = [scan.path for scan in found.scans]
    transform = settings["preprocess"]["register"]["transform"]
    problems, notes = derivatives.check_space(settings["cohort"], paths, transform)
    assert problems == [] and len(notes) == (name == "vbm")
    table = chain(settings, found.scans, tmp_path / "out")
    assert (table["status"] == "ok").all(), table["cause"].tolist()
    limits = settings["preprocess"]["qc"]["thresholds"]
    judged = qc.apply_thresholds(table, {key: pair for key, pair in limits.items() if key in table})
    assert not judged["excluded"].any(), judged["reason"].tolist()
    assert table["offset"].max() < 1.0, table[["offset_x", "offset_y", "offset_z"]]
    inside = grid.brain_mask(4)
    source = trees.grey if settings["cohort"]["suffix"] == "probseg" else trees.brain
    given = np.array([source(turn).get_fdata()[inside] for turn, _ in enumerate(PEOPLE)])
    suffix = settings["cohort"]["suffix"]
    made = np.array(
        [
            nib.load(in_space(tmp_path / "out", scan, 4, f"desc-preproc_{suffix}.nii.gz")).get_fdata()[inside]
            for scan in PEOPLE
        ]
    )
    r = np.corrcoef(made - made.mean(0), given - given.mean(0))[:4, 4:]
    assert r.argmax(axis=1).tolist() == [0, 1, 2, 3] and r.diagonal().min() > 0.9, r


def test_own_keys_take_precedence_over_the_preset(tmp_path):
    """A pattern of one's own, a threshold and a key; the preset's other keys and defaults stay."""
    own = {"qc": {"thresholds": {"snr": [3, None]}}, "normalise": {"method": "zscore"}}
    cohort = {"name": "x", "preset": "cat12", "files": f"{tmp_path}/{{person}}.nii", "space": "IXI555"}
    made = config.validate({"cohort": cohort, "preprocess": own}, config.load_schema())
    assert made["cohort"]["files"] == cohort["files"] and made["cohort"]["space"] == "IXI555"
    assert made["cohort"]["suffix"] == "probseg" and made["preprocess"]["normalise"]["method"] == "zscore"
    assert made["preprocess"]["qc"]["thresholds"]["snr"] == [3, None]
    assert made["preprocess"]["qc"]["thresholds"]["mask_ml"] == [None, None]
    assert made["preprocess"]["extract"]["method"] == "none" and made["preprocess"]["batches"] == 16


def test_presets_of_the_schema_are_the_files():
    """Each name that the schema allows has its file, and each file a name; an unknown name is refused."""
    schema = config.load_schema()
    allowed = schema["properties"]["cohort"]["properties"]["preset"]["enum"]
    assert {*allowed} == {None, *(path.stem for path in presets.PRESETS.glob("*.yaml"))}
    cohort = config.validate({"cohort": {"name": "x", "preset": "cat12", "files": "nowhere"}}, schema)["cohort"]
    problem = only(derivatives.find(cohort)[1])
    assert "cohort.files: nowhere is not there; with cohort.preset: cat12, give the tool's" in problem
    with pytest.raises(InputError, match="cohort.preset: 'spm' is not one of"):
        config.validate({"cohort": {"name": "x", "preset": "spm", "files": "f"}}, schema)


def test_sessions_and_runs_of_fmriprep(tmp_path):
    """Entities of the scan form its key, those of the derivative do not; the widest pattern is refused."""
    root = trees.fmriprep(tmp_path / "f", PEOPLE[:1], session="ses-1")
    path = f"{root}/sub-*/**/{{bids}}_{trees.MNI}_desc-preproc_T1w.nii.gz"
    sources, problems = derivatives.find({"files": path})
    assert problems == [] and list(sources) == ["sub-01_ses-1"]
    sources, problems = derivatives.find({"files": f"{root}/sub-*/**/{{bids}}_*desc-preproc_T1w.nii.gz"})
    assert "sub-01_ses-1 is also" in only(problems) and "narrower" in problems[0]
    _, problems = derivatives.find({"files": path.replace("_res-2", "")})
    assert (
        "no file found as" in only(problems) and f"sub-01_ses-1_{trees.MNI}_desc-preproc_T1w.nii.gz" in problems[0]
    ), problems


def test_a_bids_source_refuses_derivatives(tmp_path):
    """`cohort.bids` on an fMRIPrep folder would take native and MNI images for two scans of everyone."""
    trees.fmriprep(tmp_path / "f", PEOPLE[:1])
    trees.participants(tmp_path / "f", PEOPLE[:1])
    problems = check({"name": "x", "bids": str(tmp_path / "f"), "folds": {"n": 3}})
    assert any("not a raw scan but a derivative; choose such files with cohort.files" in line for line in problems)


@pytest.mark.parametrize(
    "change, what",
    [
        (lambda root: (root / "subjects.txt").write_text("sub-01\nsub-02\nsub-03\n"), "subjects.txt: 3 rows, GM_mod_merg_s3.nii.gz has 4 volumes"),
        (lambda root: (root / "subjects.txt").write_text("sub-01\nsub-02\nsub-02\nsub-04\n"), "subjects.txt, row 3: sub-02 is also row 2"),
        (lambda root: (root / "subjects.txt").write_text("sub-01\nCON N01\nsub-03\nsub-04\n"), "subjects.txt, row 2: 'CON N01' is no ID"),
        (lambda root: (root / "subjects.txt").unlink(), "subjects.txt cannot be read"),
        (lambda root: (root / "stats/GM_mod_merg_s3.nii.gz").write_bytes(b"x" * 400), "GM_mod_merg_s3.nii.gz cannot be read"),
    ],
)  # fmt: skip
def test_a_list_that_does_not_fit_its_file(tmp_path, monkeypatch, change, what):
    """A list of another length would give everyone another person's brain."""
    monkeypatch.chdir(tmp_path)
    change(trees.fsl_vbm(tmp_path / "vbm", PEOPLE))
    assert what in only(derivatives.find(example("vbm")["cohort"])[1])


@pytest.mark.parametrize(
    "more, what",
    [
        ({"files": "mri/mwp1*.nii"}, "no {bids} or {person} in it"),
        ({"files": "mri/mwp1{id}.nii"}, "{id} is no field"),
        ({"files": "mri/mwp1{person}.nii"}, "{person} is '01_T1w'; IDs are letters and digits"),
        ({"files": "mri/mwp1{bids}_T1w.nii", "masks": "mri/{person}.nii"}, "its fields are not those of cohort.files"),
        ({"files": "report/cat_{person}_T1w.xml"}, "no image that can be read"),
        ({"files": "mri/mwp3{person}_T1w.nii"}, "no file found as mri/mwp3{person}_T1w.nii; there are mwp2sub-0"),
        ({"masks": "mri/wp0{bids}_T1w.nii"}, "cohort.masks: no file found"),
        ({"space": "MNI152NLin6Asym", "files": "mri/mwp1{bids}_T1w.nii", "volumes": "x"}, "then cohort.files is the path of one 4-D file"),
    ],
)  # fmt: skip
def test_patterns_that_do_not_fit(tmp_path, monkeypatch, more, what):
    """Each is named with what was found and what to write."""
    trees.cat12(tmp_path, PEOPLE[:2])
    monkeypatch.chdir(tmp_path)
    problems = derivatives.find({"files": "mri/mwp1{bids}_T1w.nii", **more})[1]
    assert any(what in line for line in problems), problems


def test_a_mask_is_missing_or_of_another_grid(tmp_path):
    """Missing masks are named before the first job, masks on other voxels when the scan is read."""
    root = trees.fmriprep(tmp_path / "f", PEOPLE[:2])
    path = f"{root}/sub-*/anat/{{bids}}_{trees.MNI}_desc-{{0}}.nii.gz"
    cohort = {"files": path.replace("{0}", "preproc_T1w"), "masks": path.replace("{0}", "brain_mask")}
    lost = root / "sub-02/anat" / f"sub-02_{trees.MNI}_desc-brain_mask.nii.gz"
    lost.rename(tmp_path / "mask.nii.gz")
    assert only(derivatives.find(cohort)[1]).startswith("sub-02: no mask as ")
    shifted = nib.load(tmp_path / "mask.nii.gz")
    affine = shifted.affine.copy()
    affine[0, 3] += trees.MM
    nib.save(nib.Nifti1Image(np.asarray(shifted.dataobj), affine), lost)
    settings = example("fmriprep", **cohort)
    table = chain(settings, index.look({"name": "x", **cohort}).scans, tmp_path / "out")
    assert (
        table["status"].tolist() == ["ok", "failed"]
        and "the mask has shape" in table["cause"][1]
        and "-78" in table["cause"][1]
    )


@pytest.mark.parametrize("axis, mm", [(0, 4.0), (1, -4.0), (2, 4.0)])
def test_a_shift_of_one_voxel_is_measured(tmp_path, axis, mm):
    """Voxels moved by one under an unchanged header: the offset has its axis, sign and size."""
    shift = tuple(mm if turn == axis else 0.0 for turn in range(3))
    root = trees.fmriprep(tmp_path / "f", PEOPLE[:2], shift=shift)
    path = f"{root}/sub-*/anat/{{bids}}_{trees.MNI}_desc-{{0}}.nii.gz"
    cohort = {"files": path.replace("{0}", "preproc_T1w"), "masks": path.replace("{0}", "brain_mask")}
    table = chain(example("fmriprep", **cohort), index.look({"name": "x", **cohort}).scans, tmp_path / "out")
    measured = table[["offset_x", "offset_y", "offset_z"]].to_numpy()
    assert np.abs(measured - shift).max() < 1.0, measured


def test_a_cohort_beside_the_template_and_a_scan_beside_its_cohort():
    """A common shift of 2 mm is named once, a scan of its own by its key; noise as in real cohorts is not."""
    noise = np.random.default_rng(0).normal(0, 0.2, (20, 3))
    names = [f"sub-{turn:02d}" for turn in range(20)]

    def table(shift: tuple[float, float, float]) -> pd.DataFrame:
        return pd.DataFrame(noise + shift, columns=["offset_x", "offset_y", "offset_z"]).assign(scan=names, status="ok")

    assert placement.offset_warnings(table((0, 0, 0.4))) == []
    assert "median offset is x +0.0, y -2.0, z +0.5 mm" in only(placement.offset_warnings(table((0, -2, 0.4))))
    odd = table((0, 0, 0))
    odd.loc[7, "offset_x"] += 2
    assert only(placement.offset_warnings(odd)).startswith("sub-07: its offset from the template is x +")


@pytest.mark.parametrize("contrast", ["t1", "grey", "inverted"])
def test_offsets_between_voxels(contrast):
    """Half a voxel too, for other contrasts than T1; the template itself lies at 0."""
    image = {"t1": trees.brain(0), "grey": trees.grey(0), "inverted": trees.brain(0)}[contrast]
    data = image.get_fdata()
    data = np.where(data > 0, data.max() * 1.2 - data, 0) if contrast == "inverted" else data
    assert placement.offset(data, 4.0)["offset"] < 0.8
    half = (data + np.roll(data, 1, 1)) / 2
    assert abs(placement.offset(half, 4.0)["offset_y"] - placement.offset(data, 4.0)["offset_y"] - 2.0) < 0.8


@pytest.mark.parametrize(
    "name, given, problems, notes",
    [
        ("sub-01_space-MNI152NLin2009cAsym_T1w.nii", None, "", ""),
        ("sub-01_space-MNI152NLin6Asym_T1w.nii", None, "", "differ by millimetres"),
        ("sub-01_space-T1w_desc-x_T1w.nii", None, "native space", ""),
        ("sub-01_ses-1_desc-preproc_T1w.nii.gz", None, "no space- in its name", ""),
        ("sub-01_label-GM_probseg.nii.gz", None, "no space- in its name", ""),
        ("sub-01_desc-preproc_T1w.nii.gz", "MNI152NLin2009cAsym", "", ""),
        ("mwp1sub-01.nii", None, "", "is not known; name it in cohort.space"),
    ],
)  # fmt: skip
def test_the_template_is_named_and_compared(name, given, problems, notes):
    """By the entity of the name or by the configuration; native space is refused, another template named."""
    found = derivatives.check_space({"space": given}, [f"d/{name}"], "none")
    assert problems in " ".join(found[0]) and notes in " ".join(found[1])
    assert bool(found[0]) == bool(problems) and bool(found[1]) == bool(notes)


@pytest.mark.parametrize(
    "more, what",
    [
        ({"cohort": {"masks": None}}, "method is mask, but there are none"),
        ({"preprocess": {"extract": {"method": "deepbet"}}}, "method is deepbet; set it to mask"),
        ({"cohort": {"suffix": "probseg"}}, "cohort.files end in _T1w, cohort.suffix is probseg"),
    ],
)
def test_sections_that_contradict_each_other(tmp_path, monkeypatch, more, what):
    """Masks without the method that uses them, and a suffix that is not that of the files."""
    (tmp_path / "derivatives" / "fmriprep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    settings = example("fmriprep")
    settings = {key: {**part, **more.get(key, {})} for key, part in settings.items()}
    assert what in only(derivatives.consistent(settings)) and derivatives.consistent(example("fmriprep")) == []


def test_a_space_that_contradicts_the_names(tmp_path):
    """The name of a file and cohort.space say two things: refused with both."""
    root = trees.fmriprep(tmp_path / "f", PEOPLE[:1])
    path = f"{root}/sub-*/anat/{{bids}}_{trees.MNI}_desc-preproc_T1w.nii.gz"
    assert "is in space MNI152NLin2009cAsym, cohort.space is MNI152NLin6Asym" in only(
        index.look({"files": path, "space": "MNI152NLin6Asym"}).problems
    )


def test_lists_of_fsl_vbm_name_files_in_several_ways(tmp_path, monkeypatch):
    """As `ls struc/*_struc.nii.gz` of scans named by BIDS, and as its own steps name them."""
    monkeypatch.chdir(tmp_path)
    root = trees.fsl_vbm(tmp_path / "vbm", PEOPLE)
    for form in ("/d/struc/{}_T1w_struc.nii.gz", "{}_struc_GM_to_template_GM_mod.nii.gz", "{}_T1w"):
        (root / "subjects.txt").write_text("\n".join(form.format(person) for person in PEOPLE) + "\n")
        sources, problems = derivatives.find(example("vbm")["cohort"])
        assert problems == [] and [(key, one.volume) for key, one in sources.items()] == list(
            zip(PEOPLE, "0123", strict=True)
        )


def test_patterns(tmp_path):
    """Fields, folders, hidden files, and a field that stands twice."""
    for place in ("a/sub-1/x_1.nii", "a/sub-1/x_2.nii", "a/b/c/sub-2/x_2.nii", "a/sub-1/.x_1.nii", "a/[1]/x_1.nii"):
        trees.save_text(tmp_path / place, "")
    find = lambda text: [path[len(str(tmp_path)) + 1 :] for path in pattern.find(f"{tmp_path}/{text}")]  # noqa: E731
    assert find("a/sub-{person}/x_{person}.nii") == ["a/sub-1/x_1.nii"]
    assert find("a/**/sub-{person}/x_*.nii") == ["a/b/c/sub-2/x_2.nii", "a/sub-1/x_1.nii", "a/sub-1/x_2.nii"]
    assert find("a/[1]/x_{person}.nii") == ["a/[1]/x_1.nii"] and find("a/x/{person}.nii") == []


def test_shape_of_a_header(tmp_path):
    """Both versions and byte orders of NIfTI, packed or not, without nibabel."""
    data = np.zeros((3, 4, 5, 6), np.int16)
    for kind, ending in ((nib.Nifti1Image, ".nii"), (nib.Nifti1Image, ".nii.gz"), (nib.Nifti2Image, ".nii.gz")):
        nib.save(kind(data, np.eye(4)), tmp_path / f"x{ending}")
        assert nifti.shape(str(tmp_path / f"x{ending}")) == (3, 4, 5, 6)
    big = nib.Nifti1Image(data, np.eye(4), nib.Nifti1Header(endianness=">"))
    nib.save(big, tmp_path / "big.nii")
    assert nifti.shape(str(tmp_path / "big.nii")) == (3, 4, 5, 6)


def test_needs_no_third_party_package_to_find_files():
    """Found at parse time, where only the standard library is there."""
    for module in (derivatives, pattern, nifti):
        assert not re.search(r"import (numpy|nibabel|pandas)", Path(module.__file__).read_text())
