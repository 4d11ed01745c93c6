"""Every stage after training, by the functions behind the rules, on a results folder of one or several models."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import tiny

from neurovae import findings
from neurovae.associate import mixed, multivariable, omnibus, univariate
from neurovae.audit import confounds, dimension, power, sites, stability
from neurovae.interpret import counterfactual, jacobian, maps, samples, seeds, traverse
from neurovae.io import latent_table
from neurovae.predict import compare, predict, voxels
from neurovae.predict import summary as predictions
from neurovae.report.plots import associate, audit, interpret, train
from neurovae.report.plots import predict as plot_predict

PEOPLE = 50
FIT = "fold-0_seed-0"
SCORES = [{"name": "motor", "type": "continuous"}, {"name": "ill", "type": "binary"}]
CONFOUNDS = [{"name": "age", "type": "continuous"}]
DECLARED: dict[str, Any] = {"scores": SCORES, "confounds": CONFOUNDS}
DRAWS = {"permutations": 99, "seed": 0}


def packed(results: Path) -> dict[str, Path]:
    """The packed files of the tiny cohort, where a run has them, with its folds."""
    folder = results / "preprocess"
    paths = tiny.packed(folder, PEOPLE)
    for key, name in (("volumes", "volumes.npy"), ("rows", "volumes.parquet"), ("mask", "mask.nii.gz")):
        paths[key] = paths[key].rename(folder / name)
    nib.save(nib.Nifti1Image(tiny.MASK.astype(np.uint8), np.diag([4.0, 4, 4, 1])), paths["mask"])
    return paths


def files(results: Path, model: str = "pca") -> dict[str, Path]:
    """What most commands read."""
    return {
        "cohort": results / "cohort/cohort.parquet",
        "latents": results / f"latents/{model}/{FIT}/latents.parquet",
        "qc": results / "preprocess/qc.parquet",
        "health": results / f"train/{model}/{FIT}/health.json",
    }


def people(results: Path, rows: pd.DataFrame, z: np.ndarray) -> None:
    """Cohort and quality tables: of the latents z (people, latents), motor follows the first, `ill` the second."""
    rng, z = np.random.default_rng(0), z / z.std(axis=0)
    table = rows[["scan", "person", "session", "acquisition", "run"]].assign(site=["A", "B"] * (PEOPLE // 2))
    table = table.assign(fold=np.arange(PEOPLE) % 5, age=rng.uniform(40, 80, PEOPLE), session_order=1)
    table["motor"] = z[:, 0] + rng.normal(size=PEOPLE)
    table["ill"] = (z[:, 1] + rng.logistic(size=PEOPLE) > 0).astype(float)
    (results / "cohort").mkdir()
    table.to_parquet(files(results)["cohort"])
    pd.DataFrame({"scan": [], "person": [], "reason": []}).to_csv(
        results / "cohort/excluded.tsv", sep="\t", index=False
    )
    checks = rows[["scan"]].assign(status="ok", excluded=False, reason="", template_r=0.9, snr=9.0)
    checks["head_size"] = rng.normal(1, 0.02, PEOPLE)
    checks.to_parquet(results / "preprocess/qc.parquet")
    checks.to_csv(results / "preprocess/qc.tsv", sep="\t", index=False)
    (results / "interpret").mkdir()
    labels = np.where(tiny.MASK, 1 + (np.indices(tiny.SHAPE)[2] > 7), 0).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, np.diag([4.0, 4, 4, 1])), results / "interpret/atlas.nii.gz")
    (results / "interpret/atlas.tsv").write_text(
        "index\tname\themisphere\tvoxels\n1\tlower half\tboth\t9\n2\tupper half\tboth\t9\n"
    )


def associated(results: Path, model: str = "pca") -> None:
    """Every table of tests."""
    given, out = files(results, model), results / f"associate/{model}/{FIT}"
    out.mkdir(parents=True)
    tables = {name: out / f"{name}.parquet" for name in ("glm", "spline", "curves", "permute")}
    index = given["latents"].with_name(latent_table.INDEX)
    univariate.run(**given, **DECLARED, **DRAWS, **tables, index=index)
    multivariable.run(**given, **DECLARED, interactions=3, out=out / "multivariable.parquet")
    omnibus.run(**given, **DECLARED, **DRAWS, out=out / "omnibus.parquet", directions=out / "directions.parquet")
    mixed.run(**given, **DECLARED, **DRAWS, site="covariate", out=out / "mixed.parquet")


def audited(results: Path, packed: dict[str, Path], model: str = "pca") -> None:
    """The sensitivity checks of one model."""
    given, out = files(results, model), results / f"audit/{model}/{FIT}"
    fold = out.parent / "fold-0"
    for folder in (out, fold):
        folder.mkdir(parents=True)
    confounds.run(
        **given, **DECLARED, volumes=None, min_variance_explained=0.05, out=out / "confounds.parquet",
        caveats=out / "caveats.parquet",
    )  # fmt: skip
    sites.run(**given, confounds=CONFOUNDS, out=out / "sites.parquet")
    tables = results / f"associate/{model}/{FIT}"
    of_tests = {name: [tables / f"{name}.parquet"] for name in ("glm", "omnibus", "directions")}
    written = {"out": "stability", "matches": "matches", "replicated": "replicated"}
    stability.run(
        latents=[given["latents"]], weights=[results / f"train/{model}/{FIT}/weights.safetensors"], mask=packed["mask"],
        **of_tests,
        **{option: fold / f"{name}.parquet" for option, name in written.items()},
    )  # fmt: skip


def merged(results: Path, packed: dict[str, Path], models: list[str], latents: int) -> None:
    """Dimension, power and the findings of all models; the first is the primary one."""
    cohort, tables = files(results)["cohort"], [files(results, model)["latents"] for model in models]
    dimension.run(**packed, latents=tables, out=results / "audit/dimension.parquet")
    power.run(cohort=cohort, **DECLARED, latents=latents, power=0.8, out=results / "audit/power.parquet")
    names = ("associations", "omnibus", "multivariable", "mixed")
    (results / "findings").mkdir()
    findings.run(
        associate=results / "associate", audit=results / "audit", cohort=cohort, qc=files(results)["qc"], models=models,
        fits=[FIT], primary=models[0], **{name: results / f"findings/{name}.tsv" for name in names},
    )  # fmt: skip


ASKED = {**DECLARED, "inner": 2, "bootstraps": 20, "permutations": 3, "svm_permutations": 0, "new_site": "error",
         "seed": 0}  # fmt: skip


def predicted(results: Path, model: str = "pca") -> None:
    """The predictions from one model."""
    given, out = files(results, model), results / f"predict/{model}/seed-0"
    out.mkdir(parents=True)
    both = {"cohort": given["cohort"], "qc": given["qc"]}
    predict.run(
        **both, **ASKED, latents=[given["latents"]], weights=[results / f"train/{model}/{FIT}/weights.safetensors"],
        index=[given["latents"].with_name("latent_index.parquet")], health=[given["health"]], importance=2, harmonise="none", out=out / "predict.parquet",
        predictions=out / "predictions.parquet", importance_table=out / "importance.parquet",
    )  # fmt: skip


def compared(results: Path, packed: dict[str, Path], models: list[str]) -> None:
    """The predictions from voxels, and all models against each other's."""
    both, beside = {name: files(results)[name] for name in ("cohort", "qc")}, results / "predict/voxels"
    beside.mkdir()
    voxels.run(**both, **ASKED, **packed, out=beside / "predict.parquet", predictions=beside / "predictions.parquet")
    folder, named = results / "predict", {"models": models, "seeds": [0]}
    compare.run(folder=folder, **named, baselines={}, out=folder / "comparisons.parquet")
    predictions.run(folder=folder, **both, **named, out=folder / "predictions.tsv")


