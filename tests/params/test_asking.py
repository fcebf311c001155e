"""How a student is asked, by its params; and what of that contradicts, each in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.params.test_load import TEXT, block, mistakes, put
from tests.toys import toy_params
from tinyllm.params.asking import how_asked, learnt_voices
from tinyllm.params.load import load_params

REASONING = {"student.target": "target: rationale_then_answer"}
ANSWER_FIRST = {"student.target": "target: answer_then_rationale"}
OWN = (Path(__file__).resolve().parents[2] / "params.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "where", "expected"),
    [
        (
            {"score.voices": "voices: vote"},
            "score.voices",
            "is vote, but student.target is multitask, whose answer is asked for by itself; set it to auto, or "
            "student.target to rationale_then_answer",
        ),
        (
            {"score.voices": "voices: signs"},
            "score.voices",
            "is signs, but student.target is multitask, whose answer is asked for by itself; set it to auto, or "
            "student.target to rationale_then_answer",
        ),
        (
            {**REASONING, "score.voices": "voices: direct"},
            "score.voices",
            "is direct, but student.target is rationale_then_answer, which has no answer by itself; set it to auto",
        ),
        (
            {**REASONING, "score.voices": "voices: sings"},
            "score.voices",
            "is sings; allowed is auto, direct, vote, best, or a teacher of corpus.teachers (signs); did you mean signs?",
        ),
        (
            {**REASONING, "score.voices": "voices: steps"},
            "score.voices",
            "is steps; allowed is auto, direct, vote, best, or a teacher of corpus.teachers (signs)",
        ),
        (
            {**ANSWER_FIRST, "corpus.teachers": "teachers: []", "score.voices": "voices: best"},
            "score.voices",
            "is best, but corpus.teachers has no teacher with a weight above 0; set it to auto",
        ),
        (
            {**ANSWER_FIRST, "loss.alpha": "alpha: 0.0", "score.voices": "voices: vote"},
            "score.voices",
            "is vote, but corpus.teachers has no teacher with a weight above 0; set it to auto",
        ),
        (
            {**ANSWER_FIRST, "loss.alpha": "alpha: 0.0", "score.voices": "voices: signs"},
            "score.voices",
            "is signs, whose weight in the loss is 0, so none was learnt from; set it to auto",
        ),
        (
            {"score.samples": "samples: 4"},
            "score.samples",
            "is 4, but the students are asked directly, and direct answers are not drawn; set it to 1, or student.target to "
            "rationale_then_answer",
        ),
        ({"score.samples": "samples: 0"}, "score.samples", "found 0; allowed is greater than or equal to 1"),
        ({"score.temperature": "temperature: 0.0"}, "score.temperature", "found 0.0; allowed is greater than 0"),
    ],
)
def test_a_contradiction_is_told_in_one_line(
    tmp_path: Path, changes: dict[str, str], where: str, expected: str
) -> None:
    text = TEXT
    for key, new in changes.items():
        text = put(text, key, new)
    assert mistakes(tmp_path, text) == [f"{block(text, where)[0] + 1}: {where}: {expected}"]


def test_a_teacher_with_the_name_of_a_way_of_asking_is_refused(tmp_path: Path) -> None:
    text = TEXT.replace("  signs:\n", "  best:\n", 1)
    for key, new in {**REASONING, "corpus.teachers": "teachers:\n  - best"}.items():
        text = put(text, key, new)
    told = "score.voices: a teacher is called best, which is a way of asking; give it another name in `teachers`"
    assert mistakes(tmp_path, text) == [f"{block(text, 'score.voices')[0] + 1}: {told}"]


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({}, "direct"),
        (REASONING, "vote"),
        (ANSWER_FIRST, "direct"),
        ({**REASONING, "score.voices": "voices: best", "score.samples": "samples: 5"}, "best"),
        ({**ANSWER_FIRST, "score.voices": "voices: signs"}, "signs"),
    ],
)
def test_auto_asks_directly_where_the_student_can_be_asked_so(
    tmp_path: Path, changes: dict[str, str], how: str
) -> None:
    text = TEXT
    for key, new in changes.items():
        text = put(text, key, new)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert how_asked(load_params(tmp_path / "params.yaml")) == how


def test_older_files_without_these_keys_ask_directly(tmp_path: Path) -> None:
    text = OWN
    for key in ("student.target", "score.voices", "score.samples", "score.temperature"):
        text = put(text, key, "")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    params = load_params(tmp_path / "params.yaml")
    assert (how_asked(params), params.score.samples, params.student.target) == ("direct", 1, "multitask")


def test_a_voice_is_learnt_where_it_has_a_weight() -> None:
    params = toy_params(corpus__teachers=("ann", "bob", "cy"), loss__alpha=0.0, loss__teacher_alpha={"bob": 0.5})
    assert learnt_voices(params) == ["bob"]
