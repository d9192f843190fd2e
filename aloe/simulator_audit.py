"""Does the role-played user behave like a person? What comes out turn by turn, and what should not be there.

In: trees. Out: frames with a row per message or per turn, estimates, and the *recoverable maximum*: the share of a
persona that could be known at turn k, which no policy's knowledge can exceed. Facts are read by the rule of `telling`.
Traits are never named by a user, so their share is what the inducer noted. Contradictions and an assistant's phrases
are found by patterns whose misses and false alarms are measured on marked messages
(`tests/unit/test_marked_messages.py`). This module asks nobody and draws nothing.
"""

import functools
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from aloe.audit_model import RuleErrors, early_disclosure, share
from aloe.intervals import Estimate, mean_estimate
from aloe.novelty import stems
from aloe.records import DialogueTree, Persona, Transcript
from aloe.telling import Fact, disclosed, facts_of, paths, told_in, words_of

ASSISTANT = re.compile(
    r"\bas an? (?:ai|assistant|language model)\b|\bhow (?:can|may) i (?:help|assist)|\bhappy to (?:help|assist)\b|"
    r"\bfeel free to (?:ask|reach)|\blet me know if (?:you (?:need|have|want|would)|there)|\bi(?:'d| would) (?:suggest|"
    r"recommend) (?:that )?you\b|\bhere (?:are|is) (?:some|a few|an?|the) (?:\w+ )?(?:tips?|steps?|ideas?|list|ways|"
    r"suggestions?|options?)\b|\bi hope (?:this|that) helps\b|\bgreat question\b|\bis there anything else\b|"
    r"\bbased on what you(?:'ve| have)? (?:told|said|shared)|^\s*(?:[-*•]|\d+[.)])\s",
    re.IGNORECASE | re.MULTILINE,
)
"""How an assistant talks, and a user does not."""
_DENIAL = re.compile(
    r"\bI(?:'m| am|'ve| have| do| did| was| can| would|'d| could)? (?:really |just |simply |also |still )?"
    r"(?:not|never|no|hate|cannot|can't|don't|didn't|haven't|wasn't|couldn't|wouldn't|ain't|gave up|quit|stopped)\b"
    r"(?! (?:imagine|wait|help|stop|live|resist|mind|know|see|think|want to)\b)",
    re.IGNORECASE,
)
"""The owner of a fact denies something."""
_NEGATED = re.compile(r"\b(?:not|never|no|cannot|hardly)\b")
_NAMED = re.compile(r"\b(?:called|named)\s+([A-Z]\w+)")
_WORDS = "one two three four five six seven eight nine ten eleven twelve".split()
_NUMBERS = {word: number for number, word in enumerate(_WORDS, 1)}
_MY_AGE = re.compile(r"\bI(?:'m| am) (\d{1,3})(?: years old)?(?=[\s,.!?]*$|[,.!?])")
_CLAUSE_ENDS = re.compile(
    r"[,;:.!?…()]+|\b(?:and|but|so|yet|until|though|although|because|that|since|seeing|when|while)\b"
)
HALF = 0.5
"""Share of a fact's telling words from which on a sentence is about that fact."""


def contradicts(fact: str, sentence: str, words: frozenset[str] | None = None) -> bool:
    """Whether a sentence of the user's is about a fact and denies it, or gives another number or name.

    Words alone do not find every contradiction ("I live alone" against a husband), so this is a lower bound.

    >>> contradicts("She has two grey parrots.", "I have three grey parrots.")
    True
    >>> contradicts("She has two grey parrots.", "My two grey parrots are not amused.")
    False
    """
    telling = stems(fact) if words is None else words
    age, claimed = re.search(r"\b(\d+)[- ]years?[- ]old\b", fact), _MY_AGE.search(sentence)
    if age and claimed and age[1] != claimed[1]:
        return True
    if not telling:
        return False
    for clause, said in _clauses(sentence):
        held = telling & said
        denied = _DENIAL.search(clause) is not None
        if len(held) >= HALF * len(telling) and (
            (denied and not _NEGATED.search(fact)) or _other_number(fact, clause, held) or _other_name(fact, clause)
        ):
            return True
    return False


