"""The last job: when all else is done, end the run with a failure if a model knows only the average brain."""

import json
from pathlib import Path

from neurovae.cli import cli
from neurovae.errors import InputError
from neurovae.files import write_beside


def run(*, train: Path, models: list[str], fits: list[str], out: Path) -> None:
    """Write every model's verdict, a line each.

    Args:
        train: folder that holds <model>/<fit>/health.json.
        models: names of the models.
        fits: folds and seeds ("fold-0_seed-0").
        out: text file to write.

    Raises:
        InputError: a model has collapsed; its tables hold its verdict and no statistics.
    """
    paths = {(model, fit): train / model / fit / "health.json" for model in models for fit in fits}
    found = {key: json.loads(path.read_text(encoding="utf-8")) for key, path in paths.items()}
    lines = [f"{model} {fit}: {health['verdict']}: {health['reason']}" for (model, fit), health in found.items()]
    if any(health["verdict"] == "collapsed" for health in found.values()):
        lines.append("a collapsed model's latents were not tested; all else is done, and the report can be built")
        raise InputError(lines)
    with write_beside(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    cli(run)
