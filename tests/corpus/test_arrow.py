"""Rows in an Arrow file: what comes back, what ids are told apart, how much memory it takes, and a full disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tinyllm.corpus import arrow
from tinyllm.corpus.arrow import ArrowRows, IdIndex


def rows_of(ids: list[str]) -> ArrowRows:
    return ArrowRows({"id": pa.string(), "number": pa.int64()}, ({"id": id_, "number": n} for n, id_ in enumerate(ids)))


@pytest.mark.parametrize("count", [0, 1, 6, 7])
def test_rows_come_back_one_by_one_whatever_the_batch(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "BATCH", 3)
    expected = [{"id": f"q{number}", "number": number} for number in range(count)]
    rows = rows_of([row["id"] for row in expected])
    assert len(rows) == count
    assert list(rows) == expected
    assert [rows[number] for number in reversed(range(count))] == expected[::-1]
    assert list(rows.column("number")) == list(range(count))
    for outside in (-1, count):
        with pytest.raises(IndexError):
            rows[outside]


def test_a_row_is_found_by_its_id() -> None:
    index = IdIndex(rows_of(["b", "a", "c"]))
    assert [index.find(id_) for id_ in "abcd"] == [
        [{"id": "a", "number": 1}],
        [{"id": "b", "number": 0}],
        [{"id": "c", "number": 2}],
        [],
    ]


ALIKE = ["a", "A", " a", "a ", "a\x00", "a\x00b", "ä", "a\u0308", "1", "1.0", "01", "\U0001f600"]


@pytest.mark.parametrize("key", [None, lambda id_: 0], ids=["hashes", "every hash the same"])
def test_ids_that_are_alike_are_told_apart(key, monkeypatch: pytest.MonkeyPatch) -> None:
    if key:
        monkeypatch.setattr(arrow, "_key", key)
    index = IdIndex(rows_of(ALIKE))
    assert [index.find(id_) for id_ in ALIKE] == [[{"id": id_, "number": n}] for n, id_ in enumerate(ALIKE)]
    assert index.find("b") == []
    assert index.first_repeat() is None


@pytest.mark.parametrize("key", [None, lambda id_: 0], ids=["hashes", "every hash the same"])
def test_the_first_repeat_in_the_rows_order_is_named(key, monkeypatch: pytest.MonkeyPatch) -> None:
    if key:
        monkeypatch.setattr(arrow, "_key", key)
    assert IdIndex(rows_of(["d", "c", "b", "c", "d", "d", "a"])).first_repeat() == (
        {"id": "c", "number": 3},
        {"id": "c", "number": 1},
    )


FILL = """
import re, sys
import pyarrow as pa
from pathlib import Path
from random import Random
from tinyllm.corpus.arrow import ArrowRows, IdIndex

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

def fill(count):
    rows = ({"id": f"{number * 7919 % 100_003:040d}", "text": f"{number:0500d}"} for number in range(count))
    table = ArrowRows({"id": pa.string(), "text": pa.string()}, rows)
    index = IdIndex(table)
    assert index.first_repeat() is None
    for number in Random(1).sample(range(count), 10_000):
        assert index.find(f"{number * 7919 % 100_003:040d}")[0]["text"][-8:] == f"{number:08d}"

fill(20_000)
start = peak()
fill(100_000)
print(peak() - start)
"""


def fill(folder: Path, size: int = resource.RLIM_INFINITY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FILL],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_hardly_grows_with_the_rows_and_no_file_is_left(tmp_path: Path) -> None:
    ended = fill(tmp_path)
    assert not ended.stderr
    assert int(ended.stdout) < 6  # MiB: the rows themselves are 55
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_in_one_line_with_the_remedy(tmp_path: Path) -> None:
    ended = fill(tmp_path, 1_000_000)
    assert "Exception ignored" not in ended.stderr
    message = ended.stderr.splitlines()[-1]
    assert message.startswith("ValueError: the temporary copy of the rows cannot be written (")
    assert message.endswith("); free space, or set TMPDIR to a folder that has it")
    assert not list(tmp_path.iterdir())
