"""Which questions one run has right and another has not: how many of a seed's, and each one whose majority answer flipped."""

from __future__ import annotations

from collections import Counter
from typing import Literal, TypedDict

import numpy as np

from tinyllm.evaluation.paired_tests import majority_answers
from tinyllm.experiments.runs import Run


class SeedFlips(TypedDict):
    """How many questions go from right in the control to wrong in the other, and back: the mean of one seed's counts."""

    right_to_wrong: float
    wrong_to_right: float
    pairs: int  # of a control's and an other's student that the mean is over


class Flip(TypedDict):
    """A question that the majority of one run's seeds has right, and that of the other has not."""

    direction: Literal["right_to_wrong", "wrong_to_right"]
    id: str
    question: str
    gold: str
    control: str  # its majority answer, in full
    other: str


def seed_flips(control: Run, other: Run) -> SeedFlips:
    """Return the mean counts of students that are a pair: of the same seed where both runs have the same, else any two."""
    if control.seeds == other.seeds:
        lost, won = control.right & ~other.right, other.right & ~control.right  # (seeds, questions)
    else:
        lost, won = (
            np.array([a & ~b for a in control.right for b in other.right]),
            np.array([b & ~a for a in control.right for b in other.right]),
        )
    return {
        "right_to_wrong": float(lost.sum(axis=1).mean()),
        "wrong_to_right": float(won.sum(axis=1).mean()),
        "pairs": len(lost),
    }


def list_flips(control: Run, other: Run) -> list[Flip]:
    """Return the questions that McNemar's test counts, those that were right in the control first, in the order of ids."""
    first, second = (majority_answers(run.choices, run.scores) for run in (control, other))
    lost: list[Flip] = []
    won: list[Flip] = []
    for index, (question, gold) in enumerate(zip(control.questions, control.gold, strict=True)):
        was, now = bool(first[index] == gold), bool(second[index] == gold)
        if was != now:
            (lost if was else won).append(
                {
                    "direction": "right_to_wrong" if was else "wrong_to_right",
                    "id": question.id,
                    "question": question.question,
                    "gold": question.gold,
                    "control": _in_words(control, index, int(first[index])),
                    "other": _in_words(other, index, int(second[index])),
                }
            )
    return [*lost, *won]


def _in_words(run: Run, index: int, choice: int) -> str:
    """A majority answer as text; of free text what most seeds wrote of those that are on the majority's side."""
    question = run.questions[index]
    if not question.free:
        return question.choices[choice]
    written = [text for text, side in zip(run.texts[index], run.choices[:, index], strict=True) if side == choice]
    return Counter(written).most_common(1)[0][0]
