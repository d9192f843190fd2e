"""A random tiny Llama with a byte-level tokenizer, written to a folder: what tests train and generate with."""

from pathlib import Path

from aloe.quiet import quiet

SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
SENTENCES = [
    "Hi there! How was your day? I walked the dog along the river and cooked soup.",
    "Good evening. I would like some advice on gardening, please.",
    "That sounds lovely! What kind of dog is it? Mine sleeps all day.",
    "Well, maybe you could try tomatoes first; they are easy to grow.",
    "Yes, no, thanks. Let us talk about music, books and tea.",
]
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>{% generation %}{{ m['content'] }}<|end|>"
    "{% endgeneration %}{% else %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def save_tiny_model(folder: Path, seed: int = 0, **config: int) -> Path:
    """Write model and tokenizer (vocabulary about 400) to `folder`; `config` replaces sizes of the Llama."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", chat_template=CHAT_TEMPLATE,
        additional_special_tokens=[token for token in SPECIAL if token not in ("<|end|>", "<|pad|>")],
    )  # fmt: skip
    sizes = {
        "vocab_size": len(fast), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(
        **{**sizes, **config}, tie_word_embeddings=True, bos_token_id=None, eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id, initializer_range=0.1,
    ))  # fmt: skip
    with quiet():
        model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
