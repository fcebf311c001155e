"""Which text or number a line states, in answer to a question without options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tinyllm.parsing.conclusions import CONDITION, HEDGE, IS_TEXT, TEXT_IS, plain_text
from tinyllm.parsing.question import BEFORE_TEXT, ParsedQuestion, bare_text
from tinyllm.parsing.stated import SEVERAL, Found, Stated, nothing_in, otherwise_said, read_at
from tinyllm.records.exact_match import NUMBER, is_number, normal_answer, number_value

MOST_WORDS = 5  # of an answer whose gold text has fewer; more are a sentence, such as `The answer is hidden in ...`
SENTENCE_WORDS = frozenset("is are was were answer not it this that there".split())  # no bare answer has one
UNIT_WORDS = 6  # behind a number: `10 pens in total`
_NUMBERS = re.compile(rf"(?<![\w.,/^]){NUMBER}(?![\w%/^]|[.,][0-9])", re.IGNORECASE)
_NEGATION = re.compile(  # or two answers in one breath
    r"(?:not|never|neither|either|no longer)\b|.*\bor\b", re.IGNORECASE
)
_TWO = re.compile(r"\b(?:either|or)\b")
_TEXT_END = re.compile(
    r"[\"'”’)*_]*(?:$|[.,;:!(。，।؟](?![0-9])|\s+(?:because|since|as|so|which|due|and not|not|rather)\b)", re.IGNORECASE
)
_BETWEEN = re.compile(r"[,;:]\s|\b(?:so|therefore|thus|hence|that)\b", re.IGNORECASE)  # of two clauses
_UNKNOWN = re.compile(r"^(?:[a-z]\s?)?=\s*", re.IGNORECASE)  # x = 10
_SUM = re.compile(r"[0-9)]\s*[-+*/×÷=]\s*[(-]?[0-9$]|=\s*-?[$]?[0-9]")


def computes(text: str) -> bool:
    """Tell whether a text holds a calculation that is written out."""
    return bool(_SUM.search(plain_text(text)))


def text_in(line: str, question: ParsedQuestion, later: Sequence[str]) -> Iterator[Found]:
    """Yield every text or number that a line states, with its place."""
    number = is_number(question.question.gold)
    for lead in TEXT_IS.finditer(line):
        if lead["so"] or lead["total"]:
            if number and not any(map(_NUMBERS.search, later)):  # a sum that goes on had not come to its end
                start = 0 if lead["total"] else lead.end()
                yield from read_at(line, start, question, _number_in)
        elif not HEDGE.search(line, max(0, lead.start() - 100), lead.start()):
            yield from read_at(line, lead.end(), question, _text_after)
    for tail in IS_TEXT.finditer(line):
        answer = _text_before(line[max(0, tail.start() - question.reach) : tail.start()], question)
        if answer is not None:
            yield Found(answer, nothing_in(line[tail.end() :]), tail.start())
    yield from otherwise_said(line, question, _text_after)


def _text_after(rest: str, question: ParsedQuestion, strict: bool) -> Stated | None:
    """Return the answer that `rest` begins with, a short text."""
    gold, (bare_gold,) = question.question.gold, question.answers
    rest = BEFORE_TEXT.sub("", rest).casefold()
    if rest.startswith(bare_gold) and _TEXT_END.match(rest, len(bare_gold)):  # first: it may hold what ends a clause
        return Stated(gold, nothing_in(rest[len(bare_gold) :]))
    clause = _TEXT_END.split(rest, maxsplit=1)[0]
    whole = nothing_in(rest[len(clause) :])
    if is_number(gold):
        number = _number(clause, gold)
        if number is None:
            return Stated(SEVERAL, whole=False) if _TWO.search(clause) and not strict else None
        return Stated(number, whole and len(clause.split()) <= UNIT_WORDS)
    if strict and not whole:
        return None
    short = 0 < len(clause.split()) <= max(MOST_WORDS, len(gold.split()))
    if not short or _NEGATION.match(clause):
        return Stated(SEVERAL, whole=False) if _TWO.search(clause) and not strict else None
    return Stated(bare_text(clause), whole)


def _text_before(head: str, question: ParsedQuestion) -> str | None:
    """Return the gold text where `head` ends with it; no other counts, for `This is the answer` states nothing."""
    gold, (bare_gold,) = question.question.gold, question.answers
    clause = _BETWEEN.split(head)[-1]
    if is_number(gold):
        return _number(clause, gold)
    return gold if bare_text(clause) == bare_gold else None


def _number_in(rest: str, question: ParsedQuestion, strict: bool) -> Stated | None:
    """Return the one number of `rest`, or the one behind its last `=`: `Robin has 10 pens in total`."""
    value = rest.rpartition("=")[2].casefold()
    numbers = list(_NUMBERS.finditer(value))
    if len(numbers) != 1 or CONDITION.match(rest):
        return None
    whole = len(value[numbers[0].end() :].split()) <= UNIT_WORDS
    return Stated(_as_gold(numbers[0][0], question.question.gold), whole) if whole or not strict else None


def _number(clause: str, gold: str) -> str | None:
    """Return the one number that the clause, or what stands behind its last `=`, begins with."""
    value = BEFORE_TEXT.sub("", clause.rpartition("=")[2])
    numbers = list(_NUMBERS.finditer(value))
    if len(numbers) != 1 or numbers[0].start() > 0:
        return None
    if numbers[0][0].endswith("%") and normal_answer(numbers[0][0].rstrip(" %")) == normal_answer(gold):
        return None  # 18% where 18 is asked for: the same or a hundredth, who knows
    return _as_gold(numbers[0][0], gold)


def _as_gold(number: str, gold: str) -> str:
    """Return the gold text where the number has its value, else the number as it is compared."""
    return gold if number_value(number) == number_value(gold) else normal_answer(number)


def bare_text_alone(lines: Sequence[str], question: ParsedQuestion) -> Stated | None:
    """Return the text of a reply that is nothing but an answer; of a number also the last line of a longer one."""
    gold = question.question.gold
    if not lines:
        return None
    if is_number(gold):
        line = _UNKNOWN.sub("", lines[-1]).casefold()
        number = _number(line, gold) if len(line.split()) <= 3 and "=" not in line else None
        return None if number is None else Stated(number, whole=True)
    if len(lines) > 1 or len(lines[0].split()) > max(MOST_WORDS, len(gold.split())):
        return None
    text = bare_text(lines[0].casefold())
    if not text or _NEGATION.match(text) or not SENTENCE_WORDS.isdisjoint(text.split()):
        return None
    return Stated(gold if text == question.answers[0] else text, whole=True)
