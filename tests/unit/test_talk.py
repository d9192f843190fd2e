"""Talking with a policy: what each side gets to see, and every way in which a conversation ends."""

import pytest
from IPython.core.error import StdinNotImplementedError
from scripted_chat import ScriptedChat

from aloe.errors import UserError
from aloe.records import Message, Persona
from aloe.talk import infer, talk_with

ANN = Persona("bench-p01-t1", "bench-p01", "bench-t1", "Ann keeps <b>bees</b>.", "Shy, looking away.")
INDUCED = "Profile: Ann keeps bees.\nPersonality: nothing yet"


class Parrot:
    """Says back what it heard last; `heard` are the conversations that it was given."""

    def __init__(self, room=9):
        self.heard, self.room = [], room

    def reply(self, conversations):
        if len(conversations[0]) > self.room:
            raise UserError("The conversation is too long.")
        self.heard += conversations
        return [f" {c[-1].content}? " for c in conversations]


def hold(lines, policy, chat):
    """Say these lines in turn; an exception among them is raised. Returns the transcript and what was told."""
    told, waiting = [], iter(lines)

    def ask(_):
        line = next(waiting)
        if isinstance(line, BaseException):
            raise line
        return line

    return talk_with(chat, policy, "dpo", ANN, ask=ask, tell=told.append), told


def test_the_policy_hears_the_conversation_alone_and_the_person_sees_what_was_inferred():
    policy, chat = Parrot(), ScriptedChat({"inducer": INDUCED})
    held, told = hold(["Hi.", " Bees! ", ""], policy, chat)
    assert [m.content for m in held.messages] == ["Hi.", "Hi.?", "Bees!", "Bees!?"]
    assert policy.heard == [list(held.messages[:1]), list(held.messages[:3])]
    assert (held.policy, held.persona) == ("dpo", ANN)
    assert told[1:] == ["    could be inferred: Ann keeps bees. | nothing yet", "dpo: Hi.?",
                        "    could be inferred: Ann keeps bees. | nothing yet", "dpo: Bees!?"]  # fmt: skip


def test_the_inducer_gets_the_persona_and_the_words_escaped():
    chat = ScriptedChat({"inducer": INDUCED})
    assert infer(chat, ANN, [Message("user", "1 < 2")]).profile == "Ann keeps bees."
    [asked] = chat.asked
    assert "Ann keeps &lt;b&gt;bees&lt;/b&gt;." in asked.messages[0].content
    assert "1 &lt; 2" in asked.messages[0].content


@pytest.mark.parametrize("end", ["", "  ", EOFError(), KeyboardInterrupt()], ids=["empty", "blank", "eof", "ctrl-c"])
def test_a_conversation_ends_quietly_and_keeps_what_was_said(end):
    held, _ = hold(["Hi.", end], Parrot(), ScriptedChat({"inducer": INDUCED}))
    assert [m.content for m in held.messages] == ["Hi.", "Hi.?"]


def test_nothing_said_gives_no_messages():
    held, _ = hold([""], Parrot(), ScriptedChat({}))
    assert held.messages == ()


def test_a_conversation_that_outgrows_the_context_ends_with_a_word_and_keeps_what_was_said():
    held, told = hold(["Hi.", "More."], Parrot(room=2), ScriptedChat({"inducer": INDUCED}))
    assert len(held.messages) == 2
    assert told[-1] == "The conversation is too long."


def test_an_inducer_that_cannot_be_read_shows_nothing_rather_than_a_guess():
    held, told = hold(["Hi.", ""], Parrot(), ScriptedChat({"inducer": "Well..."}))
    assert len(held.messages) == 2
    assert not [line for line in told if "inferred" in line]


def test_without_a_keyboard_it_says_so():
    with pytest.raises(UserError, match="talk = False"):
        hold([StdinNotImplementedError()], Parrot(), ScriptedChat({}))
