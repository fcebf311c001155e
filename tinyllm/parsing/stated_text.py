"""What a rationale of a free-text question states as its answer: a number or text behind `the answer is` or before it."""

from __future__ import annotations

import re

from tinyllm.parsing.cleaning import split_sentences
from tinyllm.records.exact_match import CURRENCY, DIGITS, is_number, normal_answer

SLACK = 100  # characters for quotes, articles and a unit around an answer
MOST_WORDS = 5  # of an answer whose gold text has fewer; more are a sentence, such as `The answer is hidden in ...`

CONDITION = re.compile(r"(?:and |so |but )?(?:if|suppose|assume|assuming|let us assume)\b", re.IGNORECASE)
_ANSWER_IS = re.compile(
    r"\banswer(?: to (?:this|the) question)?"
    r"(?:\s*[:=]+>?|\s+(?:is|would be|will be|must be|should be)\b(?: therefore| then| thus| clearly)?:?)\s*",
    re.IGNORECASE,
)
_IS_ANSWER = re.compile(
    r"\s+(?:is|must be|would be)\s+(?:the\s+)?(?:only\s+)?(?:(?:correct|right|final|best)\s+)?answer\b", re.IGNORECASE
)
_NUMBERS = re.compile(rf"(?<![\w.,/])[-+]?(?:{CURRENCY} ?)?{DIGITS}(?![\w%/]|[.,][0-9])")
_OPENING = re.compile(r"^[\s\"'“‘*_(]*(?:(?:an?|the)\s+)?[\"'“‘*_]*", re.IGNORECASE)
_NEGATION = re.compile(r"(?:not|never|neither|no longer)\b|.*\bor\b", re.IGNORECASE)  # or two answers in one breath
_END = re.compile(
    r"[\"'”’)*_]*(?:$|[.,;:!(](?![0-9])|\s+(?:because|since|as|so|which|due|and not|not|rather)\b)", re.IGNORECASE
)
_BETWEEN = re.compile(r"[,;:]\s|\b(?:so|therefore|thus|hence|that)\b", re.IGNORECASE)  # of two clauses


def extract_text(text: str, gold: str) -> str | None:
    """Return what the rationale states, normalised, the last if several, None if nothing; `gold` itself where it equals it.

    Conservative: a question, a condition, a negation or two answers in one breath state nothing. Where the gold answer is a
    number, only a number is an answer, its unit left out: `18 apples` states 18, `7 + 11 = 18` too, `twice 9` nothing.
    """
    reach = 2 * len(gold) + SLACK  # a bound, lest hostile text take hours
    for sentence in reversed(split_sentences(text)):
        if sentence.endswith("?") or CONDITION.match(sentence):
            continue
        leads = [found.end() for found in _ANSWER_IS.finditer(sentence)]
        tails = [found.start() for found in _IS_ANSWER.finditer(sentence)]
        after = [(place, _stated_after(sentence[place : place + reach], gold)) for place in leads]
        before = [(place, _stated_before(sentence[max(0, place - reach) : place], gold)) for place in tails]
        stated = [(place, answer) for place, answer in after + before if answer is not None]
        if stated:
            return max(stated)[1]
    return None


def _stated_after(rest: str, gold: str) -> str | None:
    rest, wanted = _OPENING.sub("", rest).casefold(), _bare(gold)
    if rest.startswith(wanted) and _END.match(rest, len(wanted)):
        return gold  # asked first, for it may itself hold what ends a clause
    clause = _END.split(rest, maxsplit=1)[0]
    if is_number(gold):
        return _number(clause, gold)
    few = 0 < len(clause.split()) <= max(MOST_WORDS, len(gold.split()))
    return _bare(clause) if few and not _NEGATION.match(clause) else None


def _stated_before(head: str, gold: str) -> str | None:
    """Of text before `is the answer` only the gold one counts: `This is the answer` states nothing."""
    clause = _BETWEEN.split(head)[-1]
    if is_number(gold):
        return _number(clause, gold)
    return gold if _bare(clause) == _bare(gold) else None


def _number(clause: str, gold: str) -> str | None:
    """Return the one number that the clause, or what stands behind its last `=`, begins with."""
    said = _OPENING.sub("", clause.rpartition("=")[2])
    found = list(_NUMBERS.finditer(said))
    if len(found) != 1 or found[0].start() > 0:
        return None
    number = normal_answer(found[0][0])
    return gold if number == normal_answer(gold) else number


def _bare(text: str) -> str:
    """Return the normalised text without article, quotes and brackets around it."""
    return normal_answer(_OPENING.sub("", text).rstrip(" .\"'”’)*_"))
