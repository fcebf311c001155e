"""A teacher's exam: what is measured, what is null, and how it is said."""

from __future__ import annotations

from typing import Any

import pytest

from tinyllm.evaluation.exams import exam_in_words, measured, missing_answers, ratios, summarise_exam

NULL = {"accuracy": None, "accuracy_low": None, "accuracy_high": None}


def rows(*answers: tuple[int | None, str]) -> list[dict[str, Any]]:
    """Rows of `grade`, the gold option always 0."""
    return [
        {"id": f"e{i}", "gold": 0, "choice": choice, "status": status} for i, (choice, status) in enumerate(answers)
    ]


@pytest.mark.parametrize("status", ["unparsable", "failed", "empty", "declined"])
def test_a_teacher_of_whom_nothing_could_be_read_has_null_and_not_0(status: str) -> None:
    exam = summarise_exam(rows(*[(None, status)] * 12), 3e6)
    assert exam == {"examined": True, **NULL, "questions": 12, "answered": 0, status: 12, "parameters": 3e6}
    assert not measured(exam)


def test_a_teacher_that_is_wrong_throughout_has_0_and_not_null() -> None:
    exam = summarise_exam(rows((1, "ok"), (1, "ok"), (2, "ok")), None)
    assert (exam["accuracy"], exam["accuracy_low"], exam["answered"]) == (0.0, 0.0, 3)
    assert measured(exam) and exam_in_words(exam) == "0.0%"


@pytest.mark.parametrize(
    ("exam", "words"),
    [
        ({"examined": False}, "not examined"),
        ({}, "not examined"),
        ({"examined": True, "accuracy": 0.8}, "80.0%"),
        (
            {"examined": True, **NULL, "questions": 12, "answered": 0, "unparsable": 12},
            "12 of 12 answers could not be read",
        ),
        ({"examined": True, **NULL, "questions": 12, "answered": 0, "declined": 12}, "12 of 12 questions declined"),
        (
            {"examined": True, **NULL, "questions": 9, "answered": 0, "failed": 4, "declined": 5},
            "4 of 9 answers could not be read, 5 of 9 questions declined",
        ),
        # as an older version of the code wrote it
        ({"examined": True, "accuracy": 0.0, "questions": 12, "answered": 0}, "12 of 12 answers could not be read"),
        (
            {"examined": True, "accuracy": 0.25, "questions": 1200, "answered": 197},
            "25.0% (1,003 of 1,200 answers could not be read)",
        ),
    ],
)
def test_an_exam_is_said_in_words(exam: dict[str, Any], words: str) -> None:
    assert exam_in_words(exam) == words


def test_where_every_answer_was_read_none_is_missing() -> None:
    assert missing_answers({"examined": True, "questions": 4, "answered": 4, "accuracy": 0.5}) == ""


def test_the_accuracy_over_all_counts_what_could_not_be_read_as_wrong() -> None:
    exam = summarise_exam(rows((0, "ok"), (None, "unparsable"), (None, "failed"), (1, "ok")), None)
    assert (exam["accuracy"], exam["questions"], exam["answered"]) == (0.25, 4, 2)
    assert exam_in_words(exam) == "25.0% (2 of 4 answers could not be read)"


def test_a_share_of_a_teacher_that_could_not_be_read_is_null() -> None:
    exams: dict[str, dict[str, Any]] = {
        "read": {"examined": True, "accuracy": 0.5, "questions": 4, "answered": 4},
        "unread": {"examined": True, **NULL, "questions": 4, "answered": 0, "parameters": 4000},
        "old": {"examined": True, "accuracy": 0.0, "questions": 4, "answered": 0},
        "wrong": {"examined": True, "accuracy": 0.0, "questions": 4, "answered": 4},
        "recorded": {"examined": False, "parameters": 8000},
    }
    assert ratios(0.6, 1000, exams) == {
        "accuracy_to_read": 1.2,
        "accuracy_to_unread": None,
        "size_to_unread": 0.25,
        "accuracy_to_old": None,
        "size_to_recorded": 0.125,
    }
