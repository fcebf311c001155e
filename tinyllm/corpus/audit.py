"""The audit of a cleaned rationale: the first reason, if any, why a student should not learn from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinyllm.params.schema import Audit
from tinyllm.parsing import ParsedQuestion, ParsedRationale
from tinyllm.parsing.sentences import LABEL
from tinyllm.parsing.stated_text import computes
from tinyllm.parsing.words import STOP_WORDS, content_words, count_letters, plain_words, running_words
from tinyllm.records.questions import normalise

RUN = 4  # words; a loop repeats its four-word runs long before it uses up new words
SUM_SIGNS = "+-*/×÷=−$%().,"
STOPS = ".,;:"
MIN_LETTERS = 0.5  # of all characters but white space; prose full of figures has 0.6, sums and tables have less


def find_fault(rationale: ParsedRationale, question: ParsedQuestion, limits: Audit) -> str | None:
    """Return the name of the first fault of a rationale, None if it is fit to learn from."""
    if rationale.only_thinking:
        return "unfinished_thinking"
    words = running_words(rationale.text)
    if len(words) < limits.min_words:
        return "too_short"
    if not _is_prose("".join(words), question):
        return "not_prose"
    if _is_repetitive(rationale.text, len(words), limits.min_distinct):
        return "repetitive"
    if len(words) > limits.max_words:
        return "too_long"
    if not rationale.finished:
        return "unfinished"  # cleaning left it only because no sentence in it is whole: cut off, nearly always
    if _copies(rationale.sentences, question.shown):
        return "copies_question"
    if rationale.words.isdisjoint(question.words) and _is_off_topic(rationale, question):
        return "off_topic"
    if limits.drop_contradictions and rationale.stated not in (None, question.question.answer):
        return "states_other_answer" if question.question.free else "states_other_option"
    if limits.drop_unconcluded and question.numeric and rationale.stated is None and computes(rationale.text):
        return "no_conclusion"
    return None


def _is_prose(characters: str, question: ParsedQuestion) -> bool:
    """Tell whether at least half of the characters are letters; of a question for a number, its sums count as well."""
    count = count_letters(characters)
    if question.numeric:
        count += sum(char.isnumeric() or char in SUM_SIGNS for char in characters)
        return count >= MIN_LETTERS * len(characters) and any(map(str.isalpha, characters))
    return count >= MIN_LETTERS * len(characters)


def _is_off_topic(rationale: ParsedRationale, question: ParsedQuestion) -> bool:
    """Tell whether a rationale that has no content word of its question is of something else.

    It is not where it states the right answer, shares a number, or is in another language: then it has none of the question's
    words at all, not even `the`, and not both are plainly English.
    """
    if rationale.stated == question.question.answer:
        return False
    shared = frozenset(plain_words(rationale.text)) & question.tokens
    if any(map(str.isdecimal, shared)):
        return False
    return bool(shared) or (_is_english(rationale.text) and not STOP_WORDS.isdisjoint(question.tokens))


def _is_english(text: str) -> bool:
    return not STOP_WORDS.isdisjoint(plain_words(text))


def _is_repetitive(text: str, count: int, least: float) -> bool:
    """Tell whether fewer than this share of a text's runs of four words are different ones.

    Every word that is new begins a new run, so that most texts need no more than a look at their words.

    Args:
        count: of the text's words
    """
    lower, runs = text.lower(), count - RUN + 1
    bare = lower
    for stop in STOPS:
        bare = bare.replace(stop, "")
    if runs <= 0 or len(set(running_words(bare))) - RUN + 1 >= least * runs:
        return False
    words = [word.strip(STOPS) for word in running_words(lower)]
    return len(set(zip(*(words[start:] for start in range(RUN)), strict=False))) < least * runs


def _copies(sentences: Iterable[str], shown: Sequence[str]) -> bool:
    """Tell whether every sentence stands in the question or lists its options: then nothing is explained.

    Args:
        shown: the question and then its options, normalised
    """
    longest = max(map(len, shown))
    for sentence in sentences:
        words = normalise(LABEL.sub("", sentence, count=1))
        if len(words) <= longest and any(f" {words} " in f" {part} " for part in shown):
            continue
        listed = [choice for choice in shown[1:] if f" {choice} " in f" {words} "]
        if len(listed) < 2:
            return False
        for choice in sorted(listed, key=len, reverse=True):
            words = words.replace(choice, "")
        if content_words(words):
            return False
    return True
