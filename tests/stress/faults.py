"""Every fault on the way: what breaks, what is said, what is lost, and whether the same comes out in the end.

`make fault-test`. A tiny cohort is run once; each fault strikes a copy of it. --quick: the main ones; --only NAME ...
"""

import argparse
import shutil
import sys
import time
import traceback
from collections.abc import Callable

import fault_disk
import fault_files
import fault_inputs
import fault_kills
import fault_use
from fault_ground import Ground, Seen, Skip, ground, work_folder
from lines import closed, said

Fault = Callable[[Ground], Seen]
QUICK: dict[str, Fault] = {
    "kill -9 of a packing": fault_kills.packing,
    "kill -9 of a training": fault_kills.training,
    "disk full while packing": fault_disk.full_packing,
    "packed volumes cut short": fault_files.volumes_short,
    "a scan replaced, same name, size and time": fault_files.replaced,
    "a record of a scan left empty": fault_files.record_empty,
    "a stale lock": fault_use.stale_lock,
    "out of GPU memory": fault_use.gpu_memory,
}
REST: dict[str, Fault] = {
    "kill -9 of a registration": fault_kills.registration,
    "kill -9 while Parquet is written": fault_kills.parquet,
    "kill -9 of Snakemake": fault_kills.snakemake,
    "kill -9 of Snakemake and all jobs (power cut)": fault_kills.power,
    "SIGTERM to Snakemake": fault_kills.sigterm,
    "Ctrl-C": fault_kills.interrupt,
    "kill -9 of one of two processes of a training": fault_kills.worker,
    "disk full while a table is written": fault_disk.full_table,
    "disk full while a checkpoint is written": fault_disk.full_checkpoint,
    "results that are read-only": fault_disk.read_only_results,
    "data that are read-only": fault_disk.read_only_data,
    "network disk: a file shows up late": fault_disk.late,
    "network disk: a file shows up too late": fault_disk.too_late,
    "an image that vanished": fault_disk.vanished,
    "packed volumes with a flipped bit": fault_files.volumes_flipped,
    "weights cut short": fault_files.weights_short,
    "weights with a flipped bit": fault_files.weights_flipped,
    "Parquet cut short": fault_files.table_short,
    "Parquet with a flipped bit": fault_files.table_flipped,
    "a health file left empty": fault_files.verdict_empty,
    "an image with a flipped bit": fault_files.image_flipped,
    "a manifest without its last row": fault_files.manifest_short,
    "the memory of the data's place left empty": fault_files.source_empty,
    "Snakemake's notes corrupted or gone": fault_files.journal,
    "a scan replaced while the chain runs": fault_files.swapped,
    "two runs at once": fault_use.two_runs,
    "a clock that moved": fault_use.clock,
    "no GPU where one is asked for": fault_use.no_gpu,
    "an env file and code edited midway": fault_use.edited,
    "a configuration merged over another": fault_use.merged,
    "two cohorts side by side": fault_use.cohorts,
    "a umask of 027": fault_use.umask,
    "an environment that is not activated": fault_use.other_python,
}
LEAST = 60  # distinct faults


def main() -> int:
    """Run them in a folder of their own; the exit status."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--quick", action="store_true", help="the main ones, in 3 minutes")
    asked.add_argument("--only", nargs="+", default=[], help="faults whose name holds one of these words")
    given = asked.parse_args()
    faults = QUICK if given.quick else {**QUICK, **REST}
    faults = {name: run for name, run in faults.items() if not given.only or any(word in name for word in given.only)}
    folder, start = work_folder(), time.monotonic()
    try:
        rows = _strike(ground(folder), faults)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows |= {} if given.only else _inputs(given.quick)
    _table(rows)
    passed = sum(not what.startswith(("FAILED", "SKIPPED")) for what, _ in rows.values())
    if not (given.quick or given.only):
        said(passed >= LEAST, "distinct faults passed:", passed, f"{LEAST} or more", len(rows))
    print(f"{time.monotonic() - start:.0f} s", flush=True)
    return closed()


def _strike(base: Ground, faults: dict[str, Fault]) -> dict[str, tuple[str, float | None]]:
    """Let each fault happen to a copy; name -> what happened, and the seconds until all was whole again."""
    rows: dict[str, tuple[str, float | None]] = {}
    for name, fault in faults.items():
        try:
            seen = fault(base)
            said(True, f"{name}:", seen.what, "message or equal result", 1)
            rows[name] = (seen.what, seen.seconds)
        except Skip as reason:
            said(None, f"{name}:", reason, "message or equal result", 0)
            rows[name] = (f"SKIPPED: {reason}", None)
        except Exception as error:
            traceback.print_exc()
            said(False, f"{name}:", str(error)[-500:], "message or equal result", 1)
            rows[name] = ("FAILED", None)
    return rows


def _inputs(quick: bool) -> dict[str, tuple[str, float | None]]:
    """Those that tests hold: refused by name before the first job, or told of in the scan's row."""
    rows: dict[str, tuple[str, float | None]] = {}
    for name, (passed, cases) in fault_inputs.found(quick).items():
        said(passed, f"{name}:", "named" if passed else "not as its test says", "its tests pass", cases)
        rows[name] = (f"named ({cases} test{'s' * (cases > 1)})" if passed else "FAILED", None)
    return rows


def _table(rows: dict[str, tuple[str, float | None]]) -> None:
    """Fault, what happened, and the seconds of the command that put it right."""
    print("\n| fault | what happened | time lost, s |\n|---|---|---|")
    for name, (what, seconds) in rows.items():
        print(f"| {name} | {what} | {'' if seconds is None else f'{seconds:.0f}'} |")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
