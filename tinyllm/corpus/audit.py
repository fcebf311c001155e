"""The audit of a cleaned rationale: the first reason, if any, why a student should not learn from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinyllm.params.schema import Audit
from tinyllm.parsing import ParsedQuestion, ParsedRationale
from tinyllm.parsing.cleaning import FINISHED, LABEL
from tinyllm.parsing.words import content_words
from tinyllm.records.questions import normalise

RUN = 4  # words; a loop repeats its four-word runs long before it uses up new words
MIN_LETTERS = 0.5  # of all characters but white space; prose full of figures has 0.6, sums and tables have less


def find_fault(rationale: ParsedRationale, question: ParsedQuestion, limits: Audit) -> str | None:
    """Return the name of the first fault of a rationale, None if it is fit to learn from."""
    words = rationale.text.split()
    if len(words) < limits.min_words:
        return "too_short"
    characters = "".join(words)
    if sum(map(str.isalpha, characters)) < MIN_LETTERS * len(characters):
        return "not_prose"
    if _distinct(words) < limits.min_distinct:
        return "repetitive"
    if len(words) > limits.max_words:
        return "too_long"
    if not FINISHED.search(rationale.text):
        return "unfinished"  # cleaning left it only because no sentence in it is whole: cut off, nearly always
    if _copies(rationale.sentences, question.shown):
        return "copies_question"
    if rationale.words.isdisjoint(question.words):
        return "off_topic"
    if limits.drop_contradictions and rationale.stated not in (None, question.question.answer):
        return "states_other_answer" if question.question.free else "states_other_option"
    return None


def _distinct(words: list[str]) -> float:
    """Return the share of different ones among the runs of four words."""
    lower = [word.lower().strip(".,;:") for word in words]
    runs = list(zip(*(lower[start:] for start in range(RUN)), strict=False))
    return len(set(runs)) / len(runs) if runs else 1.0


def _copies(sentences: Iterable[str], shown: Sequence[str]) -> bool:
    """Tell whether every sentence stands in the question or lists its options: then nothing is explained.

    Args:
        shown: the question and then its options, normalised
    """
    choices = shown[1:]
    for sentence in sentences:
        words = normalise(LABEL.sub("", sentence))
        listed = [choice for choice in choices if f" {choice} " in f" {words} "]
        rest = words
        for choice in sorted(listed, key=len, reverse=True):
            rest = rest.replace(choice, "")
        if not any(f" {words} " in f" {part} " for part in shown) and (len(listed) < 2 or content_words(rest)):
            return False
    return True
