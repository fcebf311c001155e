"""What a student that has learnt to reason answers, by each way of asking; and that everything reads its predictions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.reasoning import CHOSEN, TEACHERS, WRITTEN, answer, rationale, reasoning_params, reasoning_student
from tests.toys import toy_params
from tinyllm.evaluation.calibration import calibrate
from tinyllm.evaluation.metrics import summarise_predictions
from tinyllm.experiments.runs import parse_run
from tinyllm.models.loaded import LoadedModel
from tinyllm.records.jsonl import read_jsonl, write_jsonl
from tinyllm.records.predictions import parse_predictions, probabilities, voice_is_right
from tinyllm.student.asked import passes_as_asked, predict_as_asked
from tinyllm.student.predict import predict
from tinyllm.student.voices import ask_voices, voice_accuracies

RECORD = {"accuracies": {"ann": 1.0, "bob": 0.0}, "questions": 2}  # 2 and 0 of 2 right: they weigh 3/4 and 1/4


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return reasoning_student(True, tmp_path_factory.mktemp("writer"))


@pytest.fixture(scope="module")
def chooser(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return reasoning_student(False, tmp_path_factory.mktemp("chooser"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "voices.json").write_text(json.dumps(RECORD), encoding="utf-8")
    return tmp_path


# --- free text ------------------------------------------------------------------------------------------------------


def test_a_free_text_prediction_keeps_what_each_voice_wrote(writer: LoadedModel, folder: Path) -> None:
    rows = predict_as_asked(writer, folder, WRITTEN, reasoning_params())
    for question, row in zip(WRITTEN, rows, strict=True):
        told = {
            teacher: (
                rationale(teacher, question),
                answer(teacher, question),
                answer(teacher, question) == question.gold,
            )
            for teacher in TEACHERS
        }
        said = {name: (voice["rationale"], voice["answer"], voice["matched"]) for name, voice in row["voices"].items()}
        assert said == told
        assert {**row, "voices": None} == {
            "id": question.id,
            "gold": question.gold,
            "choice": None,
            "scores": [],
            "text": question.gold,  # ann outweighs bob, 3 to 1
            "matched": True,
            "voices": None,
        }
    swapped = {"accuracies": {"ann": 0.0, "bob": 1.0}, "questions": 2}
    (folder / "voices.json").write_text(json.dumps(swapped), encoding="utf-8")
    assert {row["text"] for row in predict_as_asked(writer, folder, WRITTEN, reasoning_params())} == {"red"}


@pytest.mark.parametrize(("voices", "teachers", "accuracy"), [("bob", ["bob"], 1 / 3), ("best", ["ann"], 1.0)])
def test_one_voice_alone_is_asked(
    writer: LoadedModel, folder: Path, voices: str, teachers: list[str], accuracy: float
) -> None:
    rows = predict_as_asked(writer, folder, WRITTEN, reasoning_params(score__voices=voices))
    assert all(list(row["voices"]) == teachers for row in rows)
    assert sum(row["matched"] for row in rows) / len(rows) == pytest.approx(accuracy)


def test_a_text_that_is_cut_off_before_its_answer_has_no_vote(writer: LoadedModel, folder: Path) -> None:
    (folder / "voices.json").write_text(json.dumps({**RECORD, "longest": 2}), encoding="utf-8")
    rows = predict_as_asked(writer, folder, WRITTEN[:2], reasoning_params())
    assert all(voice["tokens"] == 3 and voice["answer"] is None for row in rows for voice in row["voices"].values())
    assert [(row["text"], row["matched"]) for row in rows] == [("", False)] * 2


def test_without_a_record_the_voices_weigh_the_same(
    writer: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = predict_as_asked(writer, tmp_path, WRITTEN, reasoning_params())
    assert [row["text"] for row in rows] == [question.gold for question in WRITTEN], "of equal ones the first, ann's"
    assert "so all voices weigh the same" in capsys.readouterr().err


# --- options --------------------------------------------------------------------------------------------------------


def test_a_prediction_of_options_has_the_votes_logarithms(chooser: LoadedModel, folder: Path) -> None:
    rows = predict_as_asked(chooser, folder, CHOSEN, reasoning_params())
    voices = ask_voices(chooser, CHOSEN, TEACHERS, reasoning_params())
    accuracies = voice_accuracies(voices, CHOSEN, chooser.plain_text)
    assert accuracies["ann"] > 0.9 and accuracies["bob"] == pytest.approx(1 / 3)
    for question, row, said in zip(CHOSEN, rows, voices, strict=True):
        mean = [0.75 * a + 0.25 * b for a, b in zip(said["ann"].probabilities, said["bob"].probabilities, strict=True)]
        assert row["scores"] == pytest.approx([math.log(share) for share in mean], abs=1e-3)
        assert probabilities(row["scores"]) == pytest.approx(mean, abs=1e-4)
        assert (row["choice"], row["gold"]) == (mean.index(max(mean)), question.answer)
        assert (row["text"], row["matched"]) == (None, None)
        assert [voice["weight"] for voice in row["voices"].values()] == [0.75, 0.25]
        for name, voice in row["voices"].items():
            assert probabilities(voice["scores"]) == pytest.approx(said[name].probabilities, abs=1e-3)
        assert {name: voice["choice"] for name, voice in row["voices"].items()} == {
            name: voice.choice for name, voice in said.items()
        }


def test_whoever_reads_predictions_reads_those_of_voices(chooser: LoadedModel, folder: Path, tmp_path: Path) -> None:
    rows = [{"seed": 1, **row} for row in predict_as_asked(chooser, folder, CHOSEN, reasoning_params())]
    write_jsonl(tmp_path / "predictions.jsonl", rows)
    read = parse_predictions(list(read_jsonl(tmp_path / "predictions.jsonl")), CHOSEN, "predictions.jsonl")
    assert read == {1: rows}
    assert parse_run("voices", CHOSEN, rows).right.sum() == sum(row["choice"] == row["gold"] for row in rows) > 8
    assert 0 <= calibrate(rows)["error"] < 0.5
    told = summarise_predictions(CHOSEN, [rows])
    right = {name: sum(voice_is_right(row, name) for row in rows) / 12 for name in TEACHERS}
    assert told["voices"] == {name: round(share, 4) for name, share in right.items()} and right["bob"] == 4 / 12
    assert told["generated_tokens"] == round(sum(row["voices"][t]["tokens"] for row in rows for t in TEACHERS) / 12, 1)
    assert "exact_match" not in told


def test_samples_come_again_as_they_were_and_cost_what_they_write(chooser: LoadedModel, folder: Path) -> None:
    params = reasoning_params(score__samples=3, score__temperature=1.5)
    first, again = (predict_as_asked(chooser, folder, CHOSEN, params) for _ in range(2))
    assert first == again
    greedy = predict_as_asked(chooser, folder, CHOSEN, reasoning_params())
    assert first != greedy
    tokens = [sum(row["voices"]["ann"]["tokens"] for row in rows) for rows in (first, greedy)]
    assert tokens[0] > 2 * tokens[1]


def test_progress_tells_of_every_pass(chooser: LoadedModel, folder: Path) -> None:
    for changes in ({}, {"score__samples": 2}, {"score__voices": "bob"}, {"score__voices": "best"}):
        params, done = reasoning_params(**changes), list[int]()
        predict_as_asked(chooser, folder, CHOSEN, params, done.append)
        assert sum(done) == len(CHOSEN) * passes_as_asked(CHOSEN, params)
    assert passes_as_asked(CHOSEN, reasoning_params(score__samples=2)) == 4


@pytest.mark.parametrize("target", ["multitask", "answer_then_rationale"])
def test_a_direct_answer_is_what_it_always_was(chooser: LoadedModel, folder: Path, target: str) -> None:
    params = reasoning_params(student__target=target)
    rows = predict_as_asked(chooser, folder, CHOSEN, params)
    assert rows == predict(chooser, CHOSEN, params)
    assert list(rows[0]) == ["id", "gold", "choice", "scores", "text", "matched"]
    assert summarise_predictions(CHOSEN, [rows]).keys().isdisjoint({"voices", "generated_tokens"})
    assert passes_as_asked(CHOSEN, params) == 2 and passes_as_asked(WRITTEN, toy_params()) == 1


# --- faulty files ---------------------------------------------------------------------------------------------------


SAID = {"rationale": "So.", "weight": 1, "tokens": 3, "choice": 1, "scores": [-1.0, 0.0, -1.0]}


@pytest.mark.parametrize(
    ("voices", "told"),
    [
        ([], "voices is []; allowed is what each said, by teacher"),
        ({}, "voices is {}; allowed is what each said, by teacher"),
        ({"ann": "red"}, "the voice ann has no rationale"),
        ({"ann": {"rationale": "So.", "weight": 1}}, "the voice ann has no tokens"),
        ({"ann": {**SAID, "rationale": None}}, "rationale of the voice ann is None"),
        ({"ann": {**SAID, "weight": "1"}}, "weight of the voice ann is '1'"),
        ({"ann": {**SAID, "choice": True}}, "choice of the voice ann is True"),
        ({"ann": {**SAID, "choice": 3}}, "the voice ann: choice 3, but 3 options (0-2)"),
        ({"ann": {**SAID, "scores": [0.0]}}, "the voice ann: scores [0.0]; allowed are 3 numbers"),
    ],
)
def test_a_faulty_voice_is_told(voices: Any, told: str) -> None:
    row = {"seed": 1, "id": CHOSEN[0].id, "gold": 0, "choice": 0, "scores": [0.0, -1.0, -2.0], "voices": voices}
    with pytest.raises(ValueError) as error:
        parse_predictions([row], CHOSEN[:1], "predictions.jsonl")
    assert str(error.value) == f"predictions.jsonl:1: {told}; run `dvc repro`"


def test_a_voice_without_an_answer_is_no_fault() -> None:
    said = {"rationale": "So.", "weight": 0.5, "tokens": 3, "answer": None, "matched": False}
    row = {"seed": 1, "id": WRITTEN[0].id, "gold": "red", "choice": None, "scores": [], "text": "", "matched": False}
    rows = [row | {"voices": {"ann": said}}]
    assert parse_predictions(rows, WRITTEN[:1], "predictions.jsonl") == {1: rows}
    del said["answer"]
    with pytest.raises(ValueError, match=r"predictions\.jsonl:1: the voice ann has no answer; run `dvc repro`"):
        parse_predictions(rows, WRITTEN[:1], "predictions.jsonl")
