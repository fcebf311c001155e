"""Teachers: `complete(questions) -> completions` writes rationales, `examine` answers; one completion a question, in order.

Two kinds need no prompt (`expert`, `recorded`). The live ones (`local`, `server`) are a `Backend`, which turns prompts into
answers, behind tinyllm/teachers/live.py, which writes the prompts and keeps every answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput

STOP = "\nQuestion:"  # where an answer runs on into a question of the teacher's own, it ends


class Teacher(Protocol):
    """What every teacher is."""

    def complete(self, questions: Sequence[Question]) -> list[TeacherOutput]:
        """A rationale for each question; the teacher may be shown the gold answer."""
        ...

    def examine(self, questions: Sequence[Question]) -> list[TeacherOutput]:
        """The teacher's own answer to each question, with its reasoning; it is never shown the gold answer."""
        ...

    def option_probabilities(self, questions: Sequence[Question]) -> list[list[float] | None]:
        """How likely the teacher finds each option, in the order of the choices; it is never shown the gold answer.

        The probabilities of a question sum to 1; None is a question that got none.

        Raises:
            ValueError: this kind of teacher cannot tell.
        """
        ...


@dataclass(frozen=True)
class Prompt:
    """What a live teacher is sent."""

    system: str  # "" for none
    text: str


@dataclass(frozen=True)
class Scored(Prompt):
    """A prompt that asks how likely each of these texts is behind it.

    They stand in its own text, too, as a question's options do: what is kept of the answer is found by the text alone.
    """

    options: tuple[str, ...]


@dataclass(frozen=True)
class Generation:
    """What a live teacher answered, as it came."""

    text: str
    finish: str  # stop | length
    prompt_tokens: int
    completion_tokens: int
    unanswered: int = 0  # attempts before it that failed on the way, and that a server may have charged for


@dataclass(frozen=True)
class Failure:
    """A prompt that got no answer, for good."""

    reason: str  # a key in the metrics: a-z, 0-9, _
    detail: str  # one line; never holds a key
    unanswered: int = 0


class Backend(Protocol):
    """A live teacher: it answers prompts and knows nothing of questions."""

    context_tokens: int | None  # prompt and answer together; None is unknown
    max_new_tokens: int

    @property
    def identity(self) -> Mapping[str, Any]:
        """All of the teacher that shapes an answer, decoding too, as JSON values."""
        ...

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens of the prompt, as the teacher counts them or, where that is unknown, an upper estimate."""
        ...

    def generate(
        self, prompts: Sequence[Prompt], reserve: Callable[[int], bool]
    ) -> Iterator[tuple[int, Generation | Failure]]:
        """Yield (index of the prompt, what became of it) as each arrives, in any order.

        Args:
            reserve: asked with a prompt's index once, right before it is first sent; False means: not now. Where prompts are
                still under way the backend asks again after one of them has come back; else it ends, and what was not
                admitted is not yielded.

        Raises:
            ValueError: no prompt can be answered, such as with a wrong key; one line, with the remedy.
        """
        ...
