"""The report of a run whose texts hold scripts and images: every one of them is shown, and none is interpreted."""

import json
import re
from html.parser import HTMLParser

import pytest
from hostile_run import HOSTILE, MARK, POLICIES, hostile_run, persona, scores, transcripts
from markdown_it import MarkdownIt

from aloe.data_card import data_card
from aloe.records import DialogueTree, Models, Turn
from aloe.rendering import build_report


class Page(HTMLParser):
    """What a browser would take for scripts, handlers, and addresses, and what it would show."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.handlers, self.addresses, self.shown, self.tag = [], [], [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        self.handlers += [value for name, value in attrs if name.startswith("on")]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data", "action")]

    def handle_data(self, data):
        if self.tag == "script":
            self.scripts.append(data)
        else:
            self.shown += data

    def handle_endtag(self, tag):
        self.tag = ""


def harmless(page):
    assert not page.handlers
    assert not [script for script in page.scripts if MARK in script or "alert" in script]
    assert not [a for a in page.addresses if "evil.example" in a or a == "x" or a.startswith("javascript")]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    run = hostile_run(tmp_path_factory.mktemp("hostile"))
    build_report(run)
    return run.report


def test_no_page_interprets_a_text(report):
    pages = {path.relative_to(report).as_posix(): Page(path.read_text()) for path in report.rglob("*.html")}
    assert {"index.html", "pages/transcripts.html", "pages/downloads.html", "pages/provenance.html"} <= set(pages)
    for page in pages.values():
        harmless(page)


@pytest.mark.parametrize("page", ["notebooks/03_dialogue_trees.html", "pages/downloads.html", "pages/provenance.html",
                                  "index.html"])  # fmt: skip
def test_the_text_is_shown_where_it_belongs(report, page):
    assert f"window.{MARK} = ['script']" in Page((report / page).read_text()).shown.replace("’", "'").replace("‘", "'")


def test_the_conversations_come_whole_in_scripts_that_hold_nothing_but_data(report):
    index = (report / "transcripts" / "index.js").read_text()
    for place, _ in enumerate(POLICIES):
        text = (report / "transcripts" / f"{place}.js").read_text()
        found = re.fullmatch(rf"aloeTranscripts\.dialogues\[{place}\] = (.*);\n", text)
        first, second = json.loads(found[1])[0]
        assert first[:2] == [HOSTILE, HOSTILE]
        assert second == ["My grey parrot swears.", "Ha!", [0], [[0, None]]]  # tells the first fact; no level
        assert not set("<>&\u2028") & set(text)
    data = json.loads(re.fullmatch(r"var aloeTranscripts = (.*);\n", index)[1])
    assert data["judges"] == [HOSTILE]
    assert data["personalities"] == [{"id": "bench-t1", "text": HOSTILE}]
    assert data["profiles"][0]["pieces"][0] == ["Ann keeps a grey parrot.", 0]
    assert not set("<>&\u2028") & set(index)


def test_the_script_that_draws_them_sets_texts_as_texts():
    from aloe.rendering import SOURCES

    script = (SOURCES / "static" / "transcripts.js").read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|DOMParser", script
    )
    assert not re.search(r"\bfetch\(|XMLHttpRequest|https?:", script)


def test_a_data_card_shows_hostile_names_as_texts(tmp_path):
    run = hostile_run(tmp_path)
    turn = Turn("k1", None, *(HOSTILE,) * 5, (HOSTILE, HOSTILE), "hinted", "plain")
    tree = DialogueTree("d", persona(), (turn,), models=Models(*(HOSTILE,) * 5))
    metrics = {"trees": {"labels": {HOSTILE: 1}, "hinted_preferred_rate": 1.0, "named": HOSTILE}}
    card = data_card(
        run,
        metrics,
        {"git_commit": None, "finished": "", "versions": {}},
        "0" * 64,
        [tree],
        {"dialogues": {"train": 1}},
    )
    page = Page(MarkdownIt("gfm-like", {"linkify": False}).render(card.partition("\n---\n")[2]))
    harmless(page)
    assert MARK in page.shown


def test_the_toys_are_what_they_are_said_to_be():
    assert len(transcripts()) == len(POLICIES) == scores()["policy"].nunique()