@functools.lru_cache(maxsize=20_000)
def _clauses(sentence: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """The clauses of a sentence, each with its stems."""
    return tuple((clause, stems(clause)) for clause in _CLAUSE_ENDS.split(sentence) if clause)


def message_table(trees: Iterable[DialogueTree]) -> pd.DataFrame:
    """One row per message of the user's.

    Returns: tree, profile, id, turn (depth from 1), words, new (facts that it tells), untold_before (facts),
        like_assistant, repeated (said word for word earlier in its dialogue), contradicted (the first fact that it goes
        against, or missing).
    """
    rows = []
    for tree in trees:
        facts, told = facts_of(tree.persona.profile), disclosed(tree)
        for turn_id, path in paths(tree).items():
            message, out = path[-1].user, told[turn_id]
            rows.append((
                tree.id, tree.persona.profile_id, turn_id, len(path), len(message.split()), len(out.new),
                len(facts) - len(out.before), bool(ASSISTANT.search(message)),
                message in (turn.user for turn in path[:-1]), _contradicted(facts, message),
            ))  # fmt: skip
    columns = ["tree", "profile", "id", "turn", "words", "new", "untold_before", "like_assistant", "repeated"]
    return pd.DataFrame(rows, columns=[*columns, "contradicted"])


def recoverable_table(trees: Iterable[DialogueTree]) -> pd.DataFrame:
    """One row per turn: which share of the persona could be known by then.

    Returns: tree, profile, id, turn, facts (share told), traits (share noted at some turn up to this one), persona
        (share of facts and traits together, each item counting alike). Traits stand for what the inducer saw: it may
        miss some.
    """
    rows = []
    for tree in trees:
        facts, traits, told = facts_of(tree.persona.profile), traits_of(tree.persona), disclosed(tree)
        for turn_id, path in paths(tree).items():
            seen = told_in(traits, frozenset().union(*(stems(turn.inferred_personality) for turn in path)))
            parts = (len(told[turn_id].told), len(seen))
            sizes = (len(facts), len(traits))
            rows.append((tree.id, tree.persona.profile_id, turn_id, len(path), _of(parts[0], sizes[0]),
                         _of(parts[1], sizes[1]), _of(sum(parts), sum(sizes))))  # fmt: skip
    return pd.DataFrame(rows, columns=["tree", "profile", "id", "turn", "facts", "traits", "persona"])


def recoverable_maximum(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The recoverable maximum: means of `recoverable_table`, or of `transcript_table`, by turn.

    Returns: series (facts, traits, persona), turn, value, low, high.
    """
    rows = []
    for kind in [name for name in ("facts", "traits", "persona") if name in table]:
        for turn, own in table.dropna(subset=[kind]).groupby("turn"):
            clusters = pd.factorize(own["profile"])[0]
            rows.append((kind, turn, *mean_estimate(own[kind].to_numpy(dtype=float), clusters, confidence)))
    return pd.DataFrame(rows, columns=["series", "turn", "value", "low", "high"]).astype({"low": float, "high": float})


def transcript_table(transcripts: Iterable[Transcript]) -> pd.DataFrame:
    """One row per turn of a policy's conversations: the share of the profile's facts that the user has told by then.

    Returns: policy, case, profile, turn, facts.
    """
    rows = []
    for held in transcripts:
        facts, told = facts_of(held.persona.profile), frozenset[int]()
        for turn, message in enumerate(held.messages[::2], 1):
            told |= told_in(facts, words_of(message.content))
            rows.append((held.policy, held.id, held.persona.profile_id, turn, _of(len(told), len(facts))))
    return pd.DataFrame(rows, columns=["policy", "case", "profile", "turn", "facts"])


def user_estimates(trees: Iterable[DialogueTree], errors: RuleErrors, confidence: float) -> dict[str, Estimate | None]:
    """Every number of the simulator audit by name; None where it cannot be told.

    `facts_never_told`: of the facts of a persona, those that no message of the whole dialogue tells.
    `repeated_openings`: of the opening messages, those that begin with the same three words as the opening of another
    dialogue.
    """
    trees = list(trees)
    messages, known = message_table(trees), recoverable_table(trees)
    last = known.loc[known.groupby("tree")["turn"].idxmax()] if len(known) else known
    openings = opening_table(trees)
    return {
        "early_disclosure": early_disclosure(messages, errors, confidence),
        "tells_two_facts": share(messages.assign(two=messages["new"] >= 2), "two", confidence),
        "tells_no_fact": share(messages.assign(none=messages["new"] == 0), "none", confidence),
        "facts_never_told": share(last.assign(never=1 - last["facts"]).dropna(subset=["never"]), "never", confidence),
        "contradictions": share(messages.assign(against=messages["contradicted"].notna()), "against", confidence),
        "like_assistant": share(messages, "like_assistant", confidence),
        "repeated_messages": share(messages, "repeated", confidence),
        "repeated_openings": share(openings, "begins_as_another", confidence),
    }


def opening_table(trees: Iterable[DialogueTree]) -> pd.DataFrame:
    """One row per dialogue: tree, profile, opening (the first message), same_as_another, begins_as_another (three
    words)."""
    rows = [(tree.id, tree.persona.profile_id, tree.turns[0].user) for tree in trees if tree.turns]
    table = pd.DataFrame(rows, columns=["tree", "profile", "opening"])
    begun = table["opening"].map(lambda text: " ".join(re.findall(r"\w+", text.casefold())[:3]))
    return table.assign(
        same_as_another=table["opening"].duplicated(keep=False), begins_as_another=begun.duplicated(keep=False)
    )


def traits_of(persona: Persona) -> tuple[Fact, ...]:
    """The traits of a personality with the stems of their first words, up to a comma: "Curious, asking much." is
    curious."""
    parts = [part for part in re.split(r"[.;]\s*|\n+", persona.personality) if part.strip()]
    heads = [Fact(part, stems(re.split(r"[,:]", part)[0]) or stems(part)) for part in parts]
    return tuple(head for head in heads if head.words)


def _contradicted(facts: Iterable[Fact], message: str) -> str | None:
    parts = re.split(r"(?<=[.!?…])\s+", message)
    return next((fact.text for fact in facts for part in parts if contradicts(fact.text, part, fact.words)), None)


def _other_number(fact: str, clause: str, held: frozenset[str]) -> bool:
    """Whether both count the same thing, and differently."""
    mine, theirs = _counted(fact), _counted(clause)
    return any(mine[word] != theirs[word] for word in mine.keys() & theirs.keys() & held)


def _counted(text: str) -> dict[str, int]:
    """What is counted, by stem: the three words after a number."""
    found: dict[str, int] = {}
    words = re.findall(r"\w+", text.casefold())
    for i, word in enumerate(words):
        number = int(word) if word.isascii() and word.isdigit() and len(word) < 10 else _NUMBERS.get(word)
        if number is not None:
            found |= dict.fromkeys(stems(" ".join(words[i + 1 : i + 4])), number)
    return found


def _other_name(fact: str, clause: str) -> bool:
    names, said = set(_NAMED.findall(fact)), set(_NAMED.findall(clause))
    return bool(names and said and not names & said)


def _of(part: int, whole: int) -> float:
    return part / whole if whole else float(np.nan)
