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

from tinyllm.teachers.cache.database import database_errors, open_database, transaction
from tinyllm.teachers.cache.entry import Entry, canonical_json, check_entry
from tinyllm.teachers.cache.ledger import Ledger, Run, Spending, lost_money, spendings, unlisted_answers
from tinyllm.teachers.protocol import Generation, Prompt
from tinyllm.teachers.tokens import counted

CHUNK = 900  # keys in one statement; older SQLite takes at most 999 variables
FIELDS = tuple(Entry.model_fields)  # each is a column of `answers`, but for the identity, which is one of `teachers`
ANSWER = ("text", "finish", "prompt_tokens", "completion_tokens")  # a Generation's fields, in order
COLUMNS = [field for field in FIELDS if field != "identity"]
INSERT_TEACHER = "INSERT INTO teachers (digest, identity) VALUES (:digest, :identity) ON CONFLICT (digest) DO NOTHING"
BLANK = "trim(answers.text, char(9, 10, 11, 12, 13, 32)) = ''"  # no answer; older versions kept such
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
        """Return the answers that are there, by key; a key without one is left out, and an empty text is none."""
        answers = {}
        with database_errors(self.path):
            for start in range(0, len(keys), CHUNK):
                chunk = keys[start : start + CHUNK]
                wanted = f"NOT {BLANK} AND key IN ({', '.join('?' * len(chunk))})"
                query = f"SELECT {', '.join(ANSWER)}, key FROM answers WHERE {wanted}"
                for *fields, key in self._database.execute(query, chunk):
                    answers[key] = Generation(*fields)
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
                "created": time.time(),
            }
        )
        with database_errors(self.path):
            new = self._insert(entry)
        return entry.answer if new else self.get([key])[key]

    def merge(self, entries: Iterable[Entry]) -> tuple[int, int, int]:
        """Keep all entries, or on an error none; what is there already stays.

        Returns:
            How many were new, how many keys were there already, and how many of these with another answer.
        """
        new = known = different = 0
        with database_errors(self.path), transaction(self._database):
            for entry in entries:
                if self._insert(entry):
                    new += 1
                else:
                    known += 1
                    different += self.get([entry.key])[entry.key] != entry.answer
        return new, known, different

    def totals(self) -> list[TeacherTotals]:
        """Return what is there of every teacher, in the order of their first answers."""
        tokens = f"sum({counted('prompt_tokens')}), sum({counted('completion_tokens')})"
        sums = f"count(*), {tokens}, min(created), max(created)"
        query = f"SELECT digest, identity, {sums} FROM answers JOIN teachers ON digest = teacher GROUP BY digest"
        with database_errors(self.path):
            rows = self._database.execute(f"{query} ORDER BY min(created), digest").fetchall()
        return [TeacherTotals(digest, json.loads(identity), *rest) for digest, identity, *rest in rows]

    def entries(self, teacher: str | None = None) -> Iterator[Entry]:
        """Yield all entries, or those of the teacher with this digest, by key: in the same order in every cache."""
        chosen = "" if teacher is None else " WHERE teacher = :teacher"
        query = f"SELECT {', '.join(FIELDS)} FROM answers JOIN teachers ON digest = teacher{chosen} ORDER BY key"
        with database_errors(self.path):
            for values in self._database.execute(query, {"teacher": teacher}):
                row = dict(zip(FIELDS, values, strict=True))
                row["identity"] = json.loads(row["identity"])
                yield Entry.model_construct(**row)  # it was checked when it was put

    @contextmanager
    def atomically(self) -> Iterator[None]:
        """Keep all that the block writes, or nothing."""
        with database_errors(self.path), transaction(self._database):
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
            rows = unlisted_answers(self._database)
            listed = spendings(self._database)
        unlisted = [
            Spending("", str(json.loads(identity).get("model")), answers, tokens_in, tokens_out, 0, None)
            for identity, answers, tokens_in, tokens_out in rows
        ]
        return [*listed, *unlisted]

    def _insert(self, entry: Entry) -> bool:
        """Return whether the entry was new. Outside a transaction, each statement is kept as soon as it is done."""
        identity = canonical_json(entry.identity, "identity")
        digest = hashlib.sha256(identity).hexdigest()
        row = {**vars(entry), "identity": identity.decode(), "digest": digest}
        self._database.execute(INSERT_TEACHER, row)
        return self._database.execute(INSERT_ANSWER, row).rowcount == 1
