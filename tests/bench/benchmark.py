"""Speed of the training beside MONAI's, in one table measured in one run; `make benchmark`, small without a GPU."""

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # as in a run (workflow/rules/common.smk)
    os.environ.setdefault(variable, "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

import benchmark_lines as lines  # noqa: E402
import benchmark_memory  # noqa: E402
import benchmark_ours as ours  # noqa: E402
import benchmark_stems  # noqa: E402
import torch  # noqa: E402
from benchmark_tools import GPU_COMMAND, Row, Settings, brains  # noqa: E402

CPU = {"grid": (32, 48, 32), "people": 64, "held_out": 24, "stored": 256, "repeats": 3, "budget": 16.0}
GPU = {"grid": (96, 112, 96), "people": 128, "held_out": 32, "stored": 10_000, "repeats": 3, "budget": 40.0}
PARTS = ("1", "2", "3", "4", "5", "stems")
HEADER = "| line | what | measured: median (lowest to highest) | goal | n | device | verdict |\n|" + " --- |" * 7


def arguments() -> argparse.Namespace:
    """What the command line says; everything has a default by device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--grid", type=int, nargs=3, help="sides that divide by 16")
    for name in ("people", "held-out", "stored", "repeats"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--budget", type=float, help="seconds of MONAI's training; architectures get half each")
    parser.add_argument("--small", action="store_true", help="the sizes of a CPU on any device")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--options", type=json.loads, default={}, help='of the model, as {"compile": true, "batch": 64}'
    )
    return parser.parse_args()


def settings_of(given: argparse.Namespace) -> Settings:
    """Sizes by device, each replaced where the command line names it."""
    there = torch.cuda.is_available()
    if given.device == "cuda" and not there:
        sys.exit("--device cuda, but torch sees no GPU here; leave --device out for the small sizes on the CPU")
    if given.grid and any(side % 16 for side in given.grid):
        sys.exit(f"--grid {given.grid}: sides must divide by 16, for MONAI's network")
    device = torch.device("cuda" if there and given.device != "cpu" else "cpu")
    sizes = CPU if given.small or device.type == "cpu" else GPU
    named = {name: getattr(given, name) for name in sizes if getattr(given, name) is not None}
    chosen = {**sizes, **named}
    batches = (8, 16) if device.type == "cuda" else (16, 64)
    return Settings(
        device=device,
        **{**chosen, "grid": tuple(chosen["grid"])},
        memory_batches=batches,
        options=ours.defaults(given.options),
    )


def measure(settings: Settings, only: tuple[str, ...]) -> list[Row]:
    """All rows asked for, printed as they come."""
    volumes, mask = brains(settings.people + settings.held_out, settings.grid, settings.device)
    parts = {
        "1": lambda: lines.arithmetic(settings, volumes, mask),
        "2": lambda: lines.same_error(settings, volumes, mask) if lines.monai else [absent("2")],
        "3": lambda: [*lines.structural(settings, volumes, mask), *([] if lines.monai else [absent("3")])],
        "4": lambda: benchmark_memory.waiting(settings, volumes, mask),
        "5": lambda: benchmark_memory.memory(settings),
        "stems": lambda: benchmark_stems.table(settings, volumes, mask),
    }
    rows = []
    for name in (part for part in PARTS if part in only):
        start = time.perf_counter()
        found = parts[name]()
        for row in found:
            print(row.text(str(settings.device)), flush=True)
        print(f"part {name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        rows += found
    return rows


def absent(number: str) -> Row:
    """A line that cannot be measured without MONAI."""
    return Row(
        number=number,
        what="beside MONAI",
        measured="MONAI is not installed",
        goal="run: make benchmark",
        needs_gpu=True,
    )


def describe(settings: Settings) -> str:
    """Machine and sizes, above the table."""
    chip = torch.cuda.get_device_name(settings.device) if settings.gpu else f"{platform.machine()} CPU, one thread"
    clock = "wall time" if settings.gpu else "processor time (wall time in line 4), since others share the machine"
    sizes = {name: value for name, value in dataclasses.asdict(settings).items() if name not in ("device",)}
    return f"{chip}; torch {torch.__version__}; {clock}; {sizes}\n"


if __name__ == "__main__":
    given = arguments()
    chosen = settings_of(given)
    torch.set_num_threads(2 if chosen.gpu else 1)
    print(describe(chosen))
    print(HEADER)
    found = measure(chosen, tuple(given.only))
    skipped = sum(row.needs_gpu for row in found)
    if skipped:
        print(f"\nskipped goals are about a GPU; where one is: {GPU_COMMAND}")
    print(
        f"\n{sum(row.met is True for row in found)} passed, {sum(row.met is False for row in found)} failed, {skipped} skipped"
    )
    sys.exit(any(row.met is False for row in found))
