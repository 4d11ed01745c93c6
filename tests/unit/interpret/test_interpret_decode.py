"""Traversals, samples, paths and counterfactuals of a linear decoder against their closed forms, and their pictures."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tiny

from neurovae import latents as latents_rule
from neurovae.errors import InputError
from neurovae.interpret import counterfactual, realism, samples, traverse
from neurovae.interpret.decoder import Decoder, read
from neurovae.interpret.images import read_maps
from neurovae.io.volumes import data_hash, masked, read_volumes
from neurovae.report.figures import counterfactuals as counterfactuals_picture
from neurovae.report.figures import samples as samples_picture
from neurovae.report.figures import traversals as traversals_picture
from neurovae.train import weights
from neurovae.train.models import pca

pytestmark = pytest.mark.filterwarnings("error")
PEOPLE, LATENTS = 40, 3
QUANTILES = [0.05, 0.5, 0.95]
SCORES = [{"name": "motor", "type": "continuous"}, {"name": "diagnosis", "type": "binary"}]
CONFOUNDS = [{"name": "age", "type": "continuous"}]
Files = dict[str, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A PCA of the tiny cohort with its latents, verdict, regions (left, right) and scores."""
    folder = tmp_path_factory.mktemp("decode")
    made = tiny.packed(folder, PEOPLE)
    affine = np.diag([-4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [30, -40, -20]
    mask = nib.Nifti1Image(tiny.MASK.astype(np.uint8), affine)
    nib.save(mask, made["mask"])
    volumes, table = read_volumes(made["volumes"], made["rows"])
    split = np.array(tiny.roles(PEOPLE))
    tensors, architecture, _ = pca.fit(
        volumes, split, tiny.MASK, seed=0, device="cpu", n_latent=LATENTS, flip=False, blur=0.0
    )
    meta = {"kind": "pca", "architecture": architecture, "options": {}, "fold": 0, "seed": 0}
    meta |= {"data_hash": data_hash(table)}
    meta |= {"people": {name: list(table.loc[split == name, "person"]) for name in ("training", "validation", "test")}}
    weights.save(folder / "w.safetensors", tensors, meta)
    given = {key: made[key] for key in ("volumes", "rows", "mask")}
    latents_rule.run(
        **given,
        model=folder / "w.safetensors",
        name="pca-3",
        out=folder / "l.parquet",
        index=folder / "latent_index.parquet",
    )
    (folder / "h.json").write_text(json.dumps({"verdict": "healthy", "reason": ""}))
    labels = np.where(tiny.MASK, np.where(np.arange(16) < 8, 2, 1)[:, None, None], 0)
    nib.save(nib.Nifti1Image(labels.astype(np.int16), affine), folder / "atlas.nii.gz")
    regions = pd.DataFrame({"index": [1, 2], "name": "half", "hemisphere": ["left", "right"], "voxels": 1})
    regions.to_csv(folder / "atlas.tsv", sep="\t", index=False)
    rng = np.random.default_rng(1)
    mu = pd.read_parquet(folder / "l.parquet")["mu_000"]
    cohort = table.drop(columns="preproc_sha256").assign(site="n/a", age=rng.normal(60, 8, PEOPLE))
    motor = mu / mu.std() + rng.normal(0, 0.5, PEOPLE)
    cohort.assign(motor=motor, diagnosis=(motor > 0.2).astype(float)).to_parquet(folder / "c.parquet")
    pd.DataFrame({"scan": table["scan"], "excluded": False}).to_parquet(folder / "q.parquet")
    paths = {"model": "w.safetensors", "latents": "l.parquet", "health": "h.json", "atlas": "atlas.nii.gz"}
    paths |= {"cohort": "c.parquet", "qc": "q.parquet"}
    return made | {key: folder / name for key, name in paths.items()}


def of(files: Files, *names: str) -> Files:
    return {name: files[name] for name in ("model", "latents", "mask", "health", *names)}


def decoder(files: Files) -> Decoder:
    return read(**of(files))


def traversed(files: Files, folder: Path, **changed: Any) -> tuple[pd.DataFrame, Path]:
    given = of(files, "atlas") | {"quantiles": QUANTILES, "draws": 50, "seed": 0} | changed
    traverse.run(**given, maps=folder / "maps", out=folder / "t.parquet")
    return pd.read_parquet(folder / "t.parquet"), folder / "maps"


def sampled(files: Files, folder: Path, **changed: Any) -> tuple[pd.DataFrame, Path]:
    given = of(files, "volumes", "rows") | {"samples": 5, "path": [], "max_people": 100, "seed": 0} | changed
    samples.run(**given, maps=folder / "maps", out=folder / "s.parquet")
    return pd.read_parquet(folder / "s.parquet"), folder / "maps"


def changed_by(files: Files, folder: Path, **changed: Any) -> tuple[pd.DataFrame, Path]:
    given = of(files, "volumes", "rows", "cohort", "qc") | {"scores": SCORES, "confounds": CONFOUNDS}
    given |= {"people": [], "steps": [-2, -1, 1, 2]} | changed
    counterfactual.run(**given, maps=folder / "maps", out=folder / "c.parquet")
    return pd.read_parquet(folder / "c.parquet"), folder / "maps"


def test_traversal_of_a_linear_decoder_is_its_component_times_the_value(files, tmp_path):
    table, maps = traversed(files, tmp_path)
    model = decoder(files)
    values, components = np.quantile(model.mu, QUANTILES, axis=0), model.tensors["components"]
    left = np.asarray(nib.Nifti1Image.from_filename(files["atlas"]).dataobj)[tiny.MASK] == 1
    for k in range(LATENTS):
        change = read_maps(maps / f"mu_{k:03d}_change.nii.gz", tiny.MASK)
        wanted = (values[:, [k]] - model.mu[:, k].mean()) * components[k]
        np.testing.assert_allclose(change, wanted, atol=1e-5)
        told = json.loads((maps / f"mu_{k:03d}.json").read_text())
        np.testing.assert_allclose(told["Values"], values[:, k])
        assert told["SpatialReference"] == "MNI152NLin2009aSym"
        rows = table[table["latent"] == f"mu_{k:03d}"].set_index("hemisphere")
        width = (values[-1, k] - values[0, k]) * components[k]
        np.testing.assert_allclose(rows.loc["left", "change"], width[left].mean(), atol=1e-5)
        np.testing.assert_allclose(rows.loc["right", "rms"], np.sqrt(np.mean(width[~left] ** 2)), rtol=1e-4)
        np.testing.assert_allclose(rows["rms_latent"], np.sqrt(np.mean(width**2)), rtol=1e-4)
        assert rows["rms"].idxmax() == rows["rank"].idxmin()
    centre = read_maps(maps / "mu_000.nii.gz", tiny.MASK) - read_maps(maps / "mu_000_change.nii.gz", tiny.MASK)
    np.testing.assert_allclose(centre, np.tile(model.decode(model.mu.mean(axis=0)[None]), (3, 1)), atol=1e-5)
    latents = table.drop_duplicates("latent")
    np.testing.assert_allclose(latents["fraction_of_change"].sum(), 1)
    assert latents.sort_values("order")["rms_latent"].is_monotonic_decreasing


def test_a_variance_that_nothing_holds_gives_no_interval(files, tmp_path):
    table, maps = traversed(files, tmp_path)
    assert not (maps / "posterior.nii.gz").exists() and table["posterior_low"].isna().all()
    assert table["interval"].str.startswith("none").all()


def test_posterior_interval_has_its_closed_form(files, tmp_path):
    latents = pd.read_parquet(files["latents"])
    logvar = [-1.0, 0.5, -3.0]
    for k, value in enumerate(logvar):
        latents[f"logvar_{k:03d}"] = value + np.linspace(-1, 1, PEOPLE)  # its median is the value
    latents.assign(logvar_calibrated=True).to_parquet(tmp_path / "l.parquet")
    table, maps = traversed(files, tmp_path, latents=tmp_path / "l.parquet", draws=2000)
    model = decoder(files)
    low, high = read_maps(maps / "posterior.nii.gz", tiny.MASK)
    spread = np.sqrt(np.exp(logvar) @ model.tensors["components"] ** 2)
    np.testing.assert_allclose((high - low).mean(), 2 * 1.96 * spread.mean(), rtol=0.03)
    np.testing.assert_allclose((high + low) / 2, model.decode(model.mu.mean(axis=0)[None])[0], atol=0.2 * spread.max())
    assert set(table["interval"]) == {"posterior interval, given this decoder"}
    assert ((table["posterior_low"] < 0) & (table["posterior_high"] > 0)).all()


@pytest.mark.parametrize("quantiles", [[0.5], [0.9, 0.1], [-0.1, 0.5], [0.5, 1.2]])
def test_quantiles_beyond_the_data_are_refused(files, tmp_path, quantiles):
    with pytest.raises(InputError, match="quantiles"):
        traversed(files, tmp_path, quantiles=quantiles)
    assert not list(tmp_path.iterdir())


def test_nearest_equals_brute_force():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 7)), rng.normal(size=(35, 7))
    whole = np.sqrt(np.mean((a[:, None] - b[None]) ** 2, axis=2))
    found = realism.nearest(a, b)
    np.testing.assert_allclose(found.distance, whole.min(axis=1))
    np.testing.assert_array_equal(found.which, whole.argmin(axis=1))
    own = np.sqrt(np.mean((b[:, None] - b[None]) ** 2, axis=2)) + np.diag(np.full(35, np.inf))
    np.testing.assert_allclose(realism.nearest(b, b, same_rows=True).distance, own.min(axis=1))


