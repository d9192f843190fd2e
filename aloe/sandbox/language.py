"""Small English: words, stems, sentences, the verb in the first person, and noun phrases.

In: text. Out: its words, sentences or stems, or another form of a word or phrase. Rules and short tables, no model.
Knows nothing of personas, roles or topics.
"""

import functools
import itertools
import random
import re
from collections.abc import Sequence

DETERMINERS = {"a", "an", "the", "his", "her", "their", "my", "your", "some", "several", "this"}
STOPS = set(
    """with in on at from for since by near every each and or but who whom whose that which called named because when
    while whenever where after before until during to into onto under over above behind beside between among along
    across through against about around without within of as than twice once most all not if so then now today
    regularly daily weekly again together alone away there here outside inside badly well early late only just even
    nearly almost how throughout up full living working born using is are was were has have had whenever professionally
    competitively online
    abroad upstairs next last out off round straight right barefoot i you
    he she it we they people somebody everybody nobody""".split()
)
"""Words at which a noun phrase ends."""
ADVERBS = set(
    """also often usually recently now never always still sometimes currently rarely once just mostly only regularly
    already occasionally really secretly both""".split()
)
MODALS = {"can", "could", "will", "would", "may", "might", "must", "should", "used", "cannot"}
COPULAS = {"is", "am", "are", "was", "were"}
LINKS = set(
    "as for at in on to with near by from up about out after of around down off through over along into".split()
)
IRREGULAR = {
    "is": "am", "are": "am", "has": "have", "does": "do", "goes": "go", "lies": "lie", "ties": "tie", "dies": "die",
}  # fmt: skip
_AUXILIARIES = COPULAS | {"has", "have", "had", "does", "do"}
_NUMBERS = {"two", "three", "four", "five", "six", "seven", "twin", "grown"}
_NOT_ADVERBS = set(
    """lively friendly curly elderly lovely lonely silly woolly jolly hilly chilly ugly family homely costly scaly
    wobbly bubbly grizzly early monthly lily holly jelly belly assembly butterfly barfly anomaly monopoly""".split()
)
"""Adjectives and nouns in -ly, which do not end a noun phrase as adverbs do."""
_ADJECTIVES = set(
    """tiny small little big large old older young younger new grumpy shy deaf noisy quiet retired spare second
    first own whole best favourite fried lively friendly curly elderly lovely lonely silly woolly jolly""".split()
)
"""Words that open a noun phrase and never close one: "her tiny bowls", not "her tiny"."""
_PAST = set(
    """felt went kept took came left sent taught told gave made said got ran sat stood began brought thought found
    lost met held heard knew saw won wore wrote broke fell grew led paid put read rang rose sang slept spoke spent swam
    threw woke keep live own run send sell visit work play want need take make come go gets more feel look lately fill
    might yet say show know tell give seem think mean sound start ask call turn keeps decide""".split()
)
_VERBS = set(
    """accept add admire adopt agree aim answer appear argue arrive ask attend avoid bake bark bathe beat become begin
    believe belong boast bore borrow bother bring brush build buy call calm care carve catch chair change chase
    cheer choose claim clean climb close coach collect come complain compose conduct cook cost cover cross cry
    cut cycle dance deliver design dig do draw dream drink drive earn eat enjoy expect explain fall fear feed
    feel fight find fish fit fix fly forget foster give glow go grow guard hate hear heat help hide hike hold
    hope insist jog join joke keep kick knit know laugh lead learn leave lend let lie like limp listen live look
    lose love make manage matter mean meet mend mind miss move need nurse object offer open organise own paint
    pass pay phone pick plan play please practise praise pray prefer preserve prune pull push rain raise read
    refuse remain remember remind rent repair restore ride ring rise row run sail say scare see seem sell send
    serve sew share shine shoot shout show sing sit sleep smell smile smoke snore speak spend stand start stay
    steal stop study suffer support surf swear swim take talk taste teach tell tend thank think tire trade train
    translate travel treat try turn tutor understand use visit volunteer wait wake walk want warn wash watch
    wear weave weigh whistle win wish wonder work worry write""".split()
)
_MEASURES = set(
    """pair group circle colony lot couple bunch set kind kinds piece cup glass bowl box collection number team plate
    pot row flock handful tray jar class stack""".split()
)
STOPWORDS = set(
    """a an the and or but if then so as at by for from in into of off on onto out over to up with without about after
    again all also am an any are be because been before being both can could did do does doing down during each few
    had has have having he her here hers herself him himself his how i its it itself just me more most my myself no
    nor not now once only other our ours own same she should some such than that their theirs them themselves there
    these they this those through too under until very was we were what when where which while who whom why will would
    you your yours yourself one two three four five six seven eight nine ten year years old day days every really lot
    lots get gets got go goes going thing things much many like likes likely enjoys enjoy loves love has is am name
    named called lives live still always often usually never sometimes week weeks time times new whole little
    bit""".split()
)


