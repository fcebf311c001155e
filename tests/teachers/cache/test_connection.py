"""A cache whose file is deleted or moved in mid-run: all that it held is written anew, by whichever process notices first."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tinyllm.teachers.cache.batches import Batches
from tinyllm.teachers.cache.entry import answer_key
from tinyllm.teachers.cache.ledger import Charge, Run
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.protocol import Generation, Prompt

ROOT = Path(__file__).resolve().parents[3]
IDENTITY = {"backend": "server", "model": "toy"}


def key(question: str) -> str:
    return answer_key(IDENTITY, Prompt("", question))


def put(cache: ResponseCache, question: str) -> None:
    cache.put(key(question), IDENTITY, Prompt("", question), Generation(f"{question}!", "stop", 1, 1))


def replace_by_empty(path: Path) -> None:
    shutil.rmtree(path.parent)
    ResponseCache(path).__exit__()


REMOVE: dict[str, Callable[[Path], object]] = {
    "the folder deleted": lambda path: shutil.rmtree(path.parent),
    "the file deleted": lambda path: path.unlink(),
    "the folder moved": lambda path: path.parent.rename(path.parent.with_name("moved")),
    "another in its place": replace_by_empty,
}


@pytest.mark.parametrize("remove", REMOVE)
def test_all_that_it_held_is_written_anew_and_told_once(tmp_path: Path, remove: str, capsys) -> None:
    path = tmp_path / "cache" / "a.sqlite"
    with ResponseCache(path) as cache:
        put(cache, "before")
        ledger = cache.ledger(Run("a", "first"), "ann")
        paid, open_ = ledger.reserve(key("before"), 2.0, None), ledger.reserve(key("after"), 3.0, None)
        assert paid is not None and open_ is not None
        with cache.atomically():
            ledger.settle(paid, Charge(True, 1, 1, 0, 0.0, 1.5))
        Batches(path, "digest").add("file-1", [key("batch")])
        REMOVE[remove](path)
        put(cache, "after")
        assert ledger.spent() == 4.5
        with cache.atomically():
            ledger.settle(open_, Charge(True, 1, 1, 0, 0.0, 1.0))
    assert capsys.readouterr().err == f"{path}: was removed while in use; written anew, with all that it held\n"
    with ResponseCache(path) as cache:
        assert {cache.get([key(name)])[key(name)].text for name in ("before", "after")} == {"before!", "after!"}
        assert [(row.calls, row.money) for row in cache.spendings()] == [(2, 2.5)]
    assert [batch.input_file for batch in Batches(path, "digest").open()] == ["file-1"]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_what_is_removed_after_the_last_answer_is_written_anew_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "a.sqlite"
    with ResponseCache(path) as cache:
        put(cache, "before")
        shutil.rmtree(path.parent)
    with ResponseCache(path) as cache:
        assert cache.get([key("before")])[key("before")].text == "before!"


def test_a_file_that_cannot_be_written_anew_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "a.sqlite"
    cache = ResponseCache(path)
    shutil.rmtree(path.parent)
    path.parent.write_text("a file in the folder's place")
    with pytest.raises(ValueError, match=r"cache: File exists; set TINYLLM_CACHE to another folder"):
        put(cache, "?")
    with pytest.raises(ValueError, match="cache: File exists"):
        cache.__exit__()


WRITE = """
import sys, time
from pathlib import Path
from tests.teachers.cache.test_connection import put
from tinyllm.teachers.cache.store import ResponseCache
with ResponseCache(Path(sys.argv[1])) as cache:
    print("ready", flush=True)
    for number in range(150):
        put(cache, f"{sys.argv[2]} {number}")
        time.sleep(0.005)
"""


def test_two_processes_that_lose_the_file_lose_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "a.sqlite"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    commands = [[sys.executable, "-c", WRITE, str(path), name] for name in ("ann", "bob")]
    options = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen(command, **options) for command in commands]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    time.sleep(0.2)
    path.parent.rename(tmp_path / "moved")
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    with ResponseCache(path) as cache:
        wanted = [key(f"{name} {number}") for name in ("ann", "bob") for number in range(150)]
        assert len(cache.get(wanted)) == 300
