"""The answer that a rationale states, behind `the answer is` or before `is the answer`.

Of a question with options it is a letter or an option's text, of a free-text question a number or a short text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tinyllm.parsing.question import BEFORE_TEXT, ParsedQuestion, bare_option, bare_text
from tinyllm.records.exact_match import CURRENCY, DIGITS, is_number, normal_answer
from tinyllm.records.questions import LETTERS

MOST_WORDS = 5  # of an answer whose gold text has fewer; more are a sentence, such as `The answer is hidden in ...`

_CONDITION = re.compile(r"(?:and |so |but )?(?:if|suppose|assume|assuming|let us assume)\b", re.IGNORECASE)

_GOOD = r"(?:correct|right|best|final|most\ likely|appropriate|only(?:\ remaining|\ possible|\ other)?)"
_NOT_BEFORE = r"(?<!not\ )(?<!n['’]t\ )"  # it does not point to ..., it doesn't suggest ...
_OPTION_IS = re.compile(  # what stands before a stated option
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
_IS_OPTION = re.compile(  # what stands behind one; but `is right for`, `is correct if` state nothing
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

_TEXT_IS = re.compile(
    r"\banswer(?: to (?:this|the) question)?"
    r"(?:\s*[:=]+>?|\s+(?:is|would be|will be|must be|should be)\b(?: therefore| then| thus| clearly)?:?)\s*",
    re.IGNORECASE,
)
_IS_TEXT = re.compile(
    r"\s+(?:is|must be|would be)\s+(?:the\s+)?(?:only\s+)?(?:(?:correct|right|final|best)\s+)?answer\b", re.IGNORECASE
)
_NUMBERS = re.compile(rf"(?<![\w.,/])[-+]?(?:{CURRENCY} ?)?{DIGITS}(?![\w%/]|[.,][0-9])")
_NEGATION = re.compile(r"(?:not|never|neither|no longer)\b|.*\bor\b", re.IGNORECASE)  # or two answers in one breath
_TEXT_END = re.compile(
    r"[\"'”’)*_]*(?:$|[.,;:!(](?![0-9])|\s+(?:because|since|as|so|which|due|and not|not|rather)\b)", re.IGNORECASE
)
_BETWEEN = re.compile(r"[,;:]\s|\b(?:so|therefore|thus|hence|that)\b", re.IGNORECASE)  # of two clauses

_Search = tuple[re.Pattern[str], Callable[[str, ParsedQuestion], int | str | None]]


def extract_answer(sentences: Sequence[str], question: ParsedQuestion) -> int | str | None:
    """Return the answer that a rationale states, the last if several, None if none.

    Of options it is the index. Of a free-text question it is the text, normalised, and the gold text where it equals that; so
    either kind is right where it is the question's answer. Conservative: a question, a condition, a negation, or two answers in
    one breath state nothing. Where the gold text is a number, only a number is an answer, its unit left out: `18 apples` states
    18, `7 + 11 = 18` too, `twice 9` nothing.
    """
    if question.question.free:
        return _last_stated(sentences, question, (_TEXT_IS, _text_after), (_IS_TEXT, _text_before))
    return _last_stated(sentences, question, (_OPTION_IS, _option_after), (_IS_OPTION, _option_before))


def _last_stated(
    sentences: Sequence[str], question: ParsedQuestion, leading: _Search, trailing: _Search
) -> int | str | None:
    """Return what the last sentence states that states anything, of several answers the one at the last place.

    Args:
        leading: what stands before an answer, and what reads the answer off the text behind that
        trailing: what stands behind an answer, and what reads it off the text before that
    """
    lead, read_after = leading
    tail, read_before = trailing
    for sentence in reversed(sentences):
        if sentence.endswith("?") or _CONDITION.match(sentence):
            continue
        ends = [match.end() for match in lead.finditer(sentence)]
        starts = [match.start() for match in tail.finditer(sentence)]
        after = [(place, read_after(sentence[place : place + question.reach], question)) for place in ends]
        before = [(place, read_before(sentence[max(0, place - question.reach) : place], question)) for place in starts]
        stated = [(place, answer) for place, answer in after + before if answer is not None]
        if stated:
            return max(stated)[1]
    return None


def _option_after(rest: str, question: ParsedQuestion) -> int | None:
    """Return the option that `rest` begins with, as `(b)`, `b.` or its text."""
    choices = question.answers
    letter = _LETTER_FIRST.match(rest)
    if letter:
        index = LETTERS.index((letter[1] or letter[2]).lower())
        return index if index < len(choices) and not _ANOTHER_LETTER.match(rest, letter.end()) else None
    rest = bare_option(rest)
    fits = [choice for choice in choices if rest.startswith(choice) and _CLAUSE_END.match(rest, len(choice))]
    if not fits:
        return None
    longest = max(fits, key=len)
    another = _LIST_GOES_ON.match(rest, len(longest))
    if another and any(rest.startswith(choice, another.end()) for choice in choices):
        return None
    return _index_of(longest, choices)


def _option_before(head: str, question: ParsedQuestion) -> int | None:
    """Return the option that `head` ends with."""
    choices = question.answers
    letter = _LETTER_LAST.search(head)
    if letter:
        index = LETTERS.index((letter[1] or letter[2]).lower())
        return index if index < len(choices) else None
    head = head.rstrip("\"'”’*_ ").lower()
    fits = [choice for choice in choices if head.endswith(choice) and _CLAUSE_START.search(head[: -len(choice)])]
    return _index_of(max(fits, key=len), choices) if fits else None


def _index_of(choice: str, choices: tuple[str, ...]) -> int | None:
    return choices.index(choice) if choices.count(choice) == 1 else None


def _text_after(rest: str, question: ParsedQuestion) -> str | None:
    """Return the answer that `rest` begins with, a short text."""
    gold, (bare_gold,) = question.question.gold, question.answers
    rest = BEFORE_TEXT.sub("", rest).casefold()
    if rest.startswith(bare_gold) and _TEXT_END.match(rest, len(bare_gold)):
        return gold  # asked first, for it may itself hold what ends a clause
    clause = _TEXT_END.split(rest, maxsplit=1)[0]
    if is_number(gold):
        return _number(clause, gold)
    short = 0 < len(clause.split()) <= max(MOST_WORDS, len(gold.split()))
    return bare_text(clause) if short and not _NEGATION.match(clause) else None


def _text_before(head: str, question: ParsedQuestion) -> str | None:
    """Return the gold text where `head` ends with it; no other counts, for `This is the answer` states nothing."""
    gold, (bare_gold,) = question.question.gold, question.answers
    clause = _BETWEEN.split(head)[-1]
    if is_number(gold):
        return _number(clause, gold)
    return gold if bare_text(clause) == bare_gold else None


def _number(clause: str, gold: str) -> str | None:
    """Return the one number that the clause, or what stands behind its last `=`, begins with."""
    value = BEFORE_TEXT.sub("", clause.rpartition("=")[2])
    numbers = list(_NUMBERS.finditer(value))
    if len(numbers) != 1 or numbers[0].start() > 0:
        return None
    number = normal_answer(numbers[0][0])
    return gold if number == normal_answer(gold) else number
