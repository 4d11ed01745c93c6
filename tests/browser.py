"""`make browser-test`: reports opened in headless Chromium; every check printed, screenshots left to be looked at.

    python tests/browser.py results/demo/report/report.html [more.html] [--screens folder]

Chromium is Debian's package, installed if it is missing and may be; WebGL is drawn by SwiftShader, without a GPU.
"""

import argparse
import io
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from test_report_viewer import FIT, HOSTILE, results

from neurovae.report import viewer

FLAGS = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]
WIDE, PHONE, PAPER = 1280, 375, 718  # pixels; the last is A4 less its margins
PIECE = 3000  # pixels of a page's height per screenshot
DARK = 24  # of 255: the viewer's background is black
OURS = ("data:", "blob:", "about:")  # addresses that reach nothing outside the file
count = {"passed": 0, "FAILED": 0, "skipped": 0}


def check(what: str, value: object, bar: str, met: bool, n: int) -> None:
    """Print one check: measured value, bar, how many things were looked at."""
    word = "passed" if met else "FAILED"
    count[word] += 1
    print(f"{word}: {what} {f'{value:.3f}' if isinstance(value, float) else value} (bar {bar}), n {n}", flush=True)


def none(what: str, found: list[Any], n: int) -> None:
    """Check that nothing was found; what was is named."""
    named = f": {'; '.join(dict.fromkeys(str(one)[:120] for one in found[:8]))}" if found else ""
    check(what, f"{len(found)}{named}", "0", not found, n)


def skip(what: str, why: str) -> None:
    """Say what was not checked."""
    count["skipped"] += 1
    print(f"skipped: {what}: {why}", flush=True)


def chromium() -> str:
    """Path of Chromium, installed from Debian's package where that is missing and we are root."""
    if not shutil.which("chromium"):
        if os.geteuid() or not shutil.which("apt-get"):
            raise SystemExit("Chromium is missing and may not be installed here; run: apt-get install chromium")
        print("installing Debian's chromium", flush=True)
        for command in ("update -q", "install -y -q --no-install-recommends chromium"):
            subprocess.run(["apt-get", *command.split()], check=True, stdout=subprocess.DEVNULL)
    return str(shutil.which("chromium"))


def opened(browser: Browser, path: Path, width: int, without: str = "") -> tuple[Page, dict[str, list[str]]]:
    """A fresh page of a file, and what it says: errors, dialogs, requests beyond the file. without: a script put first."""
    page, home = browser.new_page(viewport={"width": width, "height": 900}), path.resolve().as_uri()
    said: dict[str, list[str]] = {"errors": [], "dialogs": [], "requests": []}
    page.on("console", lambda message: said["errors"].append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said["errors"].append(str(error)))
    page.on("dialog", lambda dialog: (said["dialogs"].append(dialog.message), dialog.dismiss())[1])
    page.on("request", lambda one: None if one.url.startswith((home, *OURS)) else said["requests"].append(one.url))
    page.add_init_script(path=Path(__file__).with_suffix(".js"))
    page.add_init_script(without)
    page.goto(home)
    return page, said


