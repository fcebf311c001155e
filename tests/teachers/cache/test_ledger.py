"""The ledger: one limit for all processes of a run, calls that were cut off, and caches from before."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cached import cache_entry
from tinyllm.teachers.cache.ledger import Charge, Run, Spending
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.protocol import Generation, Prompt

RUN, OTHER = Run("a1", "first"), Run("b2", "second")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResponseCache]:
    with ResponseCache(tmp_path / "answers.sqlite") as opened:
        yield opened


def answered(money: float) -> Charge:
    return Charge(True, 10, 2, 0, 0.0, money)


def test_reserved_and_spent_money_of_all_teachers_of_a_run_stay_within_the_limit(cache: ResponseCache) -> None:
    ann, bob = cache.ledger(RUN, "ann"), cache.ledger(RUN, "bob")
    first = ann.reserve("k1", 4.0, 10.0)
    assert first is not None and bob.reserve("k2", 4.0, 10.0) is not None
    assert bob.reserve("k3", 4.0, 10.0) is None
    assert bob.reserve("k3", 0.0, 1.0) is not None  # what is free needs no room
    with cache.atomically():
        ann.settle(first, answered(1.5))
    assert ann.spent() == 5.5  # the second counts with the most that it can cost
    assert bob.reserve("k3", 4.5, 10.0) is not None
    assert cache.ledger(OTHER, "ann").reserve("k1", 4.0, 10.0) is not None  # another run has a limit of its own


def test_a_call_that_was_cut_off_counts_as_lost_when_its_prompt_is_asked_again(cache: ResponseCache) -> None:
    cache.ledger(RUN, "ann").reserve("k1", 4.0, None)  # and the process is gone
    resumed = cache.ledger(RUN, "ann")
    number = resumed.reserve("k1", 4.0, None)
    assert number is not None
    with cache.atomically():
        resumed.settle(number, answered(1.5))
    assert (resumed.spent(), cache.lost_money(["k1", "k2"])) == (5.5, 4.0)
    assert cache.spendings() == [Spending("first", "ann", 1, 10, 2, 1, 5.5)]


def test_a_failure_that_cost_nothing_leaves_nothing_and_one_that_may_have_is_kept(cache: ResponseCache) -> None:
    ledger = cache.ledger(RUN, "ann")
    for key, charge in (("k1", Charge(False, 0, 0, 0, 0.0, 0.0)), ("k2", Charge(False, 0, 0, 2, 8.0, 8.0))):
        number = ledger.reserve(key, 4.0, None)
        assert number is not None
        with cache.atomically():
            ledger.settle(number, charge)
    assert cache.spendings() == [Spending("first", "ann", 0, 0, 0, 2, 8.0)]
    assert ledger.spent() == 8.0


def test_an_answer_that_another_process_asked_for_is_charged_once(cache: ResponseCache) -> None:
    """A batch that a killed process sent: whoever collects it takes over the call, and the next finds it settled."""
    cache.ledger(RUN, "ann").reserve("k1", 4.0, None)
    collector = cache.ledger(OTHER, "ann")
    with cache.atomically():
        number = collector.adopt("k1")
        assert number is not None
        collector.settle(number, answered(1.5))
    with cache.atomically():
        assert collector.adopt("k1") is None
    assert (cache.ledger(RUN, "ann").spent(), collector.spent()) == (1.5, 0.0)  # the run pays that sent it


def test_what_a_cache_from_before_holds_is_listed_without_money(cache: ResponseCache) -> None:
    anne = {"backend": "server", "model": "anne"}
    cache.merge([cache_entry(anne, Prompt("", text), 0, Generation("x", "stop", 3, 4), 1.0) for text in "ab"])
    assert cache.spendings() == [Spending("", "anne", 2, 6, 8, 0, None)]
    with closing(sqlite3.connect(cache.path)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert tables == [("teachers",), ("answers",)]  # to look makes no ledger
    assert cache.lost_money(["any"]) == 0.0


SPEND = """
import sys
from pathlib import Path
from tinyllm.teachers.cache.ledger import Charge, Run
from tinyllm.teachers.cache.store import ResponseCache
with ResponseCache(Path(sys.argv[1])) as cache:
    ledger, calls = cache.ledger(Run("a1", "first"), sys.argv[2]), 0
    while (number := ledger.reserve(f"{sys.argv[2]}-{calls}", 2.0, 100.0)) is not None:
        with cache.atomically():
            ledger.settle(number, Charge(True, 1, 1, 0, 0.0, 1.0))
        calls += 1
    print(calls)
"""


def test_two_processes_at_once_stay_within_the_limit_together(cache: ResponseCache) -> None:
    command = [sys.executable, "-c", SPEND, str(cache.path)]
    processes = [
        subprocess.Popen([*command, name], cwd=ROOT, stdout=subprocess.PIPE, text=True) for name in ("ann", "bob")
    ]
    calls = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert 98 <= sum(calls) <= 99  # the last of each may see the other's reservation
    assert cache.ledger(RUN, "ann").spent() == sum(calls)
