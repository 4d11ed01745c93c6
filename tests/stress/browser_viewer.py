"""What tests/stress/browser.py shares: checks that print themselves, and the checks of the 3-D viewer."""

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page

DARK = 24  # of 255: the viewer's background is black
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
    differs("slider: change under the crosshair", *(text.split("change ")[-1] for text in (value, new_value)))
    differs("slider: label", label, new_label)
    page.locator("#viewer-opacity").press("Home")  # without the overlay, only the decoded brain is left
    page.locator("#viewer-frame").press("End")
    bare = pixels(page)
    page.locator("#viewer-frame").press("Home")
    changed("slider: brain below the overlay", bare, pixels(page))
