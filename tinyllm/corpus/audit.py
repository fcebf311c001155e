"""The audit of a cleaned rationale: the first reason, if any, why a student should not learn from it."""

from __future__ import annotations

from functools import lru_cache

from tinyllm.params.schema import Audit
from tinyllm.parsing.cleaning import FINISHED, LABEL, split_sentences
from tinyllm.parsing.stated_answer import extract_answer
from tinyllm.records.questions import Question, normalise

RUN = 4  # words; a loop repeats its four-word runs long before it uses up new words
MIN_LETTERS = 0.5  # of all characters but white space; prose full of figures has 0.6, sums and tables have less
STEM = 5  # letters
_STOP_TEXT = (
    "about all also an and any are as at be because been but by can could did do does each for from had has have he"
    " her his how if in into is it its let may more most must no not of on one only or other our she should so some"
    " such than that the their them then there therefore these they this thus to was we were what when where which"
    " who why will with would yes you your answer correct option"
)
STOP_WORDS = frozenset(_STOP_TEXT.split())


def find_fault(text: str, question: Question, limits: Audit) -> str | None:
    """Return the name of the first fault of a cleaned rationale, None if it is fit to learn from."""
    words = text.split()
    if len(words) < limits.min_words:
        return "too_short"
    characters = "".join(words)
    if sum(map(str.isalpha, characters)) < MIN_LETTERS * len(characters):
        return "not_prose"
    if _distinct(words) < limits.min_distinct:
        return "repetitive"
    if len(words) > limits.max_words:
        return "too_long"
    if not FINISHED.search(text):
        return "unfinished"  # cleaning left it only because no sentence in it is whole: cut off, nearly always
    if _copies(text, question):
        return "copies_question"
    if content_words(text).isdisjoint(_shown_words(question)):
        return "off_topic"
    if limits.drop_contradictions and extract_answer(text, question) not in (None, question.answer):
        return "states_other_answer" if question.free else "states_other_option"
    return None


@lru_cache(maxsize=32)  # whether two teachers use the same words is asked next, of the same texts
def content_words(text: str) -> frozenset[str]:
    """Return the different words that carry meaning, cut to five letters so that plural and tense match."""
    words = set(normalise(text).split()) - STOP_WORDS
    return frozenset([word.rstrip("s")[:STEM] for word in words if len(word) > 1])


@lru_cache(maxsize=1)  # the teachers' rationales of one question come one after another
def _shown_words(question: Question) -> frozenset[str]:
    return content_words(f"{question.context} {question.question} {' '.join(question.choices)}")


@lru_cache(maxsize=1)
def _shown_parts(question: Question) -> list[str]:
    """The question and then its options, as they are compared with a sentence."""
    return [normalise(question.question), *map(normalise, question.choices)]


def _distinct(words: list[str]) -> float:
    """Return the share of different ones among the runs of four words."""
    lower = [word.lower().strip(".,;:") for word in words]
    runs = list(zip(*(lower[start:] for start in range(RUN)), strict=False))
    return len(set(runs)) / len(runs) if runs else 1.0


def _copies(text: str, question: Question) -> bool:
    """Tell whether every sentence stands in the question or lists its options: then nothing is explained."""
    shown = _shown_parts(question)
    choices = shown[1:]
    for sentence in split_sentences(text):
        said = normalise(LABEL.sub("", sentence))
        listed = [choice for choice in choices if f" {choice} " in f" {said} "]
        rest = said
        for choice in sorted(listed, key=len, reverse=True):
            rest = rest.replace(choice, "")
        if not any(f" {said} " in f" {part} " for part in shown) and (len(listed) < 2 or content_words(rest)):
            return False
    return True
