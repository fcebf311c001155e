"""The index of ids on disk: what it tells apart, and what it says when there is no room for it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from tinyllm.corpus.places import Places


def test_an_id_keeps_its_first_place() -> None:
    with Places() as places:
        assert places.setdefault("a", "1") == "1"
        assert places.setdefault("b", "2") == "2"
        assert places.setdefault("a", "3") == "1"
        assert places.setdefault("a", "1") == "1"
        assert (places.get("a"), places.get("b"), places.get("c")) == ("1", "2", None)
        assert places.count == 2


def test_ids_that_are_alike_are_told_apart() -> None:
    ids = ["a", "A", " a", "a ", "a\x00", "a\x00b", "ä", "a\u0308", "1", "1.0", "01", "\U0001f600"]
    with Places() as places:
        assert [places.setdefault(id_, str(number)) for number, id_ in enumerate(ids)] == list(
            map(str, range(len(ids)))
        )
        assert [places.get(id_) for id_ in ids] == list(map(str, range(len(ids))))


FILL = """
import resource, sys
from tinyllm.corpus.places import Places
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with Places() as places:
    for number in range(100_000):
        places.setdefault(f"{number * 7919 % 100_003:040d}", str(number))
    assert places.count == 100_000
    assert all(places.get(f"{number * 7919 % 100_003:040d}") == str(number) for number in range(0, 100_000, 97))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)
"""


def fill(folder: Path, size: int = resource.RLIM_INFINITY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FILL],
        env={**os.environ, "TMPDIR": str(folder), "SQLITE_TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


def test_memory_does_not_grow_with_the_ids_and_no_file_is_left(tmp_path: Path) -> None:
    ended = fill(tmp_path)
    assert not ended.stderr
    assert int(ended.stdout) < 6  # MiB: as a dictionary of texts they took 19
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_in_one_line_with_the_remedy(tmp_path: Path) -> None:
    ended = fill(tmp_path, 1_000_000)
    message = ended.stderr.splitlines()[-1]
    assert message.startswith("ValueError: the temporary index of ids cannot be written (")
    assert message.endswith("); free space, or set TMPDIR to a folder that has it")
    assert not list(tmp_path.iterdir())
