"""Records as HTML for notebooks and the report: dialogues and transcripts as chats, personas, preference pairs.

In: records (and judgements as a data frame). Out: `Html`, a string that a notebook displays. Whatever comes from a
model or a file is escaped. No script, no style sheet, nothing from the network; colours are translucent and text
keeps the page's colour, so that light and dark pages both work; columns stack on a narrow screen.
"""

import html
from collections.abc import Mapping, Sequence

import pandas as pd

from aloe.records import DialogueTree, Message, Persona, PreferencePair, Transcript, Turn

BLUE, ORANGE, GREY = "87,144,252", "248,156,32", "128,128,128"  # r,g,b; the first two from petroff6
FRAME = "max-width:46rem;line-height:1.45;overflow-wrap:anywhere;text-align:left"
ROW = "display:flex;flex-wrap:wrap;gap:.5em;align-items:flex-start;margin:.3em 0"
SMALL = "font-size:.85em;opacity:.85"


class Html(str):
    """HTML text that Jupyter renders instead of printing."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


def persona(who: Persona) -> Html:
    """A persona: its profile and its personality, side by side where there is room."""
    parts = [("Profile", who.profile), ("Personality", who.personality)]
    boxes = "".join(_bubble(text, GREY, label=label, style="flex:1 1 16em") for label, text in parts)
    return _frame(f'<div style="{SMALL}">{_escape(who.id)}</div><div style="{ROW}">{boxes}</div>')


def dialogue(tree: DialogueTree) -> Html:
    """A preference dialogue as a chat: per turn the user's message, what had been inferred of them, and both replies.

    The reply that the dialogue went on with has a solid outline, the other a dashed one; the words say so too.
    """
    return _frame(persona(tree.persona) + "".join(_turn(turn, k, tree.origin) for k, turn in enumerate(tree.turns, 1)))


def transcript(held: Transcript, judgements: pd.DataFrame) -> Html:
    """A policy's conversation with the score of each reply beside it.

    Args:
        held: the conversation.
        judgements: columns of `records.Judgement`; rows of other policies or personas are ignored, a reply without
            a row shows no score, one that a judge's answer gave no level for says so.
    """
    own = judgements[
        (judgements["policy"] == held.policy)
        & (judgements["profile_id"] == held.persona.profile_id)
        & (judgements["personality_id"] == held.persona.personality_id)
    ]
    chat, turn = "", 0
    for message in held.messages:
        if message.role == "assistant":
            turn += 1
            score = _score(own[own["turn"] == turn])
            chat += _side("right", _bubble(message.content, BLUE, label=held.policy, note=score))
        else:
            if held.shift and turn + 1 == held.shift.turn:
                chat += f"<p>From here on the user is somebody else:</p>{persona(held.shift.persona)}"
            chat += _side("left", _bubble(message.content, GREY, label=message.role))
    return _frame(persona(held.persona) + chat)


def pair(example: PreferencePair) -> Html:
    """A DPO example: the conversation that is the prompt, then the chosen and the rejected reply."""
    head = f'<div style="{SMALL}">{_escape(example.id)}, turn {example.turn}</div>'
    chosen = _bubble(example.chosen, BLUE, label="chosen", style="flex:1 1 16em")
    rejected = _bubble(example.rejected, ORANGE, label="rejected", style="flex:1 1 16em")
    return _frame(f'{head}{_chat(example.prompt)}<div style="{ROW}">{chosen}{rejected}</div>')


def replies(prompt: Sequence[Message], by_policy: Mapping[str, str]) -> Html:
    """The last two messages of a conversation, and what each policy answers to it, side by side where there is room."""
    boxes = "".join(
        _bubble(text, BLUE if text else GREY, label=name, note="" if text else "(no words)", style="flex:1 1 12em")
        for name, text in by_policy.items()
    )
    return _frame(f'{_chat(prompt[-2:])}<div style="{ROW}">{boxes}</div>')


def marked(pieces: Sequence[tuple[str, bool]]) -> Html:
    """Text in pieces, the flagged ones marked, such as the tokens that a model learns."""
    look = f"background:rgba({BLUE},.35);border-radius:.2em"
    return _frame("".join(
        f'<span style="{look}">{_escape(text)}</span>' if flag else _escape(text) for text, flag in pieces
    ))  # fmt: skip


def _turn(turn: Turn, number: int, origin: str) -> str:
    inferred = (
        f'<div style="{SMALL};margin:.2em 0 .2em 1em;padding-left:.6em;border-left:3px solid rgba({GREY},.5)">'
        f"<b>inferred profile</b> {_escape(turn.inferred_profile)}<br>"
        f"<b>inferred personality</b> {_escape(turn.inferred_personality)}</div>"
    )
    replies = ""
    for source, text in (("hinted", turn.hinted), ("plain", turn.plain)):
        verdict = ("preferred" if source == turn.label else "rejected") if turn.preferred is not None else turn.label
        taken = source == turn.branch
        replies += _bubble(
            text,
            {"preferred": BLUE, "rejected": ORANGE}.get(verdict, GREY),
            label=f"{reply_name(source, origin)}: {verdict}",
            note="the dialogue goes on from here" if taken else "",
            style=f"flex:1 1 16em;border-style:{'solid' if taken else 'dashed'}",
        )
    user = _side("left", _bubble(turn.user, GREY, label=f"user, turn {number}"))
    return f'{user}{inferred}<div style="{ROW}">{replies}</div>'


def reply_name(source: str, origin: str) -> str:
    """What a reply is called: of a released dialogue nobody knows which of the two was hinted."""
    return "reply" if origin == "released" else f"{source} reply"


def _chat(messages: Sequence[Message]) -> str:
    sides = {"assistant": ("right", BLUE)}
    return "".join(
        _side(side, _bubble(message.content, colour, label=message.role))
        for message in messages
        for side, colour in [sides.get(message.role, ("left", GREY))]
    )


def _score(rows: pd.DataFrame) -> str:
    """Levels of one reply in words, such as "4 of 5"; with several judges each by name."""
    texts = {
        judge: "no score (not readable)" if pd.isna(level) else f"{level:g} of 5"
        for judge, level in zip(rows["judge"], rows["level"], strict=True)
    }
    named = len(texts) > 1
    return ", ".join(f"{judge}: {text}" if named else text for judge, text in texts.items())


def _bubble(text: str, colour: str, label: str, note: str = "", style: str = "") -> str:
    below = f'<div style="{SMALL}"><b>{_escape(note)}</b></div>' if note else ""
    look = f"border:1.5px solid rgba({colour},.8);border-radius:.8em;padding:.35em .7em;background:rgba({colour},.14)"
    return f'<div style="{look};{style}"><div style="{SMALL}">{_escape(label)}</div>{_escape(text)}{below}</div>'


def _side(side: str, bubble: str) -> str:
    margin = "margin:.6em 15% .3em 0" if side == "left" else "margin:.3em 0 .3em 15%"
    return f'<div style="{margin}">{bubble}</div>'


def _escape(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


def _frame(inner: str) -> Html:
    return Html(f'<div style="{FRAME}">{inner}</div>')
