"""The file of the answer cache under real processes that race, are killed and run out of disk, and files that are no cache."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tinyllm.teachers.cache import database as answer_database
from tinyllm.teachers.cache.entry import answer_key
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.protocol import Generation, Prompt

ROOT = Path(__file__).resolve().parents[3]
IDENTITY = {"backend": "server", "model": "toy"}
START = """
import itertools, json, sys
from pathlib import Path
from tinyllm.teachers.cache.entry import answer_key
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.protocol import Generation, Prompt

def put(cache, question, text):
    prompt = Prompt("", question)
    return cache.put(answer_key({"backend": "server", "model": "toy"}, prompt), {"backend": "server", "model": "toy"},
        prompt, Generation(text, "stop", 1, 1))
"""


def process(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A Python process that can `put(cache, question, text)`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", START + script, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True, **options)


def put(cache: ResponseCache, question: str, text: str = "Fins.") -> Generation:
    return cache.put(key(question), IDENTITY, Prompt("", question), Generation(text, "stop", 1, 1))


def key(question: str) -> str:
    return answer_key(IDENTITY, Prompt("", question))


def check_whole(path: Path) -> None:
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def failure(path: Path) -> str:
    """The line that opening a file ends with."""
    with pytest.raises(ValueError) as caught:
        ResponseCache(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


# --- several processes ----------------------------------------------------------------------------------------------

RACE = """
name, folder = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
held = {}
for file in range(15):
    with ResponseCache(Path(folder) / f"{file}.sqlite") as cache:
        for question in range(8):
            held[f"{file} {question}"] = put(cache, f"{question}", name).text
print(json.dumps(held))
"""


def test_processes_that_make_one_file_at_once_agree_on_every_answer(tmp_path: Path) -> None:
    racers = [process(RACE, f"racer {number}", tmp_path) for number in range(4)]
    for racer in racers:
        assert racer.stdout and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    ends = [racer.communicate(timeout=60) for racer in racers]
    assert [errors for _, errors in ends] == [""] * 4
    held = [json.loads(out) for out, _ in ends]
    assert held[0] == held[1] == held[2] == held[3]
    for file in range(15):
        with ResponseCache(tmp_path / f"{file}.sqlite") as cache:
            kept = cache.get([key(f"{question}") for question in range(8)])
        assert [kept[key(f"{question}")].text for question in range(8)] == [held[0][f"{file} {n}"] for n in range(8)]
        check_whole(tmp_path / f"{file}.sqlite")


@pytest.mark.parametrize("racers", [4])
def test_processes_that_open_an_older_cache_at_once_bring_it_up_to_date_once(tmp_path: Path, racers: int) -> None:
    for file in range(15):
        with ResponseCache(tmp_path / f"{file}.sqlite"):
            pass
        statements = (
            "DROP INDEX by_origin",
            "ALTER TABLE answers DROP COLUMN model",
            "ALTER TABLE answers DROP COLUMN origin",
        )
        other_database(tmp_path / f"{file}.sqlite", *statements)
    started = [process(RACE, f"racer {number}", tmp_path) for number in range(racers)]
    for racer in started:
        assert racer.stdout and racer.stdout.readline() == "ready\n"
    ends = [racer.communicate("go\n", timeout=120) for racer in started]
    assert [errors for _, errors in ends] == [""] * racers
    assert len({out for out, _ in ends}) == 1
    check_whole(tmp_path / "0.sqlite")


HOLD = """
import sqlite3, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute(sys.argv[2])
database.execute(sys.argv[3]).fetchone()
print("held", flush=True)
time.sleep(0.3)
print(time.monotonic(), flush=True)
database.execute("ROLLBACK")
"""


def test_a_put_waits_for_a_process_that_is_writing(tmp_path: Path) -> None:
    with ResponseCache(tmp_path / "a.sqlite") as cache:
        holder = process(HOLD, tmp_path / "a.sqlite", "BEGIN IMMEDIATE", "SELECT 1")
        assert holder.stdout and holder.stdout.readline() == "held\n"
        assert put(cache, "?").text == "Fins."
        done = time.monotonic()
        released, errors = holder.communicate(timeout=30)
        assert float(released) < done < float(released) + 10 and errors == ""


def test_making_the_file_waits_for_a_process_that_has_begun_to(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").touch()
    holder = process(HOLD, tmp_path / "a.sqlite", "BEGIN", "CREATE TABLE brief (a)")
    assert holder.stdout and holder.stdout.readline() == "held\n"
    with ResponseCache(tmp_path / "a.sqlite") as cache:
        assert put(cache, "?").text == "Fins."
    assert holder.communicate(timeout=30)[1] == ""


def test_a_lock_that_is_never_given_back_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.sqlite"
    ResponseCache(path).__exit__()
    monkeypatch.setattr(answer_database, "BUSY_SECONDS", 0.1)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with (
        ResponseCache(path) as cache,
        pytest.raises(ValueError, match=r"a\.sqlite: locked by another process for 60 s; end it"),
    ):
        put(cache, "?")
    holder.close()


# --- killed ---------------------------------------------------------------------------------------------------------

WRITE = """
with ResponseCache(Path(sys.argv[1])) as cache, open(sys.argv[3], "ab", buffering=0) as printed:
    for number in itertools.count():
        question = f"{sys.argv[2]} {number}"
        put(cache, question, f"{question} " * 100)
        printed.write((question + chr(10)).encode())  # one write, whole or not at all, after whatever the other wrote
