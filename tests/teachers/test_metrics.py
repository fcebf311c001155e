"""What came of a query: its counts, and the lines in which it ends where too much failed."""

from __future__ import annotations

import pytest

from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput
from tinyllm.teachers.metrics import check_failed, check_probabilities, stated_gold, summarise_query


def test_a_summary_counts_statuses_reasons_and_tokens() -> None:
    counts = {"prompt_tokens": 10, "completion_tokens": 2, "examples_dropped": 1, "context_words_cut": 7}
    done = [TeacherOutput("a", "ok", counts), TeacherOutput("b", "ok", counts | {"context_words_cut": 0})]
    done += [TeacherOutput(None, "failed", {"reason": "timeout", "detail": ""}), TeacherOutput(None, "empty", counts)]
    assert summarise_query(done, None) == {
        "asked": 4,
        "empty": 1,
        "failed": 1,
        "ok": 2,
        "failed_timeout": 1,
        "examples_dropped": 3,
        "prompt_tokens": 30,
        "completion_tokens": 6,
        "contexts_cut": 2,
    }
    assert summarise_query([TeacherOutput("a"), TeacherOutput(None, "declined")], None) == {
        "asked": 2,
        "declined": 1,
        "ok": 1,
    }


def test_more_failures_than_allowed_are_refused_with_what_the_cache_holds() -> None:
    failed = TeacherOutput(None, "failed", {"reason": "timeout", "detail": "no answer in 5 s"})
    check_failed("ann", [failed, TeacherOutput("a")], 0.5)
    with pytest.raises(
        ValueError,
        match=r"ann: 2 of 3 prompts failed for good, allowed are 50%.*timeout 2 \(no answer in 5 s\).*other 1",
    ):
        check_failed("ann", [failed, failed, TeacherOutput("a")], 0.5)


def test_a_summary_counts_the_questions_with_option_probabilities_where_they_were_asked_for() -> None:
    done = [TeacherOutput("a"), TeacherOutput("b"), TeacherOutput(None, "declined")]
    assert summarise_query(done, [[0.5, 0.5], None, [1.0, 0.0]]) == {
        "asked": 3,
        "declined": 1,
        "ok": 2,
        "option_probabilities": 2,
    }


def test_more_questions_without_probabilities_than_allowed_are_refused() -> None:
    check_probabilities("ann", [None, [0.5, 0.5]], 0.5)
    message = (
        r"^teacher ann: 2 of 3 questions got no option probabilities, allowed are 50% \(corpus.max_quarantined\); "
        "the line above says why, and the answer cache holds the others$"
    )
    with pytest.raises(ValueError, match=message):
        check_probabilities("ann", [None, [0.5, 0.5], None], 0.5)


def test_how_often_a_stated_answer_is_gold() -> None:
    questions = [Question(str(row), "Which?", ("ice", "oak"), 0) for row in range(4)]
    said = ["The answer is (a).", "The answer is (b).", "It melts.", None]
    outputs = [TeacherOutput(text, "ok" if text else "missing") for text in said]
    assert stated_gold(questions, outputs) == {"stated": 2, "stated_gold": 0.5}
    assert stated_gold(questions[2:], outputs[2:]) == {}
