"""Which option a line states: by its letter, by its text, or alone in the line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tinyllm.parsing.conclusions import HEDGE, IS_OPTION, OPTION_IS, TAIL_SIGNS, WEAKLY_IS
from tinyllm.parsing.question import SLACK, ParsedQuestion, bare_line, bare_option
from tinyllm.parsing.stated import Found, Stated, nothing_in, otherwise_said, read_at, several
from tinyllm.parsing.words import holds
from tinyllm.records.questions import LETTERS

AROUND = 24  # characters that may stand around an option alone in its line, such as `**Option (b)**: `
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
_NOT_BUT = re.compile(r"\s*not\b[^.;]{1,100}?\bbut(?: rather)?\s")
_BOTH = re.compile(r"(?:either|both|neither|one of)\b")


def options_in(line: str, question: ParsedQuestion, later: Sequence[str]) -> Iterator[Found]:
    """Yield every option that a line states, with its place."""
    for lead in OPTION_IS.finditer(line):
        if later and lead.end() < len(line) and _begins_list(line[lead.end() :], later[0]):
            continue
        if lead["so"] is None and HEDGE.search(line, max(0, lead.start() - 100), lead.start()):
            continue
        yield from read_at(line, lead.end(), question, _option_after, lead["so"] is not None)
    for tail in IS_OPTION.finditer(line) if holds(line.lower(), TAIL_SIGNS) else ():
        option = _option_before(line[max(0, tail.start() - question.reach) : tail.start()], question)
        if option is not None:
            yield Found(option, nothing_in(line[tail.end() :]), tail.start())
    yield from otherwise_said(line, question, _option_after)


def _begins_list(rest: str, following: str) -> bool:
    """Tell whether what follows a lead is the first of a list of options: `Answers: a. ...`, and the next line is `b. ...`."""
    first, second = (_ITEM.match(text) for text in (rest, following))
    if not first or not second:
        return False
    return ord((second[1] or second[2]).lower()) == ord((first[1] or first[2]).lower()) + 1


def weak_options_in(line: str, question: ParsedQuestion, _: Sequence[str]) -> Iterator[Found]:
    """Yield every option that a line points to, with its place."""
    for lead in WEAKLY_IS.finditer(line):
        yield from read_at(line, lead.end(), question, _option_after)


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
            return several(strict)
        whole = nothing_in(behind) or _is_text_of(behind, choices[index])
        return Stated(index, whole) if whole or not strict else None
    capital = _CAPITAL_FIRST.match(rest) if rest[:1].isupper() else None
    if capital and (index := LETTERS.index(capital[1].lower())) < len(choices):
        behind = bare_option(rest[capital.end() :])
        if behind.startswith(choices[index]) and _CLAUSE_END.match(behind, len(choices[index])):
            return Stated(index, behind == choices[index])
    rest = bare_line(rest)
    fits = [choice for choice in choices if rest.startswith(choice) and _CLAUSE_END.match(rest, len(choice))]
    if not fits:
        return several(strict) if _BOTH.match(rest) else None
    longest = max(fits, key=len)
    another = _LIST_GOES_ON.match(rest, len(longest))
    if another and any(rest.startswith(choice, another.end()) for choice in choices):
        return several(strict)
    only = _index_of(longest, choices)
    whole = nothing_in(rest[len(longest) :])
    return Stated(only, whole) if only is not None and (whole or not strict) else None


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


def bare_option_alone(lines: Sequence[str], question: ParsedQuestion) -> Stated | None:
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
    if index < len(choices) and (nothing_in(bare[3]) or _is_text_of(bare[3], choices[index])):
        return index
    return None


def _index_of(choice: str, choices: tuple[str, ...]) -> int | None:
    return choices.index(choice) if choices.count(choice) == 1 else None


def _names_another(behind: str, index: int) -> bool:
    """Tell whether another option's letter follows in the same breath, as in `(b) tired(d) coffee shop`."""
    end = _BREATH.search(behind)
    breath = behind[: end.start()] if end else behind
    return any(LETTERS.index(letter.lower()) != index for letter in _MARKED.findall(breath))


def _is_text_of(behind: str, choice: str) -> bool:
    return bare_option(behind.lstrip(" )]}.:,-–—\"'")).rstrip(_TAIL) == choice
