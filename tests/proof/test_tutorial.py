"""The walk of docs/explanation/argument.md: each step's claim, and that its tables are what is computed now."""

import math
import re
import shutil
from pathlib import Path

import pytest
import tutorial
from tutorial import Row

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "argument.md").read_text(encoding="utf-8")
TRAINED = {"collapse", "divergences", "capacity"}  # another CPU rounds each step of a training in its own way
Made = tuple[dict[str, list[Row]], str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """All steps, run as the page says: their rows, and the page that was written."""
    folder = tmp_path_factory.mktemp("walk") / "tutorial"
    shutil.copy(ROOT / "docs" / "explanation" / "argument.md", folder.with_suffix(".md"))
    rows = tutorial.main(folder, [])
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{step}.png" for step in tutorial.STEPS)
    return rows, folder.with_suffix(".md").read_text(encoding="utf-8")


def column(rows: list[Row], name: str) -> list:
    return [row[name] for row in rows if name in row]


def cells(page: str, step: str) -> list[str]:
    """Cells of a step's tables."""
    found = re.search(rf"<!-- {step} -->\n(.+?)\n<!-- end -->", page, flags=re.S)
    assert found, f"no table of {step}"
    return [cell.strip() for line in found[1].splitlines() for cell in line.strip("|").split("|")]


def same(one: str, other: str, close: float) -> bool:
    """Equal texts, or numbers that differ by what another machine may round."""
    try:
        a, b = float(one), float(other)
    except ValueError:
        return one == other
    if 0 < abs(a) < 1e-6 and b:
        return abs(math.log10(abs(a / b))) < 0.5
    return abs(a - b) <= close * (abs(b) + 0.3) + 0.0011


@pytest.mark.parametrize("step", tutorial.STEPS)
def test_the_page_s_numbers_are_those_computed(step: str, made: Made) -> None:
    shown, now = cells(PAGE, step), cells(made[1], step)
    close = 0.05 if step in TRAINED else 0.005
    assert len(shown) == len(now) > 8
    assert [(a, b) for a, b in zip(shown, now, strict=True) if not same(a, b, close)] == []


def test_a_number_that_is_not_computed_is_seen() -> None:
    assert same("0.508", "0.508", 0.005) and not same("0.508", "0.520", 0.005)
    assert (
        not same("healthy", "collapsed", 0.05) and not same("2e-20", "3e-12", 0.05) and not same("43.3", "47.1", 0.05)
    )
    with pytest.raises(ValueError, match="0 places for the table of missing"):
        tutorial.written(PAGE, "missing", "")
    assert tutorial.written("a\n<!-- x -->\nold\n<!-- end -->\nb", "x", "n") == "a\n<!-- x -->\nn\n<!-- end -->\nb"


@pytest.mark.parametrize("step", tutorial.STEPS)
def test_the_page_shows_each_picture_and_its_command(step: str) -> None:
    assert f"(argument/{step}.png)" in PAGE
    assert f"`.venv/bin/python tests/proof/tutorial.py docs/explanation/argument {step}`" in PAGE
    assert 10_000 < (ROOT / "docs" / "explanation" / "argument" / f"{step}.png").stat().st_size < 150_000


def test_no_straight_method_orders_people_along_a_spiral(made: Made) -> None:
    order, share = (
        {row["method"]: row[name] for row in made[0]["spiral"]}
        for name in ("absolute rank correlation of latent and position", "variance explained")
    )
    assert max(order[name] for name in ("PCA", "PCA, 2 latents", "MDS")) < 0.6
    assert min(order["Isomap"], order["LLE"]) > 0.98
    assert share["PCA, 2 latents"] > 0.99 > 0.6 > share["PCA"] > max(share["Isomap"], share["LLE"])


def test_beta_too_large_gives_the_mean_image_and_the_verdict_says_so(made: Made) -> None:
    rows = made[0]["collapse"]
    assert column(rows, "verdict") == ["healthy"] * 3 + ["collapsed"] * 2
    for name in ("KL, nats per training scan", "training variance explained", "identification accuracy"):
        assert column(rows, name) == sorted(column(rows, name), reverse=True)
    blurred, silent = rows[3:]
    assert (
        blurred["active units"] == 6 and blurred["training variance explained"] < 0.05
    )  # what active units alone do not see
    assert silent["active units"] == 0 and silent["KL, nats per training scan"] < 0.01
    share, known = (
        rows[2][name] / rows[0][name] for name in ("training variance explained", "identification accuracy")
    )
    assert known < 0.5 < share


def test_kl_and_mmd_draw_codes_to_the_prior(made: Made) -> None:
    rows = {row["loss"]: row for row in made[0]["divergences"]}
    far = {name: row["MMD between latents and prior"] for name, row in rows.items()}
    assert far["no divergence"] > far["beta 1"] > 3 * far["beta 30"] > 3 * far["beta 100"]
    assert far["MMD"] < 0.2 * far["no divergence"]
    assert far["beta 30"] == pytest.approx(far["MMD"], abs=0.04)
    assert rows["beta 30"]["held-out variance explained"] > rows["MMD"]["held-out variance explained"] + 0.02
    betas = [rows[f"beta {beta}"]["KL, nats per scan (all participants)"] for beta in (1, 30, 100)]
    assert betas == sorted(betas, reverse=True)
    assert rows["MMD"]["KL, nats per scan (all participants)"] == "not in the loss"


def test_a_decoder_that_sees_the_scan_abandons_the_latents(made: Made) -> None:
    alone, *helped = made[0]["capacity"]
    for row in helped:
        assert row["KL, nats per scan"] < alone["KL, nats per scan"] / 3
        assert row["nats lost with another's z"] < 20 < 100 < alone["nats lost with another's z"]
        assert row["held-out variance explained"] > alone["held-out variance explained"] + 0.05
        assert row["held-out ELBO"] > alone["held-out ELBO"] + 10
        assert row["information, nats"] < 0.6 * alone["information, nats"]
    assert alone["information, nats"] == pytest.approx(math.log(36), abs=0.05)


def test_a_filter_is_not_a_pattern_and_a_line_is_not_a_u(made: Made) -> None:
    rows = made[0]["regressions"]
    p, weights, pattern = (column(rows, name) for name in ("GLM p, `line`", "filter", "pattern"))
    assert p[0] < 1e-10 and min(p[1:]) > 0.05
    assert weights[1] / weights[0] == pytest.approx(-1 / math.sqrt(2), abs=0.1)  # signal = z0 - z1, standardised
    assert pattern[0] == pytest.approx(1 / math.sqrt(2), abs=0.1) and max(map(abs, pattern[1:])) < 0.15
    lost, of_u = column(rows, "SVR importance, `line`"), column(rows, "SVR importance, `u`")
    assert lost[0] > lost[1] > 10 * max(lost[2:])
    line, bend = column(rows, "GLM p, `u`"), column(rows, "spline p, `u`")
    assert min(line) > 0.05 and bend[2] < 1e-10 and min(bend[:2] + bend[3:]) > 0.05
    assert of_u[2] > 0.3 > 0.1 > max(of_u[:2] + of_u[3:])
    ridge, svr = rows[-2:]
    assert ridge["`line`"] > 0.7 and svr["`line`"] > 0.7 and abs(ridge["`u`"]) < 0.1 and svr["`u`"] > 0.3


def test_the_appendix_corrected_is_what_independent_numbers_say(made: Made) -> None:
    printed, here, held = zip(*([*row.values()][1:] for row in made[0]["slips"]), strict=True)
    assert held[0] == pytest.approx(here[0], abs=1e-6) and printed[0] == -here[0] < 0
    assert printed[1] > 1 > here[1] == pytest.approx(held[1], abs=0.005)
    assert here[2] == pytest.approx(held[2], rel=0.005) and printed[2] == 48
    ratios = (4, 2, 1, 0.5, 0.25, 0.1)
    assert printed[3] == pytest.approx(sum(r / (1 + r) for r in ratios), abs=0.3)
    assert printed[3] < here[3] == pytest.approx(held[3], abs=0.3)
    assert printed[4] == here[4] / 2 and held[4] == pytest.approx(0, abs=1e-6)
    assert printed[5] > 10 * here[5] and abs(held[5]) < 0.02
