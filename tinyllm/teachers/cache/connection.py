"""An open cache that outlives its file: where that is deleted or moved in mid-run, all that it held is written anew.

A deleted file stays readable to whoever has it open. So nothing is lost but what another process writes in the very moment.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tinyllm.teachers.cache.database import database_errors, open_database, transaction

LOGS = ("-wal", "-shm")  # how the names of what belongs to a file end
TABLES = ("teachers", "answers", "charges", "batches")  # in this order: answers refer to teachers
# The money of a run is that of its charges.
ADD_UP = "INSERT OR REPLACE INTO runs SELECT run, sum(money) FROM charges GROUP BY run"


class Connection:
    """A connection to the file, which notices where another has taken its place.

    Raises:
        ValueError: the file cannot be opened; in the methods, it cannot be written anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = open_database(path)
        self._place, self._logs = _place(path), _logs(path)

    @property
    def in_transaction(self) -> bool:
        return self._database.in_transaction

    def execute(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> sqlite3.Cursor:
        """Run a statement; outside a transaction it commits itself."""
        return self._database.execute(statement, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all that the block writes, or nothing, in a file that is still there afterwards."""
        self.keep()
        with transaction(self._database):
            yield
        self.keep()

    def keep(self) -> None:
        """Write all that the file held anew, where it is no longer at its place; say so."""
        if self.in_transaction or _place(self.path) == self._place:
            return
        if _place(self.path) is None:
            self._drop_logs()
        fresh = open_database(self.path)
        try:
            with database_errors(self.path), transaction(fresh):
                _copy(self._database, fresh)
        except BaseException:
            fresh.close()
            raise
        self._database.close()
        self._database, self._place, self._logs = fresh, _place(self.path), _logs(self.path)
        print(
            f"{self.path}: was removed while in use; written anew, with all that it held", file=sys.stderr, flush=True
        )

    def _drop_logs(self) -> None:
        """Take away the log of a file that alone was deleted: another file of its name would take it for its own."""
        for log, place in self._logs.items():
            if place is not None and _place(log) == place:
                log.unlink(missing_ok=True)

    def close(self) -> None:
        try:
            self.keep()
        finally:
            self._database.close()


def _copy(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Add what the old file holds; another process may have written to the new one already, which then stays."""
    there = {name for (name,) in new.execute("SELECT name FROM sqlite_master")}
    for name, statement in old.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql NOT NULL ORDER BY rowid"
    ).fetchall():
        if name not in there:
            new.execute(statement)
    tables = {name for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in TABLES:
        if table in tables:
            _copy_rows(old, new, f"FROM {table}", f"INSERT OR IGNORE INTO {table}")
    if "charges" in tables:
        _copy_rows(old, new, "FROM charges WHERE settled", "INSERT OR REPLACE INTO charges")  # what is settled is final
        new.execute(ADD_UP)


def _copy_rows(old: sqlite3.Connection, new: sqlite3.Connection, source: str, target: str) -> None:
    rows = old.execute(f"SELECT * {source}")
    names = [column[0] for column in rows.description]
    new.executemany(f"{target} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", rows)


def _logs(path: Path) -> dict[Path, tuple[int, int] | None]:
    logs = [path.with_name(path.name + ending) for ending in LOGS]
    return {log: _place(log) for log in logs}


def _place(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another that takes its name; None where there is none."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_dev, state.st_ino
