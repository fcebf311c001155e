"""Which rationales are learnt from: casebook's teachers, good and bad, and a corpus of three rows by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.judging import LIMITS, finding
from tinyllm.casebook.rule_teachers import Expert
from tinyllm.casebook.world import World, make_splits
from tinyllm.corpus.assemble import AuditedQuestion, assemble
from tinyllm.corpus.helpfulness import helpfulness, read_cases, without_options
from tinyllm.corpus.selection import rationale_weights, select, select_helpful, select_most_similar
from tinyllm.records.questions import Question

TEACHERS = {
    "signs": Expert("signs", 0.05, 0.8, 0.5, seed=1),
    "copy": Expert("signs", 0.05, 0.8, 0.5, seed=1),
    "care": Expert("care", 0.05, 0.8, 0.5, seed=2),
    "verbose": Expert("signs", 0.05, 0.0, 0.5, seed=3, padding=500),
    "useless": Expert("signs", 1.0, 0.0, 1.0, seed=4),
}
NAMES = list(TEACHERS)


@pytest.fixture(scope="module")
def cases() -> list[AuditedQuestion]:
    """240 cases of train and 20 of valid, in a world of few clue words, as its teachers explain them."""
    world = World(seed=1, train=240, valid=20, test=0, clue_words=10, clues=1, fillers=6, filler_pool=100)
    splits = {split: questions for split, questions in make_splits(world).items() if questions}
    everything = [question for questions in splits.values() for question in questions]
    said = {
        name: finding(
            [
                {"id": question.id, "rationale": output.text, "status": output.status}
                for question, output in zip(everything, teacher.complete(everything), strict=True)
            ]
        )
        for name, teacher in TEACHERS.items()
    }
    return list(assemble(splits, said, LIMITS))


@pytest.fixture(scope="module")
def measured(cases: list[AuditedQuestion]) -> np.ndarray:
    return helpfulness(read_cases(cases))


@pytest.fixture(scope="module")
def weights(cases: list[AuditedQuestion]) -> np.ndarray:
    return select_helpful(cases)


def usable(audited: Sequence[AuditedQuestion]) -> np.ndarray:
    return np.array([[verdict.status == "ok" for verdict in case.verdicts.values()] for case in audited])


def test_rationales_that_name_the_clue_are_helpful_and_others_are_not(measured: np.ndarray) -> None:
    means = dict(zip(NAMES, np.nanmean(measured, axis=0), strict=True))
    assert min(means["signs"], means["care"]) > 0.1
    assert abs(means["verbose"]) < 0.01  # it repeats the report, and so tells what that tells
    assert means["useless"] < -0.2


def test_helpful_keeps_the_good_teachers_and_drops_the_bad_ones_and_the_copy(
    cases: list[AuditedQuestion], weights: np.ndarray
) -> None:
    share = dict(zip(NAMES, (weights > 0).sum(axis=0) / usable(cases).sum(axis=0), strict=True))
    assert share["copy"] == share["verbose"] == 0
    assert min(share["signs"], share["care"]) > 0.7
    assert share["useless"] < 0.05
    assert not weights[~usable(cases)].any()


def test_a_teacher_of_whom_less_is_kept_counts_as_much_less(cases: list[AuditedQuestion], weights: np.ndarray) -> None:
    kept = (weights[[case.split == "train" for case in cases]] > 0).sum(axis=0)
    for column in np.flatnonzero(kept):
        assert set(weights[weights[:, column] > 0, column]) == {kept[column] / kept.max()}


def test_the_order_of_the_questions_changes_nothing_but_digits(
    cases: list[AuditedQuestion], measured: np.ndarray
) -> None:
    order = list(range(len(cases)))
    random.Random(1).shuffle(order)
    reordered = helpfulness(read_cases([cases[row] for row in order]))
    np.testing.assert_allclose(reordered, measured[order], atol=1e-3)


def test_the_gold_answer_of_valid_teaches_no_probe(cases: list[AuditedQuestion], measured: np.ndarray) -> None:
    """Were it otherwise, valid would no longer say which student is best."""
    wrong = [
        replace(case, question=replace(case.question, answer=(case.question.answer + 1) % 4))
        if case.split == "valid"
        else case
        for case in cases
    ]
    train = [case.split == "train" for case in cases]
    np.testing.assert_array_equal(helpfulness(read_cases(wrong))[train], measured[train])


def test_an_options_text_is_no_part_of_what_is_measured() -> None:
    options = ("paper", "wet stone", "stone")
    assert without_options("Paper, not wet stone: dry paper catches fire.", options) == ("catches", "dry", "fire")


def test_helpful_needs_options() -> None:
    (audited,) = assemble({"train": [Question("q", "2 + 2?", (), "4")]}, {}, LIMITS)
    with pytest.raises(
        ValueError, match=r"^corpus.selection: helpful, but the questions have no options; use all or best$"
    ):
        rationale_weights("helpful", [audited])


ICE = Question("q1", "What melts in the sun?", ("stone", "ice"), 1)
OAK = Question("q2", "What floats on a lake?", ("oak wood", "iron"), 0)
SAID = {
    "ann": {
        "q1": "Warmth turns cold things to water. The answer is ice.",
        "q2": "Most metal things sink at once, unlike oak.",
    },
    "bob": {"q1": "The sun melts ice in no time at all.", "q2": "On a lake floats what is lighter: oak wood."},
    "cy": {"q1": "No."},
}


def three() -> list[AuditedQuestion]:
    said = {
        teacher: finding([{"id": id_, "rationale": text, "status": "ok"} for id_, text in by_question.items()])
        for teacher, by_question in SAID.items()
    }
    return list(assemble({"train": [ICE, OAK]}, said, LIMITS))


def test_best_takes_a_stated_gold_answer_first_and_then_the_likest_text() -> None:
    assert select_most_similar(three()).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_what_is_not_selected_goes_to_the_quarantine_and_the_rest_has_its_weight() -> None:
    first = select(three()[0], [0.25, 0.0, 0.0])
    assert first.row["targets"] == {"answer": "ice", "ann": SAID["ann"]["q1"]}
    assert first.row["weights"] == {"ann": 0.25}
    assert {teacher: verdict.status for teacher, verdict in first.verdicts.items()} == {
        "ann": "ok",
        "bob": "not_selected",
        "cy": "too_short",
    }
    assert first.quarantine == [
        {"id": "q1", "split": "train", "teacher": "cy", "status": "too_short", "rationale": "No."},
        {"id": "q1", "split": "train", "teacher": "bob", "status": "not_selected", "rationale": SAID["bob"]["q1"]},
    ]


def test_a_weight_of_1_is_not_written() -> None:
    assert "weights" not in select(three()[0], [1.0, 0.0, 0.0]).row
