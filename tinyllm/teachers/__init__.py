"""Teachers: every backend has one method, `complete(questions) -> completions`, one completion a question, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tinyllm.questions import Question


@dataclass(frozen=True)
class Completion:
    """What a teacher gave for one question: its text, or None and a status that says why not."""

    text: str | None
    status: str = "ok"


class Teacher(Protocol):
    """What every backend is."""

    def complete(self, questions: Sequence[Question]) -> list[Completion]: ...
