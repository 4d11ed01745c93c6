"""Memory and time of a block of many runs: time series of 200 volumes x 5,000 columns are streamed.

    python tests/stress/scale_blocks.py 100 1000

writes simulated runs (ten files, linked), cleans them in a process of its own for each number of runs, and fails if the
peak of memory grows by more than 20 %.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FILES, VOLUMES, COLUMNS = 10, 200, 5000


def simulated(folder: Path, n: int) -> None:
    """Runs of n people, and their participants table."""
    rng = np.random.default_rng(0)
    (folder / "files").mkdir()
    for k in range(FILES):
        np.save(folder / "files" / f"{k}.npy", rng.normal(100, 1, (VOLUMES, COLUMNS)).astype(np.float32))
    (folder / "series").mkdir()
    for k in range(n):
        os.link(folder / "files" / f"{k % FILES}.npy", folder / "series" / f"sub-{k:05d}_task-rest_timeseries.npy")
    rows = "\n".join(["participant_id", *(f"sub-{k:05d}" for k in range(n))])
    (folder / "participants.tsv").write_text(rows + "\n", encoding="utf-8")


def clean(folder: Path) -> None:
    """Run the rule's function in this process, and print seconds and peak memory."""
    from neurovae.blocks import series
    from neurovae.plan.config import load_schema, validate

    entry = {"name": "rest", "type": "timeseries", "path": str(folder / "series"), "connectivity": "none"}
    given = {"name": "c", "participants": str(folder / "participants.tsv"), "blocks": [entry]}
    cohort = validate({"cohort": given}, load_schema())["cohort"]
    start = time.monotonic()
    series.run(cohort=cohort, block=cohort["blocks"][0], out=folder / "out")
    print(f"{time.monotonic() - start:.2f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} "
          f"{time.process_time():.2f}")  # fmt: skip


def main(sizes: list[int]) -> int:
    """Seconds a run and peak memory for each number of runs."""
    peaks = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as name:
            simulated(Path(name), n)
            done = subprocess.run([sys.executable, __file__, "clean", name], capture_output=True, text=True, check=True)
            seconds, peak, cpu = map(float, done.stdout.split("\n")[-2].split())
            peaks.append(peak)
            print(f"{n} runs of {VOLUMES} volumes x {COLUMNS}: {seconds / n:.3f} s a run ({cpu / n:.3f} s of CPU), "
                  f"peak memory {peak:.0f} MB", flush=True)  # fmt: skip
    flat = max(peaks) <= 1.2 * min(peaks)
    print("memory is flat" if flat else "FAILED: memory grows with the number of runs")
    return 0 if flat else 1


if __name__ == "__main__":
    if sys.argv[1] == "clean":
        clean(Path(sys.argv[2]))
    else:
        sys.exit(main(list(map(int, sys.argv[1:]))))
