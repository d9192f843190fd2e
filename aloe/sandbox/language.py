"""Small English: facts in the third person become clauses in the first, and noun phrases to talk about.

In: sentences such as "She keeps a grey parrot called Pablo." Out: `Fact`s with the clause that their owner would say
("I keep a grey parrot called Pablo") and the topic that others ask after ("grey parrot"). Rules, no model; what they
cannot take apart gets no topic rather than a wrong one. Knows nothing of roles, traits or prompts.
"""

import dataclasses
import functools
import re

_DETERMINERS = {"a", "an", "the", "his", "her", "their", "my", "your", "some", "several", "this"}
_STOPS = set(
    """with in on at from for since by near every each and or but who whom whose that which called named because when
    while whenever where after before until during to into onto under over above behind beside between among along
    across through against about around without within of as than twice once most all not if so then now today
    regularly daily weekly again together alone away there here outside inside badly well early late only just even
    nearly almost living working born using is are was were has have had whenever professionally competitively online abroad upstairs next"""
    .split()
)
_ADVERBS = set(
    "also often usually recently now never always still sometimes currently rarely once just mostly only regularly "
    "already occasionally really secretly both".split()
)
_MODALS = {"can", "could", "will", "would", "may", "might", "must", "should", "used", "cannot"}
_COPULAS = {"is", "am", "are", "was", "were"}
_AUXILIARIES = _COPULAS | {"has", "have", "had", "does", "do"}
_PLACES = {"choir", "band", "team", "club", "group", "orchestra", "league", "class", "course", "quartet", "society"}
_IRREGULAR = {"is": "am", "are": "am", "has": "have", "does": "do", "goes": "go", "lies": "lie", "ties": "tie", "dies": "die"}
_NUMBERS = {"two", "three", "four", "five", "six", "seven", "twin", "grown"}
_PAST = set(
    """felt went kept took came left sent taught told gave made said got ran sat stood began brought thought found lost met
    held heard knew saw won wore wrote broke fell grew led paid put read rang rose sang slept spoke spent swam threw woke
    keep live own run send sell visit work play want need take make come go gets more feel look lately fill might yet""".split()
)
_GIVING = {"teaches", "sends", "gives", "shows", "tells", "brings", "lends", "phones", "calls", "visits", "taught",
           "writes", "drives", "helps", "with", "to", "for", "beats", "sells", "feeds", "joins", "wakes"}
_GERUND_VERBS = {"enjoys", "loves", "likes", "spends", "goes", "started", "practises", "practices", "hates", "tries",
                 "dislikes", "misses", "began", "prefers", "finds", "adores", "relaxes", "unwinds", "learns", "teaches"}
_MEASURES = {"pair", "group", "circle", "lot", "couple", "bunch", "set", "kind", "kinds", "piece", "cup", "glass", "bowl", "box",
             "collection", "number", "team", "plate", "pot", "row", "flock", "handful", "tray", "jar", "class", "stack"}
_LINKS = {"as", "for", "at", "in", "on", "to", "with", "near", "by", "from", "up", "about", "out", "after", "of",
          "around", "down", "off", "through", "over", "along", "into"}
_MOTION = re.compile(
    r"^(swim|run|row|cycl|walk|jog|climb|sing|volunteer|knit|paint|read|cook|bak|garden|danc|sail|ski|surf|fish|hik|"
    r"draw|writ|camp|skat|box|div|sew|weav|carv)"
)
_TRANSITIVE_ING = {"morning", "evening", "building", "painting", "ceiling", "clothing", "wedding", "spring", "string",
                   "ring", "king", "wing", "thing", "something", "sibling", "pudding", "meeting", "training", "during"}
STOPWORDS = set(
    """a an the and or but if then so as at by for from in into of off on onto out over to up with without about after
    again all also am an any are be because been before being both can could did do does doing down during each few
    had has have having he her here hers herself him himself his how i its it itself just me more most my myself no
    nor not now once only other our ours own same she should some such than that their theirs them themselves there
    these they this those through too under until very was we were what when where which while who whom why will would
    you your yours yourself one two three four five six seven eight nine ten year years old day days every really lot
    lots get gets got go goes going thing things much many like likes likely enjoys enjoy loves love has is am name
    named called lives live still always often usually never sometimes week weeks time times new whole little bit""".split()
)


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


