"""The training engine: kills, checkpoints, processes, accumulation, memory, streams, clipping and the loss's terms."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from tiny import MASK, NETWORK, PLAIN, SETTINGS, SHAPE, cohort, packed
from torch import Tensor
from training import command, written

from neurovae.errors import InputError
from neurovae.io.volumes import masked
from neurovae.train import fit, weights
from neurovae.train.engine import checkpoint, devices, loader, loop, processes, rng, step
from neurovae.train.engine.data import data_range, gather, intensities
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.losses.ssim import dssim
from neurovae.train.models import vae
from neurovae.train.models.network import VAE

CPU = torch.device("cpu")
SOURCE = Path(fit.__file__).parents[2]
DRAWN = {**SETTINGS, "divergence": "mmd", "mmd_weight": 1.0, "free_bits": 0.3, "sigma": "learned", "jitter": 1.0, "mixup": 0.5, "epochs": 6, "patience": 6}  # fmt: skip
SHORT = {**DRAWN, "epochs": 3}
TERMS = {
    "kl": {"beta": 5.0},
    "free bits": {"beta": 5.0, "free_bits": 0.02},
    "mmd": {"divergence": "mmd", "mmd_weight": 0.01, "beta": 0.0},
}
KILLER = """
import os, signal, sys
from neurovae.cli import cli
from neurovae.train.engine import checkpoint
from neurovae.train.engine import loop
from neurovae.train import fit
name, where, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
del sys.argv[1:4]
checkpoint.EVERY, fit.THREADS = 0.0, 1
if name == "again":
    sys.exit(cli(fit.run))
module, function = {"step": (loop, "gradients"), "write": (os, "replace")}[where]
inner = getattr(module, function)
def counted(*arguments, **more):
    global count
    count -= 1
    if not count:
        os.kill(os.getpid(), getattr(signal, name))
    return inner(*arguments, **more)
setattr(module, function, counted)
cli(fit.run)
"""
SHARED = """
import json, sys
import numpy as np, torch
sys.path.insert(0, sys.argv[2])
from tiny import MASK, cohort
from neurovae.train.engine import processes
from neurovae.train.models import vae
torch.set_num_threads(1)
for i, options in enumerate(json.loads(sys.argv[1])):
    volumes, split = cohort(options.pop("people"))
    tensors, _, history = vae.fit(volumes, split, MASK, seed=0, device="cpu", **options)
    np.savez(f"{sys.argv[3]}/{i}-{processes.rank()}.npz", loss=[row["loss"] for row in history], **tensors)
"""


def environment() -> dict[str, str]:
    """One thread, and this package."""
    return {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def run(files: dict[str, Path], folder: Path, options: dict[str, Any], code: str = "c") -> tuple[bytes, bytes]:
    """The same command in this process."""
    out = {"out": folder / "w.safetensors", "history": folder / "h.parquet", "state": folder / "state"}
    fit.run(**files, **out, kind="vae", fold=0, seed=5, device="cpu", options=options, code=code)
    return written(folder)


@pytest.fixture(scope="module", autouse=True)
def single_thread() -> Iterator[None]:
    """Other work on the machine would make several wait for each other."""
    before = torch.get_num_threads(), fit.THREADS
    torch.set_num_threads(1)
    fit.THREADS = 1
    yield
    torch.set_num_threads(before[0])
    fit.THREADS = before[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], tuple[bytes, bytes]]:
    """A packed cohort, and what a training that nobody interrupts writes."""
    folder = tmp_path_factory.mktemp("whole")
    files = packed(folder)
    return files, run(files, folder, DRAWN)


def script(arguments: list[str], *how: str) -> subprocess.CompletedProcess[str]:
    """The command with a checkpoint after each epoch, killed by itself ("SIGKILL", "step", "14") or not ("again", ...)."""
    called = [sys.executable, "-c", KILLER, *how, *arguments]
    return subprocess.run(called, env=environment(), capture_output=True, text=True)


@pytest.fixture(scope="module")
def killed(whole: tuple, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves that is killed in the second step of its fourth epoch."""
    folder = tmp_path_factory.mktemp("killed")
    done = script(command(whole[0], folder, DRAWN), "SIGKILL", "step", "14")
    assert done.returncode == -9, done.stderr
    assert not (folder / "w.safetensors").exists()
    names = sorted(path.name for path in folder.glob("state/*/*/*"))
    assert names == ["epoch-000002.safetensors", "epoch-000003.safetensors", "fixed.safetensors"]
    return folder


