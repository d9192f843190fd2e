"""How the simulated responder follows the instructions of the prompting baselines: what it then knows of its user.

In: a request, the rate of missed inferences, a random generator. Out: what is `Heard`, or a critique. Everything is
read from the prompt and the messages; the name of a policy is never seen. Planted is that a model makes use of what
stands written in front of it, and of little else:

- told to suit the user, with nothing written down, it goes by the last `SPAN` messages of the user;
- told to write notes first, it reads the whole conversation for them, and replies by its notes;
- given earlier messages in its prompt, it goes by these and the last one;
- given a critique, it goes by what that names: `POINTS` things at most, drawn from those that the draft leaves out;
- given the persona, it knows all of it;
- told only to keep it short, it is short and goes into no particulars, not even those of the last message. So this is a
  reply of which it is known that it knows nobody: what a judge finds in it of a persona is not there.

Each thing that could be inferred is missed at the rate of missed inferences, once per request that reads messages.
"""

import random

from aloe.sandbox import world
from aloe.sandbox.facts import read_profile
from aloe.sandbox.language import content_words
from aloe.sandbox.listener import NOTHING, Heard, listen, read_back
from aloe.sandbox.reading import Request

SPAN = 3
"""Of the user's messages, how many back a reader goes who is only told to bear the user in mind."""
POINTS = 3
"""What a critique names at most; the instruction asks for three."""
NOBODY = Heard((), ())


def known(request: Request, missed: float, rng: random.Random) -> Heard:
    """What the one who replies to a request knows of the user; nothing where the instruction gives no cause."""
    fields, mine = request.fields, request.mine
    if request.role == "told":
        read = world.read_personality(fields.get("personality", ""))
        facts = read_profile(fields.get("profile", ""))[1]
        return Heard(facts, tuple(name for _, name in read if name is not None))
    if request.role == "reviser":
        return read_back(fields.get("critique", ""))
    if request.role == "retriever":
        return listen([*fields.get("earlier", "").splitlines(), *mine[-1:]], missed, rng)
    if request.role == "reminded":
        return listen(mine[-SPAN:], missed, rng)
    return listen(mine, missed, rng) if request.role == "thinker" else NOBODY


def critique(request: Request, missed: float, rng: random.Random) -> str:
    """What the conversation shows of the user and the draft takes no notice of, a sentence each.

    A trait always counts as such: whether a draft's manner suits somebody cannot be read off its words here.
    """
    heard, drafted = listen(request.mine, missed, rng), content_words(request.fields.get("draft", ""))
    left = Heard(tuple(f for f in heard.facts if not content_words(str(f.topic)) & drafted), heard.traits).lines()
    return " ".join(rng.sample(left, min(POINTS, len(left)))) or NOTHING
