"""Can everybody read the report, and does it stay on this machine? Exits with 1 if not, with 2 without a Chromium.

In: a report's folder. Out: a table on stdout and in `outputs/bench/accessibility.md`. Every page is opened from disk in
headless Chromium at desktop and phone width and in the dark, folded parts unfolded, and checked by axe-core; requests
that leave `file://` are stopped and counted, as are scripts' errors, dialogs, and pages wider than their window. A
second report, whose texts try to be scripts, is opened the same way. `make accessibility` runs it.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aloe.errors import UserError
from aloe.params import ROOT
from aloe.runs import OUTPUTS
from aloe.writing import write_text

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
GRAVE = ("serious", "critical")
LOCAL = ("file:", "data:", "blob:", "about:")


class View(NamedTuple):
    """How a page is looked at: a name, width and height in CSS pixels, and the reader's colour scheme."""

    name: str
    width: int
    height: int
    scheme: str


VIEWS = (View("desktop", 1280, 900, "light"), View("phone", 390, 844, "light"), View("dark", 1280, 900, "dark"))


class Seen(NamedTuple):
    """What was found on one page in one view."""

    page: str
    view: str
    findings: tuple[tuple[str, str, int, str], ...]  # rule, impact, places, the first of them
    requests: tuple[str, ...]  # that would have left the machine
    ran: tuple[str, ...]  # dialogs and errors of scripts
    wider: int  # CSS pixels by which the page is wider than its window

    @property
    def grave(self) -> int:
        """Places of serious and critical findings."""
        return sum(places for _, impact, places, _ in self.findings if impact in GRAVE)


