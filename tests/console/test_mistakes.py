"""How a command ends that cannot go on; tests/test_bad_input.py and tests/test_cli.py have the processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyllm.console import report_errors


@pytest.fixture(autouse=True)
def one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYLLM_TRACEBACK", raising=False)


def ended_with(error: BaseException) -> object:
    with pytest.raises(SystemExit) as end, report_errors():
        raise error
    return end.value.code


def test_a_mistake_ends_in_its_message_and_control_c_in_130() -> None:
    assert ended_with(ValueError("a.jsonl:3: no field 'id'")) == "error: a.jsonl:3: no field 'id'"
    assert ended_with(OSError(28, "No space left on device", "a.jsonl")) == "error: a.jsonl: No space left on device"
    assert ended_with(OSError(28, "No space left on device")) == "error: [Errno 28] No space left on device"
    assert ended_with(KeyboardInterrupt()) == 130


def test_what_control_c_leaves_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), report_errors("stopped; answers are kept"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "stopped; answers are kept\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), report_errors():
        raise KeyError("id")


def test_a_mistake_keeps_its_traceback_on_demand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TINYLLM_TRACEBACK", "1")
    with pytest.raises(ValueError, match="^no$"), report_errors():
        raise ValueError("no")
    with pytest.raises(FileNotFoundError), report_errors():
        (tmp_path / "none").read_text()
