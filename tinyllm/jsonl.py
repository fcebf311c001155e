"""Read and write JSON lines and JSON files; a file is either whole or not there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON can escape one alone


def read_jsonl(path: Path | str) -> list[dict]:
    """Return the objects of a JSON-lines file, in order; blank lines are skipped.

    Raises:
        ValueError: the file is missing, not UTF-8, or a line is no JSON object; the message names file and line.
    """
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):  # not splitlines(): U+2028 is text
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}:{number}: not JSON ({error.msg} at column {error.colno}); one object a line"
            ) from None
        except (RecursionError, ValueError):
            raise ValueError(f"{path}:{number}: nested too deep, or a number of too many digits, to be read") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{number}: found {type(row).__name__}; a line must be a JSON object")
        if "\\u" in line and (half := HALF_CHARACTER.search(json.dumps(row, ensure_ascii=False))):
            raise ValueError(f"{path}:{number}: \\u{ord(half[0]):04x} is half a character, which UTF-8 cannot hold")
        rows.append(row)
    return rows


def read_json(path: Path | str) -> dict:
    """Return the object of a JSON file.

    Raises:
        ValueError: the file is missing or holds no JSON object; the message names it.
    """
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: found {type(value).__name__}; it must be a JSON object")
    return value


def read_text(path: Path | str) -> str:
    """Return the text of a UTF-8 file; a byte-order mark is dropped.

    Raises:
        ValueError: the file is missing, a folder, or not UTF-8; the message names it and the remedy.
    """
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: is a folder, not a file") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 (byte {error.start}); convert it, for example with iconv -t UTF-8"
        ) from None


def write_jsonl(path: Path | str, rows: Iterable[dict]) -> None:
    """Write one JSON object a line, whole or not at all."""
    with replacing(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_json(path: Path | str, value: dict) -> None:
    """Write an indented JSON file, whole or not at all."""
    with replacing(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def replacing(path: Path | str) -> Iterator[TextIO]:
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
