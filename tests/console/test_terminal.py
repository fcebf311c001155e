"""What a terminal would obey does not get there, whoever prints it."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile_texts import TERMINAL, obeyed
from tinyllm import console
from tinyllm.console import Guarded, as_json, columns, guard_terminal, in_short, one_line, printable, progress

ROOT = Path(__file__).resolve().parents[2]
RUN = "import sys; from tinyllm.cli.main import main; main(sys.argv[1:])"

Say = Callable[[str], object]


def log(text: str) -> None:
    logger = logging.Logger("a.library")  # not below the root, where pytest would record it
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    logger.error("cannot load %s", text)
    logger.removeHandler(handler)


def warn(text: str) -> None:
    sys.stderr.write(warnings.formatwarning(text, UserWarning, "library.py", 1, text))  # as `warnings.warn` does


def count(text: str) -> None:
    with progress(text, text, 2) as done:
        done(1, text)
        done(1, text)


SINKS: dict[str, Say] = {
    "print": print,
    "stderr": lambda text: print(text, file=sys.stderr),
    "in pieces": lambda text: sys.stdout.writelines([text[:1], text[1:], "\n"]),
    "a log line": log,
    "a warning": warn,
    "progress": count,
    "a traceback": lambda text: sys.excepthook(RuntimeError, RuntimeError(text), None),
}


@pytest.mark.parametrize("text", TERMINAL.values(), ids=TERMINAL)
def test_no_sink_lets_it_through(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "EVERY", -1.0)
    for name in ("stdout", "stderr"):  # put back at the end
        monkeypatch.setattr(sys, name, getattr(sys, name))
    guard_terminal()
    for name, say in SINKS.items():
        say(f"before {text} behind")
        out, err = capsys.readouterr()
        assert out + err and obeyed(out + err) == [], name
        assert "before" in out + err and "behind" in out + err


@pytest.mark.parametrize("text", TERMINAL.values(), ids=TERMINAL)
def test_a_text_in_a_message_is_one_line_and_harmless(text: str) -> None:
    for shown in (printable(text), one_line(text, 80), in_short(ValueError(text)), columns([[printable(text)]])):
        assert obeyed(shown, kept="") == []
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize("text", TERMINAL.values(), ids=TERMINAL)
def test_json_says_the_same_without_it(text: str) -> None:
    for indent in (None, 2):
        shown = as_json({"answer": text, text: ["é", "中"]}, indent)
        assert obeyed(shown) == [] and "é" in shown and "中" in shown
        assert json.loads(shown) == {"answer": text, text: ["é", "中"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x7fb", '"a\\u007fb"'),
        ("\u202e", '"\\u202e"'),
        ("\x9b", '"\\u009b"'),
        ("\U000e0041", '"\\udb40\\udc41"'),
        ("\x1b\n", '"\\u001b\\n"'),
    ],
)
def test_json_escapes_by_code(text: str, expected: str) -> None:
    assert as_json(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u00a0b\u3000c", "a b c"),  # spaces of other widths are spaces
        ("naïve 中文 ½ 🙂 e\u0301", "naïve 中文 ½ 🙂 e\u0301"),
        ("two\nlines", "two?lines"),
        ("a\u200bb", "a?b"),
    ],
)
def test_letters_of_all_scripts_stay(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_a_bar_may_go_back_to_the_start_of_its_line_and_nobody_else() -> None:
    written = io.StringIO()
    guarded = Guarded(written)
    for text in ("\r 10%", "ready\r", "\r\r"):
        guarded.write(text)
    assert written.getvalue() == "\r 10%ready?\r?"


@pytest.mark.parametrize(("encoding", "expected"), [("ascii", b"caf\\u00e9 \\u4e2d"), ("latin-1", b"caf\xe9 \\u4e2d")])
def test_a_terminal_without_a_letter_gets_its_escape(encoding: str, expected: bytes) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    Guarded(stream).write("café 中")
    stream.flush()
    assert written.getvalue() == expected


EVIL = "a\x1b[2Jb\u202ec\x9b\r"
COMMANDS = {
    "an unknown command": ("-c", RUN, EVIL),
    "an unknown option": ("-c", RUN, "check", f"--{EVIL}"),
    "a table that is not there": ("-c", RUN, "table", f"{EVIL}.yaml"),
    "an import that is not there": ("-c", RUN, "cache", "import", EVIL),
    "a model that is not there": ("-c", RUN, "ask", "--model", EVIL, "Which?"),
    "a retired command": ("-c", RUN, "answers", EVIL),
    "a seed of a stage": ("-m", "stages.train", EVIL),
    "a teacher of a stage": ("-m", "stages.query", EVIL),
    "a second argument of a stage": ("-m", "stages.exam", "signs", EVIL),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_process_repeats_no_control_character_of_its_command_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True
    )
    said = (done.stdout + done.stderr).decode("utf-8")
    assert done.returncode in (1, 2) and said and obeyed(said) == []
    assert "Traceback" not in said
