"""Controls: whose rationales lie where, and what stays as it was."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.judging import LIMITS, finding, row
from tinyllm.corpus.assemble import AuditedQuestion, assemble
from tinyllm.corpus.control import Control, circle, control_rationales
from tinyllm.corpus.selection import keep_selected, select
from tinyllm.records.questions import Question

TRAIN = [Question(f"t{number}", f"What melts on day {number}?", ("stone", "ice"), 1) for number in range(12)]
VALID = [Question(f"v{number}", f"What sinks on day {number}?", ("stone", "ice"), 0) for number in range(3)]
ANN = [row(question.id, f"The sun of {question.id} is hot, so ice melts.") for question in TRAIN[:9] + VALID]
BOB = [
    row(question.id, f"Warmth {'warms ' * number}on day {question.id} turns ice to water.")
    for number, question in enumerate(TRAIN[4:7])
]
SAMPLES = [
    {**row(question.id, f"Ice melts, {question.id} says {sample}."), "sample": sample}
    for number, question in enumerate(TRAIN[:5])
    for sample in range(1 + number % 3)
]


def audited(**teachers: list[dict]) -> list[AuditedQuestion]:
    limits = LIMITS.model_copy(update={"min_distinct": 0.0})
    finders = {name: finding(rows) for name, rows in teachers.items()}
    return list(assemble({"train": TRAIN, "valid": VALID}, finders, limits))


def targets(questions: list[AuditedQuestion], teacher: str) -> dict[str, str]:
    return {
        question.row["id"]: question.row["targets"][teacher]
        for question in questions
        if question.split == "train" and teacher in question.row["targets"]
    }


def test_shuffled_keeps_every_teachers_set_of_rationales_and_moves_every_one() -> None:
    before = audited(ann=ANN, bob=BOB)
    after = list(control_rationales("shuffled", before))
    for teacher, count in (("ann", 9), ("bob", 3)):
        were, are = targets(before, teacher), targets(after, teacher)
        assert list(were) == list(are) and len(are) == count
        assert sorted(were.values()) == sorted(are.values())
        assert all(are[id_] != were[id_] for id_ in were)
    assert list(control_rationales("shuffled", before)) == after  # the same in every run


def test_nothing_but_the_rationales_of_train_changes() -> None:
    weighed = [select(question, (0.5, 1.0)) for question in audited(ann=ANN, bob=BOB)]
    for kind in ("shuffled", "length"):
        after = list(control_rationales(kind, weighed))  # type: ignore[arg-type]
        assert [question for question in after if question.split == "valid"] == weighed[len(TRAIN) :]
        for old, new in zip(weighed, after, strict=True):
            assert old.row | {"targets": None} == new.row | {"targets": None}
            assert new.row["targets"]["answer"] == old.row["targets"]["answer"]
            assert (new.verdicts, new.quarantine, new.samples) == (old.verdicts, old.quarantine, old.samples)
    assert weighed[0].row["weights"] == {"ann": 0.5}


def test_samples_of_a_question_move_together() -> None:
    before = audited(ann=SAMPLES)
    after = list(control_rationales("shuffled", before))

    def bundles(questions: list[AuditedQuestion]) -> dict[str, tuple[str, ...]]:
        rows = [question.row for question in questions if "ann" in question.row["targets"]]
        return {row["id"]: (row["targets"]["ann"], *row.get("alternatives", {}).get("ann", ())) for row in rows}

    were, are = bundles(before), bundles(after)
    assert Counter(were.values()) == Counter(are.values())
    assert sorted(map(len, are.values())) == [1, 1, 2, 2, 3]
    assert all(were[id_] != are[id_] for id_ in were)
    words = bundles(list(control_rationales("length", before)))
    assert {id_: [len(text.split()) for text in texts] for id_, texts in words.items()} == {
        id_: [len(text.split()) for text in texts] for id_, texts in were.items()
    }


def test_length_keeps_the_count_of_words_and_takes_none_of_the_rationales_own() -> None:
    before = audited(ann=ANN, bob=BOB)
    after = list(control_rationales("length", before))
    for teacher in ("ann", "bob"):
        were, are = targets(before, teacher), targets(after, teacher)
        assert [len(text.split()) for text in were.values()] == [len(text.split()) for text in are.values()]
        for id_, text in are.items():
            assert id_ not in text and any(other in text for other in were)  # each rationale names its question


def test_length_runs_on_into_the_rationales_that_follow() -> None:
    said = [row("t0", "Ice melts soon."), row("t1", "Warm sun turns ice to water, it melts.")]
    after = list(control_rationales("length", audited(ann=said)))
    # of two, each follows the other: three words of the longer one; the shorter one round and round
    assert targets(after, "ann") == {
        "t0": "Warm sun turns",
        "t1": "Ice melts soon. Ice melts soon. Ice melts",
    }


def test_none_is_what_was_there() -> None:
    before = audited(ann=ANN, bob=BOB)
    assert all(old is new for old, new in zip(before, control_rationales("none", before), strict=True))


@pytest.mark.parametrize("kind", ["shuffled", "length"])
def test_a_teacher_with_one_rationale_is_refused(kind: Control) -> None:
    message = f"corpus.control: {kind}, but teacher bob has only 1 kept rationale of train; at least 2 are needed"
    with pytest.raises(ValueError, match=message):
        list(control_rationales(kind, audited(ann=ANN, bob=BOB[:1])))


def test_the_selection_comes_first() -> None:
    selected = list(keep_selected("best", audited(ann=ANN, bob=BOB)))
    after = list(control_rationales("shuffled", selected))
    assert sum("not_selected" in str(question.quarantine) for question in selected) == 3
    for teacher in ("ann", "bob"):
        assert sorted(targets(after, teacher).values()) == sorted(targets(selected, teacher).values())


@pytest.mark.parametrize("size", [2, 3, 10, 1000])
def test_a_circle_goes_through_all_places(size: int) -> None:
    following, place, seen = circle(size, "control ann"), 0, []
    for _ in range(size):
        seen.append(place)
        place = following[place]
    assert place == 0 and sorted(seen) == list(range(size))


def test_circles_differ_by_teacher() -> None:
    assert circle(100, "control ann") != circle(100, "control bob")
