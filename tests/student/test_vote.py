"""The voices' vote, their weights and their record, with numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.toys import toy_params
from tinyllm.records.questions import Question
from tinyllm.student.asked import asked_teachers, weights_of
from tinyllm.student.voices import Voice
from tinyllm.student.vote import (
    VoiceRecord,
    Vote,
    best_voice,
    longest_text,
    read_voices,
    vote,
    vote_weights,
)

TEACHERS = ("ann", "bob", "cy")
OPTIONS = Question("1", "Which?", ("red", "blue", "green"), 0)
FREE = Question("1", "How many?", (), "12")
RECORD = VoiceRecord({"ann": 0.75, "bob": 0.5, "cy": 0.0}, 8, 40)


def say(*sure: float) -> Voice:
    choice = sure.index(max(sure))
    return Voice("", OPTIONS.choices[choice], choice, list(sure))


def write(answer: str | None) -> Voice:
    return Voice("", answer, None, [])


# --- weights --------------------------------------------------------------------------------------------------------


def test_a_voice_weighs_its_accuracy_on_valid_shrunk() -> None:
    # 6, 4 and 0 of 8 right: 7, 5 and 1 of 10
    assert vote_weights(RECORD, TEACHERS) == {"ann": 0.7, "bob": 0.5, "cy": 0.1}


def test_without_a_record_all_weigh_the_same_and_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert weights_of(None, TEACHERS, Path("models/student/1")) == {"ann": 1.0, "bob": 1.0, "cy": 1.0}
    assert capsys.readouterr().err == "note: models/student/1/voices.json is not there, so all voices weigh the same\n"
    assert weights_of(None, ["cy"], Path("models/student/1")) == {"cy": 1.0}
    assert capsys.readouterr().err == "", "one voice alone has no weight to speak of"


def test_the_best_voice_is_the_first_of_those_with_the_highest_accuracy() -> None:
    assert best_voice(RECORD, TEACHERS, Path("x")) == "ann"
    assert best_voice(VoiceRecord({"ann": 0.5, "bob": 0.75, "cy": 0.75}, 4, None), TEACHERS, Path("x")) == "bob"
    assert best_voice(VoiceRecord({"cy": 0.0}, 4, None), TEACHERS, Path("x")) == "cy"
    for record in (None, VoiceRecord({}, 4, None)):
        with pytest.raises(ValueError) as error:
            best_voice(record, TEACHERS, Path("models/student/1"))
        assert str(error.value) == (
            "score.voices: is best, but models/student/1/voices.json has no accuracy on valid of any voice; run dvc repro "
            "train, or name a voice"
        )


def test_a_voice_of_which_nothing_was_learnt_has_no_vote_and_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    params = toy_params(corpus__teachers=TEACHERS, student__target="rationale_then_answer")
    record = VoiceRecord({"ann": 0.5, "cy": 0.5}, 4, None)
    assert asked_teachers(params, record, Path("models/student/1")) == ["ann", "cy"]
    told = "has no accuracy on valid of bob, of whom so nothing was learnt: no vote"
    assert capsys.readouterr().err == f"note: models/student/1/voices.json {told}\n"
    with pytest.raises(
        ValueError, match=r"^score.voices: is auto, but x/voices.json has no accuracy on valid of any voice"
    ):
        asked_teachers(params, VoiceRecord({}, 4, None), Path("x"))


@pytest.mark.parametrize(("longest", "most", "expected"), [(40, 256, 60), (41, 256, 62), (200, 256, 256), (None, 9, 9)])
def test_a_text_may_be_half_as_long_again_as_the_longest_of_valid(
    longest: int | None, most: int, expected: int
) -> None:
    assert longest_text(VoiceRecord({}, 0, longest), most) == expected
    assert longest_text(None, most) == most


# --- the vote -------------------------------------------------------------------------------------------------------


def test_three_voices_vote_on_options_by_the_weighted_mean_of_their_probabilities() -> None:
    voices = {"ann": say(0.5, 0.3, 0.2), "bob": say(0.1, 0.8, 0.1), "cy": say(0.0, 0.0, 1.0)}
    # weights 0.7, 0.5, 0.1 of 1.3: red 0.35 + 0.05 + 0, blue 0.21 + 0.4 + 0, green 0.14 + 0.05 + 0.1
    voted = vote(voices, vote_weights(RECORD, TEACHERS), OPTIONS)
    assert (voted.answer, voted.choice) == ("blue", 1)
    assert voted.probabilities == pytest.approx([0.40 / 1.3, 0.61 / 1.3, 0.29 / 1.3])


def test_equal_weights_average_and_of_equal_options_the_first_is_chosen() -> None:
    voices = {"ann": say(0.75, 0.25, 0.0), "bob": say(0.25, 0.75, 0.0)}
    assert vote(voices, {"ann": 1.0, "bob": 1.0}, OPTIONS) == Vote("red", 0, [0.5, 0.5, 0.0])


def test_one_voice_alone_is_its_own_vote() -> None:
    assert vote({"bob": say(0.25, 0.5, 0.25)}, {"bob": 0.5}, OPTIONS) == Vote("blue", 1, [0.25, 0.5, 0.25])


@pytest.mark.parametrize(
    ("answers", "weights", "expected"),
    [
        (("12", "15", "12.0"), (0.7, 0.5, 0.1), "12"),
        (("12", "15", "15"), (0.7, 0.5, 0.1), "12"),  # 0.7 against 0.6
        (("12", "15", "15"), (0.7, 0.5, 0.3), "15"),
        (("12", "$15", " 15 "), (0.1, 0.1, 0.1), "$15"),  # one answer, as the first who gives it writes it
        (("12", "15", "18"), (0.5, 0.5, 0.5), "12"),
        (("12", "15", "15"), (0.3, 0.1, 0.2), "12"),  # 0.1 + 0.2 is 0.30000000000000004, and not more
        ((None, "15", None), (0.9, 0.1, 0.9), "15"),
        ((None, None, None), (0.9, 0.1, 0.9), ""),
        (("Red", "red.", "blue"), (0.3, 0.3, 0.5), "Red"),
    ],
)
def test_three_voices_vote_on_free_text_each_with_its_weight(
    answers: tuple[str | None, ...], weights: tuple[float, ...], expected: str
) -> None:
    voices = dict(zip(TEACHERS, map(write, answers), strict=True))
    assert vote(voices, dict(zip(TEACHERS, weights, strict=True)), FREE) == Vote(expected, None, [])


# --- who is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "voices", "expected"),
    [
        ("multitask", "auto", []),
        ("multitask", "direct", []),
        ("answer_then_rationale", "auto", []),
        ("answer_then_rationale", "vote", ["ann", "cy"]),
        ("rationale_then_answer", "auto", ["ann", "cy"]),
        ("rationale_then_answer", "vote", ["ann", "cy"]),
        ("rationale_then_answer", "best", ["ann"]),
        ("rationale_then_answer", "cy", ["cy"]),
    ],
)
def test_the_voices_that_are_asked(target: str, voices: str, expected: list[str]) -> None:
    """Of three teachers, one of which has no weight in the loss."""
    params = toy_params(
        corpus__teachers=TEACHERS,
        student__target=target,
        score__voices=voices,
        loss__teacher_alpha={"bob": 0.0},
    )
    assert asked_teachers(params, RECORD, Path("x")) == expected


# --- the record -----------------------------------------------------------------------------------------------------


def test_the_record_travels_in_the_students_folder(tmp_path: Path) -> None:
    assert read_voices(tmp_path) is None
    whole: dict[str, Any] = {"accuracies": {"ann": 0.75, "bob": 1}, "questions": 8, "longest": 31}
    (tmp_path / "voices.json").write_text(json.dumps(whole), encoding="utf-8")
    assert read_voices(tmp_path) == VoiceRecord({"ann": 0.75, "bob": 1}, 8, 31)
    del whole["longest"]
    (tmp_path / "voices.json").write_text(json.dumps(whole), encoding="utf-8")
    assert read_voices(tmp_path) == VoiceRecord({"ann": 0.75, "bob": 1}, 8, None)


@pytest.mark.parametrize(
    "change",
    [
        {"accuracies": None},
        {"accuracies": [0.5]},
        {"accuracies": {"ann": 1.5}},
        {"accuracies": {"ann": True}},
        {"questions": "8"},
        {"questions": -1},
        {"longest": 0},
        {"longest": True},
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    row = {"accuracies": {"ann": 0.75}, "questions": 8, **change}
    (tmp_path / "voices.json").write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read_voices(tmp_path)
    assert str(error.value) == (
        f"{tmp_path / 'voices.json'}: damaged; it must hold accuracies (shares by teacher), questions and, where known, "
        "longest (whole numbers); run dvc repro train"
    )
