"""A teacher's exam: the options that it chose on test, and how many are right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyllm.cleaning import clean
from tinyllm.questions import Question
from tinyllm.stated import stated_answer
from tinyllm.statistics import accuracy_interval
from tinyllm.teachers import Completion


def grade(questions: Sequence[Question], completions: Sequence[Completion]) -> list[dict]:
    """Return one row a question: `id`, `gold`, `choice` (None where no option can be read off), `status`, `text`.

    Of a free-text question `choice` is the answer's text, as it is compared; the gold text itself where it equals that.
    """
    return [_row(question, completion) for question, completion in zip(questions, completions, strict=True)]


def _row(question: Question, completion: Completion) -> dict:
    choice = None if completion.text is None else stated_answer(clean(completion.text), question)
    status = "unparsable" if completion.text is not None and choice is None else completion.status
    return {
        "id": question.id,
        "gold": question.answer,
        "choice": choice,
        "status": status,
        "text": completion.text,
    }


def summarise_exam(rows: Sequence[dict], parameters: float | None) -> dict:
    """Return metrics/exam/TEACHER.json; accuracy counts a question without a readable answer as wrong.

    Args:
        rows: of `grade`
        parameters: of the teacher, where they are known
    """
    right = np.array([[row["choice"] == row["gold"] for row in rows]])
    low, high = accuracy_interval(right)
    statuses = [row["status"] for row in rows]
    counts = {status: statuses.count(status) for status in sorted(set(statuses) - {"ok"})}
    return {
        "examined": True,
        "accuracy": round(float(right.mean()), 4),
        "accuracy_low": round(low, 4),
        "accuracy_high": round(high, 4),
        "questions": len(rows),
        "answered": statuses.count("ok"),
        **counts,
        **({} if parameters is None else {"parameters": parameters}),
    }


def not_examined(parameters: float | None) -> dict:
    """Return the metrics of a teacher that cannot answer, such as a recorded one."""
    return {"examined": False, **({} if parameters is None else {"parameters": parameters})}
