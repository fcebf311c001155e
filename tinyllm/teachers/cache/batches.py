"""The batches that a server was sent, by the file of their requests: remembered before it is asked to work on them.

The table is made when the first batch is sent. So a process that goes on after a kill collects it, and pays for nothing twice.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tinyllm.teachers.cache.database import database_errors, open_database

SCHEMA = """CREATE TABLE IF NOT EXISTS batches (
    input_file TEXT PRIMARY KEY NOT NULL, batch TEXT, teacher TEXT NOT NULL, keys TEXT NOT NULL, status TEXT NOT NULL,
    created REAL NOT NULL)"""


@dataclass(frozen=True)
class SentBatch:
    """Requests that a server has, and may work on."""

    input_file: str  # the server's id of their file
    batch: str | None  # the server's id of the batch; None where a process ended before it heard of one
    keys: tuple[str, ...]  # of their answers


class Batches:
    """The batches of one teacher.

    Args:
        teacher: the digest of its identity.
    """

    def __init__(self, path: Path, teacher: str) -> None:
        self._path, self._teacher = path, teacher

    def open(self) -> list[SentBatch]:
        """Return those whose answers are not all in the cache, oldest first."""
        with self._database() as database:
            query = "SELECT input_file, batch, keys FROM batches WHERE teacher = ? AND status = 'sent' ORDER BY created"
            rows = database.execute(query, [self._teacher]).fetchall()
        return [SentBatch(file, batch, tuple(keys.split())) for file, batch, keys in rows]

    def add(self, input_file: str, keys: Sequence[str]) -> SentBatch:
        """Remember a file of requests, for which a batch is about to be made."""
        values = [input_file, self._teacher, " ".join(keys), time.time()]
        with self._database() as database:
            database.execute("INSERT INTO batches VALUES (?, NULL, ?, ?, 'sent', ?)", values)
        return SentBatch(input_file, None, tuple(keys))

    def name(self, sent: SentBatch, batch: str) -> SentBatch:
        """Remember the server's id of a batch."""
        with self._database() as database:
            database.execute("UPDATE batches SET batch = ? WHERE input_file = ?", [batch, sent.input_file])
        return SentBatch(sent.input_file, batch, sent.keys)

    def narrow(self, sent: SentBatch, keys: Sequence[str]) -> None:
        """Look in it for no other answers than these, and not at all where all of them are in the cache."""
        with self._database() as database:
            known = "SELECT 1 FROM answers WHERE key = ?"
            rest = [key for key in keys if database.execute(known, [key]).fetchone() is None]
            values = [" ".join(rest), "sent" if rest else "closed", sent.input_file]
            database.execute("UPDATE batches SET keys = ?, status = ? WHERE input_file = ?", values)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        database = open_database(self._path)
        try:
            with database_errors(self._path):
                database.execute(SCHEMA)
                yield database
        finally:
            database.close()
