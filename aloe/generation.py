"""A trained policy that talks: conversations in, one reply each out.

In: a folder that training wrote, and how replies are sampled. Out: texts in the order of the conversations, whatever
batches they were computed in. A conversation that leaves no room for a reply is refused, never cut. This module knows
neither personas nor judges; `benchmark.Policy` is what it satisfies.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aloe.checkpoints import has_cuda, read_checkpoint
from aloe.errors import UserError
from aloe.params import Benchmark
from aloe.quiet import quiet
from aloe.read_before import Read, lay_out
from aloe.records import Message

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedTokenizerBase


class LocalPolicy:
    """A model on this machine. Temperature 0 is greedy; above it, the same batch with the same seed replies the same.

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

        before, self._read = self._read, None
        known = before.shared(prompts) if before else [0] * len(prompts)
        rows, masks = lay_out(prompts, known, self._tokenizer.pad_token_id)
        device, width = self._model.device, len(rows[0])
        cache = before.again(self._model.config, known, width + self._max_new_tokens) if before and any(known) else None
        with quiet(), torch.inference_mode(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self._batch_seed(prompts))
            out = self._model.generate(
                input_ids=torch.tensor(rows, device=device), attention_mask=torch.tensor(masks, device=device),
                generation_config=self._config(cache is None), **({} if cache is None else {"past_key_values": cache}),
            )  # fmt: skip
        sequences, ends = out.sequences.tolist(), set(self._end_tokens())
        lengths = [next((n for n, token in enumerate(row[width:], 1) if token in ends), 0) for row in sequences]
        self.cut_short += lengths.count(0)
        if keep:
            masks = [[*mask, *([1] * (n or len(row) - width))] for mask, n, row in
                     zip(masks, lengths, sequences, strict=True)]  # fmt: skip
            self._read = Read.of(out.past_key_values, sequences, masks)
        new = [row[width:] for row in sequences]
        return [text.strip() for text in self._tokenizer.batch_decode(new, skip_special_tokens=True)]

    def _batch_seed(self, prompts: Sequence[Sequence[int]]) -> int:
        digest = hashlib.sha256(repr((self._seed, [list(prompt) for prompt in prompts])).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def _end_tokens(self) -> list[int]:
        """The tokenizer's end token, and those that the model came with."""
        own = self._model.generation_config.eos_token_id
        return sorted({self._tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None})

    def _config(self, fresh: bool) -> "GenerationConfig":
        """Plain sampling, complete: nothing of the checkpoint's own generation settings (top-p, penalties) enters.

        `fresh`: nothing has been read before, so that a cache has to be made.
        """
        from transformers import GenerationConfig

        sampling = {"do_sample": True, "temperature": self._temperature} if self._temperature else {"do_sample": False}
        # A static cache is written in place; the default one is copied whole at every token.
        return GenerationConfig(
            **sampling, top_k=0, top_p=1.0, repetition_penalty=1.0, max_new_tokens=self._max_new_tokens,
            eos_token_id=self._end_tokens(), pad_token_id=self._tokenizer.pad_token_id,
            cache_implementation="static" if fresh else None, disable_compile=True, return_dict_in_generate=True,
        )  # fmt: skip


def heard(tokenizer: "PreTrainedTokenizerBase", conversation: Sequence[Message]) -> list[dict[str, str]]:
    """The messages as the chat template takes them.

    Where it refuses a system message, or leaves it out without a word, that is put before the first user message.
    """
    from jinja2 import TemplateError

    messages = [{"role": message.role, "content": message.content} for message in conversation]
    if messages[0]["role"] != "system":
        return messages
    system, user, *rest = messages
    try:
        if system["content"].strip() in str(tokenizer.apply_chat_template(messages, tokenize=False)):
            return messages
    except TemplateError:  # it knows the roles user and assistant only
        pass
    return [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *rest]


def open_policy(path: Path, params: Benchmark, seed: int, trust_remote_code: bool = False) -> LocalPolicy:
    """The policy in a folder, sampled as the preset's `benchmark` section says."""
    return LocalPolicy(path, params.max_new_tokens, params.temperature, params.batch_size, seed, trust_remote_code)
