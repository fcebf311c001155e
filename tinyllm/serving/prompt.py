"""From the text of a prompt to the question in it: in the student's own form, or in that in which teachers are asked.

Whatever is in neither form is a free-text question: its last line, with the lines before it as context.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tinyllm.params.schema import Student
from tinyllm.records.questions import LETTERS, option_letter

# How tinyllm/teachers/prompts.py and server/option_letters.py write what a teacher is asked.
ASKED, OPTIONS, ANSWER = "Question:", "Options:", "Answer:"
TRIGGER = "\nRationale:\nLet's think step by step."
FOR_A_LETTER = ("\n\nWhich option is right? Reply with its letter alone.", "\n\nAnswer: (")

HEADS = ("answer choices:", "options:", "choices:")
_OPTION = re.compile(r"\(?([A-Za-z])[).:] *(\S.*)")


@dataclass(frozen=True)
class Read:
    """What a prompt's text asks."""

    question: str
    choices: tuple[str, ...]  # none of free text
    context: str
    voice: str | None = None  # whose prefix it begins with
    concluded: bool = False  # it wants the answer behind the rationale
    letter: bool = False  # it wants the option's letter alone

    @property
    def row(self) -> dict[str, object]:
        """As a row of data/questions."""
        return {"question": self.question, "choices": list(self.choices), "context": self.context}


def read_prompt(text: str, student: Student, voices: Sequence[str]) -> Read:
    """Return what a text asks.

    Args:
        student: has the prefixes and the response that its own form begins and ends with
        voices: the teachers whose prefix is known
    """
    text = text.replace("\r\n", "\n")
    letter = next((ending for ending in FOR_A_LETTER if text.endswith(ending)), "")
    body = text.removesuffix(letter)
    if (asked := body.rfind(f"\n{ASKED}\n")) >= 0 or body.startswith(f"{ASKED}\n"):
        block = body[max(asked, 0) :].lstrip("\n").removeprefix(f"{ASKED}\n")
        if block.endswith(TRIGGER):
            return _of_a_teacher(block.removesuffix(TRIGGER).split("\n"), bool(letter))
    return _of_a_student(text, student, voices)


def _of_a_teacher(lines: list[str], letter: bool) -> Read:
    """Read the last block of a teacher's prompt; a right answer that it shows is left out, for a student reads none."""
    shown = len(lines) > 2 and lines[-2] == ANSWER
    lines = lines[:-2] if shown else lines
    lines, choices = _split_options(lines, (OPTIONS.lower(),))
    return Read(lines[-1], choices, "\n".join(lines[:-1]), concluded=not shown and not letter, letter=letter)


def _of_a_student(text: str, student: Student, voices: Sequence[str]) -> Read:
    prefixes = {student.rationale_prefix.replace("{teacher}", voice): voice for voice in voices}
    named = max((prefix for prefix in prefixes if text.startswith(prefix)), key=len, default="")
    text = text.removeprefix(named or student.answer_prefix)
    if student.response.strip():
        text = text.rstrip().removesuffix(student.response.rstrip())
    lines, choices = _split_options([line for line in text.split("\n") if line.strip()] or [""], HEADS)
    return Read(lines[-1], choices, "\n".join(lines[:-1]), prefixes.get(named))


def _split_options(lines: list[str], heads: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the lines before the options, and the options: the last lines where they have the letters from a on.

    Args:
        heads: a line that may stand between the two
    """
    found = [_OPTION.fullmatch(line.strip()) for line in lines]
    for start in range(len(lines) - 2, 0, -1):
        if found[start + 1] is None or len(lines) - start > len(LETTERS):
            break
        match = found[start]
        if match is not None and match[1].lower() == LETTERS[0]:
            options = [option for option in found[start:] if option is not None]
            if [option[1].lower() for option in options] != list(LETTERS[: len(options)]):
                break
            before = lines[: start - 1] if lines[start - 1].strip().lower() in heads else lines[:start]
            return (before, tuple(option[2] for option in options)) if before else (lines, ())
    return lines, ()


def conclusion(choice: int | None, text: str) -> str:
    """Return the sentence in which a teacher is to state its answer."""
    return f"Thus, the answer is {option_letter(choice) if choice is not None else text}."
