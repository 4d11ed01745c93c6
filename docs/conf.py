"""The documentation site: Sphinx with MyST, built by `make docs` into docs/build/html; nothing comes from the web."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extension"), str(HERE.parent / "src")]

import bibliography  # noqa: E402

project = "neurovae"
author = "The neurovae authors"
extensions = [
    "myst_parser",
    "sphinxcontrib.bibtex",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "site_pages",
    "mathml",
]
exclude_patterns = ["build", "extension"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of numpy and torch, whose own documentation is on the web

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

bibliography.write(HERE / "build" / "report.bib")
bibtex_bibfiles = ["build/report.bib", "references.bib"]
bibtex_reference_style = "author_year"
bibtex_default_style = "unsrt"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "neurovae"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # summaries are fetched page by page, which a browser refuses under file://
html_math_renderer = "mathml"
html_sidebars = {name: [] for name in ("index", "glossary", "references")}
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 6,
}
html_context = {"default_mode": "auto"}
project_copyright = "the neurovae authors; MIT licence"
