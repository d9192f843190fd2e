"""Who takes part in the benchmark: held-out personas, and whom each of them becomes where the user changes.

In: a run, which names the texts: sentences, profiles as labelled slots, or a user's copy of the published release. Out:
profiles, personalities, the personas that they make, and which parts of them are new to the models. This module does
not know policies, judges or levels.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aloe.errors import UserError
from aloe.params import ROOT, Params
from aloe.records import Persona
from aloe.released import read_texts
from aloe.runs import Run
from aloe.texts import Text, load_novel, load_texts, text_problem

OWNERS = ("her", "his", "their")
_FORM = '{"id": "bench-p01", "owner": "her", "slots": {"name": "Ana", "age": "30", "pet": "a cat"}, "novel": ["pet"]}'


def join_all(profiles: Sequence[Text], personalities: Sequence[Text]) -> list[Persona]:
    """Every profile with every personality: "bench-p01" and "bench-t2" make "bench-p01-t2".

    Raises:
        UserError: an id does not begin with "bench-", so that the text could be taken for a training one.
    """
    from aloe.personas import join  # loads pandas, which a run with nothing to do need not

    for text in (*profiles, *personalities):
        if not text.id.startswith("bench-"):
            raise UserError(f"The benchmark text {text.id!r} needs an id that begins with 'bench-'.")
    return [join(profile, personality) for profile in profiles for personality in personalities]


def benchmark_texts(run: Run) -> tuple[list[Text], list[Text]]:
    """The run's first `n_profiles` benchmark profiles and its first `n_personalities` personalities.

    Raises:
        UserError: a file is damaged or holds too few texts, or a text is, word for word, one that was trained on.
    """
    profiles, personalities = named_texts(run.params)
    for path, texts in ((run.profiles, profiles), (run.personalities, personalities)):
        trained = {_key(text.text): text.id for text in load_texts(path, 0)} if path.is_file() else {}
        for text in texts:
            if _key(text.text) in trained:
                raise UserError(
                    f"The benchmark text {text.id} is, word for word, {trained[_key(text.text)]} of {path}: it would "
                    f"not be held out. Take other benchmark texts, or train on others."
                )
    return profiles, personalities


def named_texts(params: Params) -> tuple[list[Text], list[Text]]:
    """The same without a look at what was trained on.

    Raises:
        UserError: a file is missing, damaged or holds too few texts.
    """
    files, sizes = params.personas, params.benchmark
    released, n, m = sizes.from_released, sizes.n_profiles, sizes.n_personalities
    if released:
        return (_released(ROOT / released.profiles, "bench-p{:03d}", n),
                _released(ROOT / released.personalities, "bench-t{:02d}", m))  # fmt: skip
    profiles = [text for text, _ in _slotted(ROOT / sizes.slots, n)] if sizes.slots else load_texts(
        ROOT / files.benchmark_profiles, n)  # fmt: skip
    return profiles[:n], load_texts(ROOT / files.benchmark_personalities, m)[:m]


def novel_parts(params: Params) -> dict[str, tuple[str, ...]]:
    """By id of a profile or a personality, the parts of it that occur in no pretraining or alignment data.

    Of texts of the published release that is not known: none is named.

    Raises:
        UserError: a file is damaged.
    """
    files, sizes = params.personas, params.benchmark
    if sizes.from_released:
        return {text.id: () for texts in named_texts(params) for text in texts}
    traits = load_novel(ROOT / files.benchmark_personalities)
    if sizes.slots:
        return traits | {text.id: novel for text, novel in _slotted(ROOT / sizes.slots, 1)}
    return traits | load_novel(ROOT / files.benchmark_profiles)


def as_text(owner: str, slots: dict[str, str]) -> str:
    """Labelled slots as a profile, one plain sentence a slot, so that whoever reads sentences can read them.

    >>> as_text("her", {"name": "Ana", "age": "30", "pet": "a cat"})
    'Her name is Ana. Her age is 30. Her pet is a cat.'
    """
    return " ".join(_sentence(owner, label, value) for label, value in slots.items())


def successors(personas: Sequence[Persona]) -> list[Persona]:
    """Whom each persona's user becomes at a shift: the next profile, and of it the next personality.

    Both go round in a circle, so nobody keeps a profile (nor a personality, if there are two or more), and the personas
    after a shift are, taken together, those before it: a fall of their mean level is not one to harder people. The
    whole person changes, and not the preferences alone, since a profile holds preferences too: what somebody eats,
    keeps and does. To a policy that goes on with what it knew, everything that it knew is then wrong.

    Args:
        personas: every one of some profiles with every one of some personalities, as `join_all` gives them.
    """
    profiles = list(dict.fromkeys(persona.profile_id for persona in personas))
    personalities = list(dict.fromkeys(persona.personality_id for persona in personas))
    found = {(persona.profile_id, persona.personality_id): persona for persona in personas}
    return [found[_after(p.profile_id, profiles), _after(p.personality_id, personalities)] for p in personas]


def _after(item: str, items: Sequence[str]) -> str:
    return items[(items.index(item) + 1) % len(items)]


def _sentence(owner: str, label: str, value: str) -> str:
    return f"{owner.capitalize()} {label} is {value}."


def _key(text: str) -> str:
    return " ".join(text.casefold().split())


def _released(path: Path, name: str, minimum: int) -> list[Text]:
    """The first texts of a file of the release, with ids of the benchmark; runs of white space are made one space."""
    read = [" ".join(text.split()) for text in read_texts(path)]
    if len(read) < minimum:
        raise UserError(f"{path}: {len(read)} texts, but at least {minimum} are needed; set `benchmark.n_profiles` and "
                        f"`benchmark.n_personalities` to what there is.")  # fmt: skip
    texts = [Text(name.format(number), text) for number, text in enumerate(read[:minimum], 1)]
    for text in texts:
        if problem := text_problem(text.text):
            raise UserError(f"{path}, text {text.id.split('-')[-1]}: {problem}; mend the entry or remove it.")
    return texts


def _slotted(path: Path, minimum: int) -> list[tuple[Text, tuple[str, ...]]]:
    """Every profile of a file of slots, with the sentences of those slots that are new to the models.

    Raises:
        UserError: the file is missing, a line is not of the form, an id is there twice, or there are too few lines.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; give the path of a file of slots (`benchmark.slots`).")
    found: dict[str, tuple[Text, tuple[str, ...]]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path}, line {number}"
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: not valid JSON ({error}); each line must be like {_FORM}.") from None
        if not _is_slotted(data):
            raise UserError(f"{where}: not a profile in slots; each line must be like {_FORM}.")
        text = Text(data["id"], as_text(data["owner"], data["slots"]))
        if text.id in found or (problem := text_problem(text.text)):
            raise UserError(f"{where}: {'the same id as before' if text.id in found else problem}; mend the line.")
        found[text.id] = text, tuple(_sentence(data["owner"], label, data["slots"][label]) for label in data["novel"])
    if len(found) < minimum:
        raise UserError(f"{path}: {len(found)} profiles, but at least {minimum} are needed; add more lines.")
    return list(found.values())


def _is_slotted(data: Any) -> bool:
    if not isinstance(data, dict) or set(data) != {"id", "owner", "slots", "novel"} or data["owner"] not in OWNERS:
        return False
    slots, novel = data["slots"], data["novel"]
    return (
        isinstance(data["id"], str) and isinstance(slots, dict) and bool(slots)
        and all(isinstance(value, str) and value for value in slots.values())
        and isinstance(novel, list) and all(label in slots for label in novel)
    )  # fmt: skip
