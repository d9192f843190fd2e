"""Which tokens of a conversation the assistant says, whatever the chat template, and the proof of it.

In: a tokenizer with a chat template, and conversations. Out: token ids, and for every reply the tokens that are the
reply and its end token, nothing else. Where the template does not mark what the assistant says, a reply is what comes
after the prompt that the model would have been given. A mask that does not hold exactly the replies is refused. This
module does not know what is learned.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from aloe.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
Chat = Sequence[Mapping[str, str]]


class Encoded(NamedTuple):
    """One conversation. `replies` holds the places of each reply's tokens, its end token included, in order."""

    input_ids: list[int]
    replies: list[range]


def encode(tokenizer: "PreTrainedTokenizerBase", chats: Sequence[Chat]) -> list[Encoded]:
    """Tokenise conversations and find their replies.

    Raises:
        UserError: the template marks more or less than the replies with their end tokens; or it has no marks, and no
            end token after a reply, or writes a reply in another way once the conversation goes on; or it refuses a
            conversation, such as one with a system message.
    """
    from jinja2 import TemplateError

    template = tokenizer.chat_template
    if not isinstance(template, str):
        raise UserError(f"The tokenizer of {tokenizer.name_or_path} has no chat template; put one into its folder.")
    marked = _MARK.search(template) is not None
    found = (_by_marks(tokenizer, c) if marked else _by_prompts(tokenizer, c, c is chats[0]) for c in chats)
    try:
        return [_checked(tokenizer, chat, encoded) for chat, encoded in zip(chats, found, strict=True)]
    except TemplateError as error:
        raise UserError(f"The chat template of {tokenizer.name_or_path} does not take a conversation ({error}): leave "
                        "out what it does not know, such as system messages.") from error  # fmt: skip


def _by_marks(tokenizer: "PreTrainedTokenizerBase", chat: Chat) -> Encoded:
    """Replies are the runs that the template marks."""
    batch = tokenizer.apply_chat_template(list(chat), return_dict=True, return_assistant_tokens_mask=True)
    runs, start = [], 0
    for inside, group in groupby(batch["assistant_masks"]):
        end = start + len(list(group))
        runs += [range(start, end)] if inside else []
        start = end
    return Encoded(list(batch["input_ids"]), runs)


def _by_prompts(tokenizer: "PreTrainedTokenizerBase", chat: Chat, to_the_token: bool) -> Encoded:
    """Replies are what comes after the prompt of their turn, up to the end of their message.

    `to_the_token`: see also that the prompt alone is cut into the same tokens; a matter of the template, not the chat.
    """

    def text(messages: Chat, prompt: bool = False) -> str:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt))

    whole = text(chat)
    batch = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    ids, places, replies = list(batch["input_ids"]), batch["offset_mapping"], []
    for i, message in enumerate(chat):
        if message["role"] != "assistant":
            continue
        before, after = text(chat[:i], prompt=True), text(chat[: i + 1]).rstrip()
        if not (whole.startswith(after) and after.startswith(before)):
            raise _refusal(tokenizer, "a reply does not follow the prompt that the model is given, or is written in "
                                      "another way once the conversation goes on")  # fmt: skip
        found = [n for n, (start, end) in enumerate(places) if len(before) <= start < end <= len(after)]
        if not found or (to_the_token and tokenizer(before, add_special_tokens=False)["input_ids"] != ids[: found[0]]):
            raise _refusal(tokenizer, "a reply begins in the middle of a token")
        replies.append(range(found[0], found[-1] + 1))
    return Encoded(ids, replies)


def _checked(tokenizer: "PreTrainedTokenizerBase", chat: Chat, encoded: Encoded) -> Encoded:
    """The same, without what follows an end token; refused unless it decodes to exactly the replies and end tokens."""
    said, special = [m["content"] for m in chat if m["role"] == "assistant"], set(tokenizer.all_special_ids)
    if len(encoded.replies) != len(said):
        raise _refusal(tokenizer, f"{len(encoded.replies)} replies are marked in a conversation of {len(said)}")
    replies = []
    for run, content in zip(encoded.replies, said, strict=True):
        ids = [encoded.input_ids[i] for i in run]
        end = next((len(ids) - back for back in (0, 1) if special.intersection(ids[-1 - back :][:1])), None)
        if end is None:  # at its very end, or before one token that is a line break
            raise _refusal(tokenizer, f"no end token closes the reply {content[:40]!r}")
        found = tokenizer.decode(ids[: end - 1], clean_up_tokenization_spaces=False)
        if _plain(found) != _plain(content) or (found.startswith("\n") and not content.startswith("\n")):
            raise _refusal(tokenizer, f"the reply {content[:40]!r} is marked as {found[:40]!r}")
        replies.append(range(run.start, run.start + end))
    return Encoded(encoded.input_ids, replies)


def _plain(text: str) -> str:
    """A text without what tokenizers may change: the form of accented letters, and white space."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def _refusal(tokenizer: "PreTrainedTokenizerBase", reason: str) -> UserError:
    return UserError(f"The chat template of {tokenizer.name_or_path} does not show what the assistant says ({reason}): "
                     "put {% generation %} and {% endgeneration %} around a reply and its end token.")  # fmt: skip
