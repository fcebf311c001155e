"""The ledger of the answer cache: what every call cost, in which run, so that a limit holds for all processes of a run.

Its tables are made when something is first written to them: a cache from before has none, and stays readable by what wrote it.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tinyllm.teachers.cache.connection import Connection
from tinyllm.teachers.tokens import counted

CHUNK = 900  # keys in one statement; older SQLite takes at most 999 variables
SCHEMA = (
    # settled: 0 is a call that is under way, or that a process was killed in; its money is then the most that it can cost
    # id: drawn by chance, so that those of two processes differ even where each writes to a file of its own for a moment
    """CREATE TABLE IF NOT EXISTS charges (
        id INTEGER PRIMARY KEY, run TEXT NOT NULL, experiment TEXT NOT NULL, teacher TEXT NOT NULL, key TEXT NOT NULL,
        created REAL NOT NULL, settled INTEGER NOT NULL, answered INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL, unanswered INTEGER NOT NULL, lost REAL NOT NULL, money REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS charges_by_key ON charges (key)",
    "CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY NOT NULL, money REAL NOT NULL)",
)
INSERT = """INSERT INTO charges (id, run, experiment, teacher, key, created, settled, answered, prompt_tokens,
    completion_tokens, unanswered, lost, money) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 1, ?, ?)"""
SETTLE = """UPDATE charges SET settled = 1, answered = ?, prompt_tokens = ?, completion_tokens = ?, unanswered = ?, lost = ?,
    money = ? WHERE id = ?"""
SPEND = "INSERT INTO runs VALUES (?, ?) ON CONFLICT (run) DO UPDATE SET money = money + excluded.money"
MOST_MONEY = 1e12  # of one call or one run; an older version kept what a server said
MONEY = f"CASE WHEN typeof(money) IN ('real', 'integer') AND money BETWEEN 0 AND {MOST_MONEY} THEN money ELSE 0 END"
TOTALS = f"""SELECT experiment, teacher, sum(answered), sum({counted("prompt_tokens")}), sum({counted("completion_tokens")}),
    sum({counted("unanswered")}), total({MONEY}) FROM charges GROUP BY experiment, teacher
    ORDER BY experiment = '', min(created)"""
FORGOTTEN = """INSERT INTO charges
    SELECT random() & 0x3fffffffffffffff, '', '', coalesce(json_extract(identity, '$.model'), 'None'), key, created, 1, 1,
    prompt_tokens, completion_tokens, 0, 0.0, 0.0 FROM answers JOIN teachers ON digest = teacher
    WHERE origin = '' AND key NOT IN (SELECT key FROM charges) AND """


@dataclass(frozen=True)
class Run:
    """Whose money is counted together."""

    digest: str  # of all that decides its queries
    experiment: str  # its name, for the list; another of the same digest is the same run


@dataclass(frozen=True)
class Charge:
    """What one call came to."""

    answered: bool
    prompt_tokens: int
    completion_tokens: int
    unanswered: int  # attempts without an answer that the server may have charged for
    lost: float  # money for those
    money: float  # in all, also for those


@dataclass(frozen=True)
class Spending:
    """What one teacher was asked in one experiment, and what that cost."""

    experiment: str
    teacher: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    unanswered: int
    money: float | None  # None is unknown


