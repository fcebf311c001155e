"""The console command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tinyllm.cli import main

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"


def test_check_says_what_the_params_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    text = PARAMS.read_text(encoding="utf-8").replace("teacher_alpha: {}", "teacher_alpha:\n    care: 0.5")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    main(["check"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "data      casebook"
    assert lines[1].endswith("care (alpha 0.5)")
    assert lines[3].endswith("seeds 1, 2, 3")


def test_check_ends_in_one_line_for_a_typo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(PARAMS, tmp_path)
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("  patience:", "  patiense:"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"error: params.yaml:\d+: train.patien.e: ") as error:
        main(["check"])
    assert "did you mean patience?" in str(error.value)
