"""The counts of the corpus, for no, one and three teachers, and the limit on what is lost."""

from __future__ import annotations

import pytest

from tests.judging import ANN, BOB, CY, LIMITS, SPLITS, finding
from tinyllm.corpus.assemble import assemble
from tinyllm.corpus.metrics import CorpusMetrics, check_quarantine


def summary_of(**teachers: list[dict]) -> dict:
    metrics = CorpusMetrics(SPLITS, teachers)
    for question in assemble(SPLITS, {name: finding(rows) for name, rows in teachers.items()}, LIMITS):
        metrics.add(question)
    return metrics.summary({name: len(name) for name in teachers})


def test_the_summary_counts_by_split_teacher_and_reason() -> None:
    summary = summary_of(ann=ANN, bob=BOB, cy=CY)
    assert summary["rows"] == {"train": 2, "valid": 1}
    assert summary["all_teachers"] == {"train": 0, "valid": 0}
    assert summary["teachers"]["bob"] == {
        "train": {"kept": 0, "quarantined": 2, "reasons": {"nan": 1, "states_other_option": 1}},
        "valid": {"kept": 0, "quarantined": 1, "reasons": {"missing": 1}},
        "unknown_ids": 3,
    }
    assert summary["teachers"]["ann"] == {
        "train": {"kept": 2, "quarantined": 0, "reasons": {}},
        "valid": {"kept": 1, "quarantined": 0, "reasons": {}},
        "words_before": round((8 + 16 + 9) / 3, 4),
        "words_after": round((8 + 9 + 9) / 3, 4),
        "unknown_ids": 3,
    }


def test_the_most_frequent_reason_stands_first() -> None:
    gone = [{"id": f"q{number}", "rationale": None, "status": "nan"} for number in (1, 2)]
    summary = summary_of(dan=[gone[0]], eve=gone)
    assert list(summary["teachers"]["dan"]["train"]["reasons"].items()) == [("missing", 1), ("nan", 1)]
    assert list(summary["teachers"]["eve"]["train"]["reasons"].items()) == [("nan", 2)]


def test_agreement_compares_stated_answers_and_words_for_every_pair_of_teachers() -> None:
    agreement = summary_of(ann=ANN, bob=BOB, cy=CY)["agreement"]
    assert list(agreement) == ["ann+bob", "ann+cy", "bob+cy"]
    assert agreement["ann+bob"] == {"both_state": 1, "both_kept": 0, "same_answer": 0.0}
    # q1: {warmth turns ice water} and {ice becomes water warmth} share 3 of 5; q2: {wood lighter water} share 3 of 3
    assert agreement["ann+cy"] == {"both_state": 0, "both_kept": 2, "overlap": 0.8}
    assert agreement["bob+cy"] == {"both_state": 0, "both_kept": 0}


def test_without_teachers_the_rows_are_counted_and_nothing_is_lost() -> None:
    summary = summary_of()
    assert summary == {
        "rows": {"train": 2, "valid": 1},
        "all_teachers": {"train": 2, "valid": 1},
        "teachers": {},
        "agreement": {},
    }
    check_quarantine(summary, 0.0)


def test_one_teacher_has_nobody_to_agree_with() -> None:
    summary = summary_of(ann=ANN)
    assert summary["agreement"] == {}
    assert summary["all_teachers"] == {"train": 2, "valid": 1}


def test_no_key_of_the_summary_has_a_dot() -> None:
    def keys(value: object) -> list[str]:
        return [k for key, inner in value.items() for k in (key, *keys(inner))] if isinstance(value, dict) else []

    names = keys(summary_of(**{"ann": ANN, "bob-2_b": BOB}))
    assert "ann+bob-2_b" in names
    assert not [key for key in names if "." in key]


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
    summary = summary_of(cy=CY)  # its one loss is in valid
    check_quarantine(summary, 0.0)
    half = summary_of(ann=ANN[1:2])
    check_quarantine(half, 0.5)
    with pytest.raises(ValueError, match="teacher ann: 1 of 2 rationales .* most: missing 1"):
        check_quarantine(half, 0.4999)


def test_several_samples_are_counted_and_a_question_counts_once() -> None:
    """Of q1 the second of two passes, of q2 both do, and q3 has one that does."""
    first = [ANN[1] | {"sample": 1}, CY[2] | {"id": "q1", "sample": 0}]
    second = [ANN[2] | {"sample": sample} for sample in (0, 1)]
    summary = summary_of(ann=[*sorted(first, key=lambda row: row["sample"]), *second, ANN[0]], cy=CY)
    ann = summary["teachers"]["ann"]
    assert ann["samples"] == {"asked": 5, "kept": 4}
    assert ann["train"] == {"kept": 2, "quarantined": 0, "reasons": {}}
    assert summary["all_teachers"] == {"train": 2, "valid": 0}
    assert "samples" not in summary["teachers"]["cy"]