"""


@pytest.mark.parametrize("rounds", [4, pytest.param(40, marks=pytest.mark.nightly)])
def test_a_process_that_is_killed_loses_no_answer_that_was_kept(tmp_path: Path, rounds: int) -> None:
    rng = random.Random(rounds)
    path, printed = tmp_path / "a.sqlite", tmp_path / "printed"
    reported: list[str] = []
    for number in range(rounds):
        with open(printed, "w", encoding="utf-8") as file:
            writers = [process(WRITE, path, f"{number}{name}", printed) for name in "ab"]
            while not file.seek(0, os.SEEK_END) and not any(writer.poll() for writer in writers):
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.1))  # the slower of the two may still be on its way to the first answer
            for writer in writers:
                writer.send_signal(signal.SIGKILL)
        for writer in writers:
            assert (writer.communicate(timeout=30), writer.returncode) == (("", ""), -signal.SIGKILL)
        reported += printed.read_text(encoding="utf-8").split("\n")[:-1]
        with ResponseCache(path) as cache:
            kept = cache.get([key(question) for question in reported])
        assert all(kept[key(question)].text == f"{question} " * 100 for question in reported)
    assert len(reported) > 10 * rounds
    check_whole(path)


# --- a full disk ----------------------------------------------------------------------------------------------------

FILL = """
try:
    with ResponseCache(Path(sys.argv[1])) as cache:
        for number in itertools.count():
            put(cache, f"{number}", "x" * 500)
            print(number, flush=True)
except ValueError as error:
    sys.exit(f"error: {error}")
