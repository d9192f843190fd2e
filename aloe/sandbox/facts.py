"""Profiles: facts in the third person become clauses in the first, and noun phrases to talk about.

In: sentences such as "She keeps a grey parrot called Pablo." Out: `Fact`s with the clause that their owner would say
("I keep a grey parrot called Pablo") and the topic that others ask after ("grey parrot"). Rules, no model; what they
cannot take apart gets no topic rather than a wrong one. Knows nothing of roles, traits or prompts.
"""

import dataclasses
import functools
import re

from aloe.sandbox.language import (
    ADVERBS,
    COPULAS,
    DETERMINERS,
    IRREGULAR,
    LINKS,
    STOPS,
    article,
    content_words,
    first_person_verb,
    gerund,
    looks_like_verb,
    noun_phrase,
    sentences,
)

_PLACES = {"choir", "band", "team", "club", "group", "orchestra", "league", "class", "course", "quartet", "society"}
_GIVING = set(
    """teaches sends gives shows tells brings lends phones calls visits taught writes drives helps with to for beats
    sells feeds joins wakes""".split()
)
"""After these "her" is the owner, not something of hers: "teaches her", "with her"."""
_GERUND_VERBS = set(
    """enjoys loves likes spends goes started practises practices hates tries dislikes misses began prefers finds
    adores relaxes unwinds learns teaches""".split()
)
_MOTION = re.compile(
    r"^(swim|run|row|cycl|walk|jog|climb|sing|volunteer|knit|paint|read|cook|bak|garden|danc|sail|ski|surf|fish|hik|"
    r"draw|writ|camp|skat|box|div|sew|weav|carv)"
)
_TRANSITIVE_ING = set(
    """morning evening building painting ceiling clothing wedding spring string ring king wing thing something sibling
    pudding meeting training during""".split()
)

_MATTER = {"tutors": "in", "tutor": "in", "teaches": "cook", "teach": "cook", "sees": "about", "see": "about"}
"""Verbs whose matter comes after this word: "tutors the baker in statistics" is about statistics."""

_PARTICIPLES = {"living", "working", "born", "using"}
"""Words that end a noun phrase after it, but open one after "her": "her living room"."""


@dataclasses.dataclass(frozen=True)
class Fact:
    """One fact of a profile.

    `sentence` is the third-person sentence, `clause` what its owner says ("I keep ..."), `topic` the bare noun phrase
    ("grey parrot") or None, `proper` whether the topic takes no possessive ("Marek"), `words` its content words.
    """

    sentence: str
    clause: str
    topic: str | None
    proper: bool
    words: frozenset[str]

    def mine(self) -> str:
        """The topic as its owner says it: "my grey parrot"."""
        return str(self.topic) if self.proper else f"my {self.topic}"

    def yours(self) -> str:
        """The topic as others say it: "your grey parrot"."""
        return str(self.topic) if self.proper else f"your {self.topic}"


@functools.lru_cache(maxsize=6_000)
def read_profile(text: str) -> tuple[str | None, tuple[Fact, ...]]:
    """The owner's first name (None if there is none) and the facts of a profile, in order.

    >>> name, facts = read_profile("Marta is a 34-year-old nurse from Porto. She keeps a grey parrot called Pablo.")
    >>> name, facts[0].clause, facts[0].topic, facts[1].clause, facts[1].topic
    ('Marta', 'I am a nurse from Porto', 'work as a nurse', 'I keep a grey parrot called Pablo', 'grey parrot')
    """
    parts = sentences(text)
    named = re.search(r"\bname is ([A-Z][\w'’-]+)", text)
    opening = re.match(r"([A-Z][\w'’-]+)(?: [A-Z][\w'’-]+)?,? (?:is|works|lives|has|runs|was|teaches|studies)\b", text)
    name = named.group(1) if named else opening.group(1) if opening else None
    if name in {"She", "He", "They", "Her", "His", "Their", "The", "This", "It"}:
        name = None
    counts = {p: len(re.findall(rf"\b(?:{p})\b", text, re.I)) for p in ("she|her", "he|his|him", "they|their")}
    gender = max(counts, key=lambda p: counts[p])
    facts = [_fact(part, name, gender) for part in parts if not re.match(r"\w+ name is \S+$", part)]
    return name, tuple(fact for fact in facts if fact is not None)


