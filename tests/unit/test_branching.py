"""Trees that branch: their paths and training data by hand, and how they grow."""

import asyncio
import doctest
from collections import Counter

import pytest
from scripted_chat import ScriptedChat
from test_dialogues import ANA, persona, scripts

from aloe import branching
from aloe.branching import history, is_expanded, is_whole, leaf_paths, paths, trunk, widths
from aloe.chat import AskError
from aloe.dialogues import grow_trees
from aloe.errors import NotEnough, UserError
from aloe.params import Trees, load_params
from aloe.preferences import counts, dpo_pairs, sft_conversations
from aloe.records import DialogueTree, Models, Persona, Turn, read_jsonl, write_jsonl

# A tree of three turns; both replies of the first turn go on, and both of the second turn after the hinted reply.
#   a  (label hinted, branch plain, both)
#   |- plain  -> b (label plain,  branch hinted)             on the trunk
#   |            `- hinted -> c (label tie, branch plain)
#   `- hinted -> d (label plain, branch hinted, both)
#                |- hinted -> e (label hinted, branch hinted)
#                `- plain  -> f (label plain,  branch hinted)
FOUND = {  # id: parent, label, branch, off branch
    "a": (None, "hinted", "plain", False),
    "b": ("a", "plain", "hinted", False),
    "c": ("b", "tie", "plain", False),
    "d": ("a", "plain", "hinted", True),
    "e": ("d", "hinted", "hinted", False),
    "f": ("d", "plain", "hinted", True),
}


def turn(name, parent, label, branch, off_branch):
    return Turn(name, parent, f"u{name}", "", "", f"h{name}", f"p{name}", ("", ""), label, branch, "random", off_branch)


TREE = DialogueTree(
    "t", Persona("train-p0-t0", "train-p0", "train-t0", "Ann.", "Blunt."), tuple(turn(k, *v) for k, v in FOUND.items())
)


def learned(rows):
    return [[m["content"] for m, flag in zip(row["messages"], row["train"], strict=True) if flag] for row in rows]


def test_the_docstring_examples_are_true():
    assert doctest.testmod(branching).failed == 0


def test_paths_lead_from_the_first_turn_and_the_trunk_follows_the_branches():
    assert {name: "".join(t.id for t in path) for name, path in paths(TREE).items()} == {
        "a": "a", "b": "ab", "c": "abc", "d": "ad", "e": "ade", "f": "adf"}  # fmt: skip
    assert ["".join(t.id for t in path) for path in leaf_paths(TREE)] == ["abc", "ade", "adf"]
    assert [t.id for t in trunk(TREE).turns] == ["a", "b", "c"]
    assert trunk(trunk(TREE)) == trunk(TREE)


def test_a_history_holds_the_replies_that_led_there():
    said = {name: [m.content for m in history(path)] for name, path in paths(TREE).items()}
    assert said["c"] == ["ua", "pa", "ub", "hb", "uc", "pc"]
    assert said["f"] == ["ua", "ha", "ud", "pd", "uf", "hf"]
    assert history(()) == ()


def test_no_reply_is_learned_twice_though_paths_share_it():
    # preferred: ha pb - pd he pf; continued: pa and ha, hb, pc, hd and pd, he, hf
    preferred, rejected = (sft_conversations([TREE], reply) for reply in ("preferred", "rejected"))
    # path abc: pa hb pc, none preferred: left out. ade: ha, hd, he: ha and he. adf: ha again (not twice), pd, hf: pd.
    assert learned(preferred) == [["ha", "he"], ["pd"]]
    # rejected: pa hb - hd pe hf. abc: pa and hb. ade: hd. adf: hf.
    assert learned(rejected) == [["pa", "hb"], ["hd"], ["hf"]]
    assert [m["content"] for m in preferred[1]["messages"]] == ["ua", "ha", "ud", "pd", "uf", "hf"]


