"""What `tinyllm cost` prints: by experiment and teacher, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cached import cache_entry
from tinyllm.cli.main import main
from tinyllm.teachers.cache.ledger import Charge, Run
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.protocol import Generation, Prompt


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYLLM_CACHE", str(tmp_path))
    return tmp_path


def fill(folder: Path) -> None:
    old = {"backend": "server", "model": "old-model"}
    with ResponseCache(folder / "answers.sqlite") as cache:
        cache.merge([cache_entry(old, Prompt("", "a"), 0, Generation("x", "stop", 30, 4), 1.0)])
        for run, teacher, count in (("one", "ann", 2), ("one", "bob", 1), ("two", "ann", 1)):
            ledger = cache.ledger(Run(run, run), teacher)
            for call in range(count):
                number = ledger.reserve(f"{run}{teacher}{call}", 1.0, None)
                assert number is not None
                with cache.atomically():
                    ledger.settle(number, Charge(True, 1000, 20, 1, 0.25, 0.75))


def test_calls_tokens_and_money_are_added_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(folder)
    main(["cost"])
    assert capsys.readouterr().out.splitlines() == [
        "experiment  teacher    calls  tokens in  tokens out  unanswered   money",
        "one         ann            2      2,000          40           2  1.5000",
        "one         bob            1      1,000          20           1  0.7500",
        "two         ann            1      1,000          20           1  0.7500",
        "-           old-model      1         30           4           0       -",
        f"{folder}/answers.sqlite: 5 calls, 3.0000 in all",
    ]


def test_json_has_an_object_for_each_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["cost", "--json"])
    assert capsys.readouterr().out == "[]\n"
    fill(folder)
    main(["cost", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {
        "experiment": "one",
        "teacher": "ann",
        "calls": 2,
        "prompt_tokens": 2000,
        "completion_tokens": 40,
        "unanswered": 2,
        "money": 1.5,
    }
    assert (rows[3]["experiment"], rows[3]["teacher"], rows[3]["money"]) == (None, "old-model", None)


def test_without_a_cache_none_is_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["cost"])
    assert capsys.readouterr().out == f"{folder}/answers.sqlite: no calls yet\n"
    assert list(folder.iterdir()) == []
