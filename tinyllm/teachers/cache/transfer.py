"""Answers as JSON lines: what one cache holds, to be read into another, so that nobody asks and pays again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyllm.records.jsonl import atomic_write, read_jsonl
from tinyllm.teachers.cache.store import Entry, Holding, ResponseCache, check_entry
from tinyllm.teachers.protocol import Generation, Prompt

FIELDS = {
    "key": str,
    "identity": dict,
    "system": str,
    "prompt": str,
    "sample": int,
    "text": str,
    "finish": str,
    "prompt_tokens": int,
    "completion_tokens": int,
    "created": float,
}


def export_answers(cache: ResponseCache, path: Path, teacher: str | None = None) -> int:
    """Write the entries, or those of the teacher with this digest, to a file of JSON lines; return how many.

    The file is written whole or not at all, entry by entry: memory does not grow with the cache. Caches that hold the same
    give the same bytes.
    """
    count = 0
    with atomic_write(path) as file:
        for entry in cache.entries(teacher):
            file.write(json.dumps(_row(entry), ensure_ascii=False) + "\n")
            count += 1
    return count


def read_entries(path: Path) -> list[Entry]:
    """Return the checked entries of an exported file.

    Raises:
        ValueError: a row lacks a field, holds a value that no entry has, or its key is not that of what it holds; the
            message names file and line.
    """
    return [_entry(row, f"{path}:{number}") for number, row in enumerate(read_jsonl(path), start=1)]


def find_teacher(holdings: Sequence[Holding], start: str) -> str:
    """Return the digest that begins so.

    Raises:
        ValueError: none or several do.
    """
    found = [holding.digest for holding in holdings if holding.digest.startswith(start)]
    if len(found) != 1:
        known = ", ".join(holding.digest[:10] for holding in holdings) or "none"
        raise ValueError(f"teacher {start!r}: {len(found)} digests start so, allowed is 1; the cache has {known}")
    return found[0]


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "identity": entry.identity,
        "system": entry.prompt.system,
        "prompt": entry.prompt.text,
        "sample": entry.sample,
        "text": entry.answer.text,
        "finish": entry.answer.finish,
        "prompt_tokens": entry.answer.prompt_tokens,
        "completion_tokens": entry.answer.completion_tokens,
        "created": entry.created,
    }


def _entry(row: dict, where: str) -> Entry:
    for field in FIELDS:
        if field not in row:
            raise ValueError(f"{where}: no field {field!r}; an answer has {', '.join(FIELDS)}")
    for field in row:
        if field not in FIELDS:
            raise ValueError(f"{where}: unknown field {field!r}; an answer has {', '.join(FIELDS)}")
    for field, kind in FIELDS.items():
        if type(row[field]) is not kind:
            raise ValueError(f"{where}: {field} is {type(row[field]).__name__}; allowed is {kind.__name__}")
    if not 0 <= row["created"] < 253402300800:  # the year 10000, beyond which there is no date; NaN is refused too
        raise ValueError(f"{where}: created {row['created']}; allowed is a Unix time")
    answer = Generation(row["text"], row["finish"], row["prompt_tokens"], row["completion_tokens"])
    entry = Entry(row["identity"], Prompt(row["system"], row["prompt"]), row["sample"], answer, row["created"])
    try:
        check_entry(entry)
        key = entry.key
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if row["key"] != key:
        raise ValueError(f"{where}: key {row['key']!r}, but what it holds has {key}; the row was changed or cut")
    return entry
