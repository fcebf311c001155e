"""The page's first sentence, written out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runs import SCORE, toy_results
from tinyllm.records.surroundings import Control
from tinyllm.report.contents import gather
from tinyllm.report.verdict import verdict

COMMAND = "dvc exp run --temp -n answers -S loss.alpha=0.0"
NONE: Control = {
    "state": "none",
    "command": COMMAND,
    "name": "",
    "value": 0.0,
    "low": 0.0,
    "high": 0.0,
    "why": "",
}


@pytest.mark.parametrize(
    ("score", "said"),
    [
        ({"accuracy_low": 0.2}, "not shown to be better than guessing (75.0%)"),
        ({"accuracy_low": 0.75}, "not shown to be better than guessing (75.0%)"),
        ({"accuracy_low": 0.76}, "better than guessing (75.0%)"),
        ({"accuracy_low": 0.76, "majority": 0.3}, "better than guessing (50.0%)"),
        ({"accuracy_low": 0.2, "majority": 0.1, "chance": 0.0}, "better than guessing (10.0%)"),
    ],
)
def test_the_students_are_held_against_the_better_guess(score: dict[str, float], said: str) -> None:
    report = gather(toy_results(), "toy", {})
    assert verdict(report | {"score": SCORE | score}, NONE)["guessing"] == said  # type: ignore[typeddict-item]


FOUND = {"name": "answers", "value": 0.353, "low": 0.332, "high": 0.374}


@pytest.mark.parametrize(
    ("control", "said", "command"),
    [
        (None, "no control yet", COMMAND),
        ({}, "no control yet", COMMAND),
        (
            {"state": "better", **FOUND},
            "better than the control (answers), which learnt from answers alone, by 35.3 points (+33.2 to +37.4)",
            "",
        ),
        (
            {"state": "worse", "name": "a", "value": -0.1, "low": -0.15, "high": -0.05},
            "worse than the control (a), which learnt from answers alone, by 10.0 points (-15.0 to -5.0)",
            "",
        ),
        (
            {"state": "open", "name": "a", "value": -0.023, "low": -0.108, "high": 0.061},
            "not shown to be better or worse than the control (a), which learnt from answers alone: "
            "-2.3 points (-10.8 to +6.1)",
            "",
        ),
        ({"state": "itself"}, "itself a control: it learnt from answers alone", ""),
        (
            {"state": "unread", "why": "a: not in DVC's cache"},
            "no control that can be read (a: not in DVC's cache)",
            COMMAND,
        ),
    ],
)
def test_the_control_is_named_or_how_to_get_one(control: dict[str, Any] | None, said: str, command: str) -> None:
    report = gather(toy_results(), "toy", {})
    found = verdict(report, None if control is None else NONE | control)  # type: ignore[typeddict-item]
    assert (found["control"], found["command"]) == (said, command)
