"""A pretrained encoder in the workflow: its jobs, its command, and errors before the first job."""

import json
import shutil
from copy import deepcopy
from typing import Any

import encoders
from project import CONFIG, Copy, Project


def placed(project: Project, kind: str = "onnx", size: int = 12, /, **changes: Any) -> None:
    """An encoder's folder beside the project, of which a dry run reads the card and the checksum alone."""
    folder = project.folder.parent / "encoder"
    folder.mkdir(exist_ok=True)
    file = folder / {"onnx": "e.onnx", "autoencoderkl": "w.safetensors"}[kind]
    file.write_bytes(b"weights")
    (folder / "arguments.json").write_text(json.dumps(encoders.KL))
    encoders.card(file, kind, size, **changes)
    config = deepcopy(CONFIG)
    config["train"] = {"models": [{"name": "e", "kind": "pretrained", "path": "../encoder", "n_latent": 3}]}
    config["interpret"] = {"models": ["e"]}
    project.write(config)


def of_model(jobs: set[str]) -> set[str]:
    return {job.split()[0] for job in jobs if job.endswith(" e")}


def test_the_jobs_of_an_encoder_with_and_without_a_decoder(prepared: Project, elsewhere: Copy) -> None:
    project = elsewhere(prepared)
    placed(project)
    jobs = project.plan()
    tested = {
        "encode", "train", "health", "latents", "univariate", "multivariable", "omnibus", "mixed", "confounds", "sites",
        "stability", "predict", "maps", "seeds",
    }  # fmt: skip
    assert of_model(jobs) == tested and "train pca-3" in jobs and "encode pca-3" not in jobs
    placed(project, "autoencoderkl", encoders.KL_SIZE)
    assert of_model(project.plan()) == tested | {"traverse", "samples", "counterfactual", "jacobian"}
    project.write(CONFIG)
    assert not [job for job in project.plan() if job.startswith("encode")]


def test_the_command_has_the_card_and_the_digest_of_what_it_says(prepared: Project, elsewhere: Copy) -> None:
    project = elsewhere(prepared)
    placed(project)
    done = project.snakemake("-n", "-p", "results/tiny/encode/e/embeddings.parquet")
    assert "--encoder ../encoder/encoder.yaml" in done.stdout and "neurovae.encode.encode" in done.stdout


def test_a_faulty_card_ends_the_dry_run(prepared: Project, elsewhere: Copy) -> None:
    project = elsewhere(prepared)
    placed(project, input_space="native", sha256="0" * 64)
    done = project.snakemake("-n")
    assert done.returncode != 0
    for words in ("train.models 'e': ../encoder/encoder.yaml: input.space is native", "the checksum of e.onnx is"):
        assert words in done.stdout
    shutil.rmtree(project.folder.parent / "encoder")
    assert "../encoder: no such file or folder; write ../encoder/encoder.yaml" in project.snakemake("-n").stdout
