"""The report: its numbers are those of the tables, no text of the data becomes markup, missing results are named."""

import base64
import dataclasses
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from report_folder import FIT, folder, put

from neurovae.preprocess.names import in_space
from neurovae.report import blocks, page, text
from neurovae.report.figures import thumbnails
from neurovae.report.results import Run
from neurovae.report.sections import associations, findings, latents, methods, methods_models, provenance, quality

pytestmark = pytest.mark.filterwarnings("error")
SCRIPT, IMAGE = "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """Tags with their attributes, text outside scripts, and the tables' data."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.words: list[str] = []
        self.data: list[Any] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = "" if tag in ("img", "meta", "link", "input", "br") else f"{tag} {dict(attrs).get('class', '')}"

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script rows":
            self.data.append(json.loads(data))
        elif not self.inside.startswith(("script", "style")):
            self.words.append(data)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Page, str]:
    run = folder(tmp_path_factory.mktemp("plain"), "motor", [f"sub-{k:02d}" for k in range(24)], ["A", "B"], "moved")
    html = page.build(run)
    return run, Page(html), html


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Page:
    people = [f"sub-{k:02d}{SCRIPT if k % 2 else IMAGE}".replace("/", "∕" * (k > 5) or "/") for k in range(24)]
    run = folder(
        tmp_path_factory.mktemp("hostile"), f"motor{SCRIPT}", people, [f"A{IMAGE}", "$B_x$"], f"moved{IMAGE}{SCRIPT}"
    )
    return Page(page.build(run))


def test_numbers_are_those_of_the_tables(plain: tuple[Run, Page, str]):
    run, found, _ = plain
    truth = pd.read_csv(run.cohort / "findings/associations.tsv", sep="\t", na_values=["n/a"])
    rows = next(rows for rows in found.data if len(rows) == len(truth) and ["mu_000", "mu_000", False] in rows[0])
    cells = {pair[1]: pair[0] for row in rows for pair in row if isinstance(pair[1], float)}
    for name in ("effect", "p", "q", "p_maxt"):
        for value in truth[name].dropna():
            assert value in cells and float(cells[value]) == pytest.approx(value, rel=0.005)
    words = " ".join(found.words)
    assert "-0.51 [-0.81, -0.21]" in words and "0.012" in words and "0.612" in words
    assert (
        "23 of 24 participants and 23 of 24 scans passed quality control and were analysed, from 2 sites (A: 12, B: 11)."
        in words
    )
    assert "23 of 24 scans passed" in words


def test_the_page_opens_with_the_conclusion_and_all_else_is_closed(plain: tuple[Run, Page, str]):
    _, found, html = plain
    assert html.index('class="lead"') < html.index('class="finding associated"') < html.index("<details")
    words = " ".join(" ".join(found.words).split())
    assert "Associated with the latents of vae: motor." in words
    assert "mu_000: moved; not replicated with other seeds" in words
    parts = [attrs for tag, attrs in found.tags if tag == "details"]
    assert len(parts) >= 10 and not any("open" in attrs for attrs in parts)


def test_caveats_are_highlighted_in_the_table(plain: tuple[Run, Page, str]):
    assert ("td", {"class": "mark bad"}) in plain[1].tags
    rows = next(rows for rows in plain[1].data if ["mu_000", "mu_000", False] in rows[0])
    cells = [cell for row in rows for cell in row if cell[2]]
    assert [cell[0] for cell in cells] == ["mu_000: moved; not replicated with other seeds"]


def test_missing_results_are_named(plain: tuple[Run, Page, str]):
    words = " ".join(" ".join(plain[1].words).split())
    for path in ("predict/predictions.tsv", "audit/power.tsv", "report/vae_fold-0_seed-0_losses.png", "interpret/"):
        assert f"not available: {path}" in words, path
    assert "pca-3 is collapsed and was not analysed further: no active unit" in words
    assert "pca is fitted in one step and has no epochs" in words


