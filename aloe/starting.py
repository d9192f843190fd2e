"""A run that starts from a user's copy of the published pool or dialogues, instead of asking who would write them.

In: parameters that name the copy, and the benchmark's texts. Out: texts, personas and trees of this study. Nothing is
filtered but what cannot be used and what is near a benchmark text; near copies within the release are kept, since it is
taken as it is. What comes in is what is kept and what is dropped, by reason. This module writes no file.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aloe.dialogues import choose_personas
from aloe.embedding import Embed, embed
from aloe.errors import NotEnough
from aloe.params import ROOT, Params, Trees
from aloe.personas import PLURAL, Kind, draw_personas, draw_texts, join
from aloe.records import DialogueTree, Persona, Turn
from aloe.released import read_texts, read_trees
from aloe.texts import Text, text_problem

KINDS: tuple[Kind, Kind] = ("profile", "personality")
NEAR = "near a benchmark text"


class Start(NamedTuple):
    """What a copy of the release holds: texts by kind as they stand there, and dialogues, if it is one of those."""

    texts: dict[Kind, list[str]]
    dialogues: list[DialogueTree]


class Usable(NamedTuple):
    """The texts of one kind that can be used, without runs of white space; how many were read and why others go."""

    texts: list[str]
    read: int
    dropped: dict[str, int]


class Paired(NamedTuple):
    """The personas of a run, and how many of what was read had to go, by reason."""

    personas: list[Persona]
    dropped: dict[str, int]


class Taken(NamedTuple):
    """The dialogues that a run learns from, how many had to go and how many ended early, by reason."""

    trees: list[DialogueTree]
    dropped: dict[str, int]
    cut_short: dict[str, int]


def read_start(params: Params) -> Start:
    """Read the copy that the preset names.

    Raises:
        UserError: a file is missing, damaged or no file of the release.
        ValueError: the preset names none.
    """
    pool, dialogues = params.personas.from_released, params.trees.from_released
    if dialogues:
        trees = read_trees(ROOT / dialogues)
        profiles, personalities = ([getattr(t.persona, kind) for t in trees] for kind in KINDS)
        return Start({"profile": list(dict.fromkeys(profiles)),
                      "personality": list(dict.fromkeys(personalities))}, trees)  # fmt: skip
    if pool is None:
        raise ValueError(f"preset {params.name} names no copy of the release")
    return Start(
        {"profile": read_texts(ROOT / pool.profiles), "personality": read_texts(ROOT / pool.personalities)}, []
    )


def usable(texts: Sequence[str], held_out: Sequence[str], threshold: float, embed: Embed = embed) -> Usable:
    """Drop what no prompt can hold, what was there before, and what is near a benchmark text.

    Args:
        texts: of one kind, as read.
        held_out: the benchmark's texts of that kind.
        threshold: the cosine similarity above which two texts are near.
        embed: texts to unit rows.
    """
    dropped: Counter[str] = Counter()
    kept: dict[str, None] = {}
    for text in map(one_line, texts):
        problem = text_problem(text) or ("repeated" if text in kept else None)
        if problem:
            dropped[problem] += 1
        else:
            kept[text] = None
    near = set()
    if kept and held_out:
        highest = (embed(list(kept)) @ embed(list(held_out)).T).max(axis=1)
        near = {text for text, similarity in zip(kept, highest, strict=True) if similarity > threshold}
        dropped[NEAR] += len(near)
    return Usable([text for text in kept if text not in near], len(texts), {k: n for k, n in dropped.items() if n})


def draw_start(found: Mapping[Kind, Usable], start: Start, params: Params) -> dict[Kind, list[Text]]:
    """Split the usable texts into training and development: all of them of dialogues, as many as asked for of a pool.

    Raises:
        NotEnough: no more are left than development takes.
    """
    personas, drawn = params.personas, {}
    for kind in KINDS:
        most = personas.n_profiles if kind == "profile" else personas.n_personalities
        n_dev = personas.dev_profiles if kind == "profile" else personas.dev_personalities
        n = len(found[kind].texts) if start.dialogues else min(most, len(found[kind].texts))
        if n <= n_dev:
            raise NotEnough(f"{len(found[kind].texts)} {PLURAL[kind]} of the release can be used, and "
                            f"`personas.dev_{PLURAL[kind]}` sets {n_dev} aside, which leaves none for training; lower "
                            f"it, or give a larger copy.")  # fmt: skip
        drawn[kind] = draw_texts(found[kind].texts, n, n_dev, kind, params.seed)
    return drawn


def pair_start(start: Start, drawn: Mapping[Kind, Sequence[Text]], params: Params) -> Paired:
    """The personas: of dialogues those that talk in them, of a pool pairs drawn as for a pool that was written.

    Training and development share no profile and no personality, so who joins one of each is left out.

    Raises:
        NotEnough: nobody is left in one of the two splits.
        UserError: a split of a pool has fewer personalities than are paired with each profile.
    """
    if not start.dialogues:
        each = params.personas.personalities_per_profile
        return Paired(draw_personas(drawn["profile"], drawn["personality"], each, params.seed), {})
    texts = {(kind, text.text): text for kind in KINDS for text in drawn[kind]}
    dropped: Counter[str] = Counter()
    found: dict[str, Persona] = {}
    for persona in {_key(tree.persona): tree.persona for tree in start.dialogues}.values():
        parts = [texts.get((kind, one_line(getattr(persona, kind)))) for kind in KINDS]
        if parts[0] is None or parts[1] is None:
            dropped["profile or personality cannot be used"] += 1
        elif parts[0].id.split("-")[0] != parts[1].id.split("-")[0]:
            dropped["profile and personality are in different splits"] += 1
        else:
            joined = join(parts[0], parts[1])
            found[joined.id] = joined
    for split in ("train", "dev"):
        if not any(name.startswith(f"{split}-") for name in found):
            raise NotEnough(f"No persona of the released dialogues has both its profile and its personality in the "
                            f"{split} split; change `personas.dev_profiles` and `personas.dev_personalities`, or give "
                            f"a larger copy.")  # fmt: skip
    return Paired(sorted(found.values(), key=lambda persona: (persona.id.startswith("dev"), persona.id)), dict(dropped))


def take_dialogues(start: Start, personas: Sequence[Persona], params: Trees, seed: int) -> Taken:
    """The released dialogues of this run's personas, as its trees: at most `n_trees`, spread evenly over personas.

    A dialogue ends before a turn in which the user says nothing, or one of the replies is empty, or that no file of
    this study could hold, such as one with half of a surrogate pair.
    """
    by_text: dict[tuple[str, str], list[DialogueTree]] = {}
    for dialogue in start.dialogues:
        by_text.setdefault(_key(dialogue.persona), []).append(dialogue)
    own = {_key(persona): persona for persona in personas}
    dropped = Counter({"persona is not of this run": sum(len(d) for key, d in by_text.items() if key not in own)})
    cut_short: Counter[str] = Counter()
    trees: list[DialogueTree] = []
    for split, most in (("train", params.n_trees), ("dev", params.n_dev_trees)):
        there = [persona for persona in personas if persona.id.split("-")[0] == split]
        order = [persona for persona in choose_personas(there, len(there), split, seed) if _key(persona) in by_text]
        taken = 0
        for persona in order:
            for number, dialogue in enumerate(by_text[_key(persona)], 1):
                name = f"tree-{persona.id}{f'-{number}' if number > 1 else ''}"
                turns, why = _answered(dialogue.turns, name)
                if taken == most:
                    dropped[f"more than `trees.{'n_trees' if split == 'train' else 'n_dev_trees'}` asks for"] += 1
                elif not turns:
                    dropped[f"at its first turn {why}"] += 1
                else:
                    trees.append(DialogueTree(name, persona, turns, origin="released"))
                    cut_short.update([why] if why else [])
                    taken += 1
    return Taken(trees, {why: n for why, n in dropped.items() if n}, dict(cut_short))


def one_line(text: str) -> str:
    """A text without line breaks and runs of white space, as every persona of the study."""
    return " ".join(text.split())


def _key(persona: Persona) -> tuple[str, str]:
    return one_line(persona.profile), one_line(persona.personality)


def _answered(turns: Sequence[Turn], tree_id: str) -> tuple[tuple[Turn, ...], str | None]:
    """The turns up to the first that cannot be used, with ids of the tree; and why it cannot, if there is one."""
    kept: list[Turn] = []
    for number, turn in enumerate(turns, 1):
        if why := _unusable(turn):
            return tuple(kept), why
        parent = kept[-1].id if kept else None
        kept.append(dataclasses.replace(turn, id=f"{tree_id}-k{number:02d}", parent=parent))
    return tuple(kept), None


def _unusable(turn: Turn) -> str | None:
    said = {"the user": (turn.user,), "a responder": (turn.hinted, turn.plain)}
    noted = {"the inducer": (turn.inferred_profile, turn.inferred_personality)}
    for who, texts in said.items():
        if not all(text.strip() for text in texts):
            return f"{who} says nothing"
    for who, texts in {**said, **noted}.items():
        if any("\ud800" <= character <= "\udfff" for text in texts for character in text):
            return f"{who} writes what is no Unicode text"
    return None
