"""Proof of the statistics: false positives, power, confounding, alarms, known numbers; a line per check.

`python tests/proof/proof.py` writes tables and pictures to results/proof. `--only power vae` runs some sections, `--cohorts .1`
a tenth of the cohorts. A test that rejects too often says FAILED, or names the caveat that its rows carry; one that is
conservative, or has less power than an oracle that knows the true curve, is information. Choices made after numbers were
seen: the power oracle has the declared confounds (one that knows their true effect stays in the table), max-T stands
beside the GLM, and the direction through a model is held against the same test on the true factors.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import proof_alarms
import proof_aligned
import proof_change
import proof_checks
import proof_confounding
import proof_copies
import proof_family
import proof_fdr
import proof_imputed
import proof_joint
import proof_lines as lines
import proof_mixed
import proof_null
import proof_permute
import proof_pictures as pictures
import proof_power
import proof_predict
import proof_supervised
import proof_survival
import proof_vae
from proof_lines import OUT, Check, said

LINEAR, ITERATIVE = 5000, 1000  # cohorts of a false-positive rate
Section = Callable[[Executor | None, float, Path], list[Check]]


def many(count: int, share: float) -> int:
    """That share of the cohorts."""
    return max(round(count * share), 10)


def null(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """False positives of the regression tests."""
    cohorts = {"linear": many(LINEAR, share), "iterative": many(ITERATIVE, share)}
    found = proof_null.table(pool, cohorts)
    lines.write(out, "false_positives", found)
    pictures.rejections(found, out / "false_positives.png", "False positives of the regression tests")
    return proof_null.checks(found)


def permute(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Permutation tests: level, family-wise error, uniform p."""
    found, p = proof_permute.table(pool, many(ITERATIVE, share))
    lines.write(out, "permutation", found)
    pictures.rejections(found[found["test"] != "min-P"], out / "permutation.png", "Permutation tests (one-sided bar)")
    pictures.uniform(p, out / "permutation_uniform.png")
    return proof_permute.checks(found, p)


def mixed(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Repeated sessions."""
    found = proof_mixed.table(pool, many(ITERATIVE, share))
    lines.write(out, "sessions", found)
    pictures.rejections(found, out / "sessions.png", "Three sessions a person: mixed model, GEE and their permutations")
    return proof_mixed.checks(found)


def change(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """A score against change over visits."""
    found = proof_change.table(pool, many(300, share))
    lines.write(out, "change", found)
    planted = proof_change.found_again(many(40, share))
    return [*proof_change.checks(found), *planted, *proof_change.ordered(many(20, share))]


def family(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Relatives."""
    found = proof_family.table(pool, many(150, share))
    lines.write(out, "relatives", found)
    return proof_family.checks(found)


def fdr(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """False discovery rate under a mixture."""
    found = proof_fdr.table(pool, many(1000, share), many(300, share))
    lines.write(out, "false_discoveries", found)
    return proof_fdr.checks(found)


def predict(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Prediction where there is nothing to predict."""
    found = proof_predict.table(pool, {"as on ixi": many(100, share), "32 columns of noise": many(400, share)})
    lines.write(out, "prediction", found)
    return proof_predict.checks(found)


def power(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Power beside an oracle, and the bend."""
    found, bends, straights = proof_power.tables(pool, many(600, share), many(300, share))
    for name, table in (("power", found), ("power_bend", bends), ("power_straight", straights)):
        lines.write(out, name, table)
    pictures.powers(found, bends, out / "power.png")
    return proof_power.checks(found, bends, straights)


def vae(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Power through learnt latents."""
    found = proof_vae.table(pool, many(400, share))
    lines.write(out, "power_through_models", found)
    pictures.through(found, out / "power_through_models.png")
    return proof_vae.checks(found)


def confounding(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Scores driven by a confound alone."""
    found = proof_confounding.table(pool, many(1000, share))
    lines.write(out, "confounding", found)
    return proof_confounding.checks(found)


def imputed(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Missing confounds: level and power after imputation."""
    found = proof_imputed.table(pool, many(300, share))
    lines.write(out, "imputed", found)
    return proof_imputed.checks(found)


def survival(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Times to events: level, and a planted effect."""
    found = proof_survival.table(pool, many(240, share))
    lines.write(out, "survival", found)
    return proof_survival.checks(found)


def supervised(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Latents that a score was used to find: level of honest and naive tests, and power."""
    found = proof_supervised.table(pool, many(300, share))
    lines.write(out, "supervised", found)
    return proof_supervised.checks(found)


def aligned(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Networks whose latents are aligned with a score: level, and a planted curve."""
    found = proof_aligned.table(pool, many(60, share), many(10, share))
    lines.write(out, "aligned", found)
    return proof_aligned.checks(found)


def joint(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Joint models of an image and scores: planted factors, missing scores, scores of nothing."""
    found = proof_joint.table(pool, many(20, share))
    lines.write(out, "joint", found)
    return proof_joint.checks(found)


def alarms(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Planted faults."""
    return [*proof_alarms.checks(), *proof_copies.checks()]


def known(pool: Executor | None, share: float, out: Path) -> list[Check]:
    """Checks 5, 9 and 10 of the design."""
    return [
        *proof_checks.ventricles(), *proof_checks.noise(pool, many(1000, share)),
        *proof_checks.selection(many(50, share)), *proof_checks.design_check(),
        *proof_checks.dispersion(many(50, share)), *proof_checks.flipped(),
    ]  # fmt: skip


SECTIONS: dict[str, Section] = {
    "null": null, "permute": permute, "mixed": mixed, "change": change, "family": family, "fdr": fdr, "predict": predict,
    "power": power, "vae": vae, "confounding": confounding, "imputed": imputed, "survival": survival, "alarms": alarms,
    "supervised": supervised, "aligned": aligned, "joint": joint, "known": known,
}  # fmt: skip


def main() -> int:
    """Run the sections; the exit status."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections")
    asked.add_argument("--cohorts", type=float, default=1.0, help="share of the cohorts")
    asked.add_argument("--processes", type=int, default=2)
    given = asked.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    checks: list[Check] = []
    with ProcessPoolExecutor(given.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name in given.only:
            start = time.monotonic()
            checks += said(SECTIONS[name](pool, given.cohorts, OUT))
            print(f"        {name}: {time.monotonic() - start:.0f} s", flush=True)
    lines.write(OUT, "checks", lines.listed(checks))
    words = [check.word for check in checks]
    failed = words.count("FAILED")
    print(f"tables and pictures: {OUT.resolve()}")
    print(
        f"{words.count('ok')} passed, {words.count('info')} information, {failed} failed, {words.count('skipped')} skipped"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
