"""Examples that are as long as the study's, made of random words: what `training_gpu.py` trains on.

In: `tests/data/pair_words.csv`, the words of every preference pair of 30 of the sandbox's dialogues; a tokenizer. Out:
documents or pairs of so many tokens. `study_lengths.py TREES.jsonl` writes that file anew. Nothing here is language:
only the lengths are the study's.
"""

import csv
import io
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

from aloe.examples import Tokens
from aloe.params import ROOT
from aloe.preferences import dpo_pairs
from aloe.records import DialogueTree, Message, PreferencePair, read_jsonl
from aloe.writing import write_text

WORDS = ROOT / "tests" / "data" / "pair_words.csv"
TOKENS_A_WORD, TOKENS_A_MESSAGE = 1.3, 5  # English by a vocabulary of 128k, and what Llama 3 writes around a message


class Words(NamedTuple):
    """One pair of the study: its turn, and the words of its history with the user's message, and of both replies."""

    turn: int
    prompt: int
    chosen: int
    rejected: int


def main() -> int:
    """Count the words of a file of dialogues."""
    trees = read_jsonl(DialogueTree, Path(sys.argv[1]))[:30]
    rows = [
        Words(
            pair.turn,
            sum(len(m.content.split()) for m in pair.prompt),
            *(len(r.split()) for r in (pair.chosen, pair.rejected)),
        )
        for pair in dpo_pairs(trees)
    ]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([Words._fields, *rows])
    write_text(WORDS, buffer.getvalue())
    return 0


def study() -> list[Words]:
    """The study's pairs."""
    with WORDS.open(encoding="utf-8") as lines:
        return [Words(*map(int, row.values())) for row in csv.DictReader(lines)]


def tokens_of(words: int, messages: int = 1) -> int:
    """About how many tokens Llama 3 makes of so many words in so many messages."""
    return max(1, round(words * TOKENS_A_WORD) + messages * TOKENS_A_MESSAGE)


def documents(total: int, longest: int, vocabulary: int, seed: int) -> list[Tokens]:
    """Whole dialogues of random tokens, `total` tokens at least, none over `longest`; every token is learned."""
    rng = random.Random(f"{seed}-documents")
    pairs = study()
    lengths = [tokens_of(p.prompt + p.chosen, 2 * p.turn) for p in pairs if p.turn == max(p.turn for p in pairs)]
    rows: list[Tokens] = []
    while total > 0:
        ids = rng.choices(range(100, vocabulary), k=min(longest, rng.choice(lengths)))
        rows.append(Tokens(ids, list(ids)))
        total -= len(ids)
    return rows


def pairs(tokenizer: Any, n: int, seed: int) -> list[PreferencePair]:
    """Pairs of random words that are one token each; the history is one message of the length of all."""
    rng = random.Random(f"{seed}-pairs")
    known = sorted(token for token in tokenizer.get_vocab() if token[0] == "Ġ" and token[1:].isalpha())
    drawn = rng.choices(study(), k=n)

    def text(length: int) -> str:
        return "".join(rng.choices(known, k=length)).replace("Ġ", " ").strip()

    return [
        PreferencePair(
            id=str(number), persona_id="", turn=words.turn,
            prompt=(Message("user", text(tokens_of(words.prompt, 2 * words.turn - 1))),),
            chosen=text(tokens_of(words.chosen)), rejected=text(tokens_of(words.rejected)),
        )
        for number, words in enumerate(drawn)
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
