"""A rationale as everyone reads it: what a model wrote is cleaned and parsed once, and then handed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyllm.parsing.cleaning import clean_sentences
from tinyllm.parsing.question import ParsedQuestion
from tinyllm.parsing.stated_answer import extract_answer
from tinyllm.parsing.words import content_words


@dataclass(frozen=True)
class ParsedRationale:
    """What a model says of a question, cleaned; the text is empty where nothing remains."""

    text: str  # the sentences in one line
    sentences: tuple[str, ...]
    words: frozenset[str]  # its content words
    stated: int | str | None  # the answer that it states, see `extract_answer`


def parse_rationale(written: str, question: ParsedQuestion) -> ParsedRationale:
    """Clean and parse what a model wrote of a question."""
    return parse_sentences(clean_sentences(written), question)


def parse_sentences(sentences: Sequence[str], question: ParsedQuestion) -> ParsedRationale:
    """Parse sentences that are clean."""
    text = " ".join(sentences)
    return ParsedRationale(text, tuple(sentences), content_words(text), extract_answer(sentences, question))
