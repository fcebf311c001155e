"""What its rationales are compared with: a question's words and the answers that can be stated, computed once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tinyllm.parsing.words import plain_words, stems
from tinyllm.records.exact_match import is_number, normal_answer
from tinyllm.records.questions import Question, collapse_whitespace, normalise

SLACK = 100  # characters for quotes, articles, conjunctions or a unit around an answer

BEFORE_TEXT = re.compile(r"^[\s\"'“‘*_(]*(?:(?:an?|the)\s+)?[\"'“‘*_]*", re.IGNORECASE)
_BEFORE_OPTION = re.compile(r"^[\s\"'“‘*_]*(?:(?:an?|the|that)\s+)?[\"'“‘*_]*")


@dataclass(frozen=True)
class ParsedQuestion:
    """A question, and what the audit and the search for a stated answer need of it."""

    question: Question
    answers: tuple[str, ...]  # what can be stated, bare: the options, or the gold text alone
    reach: int  # characters in which an answer stands, and another in the same breath; a bound on hostile text
    shown: tuple[str, ...]  # the question and then its options, normalised
    words: frozenset[str]  # the content words of context, question and options
    tokens: frozenset[str]  # all their words, as written
    numeric: bool = False  # it is answered by a number


def parse_question(question: Question) -> ParsedQuestion:
    """Return the question with what is needed of it."""
    text = f"{question.context} {question.question} {' '.join(question.choices)}"
    words = plain_words(text)
    options = tuple(map(bare_option, question.choices))
    longest = len(question.gold) if question.free else max(map(len, options))
    return ParsedQuestion(
        question=question,
        answers=(bare_text(question.gold),) if question.free else options,
        reach=2 * longest + SLACK,
        shown=(normalise(question.question), *map(normalise, question.choices)),
        words=stems(words),
        tokens=frozenset(words),
        numeric=question.free and is_number(question.gold),
    )


def bare_option(text: str) -> str:
    """Return the text in lower case, without article, quotes and full stop around it."""
    return bare_line(collapse_whitespace(text))


def bare_line(text: str) -> str:
    """Do what `bare_option` does of a text whose white space is folded."""
    return _BEFORE_OPTION.sub("", text.lower(), count=1).rstrip(" .")


def bare_text(text: str) -> str:
    """Return the text as exact match compares it, without article, quotes and brackets around it."""
    return normal_answer(BEFORE_TEXT.sub("", text).rstrip(" .\"'”’)*_"))
