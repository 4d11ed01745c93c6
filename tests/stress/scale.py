"""A hundred thousand scans: what the plan costs and reruns, what a kill loses, whether memory grows with the cohort.

`make scale-test`, in 20 minutes on two idle cores. The plan is made for people with empty scans; what is
killed are batches of small scans; packed and trained on are simulated volumes. --people and --volumes say how many.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import scale_batch
import scale_graph
import scale_memory
from lines import closed, said

SECONDS = {10_000: 10.0, 100_000: 30.0}  # scans: CPU seconds that `snakemake -n` may take
FEWER = 10  # memory is compared with that of so many times fewer volumes
BYTES = 700_000  # on disk per simulated volume: its image, and its place among the packed ones


def main() -> int:
    """Run all of it in a folder of its own; the exit status."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--people", type=int, default=100_000, help="in the largest plan")
    asked.add_argument("--volumes", type=int, default=20_000, help="packed, trained on and embedded")
    asked.add_argument("--only", nargs="*", choices=("plan", "kill", "memory"), default=["plan", "kill", "memory"])
    given = asked.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="neurovae-scale-"))
    try:
        if "plan" in given.only:
            _plan(folder / "plan", given.people)
        if "kill" in given.only:
            scale_batch.killed(folder / "kill")
        if "memory" in given.only:
            _memory(folder / "memory", given.volumes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return closed()


def _plan(folder: Path, people: int) -> None:
    """The plan of the smaller cohort and what a change reruns in it; the plan of the larger."""
    few = min(people, min(SECONDS))
    scale_graph.long_command(folder / "long")
    made = scale_graph.planned(folder / "few", few, SECONDS[10_000])
    scale_graph.changed(made, few)
    if people > few:
        scale_graph.planned(folder / "many", people, SECONDS[100_000] * max(1, people / 100_000))


def _memory(folder: Path, volumes: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < 1.2 * BYTES * volumes:
        fits = int(free / 1.2 / BYTES)
        said(None, "memory:", f"{free / 1e9:.0f} GB free", f"then: make scale-test SCALE='--volumes {fits}'", volumes)
    else:
        scale_memory.memory(folder, volumes // FEWER, volumes)


if __name__ == "__main__":
    sys.exit(main())