def test_a_training_person_is_a_copy_and_far_out_is_far(files):
    model = decoder(files)
    first = traverse.people(model.latents)
    training = first.index[first["split"] == "training"]
    z = np.stack([model.mu[training[5]], 6 * model.mu[training[5]], model.mu[training[0]] + 1e-4])
    packed = read_volumes(files["volumes"], files["rows"])
    rows = pd.DataFrame(samples.compare_with_people(model, first, {"sample": model.decode(z)}, packed, 100, 0))
    planted = rows[rows["kind"] == "sample"]
    assert planted["duplicate"].tolist() == [True, False, True]
    assert planted["nearest_reconstruction"].iloc[0] == first.loc[training[5], "scan"]
    assert planted["reconstruction_distance"].iloc[0] < 1e-6 and planted["reconstruction_ratio"].iloc[1] > 2
    assert planted["reconstruction_percentile"].tolist()[:2] == [0, 100]
    made, own = rows[rows["kind"] == "held-out reconstruction"], rows[rows["kind"] == "held-out scan"]
    assert len(made) == len(own) == (first["split"] == "test").sum()
    np.testing.assert_allclose(made["reconstruction_ratio"].median(), 1)
    np.testing.assert_allclose(own["scan_ratio"].median(), 1)
    assert (made["reconstruction_distance"] >= planted["duplicate_below"].iloc[0]).all()  # no real person is a copy
    assert (made["scan_distance"].to_numpy() < own["scan_distance"].to_numpy()).all()  # what is smooth looks near


