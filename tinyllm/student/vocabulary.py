"""The vocabulary of a student that starts from nothing: SentencePiece pieces of its own train texts."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from transformers import T5Tokenizer

LONGEST_PIECE = 16  # characters, SentencePiece's own limit
MOST_SEEDS = 1_000_000  # likewise


def train_tokenizer(texts: Sequence[str], vocabulary: int, folder: Path) -> Any:
    """Learn a SentencePiece unigram vocabulary of at most `vocabulary` pieces and return it as a T5 tokenizer.

    Args:
        folder: an empty folder; the vocabulary's file is left in it
    """
    seeds, model = folder / "seeds.tsv", folder / "spiece.model"
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
    model.write_bytes(trained.getvalue())
    return T5Tokenizer.from_pretrained(folder, extra_ids=0)


def _lines(texts: Sequence[str]) -> Iterator[str]:
    """Yield every line of the texts that has more than white space in it."""
    return (line for text in texts for line in text.split("\n") if line.strip())


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
