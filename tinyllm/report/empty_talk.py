"""Which of a student's explanations say nothing: a student that has learnt little repeats itself, whatever it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

LOOP = 3  # a text of so many times its different words goes round in circles
SHORTEST_LOOP = 6  # characters of a text without spaces
SAME = 3  # times that one text is given before it counts as given whatever is asked


def empty_talk(explanations: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return by question and teacher why an explanation says nothing; one that says something is not there.

    Args:
        explanations: by question id and teacher
    """
    texts: dict[str, list[str]] = {}
    for by_teacher in explanations.values():
        for teacher, text in by_teacher.items():
            texts.setdefault(teacher, []).append(_folded(text))
    worn = {(teacher, text) for teacher, given in texts.items() for text in _worn(given)}
    found = {}
    for question, by_teacher in explanations.items():
        reasons = {teacher: _reason(text, (teacher, _folded(text)) in worn) for teacher, text in by_teacher.items()}
        found[question] = {teacher: reason for teacher, reason in reasons.items() if reason}
    return {question: reasons for question, reasons in found.items() if reasons}


def says_nothing(text: str) -> str:
    """Return why a text by itself says nothing, or ""."""
    if not any(map(str.isalnum, text)):
        return "empty"
    return "repeats itself" if repeats_itself(text) else ""


def repeats_itself(text: str) -> bool:
    """Whether a text is one word again and again, or a few words in a circle; a text without spaces by its characters."""
    words = _folded(text).split()
    if len(words) == 1 and len(words[0]) >= SHORTEST_LOOP and not words[0].isdigit():
        words = list(words[0])
    return len(words) >= LOOP * len(set(words)) > 0


def _reason(text: str, worn: bool) -> str:
    return says_nothing(text) or ("the same for other questions" if worn else "")


def _worn(given: Sequence[str]) -> list[str]:
    """The texts that most questions get: half of them or more, and at least `SAME`."""
    return [text for text, times in Counter(given).items() if times >= max(SAME, len(given) / 2)]


def _folded(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