def test_a_collapsed_primary_model_is_named_first(plain: tuple[Run, Page, str]):
    run = dataclasses.replace(plain[0], primary="pca-3")
    first = findings.findings(run)
    assert first[0]["text"] == "No score could be tested: no active unit."
    assert any("pca-3 is collapsed" in block.get("text", "") for block in first if block["kind"] == "note")
    cards = next(block["cards"] for block in first if block["kind"] == "findings")
    assert [card["headline"] for card in cards] == ["Not tested: no active unit"] and not cards[0]["figures"]
    assert associations.associations(run)[0]["text"] == "all scores: Not tested: no active unit"
    assert "No test of the primary model was possible" in " ".join(methods.paragraphs(run))


def test_no_text_of_the_data_becomes_markup(hostile: Page):
    assert [attrs for tag, attrs in hostile.tags if tag == "script" and attrs.get("class") != "rows"] == [{}]
    for tag, attrs in hostile.tags:
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        assert tag != "img" or attrs["src"].startswith("data:image/webp;base64,")
    words = " ".join(hostile.words)
    for shown in (f"motor{SCRIPT}", f"moved{IMAGE}{SCRIPT}", f"site A{IMAGE}", f"sub-00{IMAGE}"):
        assert shown in words, shown
    assert SCRIPT in json.dumps(hostile.data) and not any("script" in tag for tag, _ in hostile.tags if tag != "script")


def test_the_page_needs_nothing_from_outside(plain: tuple[Run, Page, str]):
    _, found, html = plain
    links = [value for _, attrs in found.tags for name, value in attrs.items() if name in ("src", "href")]
    assert links and all(value.startswith(("#", "data:image/webp")) for value in links)
    policy = next(attrs["content"] for tag, attrs in found.tags if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'") and "http" not in policy
    anchors = {value[1:] for value in links if value.startswith("#")}
    assert anchors == {attrs["id"] for tag, attrs in found.tags if tag == "section"}
    assert all(attrs.get("alt") for tag, attrs in found.tags if tag == "img")
    assert "url(" not in html and "@import" not in html


def test_methods_describe_what_was_run_and_nothing_else(plain: tuple[Run, Page, str]):
    words, works = methods.cited(methods.paragraphs(plain[0]))
    said = " ".join(words)
    for part in (
        "The analysis included 23 participants from 2 sites, with one T1-weighted scan each.",
        "1 of 24 scans failed quality control and were excluded.",
        "Training, validation and test sets comprised 14, 5 and 5 participants.",
        "HC2 standard errors and Bell-McCaffrey degrees of freedom (Imbens & Kolesár, 2016) for motor (n = 24)",
        "500 permutations (Winkler et al., 2015) of the residuals of the score",
        "Confounds were age. Participants with missing data were excluded (motor: 1 without the score).",
        "N4BiasFieldCorrection (Tustison et al., 2010)",
        "Scans were excluded if the signal-to-noise ratio was below 2.",
    ):
        assert part in said, part
    assert "deepbet" not in said
    assert "Prediction." not in said and "Maps." not in said  # neither was run
    assert not methods.KEYS.search(said) and any("Tustison" in work for work in works)
    assert not any("Fisch" in work for work in works)


def test_several_works_are_cited_in_one_bracket():
    assert methods.cited(["Tests [liu, goeman]."])[0] == ["Tests (Goeman et al., 2006; Liu et al., 2007)."]
    within = methods.cited(["A template (version 2009a; [template]) by affines [ants]."])[0]
    assert within == ["A template (version 2009a; Fonov et al., 2011) by affines (Avants et al., 2011)."]
    assert methods.cited(["[0.1, 0.2] and [nobody]"]) == (["[0.1, 0.2] and [nobody]"], [])


def test_every_reference_has_a_doi_or_is_known_to_have_none():
    without = {key for key, (_, work) in methods.WORKS.items() if "doi:10." not in work}
    assert without == {"maxt", "sklearn", "mle", "d2", "ibfa", "pcca", "plsc"}


def test_the_primary_model_is_said_to_be_specified_beforehand_only_where_it_was(plain: tuple[Run, Page, str]):
    run = plain[0]
    for named, words in ((None, "was used as"), ("vae", "was prespecified as")):
        asked = replace(run, config={**run.config, "associate": {"primary": named}})
        assert words in methods_models.primary(asked)


def test_nearest_neighbour_is_the_nearest(plain: tuple[Run, Page, str]):
    run = plain[0]
    points = pd.read_parquet(run.cohort / f"latents/vae/{FIT}/latents.parquet")
    names = ["mu_000", "mu_001", "mu_002"]
    cards = latents.neighbours(run, points.assign(age=1.0), names, ["age"], "")[0]["cards"]
    for person, near in zip(cards[::2], cards[1::2], strict=True):
        z = points.set_index("scan")[names]
        known = z[(points["split"] == "training").to_numpy()]
        assert near["title"] == ((known - z.loc[person["title"]]) ** 2).sum(axis=1).idxmin()


def test_outline_is_where_the_mask_ends(tmp_path: Path):
    volume = np.zeros((20, 24, 20), dtype=np.float32)
    mask = np.zeros(volume.shape, dtype=bool)
    mask[5:15, 6:18, 5:15] = True
    volume[mask] = np.random.default_rng(0).normal(100, 5, int(mask.sum()))
    checks = pd.DataFrame(
        [{"scan": "sub-01", "status": "ok", "template_r": 0.5, "excluded": True, "reason": "low snr"}]
    )
    run = Run(tmp_path, [], FIT, "vae", [], tmp_path, {"preprocess": {"voxel_mm": 4}})
    put(tmp_path / "preprocess/qc.tsv", checks)
    for ending, data in (("desc-brain_T1w.nii.gz", volume), ("label-brain_probseg.nii.gz", mask.astype(np.uint8))):
        file = in_space(tmp_path / "preprocess/derivatives", "sub-01", 4, ending)
        file.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data, np.eye(4)), file)
    card = next(block for block in quality.quality(run) if block["kind"] == "gallery")["cards"][0]
    assert card["excluded"] and card["reason"] == "low snr" and card["src"].startswith("data:image/webp;base64,")
    pixels = decoded(card["src"]).astype(int)
    orange = (pixels[..., 0] - pixels[..., 2]) > 60
    filled = decoded(thumbnails.scan(volume)).mean(axis=2) > 60
    assert 0.01 < orange.mean() < 0.1
    assert not orange[:20].any() and orange.any(axis=1).sum() / len(orange) == pytest.approx(
        filled.any(axis=1).mean(), abs=0.1
    )