def test_distances_are_those_of_volumes_on_disk(files):
    model = decoder(files)
    first = traverse.people(model.latents)
    packed = read_volumes(files["volumes"], files["rows"])
    row = samples.compare_with_people(model, first, {"sample": model.decode(np.zeros((1, LATENTS)))}, packed, 100, 0)[0]
    scans = masked(packed[0][first.index[first["split"] == "training"]], tiny.MASK)
    wanted = np.sqrt(np.mean((scans - model.tensors["mean"]) ** 2, axis=1)).min()
    np.testing.assert_allclose(row["scan_distance"], wanted, rtol=1e-5)


def test_prior_is_normal_with_a_divergence_and_else_the_training_peoples(files):
    model = decoder(files)
    first = traverse.people(model.latents)
    z, prior = samples.draw(model, first, 20000, np.random.default_rng(0))
    mu = first.loc[first["split"] == "training", model.names].to_numpy()
    assert prior == samples.FITTED
    np.testing.assert_allclose(np.cov(z.T), np.cov(mu.T), atol=0.05 * np.cov(mu.T).max())
    np.testing.assert_allclose(z.mean(axis=0), mu.mean(axis=0), atol=0.03 * mu.std())
    for meta in ({"architecture": {"kl": True}}, {"architecture": {"kl": False}, "options": {"divergence": "mmd"}}):
        held = Decoder(model.tensors, meta, model.mask, model.latents, "healthy", "")
        z, prior = samples.draw(held, first, 20000, np.random.default_rng(0))
        assert prior == samples.NORMAL
        np.testing.assert_allclose(np.cov(z.T), np.eye(LATENTS), atol=0.05)


