"""Answers as JSON lines: the round trip is exact, and a faulty file changes nothing."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cached import cache_entry
from tinyllm.teachers.cache.entry import Entry
from tinyllm.teachers.cache.store import ResponseCache, TeacherTotals
from tinyllm.teachers.cache.transfer import export_answers, find_teachers, read_entries
from tinyllm.teachers.protocol import Generation, Prompt

ROOT = Path(__file__).resolve().parents[3]
ANNE = {"backend": "server", "model": "anne", "temperature": 0.0, "seed": None, "stop": ["\nQuestion:"], "é": [1, 1.0]}
BEN = {"backend": "local", "model": "ben", "large": 10**20, "small": 1e-300, "chat": False}
ENTRIES = [
    cache_entry(
        ANNE, Prompt("Explain.", "Which one swims?"), 0, Generation("Fins.\n", "stop", 12, 5), 1700000000.1234567
    ),
    cache_entry(ANNE, Prompt("Explain.", "Which one swims?"), 1, Generation("A", "length", 12, 0), 1700000001.0),
    cache_entry(
        BEN,
        Prompt("", "line\u2028separators\x85and \0 \r\n 🐟"),
        0,
        Generation(' "quoted" \\', "stop", 0, 9),
        0.1 + 0.2,
    ),
]


def cache_with(path: Path, entries: list[Entry]) -> ResponseCache:
    cache = ResponseCache(path)
    cache.merge(entries)
    return cache


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    with cache_with(tmp_path / "a.sqlite", ENTRIES) as cache:
        assert export_answers(cache, tmp_path / "a.jsonl") == 3
    return tmp_path / "a.jsonl"


def test_a_row_holds_everything_by_name(tmp_path: Path) -> None:
    with cache_with(tmp_path / "a.sqlite", ENTRIES[:1]) as cache:
        export_answers(cache, tmp_path / "a.jsonl")
    assert json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8")) == {
        "key": ENTRIES[0].key,
        "identity": ANNE,
        "system": "Explain.",
        "prompt": "Which one swims?",
        "sample": 0,
        "text": "Fins.\n",
        "finish": "stop",
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "created": 1700000000.1234567,
        "model": "",
        # sha256sum of the other fields as JSON, sorted and without spaces: {"completion_tokens":5,"created":1700000000.12...
        "sha256": "a29dc59dc2f2e6cbdb555e39119fa8563f5645e474f76d89fc25fc967f011226",
    }


def test_the_round_trip_is_exact(tmp_path: Path, exported: Path) -> None:
    entries = read_entries(exported).entries
    assert sorted(entries, key=lambda entry: entry.key) == sorted(ENTRIES, key=lambda entry: entry.key)
    with cache_with(tmp_path / "b.sqlite", entries[::-1]) as cache:  # in another order
        assert export_answers(cache, tmp_path / "b.jsonl") == 3
        assert cache.get([entry.key for entry in ENTRIES]) == {entry.key: entry.answer for entry in ENTRIES}
        assert cache.merge(entries) == (0, 3, 0)
    assert (tmp_path / "b.jsonl").read_bytes() == exported.read_bytes()


def test_one_teacher_can_be_exported_alone(tmp_path: Path) -> None:
    with cache_with(tmp_path / "a.sqlite", ENTRIES) as cache:
        (ben,) = [teacher.digest for teacher in cache.totals() if teacher.identity == BEN]
        assert export_answers(cache, tmp_path / "ben.jsonl", [ben]) == 1
    assert read_entries(tmp_path / "ben.jsonl").entries == ENTRIES[2:]


def test_a_faulty_row_is_told_with_its_line(exported: Path) -> None:
    first, second, *rest = exported.read_text(encoding="utf-8").split("\n")
    changed = json.dumps(json.loads(second) | {"sample": -1})
    exported.write_text("\n".join([first, changed, *rest]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.jsonl:2: sample -1; allowed is a whole number from 0$"):
        read_entries(exported)


def test_a_file_that_was_cut_is_told(exported: Path) -> None:
    exported.write_bytes(exported.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"a\.jsonl:3: not JSON"):
        read_entries(exported)


@pytest.mark.parametrize(
    "change",
    [
        {"text": "Fins!\n"},
        {"finish": "length"},
        {"prompt_tokens": 13},
        {"completion_tokens": 6},
        {"created": 1700000000.0},
        {"model": "anne-2"},
        {"sha256": "0" * 64},
        {"sha256": 7},
    ],
)
def test_a_line_that_was_changed_under_its_key_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with cache_with(tmp_path / "a.sqlite", ENTRIES[:2]) as cache:
        export_answers(cache, tmp_path / "a.jsonl")
    first, second = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "a.jsonl").write_text("\n".join([first, json.dumps(json.loads(second) | change)]), encoding="utf-8")
    message = "sha256 is not that of the line, which was changed or cut; import the file as it was exported"
    with pytest.raises(ValueError, match=rf"a\.jsonl:2: {message}$"):
        read_entries(tmp_path / "a.jsonl")


def test_a_file_of_an_older_version_has_no_checksums_and_is_taken_but_not_half_of_one(exported: Path) -> None:
    rows = [json.loads(line) for line in exported.read_text(encoding="utf-8").split("\n")[:-1]]
    bare = [{field: value for field, value in row.items() if field not in ("sha256", "model")} for row in rows]
    for lines, other in (([rows[0], *bare[1:]], "no"), ([bare[0], *rows[1:]], "a")):
        exported.write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
        with pytest.raises(
            ValueError, match=rf"a\.jsonl:2: has {other} sha256, other than the first line; import the file"
        ):
            read_entries(exported)
    exported.write_text("".join(json.dumps(row) + "\n" for row in bare), encoding="utf-8")
    assert (len(read_entries(exported).entries), read_entries(exported).unchecked) == (3, 3)


def test_the_model_that_answered_goes_with_the_answer(tmp_path: Path) -> None:
    answer = Generation("Fins.", "stop", 1, 1, model="anne-2024-08-06")
    with cache_with(tmp_path / "a.sqlite", [cache_entry(ANNE, Prompt("", "?"), 0, answer, 1.0)]) as cache:
        export_answers(cache, tmp_path / "a.jsonl")
    with cache_with(tmp_path / "b.sqlite", read_entries(tmp_path / "a.jsonl").entries) as cache:
        assert list(cache.get([entry.key for entry in cache.entries()]).values()) == [answer]


def test_an_exported_file_is_its_owners_alone(exported: Path) -> None:
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600


# --- which teacher --------------------------------------------------------------------------------------------------

HELD = [TeacherTotals(digest * 8, {}, 1, 1, 1, 0.0, 0.0) for digest in ("abcdef01", "abd00000")]


def test_a_teacher_is_found_by_the_start_of_its_digest() -> None:
    assert find_teachers(HELD, {}, "abc") == ("abcdef01" * 8,)
    assert find_teachers(HELD, {}, "abd00000" * 8) == ("abd00000" * 8,)


def test_teachers_are_found_by_their_name_which_comes_before_a_digest() -> None:
    names = {"abcdef01" * 8: ["ann", "abd"], "abd00000" * 8: ["ann"]}
    assert find_teachers(HELD, names, "ann") == ("abcdef01" * 8, "abd00000" * 8)
    assert find_teachers(HELD, names, "abd") == ("abcdef01" * 8,)
    with pytest.raises(ValueError, match=r"teacher 'bob': 0 digests .*; teachers of params.yaml there: abd, ann$"):
        find_teachers(HELD, names, "bob")


@pytest.mark.parametrize(("start", "count"), [("ab", 2), ("", 2), ("b", 0), ("abcdef01" * 9, 0)])
def test_no_teacher_or_several_are_told_with_what_there_is(start: str, count: int) -> None:
    message = f"teacher '{start}': {count} digests start so, allowed is 1; the cache has abcdef01ab, abd00000ab"
    with pytest.raises(ValueError, match=f"^{message}$"):
        find_teachers(HELD, {}, start)


# --- large, and cut off ---------------------------------------------------------------------------------------------

EXPORT = """
import resource, sys
from pathlib import Path
from tinyllm.teachers.cache.transfer import export_answers
from tinyllm.teachers.cache.store import ResponseCache

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