"""


def fill(path: Path, **options: Any) -> tuple[int, str]:
    """Put answers until it fails; return how many were kept, and the error."""
    writer = process(FILL, path, **options)
    out, errors = writer.communicate(timeout=60)
    assert writer.returncode == 1
    return len(out.split()), errors


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, where the user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tinyllm-test", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_is_told_and_every_answer_before_it_is_kept(small_disk: Path) -> None:
    path = small_disk / "answers.sqlite"
    count, errors = fill(path)
    sentence = "the disk is full; free space and run again, what the cache held is still there"
    assert (count > 3, errors) == (True, f"error: {path}: {sentence}\n")
    with ResponseCache(path) as cache:  # with the disk still full
        assert len(cache.get([key(f"{number}") for number in range(count)])) == count
        with pytest.raises(ValueError, match="the disk is full"):
            put(cache, "one more", "x" * 100_000)
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    with ResponseCache(path) as cache:
        put(cache, "one more", "x" * 100_000)
        assert len(list(cache.entries())) == count + 1
    check_whole(path)


@pytest.mark.parametrize("size", [20_000, 100_000, 300_000])
def test_a_file_that_may_not_grow_is_told_and_every_answer_before_it_is_kept(tmp_path: Path, size: int) -> None:
    path = tmp_path / "answers.sqlite"
    count, errors = fill(path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    sentence = "disk I/O error; check the disk and its space and run again, what the cache held is still there"
    assert (count > size // 20_000 - 2, errors) == (True, f"error: {path}: {sentence}\n")
    with ResponseCache(path) as cache:
        assert [len(entry.answer.text) for entry in cache.entries()] == [500] * count
        put(cache, "one more")
    check_whole(path)


# --- private --------------------------------------------------------------------------------------------------------


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}


def test_a_new_cache_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    with ResponseCache(tmp_path / "kept" / ".cache" / "a.sqlite") as cache:
        put(cache, "?")
        private = {"a.sqlite": 0o600, "a.sqlite-wal": 0o600, "a.sqlite-shm": 0o600}
        assert modes(tmp_path / "kept" / ".cache") == {".cache": 0o700, **private}
    os.umask(before)


@pytest.mark.parametrize(("folder", "after"), [(".cache", 0o700), ("shared", 0o755)])
def test_a_laxer_cache_is_closed_to_others_but_no_folder_that_may_be_shared(
    tmp_path: Path, folder: str, after: int
) -> None:
    path = tmp_path / folder / "a.sqlite"
    with ResponseCache(path) as cache:
        put(cache, "?")
        for name in ("a.sqlite", "a.sqlite-wal", "a.sqlite-shm"):
            (path.parent / name).chmod(0o664)
        path.parent.chmod(0o755)
        with ResponseCache(path) as second:
            assert second.get([key("?")])[key("?")].text == "Fins."
        private = {"a.sqlite": 0o600, "a.sqlite-wal": 0o600, "a.sqlite-shm": 0o600}
        assert modes(path.parent) == {folder: after, **private}


# --- files that are no cache ----------------------------------------------------------------------------------------


def other_database(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


def test_a_file_that_is_no_database_is_told_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_text("the answers of last week\n" * 100)
    assert failure(path).startswith("is no answer cache (no SQLite file); move it away, or set TINYLLM_CACHE")
    assert path.read_text() == "the answers of last week\n" * 100


def test_a_database_of_another_program_is_told_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    other_database(path, "CREATE TABLE answers (key TEXT)")
    before = path.read_bytes()
    assert failure(path).startswith("is another program's database; move it away, or set TINYLLM_CACHE")
    assert path.read_bytes() == before


def test_a_cache_of_a_newer_format_is_told_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with ResponseCache(path) as cache:
        put(cache, "?")
    other_database(path, "PRAGMA user_version = 2")
    before = path.read_bytes()
    assert failure(path) == "has format 2, this tinyllm reads 1; use the version that wrote it"
    assert path.read_bytes() == before


def test_a_damaged_cache_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with ResponseCache(path) as cache:
        for number in range(50):
            put(cache, f"{number}", "x" * 500)
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with ResponseCache(path) as cache, pytest.raises(ValueError, match=r"a\.sqlite: is damaged \(.*\); move it away"):
        cache.get([key("1")])


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").mkdir()
    assert failure(tmp_path / "a.sqlite").startswith("cannot be opened; it must be a file")


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(ValueError, match=r"cache: File exists; set TINYLLM_CACHE to another folder"):
        ResponseCache(tmp_path / "cache" / "answers.sqlite")


def test_an_empty_file_becomes_a_cache(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").touch()  # what a process that was killed at its very start leaves
    with ResponseCache(tmp_path / "a.sqlite") as cache:
        assert put(cache, "?").text == "Fins."


def test_a_bug_keeps_its_own_error(tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(":memory:")) as database,
        pytest.raises(sqlite3.OperationalError, match="no such table"),
        answer_database.database_errors(tmp_path),
    ):
        database.execute("SELECT * FROM nowhere")