def main() -> int:
    """Check a report and a hostile one, write the table; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, nargs="?", default=OUTPUTS / "sandbox" / "report")
    parser.add_argument("--only", help="pages whose path holds this; the table is then only printed")
    options = parser.parse_args()
    try:
        with browser() as chromium, tempfile.TemporaryDirectory(prefix="aloe-a11y-") as folder:
            seen = look(chromium, options.report, options.only)
            hostile = [] if options.only else look(chromium, hostile_report(Path(folder)), None)
            keys = [] if options.only else keyboard(chromium, options.report)
            if not options.only:
                keys.append(("a page that fails in every respect is found to", found(chromium, Path(folder))))
            version = chromium.version
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text, well = table(seen, hostile, keys, version)
    print(text)
    if not options.only:
        write_text(ROOT / "outputs" / "bench" / "accessibility.md", text)
    return 0 if well else 1


@contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium of this machine.

    Raises:
        UserError: it, or what drives it, is missing.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UserError("playwright is not installed; `make accessibility` installs it into .venv.") from None
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        raise UserError("There is no Chromium here; install one (Debian: apt-get install chromium) or name its path in "
                        "CHROMIUM, and run `make accessibility` again.")  # fmt: skip
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=sandbox)
        yield chromium
        chromium.close()


def pages_of(report: Path, only: str | None) -> list[Path]:
    """The pages of a report.

    Raises:
        UserError: there is none.
    """
    pages = sorted(page for page in report.resolve().rglob("*.html") if not only or only in page.as_posix())
    if not pages:
        raise UserError(f"{report} holds no page; run `make all` first.")
    return pages


def look(chromium: Any, report: Path, only: str | None) -> list[Seen]:
    """Open every page of a report in every view, and check it."""
    from axe_playwright_python.sync_playwright import Axe

    seen = []
    pages = pages_of(report, only)
    for view in VIEWS:
        size = {"width": view.width, "height": view.height}
        context = chromium.new_context(viewport=size, color_scheme=view.scheme, offline=True)
        for path in pages:
            page, requests, ran = opened(context, path)
            found = Axe().run(page).response["violations"]
            findings = tuple(
                (rule["id"], rule["impact"], len(rule["nodes"]), str(rule["nodes"][0]["target"][0])) for rule in found
            )
            wider = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
            ran += page.evaluate("[...(window.aloeRan ?? [])]")  # where a hostile text leaves its mark
            seen.append(
                Seen(
                    path.relative_to(report.resolve()).as_posix(),
                    view.name,
                    findings,
                    tuple(requests),
                    tuple(ran),
                    max(0, wider),
                )
            )
            page.close()
        context.close()
    return seen


def opened(context: Any, path: Path) -> tuple[Any, list[str], list[str]]:
    """A page from disk with its folded parts unfolded; what it asked of a network; what its scripts did wrong."""
    requests: list[str] = []
    ran: list[str] = []

    def passed(route: Any) -> None:
        if route.request.url.startswith(LOCAL):
            route.continue_()
        else:
            requests.append(route.request.url)
            route.abort()

    def told(dialog: Any) -> None:
        ran.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page = context.new_page()
    page.route("**/*", passed)
    page.on("dialog", told)
    page.on("pageerror", lambda error: ran.append(f"error: {error}"))
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    page.wait_for_timeout(200)
    return page, requests, ran


def hostile_report(folder: Path) -> Path:
    """The report of a run whose texts try to be scripts, as the unit tests build it."""
    sys.path.insert(0, str(ROOT / "tests" / "unit"))
    from hostile_run import hostile_run

    from aloe.rendering import build_report

    run = hostile_run(folder)
    build_report(run)
    return run.report


def found(chromium: Any, folder: Path) -> bool:
    """Whether this check finds what it looks for, on a page that holds the hostile text as HTML."""
    from hostile_run import HOSTILE

    bad = folder / "bad"
    bad.mkdir()
    (bad / "bad.html").write_text(
        f"<html><body><img src=bad.png>{HOSTILE}<p style='width:3000px'>wide", encoding="utf-8"
    )
    return all(one.grave and one.requests and one.ran and one.wider for one in look(chromium, bad, None))


def keyboard(chromium: Any, report: Path) -> list[tuple[str, bool]]:
    """What a reader without a mouse does on the page of transcripts, and whether it worked."""
    path = report.resolve() / "pages" / "transcripts.html"
    if not path.is_file():
        return []
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page, _, _ = opened(context, path)
    done = []

    def focused(wanted: str, presses: int = 120) -> bool:
        for _ in range(presses):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({wanted!r})"):
                return True
        return False

    def status() -> str:
        return str(page.locator("#aloe-status").inner_text())

    def dialogue() -> str:
        page.wait_for_timeout(300)
        return str(page.locator("#aloe-persona h3").all_inner_texts()) + str(page.evaluate("location.hash"))

    done.append(("the first stop is the link that skips to the content", focused(".skip-to-content", 1)))
    everything = status()
    done.append(("Tab reaches the choice of a policy", focused("#aloe-policy")))
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    done.append(("where the keyboard is can be seen", outline != "none"))
    page.keyboard.press("ArrowDown")
    done.append(("an arrow key chooses a policy, which leaves fewer conversations", status() != everything))
    done.append(("Tab reaches the choice of a conversation", focused("#aloe-case")))
    first = dialogue()
    page.keyboard.press("ArrowDown")
    second = dialogue()
    done.append(("an arrow key shows another conversation", second != first))
    done.append(("Tab reaches the button for the next one", focused("#aloe-next")))
    page.keyboard.press("Enter")
    done.append(("Enter shows it", dialogue() not in (first, second)))
    context.close()
    return done


def table(
    seen: Sequence[Seen], hostile: Sequence[Seen], keys: Sequence[tuple[str, bool]], version: str
) -> tuple[str, bool]:
    """The result in Markdown, and whether all is well."""
    views = [view.name for view in VIEWS]
    head = ("page", *(f"{name}: grave, other" for name in views), "requests that leave", "scripts' errors", "too wide")
    lines = [f"Chromium {version} from disk, axe-core; at {', '.join(f'{v.name} {v.width} px' for v in VIEWS)}.",
             "*Grave*: places of serious or critical findings; *other*: of moderate and minor ones.", "",
             f"| {' | '.join(head)} |", "|---" * len(head) + "|"]  # fmt: skip
    lines += [_row(page, own, views) for page, own in _by_page(seen).items()]
    lines += ["", "A report whose texts hold scripts, images and ends of tags:", "",
              f"| {' | '.join(head)} |", "|---" * len(head) + "|"]  # fmt: skip
    lines += [_row(page, own, views) for page, own in _by_page(hostile).items()]
    if keys:
        lines += ["", "Without a mouse, on the page of transcripts, and this check itself:", ""]
        lines += [f"- {what}: {'yes' if worked else 'NO'}" for what, worked in keys]
    rules = sorted({(impact, rule, first) for one in [*seen, *hostile] for rule, impact, _, first in one.findings})
    lines += ["", "Findings, each with one place:" if rules else "No findings of any kind."]
    lines += [f"- {impact}: {rule}, `{first}`" for impact, rule, first in rules[:40]]
    well = not any(one.grave or one.requests or one.ran or one.wider for one in [*seen, *hostile])
    well = well and all(worked for _, worked in keys)
    lines += ["", f"No grave finding, nothing asked of a network, no script of a text run, no page too wide, usable "
                  f"without a mouse: {'yes' if well else 'NO'}."]  # fmt: skip
    return "\n".join(lines) + "\n", well


def _by_page(seen: Sequence[Seen]) -> Mapping[str, list[Seen]]:
    pages: dict[str, list[Seen]] = {}
    for one in seen:
        pages.setdefault(one.page, []).append(one)
    return pages


def _row(page: str, own: Sequence[Seen], views: Sequence[str]) -> str:
    by_view = {one.view: one for one in own}
    counts = [
        f"{by_view[name].grave}, {sum(f[2] for f in by_view[name].findings) - by_view[name].grave}" for name in views
    ]
    sums = [str(sum(map(len, parts))) for parts in ([one.requests for one in own], [one.ran for one in own])]
    return f"| {' | '.join((page, *counts, *sums, f'{max(one.wider for one in own)} px'))} |"


if __name__ == "__main__":
    sys.exit(main())
