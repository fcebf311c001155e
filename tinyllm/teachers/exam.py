"""A teacher's exam: the options that it chose on test, and how many are right."""

from __future__ import annotations

from collections.abc import Sequence

from tinyllm.parsing import parse_question, parse_rationale
from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput


def grade(questions: Sequence[Question], completions: Sequence[TeacherOutput]) -> list[dict]:
    """Return one row a question: `id`, `gold`, `choice` (None where no option can be read off), `status`, `text`.

    Of a free-text question `choice` is the answer's text, as it is compared; the gold text itself where it equals that.
    """
    return [_row(question, completion) for question, completion in zip(questions, completions, strict=True)]


def _row(question: Question, completion: TeacherOutput) -> dict:
    choice = None if completion.text is None else parse_rationale(completion.text, parse_question(question)).stated
    status = "unparsable" if completion.text is not None and choice is None else completion.status
    return {
        "id": question.id,
        "gold": question.answer,
        "choice": choice,
        "status": status,
        "text": completion.text,
    }
