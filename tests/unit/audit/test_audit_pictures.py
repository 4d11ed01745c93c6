"""The audits' pictures: every latent and nuisance drawn, frames where something is flagged, and words where nothing is."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from neurovae.audit import confounds as audit
from neurovae.audit import stability as seeds
from neurovae.design.tables import tidy
from neurovae.report.figures import confounds, stability

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures are kept instead of written; drawing them shows faults of layout."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path) -> None:
        figure.canvas.draw()
        figures.append(figure)
        plt.close(figure)

    for module in (confounds, stability):
        monkeypatch.setattr(module, "save", keep)
    return figures


def rows() -> list[dict[str, Any]]:
    same = {"model": "vae", "fold": 0, "seed": 0, "status": "ok", "reason": "", "verdict": "healthy", "declared": False}
    found = []
    for nuisance, kind in (("age", "nuisance"), ("noise", "nuisance"), ("sex", "nuisance"), ("ventricles", "region")):
        for k in range(3):
            flag = nuisance == "noise" and k == 1
            row = same | {"nuisance": nuisance, "nuisance_kind": kind, "r2_adjusted": 0.1 * k, "flagged": flag}
            row |= {"status": "no such numbers"} if nuisance == "sex" else {}
            found.append(row | {"kind": "latent", "latent": f"mu_{k:03d}"})
    return [*found, same | {"kind": "score", "score": "motor", "nuisance": "age", "nuisance_kind": "nuisance",
                            "r2_adjusted": 0.3, "flagged": True}]  # fmt: skip


def test_flagged_cells_are_framed(tmp_path: Path, drawn: list[Figure]):
    tidy(rows(), audit.COLUMNS).to_parquet(tmp_path / "audit.parquet")
    confounds.draw(audit=tmp_path / "audit.parquet", name="vae", out=tmp_path / "out.png")
    latents, scores = drawn[0].axes[:2]
    assert [label.get_text() for label in scores.get_xticklabels()] == ["age", "image noise", "ventricles"]
    np.testing.assert_allclose(latents.images[0].get_array()[:, 0], [0, 0.1, 0.2])
    corners = [[patch.get_xy() for patch in axis.patches if isinstance(patch, Rectangle)] for axis in (latents, scores)]
    assert corners == [[(0.5, 0.5)], [(-0.5, -0.5)]]


def test_a_stopped_model_and_one_seed_say_so(tmp_path: Path, drawn: list[Figure]):
    stopped = {"model": "vae", "status": "not tested", "reason": "no active unit", "verdict": "collapsed"}
    tidy([stopped], audit.COLUMNS).to_parquet(tmp_path / "audit.parquet")
    confounds.draw(audit=tmp_path / "audit.parquet", name="vae", out=tmp_path / "out.png")
    tidy([{"seed": 3, **seeds.ONE}], seeds.COLUMNS).to_parquet(tmp_path / "stability.parquet")
    tidy([{"seed": 3, **seeds.ONE}], seeds.MATCHES).to_parquet(tmp_path / "matches.parquet")
    files = {name: tmp_path / f"{name}.parquet" for name in ("stability", "matches")}
    stability.draw(**files, name="vae", out=tmp_path / "out.png")
    clones = {"seed": 3, "other_seed": 4, "kind": "space", "cka": 1.0, **seeds.SAME}
    tidy([clones], seeds.COLUMNS).to_parquet(tmp_path / "stability.parquet")
    stability.draw(**files, name="vae", out=tmp_path / "out.png")
    words = [figure.axes[0].texts[0].get_text() for figure in drawn]
    assert "seeds 3 and 4: same latents; both seeds gave the same numbers" in words[2]
    assert "collapsed" in words[0] and "no active unit" in words[0] and "seed 3: one seed" in words[1]


def test_pairs_of_seeds_are_drawn(tmp_path: Path, drawn: list[Figure]):
    pair = {"model": "vae", "fold": 0, "seed": 0, "other_seed": 1, "n": 15, "status": "ok", "reason": ""}
    numbers = {"cka": 0.91, "procrustes_r2": 0.83, "procrustes_chance": 0.4, "latents": 2, "matched": 1}
    way = pair | {"kind": "direction", "score": "motor", "r_people": 0.7, "r_map": 0.6, "p": 0.01, "p_other": 0.2}
    none = pair | {"kind": "direction", "score": "falls", "status": "no direction"}
    tidy([pair | {"kind": "space"} | numbers, way, none], seeds.COLUMNS).to_parquet(tmp_path / "stability.parquet")
    first = pair | {"latent": "mu_000", "counterpart": "mu_001", "r": -0.9}
    second = pair | {"latent": "mu_001", "r": 0.3, "status": "no counterpart"}
    tidy([first, second], seeds.MATCHES).to_parquet(tmp_path / "matches.parquet")
    files = {name: tmp_path / f"{name}.parquet" for name in ("stability", "matches")}
    stability.draw(**files, name="vae", out=tmp_path / "out.png")
    spaces, matched, ways = drawn[0].axes[:3]
    assert [text.get_text() for text in spaces.texts] == ["0.91", "0.83"]
    assert "1 of 2" in matched.get_title() and [len(found.get_offsets()) for found in matched.collections] == [1, 1]
    assert [text.get_text() for text in ways.texts] == ["p 0.01 to 0.2", "no direction"]


def test_seeds_with_the_same_latents_are_named_and_not_drawn(tmp_path: Path, drawn: list[Figure]):
    pair = {"model": "vae", "fold": 0, "n": 15, "status": "ok", "reason": "", "cka": 0.5, "procrustes_r2": 0.4, "p": 0.1,
            "p_other": 0.2, "r_people": 0.3, "r_map": 0.3}  # fmt: skip
    same = pair | {"cka": 1.0, "procrustes_r2": 1.0, "r_people": 1.0, "r_map": 1.0} | seeds.SAME
    rows, found = [], []
    for row, (a, b) in ((same, (0, 1)), (pair, (0, 2)), (pair, (1, 2))):
        row = row | {"seed": a, "other_seed": b}
        rows += [row | {"kind": "space"}, row | {"kind": "direction", "score": "motor"}]
        found.append({key: row[key] for key in ("seed", "other_seed", "status")} | {"latent": "mu_000", "r": 0.9})
    tidy(rows, seeds.COLUMNS).to_parquet(tmp_path / "stability.parquet")
    tidy(found, seeds.MATCHES).to_parquet(tmp_path / "matches.parquet")
    files = {name: tmp_path / f"{name}.parquet" for name in ("stability", "matches")}
    stability.draw(**files, name="vae", out=tmp_path / "out.png")
    spaces, matched, ways = drawn[0].axes[:3]
    assert sorted(text.get_text() for text in spaces.texts) == ["0.40", "0.40", "0.50", "0.50"]
    assert "matched latents: 1 of 1" in matched.get_title()
    assert set(ways.collections[0].get_offsets()[:, 0]) == {0.3}
    assert "same latents: seeds 0 and 1" in drawn[0].get_suptitle()
    few = [row | {"status": "too few people"} for row in found[1:]]
    tidy(few, seeds.MATCHES).to_parquet(tmp_path / "matches.parquet")
    stability.draw(**files, name="vae", out=tmp_path / "out.png")
    assert "too few participants" in drawn[1].axes[1].get_title()
