"""Read and write JSON lines and JSON files; a file is either whole or not there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON can escape one alone
UNREADABLE = "nested too deep, or a number of too many digits, to be read"


def read_jsonl(path: Path | str) -> list[dict]:
    """Return the objects of a JSON-lines file, in order; blank lines are skipped.

    Raises:
        ValueError: the file is missing, not UTF-8, or a line is no JSON object; the message names file and line.
    """
    with open_binary(path) as file:
        return [row for _, row in parse_lines(file, path)]


def parse_lines(lines: Iterable[bytes], path: Path | str) -> Iterator[tuple[int, dict]]:
    """Yield number and object of each line that is not blank; one line at a time is held.

    Raises:
        ValueError: a line is not UTF-8 or no JSON object; the message names file and line.
    """
    start = 0
    for number, line in enumerate(lines, start=1):
        text = _decode(line, path, start)
        start += len(line)
        if number == 1:
            text = text.removeprefix("\ufeff")
        if text.strip():
            yield number, parse_line(text, f"{path}:{number}")


def parse_each_line(lines: Iterable[bytes], path: Path | str) -> Iterator[tuple[int, dict | ValueError]]:
    """Do what `parse_lines` does, but yield the error of a line that it refuses, or that has a key twice."""
    start = 0
    for number, line in enumerate(lines, start=1):
        try:
            text = _decode(line, f"{path}:{number}", start)
            text = text.removeprefix("\ufeff") if number == 1 else text
            if text.strip():
                yield number, parse_line(text, f"{path}:{number}", _refuse_doubles)
        except ValueError as error:
            yield number, error
        start += len(line)


class _KeyTwice(ValueError):
    pass


def _refuse_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise _KeyTwice(next(name for name in names if names.count(name) > 1))
    return row


def parse_line(text: str, where: str, hook: Callable[[list[tuple[str, Any]]], dict] | None = None) -> dict:
    """Return the object of one line.

    Args:
        hook: makes an object of its pairs

    Raises:
        ValueError: it is no JSON object, or holds what cannot be written again; the message starts with `where`.
    """
    try:
        row = json.loads(text, object_pairs_hook=hook)
    except _KeyTwice as error:
        raise ValueError(f"{where}: the key {str(error)!r} stands twice in one object; allowed is each once") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON ({error.msg} at column {error.colno}); one object a line") from None
    except (RecursionError, ValueError):
        raise ValueError(f"{where}: {UNREADABLE}") from None
    if not isinstance(row, dict):
        raise ValueError(f"{where}: found {type(row).__name__}; a line must be a JSON object")
    if "\\u" in text and (half := HALF_CHARACTER.search(json.dumps(row, ensure_ascii=False))):
        raise ValueError(f"{where}: \\u{ord(half[0]):04x} is half a character, which UTF-8 cannot hold")
    return row


def read_json(path: Path | str) -> dict:
    """Return the object of a JSON file.

    Raises:
        ValueError: the file is missing or holds no JSON object; the message names it.
    """
    value = _load(path, "")
    if not isinstance(value, dict):
        raise ValueError(f"{path}: found {type(value).__name__}; it must be a JSON object")
    return value


def read_json_list(path: Path | str) -> list:
    """Return the list of a JSON file.

    Raises:
        ValueError: the file is missing or holds no JSON list; the message names it.
    """
    expected = "; expected one JSON list"
    value = _load(path, expected)
    if not isinstance(value, list):
        raise ValueError(f"{path}: found {type(value).__name__}{expected}")
    return value


def read_text(path: Path | str) -> str:
    """Return the text of a UTF-8 file; a byte-order mark is dropped.

    Raises:
        ValueError: the file is missing, a folder, or not UTF-8; the message names it and the remedy.
    """
    with open_binary(path) as file:
        return _decode(file.read(), path, 0).removeprefix("\ufeff")


@contextmanager
def open_binary(path: Path | str) -> Iterator[BinaryIO]:
    """Yield the file, opened to read its bytes.

    Raises:
        ValueError: it is missing or a folder; the message names it.
    """
    with ExitStack() as opened:
        try:
            file = opened.enter_context(open(path, "rb"))
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file") from None
        except IsADirectoryError:
            raise ValueError(f"{path}: is a folder, not a file") from None
        yield file


def write_jsonl(path: Path | str, rows: Iterable[dict]) -> None:
    """Write one JSON object a line, whole or not at all."""
    with writing_jsonl(path) as write:
        for row in rows:
            write(row)


@contextmanager
def writing_jsonl(path: Path | str) -> Iterator[Callable[[dict], None]]:
    """Yield what writes one row; the file is there, whole, once the block ends without an error."""
    with atomic_write(path) as file:

        def write(row: dict) -> None:
            try:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            except OSError as error:
                error.filename = str(path)  # here, for a block may write several files
                raise

        yield write


def write_json(path: Path | str, value: dict) -> None:
    """Write an indented JSON file, whole or not at all."""
    with atomic_write(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def atomic_write(path: Path | str) -> Iterator[TextIO]:
    """Yield a text file that takes the place of `path` once the block ends without an error; else nothing changes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a rename must not become durable before the bytes it names
        os.replace(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk's error does not say where
        raise


def _load(path: Path | str, expected: str) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON ({error.msg}){expected}") from None


def _decode(data: bytes, path: Path | str, start: int) -> str:
    """Return the text of a file's bytes; `start` is where in the file they stand."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = start + error.start
        raise ValueError(f"{path}: not UTF-8 (byte {place}); convert it, for example with iconv -t UTF-8") from None
