"""A teacher's exam in numbers and words. A teacher whose answers could not be read has no accuracy: null, never 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyllm.evaluation.intervals import accuracy_interval
from tinyllm.evaluation.wording import percent


def summarise_exam(rows: Sequence[dict], parameters: float | None) -> dict[str, Any]:
    """Return metrics/exam/TEACHER.json; accuracy counts a question without a readable answer as wrong.

    Where no answer could be read at all, accuracy and interval are None: nothing was measured.

    Args:
        rows: of `grade`
        parameters: of the teacher, where they are known
    """
    statuses = [row["status"] for row in rows]
    counts = {status: statuses.count(status) for status in sorted(set(statuses) - {"ok"})}
    accuracy = low = high = None
    if "ok" in statuses:
        right = np.array([[row["choice"] == row["gold"] for row in rows]])
        accuracy, (low, high) = round(float(right.mean()), 4), (round(end, 4) for end in accuracy_interval(right))
    return {
        "examined": True,
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "questions": len(rows),
        "answered": statuses.count("ok"),
        **counts,
        **({} if parameters is None else {"parameters": parameters}),
    }


def not_examined(parameters: float | None) -> dict[str, Any]:
    """Return the metrics of a teacher that cannot answer, such as a recorded one."""
    return {"examined": False, **({} if parameters is None else {"parameters": parameters})}


def measured(exam: Mapping[str, Any]) -> bool:
    """Whether an exam has an accuracy: it was sat, and at least one answer could be read.

    Args:
        exam: metrics/exam/TEACHER.json, or nothing of it
    """
    return exam.get("accuracy") is not None and exam.get("answered") != 0


def exam_in_words(exam: Mapping[str, Any]) -> str:
    """Return `48.5%`, with how many answers are missing in it, or why there is no accuracy."""
    if not exam.get("examined", False):
        return "not examined"
    missing = missing_answers(exam)
    if not measured(exam):
        return missing
    return f"{percent(exam['accuracy'])}%" + (f" ({missing})" if missing else "")


def missing_answers(exam: Mapping[str, Any]) -> str:
    """Say how many answers could not be read, and how many were declined; "" where each was read."""
    questions = int(exam.get("questions", 0))
    declined = int(exam.get("declined", 0))
    unread = questions - int(exam.get("answered", questions)) - declined
    parts = [f"{unread:,} of {questions:,} answers could not be read"] if unread else []
    if declined:
        parts.append(f"{declined:,} of {questions:,} questions declined")
    return ", ".join(parts)


def ratios(accuracy: float, parameters: int, exams: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the student's accuracy and size as shares of each teacher's, where these are known and not 0.

    The share of a teacher that was examined in vain is None.

    Args:
        exams: by teacher its metrics/exam/TEACHER.json
    """
    shares: dict[str, float | None] = {}
    for teacher, exam in exams.items():
        if exam.get("examined") and not measured(exam):
            shares[f"accuracy_to_{teacher}"] = None
        elif exam.get("accuracy"):
            shares[f"accuracy_to_{teacher}"] = round(accuracy / exam["accuracy"], 4)
        if exam.get("parameters"):
            shares[f"size_to_{teacher}"] = float(f"{parameters / exam['parameters']:.4g}")
    return shares
