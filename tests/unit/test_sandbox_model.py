"""The simulated model as a function: the same messages and seed give the same text, whoever else asks."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from sandbox_talk import instructed, talk

from aloe.params import ROOT
from aloe.prompts import conversation, render
from aloe.records import Message
from aloe.sandbox.model import Knobs, complete

PERSONA = {
    "profile": "Marta is a 34-year-old nurse from Porto. She keeps a grey parrot called Pablo. She bakes rye bread.",
    "personality": "Blunt, saying the unwelcome thing first. Curious, asking how everything works.",
}
TALK = [Message("user", "I keep a grey parrot called Pablo. Any ideas?")]
SAID = {**PERSONA, "conversation": conversation(TALK)}
CHAT = [{"role": "user", "content": TALK[0].content}]
HINTS = {"inferred_profile": "She bakes rye bread.", "inferred_personality": "Curious."}
REQUESTS = [
    instructed("persona_profiles", examples=PERSONA["profile"], count="3"),
    instructed("persona_personalities", examples=PERSONA["personality"], count="3"),
    instructed("user", **SAID),
    instructed("inducer", **SAID),
    instructed("preference_judge", **SAID, reply_1="Bake some rye bread!", reply_2="Maybe call a friend."),
    instructed("alignment_judge", **SAID, reply="Bake some rye bread!"),
    [{"role": "system", "content": render("hinted_responder", **HINTS)}, *CHAT],
    [{"role": "system", "content": render("plain_responder")}, *CHAT],
]
JOBS = [(messages, seed) for messages in REQUESTS for seed in range(5)]


def answered(job):
    return complete(*job, Knobs())


def test_replies_depend_neither_on_order_nor_on_concurrency():
    once = {str(job): answered(job) for job in JOBS}
    mixed = random.Random(0).sample(JOBS, len(JOBS))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answered, mixed)) == [once[str(job)] for job in mixed]


def test_replies_are_the_same_in_another_process_with_another_hash_seed():
    code = (
        "import sys; sys.path.insert(0, 'tests/unit'); from test_sandbox_model import *; "
        "print(*map(answered, JOBS[10:20] + JOBS[30:]), sep='|')"
    )
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.run(
            command, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert runs[0].strip() == "|".join(map(answered, JOBS[10:20] + JOBS[30:]))


def test_another_seed_gives_another_reply():
    for messages in (REQUESTS[0], REQUESTS[2], REQUESTS[7]):
        assert len({complete(messages, seed, Knobs()) for seed in range(8)}) >= 6


def test_a_dialogue_of_ten_turns_is_the_same_twice():
    assert talk(**PERSONA, seed=3) == talk(**PERSONA, seed=3)


def test_the_sandbox_loads_nothing_of_the_study():
    code = (
        "import sys; from aloe.sandbox import app, model, pretraining; "
        "model.complete([{'role': 'user', 'content': 'Any ideas?'}], 0, model.Knobs()); "
        "print([m for m in sys.modules if m.startswith('aloe.') and not m.startswith('aloe.sandbox')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
