"""The vocabulary of a student that starts from nothing: SentencePiece pieces of its own train texts."""

from __future__ import annotations

import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import sentencepiece
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

LONGEST_PIECE = 16  # characters, SentencePiece's own limit
MOST_SEEDS = 1_000_000  # likewise
SPACE = "▁"  # what stands for a space in a piece
UNLEARNT = re.compile(
    f"[{SPACE}▅\\x00-\\x1f\\x7f-\\x9f]"
)  # signs that the trainer keeps for itself, and control characters
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def train_tokenizer(texts: Sequence[str], vocabulary: int, folder: Path) -> PreTrainedTokenizerFast:
    """Learn a SentencePiece unigram vocabulary of at most `vocabulary` pieces, and return it as a tokenizer that ends texts.

    It knows every character of the texts. Any other is spelt in the bytes of UTF-8, which are 256 pieces more, so that every
    text comes back as it was but for its white space. Letters with accents have one form, NFC.

    Args:
        folder: an empty folder, for a file of the training
    """
    seeds = folder / "seeds.tsv"
    seeds.write_text(seed_pieces(_lines(texts)), encoding="utf-8")
    trained = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(texts),
            model_writer=trained,
            seed_sentencepieces_file=str(seeds),
            vocab_size=vocabulary,
            hard_vocab_limit=False,  # a small corpus may hold fewer pieces than were asked for
            character_coverage=1.0,
            normalization_rule_name="identity",  # its own would make one text of x² and x2, and take emoji apart
            max_sentence_length=10**9,  # bytes; a longer line would be left out without a word
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=1,  # the pieces' scores depend on the order of additions
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(f"student.scratch.vocabulary: {vocabulary} does not fit the train texts: {error}") from None
    learnt = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    return _tokenizer([(learnt.id_to_piece(i), learnt.get_score(i)) for i in range(learnt.get_piece_size())])


def _tokenizer(pieces: Sequence[tuple[str, float]]) -> PreTrainedTokenizerFast:
    """Return the tokenizer of these pieces, the first three of which are special.

    transformers' own class for T5 would leave out the bytes.
    """
    tokenizer = Tokenizer(Unigram([*pieces, *((byte, 0.0) for byte in BYTES)], unk_id=2, byte_fallback=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(SPACE),
            pre_tokenizers.Split(
                "<", "merged_with_previous"
            ),  # so that `<0x41>` in a text is not the piece of that name
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(SPACE)])
    pad, end, unknown = (piece for piece, _ in pieces[:3])
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, eos_token=end, unk_token=unknown, clean_up_tokenization_spaces=False
    )


def _lines(texts: Sequence[str]) -> Iterator[str]:
    """Yield every line of the texts that has more than white space in it, as the trainer is to see it."""
    for text in texts:
        for line in text.split("\n"):
            if line.strip():
                yield line if line.isascii() and line.isprintable() else _seen(line)


def _seen(line: str) -> str:
    return UNLEARNT.sub(" ", unicodedata.normalize("NFC", line))


def seed_pieces(lines: Iterable[str]) -> str:
    """Return every part of every word with its count, one a line, for the trainer to choose from.

    The trainer's own candidates leave out a word that is part of no other word, so that in a small corpus most whole words
    would be missing, and inputs half as long again.
    """
    words = Counter(word for line in lines for word in re.findall(r"\w+|[^\w\s]", line))
    parts: Counter[str] = Counter()
    for word, count in words.items():
        piece = f"▁{word}"[:LONGEST_PIECE]
        for start in range(len(piece)):
            for end in range(start + 1, len(piece) + 1):
                parts[piece[start:end]] += count
    return "".join(f"{part}\t{count}\n" for part, count in parts.most_common(MOST_SEEDS))