def test_every_labelled_turn_gives_one_pair_and_siblings_share_their_prompt():
    pairs = {pair.id: pair for pair in dpo_pairs([TREE])}
    assert list(pairs) == ["a", "b", "d", "e", "f"]  # c is a tie
    assert {name: (pair.turn, pair.chosen, pair.rejected) for name, pair in pairs.items()} == {
        "a": (1, "ha", "pa"), "b": (2, "pb", "hb"), "d": (2, "pd", "hd"), "e": (3, "he", "pe"), "f": (3, "pf", "hf"),
    }  # fmt: skip
    said = {name: [m.content for m in pair.prompt] for name, pair in pairs.items()}
    assert said["e"] == ["ua", "ha", "ud", "hd", "ue"]
    assert said["f"] == ["ua", "ha", "ud", "pd", "uf"]
    assert said["e"][:3] == said["f"][:3] == said["d"]
    assert len({(tuple(pair.prompt), pair.chosen, pair.rejected) for pair in pairs.values()}) == 5
    assert counts([TREE]) == (6, 5, 1, 0)


@pytest.mark.parametrize("turns", [
    [("a", None, False), ("b", "x", False)],
    [("a", None, False), ("c", "b", False), ("b", "a", False)],
    [("a", None, False), ("b", "a", False), ("c", "a", False)],
    [("a", None, False), ("b", "a", True), ("c", "a", True)],
    [("a", None, False), ("a", "a", False)],
    [("a", None, False), ("b", None, False)],
    [("a", None, True)],
], ids=["no such parent", "parent after child", "one reply answered twice", "the other one answered twice",
        "an id twice", "two first turns", "a first turn that answers"])  # fmt: skip
def test_what_is_no_tree_is_refused(turns):
    broken = DialogueTree("t", ANA, tuple(turn(name, parent, "tie", "plain", off) for name, parent, off in turns))
    with pytest.raises(ValueError, match=r"^t: turn "):
        paths(broken)


def both(depth, n_turns, share=1.0):
    return Trees(n_trees=1, n_dev_trees=1, n_turns=n_turns, branch="random", tie="drop", expand="both",
                 expand_depth=depth, expand_share=share)  # fmt: skip


def said_to(role):
    """A reply that tells from which conversation it comes."""
    return lambda messages: f"{role} {abs(hash(tuple(m.content for m in messages[1:])))}"


def grow(params, personas=(ANA,), seed=0, backwards=False, **other):
    chat = ScriptedChat(scripts(
        user=lambda messages: f"After {abs(hash(messages[0].content))}.", hinted_responder=said_to("Hinted"),
        plain_responder=said_to("Plain"), **other), backwards)  # fmt: skip
    return grow_trees(chat, personas, params, seed), chat


@pytest.mark.parametrize("depth, n_turns, per_turn", [(4, 4, [1, 2, 4, 8]), (3, 4, [1, 2, 4, 8]), (1, 3, [1, 2, 2])])
def test_a_whole_tree_has_as_many_turns_as_its_depth_says(depth, n_turns, per_turn):
    (tree,), chat = grow(both(depth, n_turns))
    assert chat.count("user") == len(tree.turns) == sum(per_turn)
    assert chat.count("preference_judge") == 2 * sum(per_turn)
    assert [sum(len(path) == k for path in paths(tree).values()) for k in range(1, n_turns + 1)] == per_turn
    assert widths(n_turns, depth) == per_turn
    assert Counter(t.reason for t in tree.turns) == {
        "both": sum(per_turn[: min(depth, n_turns - 1)]),
        "random": sum(per_turn[min(depth, n_turns - 1) :]),
    }
    assert len({t.user for t in tree.turns}) == len(tree.turns)  # each answers what nobody else answers
    # Judged by hand: the hinted reply is always preferred. Every turn gives a pair; every reply that went on is learned
    # once: of expanded turns the preferred and the rejected one, of a last turn the one that its branch names.
    assert len(dpo_pairs([tree])) == len(tree.turns)
    replies = [text for kind in ("preferred", "rejected") for texts in learned(sft_conversations([tree], kind))
               for text in texts]  # fmt: skip
    assert len(replies) == len(set(replies)) == sum(2 if t.reason == "both" else 1 for t in tree.turns)


