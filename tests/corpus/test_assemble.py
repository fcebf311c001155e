"""Joining and quarantine, for no, one and three teachers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.judging import ANN, BOB, CY, LIMITS, SPLITS, finding, row
from tinyllm.corpus.assemble import AuditedQuestion, assemble
from tinyllm.records.questions import Question


def audited(**teachers: list[dict]) -> list[AuditedQuestion]:
    return list(assemble(SPLITS, {name: finding(rows) for name, rows in teachers.items()}, LIMITS))


def test_a_row_has_the_answer_and_every_usable_rationale() -> None:
    questions = audited(ann=ANN, bob=BOB, cy=CY)
    assert [question.split for question in questions] == ["train", "train", "valid"]
    assert [question.row for question in questions[:2]] == [
        {
            "id": "q1",
            "context": "It is noon.",
            "input": "What melts in the sun?\nAnswer Choices:\n(a) stone\n(b) ice",
            "targets": {
                "answer": "ice",
                "ann": "Warmth turns ice to water. The answer is (b).",
                "cy": "Ice becomes water in warmth.",
            },
        },
        {
            "id": "q2",
            "context": "",
            "input": "What floats on a lake?\nAnswer Choices:\n(a) wood\n(b) iron",
            "targets": {
                "answer": "wood",
                "ann": "Wood is lighter than water. The answer is (a).",
                "cy": "Wood is lighter than water.",
            },
        },
    ]
    assert questions[2].row["targets"] == {"answer": "paper", "ann": "Paper takes fire soon. The answer is paper."}


def test_the_quarantine_holds_every_absent_target_with_its_reason_and_raw_text() -> None:
    assert [refused for question in audited(ann=ANN, bob=BOB, cy=CY) for refused in question.quarantine] == [
        {
            "id": "q1",
            "split": "train",
            "teacher": "bob",
            "status": "states_other_option",
            "rationale": "Ice is frozen water. The answer is (a).",
        },
        {"id": "q2", "split": "train", "teacher": "bob", "status": "nan", "rationale": None},
        {"id": "q3", "split": "valid", "teacher": "bob", "status": "missing", "rationale": None},
        {"id": "q3", "split": "valid", "teacher": "cy", "status": "too_short", "rationale": "No."},
    ]


def test_every_question_and_teacher_is_either_a_target_or_quarantined() -> None:
    questions = audited(ann=ANN, bob=BOB, cy=CY)
    targets = {(question.row["id"], task) for question in questions for task in question.row["targets"]}
    refused = {(row["id"], row["teacher"]) for question in questions for row in question.quarantine}
    everything = {(id_, teacher) for id_ in ("q1", "q2", "q3") for teacher in ("ann", "bob", "cy")}
    assert targets.isdisjoint(refused)
    assert (targets | refused) - {(id_, "answer") for id_ in ("q1", "q2", "q3")} == everything


def test_without_teachers_the_rows_have_answers_alone() -> None:
    questions = audited()
    assert [question.row["targets"] for question in questions] == [
        {"answer": "ice"},
        {"answer": "wood"},
        {"answer": "paper"},
    ]
    assert not any(question.quarantine for question in questions)


def test_one_question_is_held_at_a_time() -> None:
    asked: list[str] = []

    def questions() -> Iterator[Question]:
        for question in SPLITS["train"]:
            asked.append(question.id)
            yield question

    audited_questions = assemble({"train": questions()}, {"ann": finding(ANN)}, LIMITS)
    assert next(audited_questions).row["id"] == "q1"
    assert asked == ["q1"]


def test_option_probabilities_come_along_whatever_became_of_the_rationale() -> None:
    sure = {"option_probabilities": [0.25, 0.75]}
    ann = [ANN[1] | sure, ANN[2]]
    bob = [
        BOB[0] | sure,
        BOB[1] | {"option_probabilities": [1, 0]},
        row("q3", "Paper.") | {"option_probabilities": None},
    ]
    first, second, third = audited(ann=ann, bob=bob, cy=CY)
    assert first.row["option_probabilities"] == {
        "ann": [0.25, 0.75],
        "bob": [0.25, 0.75],
    }  # bob's states another option
    assert first.row["choices"] == ["stone", "ice"]
    assert second.row["option_probabilities"] == {"bob": [1, 0]}  # its rationale is nan
    assert list(second.row) == ["id", "context", "input", "targets", "option_probabilities", "choices"]
    assert list(third.row) == ["id", "context", "input", "targets"]


@pytest.mark.parametrize("name", ["answer", "gpt-4.1", "", "a+b"])
def test_a_teacher_that_cannot_be_a_task_and_a_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="allowed are letters, digits, _ and -, a letter first; `answer` is taken"):
        next(assemble(SPLITS, {name: finding([])}, LIMITS))


def test_preparing_the_corpus_imports_no_torch() -> None:
    code = "import sys, tinyllm.corpus.assemble, tinyllm.corpus.metrics; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_of_several_samples_the_first_that_passes_is_learnt_and_the_others_are_alternatives() -> None:
    question = SPLITS["train"][0]
    texts = ["Short.", "In the sun ice turns to water.", "What melts in warmth is ice.", "No."]
    samples = [row(question.id, text) | {"sample": number} for number, text in enumerate(texts)]
    (audited,) = assemble({"train": [question]}, {"ann": finding(samples), "bob": finding(samples[:1])}, LIMITS)
    assert audited.row["targets"] == {"answer": question.gold, "ann": texts[1]}
    assert audited.row["alternatives"] == {"ann": [texts[2]]}
    refused = [(row["teacher"], row.get("sample"), row["status"], row["rationale"]) for row in audited.quarantine]
    assert refused == [
        ("ann", 0, "too_short", "Short."),
        ("ann", 3, "too_short", "No."),
        ("bob", None, "too_short", "Short."),
    ]
    assert audited.samples == {"ann": [4, 2], "bob": [1, 0]}


def test_where_no_sample_passes_the_first_says_why_and_the_row_has_no_alternatives() -> None:
    question = SPLITS["train"][0]
    samples = [row(question.id, None, "empty") | {"sample": 0}, row(question.id, "No.") | {"sample": 1}]
    (audited,) = assemble({"train": [question]}, {"ann": finding(samples)}, LIMITS)
    assert (audited.verdicts["ann"].status, "alternatives" in audited.row) == ("empty", False)
    assert [(row["sample"], row["status"]) for row in audited.quarantine] == [(0, "empty"), (1, "too_short")]
