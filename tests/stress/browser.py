"""`make browser-test`: reports opened in headless Chromium; every check printed, screenshots left to be looked at.

    python tests/stress/browser.py results/demo/report/report.html [more.html] [--screens folder]

Chromium is Debian's package, installed if it is missing and may be; WebGL is drawn by SwiftShader, without a GPU.
"""

import argparse
import contextlib
import io
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from browser_viewer import check, count, none, skip, viewed
from playwright.sync_api import Browser, Page, sync_playwright
from report_folder import folder
from viewer_results import HOSTILE, results

from neurovae.report.page import build

FLAGS = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]
WIDE, PHONE, PAPER = 1280, 375, 1047  # pixels; the last is what report.css prints on: A4 landscape less 10 mm
FIRST = {WIDE: 4000, PHONE: 12000}  # pixels: a closed report is at most this tall
PIECE = 3000  # pixels of a page's height per screenshot
OURS = ("data:", "blob:", "about:")  # addresses that reach nothing outside the file


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
    page.goto(home, timeout=120_000)  # a busy machine needs more than the 30 s that are the default
    return page, said


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
    first_screen(page, PHONE)
    width = page.evaluate("asked.width()")
    check(f"width of the document at {PHONE} px", width, f"<= {PHONE}", width <= PHONE, 1)
    page.evaluate("asked.open()")
    none(f"elements wider than the window at {PHONE} px, all opened", page.evaluate("asked.wide()"), PHONE)
    page.set_viewport_size({"width": PAPER, "height": 1000})
    page.emulate_media(media="print")
    tables, clipped = page.evaluate("asked.clipped()")
    none("tables cut off in print", clipped, tables)
    page.evaluate("asked.close()")  # what prints unless a reader opens more; Chromium draws 40,000 pixels slowly
    shoot(page, screens, f"{name}_print")


def first_screen(page: Page, width: int) -> None:
    """The findings come first, all other sections are closed, and the table of contents opens and marks them."""
    height, closed, sections = page.evaluate("asked.closed()")
    check(f"height of the closed report at {width} px", height, f"<= {FIRST[width]}", height <= FIRST[width], 1)
    check("sections that are closed", closed, "all but the findings", closed == sections - 1, sections)
    top = page.evaluate("document.querySelector('.lead, .note').getBoundingClientRect().bottom")
    check(f"bottom of the overall conclusion at {width} px", top, "<= 900", top <= 900, 1)


def contents(page: Page) -> None:
    """A link of the table of contents opens its section, scrolls to it, is marked, and stays in view."""
    page.click("nav a[href='#methods']")
    page.wait_for_selector("nav a[aria-current]:has-text('Methods')")
    place = page.evaluate("asked.place('methods')")
    check("top of a section that was opened by its link", place, "0 to 200", 0 <= place <= 200, 1)
    check("table of contents after scrolling", page.is_visible("nav a"), "in view", page.evaluate("asked.inView()"), 1)
    page.evaluate("scrollTo(0, 0)")


def report(browser: Browser, path: Path, screens: Path) -> None:
    """All checks of one report."""
    name = f"{path.resolve().parent.parent.name}_{path.stem}"
    print(f"\n{path} ({path.stat().st_size / 1e6:.1f} MB)", flush=True)
    page, said = opened(browser, path, WIDE)
    page.wait_for_load_state("load")
    first_screen(page, WIDE)
    contents(page)
    page.evaluate("asked.show('maps')")
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


def hostile(browser: Browser, place: Path) -> None:
    """Script in names stays text, in a whole report with its viewer; a browser without WebGL2 is told so."""
    print("\na report of a hostile cohort", flush=True)
    run = folder(place, HOSTILE, [f"sub-{k:02d}{HOSTILE}" for k in range(24)], [HOSTILE, "A"], HOSTILE)
    results(place / "made", ["vae"], score=HOSTILE)
    (place / "made" / "interpret").rename(run.cohort / "interpret")
    (place / "made" / "preprocess" / "mask.nii.gz").replace(run.cohort / "preprocess" / "mask.nii.gz")
    path = place / "report.html"
    with contextlib.redirect_stdout(io.StringIO()):
        path.write_text(build(run), encoding="utf-8")
    page, said = opened(browser, path, WIDE)
    page.evaluate("asked.show('maps')")
    page.locator("#viewer").scroll_into_view_if_needed()
    page.wait_for_selector("#viewer[data-drawn]", timeout=120_000)
    page.evaluate("asked.open()")
    page.evaluate("asked.sort()")
    check("scripts of the cohort that ran", page.evaluate("window.hit ?? 0"), "0", not page.evaluate("window.hit"), 1)
    shown = page.locator("#viewer-map option").first.text_content()
    check("score in the viewer", f"{HOSTILE[:20]}...", "as it is", shown == f"vae, {HOSTILE}: pattern", 1)
    seen = page.locator("body").text_content() or ""
    check("times that the name is shown as text", seen.count(HOSTILE), "> 24", seen.count(HOSTILE) > 24, 24)
    none("errors, dialogs and requests", sum(said.values(), []), 1)
    page, said = opened(browser, path, WIDE, "HTMLCanvasElement.prototype.getContext = () => null;")
    page.evaluate("asked.show('maps')")
    page.locator("#viewer").scroll_into_view_if_needed()
    page.wait_for_selector("#viewer.without")
    shown = page.is_visible("#viewer .missing")
    check("note where WebGL2 is missing", shown, "visible", shown, 1)
    none("errors where WebGL2 is missing", said["errors"], 1)


def main() -> None:
    """Check every report that was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="+", type=Path)
    parser.add_argument("--screens", type=Path, default=Path(tempfile.gettempdir()) / "neurovae-screens")
    given = parser.parse_args()
    given.screens.mkdir(parents=True, exist_ok=True)
    flags = [*FLAGS, *["--no-sandbox"] * (os.geteuid() == 0)]  # Chromium refuses its sandbox to root
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as place:
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        for path in given.reports:
            report(browser, path, given.screens)
        hostile(browser, Path(place))
        browser.close()
    print(f"\nscreenshots: {given.screens}\n" + ", ".join(f"{number} {word.lower()}" for word, number in count.items()))
    raise SystemExit(bool(count["FAILED"]))


if __name__ == "__main__":
    main()
