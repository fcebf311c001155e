"""Joining, quarantine, summary and its limit, for no, one and three teachers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tinyllm.corpus import assemble, check_quarantine, summarise
from tinyllm.questions import Question
from tinyllm.settings import Audit

LIMITS = Audit(min_words=3, max_words=40, min_distinct=0.5, drop_contradictions=True)
SPLITS = {
    "train": [
        Question("q1", "What melts in the sun?", ("stone", "ice"), 1, "It is noon."),
        Question("q2", "What floats on a lake?", ("wood", "iron"), 0),
    ],
    "valid": [Question("q3", "What burns well?", ("paper", "sand"), 0)],
}


def row(id_: str, rationale: str | None, status: str = "ok") -> dict:
    return {"id": id_, "rationale": rationale, "status": status}


ANN = [
    row("q3", "Paper takes fire soon. The answer is paper."),
    row("q1", "Let's think step by step.\nWarmth turns ice to water. The answer is (b).\nQuestion:\nWhat"),
    row("q2", "Wood is lighter than water. The answer is (a)."),
]
BOB = [
    row("q1", "Ice is frozen water. The answer is (a)."),
    row("q2", None, "nan"),
    row("gone", "Some question that was dropped."),
]
CY = [row("q1", "Ice becomes water in warmth."), row("q2", "Wood is lighter than water."), row("q3", "No.")]


def test_a_row_has_the_answer_and_every_usable_rationale() -> None:
    corpus = assemble(SPLITS, {"ann": ANN, "bob": BOB, "cy": CY}, LIMITS)
    assert corpus.rows["train"] == [
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
    assert corpus.rows["valid"][0]["targets"] == {
        "answer": "paper",
        "ann": "Paper takes fire soon. The answer is paper.",
    }


def test_the_quarantine_holds_every_absent_target_with_its_reason_and_raw_text() -> None:
    corpus = assemble(SPLITS, {"ann": ANN, "bob": BOB, "cy": CY}, LIMITS)
    assert corpus.quarantine == [
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
    corpus = assemble(SPLITS, {"ann": ANN, "bob": BOB, "cy": CY}, LIMITS)
    targets = {(row["id"], task) for rows in corpus.rows.values() for row in rows for task in row["targets"]}
    refused = {(row["id"], row["teacher"]) for row in corpus.quarantine}
    everything = {(id_, teacher) for id_ in ("q1", "q2", "q3") for teacher in ("ann", "bob", "cy")}
    assert targets.isdisjoint(refused)
    assert (targets | refused) - {(id_, "answer") for id_ in ("q1", "q2", "q3")} == everything


def test_the_order_of_a_rationale_file_changes_nothing() -> None:
    forwards = assemble(SPLITS, {"ann": ANN, "bob": BOB}, LIMITS)
    assert assemble(SPLITS, {"ann": ANN[::-1], "bob": BOB[::-1]}, LIMITS) == forwards


def test_the_summary_counts_by_split_teacher_and_reason() -> None:
    summary = summarise(assemble(SPLITS, {"ann": ANN, "bob": BOB, "cy": CY}, LIMITS))
    assert summary["rows"] == {"train": 2, "valid": 1}
    assert summary["all_teachers"] == {"train": 0, "valid": 0}
    assert summary["teachers"]["bob"] == {
        "train": {"kept": 0, "quarantined": 2, "reasons": {"nan": 1, "states_other_option": 1}},
        "valid": {"kept": 0, "quarantined": 1, "reasons": {"missing": 1}},
        "unknown_ids": 1,
    }
    assert summary["teachers"]["ann"] == {
        "train": {"kept": 2, "quarantined": 0, "reasons": {}},
        "valid": {"kept": 1, "quarantined": 0, "reasons": {}},
        "words_before": round((8 + 16 + 9) / 3, 4),
        "words_after": round((8 + 9 + 9) / 3, 4),
        "unknown_ids": 0,
    }


def test_agreement_compares_stated_answers_and_words_for_every_pair_of_teachers() -> None:
    agreement = summarise(assemble(SPLITS, {"ann": ANN, "bob": BOB, "cy": CY}, LIMITS))["agreement"]
    assert list(agreement) == ["ann+bob", "ann+cy", "bob+cy"]
    assert agreement["ann+bob"] == {"both_state": 1, "both_kept": 0, "same_answer": 0.0}
    # q1: {warmth turns ice water} and {ice becomes water warmth} share 3 of 5; q2: {wood lighter water} share 3 of 3
    assert agreement["ann+cy"] == {"both_state": 0, "both_kept": 2, "overlap": 0.8}
    assert agreement["bob+cy"] == {"both_state": 0, "both_kept": 0}


def test_without_teachers_the_rows_have_answers_alone() -> None:
    corpus = assemble(SPLITS, {}, LIMITS)
    assert [row["targets"] for row in corpus.rows["train"]] == [{"answer": "ice"}, {"answer": "wood"}]
    assert corpus.quarantine == []
    summary = summarise(corpus)
    assert summary == {
        "rows": {"train": 2, "valid": 1},
        "all_teachers": {"train": 2, "valid": 1},
        "teachers": {},
        "agreement": {},
    }
    check_quarantine(summary, 0.0)


def test_one_teacher_has_nobody_to_agree_with() -> None:
    summary = summarise(assemble(SPLITS, {"ann": ANN}, LIMITS))
    assert summary["agreement"] == {}
    assert summary["all_teachers"] == {"train": 2, "valid": 1}


def test_no_key_of_the_summary_has_a_dot() -> None:
    def keys(value: object) -> list[str]:
        return [k for key, inner in value.items() for k in (key, *keys(inner))] if isinstance(value, dict) else []

    found = keys(summarise(assemble(SPLITS, {"ann": ANN, "bob-2_b": BOB}, LIMITS)))
    assert "ann+bob-2_b" in found
    assert not [key for key in found if "." in key]


@pytest.mark.parametrize("name", ["answer", "gpt-4.1", "", "a+b"])
def test_a_teacher_that_cannot_be_a_task_and_a_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="allowed are letters, digits, _ and -, and not 'answer'"):
        assemble(SPLITS, {name: []}, LIMITS)


def test_an_id_in_two_splits_is_refused() -> None:
    with pytest.raises(ValueError, match="id 'q1' stands in train and in valid; ids must differ"):
        assemble({"train": SPLITS["train"], "valid": SPLITS["train"][:1]}, {}, LIMITS)


def test_too_much_quarantine_is_refused_by_teacher_share_and_reason() -> None:
    summary = {
        "rows": {"train": 4957, "valid": 500},
        "teachers": {
            "fine": {"train": {"kept": 4950, "quarantined": 7, "reasons": {"nan": 7}}},
            "poor": {
                "train": {"kept": 3227, "quarantined": 1730, "reasons": {"states_other_option": 1100, "nan": 630}}
            },
        },
    }
    expected = (
        r"^teacher poor: 1730 of 4957 rationales \(34\.9%\) quarantined, allowed are 20% \(corpus\.max_quarantined\); "
        r"most: states_other_option 1100; see data/quarantine\.jsonl, raise the limit or drop the teacher$"
    )
    with pytest.raises(ValueError, match=expected):
        check_quarantine(summary, 0.2)
    check_quarantine(summary, 0.35)


def test_the_limit_looks_at_train_alone_and_a_share_equal_to_it_passes() -> None:
    summary = summarise(assemble(SPLITS, {"cy": CY}, LIMITS))  # its one loss is in valid
    check_quarantine(summary, 0.0)
    half = summarise(assemble(SPLITS, {"ann": ANN[1:2]}, LIMITS))
    check_quarantine(half, 0.5)
    with pytest.raises(ValueError, match="teacher ann: 1 of 2 rationales .* most: missing 1"):
        check_quarantine(half, 0.4999)


def test_preparing_the_corpus_imports_no_torch() -> None:
    code = "import sys, tinyllm.corpus; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
