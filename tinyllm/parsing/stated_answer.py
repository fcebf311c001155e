"""The answer that a rationale states: its last committed conclusion.

Of a question with options it is a letter or an option's text, of a free-text question a number or a short text. It is looked
for in all that the model said, before anything is cut off the end: conclusions often have no full stop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tinyllm.parsing.conclusions import (
    CONDITION,
    FOREIGN_IS,
    FOREIGN_SIGNS,
    HEDGE,
    IS_OPTION,
    IS_TEXT,
    OPTION_IS,
    RETRACTS,
    SIGNS,
    SIGNS_OF_NUMBER,
    TAIL_SIGNS,
    TEXT_IS,
    WEAKLY_IS,
    may_conclude,
    needs_plain,
    plain_text,
)
from tinyllm.parsing.question import BEFORE_TEXT, SLACK, ParsedQuestion, bare_line, bare_option, bare_text
from tinyllm.parsing.words import holds
from tinyllm.records.exact_match import NUMBER, is_number, normal_answer, number_value
from tinyllm.records.questions import LETTERS

_SIGNS = (*SIGNS, *FOREIGN_SIGNS)
AROUND = 24  # characters that may stand around an option alone in its line, such as `**Option (b)**: `
SEVERAL = -1  # in place of an option's index: two in one breath, which commits to none
MOST_WORDS = 5  # of an answer whose gold text has fewer; more are a sentence, such as `The answer is hidden in ...`
SENTENCE_WORDS = frozenset("is are was were answer not it this that there".split())  # no bare answer has one
UNIT_WORDS = 6  # behind a number: `10 pens in total`

_OPEN, _CLOSE = r"[(\[{\"'“‘«<]", r"[)\]}\"'”’»>]"
_LETTER_FIRST = re.compile(  # (b) | option b. | 'b' because | D: plants | B | [b]; never the first letter of a word
    rf"""
    ["'“‘\s:(]*(?:the\ )?(?:option\ |choice\ |letter\ |answer\ |choix\ |opción\ |вариант\ |选项)?\s*[#]?
    (?: {_OPEN}\s*(?:option\ |choice\ )?([a-z])\s*[.:]?{_CLOSE}
      | ([a-z])(?=[)\]]|["'”’]*(?:[.,;:!?。，、；।؟—–]|\W*$|\s+[-–—=]\s|\s*/)|\s+(?:because|since|as)\b|[^\x00-\x7f]) )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_CAPITAL_FIRST = re.compile(r"\s*(?:Option |Choice |Answer )?([A-Z])\s+(?=\S)")  # B plants; its text must follow
_LETTER_LAST = re.compile(  # (b) | option b, which; not `neither (a) or (b)`
    r"""
    (?<!not\ )(?<!and\ )(?<!or\ )(?<!than\ )
    (?: \(([a-z])\)
      | \b(?:option|choice|answer)\ ["'(]?([a-z])["')]?
      | (?:^|[,;:]\ |\b(?:so|therefore|thus|hence|that),?\ )([b-hj-z]) )
    ["',]*(?:\ which)?$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ANOTHER_LETTER = re.compile(  # (a) or (b) | a, b, and c
    r"\)?\W*(?:\b(?:and|or|&)\W|[,/]\s*\(?)\W*(?:option )?\(?[a-z](?:\)|[.,]|\s*$)", re.IGNORECASE
)
_MARKED = re.compile(r"[(\[]\s*([a-z])\s*[)\]]", re.IGNORECASE)
_BREATH = re.compile(  # what ends the breath in which an answer is stated; `not`, `rather than` part it from another
    r"[.;!?](?:\s|$)|[,(]?\s*\b(?:because|since|as|so|which|due|while|whereas|but|rather|instead|not|over|than|with|where|for)\b"
)
_CLAUSE_START = re.compile(r"(?:^|[,;:]|\([a-z]\)|\b(?:so|therefore|thus|hence|that))[\s\"'“‘*_]*(?:(?:an?|the)\s+)?$")
_CLAUSE_END = re.compile(
    r"[\"'”’)*_]*(?:$|[.,;:!(。，।؟]|\s+(?:\(|(?:because|since|as|so|which|due|and not|not|rather)\b)"
    r"|\s*(?:है|हैं|です|입니다|이다|。))"
)
_LIST_GOES_ON = re.compile(r"[\"'”’]*(?:,\s*(?:and |or )?|\s+(?:and|or)\s+|/)\s*(?:(?:an?|the)\s+)?")
_BARE = re.compile(  # a line that is a letter alone, or a letter and its option's text
    rf"[^\w(\[{{]*(?:option |choice |answer )?(?:{_OPEN}?([a-z])\s*[.:]?{_CLOSE}|([a-z]))\s*[.:)\-–—]*\s*(.*)",
    re.IGNORECASE,
)
_ITEM = re.compile(r"\s*(?:\(([A-Za-z])\)|([A-Za-z])[.):])\s*(?=\w)")  # of a list
_LABELLED = re.compile(r"(?:\(([A-Za-z])\)[.:]?|([B-Z])[.)])\s+(?=[A-Z])")  # (b). It is ...; the answer, then why
_TAIL = " .!。！)\"'”’"  # what may stand behind an option's text
_OPEN_ENDS = (":\n", " is\n", "answer\n", "conclusion\n", "choice\n", "option\n")  # its answer is the next line

_NOT_BUT = re.compile(r"\s*not\b[^.;]{1,100}?\bbut(?: rather)?\s")
_BOTH = re.compile(r"(?:either|both|neither|one of)\b")
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


@dataclass(frozen=True)
class Stated:
    """A stated answer, and whether the sentence that states it says no more: then it is whole without a full stop."""

    answer: int | str
    whole: bool


@dataclass(frozen=True)
class _Found(Stated):
    place: int


_Search = Callable[[str, ParsedQuestion, Sequence[str]], Iterator[_Found]]  # of a line; the lines after it come along
_Read = Callable[[str, ParsedQuestion, bool], Stated | None]  # of the text behind a lead; if True, of a whole clause


def extract_answer(sentences: Sequence[str], question: ParsedQuestion) -> int | str | None:
    """Return the answer that a rationale states, the last if several, None if none.

    Of options it is the index. Of a free-text question it is the text, normalised, and the gold text where it equals that; so
    either kind is right where it is the question's answer. Conservative: a question, a condition, a negation, or two answers in
    one breath state nothing. Where the gold text is a number, only a number is an answer, its unit left out: `18 apples` states
    18, `7 + 11 = 18` too, `twice 9` nothing.
    """
    stated = find_stated(sentences, question)
    return None if stated is None else stated.answer


def find_stated(sentences: Sequence[str], question: ParsedQuestion) -> Stated | None:
    """Return the answer as `extract_answer` does; `whole` is of the last sentence, and false where an earlier one states it."""
    text = "\n".join(sentences)
    lines: Sequence[str] = sentences
    if needs_plain(text):
        lines = [line for line in map(plain_text, sentences) if line]
        text = "\n".join(lines)
    lower = text.lower()
    if holds(lower, _OPEN_ENDS):
        lines = _joined(lines)
        lower = "\n".join(lines).lower()
    free = question.question.free
    found = _last(_concluding(lower, len(lines), free), lines, question, _of_text if free else _of_option)
    if found is None and free:
        found = _bare_text(lines, question)
    elif found is None:
        found = _bare_option(lines, question) or _last(range(len(lines)), lines, question, _of_weak)
    return None if found is None or found.answer == SEVERAL else found


def _concluding(lower: str, count: int, free: bool) -> Sequence[int]:
    """Return which lines may state an answer: all, if the text has a word of those that do, else those with a `so`."""
    if not lower.isascii() or holds(lower, _SIGNS) or (free and holds(lower, SIGNS_OF_NUMBER)):
        return range(count)
    return [row for row, line in enumerate(lower.split("\n")) if may_conclude(line)]


def _last(rows: Sequence[int], lines: Sequence[str], question: ParsedQuestion, search: _Search) -> Stated | None:
    """Return what the last line states that states anything, of several answers the one at the last place."""
    for row in reversed(rows):
        line = lines[row]
        if line.endswith(("?", "؟", "？")) or CONDITION.match(line):
            continue
        answers = list(search(line, question, lines[row + 1 :]))
        if answers:
            found = max(answers, key=lambda one: one.place)
            return Stated(found.answer, found.whole and row == len(lines) - 1)
    return None


def computes(text: str) -> bool:
    """Tell whether a text holds a calculation that is written out."""
    return bool(_SUM.search(plain_text(text)))


def _joined(lines: Sequence[str]) -> list[str]:
    """Join a line that announces the answer (`Answer:`) with the next one."""
    joined: list[str] = []
    for line in lines:
        if joined and f"{joined[-1].lower()}\n".endswith(_OPEN_ENDS):
            joined[-1] = f"{joined[-1].rstrip(' :')}: {line}"
        elif line:
            joined.append(line)
    return joined


def _of_option(line: str, question: ParsedQuestion, later: Sequence[str]) -> Iterator[_Found]:
    """Yield every option that a line states, with its place."""
    for lead in OPTION_IS.finditer(line):
        if later and lead.end() < len(line) and _begins_list(line[lead.end() :], later[0]):
            continue
        if lead["so"] is None and HEDGE.search(line, max(0, lead.start() - 100), lead.start()):
            continue
        yield from _read_at(line, lead.end(), question, _option_after, lead["so"] is not None)
    for tail in IS_OPTION.finditer(line) if holds(line.lower(), TAIL_SIGNS) else ():
        option = _option_before(line[max(0, tail.start() - question.reach) : tail.start()], question)
        if option is not None:
            yield _Found(option, _nothing_in(line[tail.end() :]), tail.start())
    yield from _otherwise_said(line, question, _option_after)


def _begins_list(rest: str, following: str) -> bool:
    """Tell whether what follows a lead is the first of a list of options: `Answers: a. ...`, and the next line is `b. ...`."""
    first, second = (_ITEM.match(text) for text in (rest, following))
    if not first or not second:
        return False
    return ord((second[1] or second[2]).lower()) == ord((first[1] or first[2]).lower()) + 1


def _of_weak(line: str, question: ParsedQuestion, _: Sequence[str]) -> Iterator[_Found]:
    """Yield every option that a line points to, with its place."""
    for lead in WEAKLY_IS.finditer(line):
        yield from _read_at(line, lead.end(), question, _option_after)


def _otherwise_said(line: str, question: ParsedQuestion, read: _Read) -> Iterator[_Found]:
    """Yield what other languages state, and what takes back an answer: `No, (b)`."""
    foreign = not line.isascii() or holds(line.lower(), FOREIGN_SIGNS)
    for lead in FOREIGN_IS.finditer(line) if foreign else ():
        yield from _read_at(line, lead.end(), question, read)
    if taken_back := RETRACTS.match(line):
        yield from _read_at(line, taken_back.end(), question, read, strict=True)


def _read_at(line: str, place: int, question: ParsedQuestion, read: _Read, strict: bool = False) -> Iterator[_Found]:
    stated = read(line[place : place + question.reach], question, strict)
    if stated:
        yield _Found(stated.answer, stated.whole, place)


def _option_after(rest: str, question: ParsedQuestion, strict: bool) -> Stated | None:
    """Return the option that `rest` begins with, as `(b)`, `b.`, `B plants` or its text.

    Args:
        strict: the option must be all that `rest` holds
    """
    choices = question.answers
    rest = rest.lstrip()
    if rest.startswith("not ") and (denied := _NOT_BUT.match(rest)):
        rest = rest[denied.end() :]
    letter = _LETTER_FIRST.match(rest)
    if letter:
        index = LETTERS.index((letter[1] or letter[2]).lower())
        behind = rest[letter.end() :]
        if index >= len(choices):
            return None
        if _ANOTHER_LETTER.match(rest, letter.end()) or _names_another(behind, index):
            return _several(strict)
        whole = _nothing_in(behind) or _is_text_of(behind, choices[index])
        return Stated(index, whole) if whole or not strict else None
    capital = _CAPITAL_FIRST.match(rest) if rest[:1].isupper() else None
    if capital and (index := LETTERS.index(capital[1].lower())) < len(choices):
        behind = bare_option(rest[capital.end() :])
        if behind.startswith(choices[index]) and _CLAUSE_END.match(behind, len(choices[index])):
            return Stated(index, behind == choices[index])
    rest = bare_line(rest)
    fits = [choice for choice in choices if rest.startswith(choice) and _CLAUSE_END.match(rest, len(choice))]
    if not fits:
        return _several(strict) if _BOTH.match(rest) else None
    longest = max(fits, key=len)
    another = _LIST_GOES_ON.match(rest, len(longest))
    if another and any(rest.startswith(choice, another.end()) for choice in choices):
        return _several(strict)
    only = _index_of(longest, choices)
    whole = _nothing_in(rest[len(longest) :])
    return Stated(only, whole) if only is not None and (whole or not strict) else None


def _several(strict: bool) -> Stated | None:
    """What two answers in one breath state; behind a mere `so` they may be about anything."""
    return None if strict else Stated(SEVERAL, whole=False)


def _option_before(head: str, question: ParsedQuestion) -> int | None:
    """Return the option that `head` ends with."""
    choices = question.answers
    letter = _LETTER_LAST.search(head)
    if letter:
        index = LETTERS.index((letter[1] or letter[2] or letter[3]).lower())
        return index if index < len(choices) else None
    head = head.rstrip("\"'”’*_, ").lower()
    fits = [choice for choice in choices if head.endswith(choice) and _CLAUSE_START.search(head[: -len(choice)])]
    return _index_of(max(fits, key=len), choices) if fits else None


def _bare_option(lines: Sequence[str], question: ParsedQuestion) -> Stated | None:
    """Return the option that is alone in the last line, else in the first: `B`, `(b) oxygen`, or a reply that is `oxygen`.

    Where another line is of this form, too, they are a list, which states nothing.
    """
    if len(lines) == 1:
        only = _read_bare(lines[0], question)
        alone = _index_of(bare_option(lines[0]).rstrip(_TAIL), question.answers) if only is None else only
        return None if alone is None else Stated(alone, whole=True)
    if not lines:
        return None
    last, first = _read_bare(lines[-1], question), _begun(lines[0], question)
    found = first if last is None else last
    if found is None or any(_begun(line, question) not in (None, found) for line in lines):
        return None
    return Stated(found, whole=last is not None)


def _begun(line: str, question: ParsedQuestion) -> int | None:
    """Return the option that a line holds alone, or whose letter it begins with."""
    alone = _read_bare(line, question)
    return _labelled(line, question) if alone is None else alone


def _labelled(line: str, question: ParsedQuestion) -> int | None:
    """Return the option whose letter a line begins with, as in `(b). Leaves breathe it.`"""
    label = _LABELLED.match(line)
    index = LETTERS.index((label[1] or label[2]).lower()) if label else len(question.answers)
    return index if index < len(question.answers) else None


def _read_bare(line: str, question: ParsedQuestion) -> int | None:
    """Return the option whose letter, and with it at most its text, is all that a line holds."""
    choices = question.answers
    if len(line) > (question.reach - SLACK) // 2 + AROUND:
        return None
    bare = _BARE.fullmatch(line)
    if not bare:
        return None
    index = LETTERS.index((bare[1] or bare[2]).lower())
    if index < len(choices) and (_nothing_in(bare[3]) or _is_text_of(bare[3], choices[index])):
        return index
    return None


def _index_of(choice: str, choices: tuple[str, ...]) -> int | None:
    return choices.index(choice) if choices.count(choice) == 1 else None


def _names_another(behind: str, index: int) -> bool:
    """Tell whether another option's letter follows in the same breath, as in `(b) tired(d) coffee shop`."""
    end = _BREATH.search(behind)
    breath = behind[: end.start()] if end else behind
    return any(LETTERS.index(letter.lower()) != index for letter in _MARKED.findall(breath))


def _nothing_in(rest: str) -> bool:
    return not any(map(str.isalnum, rest))


def _is_text_of(behind: str, choice: str) -> bool:
    return bare_option(behind.lstrip(" )]}.:,-–—\"'")).rstrip(_TAIL) == choice


def _of_text(line: str, question: ParsedQuestion, later: Sequence[str]) -> Iterator[_Found]:
    """Yield every text or number that a line states, with its place."""
    number = is_number(question.question.gold)
    for lead in TEXT_IS.finditer(line):
        if lead["so"] or lead["total"]:
            if number and not any(map(_NUMBERS.search, later)):  # a sum that goes on had not come to its end
                start = 0 if lead["total"] else lead.end()
                yield from _read_at(line, start, question, _number_in)
        elif not HEDGE.search(line, max(0, lead.start() - 100), lead.start()):
            yield from _read_at(line, lead.end(), question, _text_after)
    for tail in IS_TEXT.finditer(line):
        answer = _text_before(line[max(0, tail.start() - question.reach) : tail.start()], question)
        if answer is not None:
            yield _Found(answer, _nothing_in(line[tail.end() :]), tail.start())
    yield from _otherwise_said(line, question, _text_after)


def _text_after(rest: str, question: ParsedQuestion, strict: bool) -> Stated | None:
    """Return the answer that `rest` begins with, a short text."""
    gold, (bare_gold,) = question.question.gold, question.answers
    rest = BEFORE_TEXT.sub("", rest).casefold()
    if rest.startswith(bare_gold) and _TEXT_END.match(rest, len(bare_gold)):  # first: it may hold what ends a clause
        return Stated(gold, _nothing_in(rest[len(bare_gold) :]))
    clause = _TEXT_END.split(rest, maxsplit=1)[0]
    whole = _nothing_in(rest[len(clause) :])
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


def _bare_text(lines: Sequence[str], question: ParsedQuestion) -> Stated | None:
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