def test_a_killed_training_goes_on_and_ends_with_the_same_bits(whole: tuple, killed: Path, tmp_path: Path) -> None:
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    again = script(command(whole[0], tmp_path, DRAWN), "again", "", "0")
    assert again.returncode == 0, again.stderr
    assert "going on after epoch 3, as found in" in again.stdout
    assert written(tmp_path) == whole[1]
    assert not list((tmp_path / "state").glob("*"))


def test_one_that_is_terminated_while_a_checkpoint_is_written_too(
    whole: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = script(command(whole[0], tmp_path, DRAWN), "SIGTERM", "write", "4")
    assert done.returncode == -15, done.stderr
    names = sorted(path.name.split(".", 2)[-1] for path in tmp_path.glob("state/*/*/.*"))
    assert names == ["epoch-000003.safetensors"]  # half-written
    capsys.readouterr()
    assert run(whole[0], tmp_path, DRAWN) == whole[1]
    assert "going on after epoch 2, as found in" in capsys.readouterr().out
    assert not list((tmp_path / "state").glob("*"))


class Stopped(Exception):
    """Ends a training where a test wants it."""


def interrupted(folder: Path, options: dict[str, Any], after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for so many epochs, with a checkpoint after each."""

    def watch(rows: list[dict[str, Any]]) -> None:
        if rows[0]["epoch"] == after:
            raise Stopped

    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    with pytest.raises(Stopped):
        vae.fit(*cohort(), MASK, seed=5, device="cpu", state=folder, watch=watch, **options)


def goes_on(folder: Path, options: dict[str, Any]) -> tuple[dict[str, np.ndarray], str]:
    """Weights and history of a training that goes on in a folder."""
    tensors, _, history = vae.fit(*cohort(), MASK, seed=5, device="cpu", state=folder, **options)
    return tensors, json.dumps(history, sort_keys=True)


def same(one: tuple[dict[str, np.ndarray], str], other: tuple[dict[str, np.ndarray], str]) -> bool:
    """The same bits?"""
    return one[1] == other[1] and all(one[0][name].tobytes() == other[0][name].tobytes() for name in one[0])


@pytest.mark.parametrize("options", [SHORT, {**SETTINGS, "linear": "none", "warmup": 2}])
def test_every_epoch_can_be_gone_on_from(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = goes_on(tmp_path / "none", options)
    for after in (1, 2, 3):
        folder = tmp_path / str(after)
        interrupted(folder, options, after, monkeypatch)
        found = sorted(path.name for path in folder.iterdir())
        epochs = [f"epoch-{epoch:06d}.safetensors" for epoch in (after - 1, after) if epoch]
        assert found == [*epochs, "fixed.safetensors"]
        assert same(goes_on(folder, options), expected)


def damage(path: Path, how: str) -> None:
    """One flipped bit, half of the file, or nothing of it."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"bit": bytes(content), "half": bytes(content[: len(content) // 2]), "empty": b""}[how])


@pytest.mark.parametrize(
    ("how", "bad", "said"),
    [
        ("bit", ["epoch-000002"], "going on after epoch 1"),
        ("half", ["epoch-000002"], "going on after epoch 1"),
        ("empty", ["epoch-000002"], "going on after epoch 1"),
        ("bit", ["epoch-000001", "epoch-000002"], ""),
        ("bit", ["fixed"], ""),
    ],
)
def test_a_corrupted_checkpoint_is_named_and_the_one_before_it_used(
    how: str,
    bad: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected, folder = goes_on(tmp_path / "none", SHORT), tmp_path / "state"
    interrupted(folder, SHORT, 2, monkeypatch)
    for stem in bad:
        damage(folder / f"{stem}.safetensors", how)
    capsys.readouterr()
    assert same(goes_on(folder, SHORT), expected)
    text = capsys.readouterr().out
    assert all(f"{folder}/{stem}.safetensors: a corrupted checkpoint" in text for stem in bad)
    assert said in text and ("going on" in text) == bool(said)


@pytest.mark.parametrize("changed", ["options", "code", "data"])
def test_a_checkpoint_of_other_options_code_or_data_is_not_used(
    changed: str, whole: tuple, killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    files = dict(whole[0])
    if changed == "data":
        table = pd.read_parquet(files["rows"])
        files["rows"] = tmp_path / "v.parquet"
        table.assign(preproc_sha256=["other", *table["preproc_sha256"][1:]]).to_parquet(files["rows"])
    options = {**DRAWN, "beta": 1.5} if changed == "options" else DRAWN
    capsys.readouterr()
    run(files, tmp_path, options, code="other" if changed == "code" else "c")
    assert "going on" not in capsys.readouterr().out
    assert not list((tmp_path / "state").glob("*"))  # what the killed one left is removed too


def test_checkpoints_are_not_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(tmp_path, {**DRAWN, "epochs": 2}, 2, monkeypatch)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert content[8:10] == b'{"'  # length of the header, then JSON
        with safe_open(path, framework="numpy") as file:
            assert json.loads(file.metadata()["neurovae"]).keys() == {"digest", "meta"}
    with safe_open(tmp_path / "epoch-000002.safetensors", framework="numpy") as file:
        names = list(file.keys())
    assert {name.split(".")[0] for name in names} == {"best", "model", "optimiser", "queue"}


# One process, two, and a batch in parts


def many(options: dict[str, Any]) -> dict[str, Any]:
    """Nothing drawn for a process or part; 55 people are 33 in training: batches of 32 and of 1."""
    return {
        **SETTINGS,
        **PLAIN,
        "linear": "none",
        "batch": 32,
        "epochs": 4,
        "patience": 4,
        "learning_rate": 2e-3,
        **options,
    }


def apart(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Norm of the difference of all that is trained, relative to what training changed of the last layers."""
    trained = [name for name in one if name.startswith(("encoder.", "decoder."))]
    last = [name for name in trained if np.abs(one[name]).max() < 0.1]  # they begin at zero
    assert last
    difference = sum(float(np.square(one[name] - other[name]).sum()) for name in trained)
    return (difference / sum(float(np.square(one[name]).sum()) for name in last)) ** 0.5


@pytest.fixture(scope="module")
def singles() -> list[tuple[dict[str, np.ndarray], list[dict[str, Any]]]]:
    """Weights and history of one process, batches in one part."""
    fits = [vae.fit(*cohort(55), MASK, seed=0, device="cpu", **many(options)) for options in TERMS.values()]
    return [(tensors, history) for tensors, _, history in fits]


def test_two_processes_of_16_are_one_of_32(singles: list, tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(SHARED)
    options = json.dumps([{"people": 55, **many(options)} for options in TERMS.values()])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    shared = [str(tmp_path / "shared.py"), options, str(Path(__file__).parents[2] / "helpers"), str(tmp_path)]
    done = subprocess.run([*torchrun, *shared], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for i, (tensors, history) in enumerate(singles):
        found = [dict(np.load(tmp_path / f"{i}-{rank}.npz")) for rank in (0, 1)]
        losses = [part.pop("loss") for part in found]
        assert all(np.array_equal(found[0][name], found[1][name]) for name in tensors)
        assert apart(tensors, found[0]) < 1e-5
        assert np.allclose(losses[0], [row["loss"] for row in history], rtol=1e-5)


def test_the_command_of_two_processes_trains_and_one_of_them_writes(tmp_path: Path) -> None:
    files = packed(tmp_path)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = command(files, tmp_path, {**SETTINGS, "epochs": 2})
    done = subprocess.run(
        [*torchrun, "-m", "neurovae.train.fit", *arguments], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 2/2") == 1 and done.stdout.count("are kept") == 1
    assert len(weights.load(tmp_path / "w.safetensors")[0]) > 10 and not list((tmp_path / "state").glob("*"))


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_two_parts_of_16_are_one_of_32(singles: list, noise: float) -> None:
    for (tensors, history), options in zip(singles, TERMS.values(), strict=True):
        options = {**many(options), "noise": noise, "samples": 1 + 2 * bool(noise)}
        if noise:
            tensors, _, history = vae.fit(*cohort(55), MASK, seed=0, device="cpu", **options)
        found, _, rows = vae.fit(*cohort(55), MASK, seed=0, device="cpu", **{**options, "accumulate": 2})
        assert apart(tensors, found) < 1e-5
        assert np.allclose([row["loss"] for row in rows], [row["loss"] for row in history], rtol=1e-5)


def test_other_terms_give_other_weights(singles: list) -> None:
    for tensors, history in singles:
        losses = [row["loss"] for row in history if row["split"] == "validation"]
        assert np.argmin(losses) >= 3, losses  # the weights that are compared are of several steps
        assert apart(tensors, singles[0][0]) > 1e-3 or tensors is singles[0][0]


def test_processes_agree_on_a_number_and_one_process_is_the_identity() -> None:
    tensors = [torch.ones(2), torch.arange(3.0)]
    processes.total(tensors)
    processes.first(tensors)
    assert tensors[0].tolist() == [1, 1] and tensors[1].tolist() == [0, 1, 2] and processes.agree(7)
    assert processes.rank() == 0 and processes.start(CPU) == (0, 1, CPU)


# Memory, streams, seeds, clipping

GIB = 2**30


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((32, 32, 2, 66, 80), ("32 scans at a time", "66.0 of 80.0 GiB", "2.00 GiB or more for each", "about 16 at a time", "accumulate: 2 ")),
        ((16, 32, 2, 66, 80), ("16 scans", "4.00 GiB", "about 8 at a time", "accumulate: 4 ")),
        ((8, 8, 20, 76, 80), ("8 scans", "20.0 GiB before", "about 4 at a time", "accumulate: 2 ")),
        ((8, 8, 60, 76, 80), ("about 2 at a time", "accumulate: 4 ")),
        ((4, 4, 70, 76, 80), ("about 1 at a time", "accumulate: 4 ")),
        ((6, 6, 2, 2, 80), ("0.00 GiB or more for each", "about 3 at a time")),
    ],
)  # fmt: skip
def test_out_of_memory_is_a_sentence_with_what_would_fit(numbers: tuple[int, ...], told: tuple[str, ...]) -> None:
    part, explained, base, peak, total = numbers
    found = devices.exhausted(part, explained, base * GIB, peak * GIB, total * GIB)
    assert all(text in found for text in told), found
    assert "\n" not in found and found.startswith("out of GPU memory")


def test_a_single_scan_that_does_not_fit_is_not_told_to_be_divided() -> None:
    found = devices.exhausted(1, 8, 2 * GIB, 79 * GIB, 80 * GIB)
    assert "with 1 scan at a time" in found and "lower base_channels or n_latent" in found and "accumulate" not in found


def test_without_a_gpu_there_are_no_numbers_to_tell() -> None:
    with pytest.raises(torch.OutOfMemoryError, match="as it was"), devices.memory(CPU, 4, 8):
        raise torch.OutOfMemoryError("as it was")


def test_streamed_and_resident_volumes_give_the_same_batches(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", cohort()[0])
    volumes = np.load(tmp_path / "v.npy", mmap_mode="r")
    order = [np.array([3, 1, 20]), np.array([7]), np.array([0, 23])]
    held = torch.from_numpy(np.array(volumes))[:, None]
    expected = [torch.from_numpy(volumes[rows].astype(np.float32))[:, None] for rows in order]
    ahead = [x.float() for x in loader.loader(volumes, order, workers=2, pinned=False)]
    for found in (list(loader.batches(volumes, order, CPU)), list(loader.batches(volumes, order, CPU, held)), ahead):
        assert len(found) == 3
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(found, expected, strict=True))
    assert list(loader.batches(volumes, [], CPU)) == []
    assert loader.resident(volumes, CPU) is None


def test_seeds_of_other_counters_are_others() -> None:
    counters = [(0,), (0, 0), (1,), (1, 0), (1, 0, 0), (1, 2), (2, 1), (1, 2, 0), (1, 2, 0, 0), (1, 2, 0, 1)]
    assert len({rng.number(*some) for some in counters}) == len(counters)
    assert rng.number(1, 2) == rng.number(1, 2) < 2**63


def parts(options: dict[str, Any], people: int = 24) -> tuple[VAE, Any, Hyperparameters]:
    """A model at its linear start, its data and its hyperparameters."""
    volumes, split = cohort(people)
    hp = Hyperparameters(**options)
    torch.manual_seed(0)
    model = VAE(
        mask=torch.from_numpy(MASK),
        n_latent=hp.n_latent,
        base_channels=hp.base_channels,
        dropout=hp.dropout,
    )
    vae._start(model, volumes, split, MASK, hp)
    return model, gather(volumes, split, MASK, CPU, 0, 1), hp


@pytest.mark.parametrize(("clip", "bound"), [(1e-2, True), (1e9, False)])
def test_clipping_bounds_the_norm_of_the_whole_gradient(clip: float, bound: bool) -> None:
    model, data, hp = parts({**SETTINGS, "clip": clip, "sigma": "learned"})
    optimiser, norms = loop._optimiser(model, hp), []

    def norm() -> None:
        gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
        norms.append(float(torch.cat(gradients).norm()))

    loop._pass(model, data, hp, SimpleNamespace(step=norm), torch.zeros(0, 3), (0, 1), 1.0, 0.0)
    assert len(norms) == 4 and all(np.isfinite(norms))
    assert max(norms) < clip * 1.001 if bound else min(norms) > 1
    assert {len(group["params"]) for group in optimiser.param_groups} and optimiser.param_groups[1]["weight_decay"] == 0


def test_decay_is_of_the_weights_alone() -> None:
    model, _, hp = parts({**SETTINGS, "weight_decay": 0.5})
    decayed, others = loop._optimiser(model, hp).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.5, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {names[id(parameter)].rpartition(".")[2] for parameter in decayed["params"]} == {"weight"}
    assert {names[id(parameter)].rpartition(".")[2] for parameter in others["params"]} == {"bias", "log_sigma"}
    assert len(decayed["params"]) + len(others["params"]) == len(names) and not model.log_sigma.requires_grad


# Terms


def gradient(model: VAE, data: Any, hp: Hyperparameters, seed: int) -> Tensor:
    """Gradient of the last encoder layer's bias, the posterior's means and log-variances."""
    x = next(loader.batches(data.volumes, [data.index["training"][:4]], CPU))
    step.gradients(
        model,
        x,
        4,
        hp,
        data,
        beta=1.0,
        scale=0.0,
        queue=torch.zeros(0, hp.n_latent),
        counters=(seed, 1, 0),
    )
    found: Tensor = model.encoder[-1].bias.grad  # type: ignore[assignment, union-attr, index]
    return found.double().clone()


def test_more_samples_of_the_posterior_lower_the_variance_and_not_the_mean() -> None:
    found = {}
    for samples, repeats in ((1, 200), (8, 50)):
        model, data, hp = parts({**SETTINGS, **PLAIN, "samples": samples})
        found[samples] = torch.stack([gradient(model, data, hp, seed) for seed in range(repeats)])
    error = (found[1].var(dim=0) / 200 + found[8].var(dim=0) / 50).sqrt()
    assert (abs(found[1].mean(dim=0) - found[8].mean(dim=0)) < 4 * error).all()
    ratio = found[8].var(dim=0) / found[1].var(dim=0)
    assert 0.06 < float(ratio.mean()) < 0.22  # an eighth


@pytest.mark.parametrize("cycles", [0, 2])
def test_warm_up_reaches_its_values_and_is_not_waited_for(cycles: int) -> None:
    options = {
        **SETTINGS,
        "beta": 4.0,
        "warmup": 4,
        "cycles": cycles,
        "epochs": 12,
        "patience": 2,
        "learning_rate": 1e-2,
    }
    _, _, history = vae.fit(*cohort(), MASK, seed=0, device="cpu", **options)
    betas = [row["beta"] for row in history if row["split"] == "validation"]
    expected = {0: [0, 0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4], 2: [0, 0, 1, 2, 3, 4, 4, 0, 1, 2, 3, 4, 4]}[cycles]
    assert betas == expected[: len(betas)]
    losses = [row["loss"] for row in history if row["split"] == "validation"]
    assert int(np.argmin(losses)) + 2 < len(betas) - 1  # epochs of less than the full beta are not counted
    full = [beta == 4 for beta in betas[1 + int(np.argmin(losses)) :]]
    assert sum(full) == 2 and full[-1]


@pytest.mark.parametrize("options", [{}, {"reconstruction": "both"}, {"divergence": "mmd", "mmd_weight": 1.0}])
def test_the_stopping_loss_has_the_final_weights(options: dict[str, Any]) -> None:
    chosen = {**SETTINGS, "beta": 3.0, "warmup": 2, "epochs": 3, **options}
    _, _, history = vae.fit(*cohort(), MASK, seed=0, device="cpu", **chosen)
    first = next(row for row in history if row["split"] == "training")
    images = {"nll", *(("dssim",) if "reconstruction" in options else ())}
    scale = abs(sum(first[name] for name in images)) if "divergence" in options else 0.0
    for row in history:
        expected = sum(row[name] for name in images) + 3.0 * row["kl"] + (scale * row["mmd"] if scale else 0)
        assert row["loss"] == pytest.approx(expected, rel=1e-6)
        assert row["kl"] == pytest.approx(sum(row["kl_dimensions"]), rel=1e-5)


def test_learned_sigma_ends_near_the_training_error() -> None:
    options = {**NETWORK, **PLAIN, "sigma": "learned", "learning_rate": 3e-2, "epochs": 40, "patience": 40, "sampled": False}  # fmt: skip
    model, data, hp = parts(options)
    with torch.no_grad():
        start = float(model.log_sigma.exp())
        model.log_sigma.fill_(0.5)
    for network in (model.encoder, model.decoder):
        network.requires_grad_(False)
    _, history = loop.train(model, data, hp, seed=0, folder=None, watch=lambda rows: None)
    x = torch.from_numpy(data.volumes[data.index["training"]].astype(np.float32))[:, None]
    with torch.no_grad():
        error = float((x - model.decode(model.encode(x)[0]))[:, 0, model.mask].square().mean().sqrt())
    found = [row["sigma"] for row in history if row["split"] == "training"]
    assert found[0] == pytest.approx(np.exp(0.5)) and found[-1] == pytest.approx(error, rel=0.03)
    assert start == pytest.approx(error, rel=0.15)


def test_dssim_training_lowers_dssim_and_sees_black_where_intensities_begin() -> None:
    volumes, split = cohort()
    options = {
        **SETTINGS,
        "reconstruction": "dssim",
        "linear": "none",
        "epochs": 15,
        "learning_rate": 3e-3,
        "beta": 0.01,
    }
    _, _, history = vae.fit(volumes, split, MASK, seed=0, device="cpu", **options)
    found = [row["dssim"] / MASK.sum() for row in history if row["split"] == "validation"]
    assert min(found) < 0.7 * found[0] < 1
    assert all(np.isnan(row["nll"]) and np.isnan(row["sigma"]) for row in history)
    training = volumes[split == "training"]
    low, base_channels = intensities(training, MASK)
    assert [low, low + base_channels] == pytest.approx(np.percentile(masked(training, MASK), [0.1, 99.9]))
    assert data_range(training, MASK) == base_channels
    model, data, hp = parts(options)
    x, z = next(loader.batches(volumes, [data.index["training"]], CPU)), torch.zeros(1, len(training), 3)
    unlike = dssim(x, model.decode(z[0]), model.mask, data_range=base_channels, low=low)
    assert torch.allclose(step.reconstruction(model, x, z, hp, data), MASK.sum() * unlike)


# Precision


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Is autocast on in each product with the linear part, forward and backward?"""
    seen: list[bool] = []
    inner = torch.Tensor.backward

    def backward(self: Tensor, *arguments: Any, **more: Any) -> None:
        seen.append(torch.is_autocast_enabled("cpu"))
        inner(self, *arguments, **more)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    yield seen


@pytest.mark.parametrize("options", [{}, {"free_bits": 0.3}, {"divergence": "mmd", "mmd_weight": 1.0}])
def test_bf16_stays_close_and_leaves_the_linear_part_in_single_precision(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for precision in ("float32", "bf16"):
        model, data, hp = parts({**SETTINGS, **PLAIN, **options, "precision": precision})
        with torch.no_grad():
            model.decoder[-2].weight.normal_(0, 1e-3)  # type: ignore[union-attr, operator]
            model.encoder[-1].weight.normal_(0, 1e-3)  # type: ignore[union-attr, operator]
        with recorded(monkeypatch) as seen:
            gradient(model, data, hp, 0)
        assert seen == [False]
        found[precision] = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    for name, one in found["float32"].items():
        other = found["bf16"][name]
        assert other.dtype == torch.float32 and float((one - other).norm()) < 0.05 * float(one.norm()), name
        assert float(one.norm()) > 0, name
    mu, _ = model.encode(torch.zeros(1, 1, *SHAPE))
    with devices.autocast(CPU, "bf16"):
        model.encoder[-1].weight.data.zero_()  # type: ignore[union-attr, operator]
        model.encoder[-1].bias.data.zero_()  # type: ignore[union-attr, operator]
        x = torch.randn(2, 1, *SHAPE)
        linear = ((x - model.mean) * model.mask).flatten(1)[:, model.voxels].double() @ model.inward.double().T
        assert torch.allclose(model.encode(x)[0].double(), linear, rtol=1e-4, atol=1e-4)


def test_bf16_trains_on_a_cpu() -> None:
    losses = []
    for precision in ("float32", "bf16"):
        options = {**SETTINGS, **PLAIN, "precision": precision, "linear": "none", "epochs": 6, "learning_rate": 3e-3}
        _, _, history = vae.fit(*cohort(), MASK, seed=0, device="cpu", **options)
        losses.append([row["loss"] for row in history if row["split"] == "validation"])
    assert np.allclose(losses[0], losses[1], rtol=0.02) and losses[0] != losses[1]


def test_processes_that_found_different_checkpoints_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "agree", lambda number: False)
    with pytest.raises(InputError, match="found different checkpoints in .*on a disk that all of them see"):
        goes_on(tmp_path, SETTINGS)
