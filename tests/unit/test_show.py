"""Records as HTML: everything is there, everything is escaped, nothing comes from elsewhere."""

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from aloe import show
from aloe.records import DialogueTree, Judgement, Message, Persona, PreferencePair, Transcript, Turn

EVIL = '<script>alert(\'x\')</script><img src="https://example.org/x.png" onerror=alert(1)> & "quoted"'
VOID = {"br"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and notes tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open, self.balanced = set(), set(), "", [], True
        self.feed(text)
        self.balanced = self.balanced and not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        self.balanced = self.balanced and bool(self.open) and self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + "|"


def persona(text="Ann keeps a parrot."):
    return Persona(f"bench-p01-t2{'<b>' if text == EVIL else ''}", "bench-p01", "bench-t2", text, text)


def turn(text, label="hinted", branch="plain"):
    return Turn("k1", None, text, text, text, text, text, (text, text), label, branch)


def judgements(levels, judge="gauge", policy="dpo"):
    rows = [Judgement(policy, "c", "bench-p01", "bench-t2", k, judge, level) for k, level in enumerate(levels, 1)]
    return pd.DataFrame([vars(row) for row in rows])


def transcript(text):
    roles = ["user", "assistant"] * 2
    return Transcript(
        "dpo-c", "dpo", persona(text), tuple(Message(role, f"{text} {i}") for i, role in enumerate(roles))
    )


def views(text):
    messages = (Message("user", text), Message("assistant", text), Message("user", text))
    return {
        "persona": show.persona(persona(text)),
        "dialogue": show.dialogue(DialogueTree("d", persona(text), (turn(text), turn(text, "tie")))),
        "transcript": show.transcript(transcript(text), judgements([4, None], judge=text)),
        "pair": show.pair(PreferencePair(text, text, 2, messages, text, text)),
        "replies": show.replies(messages, {text: text, "dpo": ""}),
        "marked": show.marked([(text, False), (text, True)]),
    }


VIEWS = ["persona", "dialogue", "transcript", "pair", "replies", "marked"]


@pytest.mark.parametrize("view", VIEWS)
def test_text_from_a_model_is_never_taken_for_html(view):
    page = Reader(views(EVIL)[view])
    assert page.tags <= {"div", "b", "br", "span"}
    assert page.attributes <= {"style"}
    assert page.balanced
    assert EVIL in page.text  # shown as it is


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_needs_nothing_from_elsewhere_and_keeps_the_pages_text_colour(view):
    text = views("plain words")[view]
    assert "http" not in text
    assert "url(" not in text
    assert not re.search(r'[;"\s]color\s*:', text)
    assert text._repr_html_() == text


def test_a_dialogue_shows_what_was_inferred_both_replies_the_label_and_the_branch():
    one = Turn("k1", None, "My parrot swears.", "She keeps a parrot.", "Blunt.", "Ha!", "Oh dear.", ("1", "2"),
               "hinted", "plain")  # fmt: skip
    text = Reader(show.dialogue(DialogueTree("d", persona(), (one,)))).text
    expected = ["user, turn 1", "My parrot swears.", "She keeps a parrot.", "Blunt.", "hinted reply: preferred", "Ha!",
                "plain reply: rejected", "Oh dear.", "the dialogue goes on from here"]  # fmt: skip
    positions = [text.index(part) for part in expected]
    assert positions == sorted(positions)
    assert show.dialogue(DialogueTree("d", persona(), (one,))).count("border-style:solid") == 1


@pytest.mark.parametrize("label", ["tie", "unparseable"])
def test_a_turn_without_a_preference_says_so_for_both_replies(label):
    text = show.dialogue(DialogueTree("d", persona(), (turn("x", label, "hinted"),)))
    assert text.count(f"reply: {label}") == 2
    assert "preferred" not in text


def test_a_transcript_shows_each_replys_own_score():
    text = Reader(show.transcript(transcript("said"), judgements([4, 2]))).text
    positions = [text.index(part) for part in ["said 0", "said 1", "4 of 5", "said 2", "said 3", "2 of 5"]]
    assert positions == sorted(positions)


def test_an_unreadable_score_is_said_and_other_policies_and_cases_are_ignored():
    others = pd.concat([judgements([5, 5], policy="base"), judgements([5, 5]).assign(profile_id="bench-p02")])
    text = show.transcript(transcript("said"), pd.concat([others, judgements([None, 3])]))
    assert "5 of 5" not in text
    assert text.count("no score (not readable)") == 1
    assert text.count("3 of 5") == 1
    assert "of 5" not in show.transcript(transcript("said"), others)


def test_several_judges_are_named():
    both = pd.concat([judgements([4, 2], judge="a"), judgements([5, None], judge="b")])
    text = show.transcript(transcript("said"), both)
    assert "a: 4 of 5, b: 5 of 5" in text
    assert "a: 2 of 5, b: no score (not readable)" in text


def test_line_breaks_in_a_message_are_kept():
    assert "one<br>two" in show.persona(persona("one\ntwo"))


def test_replies_of_several_policies_stand_below_the_end_of_the_conversation():
    messages = [Message(role, f"said {i}") for i, role in enumerate(["user", "assistant", "user"])]
    text = Reader(show.replies(messages, {"base": "Well.", "dpo": ""})).text
    positions = [text.index(part) for part in ["said 1", "said 2", "base", "Well.", "dpo", "(no words)"]]
    assert positions == sorted(positions)
    assert "said 0" not in text


def test_only_the_flagged_pieces_are_marked():
    text = show.marked([("one", False), ("two", True), ("three", False)])
    assert text.count("<span") == 1
    assert ">two</span>three" in text
