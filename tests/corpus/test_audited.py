"""Audited questions come back from the disk as they were."""

from __future__ import annotations

import pytest

from tests.judging import ANN, BOB, CY, LIMITS, SPLITS, finding
from tinyllm.corpus.assemble import AuditedQuestion, assemble
from tinyllm.corpus.audited import AuditedTable
from tinyllm.corpus.selection import keep_selected, select, select_most_similar
from tinyllm.records.questions import Question

FREE = Question("f1", "What are 7 and 11?", (), "18", "A sum.")


def audited() -> list[AuditedQuestion]:
    ann = [{**ANN[1], "option_probabilities": [1, 0.0]}, *ANN[2:]]
    return list(assemble(SPLITS, {"ann": finding(ann), "bob": finding(BOB), "cy": finding(CY)}, LIMITS))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_audited_questions_come_back_as_they_were(count: int) -> None:
    expected = audited()[:count]
    table = AuditedTable(iter(expected))
    assert len(table) == count
    assert list(table) == expected
    assert [str(question.row) for question in table] == [str(question.row) for question in expected]  # 1 stays 1


def test_a_free_text_question_comes_back_too() -> None:
    row = {"id": "f1", "rationale": "Seven and 11 make more. The answer is 18.", "status": "ok"}
    expected = list(assemble({"valid": [FREE]}, {"ann": finding([row])}, LIMITS))
    assert list(AuditedTable(expected)) == expected
    assert expected[0].verdicts["ann"].rationale.stated == "18"


def test_all_keeps_what_passed_and_best_what_is_selected() -> None:
    questions = audited()
    assert list(keep_selected("all", iter(questions))) == questions
    expected = [select(*pair) for pair in zip(questions, select_most_similar(questions), strict=True)]
    assert list(keep_selected("best", iter(questions))) == expected
    assert any(verdict.status == "not_selected" for question in expected for verdict in question.verdicts.values())


def test_learnable_leaves_the_choice_to_the_student_and_keeps_what_passed() -> None:
    assert list(keep_selected("learnable", iter([sampled()]))) == [sampled()]
    assert sampled().row["alternatives"] == {"ann": ["On a lake wood floats."]}


def test_a_selection_audits_each_question_once() -> None:
    asked: list[str] = []

    def find(question: Question) -> dict | None:
        asked.append(question.id)
        return finding(ANN)(question)

    assert len(list(keep_selected("best", assemble(SPLITS, {"ann": find}, LIMITS)))) == 3
    assert asked == ["q1", "q2", "q3"]


def sampled() -> AuditedQuestion:
    samples = [ANN[2] | {"sample": 0}, ANN[2] | {"sample": 1, "rationale": "On a lake wood floats."}]
    (audited,) = assemble({"train": [SPLITS["train"][1]]}, {"ann": finding(samples), "cy": finding(CY)}, LIMITS)
    return audited


def test_a_question_with_samples_comes_back_as_it_was() -> None:
    assert sampled().row["alternatives"] == {"ann": ["On a lake wood floats."]}
    assert list(AuditedTable([sampled()])) == [sampled()]


def test_a_teacher_that_is_not_selected_loses_its_alternatives_too() -> None:
    chosen = select(sampled(), [0.0, 1.0])
    assert list(chosen.row["targets"]) == ["answer", "cy"]
    assert "alternatives" not in chosen.row
    assert [(row["sample"], row["status"]) for row in chosen.quarantine] == [(0, "not_selected"), (1, "not_selected")]
    assert select(sampled(), [1.0, 0.0]).row["alternatives"] == {"ann": ["On a lake wood floats."]}