def decoded(results: Path, packed: dict[str, Path], model: str = "pca") -> None:
    """Every map of one model."""
    given, out = files(results, model), results / f"interpret/{model}/{FIT}"
    weights, mask = results / f"train/{model}/{FIT}/weights.safetensors", packed["mask"]
    one = {"model": weights, "latents": given["latents"], "mask": mask, "health": given["health"]}
    atlas, rows = results / "interpret/atlas.nii.gz", {name: packed[name] for name in ("volumes", "rows")}
    out.mkdir(parents=True)
    traverse.run(
        **one, atlas=atlas, quantiles=[0.05, 0.5, 0.95], draws=20, seed=0, maps=out / "traversals",
        out=out / "traversals.parquet",
    )  # fmt: skip
    maps.run(
        **given, **DECLARED, **DRAWS, model=weights, mask=mask, atlas=atlas, out_folder=out / "maps",
        out=out / "maps.parquet", regions=out / "regions.parquet",
    )  # fmt: skip
    jacobian.run(
        maps=out / "maps", table=out / "maps.tsv", mask=mask, atlas=atlas, out_folder=out / "jacobian",
        out=out / "jacobian.tsv",
    )  # fmt: skip
    samples.run(
        **one, **rows, samples=2, path=[], max_people=20, seed=0, maps=out / "samples", out=out / "realism.parquet"
    )
    counterfactual.run(
        **given, **DECLARED, **rows, model=weights, mask=mask, people=[], steps=[-1, 1],
        maps=out / "counterfactuals", out=out / "counterfactuals.parquet",
    )  # fmt: skip
    (out.parent / "fold-0").mkdir()
    seeds.run(
        maps=[out / "maps"], tables=[out / "maps.parquet"], mask=mask, out_folder=out.parent / "fold-0/seeds",
        out=out.parent / "fold-0/seeds.parquet",
    )  # fmt: skip


def drawn(results: Path, models: list[str], decoded: list[str]) -> None:
    """The report's figures; those of decoded volumes of some models only."""
    (results / "report").mkdir()
    shared = {"results": results, "models": models}
    train.run(**shared, decoded=decoded, trained=[], fit=FIT, searches={}, folds=[])
    associate.run(**shared, **DECLARED, fit=FIT, most=4)
    audit.run(**shared, fit=FIT)
    plot_predict.run(**shared, seed=0, baselines=decoded)
    interpret.run(**shared, decoded=decoded, fit=FIT)