def decoded(src: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2]))).convert("RGB"))


@pytest.mark.parametrize(("value", "words"), [(0.00012345, "0.000123"), (118.0, "118"), (1431.7, "1432"), (np.nan, "n/a"),
                                             (True, "yes"), (None, "n/a"), (-0.5, "-0.5"), ("NA", "NA"), (10000, "10000")])  # fmt: skip
def test_numbers_are_shown_short(value: Any, words: str):
    assert text.shown(value) == words


def test_long_tables_say_how_many_rows_they_leave_out():
    long = pd.DataFrame({"p": np.linspace(0, 1, blocks.MAX_ROWS + 5), "empty": None})
    block = blocks.table(long, {"p": "p", "empty": "empty", "lost": "lost"}, "file", "caption")
    assert len(block["rows"]) == blocks.MAX_ROWS and block["total"] == blocks.MAX_ROWS + 5 and len(block["heads"]) == 1
    assert block["heads"][0]["kind"] == "number" and block["rows"][7] == [["0.00233", long["p"][7], False]]


def test_missing_git_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    assert "git" in provenance.commit()


def test_same_inputs_give_the_same_file(
    plain: tuple[Run, Page, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = plain[0]
    page.run(cohort=run.cohort, models=run.models, fit=FIT, primary="vae", shown=["vae"], captions=run.captions,
             settings=run.config, out=tmp_path / "report.html")  # fmt: skip
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == plain[2]
    assert "17/17 Provenance" in capsys.readouterr().out
