"""What a line may state, and where it is looked for in the line: for options and texts alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tinyllm.parsing.conclusions import FOREIGN_IS, FOREIGN_SIGNS, RETRACTS
from tinyllm.parsing.question import ParsedQuestion
from tinyllm.parsing.words import holds

SEVERAL = -1  # in place of an option's index: two in one breath, which commits to none


@dataclass(frozen=True)
class Stated:
    """A stated answer, and whether the sentence that states it says no more: then it is whole without a full stop."""

    answer: int | str
    whole: bool


@dataclass(frozen=True)
class Found(Stated):
    place: int


Search = Callable[[str, ParsedQuestion, Sequence[str]], Iterator[Found]]  # of a line; the lines after it come along
Read = Callable[[str, ParsedQuestion, bool], Stated | None]  # of the text behind a lead; if True, of a whole clause


def otherwise_said(line: str, question: ParsedQuestion, read: Read) -> Iterator[Found]:
    """Yield what other languages state, and what takes back an answer: `No, (b)`."""
    foreign = not line.isascii() or holds(line.lower(), FOREIGN_SIGNS)
    for lead in FOREIGN_IS.finditer(line) if foreign else ():
        yield from read_at(line, lead.end(), question, read)
    if taken_back := RETRACTS.match(line):
        yield from read_at(line, taken_back.end(), question, read, strict=True)


def read_at(line: str, place: int, question: ParsedQuestion, read: Read, strict: bool = False) -> Iterator[Found]:
    """Yield what `read` finds at a place of the line, if anything."""
    stated = read(line[place : place + question.reach], question, strict)
    if stated:
        yield Found(stated.answer, stated.whole, place)


def several(strict: bool) -> Stated | None:
    """What two answers in one breath state; behind a mere `so` they may be about anything."""
    return None if strict else Stated(SEVERAL, whole=False)


def nothing_in(rest: str) -> bool:
    return not any(map(str.isalnum, rest))
