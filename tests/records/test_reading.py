"""Files without an end, or without a line's end: one error, soon, in little memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinyllm.datasets.rows import read_rows
from tinyllm.records import reading
from tinyllm.records.jsonl import parse_each_line, parse_line, read_json, read_json_list, read_jsonl
from tinyllm.records.reading import bounded_lines, open_binary, open_lines, read_text

ROOT = Path(__file__).resolve().parents[2]
READ = """
import sys
from tinyllm.records import reading, jsonl
from tinyllm.datasets.rows import read_rows
read = {"read_jsonl": jsonl.read_jsonl, "read_json": jsonl.read_json, "read_text": reading.read_text,
    "read_rows": lambda path: list(read_rows(path))}[sys.argv[1]]
try:
    read(sys.argv[2])
except ValueError as error:
    print(error)
"""
LIMIT = 1 << 31  # bytes of all memory that such a process may take


@pytest.mark.parametrize(
    ("read", "source", "message"),
    [
        ("read_jsonl", "/dev/zero", ":1: a line of more than 64 MB; allowed is one JSON object a line"),
        ("read_rows", "/dev/zero", ":1: a line of more than 64 MB; allowed is one JSON object a line"),
        ("read_text", "/dev/zero", ": has more than 64 MB; that is no file of the kind that is read here"),
        ("read_json", "/dev/zero", ": has more than 64 MB; that is no file of the kind that is read here"),
        ("read_jsonl", "yes", ":1: not JSON (Expecting value at column 1); one object a line"),
        (
            "read_jsonl",
            "yes ''",
            ":100001: 100,000 lines in a row hold no JSON object; is it the right file? allowed is one o",
        ),
        (
            "read_rows",
            "yes",
            ":100001: 100,000 lines in a row hold no JSON object; is it the right file? allowed is one o",
        ),
        ("read_json", "yes 1", ": has more than 64 MB; that is no file of the kind that is read here"),
    ],
)
def test_what_has_no_end_is_refused_in_one_line(tmp_path: Path, read: str, source: str, message: str) -> None:
    path = source
    if not source.startswith("/"):
        path = str(tmp_path / "pipe")
        os.mkfifo(path)
    command = [sys.executable, "-c", READ, read, path]
    options = {"stdout": subprocess.PIPE, "text": True, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    reader = subprocess.Popen(
        command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)), **options
    )
    writer = subprocess.Popen(f"{source} > {path} 2> /dev/null", shell=True) if path != source else None
    assert reader.communicate(timeout=60)[0].startswith(f"{path}{message}")
    if writer:
        writer.wait(timeout=30)


@pytest.mark.parametrize("read", [read_jsonl, read_text, read_json, lambda path: list(read_rows(path))])
def test_what_has_no_line_end_is_refused_within_a_second(tmp_path: Path, read) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(20 << 30)  # 20 GB that take no space
    start = time.process_time()
    with pytest.raises(ValueError, match="more than 64 MB"):
        read(tmp_path / "large")
    assert time.process_time() - start < 1


def test_a_line_and_a_file_at_the_limit_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGEST", 10)
    (tmp_path / "a").write_bytes(b"123456789\n\n1234567890")
    with open_lines(tmp_path / "a") as lines:
        assert list(lines) == [b"123456789\n", b"\n", b"1234567890"]
    (tmp_path / "b").write_bytes(b"1234567890")
    assert read_text(tmp_path / "b") == "1234567890"
    (tmp_path / "b").write_bytes(b"1\n12345678901")
    with pytest.raises(ValueError, match="b:2: a line of more than"), open_binary(tmp_path / "b") as file:
        list(bounded_lines(file, "b"))
    with pytest.raises(ValueError, match="b: has more than"):
        read_text(tmp_path / "b")


def test_a_good_line_begins_the_count_of_useless_ones_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyllm.records.jsonl.MOST_USELESS", 2)
    lines = [b"y\n", b"y\n", b"{}\n", b"y\n", b"y\n"]
    assert [number for number, _ in parse_each_line(lines, "a")] == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="a:6: .* lines in a row hold no JSON object"):
        list(parse_each_line([*lines, b"y\n"], "a"))


# --- depth ------------------------------------------------------------------------------------------------------------------


def nested(depth: int) -> str:
    """A JSON object of so many levels, in turn objects and lists."""
    inner = "1"
    for level in range(depth, 0, -1):
        inner = f'{{"a": {inner}}}' if level % 2 else f"[{inner}]"
    return inner


@pytest.mark.parametrize("depth", [101, 900, 20_000, 100_000])
def test_what_is_nested_too_deep_is_refused_wherever_json_is_read(tmp_path: Path, depth: int) -> None:
    message = (
        "nested more than 100 deep; allowed are 100 levels" if depth < 1000 else "nested too deep, or a number of too"
    )
    (tmp_path / "a").write_text(nested(depth))
    with pytest.raises(ValueError, match=f"a:1: {message}"):
        read_jsonl(tmp_path / "a")
    with pytest.raises(ValueError, match=f"a: {message}"):
        read_json(tmp_path / "a")
    ((_, error),) = parse_each_line([nested(depth).encode()], "a")
    assert str(error).startswith(f"a:1: {message}")
    (tmp_path / "a").write_text(f"[{nested(depth - 1)}]")
    with pytest.raises(ValueError, match=f"a: {message}"):
        read_json_list(tmp_path / "a")


def test_a_hundred_levels_are_read_and_so_are_many_beside_each_other() -> None:
    assert parse_line(nested(100), "a")["a"]
    assert len(parse_line(f'{{"a": [{", ".join(["[[]]"] * 1000)}]}}', "a")["a"]) == 1000


def test_a_number_of_too_many_digits_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f'{{"a": {"1" * 5000}}}')
    with pytest.raises(ValueError, match="a: nested too deep, or a number of too many digits"):
        read_json(tmp_path / "a")
