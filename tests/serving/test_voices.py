"""A causal student that has learnt to reason, served: its vote, each voice, and where its texts end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reasoning import CHOSEN, WRITTEN, reasoning_params, reasoning_student
from tests.served import asked_student, post, serving
from tinyllm.records.questions import Question, input_text
from tinyllm.student.asked import predict_as_asked

RECORD = {"accuracies": {"ann": 1.0, "bob": 0.0}, "questions": 2}  # they weigh 3/4 and 1/4
PARAMS = reasoning_params()
BLUE = next(i for i, question in enumerate(WRITTEN) if question.gold == "blue")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("student")
    (made / "voices.json").write_text(json.dumps(RECORD), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="module", params=[False, True], ids=["options", "free"])
def url(request: pytest.FixtureRequest, folder: Path, words: Path) -> Iterator[str]:
    student = reasoning_student(request.param, words)
    with serving(asked_student(student, folder, PARAMS), shown={"free": request.param}) as address:
        yield address


def said(url: str, question: Question, model: str = "student", **more: Any) -> dict[str, Any]:
    sent = {"model": model, "prompt": input_text(question), "id": question.id, **more}
    status, reply = post(f"{url}/v1/completions", sent)
    assert status == 200, reply
    return reply["choices"][0]


@pytest.mark.parametrize("url", [False], indirect=True)
def test_the_vote_of_options_is_that_of_scoring(url: str, folder: Path, words: Path) -> None:
    student = reasoning_student(False, words)
    rows = predict_as_asked(student, folder, CHOSEN, PARAMS)
    for question, row in zip(CHOSEN, rows, strict=True):
        told = said(url, question)["student"]
        assert told["choice"] == row["choice"] and told["answer"] == question.choices[row["choice"]]
        assert {voice: one["rationale"] for voice, one in told["voices"].items()} == {
            voice: one["rationale"] for voice, one in row["voices"].items()
        }
        assert [one["weight"] for one in told["voices"].values()] == [0.75, 0.25]
    assert said(url, CHOSEN[BLUE], "student:ann")["text"] == "The animal is blue. The answer is blue"
    assert said(url, CHOSEN[BLUE], "student:bob")["text"] == "It is red. The answer is red"


@pytest.mark.parametrize("url", [True], indirect=True)
def test_free_text_is_voted_on(url: str) -> None:
    told = said(url, WRITTEN[BLUE])
    assert told["text"] == "blue" and told["student"]["voices"]["bob"]["answer"] == "red"


@pytest.mark.parametrize("url", [True], indirect=True)
def test_a_text_ends_where_it_is_told_to_or_at_its_limit(url: str) -> None:
    def ann(**more: Any) -> tuple[str, str]:
        choice = said(url, WRITTEN[BLUE], "student:ann", **more)
        return choice["text"], choice["finish_reason"]

    whole = "The animal is blue. The answer is blue"
    assert ann() == ann(stop=["\nQuestion:"], max_tokens=50) == (whole, "stop")
    assert ann(stop=" answer") == ("The animal is blue. The", "stop")
    text, finish = ann(max_tokens=3)
    assert finish == "length" and text and whole.startswith(text) and len(text) < len(whole)
