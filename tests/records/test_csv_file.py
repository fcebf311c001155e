"""CSV files: read back as they were written, and computed by no spreadsheet."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.hostile_texts import FORMULAS, MARKUP
from tinyllm.records.csv_file import as_cell, write_csv


@pytest.mark.parametrize("text", FORMULAS.values(), ids=FORMULAS)
def test_a_formula_is_a_text(text: str) -> None:
    assert as_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-3", "-1.5", "+2", "-3/4", "-50%", "(a)", "red", "", "'=1", "a=1", "1-2"])
def test_a_number_and_any_other_text_stays(text: str) -> None:
    assert as_cell(text) == text


def test_a_file_is_read_back_whole(tmp_path: Path) -> None:
    rows = [(text, "b") for text in [*MARKUP.values(), 'a,"b"\nc', "é"]]
    write_csv(tmp_path / "a.csv", ("actual", "predicted"), rows)
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        heads, *found = csv.reader(file)
    assert heads == ["actual", "predicted"]
    assert found == [[f"'{text}" if text.startswith("-") else text, "b"] for text, _ in rows]
