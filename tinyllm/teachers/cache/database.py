"""The SQLite file behind the answer cache: the first process makes it, and each of its faults has an error of one line.

Several processes of one machine may use the file at once. The folder must be on a local disk, since SQLite's write-ahead log
needs memory that they share. The log is the file of the same name that ends in `-wal`. It belongs to the cache.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tinyllm.records.files import close_to_others, make_private

FORMAT = 1  # of the file
APPLICATION = 0x54494E59  # "TINY": tells our files from those of other programs
BUSY_SECONDS = 60.0  # until a lock of another process is an error

# What a file of an older version lacks, and gets when it is opened; older versions go on reading and writing it.
NOT_WAITING = 0 if sys.platform == "win32" else os.O_NONBLOCK  # of a pipe in the file's place
LATER = (
    "ALTER TABLE answers ADD COLUMN model TEXT NOT NULL DEFAULT ''",  # the name that the answer itself gave its model
    "ALTER TABLE answers ADD COLUMN origin TEXT NOT NULL DEFAULT ''",  # the file that it was imported from; '' is asked here
    # It holds all that the list of teachers is made of, so that listing reads no text.
    "CREATE INDEX by_origin ON answers (teacher, origin, model, created, prompt_tokens, completion_tokens)",
    "DROP INDEX IF EXISTS by_teacher",  # which had less
)
# Where the file may not be written: it reads as if it had them.
UNCHANGED = "CREATE TEMP VIEW answers AS SELECT *, '' AS model, '' AS origin FROM main.answers"
SCHEMA = (
    "CREATE TABLE teachers (digest TEXT PRIMARY KEY NOT NULL, identity TEXT NOT NULL)",
    """CREATE TABLE answers (
        key TEXT PRIMARY KEY NOT NULL, teacher TEXT NOT NULL REFERENCES teachers, system TEXT NOT NULL,
        prompt TEXT NOT NULL, sample INTEGER NOT NULL, text TEXT NOT NULL, finish TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, created REAL NOT NULL)""",
    *LATER,
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
)

FAULTS = {
    sqlite3.SQLITE_FULL: "the disk is full; free space and run again, what the cache held is still there",
    sqlite3.SQLITE_IOERR: "{}; check the disk and its space and run again, what the cache held is still there",
    sqlite3.SQLITE_BUSY: f"locked by another process for {BUSY_SECONDS:.0f} s; end it, or set TINYLLM_CACHE elsewhere",
    sqlite3.SQLITE_READONLY: "may not be written; change its permissions, or set TINYLLM_CACHE to another folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; it must be a file that may be written, in such a folder, on a disk with space",
    sqlite3.SQLITE_NOTADB: "is no answer cache (no SQLite file); move it away, or set TINYLLM_CACHE to another folder",
    sqlite3.SQLITE_CORRUPT: "is damaged ({}); move it away, and save what `sqlite3 FILE .recover` still finds in it",
}


def open_database(path: Path) -> sqlite3.Connection:
    """Return a connection to the file, which is made with its folder where there is none; every statement commits itself.

    File and folder are their owner's alone. Folders that are there already stay as they are, but for one named `.cache`.

    A commit is in the operating system's hands when it returns: nothing is lost if the process is killed. It is not forced
    to the disk each time (`synchronous=NORMAL`). So a power cut may take the last commits, but leaves the rest whole. The
    last are those since the log was last copied into the file, every 4 MB or so.

    Raises:
        ValueError: the file cannot be opened, is another program's or a newer version's.
    """
    _keep_private(path)
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        with database_errors(path):
            database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                _prepare(database, path)
                return database
            except BaseException as error:
                database.close()
                # SQLite itself does not wait for a lock where it turns a new file to the log.
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
        time.sleep(0.01)


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Keep all that the block writes, or nothing; no other process writes meanwhile."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # a full disk ends it by itself
            database.execute("ROLLBACK")
        raise


class CacheFault(ValueError):
    """The cache's file cannot be read or written."""


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's error about the file into a CacheFault of one line; a bug keeps its own error."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        fault = FAULTS.get(_code(error))
        if fault is None:
            raise
        raise CacheFault(f"{path}: {fault.format(error)}") from None


def _keep_private(path: Path) -> None:
    """Make the folder and an empty file that nobody else may read; SQLite gives its log the same permissions."""
    try:
        make_private(path.parent)
    except OSError as error:
        raise CacheFault(f"{error.filename}: {error.strerror}; set TINYLLM_CACHE to another folder") from None
    if path.parent.name == ".cache":  # any other folder may be shared on purpose
        close_to_others(path.parent)
    with suppress(OSError):  # SQLite has better words for what is wrong
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | NOT_WAITING, 0o600))
    for ending in ("", "-wal", "-shm"):
        close_to_others(path.with_name(path.name + ending))


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    if _is_new(database, path):
        (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise ValueError(
                f"{path}: its file system has no shared memory; set TINYLLM_CACHE to a folder on a local disk"
            )
        with transaction(database):
            if _is_new(database, path):  # or another process has made it since
                for statement in SCHEMA:
                    database.execute(statement)
    elif _is_older(database):
        bring_up_to_date(database)
    database.execute("PRAGMA synchronous = NORMAL")


def _is_new(database: sqlite3.Connection, path: Path) -> bool:
    """Return whether there is nothing in the file yet; refuse one that is not ours."""
    # Read one after the other while another process may be making it: tables first, for what is read later is no older.
    reading = ("SELECT count(*) FROM sqlite_master", "PRAGMA application_id", "PRAGMA user_version")
    tables, application, version = (database.execute(statement).fetchone()[0] for statement in reading)
    if not tables and not application:
        return True
    if application != APPLICATION:
        raise ValueError(f"{path}: is another program's database; move it away, or set TINYLLM_CACHE to another folder")
    if version != FORMAT:
        raise ValueError(f"{path}: has format {version}, this tinyllm reads {FORMAT}; use the version that wrote it")
    return False


def _is_older(database: sqlite3.Connection) -> bool:
    return database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'by_origin'").fetchone() == (0,)


def bring_up_to_date(database: sqlite3.Connection) -> None:
    """Add what an older version did not have, all of it or nothing."""
    try:
        with transaction(database):
            if _is_older(database):  # or another process has done it since
                for statement in LATER:
                    database.execute(statement)
    except sqlite3.OperationalError as error:
        if _code(error) != sqlite3.SQLITE_READONLY:
            raise
        database.execute(UNCHANGED)


def _code(error: BaseException) -> int:
    """SQLite's code without the details in its upper bytes; 0 where Python raised the error by itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_busy(error: BaseException) -> bool:
    return _code(error) == sqlite3.SQLITE_BUSY
