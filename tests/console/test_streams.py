"""Where a command prints to: closed, full, broken, or in an encoding that lacks the text. No traceback, whatever it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRINT = """
import json, os, sys
from tinyllm.console import report_errors
with report_errors():
    for _ in range(3):
        print("Zürich 漢字 🐟 \\udcff", json.dumps({"a": "ü🐟"}, ensure_ascii=False))
    print("told", file=sys.stderr)
    descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"whole")
"""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}
LINE = 'Z\\u00fcrich \\u6f22\\u5b57 \\ud83d\\udc1f \\udcff {"a": "\\u00fc\\ud83d\\udc1f"}\n'


def run(
    tmp_path: Path, script: str, redirected: str, unbuffered: bool = False, **environment: str
) -> tuple[int, str, str]:
    """Status, output and errors of a script whose streams the shell redirects."""
    (tmp_path / "script.py").write_text(script)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    more = {"PYTHONPATH": str(ROOT), **({"PYTHONUNBUFFERED": "1"} if unbuffered else {}), **environment}
    line = f"{sys.executable} script.py written {redirected}; exit ${{PIPESTATUS[0]}}"
    options = {
        "cwd": tmp_path,
        "env": {**kept, **more},
        "capture_output": True,
        "encoding": "utf-8",
        "errors": "replace",
    }
    ended = subprocess.run(["bash", "-c", line], timeout=60, **options)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_takes_nothing_and_no_file_takes_its_place(
    tmp_path: Path, closed: str, unbuffered: bool
) -> None:
    status, out, errors = run(tmp_path, PRINT, closed, unbuffered)
    assert (status, (tmp_path / "written").read_text()) == (0, "whole")
    assert errors == ("" if "2>&-" in closed else "told\n") and (out == "") == (">&-" in closed.replace("2>&-", ""))


@pytest.mark.parametrize(
    ("redirected", "status", "message"),
    [
        ("> /dev/full", 1, "error: standard output: No space left on device\n"),
        ("| true", 141, ""),
        ("> /dev/full 2>&-", 1, ""),
        ("2> /dev/full > /dev/null", 0, ""),
    ],
)
def test_what_cannot_be_printed_ends_in_one_line(tmp_path: Path, redirected: str, status: int, message: str) -> None:
    script = PRINT.replace('print("told", file=sys.stderr)', "")
    assert run(tmp_path, script, redirected) == (status, "", message)
    many = script.replace("range(3)", "range(3000)")  # more than is held back until the end
    unnamed = message.replace("standard output:", "[Errno 28]")
    assert run(tmp_path, many, redirected) == (status, "", unnamed)


@pytest.mark.parametrize("encoding", [ASCII, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "utf-8"}])
def test_what_an_encoding_lacks_is_written_as_json_does(tmp_path: Path, encoding: dict[str, str]) -> None:
    status, out, _ = run(tmp_path, PRINT, "", **encoding)
    name = encoding["PYTHONIOENCODING"]
    expected = {
        "ascii": LINE,
        "latin-1": LINE.replace("\\u00fc", "\ufffd"),
        "utf-8": 'Zürich 漢字 🐟 \\udcff {"a": "ü🐟"}\n',
    }
    assert (status, out) == (0, expected[name] * 3)
