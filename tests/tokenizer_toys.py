"""Tiny tokenizers of every kind that a student or a local teacher may have, built in memory."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast, T5Tokenizer

CHARACTERS = [*string.ascii_letters, *string.digits, *"</>|_[].,:?()'"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_CHAT = "{{ bos_token }}{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}"


def t5(extra: int = 2) -> Any:
    """SentencePiece unigram without bytes, whose vocabulary itself holds the special tokens; it has no curly bracket."""
    words = [(f"▁{word}", -2.0) for word in ("red", "dog", "predict", "The")]
    pieces = [*words, ("▁", -3.0), *((character, -5.0) for character in CHARACTERS)]
    sentinels = [(f"<extra_id_{i}>", 0.0) for i in reversed(range(extra))]
    return T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces, *sentinels], extra_ids=extra)


def llama() -> Any:
    """BPE over SentencePiece's pieces with bytes, in which merges lead to `</s>`; [INST] is plain text, as in Llama 2."""
    merges = [("<", "/"), ("</", "s"), ("</s", ">"), ("r", "e"), ("re", "d"), ("▁", "red")]
    pieces = ["<unk>", "<s>", "</s>", *BYTES, "▁", *CHARACTERS, *("".join(pair) for pair in merges)]
    model = models.BPE(
        {piece: i for i, piece in enumerate(dict.fromkeys(pieces))},
        merges,
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=LLAMA_CHAT
    )


def gpt2() -> Any:
    """Byte-level BPE with one special token for everything, as GPT-2 has."""
    return _byte_level(
        ["<|endoftext|>"], eos_token="<|endoftext|>", unk_token="<|endoftext|>", bos_token="<|endoftext|>"
    )


def smollm2() -> Any:
    """Byte-level BPE with ChatML, as SmolLM2 and Qwen have; its template writes `<think>` too, which is not special."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    made = _byte_level(special, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML + "<think>")
    made.add_tokens(["<think>"])
    return made


def wordpiece() -> Any:
    """BERT's kind of model, split at white space alone."""
    pieces = ["[PAD]", "[UNK]", "[SEP]", *CHARACTERS, *(f"##{character}" for character in CHARACTERS), "red", "dog"]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.WhitespaceSplit(), decoders.WordPiece(cleanup=False)
    made.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", eos_token="[SEP]")


def byt5() -> Any:
    """Bytes of UTF-8, a tokenizer in Python."""
    return ByT5Tokenizer(extra_ids=3)


KINDS: dict[str, Callable[[], Any]] = {
    "t5": t5,
    "llama": llama,
    "gpt2": gpt2,
    "smollm2": smollm2,
    "wordpiece": wordpiece,
    "byt5": byt5,
}


def _byte_level(special: list[str], **options: Any) -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({piece: i for i, piece in enumerate(special + alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(special)
    return PreTrainedTokenizerFast(tokenizer_object=made, **options)
