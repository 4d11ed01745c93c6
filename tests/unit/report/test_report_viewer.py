import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine
from tiny import MASK
from viewer_results import FIT, HOSTILE, results

from neurovae.report.viewer import section as viewer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results(tmp_path_factory.mktemp("viewer") / "results", ["vae", "pca"])


class Page(HTMLParser):
    """Options and script elements of the viewer, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.held: dict[str, str] = {}
        self.options: list[str] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.inside = str(dict(attrs).get("id")) if tag == "script" else tag

    def handle_data(self, data: str) -> None:
        if self.inside.startswith("viewer-"):
            name = self.inside.removeprefix("viewer-")
            self.held[name] = self.held.get(name, "") + data
        elif self.inside == "option":
            self.options.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def image(self, name: str) -> nib.Nifti1Image:
        return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(json.loads(self.held[name]))))


def test_embedded_maps_are_the_files_in_mni_within_half_a_step(folder: Path) -> None:
    page = Page(viewer.section(folder, ["pca", "vae"], FIT, "vae"))
    index = json.loads(page.held["index"])
    assert page.options[0] == "vae, motor: pattern" and len(index) == len(page.options) == 2 * (3 + 2 + 1 + 1)
    for entry, option in zip(index, page.options, strict=True):
        image, path = page.image(f"change-{entry['id']}"), folder / entry["file"]
        assert (image.header["sform_code"], image.ndim, image.get_data_dtype()) == (4, 4, np.int8)
        wanted = nib.load(path).get_fdata()
        wanted = wanted[..., None] if wanted.ndim == 3 else wanted
        whole = nib.load(folder / "interpret" / option.split(",")[0] / FIT / "traversals" / "mu_000.nii.gz")
        middle = page.image(f"centre-{entry['centre']}")
        step, found = image.dataobj.slope, image.get_fdata()
        for voxel in np.argwhere(MASK)[::97]:
            x, y, z = apply_affine(np.linalg.inv(image.affine) @ nib.load(path).affine, voxel).round().astype(int)
            base = whole.get_fdata()[(*voxel, 1)]  # the middle quantile changes nothing
            assert abs(middle.get_fdata()[x, y, z] - base) < 1e-3
            expected = wanted[tuple(voxel)][0] - (base if ": from" in option or "Path" in option else 0)
            assert abs(found[x, y, z, 0] - expected) <= step / 2 + 1e-4, option


def test_latents_are_ordered_by_their_smallest_p_and_frames_name_percentiles(folder: Path) -> None:
    page = Page(viewer.section(folder, ["vae"], FIT, "vae"))
    latents = [option for option in page.options if "Latent" in option]
    assert latents[0] == "vae, Latent mu_002 (rank 1: motor, max-T p 0.1)" and "Latent mu_000 (rank 3" in latents[2]
    entry = json.loads(page.held["index"])[page.options.index(latents[0])]
    assert entry["frames"][2] == "95th percentile, z = 1.00" and entry["start"] == 2


def test_score_map_holds_only_significant_voxels_in_its_second_frame(folder: Path) -> None:
    page = Page(viewer.section(folder, ["vae"], FIT, "vae"))
    entry = json.loads(page.held["index"])[0]
    found = page.image(f"change-{entry['id']}").get_fdata()
    assert entry["frames"][0] == "+1 SD of the score" and len(entry["frames"]) == 4
    assert ((found[..., 1] == found[..., 0]) | (found[..., 1] == 0)).all()
    step = entry["limit"] / 20
    assert (found[..., 1][found[..., 0] > 1 + step] > 0).all() and (found[..., 1][found[..., 0] < 1 - step] == 0).all()


def test_budget_is_kept_and_maps_left_out_are_listed_with_their_path(folder: Path) -> None:
    whole = Page(viewer.section(folder, ["vae", "pca"], FIT, "vae"))
    html = viewer.section(folder, ["vae", "pca"], FIT, "vae", budget_mb=0.06)
    page = Page(html)
    size = sum(len(value) for name, value in page.held.items() if name != "index")
    assert 0 < len(page.options) < len(whole.options) and size < 0.06e6 + 100
    assert page.options[0] == "vae, motor: pattern"
    assert f"of pca (in interpret/pca/{FIT}/traversals)" in html


def test_fine_grids_are_averaged_where_they_are(tmp_path: Path) -> None:
    folder = results(tmp_path / "fine", ["vae"], size=2.0)
    html = viewer.section(folder, ["vae"], FIT, "vae")
    page = Page(html)
    image = page.image("centre-0")
    assert "averaged to 4-mm voxels" in html and np.allclose(np.diag(image.affine)[:3], 4)
    whole = nib.load(folder / "interpret" / "vae" / FIT / "traversals" / "mu_000.nii.gz")
    corner = np.argwhere(MASK).min(axis=0)
    block = whole.get_fdata()[tuple(slice(k, k + 2) for k in corner)][..., 1]
    assert abs(image.get_fdata()[0, 0, 0] - block.mean()) < 1e-3
    assert np.allclose(image.affine[:3, 3], apply_affine(whole.affine, corner + 0.5))


def test_text_of_the_cohort_stays_text(tmp_path: Path) -> None:
    folder = results(tmp_path / "hostile", ["vae"], score=HOSTILE)
    page, plain = (Page(viewer.section(one, ["vae"], FIT, "vae")) for one in (folder, results(tmp_path / "p", ["vae"])))
    assert page.tags == plain.tags and "img" not in page.tags
    assert f"vae, {HOSTILE}: pattern" in "".join(page.options)


def test_missing_maps_are_listed(tmp_path: Path) -> None:
    folder = results(tmp_path / "none", [])
    (folder / "interpret" / "vae" / FIT).mkdir(parents=True)
    rows = {"status": ["not tested"], "reason": ["<collapsed>"], "score": [None], "smallest_p": [np.nan]}
    pd.DataFrame(rows).to_parquet(folder / "interpret" / "vae" / FIT / "maps.parquet")
    html = viewer.section(folder, ["vae"], FIT, "vae")
    assert "no score maps of vae: not tested: &lt;collapsed&gt;" in html and "<canvas" not in html
    assert "no traversals of vae: interpret/vae" in html


def test_same_inputs_give_the_same_page(folder: Path) -> None:
    assert viewer.section(folder, ["vae"], FIT, "vae") == viewer.section(folder, ["vae"], FIT, "vae")


def test_niivue_is_the_file_that_its_notice_names_and_may_stand_in_a_page() -> None:
    data = (viewer.ASSETS / "niivue.umd.js").read_bytes()
    assert hashlib.sha256(data).hexdigest() in (viewer.ASSETS / "NIIVUE-LICENSE").read_text()
    for name in viewer.SCRIPTS:
        text = (viewer.ASSETS / name).read_text(encoding="utf-8")
        assert not re.search(r"</script|<!--", text, re.IGNORECASE)
        assert not re.search(r"\bimport\(|importScripts|new (Shared)?Worker\(", text)
