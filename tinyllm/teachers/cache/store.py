"""The answer cache: every answer that a live teacher gave, under the sha256 of all that shaped it, kept as it arrives."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tinyllm.console import one_line
from tinyllm.teachers.cache.connection import Connection
from tinyllm.teachers.cache.database import database_errors
from tinyllm.teachers.cache.entry import YEAR_10000, Entry, canonical_json, check_entry
from tinyllm.teachers.cache.forget import BLANK, Selection, count_selected, delete_selected
from tinyllm.teachers.cache.ledger import Ledger, Run, Spending, keep_costs, lost_money, spendings
from tinyllm.teachers.protocol import Generation, Prompt
from tinyllm.teachers.tokens import counted

CHUNK = 900  # keys in one statement; older SQLite takes at most 999 variables
FIELDS = tuple(Entry.model_fields)  # each is a column of `answers`, but for the identity, which is one of `teachers`
ANSWER = ("text", "finish", "prompt_tokens", "completion_tokens", "model")  # of a Generation
COLUMNS = [*(field for field in FIELDS if field != "identity"), "origin"]
INSERT_TEACHER = "INSERT INTO teachers (digest, identity) VALUES (:digest, :identity) ON CONFLICT (digest) DO NOTHING"
LONGEST_NAME = 200  # characters of a model's name; what a server sends may be of any length
INSERT_ANSWER = (
    f"INSERT INTO answers (teacher, {', '.join(COLUMNS)}) VALUES (:digest, :{', :'.join(COLUMNS)}) ON CONFLICT (key) "
    f"DO UPDATE SET {', '.join(f'{column} = excluded.{column}' for column in COLUMNS if column != 'key')} WHERE {BLANK}"
)


@dataclass(frozen=True)
class TeacherTotals:
    """What the cache holds of one teacher."""

    digest: str
    identity: dict[str, Any]
    answers: int
    prompt_tokens: int
    completion_tokens: int
    first: float  # Unix time
    last: float


@dataclass(frozen=True)
class Source:
    """Answers of one teacher that came the same way."""

    digest: str  # of the teacher
    origin: str  # file and date of the import; "" was asked here
    model: str  # the name that the answers themselves give their model; "" is unknown
    answers: int


class ResponseCache:
    """An open cache. Every method raises a ValueError that names the file where it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it with its folder."""
        self.path = path
        self._database = Connection(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with database_errors(self.path):
            self._database.close()

    def get(self, keys: Sequence[str]) -> dict[str, Generation]:
        """Return the answers that are there, by key; a key without one is left out, and an empty text is none."""
        answers = {}
        with database_errors(self.path):
            for start in range(0, len(keys), CHUNK):
                chunk = keys[start : start + CHUNK]
                wanted = f"NOT {BLANK} AND key IN ({', '.join('?' * len(chunk))})"
                query = f"SELECT {', '.join(ANSWER)}, key FROM answers WHERE {wanted}"
                for *fields, key in self._database.execute(query, chunk):
                    answers[key] = Generation(**dict(zip(ANSWER, fields, strict=True)))
        return answers

    def put(
        self, key: str, identity: Mapping[str, object], prompt: Prompt, answer: Generation, sample: int = 0
    ) -> Generation:
        """Keep an answer and return the one that the cache now holds: that of the first who came with the key.

        Once this returns, the answer outlives the process. Its count of unanswered attempts is not kept: they belong to
        this run, not to the answer.

        Raises:
            TypeError: something else than an answer, such as a `Failure`: it must not take the place of asking again.
            ValueError: as `check_entry`.
        """
        if not isinstance(answer, Generation):
            raise TypeError(f"{type(answer).__name__} is no Generation; only an answer may be kept")
        entry = check_entry(
            {
                "key": key,
                "identity": dict(identity),
                "system": prompt.system,
                "prompt": prompt.text,
                "sample": sample,
                "text": answer.text,
                "finish": answer.finish,
                "prompt_tokens": answer.prompt_tokens,
                "completion_tokens": answer.completion_tokens,
                "created": min(max(0.0, time.time()), YEAR_10000 - 1.0),  # a wrong clock is no reason to lose it
                "model": one_line(answer.model, LONGEST_NAME),
            }
        )
        with database_errors(self.path):
            new = self._insert(entry)
            self._database.keep()
        return entry.answer if new else self.get([key])[key]

    def merge(self, entries: Iterable[Entry], origin: str = "") -> tuple[int, int, int]:
        """Keep all entries, or on an error none; what is there already stays.

        Args:
            origin: where they come from, which the new ones are marked with

        Returns:
            How many were new, how many keys were there already, and how many of these with another text or finish.
        """
        new = known = different = 0
        with self.atomically():
            for entry in entries:
                if self._insert(entry, origin):
                    new += 1
                else:
                    known += 1
                    kept = self.get([entry.key])[entry.key]
                    different += (kept.text, kept.finish) != (entry.text, entry.finish)
        return new, known, different

    def totals(self) -> list[TeacherTotals]:
        """Return what is there of every teacher, in the order of their first answers."""
        tokens = f"sum({counted('prompt_tokens')}), sum({counted('completion_tokens')})"
        sums = f"count(*), {tokens}, min(created), max(created)"
        query = f"SELECT digest, identity, {sums} FROM answers JOIN teachers ON digest = teacher GROUP BY digest"
        with database_errors(self.path):
            rows = self._database.execute(f"{query} ORDER BY min(created), digest").fetchall()
        return [TeacherTotals(digest, json.loads(identity), *rest) for digest, identity, *rest in rows]

    def sources(self) -> list[Source]:
        """Return how the answers of each teacher came here, and which model they name."""
        query = "SELECT teacher, origin, model, count(*) FROM answers GROUP BY teacher, origin, model"
        with database_errors(self.path):
            return [Source(*row) for row in self._database.execute(query)]

    def count(self, selection: Selection) -> dict[str, int]:
        """Return how many answers are selected, by the digest of their teacher."""
        with database_errors(self.path):
            return count_selected(self._database, selection)

    def forget(self, selection: Selection) -> int:
        """Delete the selected answers and return how many there were; what they cost stays in the ledger."""
        with self.atomically():
            keep_costs(self._database, *selection.condition())
            return delete_selected(self._database, selection)

    def entries(self, teachers: Sequence[str] | None = None) -> Iterator[Entry]:
        """Yield all entries, or those of the teachers with these digests, by key: in the same order in every cache."""
        chosen = "" if teachers is None else f" WHERE teacher IN ({', '.join('?' * len(teachers))})"
        query = f"SELECT {', '.join(FIELDS)} FROM answers JOIN teachers ON digest = teacher{chosen} ORDER BY key"
        with database_errors(self.path):
            for values in self._database.execute(query, teachers or []):
                row = dict(zip(FIELDS, values, strict=True))
                row["identity"] = json.loads(row["identity"])
                yield Entry.model_construct(**row)  # it was checked when it was put

    @contextmanager
    def atomically(self) -> Iterator[None]:
        """Keep all that the block writes, or nothing."""
        with database_errors(self.path), self._database.transaction():
            yield

    def ledger(self, run: Run, teacher: str) -> Ledger:
        """Return what calls of a teacher are written down in."""
        with database_errors(self.path):
            return Ledger(self._database, run, teacher)

    def lost_money(self, keys: Sequence[str]) -> float:
        """Return what attempts without an answer may have cost, for the calls with these keys."""
        with database_errors(self.path):
            return lost_money(self._database, keys)

    def spendings(self) -> list[Spending]:
        """Return what every teacher cost in every experiment; what is in no ledger is of experiment ""."""
        with database_errors(self.path):
            return spendings(self._database)

    def _insert(self, entry: Entry, origin: str = "") -> bool:
        """Return whether the entry was new. Outside a transaction, each statement is kept as soon as it is done."""
        identity = canonical_json(entry.identity, "identity")
        digest = hashlib.sha256(identity).hexdigest()
        row = {**vars(entry), "identity": identity.decode(), "digest": digest, "origin": origin}
        self._database.execute(INSERT_TEACHER, row)
        return self._database.execute(INSERT_ANSWER, row).rowcount == 1
