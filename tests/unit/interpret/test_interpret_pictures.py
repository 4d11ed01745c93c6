"""Pictures of score maps, dimensions and importance: what is drawn is what the tables say, and words where nothing is."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pytest
from matplotlib.figure import Figure
from tiny import MASK, SHAPE

from neurovae.audit import dimension as audit
from neurovae.design.tables import tidy
from neurovae.interpret import jacobian
from neurovae.interpret import maps as score_maps
from neurovae.interpret import seeds as over_seeds
from neurovae.io.files import write_tsv
from neurovae.predict import importance as permuted
from neurovae.report.figures import dimension, importance, maps, traversals

pytestmark = pytest.mark.filterwarnings("error")
SAME: dict[str, Any] = {"model": "vae", "fold": 0, "seed": 0, "verdict": "healthy"}
PLACE = (5, 9, 6)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
OK = {"status": "ok", "reason": ""}
FEW = {"status": "too few people", "reason": "9 people for 3 confound columns"}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures are kept instead of written; drawing them shows faults of layout."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path) -> None:
        figure.canvas.draw()
        figures.append(figure)
        plt.close(figure)

    for module in (maps, dimension, importance, traversals):
        monkeypatch.setattr(module, "save", keep)
    return figures


def interpreted(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Files of score maps: one voxel that darkens and grows, of p .01."""
    change = np.where(MASK, 0.01, 0.0)
    change[PLACE] = -1
    volumes = {"from": MASK + 0.1 * change, "to": MASK - 0.1 * change, "map": change}
    volumes |= {"p": np.where(change == -1, 0.01, 1.0), "logjacobian": np.where(change == -1, np.log(1.2), 0)}
    for name in ("maps", "jacobian"):
        (folder / name).mkdir()
    for name, data in volumes.items():
        place = folder / ("jacobian" if name == "logjacobian" else "maps") / f"motor_{name}.nii.gz"
        nib.save(nib.Nifti1Image(data.astype(np.float32), AFFINE), place)
    nib.save(nib.Nifti1Image(MASK.astype(np.uint8), AFFINE), folder / "m.nii.gz")
    tidy(rows, score_maps.COLUMNS).to_parquet(folder / "maps.parquet")
    parts = [
        SAME | OK | {"score": "motor", "index": k, "region": name, "hemisphere": side, "map": value, "low": value - 0.2,
                     "high": value + 0.2, "rank": rank}
        for k, name, side, value, rank in ((1, "thalamus", "left", 0.1, 2), (2, "brain stem", "midline", -0.5, 1))
    ]  # fmt: skip
    tidy(parts, score_maps.REGIONS).to_parquet(folder / "regions.parquet")
    grown = [{"score": "motor", "index": k, "percent": percent} for k, percent in ((1, 20.0), (2, -7.0))]
    write_tsv(folder / "jacobian.tsv", grown, jacobian.COLUMNS)
    files = {"table": "maps.parquet", "regions": "regions.parquet", "volumes": "jacobian.tsv", "mask": "m.nii.gz"}
    folders = {name: folder / name for name in ("maps", "jacobian")}
    return folders | {key: folder / name for key, name in files.items()} | {"name": "vae", "out": folder / "out.png"}


MOTOR = SAME | OK | {"score": "motor", "n": 66, "unit": "+1 SD", "voxels": 3, "voxels_below_05": 1, "smallest_p": 0.01,
                     "peak_x": 20.0, "peak_y": 36.0, "peak_z": 24.0, "peak_region": "left thalamus",
                     "interval": "over people, model fixed"}  # fmt: skip


def test_maps_are_cut_at_the_peak_with_outline_and_bars(tmp_path: Path, drawn: list[Figure]) -> None:
    files = interpreted(tmp_path, [MOTOR, SAME | FEW | {"score": "falls"}])
    pair = SAME | OK | {"score": "motor", "kind": "pair", "r": 0.81}
    whole = SAME | OK | {"score": "motor", "kind": "all", "seeds": 3, "r": 0.81}
    tidy(
        [{k: v for k, v in row.items() if k in over_seeds.COLUMNS} for row in (pair, whole)], over_seeds.COLUMNS
    ).to_parquet(tmp_path / "seeds.parquet")
    maps.draw(**files, seeds=[tmp_path / "seeds.parquet"])
    change, volume, bars, other = drawn[0].axes[:4]
    width = SHAPE[0]  # the axial slice comes first
    row, column = SHAPE[1] - 1 - PLACE[1], PLACE[0]  # y upwards; the axial slice is the tallest
    assert change.images[1].get_array()[row, column] == -1
    assert volume.images[1].get_array()[row, column] == pytest.approx(20)
    outline = np.concatenate([path.vertices for found in change.collections for path in found.get_paths()])
    axial = outline[outline[:, 0] < width - 0.5]
    assert np.abs(axial - (column, row)).max() <= 0.5 + 1e-6
    assert [text.get_text() for text in bars.get_yticklabels()] == ["brain stem (-7 %)", "L thalamus (+20 %)"]
    assert [patch.get_width() for patch in bars.patches] == [-0.5, 0.1]
    first, second = ([*patch.get_facecolor()[:3]] for patch in bars.patches)
    assert first != second  # only the first interval leaves 0 out
    title = change.get_title(loc="left")
    assert "n = 66" in title and "1 of 3 voxels" in title and "3 seeds: correlation of the maps 0.81 to 0.81" in title
    assert "falls: too few people, 9 people" in other.texts[0].get_text()


