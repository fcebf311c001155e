"""The answer cache: every answer that a live teacher gave, under the sha256 of all that shaped it, kept as it arrives.

Environment:
    TINYLLM_CACHE: the folder of the cache; otherwise `.cache` in $DVC_ROOT, otherwise `.cache` here.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from tinyllm.teachers.cache.database import open_database, told, transaction
from tinyllm.teachers.protocol import Generation, Prompt

FORMAT = 1  # of what a key is computed from; another number makes every answer unknown
CHUNK = 900  # keys in one statement; older SQLite takes at most 999 variables
LARGEST = 2**63 - 1  # SQLite's largest whole number
FINISHES = ("stop", "length")
ANSWER = "text, finish, prompt_tokens, completion_tokens"  # the columns, in the order of the fields


@dataclass(frozen=True)
class Entry:
    """One row of the cache."""

    identity: Mapping[str, Any]  # of the teacher
    prompt: Prompt
    sample: int
    answer: Generation
    created: float  # Unix time

    @cached_property
    def key(self) -> str:
        """What the answer is found by."""
        return answer_key(self.identity, self.prompt, self.sample)


@dataclass(frozen=True)
class Holding:
    """What the cache holds of one teacher."""

    digest: str
    identity: dict[str, Any]
    answers: int
    prompt_tokens: int
    completion_tokens: int
    first: float  # Unix time
    last: float


def answer_key(identity: Mapping[str, Any], prompt: Prompt, sample: int = 0) -> str:
    """Return the sha256 of everything that shapes an answer: another value or type anywhere gives another key.

    Args:
        identity: JSON values, the teacher's; the order of its keys does not matter
        sample: tells the answers apart where one prompt is asked several times

    Raises:
        ValueError: a value is not JSON's, or holds half a character.
    """
    parts = {"identity": identity, "system": prompt.system, "text": prompt.text, "sample": sample, "format": FORMAT}
    return hashlib.sha256(_canonical(parts, "")).hexdigest()


def check_entry(entry: Entry) -> None:
    """Refuse what is no answer; an empty text is one.

    Raises:
        TypeError: something else than an `Answer`, such as a `Failure`: it must not take the place of asking again.
        ValueError: a field has a value that no answer has.
    """
    answer = entry.answer
    if not isinstance(answer, Generation):
        raise TypeError(f"{type(answer).__name__} is no Generation; only an answer may be kept")
    for name, text in (("system", entry.prompt.system), ("prompt", entry.prompt.text), ("text", answer.text)):
        if not isinstance(text, str):
            raise ValueError(f"{name} is {type(text).__name__}; allowed is text")
        _whole(text, name)
    if answer.finish not in FINISHES:
        raise ValueError(f"finish {answer.finish!r}; allowed are {', '.join(FINISHES)}")
    counts = {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens}
    for name, count in {"sample": entry.sample, **counts}.items():
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= LARGEST:
            raise ValueError(f"{name} {count!r}; allowed is a whole number from 0")


class ResponseCache:
    """An open cache. Every method raises a ValueError that names the file where it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it with its folder."""
        self.path = path
        self._database = open_database(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._database.close()

    def get(self, keys: Sequence[str]) -> dict[str, Generation]:
        """Return the answers that are there, by key; a key without one is left out."""
        found = {}
        with told(self.path):
            for start in range(0, len(keys), CHUNK):
                chunk = keys[start : start + CHUNK]
                query = f"SELECT {ANSWER}, key FROM answers WHERE key IN ({', '.join('?' * len(chunk))})"
                for *fields, key in self._database.execute(query, chunk):
                    found[key] = Generation(*fields)
        return found

    def put(
        self, key: str, identity: Mapping[str, Any], prompt: Prompt, answer: Generation, sample: int = 0
    ) -> Generation:
        """Keep an answer and return the one that the cache now holds: that of the first who came with the key.

        Once this returns, the answer outlives the process. Its count of unanswered attempts is not kept: they belong to
        this run, not to the answer.

        Raises:
            TypeError: as `check_entry`.
            ValueError: as `check_entry`; or the key is another's.
        """
        entry = Entry(identity, prompt, sample, answer, time.time())
        check_entry(entry)
        if key != entry.key:
            raise ValueError(f"key {key!r} is not this prompt's; allowed is what answer_key says, {entry.key}")
        with told(self.path):
            new = self._insert(entry)
        return replace(answer, unanswered=0) if new else self.get([key])[key]

    def merge(self, entries: Iterable[Entry]) -> tuple[int, int, int]:
        """Keep all entries, or on an error none; what is there already stays.

        Returns:
            How many were new, how many keys were there already, and how many of these with another answer.
        """
        new = known = different = 0
        with told(self.path), transaction(self._database):
            for entry in entries:
                check_entry(entry)
                if self._insert(entry):
                    new += 1
                else:
                    known += 1
                    different += self.get([entry.key])[entry.key] != replace(entry.answer, unanswered=0)
        return new, known, different

    def holdings(self) -> list[Holding]:
        """Return what is there of every teacher, in the order of their first answers."""
        sums = "count(*), sum(prompt_tokens), sum(completion_tokens), min(created), max(created)"
        query = f"SELECT digest, identity, {sums} FROM answers JOIN teachers ON digest = teacher GROUP BY digest"
        with told(self.path):
            rows = self._database.execute(f"{query} ORDER BY min(created), digest").fetchall()
        return [Holding(digest, json.loads(identity), *rest) for digest, identity, *rest in rows]

    def entries(self, teacher: str | None = None) -> Iterator[Entry]:
        """Yield all entries, or those of the teacher with this digest, by key: in the same order in every cache."""
        query = (
            f"SELECT {ANSWER}, identity, system, prompt, sample, created FROM answers JOIN teachers ON digest = teacher"
        )
        chosen = "" if teacher is None else " WHERE teacher = :teacher"
        with told(self.path):
            for row in self._database.execute(f"{query}{chosen} ORDER BY key", {"teacher": teacher}):
                *fields, identity, system, prompt, sample, created = row
                yield Entry(json.loads(identity), Prompt(system, prompt), sample, Generation(*fields), created)

    def _insert(self, entry: Entry) -> bool:
        """Return whether the entry was new. Outside a transaction, each statement is kept as soon as it is done."""
        answer, identity = entry.answer, _canonical(entry.identity, "identity")
        teacher = hashlib.sha256(identity).hexdigest()
        self._database.execute(
            "INSERT INTO teachers VALUES (?, ?) ON CONFLICT (digest) DO NOTHING", (teacher, identity.decode())
        )
        asked = (entry.key, teacher, entry.prompt.system, entry.prompt.text, entry.sample)
        row = (*asked, answer.text, answer.finish, answer.prompt_tokens, answer.completion_tokens, entry.created)
        marks = ", ".join("?" * len(row))
        statement = f"INSERT INTO answers VALUES ({marks}) ON CONFLICT (key) DO NOTHING"
        return self._database.execute(statement, row).rowcount == 1


def _canonical(value: Mapping[str, Any], name: str) -> bytes:
    """The one JSON text of a value: keys sorted, no white space."""
    return json.dumps(_plain(value, name), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _plain(value: Any, where: str) -> Any:
    """Return JSON's own types; json.dumps would write a key 1 like "1", and NaN, which is no JSON."""
    if isinstance(value, str):
        return _whole(value, where)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}; allowed are finite numbers")
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}.{index}") for index, item in enumerate(value)]
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is {type(value).__name__}; allowed are the types of JSON")
    for key in value:
        if not isinstance(key, str):
            raise ValueError(f"{where} has the key {key!r}; allowed is text")
    return {_whole(key, where): _plain(item, f"{where}.{key}" if where else key) for key, item in value.items()}


def _whole(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise ValueError(f"{where} holds {half}, half a character, which UTF-8 cannot hold") from None
    return text
