"""Read and write JSON lines and JSON files; a file is either whole or not there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinyllm.records.files import atomic_write
from tinyllm.records.reading import MOST_USELESS, decode_utf8, open_lines, read_text, useless

HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON can escape one alone
UNREADABLE = "nested too deep, or a number of too many digits, to be read"
DEEPEST = 100  # levels of a value; far more could be read, but not written again


def read_jsonl(path: Path | str) -> list[dict]:
    """Return the objects of a JSON-lines file, in order; blank lines are skipped.

    Raises:
        ValueError: the file is missing, not UTF-8, or a line is no JSON object; the message names file and line.
    """
    with open_lines(path) as lines:
        return [row for _, row in parse_lines(lines, path)]


def parse_lines(lines: Iterable[bytes], path: Path | str) -> Iterator[tuple[int, dict]]:
    """Yield number and object of each line that is not blank; one line at a time is held.

    Raises:
        ValueError: a line is not UTF-8 or no JSON object; the message names file and line.
    """
    start = 0
    for number, line in enumerate(lines, start=1):
        text = decode_utf8(line, path, start)
        start += len(line)
        if number == 1:
            text = text.removeprefix("\ufeff")
        if text.strip():
            yield number, parse_line(text, f"{path}:{number}")


def parse_each_line(lines: Iterable[bytes], path: Path | str) -> Iterator[tuple[int, dict | ValueError]]:
    """Do what `parse_lines` does, but yield the error of a line that it refuses, or that has a key twice.

    Raises:
        ValueError: so many lines in a row are refused that this is another kind of file, or one without an end.
    """
    start = refused = 0
    for number, line in enumerate(lines, start=1):
        try:
            text = decode_utf8(line, f"{path}:{number}", start)
            text = text.removeprefix("\ufeff") if number == 1 else text
            if text.strip():
                yield number, parse_line(text, f"{path}:{number}", _refuse_doubles)
                refused = 0
        except ValueError as error:
            refused += 1
            if refused > MOST_USELESS:
                raise useless(path, number) from None
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
    _refuse_deep(row, text, where)
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
                file.write(_writable(row, path) + "\n")
            except OSError as error:
                error.filename = str(path)  # here, for a block may write several files
                raise

        yield write


def write_json(path: Path | str, value: dict) -> None:
    """Write an indented JSON file, whole or not at all."""
    with atomic_write(path) as file:
        file.write(_writable(value, path, indent=2) + "\n")


def to_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON.

    Raises:
        ValueError: it holds nan or infinity, for which JSON has no sign.
    """
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)


def _writable(value: dict, path: Path | str, indent: int | None = None) -> str:
    try:
        return to_json(value, indent)
    except ValueError:
        row = f" of row {value['id']!r}" if "id" in value else ""
        field = next(key for key, field in value.items() if not _is_json(field))
        raise ValueError(f"{path}: {field}{row} holds nan or infinity, which JSON cannot; it was not written") from None


def _is_json(value: object) -> bool:
    try:
        to_json(value)
    except ValueError:
        return False
    return True


def _load(path: Path | str, expected: str) -> Any:
    text = read_text(path)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON ({error.msg}){expected}") from None
    except (RecursionError, ValueError):
        raise ValueError(f"{path}: {UNREADABLE}") from None
    _refuse_deep(value, text, str(path))
    return value


def _refuse_deep(value: Any, text: str, where: str) -> None:
    """Refuse a value of too many levels, of which `text` is the JSON."""
    if text.count("[") + text.count("{") <= DEEPEST:  # mostly so, and quick to see
        return
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(
                f"{where}: nested more than {DEEPEST} deep; allowed are {DEEPEST} levels of objects and lists"
            )
        level = [item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer)]
