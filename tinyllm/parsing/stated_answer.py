"""Which option a rationale states as its answer: a letter or text behind `the answer is` or before `is the answer`.

A question without options: tinyllm/parsing/stated_text.py.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tinyllm.parsing.cleaning import split_sentences
from tinyllm.parsing.stated_text import CONDITION, extract_text
from tinyllm.records.questions import LETTERS, Question, collapse_whitespace

SLACK = 100  # characters for quotes, articles and conjunctions around an option

_GOOD = r"(?:correct|right|best|final|most\ likely|appropriate|only(?:\ remaining|\ possible|\ other)?)"
_NOT_BEFORE = r"(?<!not\ )(?<!n['’]t\ )"  # it does not point to ..., it doesn't suggest ...
_ANSWER_IS = re.compile(  # what stands before a stated option
    rf"""
    \b(?=[abcfilmoprs])                                                     # no more than a look where none can begin
    (?: \b(?:answer|{_GOOD}\ (?:option|choice|one|statement))
        (?:\ to\ (?:this|the)\ question|\ left|\ remaining|\ that\ \w+\ sense)?
        (?: \s*[:=–-]+>?                                                    # Answer: | the best choice => ...
          | \s+(?:is|would\ be|will\ be|must\ be|should\ be)\b(?:\ therefore|\ then|\ thus|\ clearly)?:? )
      | {_NOT_BEFORE}\b(?:points?|pointing)\ to\b
      | {_NOT_BEFORE}\b(?:suggests?|indicates?)\b
      | (?<!not\ )\ba\ (?:clear\ |typical\ )?case\ of\b
      | \bcause\ (?:is|must\ be)\b
      | \b(?:left\ with|leaves(?:\ us)?(?:\ with)?)\b(?:\ only)?(?:\ the\ answer\ as)?
      | \bit\ is(?=\ (?:option|choice)\ )
    )\s*
    """,
    re.IGNORECASE | re.VERBOSE,
)
_IS_ANSWER = re.compile(  # what stands behind one; but `is right for`, `is correct if` state nothing
    rf"""
    \s+(?:is|are|must\ be|would\ be|seems)\s+(?:the\s+)?(?:only\s+)?
    (?: (?:correct|right)\b(?!\s+(?:for|if|in|to|about|when)\b)
      | (?:{_GOOD}\s+)?(?:answer|option|choice)\b )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LETTER_FIRST = re.compile(  # (b) | option b. | 'b' because; never the first letter of a word
    r"""
    ["'_*\s]*(?:option\ |choice\ )?
    (?:\(([a-z])\)|([a-z])(?=\)|["'_*]*(?:[.,;:—]|\s*$)|\s+(?:because|since|as)\b))
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LETTER_LAST = re.compile(  # (b) | option b, which; not `neither (a) or (b)`
    r"""
    (?<!not\ )(?<!and\ )(?<!or\ )(?<!than\ )
    (?:\(([a-z])\)|\b(?:option|choice|answer)\ ([a-z]))["'_*,]*(?:\ which)?$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ANOTHER_LETTER = re.compile(  # (a) or (b) | a, b, and c
    r"\)?\W*(?:\b(?:and|or|&)\W|[,/]\s*\(?)\W*(?:option )?\(?[a-z](?:\)|[.,]|\s*$)", re.IGNORECASE
)
_CLAUSE_START = re.compile(r"(?:^|[,;:]|\([a-z]\)|\b(?:so|therefore|thus|hence|that))[\s\"'“‘*_]*(?:(?:an?|the)\s+)?$")
_CLAUSE_END = re.compile(r"[\"'”’)*_]*(?:$|[.,;:(]|\s+(?:because|since|as|so|which|due|and not|not|rather)\b)")
_LIST_GOES_ON = re.compile(r"[\"'”’]*(?:,\s*(?:and |or )?|\s+(?:and|or)\s+|/)\s*(?:(?:an?|the)\s+)?")
_ARTICLE = re.compile(r"^[\s\"'“‘*_]*(?:(?:an?|the|that)\s+)?[\"'“‘*_]*")


@lru_cache(maxsize=8)  # the audit asks, and so does whoever compares teachers
def extract_answer(text: str, question: Question) -> int | str | None:
    """Return the index of the option that the rationale states as its answer, the last if several, None if none.

    Conservative: a question, a condition, a negation, or two options in one breath state nothing. Of a free-text question it
    is the answer's text, and the gold text where it equals that; so either kind is right where it is `question.answer`.
    """
    if question.free:
        return extract_text(text, question.gold)
    choices = _bare_choices(question)
    reach = 2 * max(map(len, choices)) + SLACK  # two options in one breath; a bound, lest hostile text take hours
    for sentence in reversed(split_sentences(text)):
        if sentence.endswith("?") or CONDITION.match(sentence):
            continue
        ends = [lead.end() for lead in _ANSWER_IS.finditer(sentence)]
        starts = [tail.start() for tail in _IS_ANSWER.finditer(sentence)]
        after = [(place, _option_after(sentence[place : place + reach], choices)) for place in ends]
        before = [(place, _option_before(sentence[max(0, place - reach) : place], choices)) for place in starts]
        stated = [(place, option) for place, option in after + before if option is not None]
        if stated:
            return max(stated)[1]
    return None


def _option_after(rest: str, choices: list[str]) -> int | None:
    """Return the option that `rest` begins with, as `(b)`, `b.` or its text."""
    letter = _LETTER_FIRST.match(rest)
    if letter:
        index = LETTERS.index((letter[1] or letter[2]).lower())
        return index if index < len(choices) and not _ANOTHER_LETTER.match(rest, letter.end()) else None
    rest = _bare(rest)
    fits = [choice for choice in choices if rest.startswith(choice) and _CLAUSE_END.match(rest, len(choice))]
    if not fits:
        return None
    longest = max(fits, key=len)
    beside = _LIST_GOES_ON.match(rest, len(longest))
    if beside and any(rest.startswith(choice, beside.end()) for choice in choices):
        return None
    return _index_of(longest, choices)


def _option_before(head: str, choices: list[str]) -> int | None:
    """Return the option that `head` ends with."""
    letter = _LETTER_LAST.search(head)
    if letter:
        index = LETTERS.index((letter[1] or letter[2]).lower())
        return index if index < len(choices) else None
    head = head.rstrip("\"'”’*_ ").lower()
    fits = [choice for choice in choices if head.endswith(choice) and _CLAUSE_START.search(head[: -len(choice)])]
    return _index_of(max(fits, key=len), choices) if fits else None


def _index_of(choice: str, choices: list[str]) -> int | None:
    return choices.index(choice) if choices.count(choice) == 1 else None


@lru_cache(maxsize=1)  # the teachers' rationales of one question come one after another
def _bare_choices(question: Question) -> list[str]:
    return [_bare(choice) for choice in question.choices]


def _bare(text: str) -> str:
    """Return the text in lower case, without article, quotes and full stop around it."""
    return _ARTICLE.sub("", collapse_whitespace(text).lower()).rstrip(" .")
