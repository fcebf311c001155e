"""A student learns, scores and writes options that are special tokens' names, as it does any other text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.toys import SIZES, toy_params
from tinyllm.records.questions import Question, input_text
from tinyllm.student.folder import load_student, save_student
from tinyllm.student.predict import predict
from tinyllm.training.train import train_student

OPTIONS = ("</s>", "<pad>", "<unk>", "red")
QUESTIONS = [
    Question(f"q-{i}", f"Which name has the {word} token?", OPTIONS, i % 4)
    for i, word in enumerate(("last", "empty", "strange", "warm"))
]
ROWS = [
    {"id": q.id, "context": "", "input": input_text(q), "targets": {"answer": q.gold, "ann": f"It is {q.gold} here."}}
    for q in QUESTIONS
]


@pytest.mark.parametrize(("architecture", "scale"), [("seq2seq", 1.0), ("causal", 0.1)])
def test_such_options_are_learnt_scored_and_written_and_so_by_the_saved_student(
    tmp_path: Path, architecture: str, scale: float
) -> None:
    sizes = SIZES.model_copy(update={"architecture": architecture, "width": 32, "layers": 2, "embedding_scale": scale})
    changes: dict[str, Any] = {"student__scratch": sizes.model_dump(), "train__epochs": 100, "train__eval_every": 100}
    params = toy_params(**changes, train__dropout=0.0, train__learning_rate=0.003, corpus__teachers=("ann",))
    (tmp_path / "work").mkdir()
    trained = train_student(params, 1, ROWS, QUESTIONS, tmp_path / "work")
    save_student(trained.model, tmp_path / "student", max_new_tokens=12)
    for student in (trained.model, load_student(tmp_path / "student")):
        rows = predict(student, QUESTIONS, params)
        assert [(row["choice"], row["text"], row["matched"]) for row in rows] == [
            (0, "</s>", 0),
            (1, "<pad>", 1),
            (2, "<unk>", 2),
            (3, "red", 3),
        ]
