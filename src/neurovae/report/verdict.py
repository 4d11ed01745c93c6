"""The last job: when all else is done, end the run with a failure if a model has collapsed, diverged or not trained."""

import json
from pathlib import Path

from neurovae.cli import cli
from neurovae.errors import InputError
from neurovae.io.files import write_beside
from neurovae.report import results


def run(*, train: Path, models: list[str], fits: list[str], out: Path) -> None:
    """Write every model's verdict with its caveats, a line each.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun verdict

    Args:
        train: folder that holds <model>/<fit>/health.json.
        models: names of the models.
        fits: folds and seeds ("fold-0_seed-0").
        out: text file to write.

    Raises:
        InputError: a model is collapsed, diverged or untrained and is not listed in train.keep_collapsed; its tables
            hold its verdict and no statistics.
    """
    paths = {(model, fit): train / model / fit / "health.json" for model in models for fit in fits}
    found = {key: json.loads(path.read_text(encoding="utf-8")) for key, path in paths.items()}
    lines = []
    for (model, fit), health in found.items():
        lines.append(f"{model} {fit}: {results.verdict(health)}: {health['reason']}")
        lines += [f"  suggested change: {health['advice']}"] if health.get("advice") else []
    failed = {model: health["verdict"] for (model, _), health in found.items() if results.stopped(health)}
    if failed:
        named = ", ".join(f"{model} ({verdict})" for model, verdict in failed.items())
        raise InputError(
            [
                *lines,
                f"the latents of {named} were not tested; everything else is done and the report exists. Change the "
                f"model, or test its latents anyway with train.keep_collapsed: [{', '.join(failed)}]",
            ]
        )
    with write_beside(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    cli(run)
