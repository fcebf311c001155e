"""The answer that a rationale states: its last committed conclusion.

Of a question with options it is a letter or an option's text, of a free-text question a number or a short text. It is looked
for in all that the model said, before anything is cut off the end: conclusions often have no full stop.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinyllm.parsing.conclusions import (
    CONDITION,
    FOREIGN_SIGNS,
    SIGNS,
    SIGNS_OF_NUMBER,
    may_conclude,
    needs_plain,
    plain_text,
)
from tinyllm.parsing.question import ParsedQuestion
from tinyllm.parsing.stated import SEVERAL, Search, Stated
from tinyllm.parsing.stated_option import bare_option_alone, options_in, weak_options_in
from tinyllm.parsing.stated_text import bare_text_alone, text_in
from tinyllm.parsing.words import holds

_SIGNS = (*SIGNS, *FOREIGN_SIGNS)
_OPEN_ENDS = (":\n", " is\n", "answer\n", "conclusion\n", "choice\n", "option\n")  # its answer is the next line


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
    found = _last(_concluding(lower, len(lines), free), lines, question, text_in if free else options_in)
    if found is None and free:
        found = bare_text_alone(lines, question)
    elif found is None:
        found = bare_option_alone(lines, question) or _last(range(len(lines)), lines, question, weak_options_in)
    return None if found is None or found.answer == SEVERAL else found


def _concluding(lower: str, count: int, free: bool) -> Sequence[int]:
    """Return which lines may state an answer: all, if the text has a word of those that do, else those with a `so`."""
    if not lower.isascii() or holds(lower, _SIGNS) or (free and holds(lower, SIGNS_OF_NUMBER)):
        return range(count)
    return [row for row, line in enumerate(lower.split("\n")) if may_conclude(line)]


def _last(rows: Sequence[int], lines: Sequence[str], question: ParsedQuestion, search: Search) -> Stated | None:
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


def _joined(lines: Sequence[str]) -> list[str]:
    """Join a line that announces the answer (`Answer:`) with the next one."""
    joined: list[str] = []
    for line in lines:
        if joined and f"{joined[-1].lower()}\n".endswith(_OPEN_ENDS):
            joined[-1] = f"{joined[-1].rstrip(' :')}: {line}"
        elif line:
            joined.append(line)
    return joined
