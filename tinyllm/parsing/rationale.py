"""A rationale as everyone reads it: what a model wrote is cleaned and parsed once, and then handed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tinyllm.parsing.cleaning import clean_once, finished_part, settled
from tinyllm.parsing.markup import take_apart
from tinyllm.parsing.question import ParsedQuestion
from tinyllm.parsing.sentences import is_finished
from tinyllm.parsing.stated_answer import find_stated
from tinyllm.parsing.words import content_words

Thinking = Literal["drop", "keep"]


@dataclass(frozen=True)
class ParsedRationale:
    """What a model says of a question, cleaned; the text is empty where nothing remains."""

    text: str  # the sentences in one line
    sentences: tuple[str, ...]
    words: frozenset[str]  # its content words
    stated: int | str | None  # the answer that it states, see `extract_answer`
    finished: bool = True  # its last sentence is: by a full stop, or as a conclusion that says all
    only_thinking: bool = False  # the model was cut off before it had thought to the end


def parse_rationale(written: str, question: ParsedQuestion, thinking: Thinking = "drop") -> ParsedRationale:
    """Take apart, clean and parse what a model wrote of a question.

    The stated answer is looked for first, in all of it; then an unfinished end is cut off.

    Args:
        thinking: `keep` makes what a thinking model thought the rationale, where it thought at all; `drop` what it said then.
    """
    parts = take_apart(written)
    if thinking == "drop" and parts.open_end and not parts.said:
        return ParsedRationale("", (), frozenset(), None, finished=False, only_thinking=True)
    source, lines = parts.said, clean_once(parts.said)
    stated = find_stated(lines, question)
    if thinking == "keep" and parts.thinking:
        source, lines = parts.thinking, clean_once(parts.thinking)
        stated = stated or find_stated(lines, question)
    whole = bool(stated and stated.whole)
    sentences = settled(source, lines)
    sentences = sentences if whole else finished_part(sentences)
    text = " ".join(sentences)
    answer = None if stated is None else stated.answer
    return ParsedRationale(text, sentences, content_words(text), answer, whole or is_finished(text))