def _fact(sentence: str, name: str | None, gender: str) -> Fact | None:
    bare = sentence.rstrip(".!? ")
    tokens = bare.split()
    if len(tokens) < 3:
        return None
    age = re.match(r"(.+? (?:is|as)) an? (\d+)[- ]years?[- ]old,? (.+)", bare)
    if age and re.match(r"(from|in|who|living)\b", age.group(3)) is None:
        bare = f"{age.group(1)} {article(age.group(3))}"
        tokens = bare.split()
    subject = tokens[0].strip(",")
    own = subject == name or re.fullmatch(gender, subject, re.I) is not None or subject in {"She", "He", "They", "I"}
    possessive = subject.lower() in {"her", "his", "their", "my"}
    if possessive:
        clause = "my " + " ".join(_object_to_me(tokens[1:], gender))
        return _finish(sentence, clause, noun_phrase(tokens[1:], stop_at_verb=True), False)
    if not own:
        return None
    rest = _drop_surname(tokens[1:])
    clause = "I " + " ".join(_to_first_person(rest, gender, plural=subject == "They"))
    topic, proper = _topic(rest)
    return _finish(sentence, clause, topic, proper)


def _finish(sentence: str, clause: str, topic: str | None, proper: bool) -> Fact:
    return Fact(sentence, clause, topic, proper, content_words(clause.removeprefix("I ").removeprefix("my ")))


def _drop_surname(tokens: list[str]) -> list[str]:
    return tokens[1:] if len(tokens) > 2 and tokens[0][0].isupper() and tokens[1] in COPULAS else tokens


def _to_first_person(tokens: list[str], gender: str, plural: bool) -> list[str]:
    mine = set(gender.split("|"))
    out: list[str] = []
    expect_verb = True
    for i, token in enumerate(tokens):
        bare = token.lower().strip(",")
        after = tokens[i + 1].lower() if i + 1 < len(tokens) else ""
        if expect_verb and bare not in ADVERBS:
            out.append(token if plural and bare not in {"are"} else token.replace(bare, first_person_verb(bare)))
            expect_verb = False
        elif bare in mine and bare in {"she", "he", "they"}:
            out.append("I")
            expect_verb = True
        elif bare in mine and bare in {"her", "his", "their"}:
            object_case = bare == "her" and (
                not after or (after in STOPS and after not in _PARTICIPLES) or token.endswith(",")
            )
            out.append(token.replace(bare, "me" if object_case else "my"))
        elif bare == "him" and "he" in mine:
            out.append(token.replace(bare, "me"))
        elif bare in {"himself", "herself", "themself", "themselves"}:
            out.append("myself")
        else:
            joined = bool(out) and out[-1].lower().strip(",") in {"and", "but", "or"}
            out.append(first_person_verb(bare) if joined and _is_joined_verb(bare, after) else token)
    return out


def _object_to_me(tokens: list[str], gender: str) -> list[str]:
    """The owner as object of somebody else's verb: "teaches her Punjabi" -> "teaches me Punjabi"."""
    me = {"she|her": "her", "he|his|him": "him", "they|their": "them"}[gender]
    return [
        "me" if token == me and (me == "him" or tokens[i - 1].lower() in _GIVING or i == len(tokens) - 1) else token
        for i, token in enumerate(tokens)
    ]


def _is_joined_verb(word: str, after: str) -> bool:
    return word in IRREGULAR or bool(
        word.endswith("s") and not word.endswith("ss") and (after in DETERMINERS or after in LINKS)
    )


