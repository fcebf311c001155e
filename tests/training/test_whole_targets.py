"""Whole trainings of each student.target: how they are looked at, what they leave out, and that they go on after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.toys import toy_params, toy_questions, toy_rows
from tinyllm.student.folder import save_student
from tinyllm.student.target_text import join
from tinyllm.student.voices import ask_voices
from tinyllm.training import validation
from tinyllm.training.train import Trained, train_student

TARGETS = ("multitask", "rationale_then_answer", "answer_then_rationale")
TRAIN, VALID = toy_questions(16, seed=1, split="train"), toy_questions(10, seed=2, split="valid")
ROWS = toy_rows(TRAIN, "ann", "bob")
BEHIND = {"student__target": "rationale_then_answer", "student__max_target_tokens": 40}


def run(folder: Path, rows: list[dict] = ROWS, valid: Any = VALID, **changes: Any) -> Trained:
    folder.mkdir(parents=True, exist_ok=True)
    return train_student(toy_params(**changes), 1, rows, valid, folder)


def same_weights(first: Trained, second: Trained) -> bool:
    left, right = first.model.plain.state_dict(), second.model.plain.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def longest(trained: Trained) -> int:
    """Tokens of the longest text in the name of a teacher, with its end."""
    texts = [
        join("rationale_then_answer", row["targets"][name], row["targets"]["answer"])
        for row in ROWS
        for name in ("ann", "bob")
        if name in row["targets"]
    ]
    return max(len(ids) for ids in trained.model.tokenizer(texts, add_special_tokens=False)["input_ids"]) + 1


# --- the look at valid ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["seq2seq", "causal"])
@pytest.mark.parametrize("shared", [False, True], ids=["apart", "shared"])
def test_a_student_that_answers_behind_rationales_is_looked_at_by_its_voices(
    tmp_path: Path, architecture: str, shared: bool
) -> None:
    sizes = toy_params().student.scratch.model_copy(update={"architecture": architecture}).model_dump()
    changes = {**BEHIND, "student__scratch": sizes, "student__shared_encoder": shared}
    trained = run(tmp_path, **changes)
    assert {row["task"] for row in trained.curve} == {"ann", "bob"}
    params = toy_params(**changes | {"student__max_target_tokens": longest(trained)})
    asked = ask_voices(trained.model, VALID, ["ann", "bob"], params)
    right = {
        name: sum(voices[name].choice == question.answer for voices, question in zip(asked, VALID, strict=True)) / 10
        for name in ("ann", "bob")
    }
    assert trained.metrics["voices"] == right
    assert trained.metrics["valid_accuracy"] == round((right["ann"] + right["bob"]) / 2, 4)


@pytest.mark.parametrize("target", ["multitask", "answer_then_rationale"])
def test_other_students_answer_by_themselves(tmp_path: Path, target: str) -> None:
    trained = run(tmp_path, student__target=target)
    assert "voices" not in trained.metrics and {row["task"] for row in trained.curve} == {"answer", "ann", "bob"}


def test_free_text_is_what_is_written_behind_the_rationale(tmp_path: Path) -> None:
    questions = [replace(question, choices=(), answer=question.gold) for question in TRAIN]
    long = {"train__epochs": 60, "train__eval_every": 60, "train__dropout": 0.0, "corpus__teachers": ("ann",)}
    trained = run(tmp_path, toy_rows(questions, "ann"), questions, **BEHIND, **long)
    asked = ask_voices(trained.model, questions, ["ann"], toy_params(**BEHIND))
    right = [voices["ann"].answer == question.gold for voices, question in zip(asked, questions, strict=True)]
    assert all(voices["ann"].ended for voices in asked)
    assert trained.metrics["longest_text"] == max(voices["ann"].tokens for voices in asked)
    assert trained.metrics["voices"] == {"ann": sum(right) / 16} and sum(right) > 8  # it has seen them all
    assert all(voices["ann"].rationale.startswith("We see that the animal is") for voices in asked)
    assert all(voices["ann"].choice is None and not voices["ann"].probabilities for voices in asked)


def test_no_voice_writes_further_than_the_longest_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    def ask(model: Any, questions: Any, teachers: Any, params: Any) -> Any:
        limits.append(params.student.max_target_tokens)
        return ask_voices(model, questions, teachers, params)

    monkeypatch.setattr(validation, "ask_voices", ask)
    trained = run(tmp_path, student__target="rationale_then_answer", train__epochs=0)
    assert limits == [longest(trained)] and limits[0] < 256
    assert trained.metrics["steps"] == 0 and set(trained.metrics["voices"]) == {"ann", "bob"}


# --- what is left out -----------------------------------------------------------------------------------------------


def test_a_question_without_a_rationale_teaches_nothing(tmp_path: Path) -> None:
    silent = [row | {"targets": {"answer": row["targets"]["answer"]}} for row in toy_rows(toy_questions(4, 3, "more"))]
    sizes = {"student__origin": "local", "student__model": str(tmp_path / "start")}
    save_student(run(tmp_path / "first", train__epochs=0).model, tmp_path / "start", 4)  # a vocabulary for both
    with_them = run(tmp_path / "a", rows=[*ROWS[:8], *silent, *ROWS[8:]], **BEHIND, **sizes)
    without = run(tmp_path / "b", **BEHIND, **sizes)
    assert with_them.metrics["questions"] == 16 and same_weights(with_them, without)
    assert with_them.curve == without.curve


def test_a_teacher_without_a_rationale_has_no_voice(tmp_path: Path) -> None:
    assert set(run(tmp_path, rows=toy_rows(TRAIN, "ann"), **BEHIND).metrics["voices"]) == {"ann"}


def test_a_corpus_without_any_rationale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:
        run(tmp_path, rows=toy_rows(TRAIN), **BEHIND)
    assert str(error.value) == (
        "student.target: rationale_then_answer, but no rationale of ann, bob is sound; "
        "see data/quarantine.jsonl for why, or set it to multitask"
    )


# --- a training that was cut off ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_training_that_was_cut_off_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    changes = {"student__target": target, "student__max_target_tokens": 40, "runtime__checkpoint_steps": 3}
    changes |= {"train__epochs": 4, "train__dropout": 0.2}
    calm = run(tmp_path / "calm", **changes)
    assert "going on" not in capsys.readouterr().out
    looks = []
    for judge in (validation.Validator, validation.VoicesValidator):
        look = judge.__call__

        def cut_off(self: Any, model: Any, look: Any = look) -> Any:
            looks.append(look(self, model))
            if len(looks) == 3:
                raise KeyboardInterrupt
            return looks[-1]

        monkeypatch.setattr(judge, "__call__", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "disturbed", **changes)
    monkeypatch.undo()
    disturbed = run(tmp_path / "disturbed", **changes)
    assert "going on after step 9," in capsys.readouterr().out  # of 16, and the look after the 8th is kept
    assert same_weights(calm, disturbed)
    assert (calm.metrics, calm.curve) == (disturbed.metrics, disturbed.curve)
