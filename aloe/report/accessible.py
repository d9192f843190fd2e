"""What a theme leaves out for readers who cannot see or use no mouse: scope of table headers, names of landmarks.

In: the pages as they were written. Out: the same pages with attributes added, and a heading where there was none. Texts
inside a page are escaped, so that what looks like a tag here is one.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

_NAMES = {"sidebar-drawer": "Pages of this report", "toc-drawer": "On this page"}


def with_scopes(page: str) -> str:
    """Table headers with their scope; an empty one, such as the corner of a frame, is no header.

    >>> with_scopes("<thead><tr><th></th><th>a</th></tr></thead><tbody><tr><th>0</th><td>1</td></tr></tbody>")
    '<thead><tr><td></td><th scope="col">a</th></tr></thead><tbody><tr><th scope="row">0</th><td>1</td></tr></tbody>'
    """
    page = re.sub(r"<th\b([^>]*)>(\s|&nbsp;|\u00a0)*</th>", r"<td\1></td>", page)
    scope = "row"

    def scoped(tag: re.Match[str]) -> str:
        nonlocal scope
        if tag[1] != "th":
            scope = "col" if tag[1] == "thead" else "row"
            return tag[0]
        return tag[0] if "scope=" in tag[2] else f'<th scope="{scope}"{tag[2]}>'

    return re.sub(r"<(thead|tbody|th)\b([^>]*)>", scoped, page)


def with_names(page: str) -> str:
    """Headings with a level, landmarks with names, and a heading of the first level on every page."""
    page = re.sub(r'role="heading"(?![^>]*aria-level)', 'role="heading" aria-level="2"', page)
    for name, label in _NAMES.items():
        page = re.sub(
            rf'<aside class="{name}([^"]*)"(?![^>]*aria-label)', rf'<aside class="{name}\1" aria-label="{label}"', page
        )
    found = re.search(r"<title>(.*?)(?: - .*)?</title>", page)
    if "<h1" in page or found is None:
        return page
    return re.sub(r'(<article role="main"[^>]*>)', rf"\1<h1>{found[1]}</h1>", page, count=1)


def finish(app: Sphinx, error: Exception | None) -> None:
    """Go over every page once all are written."""
    if error is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            path.write_text(with_names(with_scopes(path.read_text(encoding="utf-8"))), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Be called when everything is written."""
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
