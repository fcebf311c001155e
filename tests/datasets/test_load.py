"""What a folder of the user's own says of rationales is kept as it is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyllm.datasets.load import QuestionSet, load_folder, without_question
from tinyllm.records.questions import Question


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"rationale": " It has fins. "}, {"rationale": "It has fins.", "status": "ok"}),
        ({"rationale": None}, {"rationale": None, "status": "missing"}),
        ({"rationale": ""}, {"rationale": None, "status": "missing"}),
        ({"rationale": None, "status": "refused"}, {"rationale": None, "status": "refused"}),
    ],
)
def test_a_recorded_rationale_keeps_its_status(tmp_path: Path, said: dict, kept: dict) -> None:
    for split in ("train", "valid", "test"):
        row = {"id": split, "question": "Which one swims?", "choices": ["a fish", "a stone"], "answer": "a fish"}
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(row), encoding="utf-8")
    (tmp_path / "rationales").mkdir()
    (tmp_path / "rationales/ann.jsonl").write_text(json.dumps({"id": "train", **said}), encoding="utf-8")
    assert load_folder(tmp_path).recorded == {"ann": [{"id": "train", **kept}]}


def test_rationales_without_a_question_are_found_by_teacher() -> None:
    splits = {name: [Question(f"{name}-1", "Which one swims?", ("a fish", "a stone"), 0)] for name in ("train", "test")}
    said = {"rationale": "Fins.", "status": "ok"}
    ann = [{"id": "train-1", **said}, {"id": "train-01", **said}, {"id": "valid-1", **said}]
    loaded = QuestionSet(splits, {"ann": ann, "bob": [{"id": "test-1", **said}]})
    assert without_question(loaded) == {"ann": ["train-01", "valid-1"]}