def test_path_runs_from_one_reconstruction_to_the_other(files, tmp_path):
    table, maps = sampled(files, tmp_path)
    model = decoder(files)
    ends = table.loc[table["kind"] == "path", "scan"].iloc[0].split(" to ")
    held = model.latents[model.latents["split"] == "test"].set_index("scan")[model.names]
    apart = np.linalg.norm(held.to_numpy()[:, None] - held.to_numpy()[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(held.loc[ends[0]] - held.loc[ends[1]]), apart.max())
    steps = read_maps(maps / "path.nii.gz", tiny.MASK)
    assert len(steps) == samples.STEPS
    np.testing.assert_allclose(steps[[0, -1]], model.decode(held.loc[ends].to_numpy()), atol=1e-6)
    np.testing.assert_allclose(steps[3], steps[[0, -1]].mean(axis=0), atol=1e-5)  # this decoder is linear
    again, _ = sampled(files, tmp_path / "again")
    pd.testing.assert_frame_equal(table, again)


def test_path_between_people_asked_for(files, tmp_path):
    table, _ = sampled(files, tmp_path, path=["sub-03", "sub-01"], samples=1)
    assert set(table.loc[table["kind"] == "path", "scan"]) == {"sub-03 to sub-01"}
    with pytest.raises(InputError, match="give the two"):
        sampled(files, tmp_path, path=["sub-03"])
    with pytest.raises(InputError, match="did you mean sub-03"):
        sampled(files, tmp_path, path=["sub-03", "sub-003"])


def test_so_many_people_are_compared_at_most(files, tmp_path):
    table, _ = sampled(files, tmp_path, max_people=4)
    assert table["training_people"].unique() == [4] and table["held_out_people"].unique() == [4]
    assert (table["kind"] == "held-out scan").sum() == 4


def test_counterfactual_of_a_linear_decoder_is_the_same_for_everyone(files, tmp_path):
    table, maps = changed_by(files, tmp_path)
    volumes, rows = read_volumes(files["volumes"], files["rows"])
    model, cohort = decoder(files), pd.read_parquet(files["cohort"])
    motor = table[table["score"] == "motor"]
    assert motor["scan"].nunique() == 3 and motor["step"].tolist() == [-2, -1, 0, 1, 2] * 3
    for part, wanted in zip((motor[i : i + 5] for i in (0, 5, 10)), (0.1, 0.5, 0.9), strict=True):
        gap = (cohort["motor"] - np.quantile(cohort["motor"], wanted)).abs()
        assert part["scan"].iloc[0] == cohort.loc[gap.idxmin(), "scan"]
    differences = []
    for file, part in motor.groupby("file"):
        frames = read_maps(maps / file, tiny.MASK)
        own = volumes[rows.index[rows["scan"] == part["scan"].iloc[0]][0]]
        np.testing.assert_array_equal(frames[2], own[tiny.MASK].astype(np.float32))  # bit for bit
        differences.append(frames - frames[2])
    np.testing.assert_allclose(differences[0], differences[1], atol=2e-6)
    by_hand = np.array([1.0, -0.5, 2.0])
    told = {"score": "any", "scan": "sub-07", "unit": "", "file": "any.nii.gz"}
    counterfactual.write_person(tmp_path, model, (volumes, rows), files["mask"], told, by_hand, [0.0, 1.0])
    frames = read_maps(tmp_path / "any.nii.gz", tiny.MASK)
    np.testing.assert_allclose(frames[1] - frames[0], by_hand @ model.tensors["components"], atol=2e-6)


def test_counterfactual_follows_the_shift_given_the_confounds(files, tmp_path):
    table, maps = changed_by(files, tmp_path, scores=SCORES[:1], confounds=[], people=["sub-02"], steps=[1])
    model, cohort = decoder(files), pd.read_parquet(files["cohort"])
    inside = (model.latents["split"] == "training").astype(float)  # split is a confound of its own
    x = np.column_stack([np.ones(PEOPLE), inside, (cohort["motor"] - cohort["motor"].mean()) / cohort["motor"].std()])
    shift = np.linalg.lstsq(x, model.mu, rcond=None)[0][2]
    frames = read_maps(maps / table["file"].iloc[0], tiny.MASK)
    wanted = shift @ model.tensors["components"]
    np.testing.assert_allclose(frames[1] - frames[0], wanted, atol=1e-5)
    row = table[table["step"] == 1].iloc[0]
    np.testing.assert_allclose(row["rms"], np.sqrt(np.mean(wanted**2)), rtol=1e-4)
    affine = nib.Nifti1Image.from_filename(files["mask"]).affine
    at = np.linalg.inv(affine) @ [*row[["x", "y", "z"]].astype(float), 1]
    place = np.flatnonzero((np.argwhere(tiny.MASK) == np.rint(at[:3])).all(axis=1))[0]
    np.testing.assert_allclose([wanted[place], np.abs(wanted).max()], [row["largest"], abs(row["largest"])], atol=1e-5)


def test_binary_score_goes_to_the_other_class_alone(files, tmp_path):
    table, _ = changed_by(files, tmp_path, people=["sub-01", "sub-02", "sub-03", "sub-04"], scores=SCORES[1:])
    steps = table.groupby("scan").agg(value=("value", "first"), steps=("step", list))
    assert {0.0, 1.0} == set(steps["value"])
    assert all(row.steps == ([-1, 0] if row.value else [0, 1]) for row in steps.itertuples())


def test_steps_say_which_score_they_lead_to_and_whether_anybody_has_it(files, tmp_path):
    cohort = pd.read_parquet(files["cohort"])
    rng = np.random.default_rng(2)
    bent = np.clip(np.round(27.5 + 2.5 * rng.normal(size=PEOPLE)), 10, 30)  # like MMSE: many at the top
    cohort.assign(mmse=bent, falls=rng.poisson(2, PEOPLE)).to_parquet(tmp_path / "cohort.parquet")
    cohort = pd.read_parquet(tmp_path / "cohort.parquet").set_index("scan")
    scores = [{"name": "mmse", "type": "bounded", "bounds": [0, 30]}, {"name": "falls", "type": "count"}, SCORES[0]]
    table, _ = changed_by(files, tmp_path, cohort=tmp_path / "cohort.parquet", scores=scores)
    for name, values in cohort[["mmse", "falls", "motor"]].items():
        part = table[table["score"] == name]
        np.testing.assert_allclose(part["target"], part["value"] + part["step"] * values.std(ddof=1), rtol=1e-9)
        assert (part["beyond"][part["step"] == 0] == "").all()
        outside = (part["target"] < values.min()) | (part["target"] > values.max())
        assert ((part["beyond"] != "") == outside).all() and outside.any()
    high = table[(table["score"] == "mmse") & (table["target"] > 30)]
    low = table[(table["score"] == "falls") & (table["target"] < 0)]
    assert len(high) and set(high["beyond"]) == {"above the maximum score, 30"}
    assert len(low) and set(low["beyond"]) == {"below the minimum score, 0"}
    far = table[(table["score"] == "motor") & (table["beyond"] != "")]
    assert far["beyond"].str.contains("^(?:below the cohort's minimum|above the cohort's maximum), ").all()


def test_a_value_that_is_not_known_leads_nowhere():
    assert counterfactual.beyond(np.nan, {"type": "count"}, pd.Series([1.0, 2.0])) == ""


def test_panels_name_their_score_in_orange_where_it_cannot_be(files, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(counterfactuals_picture, "save", lambda figure, out: figures.append(figure))
    scores = [{"name": "motor", "type": "continuous"}, SCORES[1]]
    table, maps = changed_by(files, tmp_path, people=["sub-03"], steps=[0.01, 40], scores=scores)
    same = {"name": "pca-3", "mask": files["mask"], "table": tmp_path / "c.parquet", "maps": maps}
    counterfactuals_picture.draw(**same, most=2, out=tmp_path / "c.png")
    plt.close(figures[0])
    titles = {axis.get_title(): axis.title.get_color() for axis in figures[0].axes if axis.get_title()}
    near, far = table.loc[table["score"] == "motor", "target"].iloc[1:]
    own, nearer = (next(title for title in titles if title.startswith(start)) for start in ("own scan", "+0.01 SD"))
    assert titles[own] == titles[nearer] == "black" and f"{near:.3g}" in nearer
    (orange,) = [title for title, colour in titles.items() if colour == counterfactuals_picture.ORANGE]
    assert orange.startswith("+40 SD") and f"{far:.3g}" in orange


def test_unknown_scan_is_named_with_those_spelt_alike(files, tmp_path):
    with pytest.raises(InputError, match="'sub-7'.*did you mean sub-.7"):
        changed_by(files, tmp_path, people=["sub-7"])


def test_a_stopped_model_gives_a_row_and_no_maps(files, tmp_path):
    (tmp_path / "h.json").write_text(json.dumps({"verdict": "collapsed", "reason": "knows the mean"}))
    for name, make in {"t": traversed, "s": sampled, "c": changed_by}.items():
        table, maps = make(files, tmp_path / name, health=tmp_path / "h.json")
        assert table[["status", "reason", "verdict"]].to_numpy().tolist() == [
            ["not tested", "knows the mean", "collapsed"]
        ]
        assert not list(maps.iterdir())
        assert [path.name for path in (tmp_path / name).iterdir() if path.name.startswith(".")] == []


def test_pictures_show_colour_where_something_changes(files, tmp_path):
    parts = {name: tmp_path / name for name in "tsc"}
    _, maps = traversed(files, parts["t"], quantiles=[0.1, 0.9])
    same = {"name": "pca-3", "mask": files["mask"]}
    pictures = {name: tmp_path / f"{name}.png" for name in "tsc"}
    files_of = {"table": parts["t"] / "t.parquet", "maps": maps}
    traversals_picture.draw(**same, **files_of, tests=[], most=1, out=pictures["t"])
    sampled(files, parts["s"])
    files_of = {"table": parts["s"] / "s.parquet", "maps": parts["s"] / "maps"}
    samples_picture.draw(**of(files, "volumes", "rows"), **files_of, name="pca-3", out=pictures["s"])
    changed_by(files, parts["c"], people=["sub-03"], steps=[2])
    files_of = {"table": parts["c"] / "c.parquet", "maps": parts["c"] / "maps"}
    counterfactuals_picture.draw(**same, **files_of, most=2, out=pictures["c"])
    for picture in pictures.values():
        pixels = plt.imread(picture)[..., :3]
        assert np.mean(np.ptp(pixels, axis=2) > 0.3) > 0.001


def test_latents_are_drawn_by_their_smallest_p_then_by_their_change():
    rows = pd.DataFrame(
        {"latent": ["mu_000", "mu_001", "mu_002"], "order": [1, 2, 3], "fraction_of_change": [0.6, 0.3, 0.1]}
    )
    tests = pd.DataFrame({"latent": ["mu_001", "mu_002", "mu_002"], "score": ["a", "a", "b"], "status": "ok"})
    tests = tests.assign(p_maxt=[0.2, 0.5, 0.01], statistic=[1.0, 2, 3])
    found = traversals_picture.strongest(rows, [tests])
    assert [row["latent"] for row in found] == ["mu_002", "mu_001", "mu_000"]
    assert found[0]["text"] == "b: max-T p = 0.01" and found[2]["text"] == "60 % of decoded change"


def test_slices_go_through_what_changes():
    change = np.zeros(tiny.SHAPE)
    change[5, 9, 7] = -3
    assert traversals_picture.busiest(change, tiny.MASK) == (5, 9, 7)
    change[2, 0, 0] = 9  # where no brain is to be seen
    brain = tiny.MASK.copy()
    brain[:, 0] = False
    assert traversals_picture.busiest(change, brain)[1] == 9