def sentences(text: str) -> list[str]:
    """Split prose into sentences; white space is folded, initials and decimal points do not end one."""
    folded = re.sub(r"\s+", " ", text).strip()
    return [part for part in re.split(r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bMr\.)\s+", folded) if part]


def capitalise(text: str) -> str:
    """First letter upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def article(phrase: str) -> str:
    """'a' or 'an' in front of a phrase."""
    return ("an " if re.match(r"(?i)(?!uni|use|one|eu)[aeiou]", phrase) else "a ") + phrase


@functools.lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """A crude stem, enough to see that "gardens", "gardening" and "garden" are one word."""
    word = word.lower().removesuffix("'s").replace("’", "'")
    for ending, put in (("ies", "y"), ("ing", ""), ("ers", "er"), ("ed", ""), ("es", "e"), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)] + put
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def words(text: str) -> list[str]:
    """Lower-case words, apostrophes and inner hyphens kept."""
    return re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", text.lower())


@functools.lru_cache(maxsize=100_000)
def content_words(text: str) -> frozenset[str]:
    """Stems of the words that carry content (no function words, at least three letters)."""
    parts = (piece for word in words(text) for piece in word.split("-"))
    return frozenset(stem(word) for word in parts if len(word) > 2 and word not in STOPWORDS)


def first_person_verb(verb: str) -> str:
    """"keeps" -> "keep", "is" -> "am"; modals and past forms stay."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb in _MODALS or verb in {"was", "had", "did"} or not verb.endswith("s") or verb.endswith("ss"):
        return verb
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    if re.search(r"(ss|sh|ch|x|zz)es$", verb):
        return verb[:-2]
    return verb[:-1]


@functools.lru_cache(maxsize=20_000)
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
    counts = {p: len(re.findall(rf"\b{p}\b", text, re.I)) for p in ("she|her", "he|his|him", "they|their")}
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
        return _finish(sentence, clause, _noun_phrase(tokens[1:], stop_at_verb=True), False)
    if not own:
        return None
    rest = _drop_surname(tokens[1:])
    clause = "I " + " ".join(_to_first_person(rest, gender, plural=subject == "They"))
    topic, proper = _topic(rest)
    return _finish(sentence, clause, topic, proper)


def _finish(sentence: str, clause: str, topic: str | None, proper: bool) -> Fact:
    return Fact(sentence, clause, topic, proper, content_words(clause.removeprefix("I ").removeprefix("my ")))


def _drop_surname(tokens: list[str]) -> list[str]:
    return tokens[1:] if len(tokens) > 2 and tokens[0][0].isupper() and tokens[1] in _COPULAS else tokens


def _to_first_person(tokens: list[str], gender: str, plural: bool) -> list[str]:
    mine = set(gender.split("|"))
    out: list[str] = []
    expect_verb = True
    for i, token in enumerate(tokens):
        bare = token.lower().strip(",")
        after = tokens[i + 1].lower() if i + 1 < len(tokens) else ""
        if expect_verb and bare not in _ADVERBS:
            out.append(token if plural and bare not in {"are"} else token.replace(bare, first_person_verb(bare)))
            expect_verb = False
        elif bare in mine and bare in {"she", "he", "they"}:
            out.append("I")
            expect_verb = True
        elif bare in mine and bare in {"her", "his", "their"}:
            object_case = bare == "her" and (not after or after in _STOPS or token.endswith(","))
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
    return word in _IRREGULAR or bool(
        word.endswith("s") and not word.endswith("ss") and (after in _DETERMINERS or after in _LINKS)
    )


def _topic(tokens: list[str]) -> tuple[str | None, bool]:
    """The noun phrase to ask after, and whether it is a proper name; `tokens` start with the verb (or adverbs)."""
    while tokens and tokens[0].lower() in _ADVERBS:
        tokens = tokens[1:]
    if not tokens:
        return None, False
    verb, rest = tokens[0].lower(), tokens[1:]
    if verb in {"has", "have"} and rest and _looks_like_verb(rest[0]):
        return None, False
    if verb in _COPULAS:
        return _topic_of_copula(rest)
    if verb in {"works", "work"} and rest:
        if rest[0] == "as":
            phrase = _noun_phrase(rest[1:])
            return (f"work as {article(phrase)}" if phrase else None), False
        phrase = _noun_phrase(rest[1:])
        return (f"job {rest[0]} the {phrase}" if phrase and rest[0] in {"at", "in", "for"} else "work"), False
    if verb in {"lives", "live", "grew"} and rest and rest[0] in {"in", "near", "on", "up"}:
        place = [t for t in rest[1:] if t[0].isupper()]
        return (f"place in {place[0].strip(',')}" if place and verb != "grew" else "years in " + place[0].strip(",")
                if place else _noun_phrase(rest[1:]) or "home"), False
    if verb in {"speaks", "speak"} and rest:
        return rest[0].strip(","), False
    if verb in {"spends", "spend"} and " in " in f" {' '.join(rest)} " and not any(map(_is_gerund, rest)):
        place = rest[rest.index("in") + 1 :]
        return "time in " + " ".join(place[:4]).strip(","), False
    ings = [t for t in rest if _is_gerund(t)]
    if ings and (verb in _GERUND_VERBS or first_person_verb(verb) + "s" in _GERUND_VERBS or ings[0] is rest[0]):
        after = rest[rest.index(ings[0]) + 1 :]
        return (_noun_phrase(after) if after and after[0].lower() not in _STOPS else None) or ings[0].strip(","), False
    if _MOTION.match(verb) and (not rest or rest[0].lower() in _STOPS):
        club = [i for i, t in enumerate(rest) if t.strip(",").lower() in _PLACES]
        return (_noun_phrase(rest[1 : club[0] + 1]) if club and club[0] < 6 else None) or _gerund(verb), False
    while rest and rest[0].lower() in _LINKS:
        rest = rest[1:]
    phrase = _noun_phrase(rest)
    proper = bool(phrase) and rest[0][0].isupper() and all(part[0].isupper() for part in str(phrase).split())
    return phrase, proper


def _topic_of_copula(rest: list[str]) -> tuple[str | None, bool]:
    while rest and rest[0].lower() in _ADVERBS:
        rest = rest[1:]
    text = " ".join(rest)
    allergy = re.match(r"allergic to (\w+?)s?\b", text)
    if allergy:
        return f"{allergy.group(1)} allergy", False
    partner = re.match(r"(?:married|engaged) to (.+)", text)
    if partner:
        phrase = _noun_phrase(partner.group(1).split())
        return phrase, bool(phrase and partner.group(1)[0].isupper())
    learning = re.match(r"(?:learning|studying|training|writing|building|restoring|saving|planning|reading)\b (.+)", text)
    if learning:
        tokens = [t for t in learning.group(1).split()]
        while tokens and tokens[0].lower() in _LINKS | {"play"}:
            tokens = tokens[1:]
        return _noun_phrase(tokens), False
    if rest and rest[0].lower() in {"a", "an"}:
        phrase = _noun_phrase(rest)
        if phrase is None:
            return None, False
        if phrase.startswith("retired "):
            return f"years as {article(phrase.removeprefix('retired '))}", False
        return ("studies" if "student" in phrase else f"work as {article(phrase)}"), False
    return None, False


def _is_gerund(token: str) -> bool:
    bare = token.lower().strip(",")
    return bare.endswith("ing") and len(bare) > 5 and bare not in _TRANSITIVE_ING


def _gerund(verb: str) -> str:
    base = first_person_verb(verb)
    if base.endswith("e") and not base.endswith("ee"):
        return base[:-1] + "ing"
    double = re.search(r"[^aeiou][aeiou][bdgmnpt]$", base) and len(base) <= 4
    return base + (base[-1] if double else "") + "ing"


def _noun_phrase(tokens: list[str], stop_at_verb: bool = False) -> str | None:
    """The leading noun phrase without determiner; ends at a preposition, a conjunction or (optionally) a verb."""
    while tokens and tokens[0].lower() in _DETERMINERS:
        tokens = tokens[1:]
    lower = [token.lower() for token in tokens[:4]]
    if "of" in lower and lower[: lower.index("of")] and lower[lower.index("of") - 1] in _MEASURES:
        return _noun_phrase(tokens[lower.index("of") + 1 :], stop_at_verb)
    phrase: list[str] = []
    for token in tokens:
        bare = token.strip(",;:")
        counted = len(phrase) == 1 and phrase[0].lower() in _NUMBERS
        verb_like = stop_at_verb and phrase and not counted and _looks_like_verb(bare)
        if bare.lower() in _STOPS | _DETERMINERS or (phrase and bare.lower() in _NUMBERS) or verb_like or len(phrase) == 4 or (phrase and bare.endswith("ly")):
            break
        phrase.append(bare)
        if token != bare:
            break
    if not phrase or phrase[0].lower() in STOPWORDS - _NUMBERS - {"new", "old", "whole", "little", "own"}:
        return None
    return " ".join(phrase)


def _looks_like_verb(word: str) -> bool:
    known = word.lower() in _AUXILIARIES | _ADVERBS | _MODALS | _PAST
    return known or word[0].islower() and (word.endswith("s") and not word.endswith("ss") or word.endswith("ed"))