def sentences(text: str) -> list[str]:
    """Split prose into sentences; white space is folded, initials and decimal points do not end one."""
    folded = re.sub(r"\s+", " ", text).strip()
    return [part for part in re.split(r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bMr\.)\s+", folded) if part]


def capitalise(text: str) -> str:
    """First letter upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def unsaid(options: Sequence[str], said: str, rng: random.Random) -> str:
    """One of the options, not one that stands in `said` while there are others."""
    return rng.choice([option for option in options if option not in said] or list(options))


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


@functools.lru_cache(maxsize=8_000)
def content_words(text: str) -> frozenset[str]:
    """Stems of the words that carry content (no function words, at least three letters)."""
    parts = (piece for word in words(text) for piece in word.split("-"))
    return frozenset(stem(word) for word in parts if len(word) > 2 and word not in STOPWORDS)


def first_person_verb(verb: str) -> str:
    """The form that goes with "I": "keep" of "keeps", "am" of "is"; modals and past forms stay."""
    if verb in IRREGULAR:
        return IRREGULAR[verb]
    if verb in MODALS or verb in {"was", "had", "did"} or not verb.endswith("s") or verb.endswith("ss"):
        return verb
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    if re.search(r"(ss|sh|ch|x|zz)es$", verb):
        return verb[:-2]
    return verb[:-1]


def gerund(verb: str) -> str:
    """The form in -ing: "running" of "runs", "making" of "makes"."""
    base = first_person_verb(verb)
    if base.endswith("e") and not base.endswith("ee"):
        return base[:-1] + "ing"
    double = re.search(r"[^aeiou][aeiou][bdgmnpt]$", base) and len(base) <= 4
    return base + (base[-1] if double else "") + "ing"


def noun_phrase(tokens: list[str], stop_at_verb: bool = False) -> str | None:
    """The leading noun phrase without determiner; ends at a preposition, a conjunction or (optionally) a verb."""
    while tokens and tokens[0].lower() in DETERMINERS:
        tokens = tokens[1:]
    lower = [token.lower() for token in tokens[:4]]
    if "of" in lower and lower[: lower.index("of")] and lower[lower.index("of") - 1] in _MEASURES:
        return noun_phrase(tokens[lower.index("of") + 1 :], stop_at_verb)
    phrase: list[str] = []
    for token, after in itertools.zip_longest(tokens, tokens[1:], fillvalue=""):
        bare = token.strip(",;:")
        bound = phrase and phrase[-1].lower() in _NUMBERS | _ADJECTIVES
        plural = bare.endswith("s") and (not after or after.lower() in _AUXILIARIES | MODALS | _PAST | ADVERBS)
        verb_like = stop_at_verb and phrase and not bound and not plural and looks_like_verb(bare, after)
        adverb = bare.endswith("ly") and bare.lower() not in _NOT_ADVERBS
        ends = phrase and (bare.lower() in _NUMBERS or adverb or verb_like or len(phrase) == 4)
        if ends or bare.lower() in STOPS | DETERMINERS:
            break
        phrase.append(bare)
        if token != bare:
            break
    first = phrase[0].lower() if phrase else ""
    if not phrase or first in STOPWORDS - _NUMBERS - {"new", "old", "whole", "little", "own"}:
        return None
    if phrase[-1].lower() in _NUMBERS | _ADJECTIVES:
        return None
    return " ".join(phrase)


def looks_like_verb(word: str, after: str = "") -> bool:
    """Whether a word after a noun phrase is its verb, or an adverb before it, rather than a noun in the plural.

    By lists, by its ending in -ed, and where it ends in -s without being listed by what comes after it: an object
    makes it a verb ("races go-karts"), a preposition or nothing does not.
    """
    if word.lower() in _AUXILIARIES | ADVERBS | MODALS | _PAST or re.search(r"n['’]t$", word):
        return True
    if not word.endswith("s") or word.endswith("ss"):
        return word[:1].islower() and word.endswith("ed")
    return word[:1].islower() and (first_person_verb(word) in _VERBS or bool(after and after.lower() not in STOPS))