def test_the_trunk_is_the_dialogue_without_expansion():
    (whole,), _ = grow(both(3, 4))
    (plain,), _ = grow(Trees(n_trees=1, n_dev_trees=1, n_turns=4, branch="random", tie="drop"))
    assert [t.id for t in plain.turns] == [f"tree-train-p000-t000-k{k:02d}" for k in (1, 2, 3, 4)]
    assert [(t.id, t.parent, t.user, t.branch) for t in trunk(whole).turns] == [
        (t.id, t.parent, t.user, t.branch) for t in plain.turns]  # fmt: skip
    beside = [t for t in whole.turns if t not in trunk(whole).turns]
    assert all(t.id.rpartition("-")[2].strip("hp") == "" for t in beside)
    assert len(leaf_paths(whole)) == 8
    assert is_whole(whole, 4)
    assert is_whole(plain, 4)
    assert not is_whole(plain, 5)
    assert not is_whole(trunk(whole), 4)


def test_a_tree_that_branches_is_the_same_at_any_order_of_work_and_comes_back_from_its_file(tmp_path):
    people = [persona(i, i % 3) for i in range(6)]
    forwards, _ = grow(both(2, 3, share=0.5), people)
    backwards, _ = grow(both(2, 3, share=0.5), people, backwards=True)
    alone, _ = grow(both(2, 3, share=0.5), people[3:4])
    assert forwards == backwards
    assert forwards[3:4] == alone
    assert {len(tree.turns) for tree in forwards} == {3, 7}
    assert [len(t.turns) == 7 for t in forwards] == [is_expanded(t.id, 0.5, 0) for t in forwards]
    write_jsonl(tmp_path / "trees.jsonl", forwards)
    assert read_jsonl(DialogueTree, tmp_path / "trees.jsonl") == forwards
    roles = ("user", "inducer", "hinted_responder", "plain_responder", "preference_judge")
    assert forwards[0].models == Models(*(f"scripted {role}" for role in roles))


def test_siblings_advance_at_the_same_time():
    under_way, most = Counter(), Counter()

    class Slow(ScriptedChat):
        async def ask(self, role, messages, **other):
            under_way[role] += 1
            for _ in range(20):
                await asyncio.sleep(0)
            most[role] = max(most[role], under_way[role])
            under_way[role] -= 1
            return await super().ask(role, messages, **other)

    grow_trees(Slow(scripts(user=said_to("User"))), (ANA,), both(3, 4), 0)
    assert most["user"] == 8


def test_equal_replies_are_continued_once():
    chat = ScriptedChat(scripts(hinted_responder="Nice.", plain_responder="Nice."))
    [tree] = grow_trees(chat, (ANA,), both(2, 3), 0)
    assert [t.reason for t in tree.turns] == ["coin"] * 3


def test_a_branch_that_cannot_go_on_leaves_the_others_whole_and_is_reported(caplog):
    def user(messages):
        if messages[0].content.count("<user>") == 2 and "Plain to" in messages[0].content:
            raise AskError("no reply")
        return f"Message after {messages[0].content.count('<user>')}."

    chat = ScriptedChat(scripts(user=user))
    with pytest.raises(NotEnough, match="1 of 1 dialogues could not go on, first tree-train-p000-t000"):
        grow_trees(chat, (ANA,), both(2, 3), 0)
    assert caplog.text.count("ends after turn 2 of 3: no reply") == 3  # of 4 ways to the third turn one is hinted only


PRESETS = {
    "branch: epsilon": "need each other",
    "epsilon: 0.2": "need each other",
    "expand_depth: 2": "`trees.expand: one` lets none",
    "expand_share: 0.5": "`trees.expand: one` lets none",
    "expand: both": "needs an `expand_depth` of at least 1",
    "expand: both, expand_depth: 5": "got 5 of 4 turns",
    "expand: both, expand_depth: 2, expand_share: 0.0": "expand_share` should be above 0",
    "branch: epsilon, epsilon: 1.2": "epsilon` should be at least 0 and at most 1",
}


@pytest.mark.parametrize("trees", PRESETS)
def test_what_does_not_go_together_is_refused(trees, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"extends: smoke\ntrees: {{{trees}}}\n")
    with pytest.raises(UserError, match=PRESETS[trees]):
        load_params(str(tmp_path / "mine.yaml"))


def test_one_history_per_dialogue_and_both_replies_do_not_go_together(tmp_path):
    text = "extends: smoke\ntrees: {expand: both, expand_depth: 2}\ntraining: {recipe: published}\n"
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=r"`training\.recipe` has `preferred_history`"):
        load_params(str(tmp_path / "mine.yaml"))
