"""The audit of a cleaned rationale: the first reason, if any, why a student should not learn from it."""

from __future__ import annotations

from tinyllm.cleaning import FINISHED, LABEL, split_sentences
from tinyllm.questions import Question, normalise
from tinyllm.settings import Audit
from tinyllm.stated import stated_answer

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


def fault(text: str, question: Question, limits: Audit) -> str | None:
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
    if not content_words(text) & content_words(f"{question.context} {question.question} {' '.join(question.choices)}"):
        return "off_topic"
    if limits.drop_contradictions and stated_answer(text, question) not in (None, question.answer):
        return "states_other_option"
    return None


def content_words(text: str) -> set[str]:
    """Return the different words that carry meaning, cut to five letters so that plural and tense match."""
    return {word.rstrip("s")[:STEM] for word in normalise(text).split() if len(word) > 1 and word not in STOP_WORDS}


def _distinct(words: list[str]) -> float:
    """Return the share of different ones among the runs of four words."""
    lower = [word.lower().strip(".,;:") for word in words]
    runs = [tuple(lower[start : start + RUN]) for start in range(max(1, len(lower) - RUN + 1))]
    return len(set(runs)) / len(runs)


def _copies(text: str, question: Question) -> bool:
    """Tell whether every sentence stands in the question or lists its options: then nothing is explained."""
    choices = [normalise(choice) for choice in question.choices]
    shown = [normalise(question.question), *choices]
    for sentence in split_sentences(text):
        said = normalise(LABEL.sub("", sentence))
        listed = [choice for choice in choices if f" {choice} " in f" {said} "]
        rest = said
        for choice in sorted(listed, key=len, reverse=True):
            rest = rest.replace(choice, "")
        if not any(f" {said} " in f" {part} " for part in shown) and (len(listed) < 2 or content_words(rest)):
            return False
    return True
