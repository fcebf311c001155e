"""What is seen of a query where there is no terminal: plain lines, which guess a time left only from what tells it."""

from __future__ import annotations

import contextlib
import io
import re
import time

import pytest

from tinyllm import console
from tinyllm.params.teacher_entries import Price
from tinyllm.teachers.budget import Budget
from tinyllm.teachers.progress import query_progress
from tinyllm.teachers.protocol import Failure, Generation

ANSWER = Generation("It is so.", "stop", 30, 5)


def last_line(outcomes: list[Generation | Failure], seconds: float, budget: Budget) -> str:
    """What is said as the last of 40 outcomes that have come after so many seconds comes in."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setattr(console, "EVERY", -1.0)
        patch.setattr(time, "monotonic", lambda: 1000.0)
        with query_progress("ann", 40, 2, budget) as add:
            patch.setattr(time, "monotonic", lambda: 1000.0 + seconds)
            for outcome in outcomes:
                add(outcome)
    lines = said.getvalue().splitlines()
    assert len(lines) == len(outcomes)
    return lines[-1]


def line(seconds: float, answered: int, failed: int = 0) -> str:
    return last_line([Failure("refused", "no")] * failed + [ANSWER] * answered, seconds, Budget(None, None))


@pytest.mark.parametrize(
    ("seconds", "answered", "failed"), [(60.0, 1, 0), (60.0, 2, 0), (4.0, 20, 0), (60.0, 2, 30), (60.0, 0, 5)]
)
def test_too_few_answers_or_seconds_tell_nothing_of_the_time_left(seconds: float, answered: int, failed: int) -> None:
    said = line(seconds, answered, failed)
    counts = rf"\({answered} answered, 2 cached, {failed} failed, \d+ tokens/s\)"
    assert re.fullmatch(rf"ann: {answered + failed} of 40 asked {counts}", said), said


@pytest.mark.parametrize(
    ("seconds", "answered", "failed", "left"), [(60.0, 3, 0, 740), (10.0, 10, 0, 30), (60.0, 10, 10, 60)]
)
def test_three_answers_in_five_seconds_or_more_tell_the_time_left(
    seconds: float, answered: int, failed: int, left: int
) -> None:
    assert line(seconds, answered, failed).endswith(f" tokens/s), about {left} s left")


def test_the_speed_and_the_cost_are_told() -> None:
    budget = Budget(Price(prompt=1e6, completion=2e6), None)
    budget.spent = 20 * budget.cost(30, 5)
    said = last_line([ANSWER] * 20, 10.0, budget)
    assert said == "ann: 20 of 40 asked (20 answered, 2 cached, 0 failed, 10 tokens/s, cost 800), about 10 s left"
