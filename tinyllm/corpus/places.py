"""Where each id stands, kept on disk: a million ids are told apart in a few MB of memory."""

from __future__ import annotations

import sqlite3


class Places:
    """By id a place, as text, in a temporary file of SQLite's that has no name: it is gone when the process is.

    `count` is the number of ids.
    """

    def __init__(self) -> None:
        self.count = 0
        self._database = sqlite3.connect("", isolation_level=None)
        self._run("PRAGMA journal_mode = OFF")  # nothing is ever taken back
        self._run("CREATE TABLE places (id TEXT PRIMARY KEY, place TEXT NOT NULL) WITHOUT ROWID")
        self._run("BEGIN")  # or each id would be a transaction of its own

    def __enter__(self) -> Places:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def setdefault(self, id_: str, place: str) -> str:
        """Return the place of the id, which is `place` if it is new."""
        if self._run("INSERT INTO places VALUES (?, ?) ON CONFLICT DO NOTHING", id_, place).rowcount:
            self.count += 1
            return place
        return str(self.get(id_))

    def get(self, id_: str) -> str | None:
        """Return the place of the id, None where it has none."""
        found = self._run("SELECT place FROM places WHERE id = ?", id_).fetchone()
        return found[0] if found else None

    def _run(self, statement: str, *values: str) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise ValueError(
                f"the temporary index of ids cannot be written ({error}); free space, or set TMPDIR to a folder that has it"
            ) from None
