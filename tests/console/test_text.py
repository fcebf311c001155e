"""Tables, errors of libraries and foreign text, as they are shown on a terminal."""

from __future__ import annotations

from tinyllm.console import columns, in_short, printable


def test_columns_are_as_wide_as_their_longest_cell_and_lines_end_without_blanks() -> None:
    rows = [["", "accuracy", "note"], ["both teachers", "84.2", ""], ["one", "100.0", "all right"]]
    assert columns(rows, right=[1]).split("\n") == [
        "               accuracy  note",
        "both teachers      84.2",
        "one               100.0  all right",
    ]


def test_an_error_of_a_library_is_one_line_not_long_and_never_empty() -> None:
    assert in_short(ValueError("no such\n  file:\ta")) == "no such file: a"
    assert in_short(OSError("x" * 300)) == "x" * 300
    assert in_short(OSError("x" * 301)) == "x" * 300 + "..."
    assert in_short(ValueError("red\x1b[31m")) == "red?[31m"
    assert in_short(KeyError()) == "KeyError"


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    assert printable("red\x1b[31m\r") == "red?[31m?"
