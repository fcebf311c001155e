"""What is forgotten: what all options together select, and never what was charged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cached import cache_entry
from tinyllm.teachers.cache.forget import Selection, check_key, parse_since
from tinyllm.teachers.cache.ledger import Charge, Run, Spending
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.protocol import Generation, Prompt

ANNE, BEN = {"backend": "server", "model": "anne"}, {"backend": "local", "model": "ben"}
ROWS = {  # teacher, finish, text, time
    "a": (ANNE, "stop", "Fins.", 100.0),
    "b": (ANNE, "length", "Fi", 200.0),
    "c": (BEN, "length", "Sca", 300.0),
    "d": (BEN, "stop", " \n", 400.0),
}
ENTRIES = {
    name: cache_entry(identity, Prompt("", name), 0, Generation(text, finish, 10, 2), time)
    for name, (identity, finish, text, time) in ROWS.items()
}
IMPORTED = cache_entry(BEN, Prompt("", "e"), 0, Generation("Gills.", "stop", 10, 2), 500.0)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResponseCache]:
    with ResponseCache(tmp_path / "a.sqlite") as opened:
        opened.merge(ENTRIES.values())
        opened.merge([IMPORTED], "team.jsonl")
        yield opened


def digest(cache: ResponseCache, model: str) -> str:
    return next(teacher.digest for teacher in cache.totals() if teacher.identity["model"] == model)


@pytest.mark.parametrize(
    ("options", "forgotten"),
    [
        ({"status": "length"}, "bc"),
        ({"status": "stop"}, "ade"),
        ({"status": "empty"}, "d"),
        ({"status": "imported"}, "e"),
        ({"since": 200.0}, "bcde"),
        ({"since": 200.0, "status": "length", "teachers": "ben"}, "c"),
        ({"teachers": "anne"}, "ab"),
        ({"teachers": "anne", "status": "imported"}, ""),
        ({"key": ENTRIES["c"].key}, "c"),
        ({"key": ENTRIES["c"].key[:8]}, "c"),
        ({"key": ENTRIES["c"].key, "teachers": "anne"}, ""),
    ],
)
def test_the_options_narrow_each_other(cache: ResponseCache, options: dict, forgotten: str) -> None:
    if "teachers" in options:
        options = {**options, "teachers": (digest(cache, options["teachers"]),)}
    assert sum(cache.count(Selection(**options)).values()) == len(forgotten)
    assert cache.forget(Selection(**options)) == len(forgotten)
    assert sorted(entry.prompt for entry in cache.entries()) == sorted(set("abcde") - set(forgotten))


def test_counts_are_by_teacher(cache: ResponseCache) -> None:
    assert cache.count(Selection(status="length")) == {digest(cache, "anne"): 1, digest(cache, "ben"): 1}


def test_what_was_charged_stays_also_of_answers_that_are_in_no_ledger(cache: ResponseCache) -> None:
    ledger = cache.ledger(Run("r", "first"), "anne")
    number = ledger.reserve(ENTRIES["a"].key, 2.0, None)
    assert number is not None
    with cache.atomically():
        ledger.settle(number, Charge(True, 10, 2, 1, 0.5, 1.5))
    before = [
        Spending("first", "anne", 1, 10, 2, 1, 1.5),
        Spending("", "anne", 1, 10, 2, 0, None),
        Spending("", "ben", 2, 20, 4, 0, None),  # the imported one was asked elsewhere
    ]
    assert cache.spendings() == before
    assert cache.forget(Selection(status="length")) == 2
    assert cache.spendings() == before
    assert cache.forget(Selection(since=0.0)) == 3
    assert cache.spendings() == before
    assert list(cache.entries()) == [] and ledger.spent() == 1.5


def test_what_is_forgotten_is_asked_again_and_charged_again(cache: ResponseCache) -> None:
    cache.forget(Selection(key=ENTRIES["a"].key))
    assert cache.get([ENTRIES["a"].key]) == {}
    again = Generation("Fins, surely.", "stop", 10, 4)
    assert cache.put(ENTRIES["a"].key, ANNE, Prompt("", "a"), again) == again


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2d", 1_000_000 - 172_800),
        ("3h", 1_000_000 - 10_800),
        ("30m", 1_000_000 - 1_800),
        ("90s", 1_000_000 - 90),
        ("1w", 1_000_000 - 604_800),
        ("1970-01-02", 86_400),
        ("1970-01-01T01:00", 3_600),
        ("1970-01-01T01:00+01:00", 0),
        ("1970-01-01T00:01:00Z", 60),
    ],
)
def test_a_time_is_a_date_or_a_span_before_now(text: str, time: float) -> None:
    assert parse_since(text, 1_000_000.0) == time


@pytest.mark.parametrize("text", ["", "yesterday", "2 d", "-1d", "1y", "2026-13-01", "1.5h", "٣d", "9999999999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^--since .*: allowed is a date such as 2026-01-31, a time such as"):
        parse_since(text, 0.0)


@pytest.mark.parametrize("text", ["", "abc", "ABCDEF01", "abcdef0*", "a" * 65, "abcdef01\n"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^--digest .*: allowed are the first 8 to 64 signs of an answer's key"):
        check_key(text)
