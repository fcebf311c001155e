"""A teacher's exam: of generated answers its accuracy is the share that was generated right, exactly."""

from __future__ import annotations

import random

import pytest

from tests.parsing.test_forms import LEADS, OPTIONS, STOPS, WRAPS
from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput
from tinyllm.teachers.exam import grade

CHOICES = ("helium", "carbon dioxide", "neon", "argon")


@pytest.mark.parametrize("right", [0, 63, 140, 200])
def test_of_200_answers_in_every_form_the_accuracy_is_the_generated_one(right: int) -> None:
    draw = random.Random(right)
    questions = [Question(str(row), "Which gas is meant?", CHOICES, draw.randrange(4)) for row in range(200)]
    outputs = []
    for row, question in enumerate(questions):
        assert isinstance(question.answer, int)
        index = question.answer if row < right else (question.answer + draw.randrange(1, 4)) % 4
        letter = draw.choice(("abcd", "ABCD"))[index]
        shown = draw.choice(OPTIONS).format(letter, text=CHOICES[index])
        outputs.append(TeacherOutput(draw.choice(WRAPS).format(draw.choice(LEADS).format(shown) + draw.choice(STOPS))))
    rows = grade(questions, outputs)
    assert sum(row["choice"] == row["gold"] for row in rows) == right
    assert [row["id"] for row in rows if row["status"] != "ok"] == []


def test_of_200_numbers_in_every_form_the_accuracy_is_the_generated_one() -> None:
    draw = random.Random(7)
    questions = [Question(str(row), "How many are there?", (), str(draw.randrange(2000))) for row in range(200)]
    outputs = []
    for row, question in enumerate(questions):
        number = int(question.gold) + (0 if row % 3 else draw.randrange(1, 50))
        spelt = draw.choice(
            [f"{number}", f"{number:,}", f"{number}.0", f"{number} pens", f"**{number}**", rf"\boxed{{{number}}}"]
        )
        outputs.append(
            TeacherOutput(
                draw.choice(["The answer is {}.", "So there are {}", "#### {}", "Answer: {}", "{}"]).format(spelt)
            )
        )
    rows = grade(questions, outputs)
    assert sum(row["choice"] == row["gold"] for row in rows) == sum(1 for row in range(200) if row % 3)
