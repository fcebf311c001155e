"""A query whose cache fails while replies are waiting: one line, and what was kept is there."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asked import set_up, start
from tests.endpoint import Endpoint, running

QUESTIONS = 120


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with running("--latency", "0.1", "--limit", "64") as started:
        yield started


@pytest.fixture
def asking(tmp_path: Path, endpoint: Endpoint) -> Path:
    """The folder of a query that is about to be started."""
    set_up(tmp_path, endpoint.url, QUESTIONS, 4, 4, runtime__deadline=1.0)
    (tmp_path / "cache").mkdir()
    return tmp_path


def wait_for(endpoint: Endpoint, count: int) -> None:
    while sum(endpoint.get("count")["answered"].values()) < count:
        time.sleep(0.02)


def asked(endpoint: Endpoint) -> set[int]:
    """How often each prompt was asked."""
    return set(endpoint.get("count")["seen"].values())


def kept(folder: Path) -> int:
    database = sqlite3.connect(folder / "cache/answers.sqlite")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    (count,) = database.execute("SELECT count(*) FROM answers").fetchone()
    database.close()
    return int(count)


def test_a_disk_that_fills_up_while_replies_wait_is_told_in_one_line(asking: Path, endpoint: Endpoint) -> None:
    disk = asking / "cache"
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700k", "tinyllm-test", disk], capture_output=True
    ).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        query = start(asking, "query")
        _, errors = query.communicate(timeout=60)
        sentence = "the disk is full; free space and run again, what the cache held is still there"
        assert (query.returncode, errors) == (1, f"error: {disk}/answers.sqlite: {sentence}\n")
        before = kept(asking)
        assert before > 3
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        again = start(asking, "query")
        assert (
            f"endpoint: {before} answers from the cache, {QUESTIONS + 4 - before} new"
            in again.communicate(timeout=60)[1]
        )
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_cache_that_is_removed_while_asking_is_written_anew_with_every_answer(
    asking: Path, endpoint: Endpoint
) -> None:
    query = start(asking, "query")
    wait_for(endpoint, 40)
    shutil.rmtree(asking / "cache")
    _, errors = query.communicate(timeout=60)
    assert query.returncode == 0 and errors.count("was removed while in use; written anew, with all that it held") == 1
    assert (kept(asking), asked(endpoint)) == (QUESTIONS + 4, {1})


def test_a_cache_that_is_locked_for_longer_than_a_deadline_loses_no_reply(asking: Path, endpoint: Endpoint) -> None:
    query = start(asking, "query")
    wait_for(endpoint, 40)
    holder = sqlite3.connect(asking / "cache/answers.sqlite", isolation_level=None, timeout=30)
    holder.execute("BEGIN IMMEDIATE")
    time.sleep(2.5)  # more than twice runtime.deadline
    holder.execute("ROLLBACK")
    holder.close()
    _, errors = query.communicate(timeout=60)
    assert (query.returncode, kept(asking), asked(endpoint)) == (0, QUESTIONS + 4, {1}), errors
