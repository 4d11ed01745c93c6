"""Part of `make browser-test`: the documentation site, opened from its files in headless Chromium without a network.

    python tests/stress/browser_site.py docs/build/html [--screens folder]

Every page is opened at desktop and phone width: no request leaves the folder, no script fails, nothing is wider than the
phone, and every link to a page or a place within one leads somewhere. Then the search finds a key, a column and a message.
"""

import argparse
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlparse

from browser import FLAGS, PHONE, WIDE, chromium
from browser_viewer import check, count, none
from playwright.sync_api import Browser, Page, sync_playwright

SHOWN = (
    "index",
    "tutorials/demo",
    "reference/configuration",
    "reference/outputs",
    "explanation/statistics",
    "how-to/troubleshooting",
)
SOUGHT = {"free_bits": "configuration", "p_maxt": "outputs", "already holds the results of": "troubleshooting"}
WIDER = """() => [...document.querySelectorAll("article *")].filter((one) => {
  const scrolls = one.closest("table, pre, .math, .highlight");
  return one.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && (!scrolls || scrolls === one && one.tagName !== "PRE");
}).map((one) => one.outerHTML.slice(0, 80))"""
LINKS = "() => [...document.links].map((one) => one.href)"


def watched(browser: Browser, site: Path) -> tuple[Page, list[str], list[str]]:
    """A page without a network, its errors, and its requests beyond the folder of the site."""
    context = browser.new_context(viewport={"width": WIDE, "height": 900}, offline=True)
    page, home = context.new_page(), site.resolve().as_uri()
    errors: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith((home, "data:")) else requests.append(one.url))
    return page, errors, requests


def pages(page: Page, site: Path, screens: Path) -> None:
    """Every page at both widths; screenshots of some."""
    wide: list[str] = []
    lost: list[str] = []
    links, files = 0, sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    for path in files:
        name = str(path.relative_to(site).with_suffix(""))
        page.set_viewport_size({"width": WIDE, "height": 900})
        page.goto(path.resolve().as_uri())
        if name in SHOWN:
            page.screenshot(path=screens / f"site_{name.replace('/', '_')}_{WIDE}.png")
        found = page.evaluate(LINKS)
        links += len(found)
        lost += [f"{name}: {url}" for url in found if not leads(url, site)]
        page.set_viewport_size({"width": PHONE, "height": 900})
        if name in SHOWN:
            page.screenshot(path=screens / f"site_{name.replace('/', '_')}_{PHONE}.png")
        wide += [f"{name}: {one}" for one in page.evaluate(WIDER)]
    none(f"elements of the site wider than {PHONE} px", wide, len(files))
    none("links of the site that lead nowhere", lost, links)


def leads(url: str, site: Path) -> bool:
    """Does a link within the site name a file, and a place that is in it? Links to the web are not followed."""
    parts = urlparse(url)
    if parts.scheme != "file":
        return parts.scheme in ("http", "https", "mailto")
    path = Path(unquote(parts.path))
    if not path.is_file() or site.resolve() not in path.parents:
        return False
    return (
        not parts.fragment
        or path.suffix != ".html"
        or f'id="{unquote(parts.fragment)}"' in path.read_text(encoding="utf-8")
    )


def search(page: Page, site: Path) -> None:
    """The search of the site finds what a reader looks for."""
    for words, name in SOUGHT.items():
        page.goto(f"{(site / 'search.html').resolve().as_uri()}?q={words.replace(' ', '+')}")
        page.wait_for_selector("#search-results li a", timeout=30_000)
        found = [str(link.get_attribute("href")) for link in page.locator("#search-results li a").all()]
        check(
            f"results of the search for '{words}'",
            len(found),
            f"one in {name}",
            any(name in url for url in found),
            len(found),
        )


def main() -> None:
    """Check one site."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--screens", type=Path, default=Path(tempfile.gettempdir()) / "neurovae-screens")
    given = parser.parse_args()
    given.screens.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, "--no-sandbox"])
        page, errors, requests = watched(browser, given.site)
        pages(page, given.site, given.screens)
        search(page, given.site)
        none("errors of the site's scripts", errors, 1)
        none("requests beyond the site", requests, 1)
        browser.close()
    print(f"\nscreenshots: {given.screens}\n" + ", ".join(f"{number} {word.lower()}" for word, number in count.items()))
    raise SystemExit(bool(count["FAILED"]))


if __name__ == "__main__":
    main()
