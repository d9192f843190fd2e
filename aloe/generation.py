"""A trained policy that talks: conversations in, one reply each out.

In: a folder that training wrote, and how replies are sampled. Out: texts in the order of the conversations, whatever
batches they were computed in. A conversation that leaves no room for a reply is refused, never cut. This module knows
neither personas nor judges; `benchmark.Policy` is what it satisfies.
"""

import functools
import hashlib
import multiprocessing
import sys
import weakref
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aloe.checkpoints import free_memory, has_cuda, read_checkpoint
from aloe.decoding import decode
from aloe.errors import UserError
from aloe.params import Benchmark
from aloe.policies import Policy
from aloe.quiet import quiet
from aloe.read_before import Read, lay_out
from aloe.records import Message
from aloe.system_messages import heard

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase


class LocalPolicy:
    """A model on this machine. Temperature 0 is greedy; above it, the same seed replies the same to a conversation.

    `cut_short` counts the replies so far that stopped at `max_new_tokens` and not at their end token.
    """

    def __init__(
        self, path: Path, max_new_tokens: int, temperature: float, batch_size: int, seed: int,
        trust_remote_code: bool = False,
    ) -> None:  # fmt: skip
        import torch

        if not path.is_dir():
            raise UserError(f"{path} does not exist; run the stage that writes it (`make all`).")
        model, self._tokenizer = read_checkpoint(str(path), "auto" if has_cuda() else torch.float32, trust_remote_code)
        self._model = model.to("cuda" if has_cuda() else "cpu").eval()
        self._max_new_tokens, self._temperature = max_new_tokens, temperature
        self._batch_size, self._seed, self.cut_short = batch_size, seed, 0
        self._ends = _end_tokens(self._tokenizer, self._model)
        self._read: Read | None = None

    def reply(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        """One reply per conversation, in order, without special tokens and outer white space; it may be empty.

        Where all conversations fit into one batch and go on from those of the call before, only what is new is read.

        Raises:
            UserError: a conversation and its reply together could exceed the model's context.
        """
        prompts = [self._prompt(conversation) for conversation in conversations]
        self._refuse_long(prompts)
        if len(prompts) <= self._batch_size:
            return self._complete(prompts, keep=True) if prompts else []
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # alike in length: little padding
        replies = [""] * len(prompts)
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            for i, text in zip(batch, self._complete([prompts[i] for i in batch], keep=False), strict=True):
                replies[i] = text
        return replies

    def _prompt(self, conversation: Sequence[Message]) -> list[int]:
        messages = heard(self._tokenizer, conversation)
        ids = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True)
        return list(ids["input_ids"])

    def _refuse_long(self, prompts: Sequence[Sequence[int]]) -> None:
        room = self._model.config.max_position_embeddings - self._max_new_tokens
        longest = max(map(len, prompts), default=0)
        if longest > room:
            raise UserError(f"A conversation has {longest} tokens, but with `benchmark.max_new_tokens` = "
                            f"{self._max_new_tokens} the model's context leaves room for {room}; shorten the dialogues "
                            f"(`benchmark.n_turns`) or the replies.")  # fmt: skip

    def _complete(self, prompts: Sequence[Sequence[int]], keep: bool) -> list[str]:
        """Replies to one batch, computed together; with `keep`, what was read is kept for the next one."""
        import torch
        from transformers import StaticCache

        before, self._read = self._read, None
        known = before.shared(prompts) if before else [0] * len(prompts)
        rows, masks = lay_out(prompts, known, self._tokenizer.pad_token_id)
        device, width, n = self._model.device, len(rows[0]), self._max_new_tokens
        if before and any(known):
            cache: Cache = before.again(self._model.config, known, width + n)
        else:
            cache = StaticCache(config=self._model.config, max_cache_len=width + n)
        with quiet(), torch.inference_mode():
            new = decode(
                self._model, torch.tensor(rows, device=device), torch.tensor(masks, device=device),
                cache, max(known),
                self._draws(prompts).to(device), self._temperature, self._ends,
            )  # fmt: skip
        self.cut_short += sum(tokens[-1] not in self._ends for tokens in new)
        if keep:  # a reply's last token was never read
            masks = [[*mask, *([1] * (len(tokens) - 1))] for mask, tokens in zip(masks, new, strict=True)]
            self._read = Read.of(cache, [[*row, *tokens] for row, tokens in zip(rows, new, strict=True)], masks)
        return [text.strip() for text in self._tokenizer.batch_decode(new, skip_special_tokens=True)]

    def _draws(self, prompts: Sequence[Sequence[int]]) -> "torch.Tensor":
        """For every prompt and new token a number in [0, 1), which follows from the seed and that prompt alone."""
        import torch

        def of(prompt: Sequence[int]) -> torch.Tensor:
            digest = hashlib.sha256(repr((self._seed, list(prompt))).encode()).digest()
            own = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
            return torch.rand(self._max_new_tokens, generator=own, dtype=torch.float64)

        return torch.stack([of(prompt) for prompt in prompts])


def _end_tokens(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel") -> set[int]:
    """The tokenizer's end token, and those that the model came with."""
    own = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}


class ApartPolicy:
    """A `LocalPolicy`, with its arguments, in a process of its own that ends with this object."""

    def __init__(self, *given: Any) -> None:
        self._given = given
        self._process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        weakref.finalize(self, self._process.shutdown)  # waits: the next policy finds the GPU's memory free

    def reply(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        """As `LocalPolicy.reply`."""
        return self._process.submit(_reply, self._given, [list(c) for c in conversations]).result()


def open_policy(path: Path, params: Benchmark, seed: int, trust_remote_code: bool = False) -> Policy:
    """The policy in a folder, sampled as the preset's `benchmark` section says.

    Where Unsloth is in this process the policy is opened in another one: Unsloth changes the classes of plain models
    too, and what it makes of them does not write into the cache that a reply goes on from.
    """
    given = (path, params.max_new_tokens, params.temperature, params.batch_size, seed, trust_remote_code)
    if not _unsloth_is_here():
        return LocalPolicy(*given)
    free_memory()
    return ApartPolicy(*given)


def _unsloth_is_here() -> bool:
    return "unsloth" in sys.modules


@functools.lru_cache(1)
def _opened(*given: Any) -> LocalPolicy:
    return LocalPolicy(*given)


def _reply(given: tuple[Any, ...], conversations: Sequence[Sequence[Message]]) -> list[str]:
    return _opened(*given).reply(conversations)