def pixels(page: Page) -> np.ndarray:
    """What a person sees of the viewer's canvas, (height, width, 3)."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shot = page.locator("#viewer-canvas").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def changed(what: str, before: np.ndarray, after: np.ndarray) -> None:
    """Check that pixels differ visibly."""
    share = float((np.abs(before - after).max(axis=2) > DARK).mean())
    check(f"{what}: share of pixels changed", share, "> 0.001", share > 0.001, before[..., 0].size)


def differs(what: str, before: str, after: str) -> None:
    """Check that a text changed."""
    check(what, f"'{before}' -> '{after}'", "differs", before != after, 1)


def choose(page: Page, option: int) -> None:
    """Choose a map and wait until it is drawn."""
    drawn = page.get_attribute("#viewer", "data-drawn")
    page.select_option("#viewer-map", index=option)
    page.wait_for_function("(old) => document.getElementById('viewer').dataset.drawn !== old", arg=drawn)
    page.wait_for_selector("#viewer[aria-busy=false]")


def viewed(page: Page, screens: Path, name: str) -> None:
    """The viewer draws; list, slider, threshold and keys change what it draws."""
    if not page.query_selector("#viewer-canvas"):
        skip("viewer", "this report has no maps")
        return
    start = time.monotonic()
    page.locator("#viewer").scroll_into_view_if_needed()
    page.wait_for_selector("#viewer[data-drawn][aria-busy=false]", timeout=120_000)
    seconds, first = time.monotonic() - start, pixels(page)
    check("viewer: seconds until it draws", seconds, "<= 60", seconds <= 60, 1)
    drawn = float((first.max(axis=2) > DARK).mean())
    check("viewer: share of pixels not background", drawn, "> 0.02", drawn > 0.02, first[..., 0].size)
    page.locator("#viewer").screenshot(path=screens / f"{name}_viewer.png")
    frames = page.evaluate("asked.frames()")
    if len(frames) > 1:
        choose(page, len(frames) - 1)
        changed("another map", first, pixels(page))
    if max(frames) > 1:
        names = page.locator("#viewer-map option").all_text_contents()
        latents = [k for k, option in enumerate(names) if "Latent" in option and frames[k] > 1]
        walked(page, [*latents, frames.index(max(frames))][0])
        page.locator("#viewer").screenshot(path=screens / f"{name}_viewer_walked.png")
    choose(page, 0)
    before, text = pixels(page), page.inner_text("#viewer-value")
    page.locator("#viewer-threshold").press("End")
    changed("threshold", before, pixels(page))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    paper = page.evaluate("document.getElementById('viewer-print').decode().then(() => asked.light())")
    check("picture for print: share not background", paper, "> 0.02", paper > 0.02, 1)
    page.locator("#viewer-canvas").press("ArrowUp")
    differs("arrow key: place of the crosshair", text.split(":")[0], page.inner_text("#viewer-value").split(":")[0])


def walked(page: Page, option: int) -> None:
    """The slider, moved by keys from the last frame to the first, changes brain, value and label."""
    choose(page, option)
    texts = []
    for key in ("End", "Home"):
        page.locator("#viewer-frame").press(key)
        texts.append((pixels(page), page.inner_text("#viewer-value"), page.inner_text("#viewer-label")))
    (before, value, label), (after, new_value, new_label) = texts
    changed("slider", before, after)
    differs("slider: value under the crosshair", value, new_value)
    differs("slider: label", label, new_label)
    page.locator("#viewer-opacity").press("Home")  # without the overlay, only the decoded brain is left
    page.locator("#viewer-frame").press("End")
    bare = pixels(page)
    page.locator("#viewer-frame").press("Home")
    changed("slider: brain below the overlay", bare, pixels(page))


def shoot(page: Page, screens: Path, name: str, most: int = 4) -> None:
    """Screenshots of the first pieces of a page; Chromium draws a long page as one picture only slowly, if at all."""
    width, height = page.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
    for k, top in enumerate(range(0, min(height, most * PIECE), PIECE)):
        clip = {"x": 0, "y": top, "width": width, "height": min(PIECE, height - top)}
        page.screenshot(path=screens / f"{name}_{k}.png", full_page=True, clip=clip, timeout=120_000)


def laid_out(page: Page, screens: Path, name: str) -> None:
    """Nothing is wider than a phone, nor cut off on paper; screenshots of both and of a wide window."""
    shoot(page, screens, f"{name}_{WIDE}")
    page.set_viewport_size({"width": PHONE, "height": 900})
    shoot(page, screens, f"{name}_{PHONE}")
    width = page.evaluate("asked.width()")
    check(f"width of the document at {PHONE} px", width, f"<= {PHONE}", width <= PHONE, 1)
    page.evaluate("asked.open()")
    none(f"elements wider than the window at {PHONE} px, all opened", page.evaluate("asked.wide()"), PHONE)
    page.set_viewport_size({"width": PAPER, "height": 1000})
    page.emulate_media(media="print")
    tables, clipped = page.evaluate("asked.clipped()")
    none("tables cut off in print", clipped, tables)
    shoot(page, screens, f"{name}_print")


def report(browser: Browser, path: Path, screens: Path) -> None:
    """All checks of one report."""
    name = f"{path.resolve().parent.parent.name}_{path.stem}"
    print(f"\n{path} ({path.stat().st_size / 1e6:.1f} MB)", flush=True)
    page, said = opened(browser, path, WIDE)
    page.wait_for_load_state("load")
    viewed(page, screens, name)
    page.evaluate("asked.open()")
    images, silent, broken = page.evaluate("asked.images()")
    check("images without a text", silent, "0", silent == 0, images)
    check("images that are not loaded", broken, "0", broken == 0, images)
    links, lost = page.evaluate("asked.links()")
    none("links that lead nowhere", lost, links)
    clicks, wrong = page.evaluate("asked.sort()")
    if clicks:
        none("clicks on headings that left a column out of order", wrong, clicks)
    else:
        skip("sorting", "this report has no sortable table")
    page.close()
    page, again = opened(browser, path, WIDE)
    laid_out(page, screens, name)
    for what in ("errors", "dialogs", "requests"):
        none(f"{what} of the page", said[what] + again[what], 2)
    page.close()


def hostile(browser: Browser, folder: Path) -> None:
    """Script in names stays text in the viewer; a browser without WebGL2 is told so."""
    print("\na viewer of a hostile cohort", flush=True)
    path, made = folder / "viewer.html", results(folder / "cohort", ["vae"], score=HOSTILE)
    html = viewer.section(made, ["vae"], FIT, "vae")
    path.write_text(f'<!doctype html><meta charset="utf-8"><title>viewer</title>{html}', encoding="utf-8")
    page, said = opened(browser, path, WIDE)
    page.wait_for_selector("#viewer[data-drawn]", timeout=120_000)
    hit = page.evaluate("window.hit ?? 0")
    check("scripts of the cohort that ran", hit, "0", hit == 0, 1)
    shown = page.locator("#viewer-map option").first.text_content()
    check("name shown as text", f"{HOSTILE[:20]}...", "as it is", shown == f"vae, {HOSTILE}: pattern", 1)
    none("errors, dialogs and requests", sum(said.values(), []), 1)
    without = "HTMLCanvasElement.prototype.getContext = () => null;"
    page, said = opened(browser, path, WIDE, without)
    page.wait_for_selector("#viewer.without")
    check(
        "note where WebGL2 is missing",
        page.is_visible("#viewer .missing"),
        "seen",
        page.is_visible("#viewer .missing"),
        1,
    )
    none("errors where WebGL2 is missing", said["errors"], 1)


def main() -> None:
    """Check every report that was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="+", type=Path)
    parser.add_argument("--screens", type=Path, default=Path(tempfile.gettempdir()) / "neurovae-screens")
    given = parser.parse_args()
    given.screens.mkdir(parents=True, exist_ok=True)
    flags = [*FLAGS, *["--no-sandbox"] * (os.geteuid() == 0)]  # Chromium refuses its sandbox to root
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        for path in given.reports:
            report(browser, path, given.screens)
        hostile(browser, Path(folder))
        browser.close()
    print(f"\nscreenshots: {given.screens}\n" + ", ".join(f"{number} {word.lower()}" for word, number in count.items()))
    raise SystemExit(bool(count["FAILED"]))


if __name__ == "__main__":
    main()