with ResponseCache(Path(sys.argv[1])) as cache:
    teacher = [cache.totals()[0].digest] if sys.argv[3] == "one" else None
    before = memory()
    count = export_answers(cache, Path(sys.argv[2]), teacher)
print(count, memory() - before)
"""


def export_process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", EXPORT, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, **options)


@pytest.mark.parametrize("teachers", ["all", "one"])
def test_memory_does_not_grow_with_what_is_exported(tmp_path: Path, teachers: str) -> None:
    text = "x" * 40_000
    entries = (
        cache_entry(BEN, Prompt("", f"{number}"), 0, Generation(text, "stop", 1, 1), 0.0) for number in range(400)
    )
    with ResponseCache(tmp_path / "a.sqlite") as cache:
        cache.merge(entries)
    ended = export_process(tmp_path / "a.sqlite", tmp_path / "a.jsonl", teachers)
    count, kilobytes = map(int, ended.stdout.split())
    assert count == 400 and (tmp_path / "a.jsonl").stat().st_size > 16_000_000
    assert kilobytes < 6_000


def test_an_export_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    with cache_with(tmp_path / "a.sqlite", ENTRIES) as cache:
        export_answers(cache, tmp_path / "a.jsonl")
        old = (tmp_path / "a.jsonl").read_bytes()
        entries = [
            cache_entry(BEN, Prompt("", f"{n}"), 0, Generation("x" * 1000, "stop", 1, 1), 0.0) for n in range(200)
        ]
        cache.merge(entries)
    limit = (100_000, 100_000)
    ended = export_process(
        tmp_path / "a.sqlite",
        tmp_path / "a.jsonl",
        "all",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert ended.returncode == 1 and "File too large" in ended.stderr
    assert (tmp_path / "a.jsonl").read_bytes() == old
    assert not list(tmp_path.glob("*.partial"))
