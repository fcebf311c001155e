"""Work under way on a terminal and in a log."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tinyllm import console as bars
from tinyllm.console import progress


def test_in_a_log_there_are_plain_lines_and_no_control_characters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "EVERY", -1.0)
    with progress("score", "questions", 5) as done:
        done(2)
        done(3)
    with progress("assemble", "rows") as done:
        done(7)
    lines = "score: 2 of 5 questions\nscore: 5 of 5 questions\nassemble: 7 rows\n"
    assert capsys.readouterr().err == lines


def test_a_plain_line_says_what_else_there_is_and_the_seconds_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "EVERY", -1.0)
    with progress("ann", "asked", 40) as done:
        done(1, "1 failed")
        done(2, "3 failed", 12.3)
    assert capsys.readouterr().err == "ann: 1 of 40 asked (1 failed)\nann: 3 of 40 asked (3 failed), about 12 s left\n"


def test_quick_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("score", "questions", 5) as done:
        done(5)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar_which_is_gone_in_the_end() -> None:
    code = (
        "import time\nfrom tinyllm.console import progress\n"
        "with progress('score', 'questions', 4) as done:\n"
        "    for _ in range(4):\n        time.sleep(0.15)\n        done(1, 'as planned')\n"
    )
    terminal, inside = pty.openpty()
    termios.tcsetwinsize(inside, (24, 80))
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", code], stderr=inside, cwd=root)
    os.close(inside)
    shown = b""
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:  # the terminal's other end is closed
        pass
    os.close(terminal)
    assert process.wait() == 0
    text = shown.decode()
    assert "score:" in text and "/4" in text and "as planned" in text and text.rstrip(" ").endswith("\r")
