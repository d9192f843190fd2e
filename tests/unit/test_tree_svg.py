"""A tree drawn as SVG: every text is there to be pointed at, nothing in it runs, and lines lead where they should."""

import dataclasses
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from test_branching import TREE

from aloe.branching import trunk
from aloe.tree_svg import tree_svg

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</title><script>alert(1)</script><img src=x onerror="alert(1)"> & $x$ \n "quoted"'


def drawn(tree):
    [svg] = ElementTree.fromstring(tree_svg(tree))
    return svg


def titles(tree):
    return [element.text for element in drawn(tree).iter(f"{SVG}title")]


def test_every_message_and_every_reply_can_be_read_where_the_mouse_points():
    texts = titles(TREE)
    assert len(texts) == 3 * len(TREE.turns)
    for turn in TREE.turns:
        for text in (turn.user, turn.hinted, turn.plain):
            assert sum(text in title.split("\n\n") for title in texts) == 1
    assert "plain reply: rejected, continued\n\npa" in texts
    assert "hinted reply: preferred, continued\n\nha" in texts  # both replies of the first turn went on
    assert "plain reply: preferred\n\npb" in texts
    assert "hinted reply: tie\n\nhc" in texts


def test_a_line_leads_to_every_reply_and_to_every_message_but_the_first():
    assert len(drawn(TREE).findall(f"{SVG}path")) == 2 * 6 + 5
    assert len(drawn(trunk(TREE)).findall(f"{SVG}path")) == 2 * 3 + 2


def test_no_two_boxes_of_a_level_overlap():
    places = {}
    for box in drawn(TREE).iter(f"{SVG}rect"):
        places.setdefault(box.get("y"), []).append((float(box.get("x")), float(box.get("width"))))
    assert len(places) == 6  # three turns, a row of messages and a row of replies each
    for row in places.values():
        ordered = sorted(row)
        assert all(x + width <= right for (x, width), (right, _) in pairwise(ordered))


def test_a_dialogue_that_does_not_branch_is_drawn_as_narrow_as_its_boxes():
    # Replies of a turn: 108 wide, 8 apart, so 58 to both sides of its middle. Of three turns, each below the reply on
    # the right: 58 + 54 to the left of the first middle and 3 x 58 + 54 to the right are 340; with 8 at both ends 356.
    turns = tuple(
        dataclasses.replace(TREE.turns[0], id=f"k{k}", parent=f"k{k - 1}" if k else None, reason=None, label="hinted",
                            branch="plain", off_branch=False)
        for k in range(3)
    )  # fmt: skip
    assert drawn(dataclasses.replace(TREE, turns=turns)).get("width") == "356"


def test_texts_of_models_are_escaped_and_nothing_runs_or_is_fetched():
    hostile = dataclasses.replace(TREE.turns[0], user=HOSTILE, hinted=HOSTILE, inferred_profile=HOSTILE)
    tree = dataclasses.replace(TREE, id=HOSTILE, turns=(hostile, *TREE.turns[1:]))
    names = {element.tag.removeprefix(SVG) for element in drawn(tree).iter()}
    assert names == {"svg", "g", "title", "rect", "text", "path"}
    assert any(HOSTILE in title for title in titles(tree))
    assert "http" not in tree_svg(tree).replace("http://www.w3.org/2000/svg", "")


def test_a_tree_without_a_turn_is_refused():
    with pytest.raises(ValueError, match="has no turn"):
        tree_svg(dataclasses.replace(TREE, turns=()))