def test_seeds_with_the_same_map_are_no_agreement() -> None:
    def told(*seeds: np.ndarray) -> str:
        rows = [{"score": "motor"} | row for row in over_seeds.compare(dict(enumerate(seeds)))]
        return maps.title(MOTOR, [tidy(rows, over_seeds.COLUMNS)]).splitlines()[-1]

    a = np.random.default_rng(0).normal(size=50)
    assert told(a, a) == "across seeds: same maps"
    assert (
        told(a, -a, a) == "2 seeds: correlation of the maps -1.00 to -1.00 (of 3, those with the same map count once)"
    )
    assert told(a, -a) == "2 seeds: correlation of the maps -1.00 to -1.00"


def test_bars_are_grey_where_no_voxel_passes(tmp_path: Path, drawn: list[Figure]) -> None:
    files = interpreted(tmp_path, [MOTOR | {"smallest_p": 0.2}])
    maps.draw(**files, seeds=[])
    first, second = ([*patch.get_facecolor()] for patch in drawn[0].axes[2].patches)
    assert first == second


def test_a_stopped_model_has_words(tmp_path: Path, drawn: list[Figure]) -> None:
    stopped = SAME | {"verdict": "collapsed", "status": "not tested", "reason": "no active unit"}
    maps.draw(**interpreted(tmp_path, [stopped]), seeds=[])
    text = drawn[0].axes[0].texts[0].get_text()
    assert "collapsed" in text and "no active unit" in text


def test_dimensions_and_lengths(tmp_path: Path, drawn: list[Figure]) -> None:
    whole = {"what": "volumes", "n": 72} | OK
    rows = [whole | {"measure": "TwoNN", "value": 20.0, "low": 15.0, "high": 25.0, "half": 18.0},
            whole | {"measure": "MLE", "status": "too few people"},
            whole | {"measure": "latents suggested", "value": 15.0, "reason": "a lower bound"}]  # fmt: skip
    model = {"what": "latents", "fold": 0, "seed": 0} | OK
    rows.append(model | {"model": "vae", "split": "all", "measure": "MLE", "value": 6.0, "low": 5.0, "high": 7.0})
    for split, mean in (("training", 20.0), ("test", 12.0)):
        rows.append(model | {"model": "vae", "split": split, "measure": "mean |z|^2", "value": mean, "low": mean - 1,
                             "high": mean + 1, "expected": 16.0})  # fmt: skip
        rows.append(model | {"model": "vae", "split": split, "measure": "spread of |z|^2", "value": 8.0})
    rows.append(model | {"model": "pca", "split": "test", "measure": "mean |z|^2", "status": "no variances"})
    tidy(rows, audit.COLUMNS).to_csv(tmp_path / "d.tsv", sep="\t", na_rep="n/a", index=False)
    dimension.draw(table=tmp_path / "d.tsv", out=tmp_path / "out.png")
    dimensions, lengths = drawn[0].axes
    drawn_at = [tuple(line.get_xdata()) for line in dimensions.lines]
    assert (15.0, 25.0) in drawn_at and (5.0, 7.0) in drawn_at and (15.0, 15.0) in drawn_at  # the last: suggested
    assert "MLE: too few people" in [text.get_text() for text in dimensions.texts]
    assert [text.get_text() for text in dimensions.get_yticklabels()] == ["volumes", "vae", "pca"]
    assert [text.get_text() for text in lengths.get_yticklabels()] == ["vae"]
    ends = [tuple(line.get_xdata()) for line in lengths.lines]
    assert (12 / 16, 28 / 16) in ends and (11 / 16, 13 / 16) in ends  # people of training; the held-out mean
    assert "a lower bound" in drawn[0].get_suptitle()


def importances(folds: list[int | None]) -> list[dict[str, Any]]:
    rows = []
    for fold in folds:
        for learner in ("linear", "svm"):
            for k in range(8):
                found = {"score": "motor", "fold": fold, "learner": learner, "latent": f"mu_{k:03d}", "base": 2.0}
                found |= {"increase": float(k == (3 if not fold else 5)), "sd": 0.1, "n": 24, "loss": "squared error"}
                rows.append(SAME | OK | found | {"averaged": "no: each its own"})
    return [{name: value for name, value in row.items() if name in permuted.COLUMNS} for row in rows]


@pytest.mark.parametrize("folds", [[None], [0, 1]])
def test_the_most_important_latent_comes_first(tmp_path: Path, drawn: list[Figure], folds: list[int | None]) -> None:
    few = {k: v for k, v in (SAME | FEW | {"score": "falls"}).items() if k in permuted.COLUMNS}
    tidy([*importances(folds), few], permuted.COLUMNS).to_parquet(tmp_path / "i.parquet")
    importance.draw(table=tmp_path / "i.parquet", name="vae", out=tmp_path / "out.png")
    panels = [axis for axis in drawn[0].axes if axis.lines]
    assert [panel.get_yticklabels()[0].get_text() for panel in panels] == (
        ["mu_003"] if len(folds) == 1 else ["mu_003", "mu_005"]
    )
    assert panels[0].lines[0].get_xdata()[0] == pytest.approx(50)  # an increase of 1 over 2
    texts = [text.get_text().replace("\n", " ") for axis in drawn[0].axes for text in axis.texts]
    assert texts == ["falls: too few people, 9 people for 3 confound columns"]
    assert "no: each its own" in drawn[0].get_suptitle().replace("\n", " ")
