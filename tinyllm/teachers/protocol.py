"""What a teacher is, and what a backend is: the protocols of this package, and what they hand to each other.

Two kinds of teacher need no prompt: `expert` and `recorded`. The live kinds, `local` and `server`, are a `Backend`: it turns
prompts into answers. tinyllm/teachers/live.py writes the prompts and keeps every answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput

STOP = "\nQuestion:"  # an answer ends here: some teachers go on with a question that they make up


class Teacher(Protocol):
    """Writes rationales and answers questions: one output a question, in their order."""

    def complete(self, questions: Sequence[Question]) -> list[TeacherOutput]:
        """Return a rationale for each question, and its further samples; the teacher may be shown the gold answer."""
        ...

    def examine(self, questions: Sequence[Question]) -> list[TeacherOutput]:
        """Return the teacher's own answer to each question, with its reasoning; it is never shown the gold answer."""
        ...

    def option_probabilities(self, questions: Sequence[Question]) -> list[list[float] | None]:
        """Return how likely the teacher finds each option, in the order of the choices; it is never shown the gold answer.

        The probabilities of a question sum to 1. None is a question for which the teacher failed.

        Raises:
            ValueError: this kind of teacher gives no probabilities.
        """
        ...


@dataclass(frozen=True)
class Prompt:
    """What a live teacher is sent."""

    system: str  # "" for none
    text: str
    sample: int = field(default=0, kw_only=True)  # which of several answers to one text this asks for


@dataclass(frozen=True)
class Scored(Prompt):
    """A prompt that asks how likely each of these texts is behind it.

    The prompt's text must hold them, as it holds a question's options: the cache's key is computed from the text alone.
    """

    options: tuple[str, ...]


@dataclass(frozen=True)
class Generation:
    """What a live teacher answered, unchanged."""

    text: str
    finish: str  # stop | length
    prompt_tokens: int
    completion_tokens: int
    unanswered: int = 0  # earlier attempts that failed, and that a server may have charged for
    model: str = ""  # the name that the answer itself gives its model; empty where it gives none


@dataclass(frozen=True)
class Failure:
    """A prompt that got no answer, for good."""

    reason: str  # a key in the metrics: a-z, 0-9, _
    detail: str  # one line; never holds a key
    unanswered: int = 0
    billed: tuple[int, int] | None = None  # tokens of the prompt and the answer, as the server counts the last attempt


class UnderWay(ValueError):  # noqa: N818  # what is under way is no error
    """Nothing more can be asked now; what was sent is still being answered, and may have to be paid."""


class Backend(Protocol):
    """A live teacher: it answers prompts and knows nothing of questions."""

    context_tokens: int | None  # prompt and answer together; None is unknown
    max_new_tokens: int

    @property
    def identity(self) -> Mapping[str, object]:
        """Return everything about the teacher that shapes an answer, also how it decodes, as JSON values."""
        ...

    def count_tokens(self, prompt: Prompt) -> int:
        """Return the tokens of the prompt: as the teacher counts them, or an upper estimate where that is unknown."""
        ...

    def generate(
        self, prompts: Sequence[Prompt], reserve: Callable[[int], bool]
    ) -> Generator[tuple[int, Generation | Failure]]:
        """Yield (index of the prompt, what became of it) as each arrives, in any order.

        Args:
            reserve: called with a prompt's index right before the prompt is first sent. False means: not now. While prompts
                are under way the backend calls again after one of them has come back. Otherwise it ends, and does not yield
                what it did not send.

        Raises:
            ValueError: no prompt can be answered, such as with a wrong key; one line, with the remedy.
        """
        ...
