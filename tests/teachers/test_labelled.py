"""The gold of questions behind data.labelled is shown to no teacher, neither as the question's own nor in an example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.asked import rows, set_up
from tests.endpoint import Endpoint, running
from tests.teachers.test_live import PLAIN, QUESTIONS, TRAIN, Memory
from tinyllm.casebook.rule_teachers import Expert
from tinyllm.casebook.world import World, make_splits
from tinyllm.params.load import load_params
from tinyllm.params.schema import Params
from tinyllm.records.questions import Question, parse_questions
from tinyllm.records.rationales import TeacherOutput
from tinyllm.teachers.estimate import estimate
from tinyllm.teachers.labelled import gold_shown, unlabelled_ids
from tinyllm.teachers.live import CachedTeacher
from tinyllm.teachers.open import open_live, open_teacher, rationale_rows

GIVEN_AWAY = "Answer:\n"  # what stands before the gold answer in a forced prompt


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with running() as endpoint:
        yield endpoint


def prompts(tmp_path: Path, train: list[Question], labelled: int | None, **prompting: Any) -> list[str]:
    """Every prompt that a live teacher is sent for the questions of train and for two others."""
    backend, settings = Memory(), PLAIN.model_copy(update=prompting)
    cache = tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite"
    blind = unlabelled_ids(train, labelled)
    live = CachedTeacher("memory", backend, cache, settings, train, None, None, unlabelled=blind)
    live.complete([*train, *QUESTIONS[:2]])
    live.examine(QUESTIONS[2:])
    return backend.asked


TEN = [
    *TRAIN,
    *(replace(question, id=f"t-{question.id}", question=f"Say: {question.question}") for question in QUESTIONS[:3]),
]


@pytest.mark.parametrize(
    "prompting",
    [{}, {"examples": 2}, {"examples": 2, "selection": "similar"}, {"examples": 1, "example_rationales": "bootstrap"}],
    ids=["plain", "examples", "similar", "bootstrap"],
)
def test_another_gold_answer_of_an_unlabelled_question_changes_no_prompt(tmp_path: Path, prompting: dict) -> None:
    other = [
        replace(question, answer=1 - int(question.answer)) if n >= 3 else question for n, question in enumerate(TEN)
    ]
    asked = prompts(tmp_path, TEN, 3, **prompting)
    assert prompts(tmp_path, other, 3, **prompting) == asked
    assert prompts(tmp_path, other, None, **prompting) != prompts(tmp_path, TEN, None, **prompting)  # it would show
    unlabelled = [text for text in asked if text.split("\n\n")[-1].startswith("Question:\nSay: ")]
    assert len(unlabelled) == 3 and all(text.startswith("Choose one of the options.") for text in unlabelled)
    for text in asked:  # an example is one of the first three
        assert not any(block.startswith("Question:\nSay: ") for block in text.split("\n\n")[:-1])


def test_an_estimate_counts_the_prompts_that_are_asked(tmp_path: Path) -> None:
    backend, blind = Memory(), unlabelled_ids(TEN, 3)
    settings = PLAIN.model_copy(update={"examples": 2})
    live = CachedTeacher("memory", backend, tmp_path / "a.sqlite", settings, TEN, None, None, unlabelled=blind)
    assert estimate(live, TEN, forced=True).calls == 6
    live.complete(TEN)
    assert estimate(live, TEN, forced=True).calls == 0


def test_a_labelled_question_is_asked_as_ever(tmp_path: Path) -> None:
    asked, whole = (prompts(tmp_path, TEN, labelled) for labelled in (3, None))
    assert asked[:3] == whole[:3] and all(GIVEN_AWAY in text for text in asked[:3])
    assert asked[6:] == whole[6:]  # valid, which keeps its gold, and the exam


def params_of(folder: Path, url: str, **changes: Any) -> Params:
    set_up(folder, url, 8, 2, 2, prompt__examples=1, **changes)
    return load_params(folder / "params.yaml")


def test_a_server_is_never_sent_what_it_must_not_see(
    tmp_path: Path, server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    params = params_of(tmp_path, server.url, data__labelled=4)
    train = parse_questions(rows("train", 8), "train")
    live = open_live("endpoint", params, train)
    outputs = open_teacher("endpoint", params, train).complete(train)
    assert {output.status for output in outputs} == {"ok"}
    texts = [fit.prompt.text for fit in live.build_prompts(train, True, live.generate) if fit.prompt]
    for number, text in enumerate(texts):
        example, question = text.split("\n\n")[-2:]
        assert (GIVEN_AWAY in question) == (number < 4)
        assert any(train[place].question in example for place in range(4))
    sent = [output.extra["prompt_sha256"] for output in outputs if output.extra]
    again = open_teacher("endpoint", params, train).complete(train)
    assert [output.extra["prompt_sha256"] for output in again if output.extra] == sent
    shown = gold_shown("endpoint", params, train, train)
    assert shown == [True] * 4 + [False] * 4


@pytest.mark.parametrize(
    ("teacher", "changes", "expected"),
    [
        ("endpoint", {"data__labelled": 2}, [True, True, False, False, True]),
        ("endpoint", {"data__labelled": 2, "prompt__teacher_forcing": False}, [False] * 5),
        ("signs", {"data__labelled": 2}, [True, True, False, False, True]),
        ("palm_540b", {"data__labelled": 2}, [False] * 5),
        ("gpt4o_1", {"data__labelled": 2}, [True] * 5),
        ("steps", {"data__labelled": 2}, [None] * 5),
        ("endpoint", {}, None),
    ],
)
def test_the_rationale_file_says_who_was_shown_the_gold_answer(
    tmp_path: Path, teacher: str, changes: dict, expected: list[bool | None] | None
) -> None:
    params = params_of(tmp_path, "http://localhost:9", **changes)
    train, valid = parse_questions(rows("train", 4), "train"), parse_questions(rows("valid", 1), "valid")
    shown = gold_shown(teacher, params, train, [*train, *valid])
    assert shown == expected
    outputs = [TeacherOutput("It is so.", further=(TeacherOutput("So it is."),))] * 5
    written = rationale_rows([*train, *valid], outputs, None, shown)
    assert [row.get("forced", "left out") for row in written] == [
        value for value in (expected or ["left out"] * 5) for _ in range(2)
    ]


def test_an_expert_explains_the_labelled_and_answers_the_others_by_itself() -> None:
    train = make_splits(World(1, train=40, valid=0, test=0, clue_words=20, clues=2, fillers=8, filler_pool=500))[
        "train"
    ]
    rates = {"error_rate": 0.3, "decline_rate": 0.0, "blind_error_rate": 0.5, "seed": 1}
    forced, blind = Expert("signs", **rates), Expert("signs", **rates, forced=False)
    some = Expert("signs", **rates, unlabelled=unlabelled_ids(train, 20))
    assert some.complete(train) == [*forced.complete(train[:20]), *blind.complete(train[20:])]
    assert forced.complete(train[20:]) != blind.complete(train[20:])
