"""What is seen of a query where there is no terminal: plain lines, which guess a time left only from what tells it."""

from __future__ import annotations

import re
import time

import pytest

from tinyllm.teachers.budget import Budget
from tinyllm.teachers.progress import Progress
from tinyllm.teachers.protocol import Failure, Generation

ANSWER = Generation("It is so.", "stop", 30, 5)


def line(capsys: pytest.CaptureFixture[str], seconds: float, answered: int, failed: int = 0) -> str:
    """What is said of so many outcomes of 40 after so many seconds, as the last comes in."""
    with Progress("ann", 40, 2, Budget(None, None)) as progress:
        for outcome in [Failure("refused", "no")] * failed + [ANSWER] * answered:
            progress.started, progress.said = time.monotonic() - seconds, 0.0
            capsys.readouterr()
            progress.add(outcome)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said.rstrip("\n")


@pytest.mark.parametrize(
    ("seconds", "answered", "failed"), [(60.0, 1, 0), (60.0, 2, 0), (4.0, 20, 0), (60.0, 2, 30), (60.0, 0, 5)]
)
def test_too_few_answers_or_seconds_tell_nothing_of_the_time_left(
    capsys: pytest.CaptureFixture[str], seconds: float, answered: int, failed: int
) -> None:
    said = line(capsys, seconds, answered, failed)
    counts = rf"\({answered} answered, 2 cached, {failed} failed, \d+ tokens/s\)"
    assert re.fullmatch(rf"ann: {answered + failed} of 40 asked {counts}", said), said


@pytest.mark.parametrize(
    ("seconds", "answered", "failed", "left"), [(60.0, 3, 0, 740), (10.0, 10, 0, 30), (60.0, 10, 10, 60)]
)
def test_three_answers_in_five_seconds_or_more_tell_the_time_left(
    capsys: pytest.CaptureFixture[str], seconds: float, answered: int, failed: int, left: int
) -> None:
    assert line(capsys, seconds, answered, failed).endswith(f" tokens/s), about {left} s left")
