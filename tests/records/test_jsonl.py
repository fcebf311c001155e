"""JSON lines and JSON files: read a line at a time, faults by file and line, written whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyllm.records.jsonl import (
    parse_lines,
    read_json,
    read_json_list,
    read_jsonl,
    write_json,
    write_jsonl,
    writing_jsonl,
)
from tinyllm.records.reading import read_text


def test_rows_come_in_order_and_blank_lines_count(tmp_path: Path) -> None:
    lines = [b'\xef\xbb\xbf{"a": 1}\r\n', b"\n", b" \t\r\n", '{"b": "\u2028"}'.encode()]
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    assert list(parse_lines(lines, "a.jsonl")) == [(1, {"a": 1}), (4, {"b": "\u2028"})]
    assert read_jsonl(tmp_path / "a.jsonl") == [{"a": 1}, {"b": "\u2028"}]


def test_a_line_is_read_no_sooner_than_it_is_wanted() -> None:
    def lines() -> Iterator[bytes]:
        yield b'{"a": 1}\n'
        raise AssertionError("read on")

    assert next(parse_lines(lines(), "a.jsonl")) == (1, {"a": 1})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": ', "a.jsonl:2: not JSON (Expecting value at column 7); one object a line"),
        (b"\xef\xbb\xbf{}", "a.jsonl:2: not JSON (Unexpected UTF-8 BOM (decode using utf-8-sig) at column 1)"),
        (b"[1]", "a.jsonl:2: found list; a line must be a JSON object"),
        (b'"a"', "a.jsonl:2: found str; a line must be a JSON object"),
        (b"[" * 200_000, "a.jsonl:2: nested too deep, or a number of too many digits, to be read"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "a.jsonl:2: nested too deep, or a number of too many digits, to be read"),
        (b'{"a": "\\ud83d"}', "a.jsonl:2: \\ud83d is half a character, which UTF-8 cannot hold"),
        (
            b'{"a": "\xff"}',
            "a.jsonl: not UTF-8 (byte 16); convert it, for example with iconv -t UTF-8",
        ),  # 9 of the first
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    with pytest.raises(ValueError) as error:
        list(parse_lines([b'{"a": 1}\n', line], "a.jsonl"))
    assert str(error.value).startswith(message)
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n' + line)
    with pytest.raises(ValueError) as again:
        read_jsonl(tmp_path / "a.jsonl")
    assert str(again.value) == str(error.value).replace("a.jsonl", str(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("read", [read_jsonl, read_json, read_json_list, read_text])
def test_a_file_that_is_none_is_named(tmp_path: Path, read) -> None:
    with pytest.raises(ValueError, match=f"^{tmp_path}/none: no such file$"):
        read(tmp_path / "none")
    with pytest.raises(ValueError, match=f"^{tmp_path}: is a folder, not a file$"):
        read(tmp_path)


def test_an_object_and_a_list_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [1]}')
    assert read_json(path) == {"a": [1]}
    with pytest.raises(ValueError, match=r"a\.json: found dict; expected one JSON list$"):
        read_json_list(path)
    path.write_text("[1,\n 2]")
    assert read_json_list(path) == [1, 2]
    with pytest.raises(ValueError, match=r"a\.json: found list; it must be a JSON object$"):
        read_json(path)
    path.write_text("[1,\n 2")
    with pytest.raises(ValueError, match=r"a\.json:2: not JSON \(Expecting ',' delimiter\)$"):
        read_json(path)
    with pytest.raises(ValueError, match=r"a\.json:2: not JSON \(Expecting ',' delimiter\); expected one JSON list$"):
        read_json_list(path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rows = [{"a": "ß\u2028\n"}, {}, {"b": [1.5, None]}]
    write_jsonl(tmp_path / "new/a.jsonl", rows)
    assert read_jsonl(tmp_path / "new/a.jsonl") == rows
    assert (tmp_path / "new/a.jsonl").read_bytes().count(b"\n") == 3


def test_rows_written_one_by_one_are_there_once_all_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with writing_jsonl(path) as write:
        write({"a": 1})
        assert not path.exists()
        write({"a": 2})
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'


def test_an_error_leaves_the_old_file_and_no_half_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("old")
    with pytest.raises(KeyError), writing_jsonl(path) as write:
        write({"a": 1})
        raise KeyError("a")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.jsonl", "old")]


def test_the_file_that_the_disk_has_no_room_for_is_named_among_several(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "one.jsonl.partial").symlink_to(full)
    with (
        pytest.raises(OSError) as error,
        writing_jsonl(tmp_path / "one.jsonl") as write,
        writing_jsonl(tmp_path / "two"),
    ):
        write({"a": "x" * 100_000})
    assert (error.value.filename, error.value.strerror) == (str(tmp_path / "one.jsonl"), "No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1.0, math.nan], {"p": [math.inf]}])
def test_a_number_that_json_cannot_hold_is_not_written(tmp_path: Path, value: object) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"id": "a", "score": 1.0}])
    with pytest.raises(ValueError) as error:
        write_jsonl(path, [{"id": "a", "score": 2.0}, {"id": "b", "note": "x", "score": value}])
    assert str(error.value) == f"{path}: score of row 'b' holds nan or infinity, which JSON cannot; it was not written"
    assert path.read_text() == '{"id": "a", "score": 1.0}\n'
    with pytest.raises(
        ValueError, match=r"metrics\.json: loss holds nan or infinity, which JSON cannot; it was not written$"
    ):
        write_json(tmp_path / "metrics.json", {"steps": 3, "loss": value})
    assert [each.name for each in tmp_path.iterdir()] == ["rows.jsonl"]