def _topic(tokens: list[str]) -> tuple[str | None, bool]:
    """The noun phrase to ask after, and whether it is a proper name; `tokens` start with the verb (or adverbs)."""
    while tokens and tokens[0].lower() in ADVERBS:
        tokens = tokens[1:]
    if not tokens:
        return None, False
    verb, rest = tokens[0].lower(), tokens[1:]
    if verb in {"has", "have"} and rest and looks_like_verb(rest[0]):
        return None, False
    if verb in COPULAS:
        return _topic_of_copula(rest)
    if verb in {"works", "work"} and rest:
        return _topic_of_work(rest), False
    if verb in {"lives", "live", "grew"} and rest and rest[0] in {"in", "near", "on", "up"}:
        return _topic_of_home(verb, rest), False
    if verb in {"avoids", "avoid"} and rest:
        phrase = noun_phrase(rest)
        return f"life without {phrase}" if phrase else None, False
    if verb in {"speaks", "speak"} and rest:
        return rest[0].strip(","), False
    if verb in {"spends", "spend"} and " in " in f" {' '.join(rest)} " and not any(map(_is_gerund, rest)):
        place = rest[rest.index("in") + 1 :]
        return "time in " + " ".join(place[:4]).strip(","), False
    return _topic_of_activity(verb, rest)


def _topic_of_work(rest: list[str]) -> str | None:
    phrase = noun_phrase(rest[1:])
    if rest[0] == "as":
        return f"work as {article(phrase)}" if phrase else None
    return f"job {rest[0]} the {phrase}" if phrase and rest[0] in {"at", "in", "for"} else "work"


def _topic_of_home(verb: str, rest: list[str]) -> str:
    places = [token.strip(",") for token in rest[1:] if token[0].isupper()]
    if not places:
        return noun_phrase(rest[1:]) or "home"
    return f"years in {places[0]}" if verb == "grew" else f"place in {places[0]}"


def _topic_of_activity(verb: str, rest: list[str]) -> tuple[str | None, bool]:
    ings = [t for t in rest if _is_gerund(t)]
    if ings and (verb in _GERUND_VERBS or first_person_verb(verb) + "s" in _GERUND_VERBS or ings[0] is rest[0]):
        after = rest[rest.index(ings[0]) + 1 :]
        return (noun_phrase(after) if after and after[0].lower() not in STOPS else None) or ings[0].strip(","), False
    if _MOTION.match(verb) and (not rest or rest[0].lower() in STOPS):
        club = [i for i, t in enumerate(rest) if t.strip(",").lower() in _PLACES]
        return (noun_phrase(rest[1 : club[0] + 1]) if club and club[0] < 6 else None) or gerund(verb), False
    if _MATTER.get(verb) in rest[1:-1]:
        rest = rest[rest.index(_MATTER[verb], 1) + 1 :]
    while rest and rest[0].lower() in LINKS:
        rest = rest[1:]
    phrase = noun_phrase(rest)
    proper = bool(phrase) and rest[0][0].isupper() and all(part[0].isupper() for part in str(phrase).split())
    return phrase, proper


def _topic_of_copula(rest: list[str]) -> tuple[str | None, bool]:
    while rest and rest[0].lower() in ADVERBS:
        rest = rest[1:]
    text = " ".join(rest)
    allergy = re.match(r"allergic to (\w+?)s?\b", text)
    if allergy:
        return f"{allergy.group(1)} allergy", False
    partner = re.match(r"(?:married|engaged) to (.+)", text)
    if partner:
        phrase = noun_phrase(partner.group(1).split())
        return phrase, bool(phrase and partner.group(1)[0].isupper())
    doing = re.match(r"(?:learning|studying|training|writing|building|restoring|saving|planning|reading)\b (.+)", text)
    if doing:
        tokens = doing.group(1).split()
        while tokens and tokens[0].lower() in LINKS | {"play"}:
            tokens = tokens[1:]
        return noun_phrase(tokens), False
    if rest and rest[0].lower() in {"a", "an"}:
        phrase = noun_phrase(rest)
        if phrase is None:
            return None, False
        if phrase.startswith("retired "):
            return f"years as {article(phrase.removeprefix('retired '))}", False
        return ("studies" if "student" in phrase else f"work as {article(phrase)}"), False
    return None, False


def _is_gerund(token: str) -> bool:
    bare = token.lower().strip(",")
    return bare.endswith("ing") and len(bare) > 5 and bare not in _TRANSITIVE_ING