class Ledger:
    """What one teacher is charged in one run; the caller turns SQLite's errors into ours."""

    def __init__(self, database: Connection, run: Run, teacher: str) -> None:
        self._database, self._run, self._teacher = database, run, teacher
        if not has_ledger(database):
            with database.transaction():
                _make_ledger(database)

    def spent(self) -> float:
        """Return the money of the run so far; a call under way counts with the most that it can cost."""
        row = self._database.execute("SELECT money FROM runs WHERE run = ?", [self._run.digest]).fetchone()
        if row and not 0 <= row[0] <= MOST_MONEY:  # by a count that an older version believed
            row = self._database.execute(
                f"SELECT total({MONEY}) FROM charges WHERE run = ?", [self._run.digest]
            ).fetchone()
        return row[0] if row else 0.0

    def reserve(self, key: str, highest: float, limit: float | None) -> int | None:
        """Write down the highest cost of a call that is about to be made, and return its number; None is over the limit."""
        with self._database.transaction():
            if limit is not None and highest and self.spent() + highest > limit:  # what is free needs no room
                return None
            return self._open(key, highest)

    def settle(self, number: int, charge: Charge) -> None:
        """Replace a reserved cost by the real one; a call that cost nothing and had no answer leaves nothing.

        The caller holds the transaction, in which it keeps the answer too.
        """
        query = "SELECT run, money FROM charges WHERE id = ?"
        run, reserved = self._database.execute(query, [number]).fetchone()
        if charge.answered or charge.unanswered:
            counts = (charge.prompt_tokens, charge.completion_tokens, charge.unanswered, charge.lost, charge.money)
            self._database.execute(SETTLE, [charge.answered, *counts, number])
        else:
            self._database.execute("DELETE FROM charges WHERE id = ?", [number])
        self._spend(run, charge.money - reserved)

    def adopt(self, key: str) -> int | None:
        """Return the number of a call that an earlier process has made and not settled, be it of another run, or a new one.

        None is one that is settled already: another process has read the same answer.
        """
        query = "SELECT id, settled FROM charges WHERE key = ? ORDER BY settled, created DESC LIMIT 1"
        row = self._database.execute(query, [key]).fetchone()
        if row is None:
            return self._open(key, 0.0)
        return None if row[1] else row[0]

    def _open(self, key: str, highest: float) -> int:
        values = [self._run.digest, self._run.experiment, self._teacher, key, time.time(), highest, highest]
        number = secrets.randbits(62)
        self._database.execute(INSERT, [number, *values])
        self._spend(self._run.digest, highest)
        return number

    def _spend(self, run: str, money: float) -> None:
        if money:
            self._database.execute(SPEND, [run, money])


def has_ledger(database: Connection) -> bool:
    """Return whether a call was ever written down."""
    return database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'runs'").fetchone() == (1,)


def keep_costs(database: Connection, chosen: str, values: Mapping[str, object]) -> None:
    """Write down what answers cost that are in no ledger, before they are forgotten; of their money nothing is known.

    Args:
        chosen: the condition that says which, with the names of `values`
    """
    _make_ledger(database)
    database.execute(FORGOTTEN + chosen, values)


def _make_ledger(database: Connection) -> None:
    for statement in SCHEMA:
        database.execute(statement)


def lost_money(database: Connection, keys: Sequence[str]) -> float:
    """Return what attempts without an answer may have cost, for the calls with these keys, in every run."""
    lost = 0.0
    for start in range(0, len(keys) if has_ledger(database) else 0, CHUNK):
        chunk = keys[start : start + CHUNK]
        believed = f"lost BETWEEN 0 AND {MOST_MONEY}"
        query = f"SELECT total(lost) FROM charges WHERE {believed} AND key IN ({', '.join('?' * len(chunk))})"
        lost += database.execute(query, chunk).fetchone()[0]
    return lost


def spendings(database: Connection) -> list[Spending]:
    """Return what every teacher cost in every experiment, in the order of their first calls.

    What no run of this ledger asked, such as an older version's answers, is of experiment "" and comes last.
    """
    listed = [Spending(*row) for row in database.execute(TOTALS)] if has_ledger(database) else []
    unlisted = {row.teacher: replace(row, money=None) for row in listed if not row.experiment}
    for identity, *counts in _unlisted_answers(database):
        teacher = str(json.loads(identity).get("model"))
        before = unlisted.get(teacher, Spending("", teacher, 0, 0, 0, 0, None))
        calls, tokens_in, tokens_out = counts
        unlisted[teacher] = replace(
            before,
            calls=before.calls + calls,
            prompt_tokens=before.prompt_tokens + tokens_in,
            completion_tokens=before.completion_tokens + tokens_out,
        )
    return [*(row for row in listed if row.experiment), *unlisted.values()]


def _unlisted_answers(database: Connection) -> list[tuple[str, int, int, int]]:
    """Return teacher's identity, answers, prompt tokens and completion tokens of what was asked here and is in no ledger."""
    known = "AND key NOT IN (SELECT key FROM charges)" if has_ledger(database) else ""
    return database.execute(
        f"SELECT identity, count(*), sum({counted('prompt_tokens')}), sum({counted('completion_tokens')}) FROM answers "
        f"JOIN teachers ON digest = teacher WHERE origin = '' {known} GROUP BY digest ORDER BY min(created), digest"
    ).fetchall()
