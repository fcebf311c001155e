"""The answer cache: answers come back as they went in, and a cache that an older version wrote is read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cached import cache_entry
from tests.checkpoint_toys import settings
from tinyllm.datasets.download import cache_folder
from tinyllm.project import cache_path
from tinyllm.teachers.cache.database import bring_up_to_date
from tinyllm.teachers.cache.entry import Entry, answer_key
from tinyllm.teachers.cache.store import ResponseCache, Source, TeacherTotals
from tinyllm.teachers.cache.transfer import export_answers, read_entries
from tinyllm.teachers.local.checkpoint import open_teacher_checkpoint
from tinyllm.teachers.protocol import Failure, Generation, Prompt

IDENTITY = {
    "backend": "server",
    "url": "http://localhost:8000/v1",
    "temperature": 0.0,
    "seed": None,
    "chat": True,
    "decoding": {"max_new_tokens": 128, "stop": ["\nQuestion:", "END"], "penalties": {"frequency": 0.5}},
}
PROMPT = Prompt("Explain.", "Question: which one swims?")
ANSWER = Generation("A fish has fins.", "stop", 12, 5)
KEY = answer_key(IDENTITY, PROMPT)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResponseCache]:
    with ResponseCache(tmp_path / "answers.sqlite") as cache:
        yield cache


# --- where it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ".cache/answers.sqlite"),
        ({"DVC_ROOT": "/repository"}, "/repository/.cache/answers.sqlite"),
        ({"DVC_ROOT": "/repository", "TINYLLM_CACHE": "/kept"}, "/kept/answers.sqlite"),
        ({"HOME": "/house/anne", "TINYLLM_CACHE": "~/kept"}, "/house/anne/kept/answers.sqlite"),
        ({"DVC_ROOT": "", "TINYLLM_CACHE": ""}, ".cache/answers.sqlite"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("TINYLLM_CACHE", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_path() == Path(expected)


@pytest.mark.parametrize("name", ["~nobody-of-that-name", "~nobody-of-that-name/kept"])
def test_a_home_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TINYLLM_CACHE", name)
    with pytest.raises(
        ValueError, match=f"^TINYLLM_CACHE: {name}, but no such home is known here; give the path in full$"
    ):
        cache_path()
    monkeypatch.setenv("TINYLLM_DATA_CACHE", name)
    with pytest.raises(ValueError, match=f"^TINYLLM_DATA_CACHE: {name}, but no such home"):
        cache_folder()
    with pytest.raises(ValueError, match=f"^local: model: {name}, but no such home"):
        open_teacher_checkpoint(settings(name))


# --- answers --------------------------------------------------------------------------------------------------------


def test_an_answer_comes_back_as_it_was_put_also_from_a_cache_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "answers.sqlite"
    with ResponseCache(path) as cache:
        assert cache.get([KEY]) == {}
        assert cache.put(KEY, IDENTITY, PROMPT, ANSWER) == ANSWER
        assert cache.get([KEY, "no such key"]) == {KEY: ANSWER}
    with ResponseCache(path) as cache:
        assert cache.get([KEY]) == {KEY: ANSWER}


def test_the_first_writer_wins(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with ResponseCache(path) as first, ResponseCache(path) as second:
        assert first.put(KEY, IDENTITY, PROMPT, ANSWER) == ANSWER
        assert second.put(KEY, IDENTITY, PROMPT, Generation("A stone.", "length", 12, 2)) == ANSWER
        assert first.get([KEY]) == second.get([KEY]) == {KEY: ANSWER}


def test_samples_of_one_prompt_are_answers_of_their_own(cache: ResponseCache) -> None:
    texts = ["Fins.", "Scales.", "Gills."]
    keys = [answer_key(IDENTITY, PROMPT, sample) for sample in range(3)]
    for sample, (key, text) in enumerate(zip(keys, texts, strict=True)):
        cache.put(key, IDENTITY, PROMPT, Generation(text, "stop", 12, 1), sample)
    assert [cache.get(keys)[key].text for key in keys] == texts


def test_unanswered_attempts_belong_to_the_run_and_are_not_kept(cache: ResponseCache) -> None:
    assert cache.put(KEY, IDENTITY, PROMPT, Generation("Fins.", "stop", 12, 1, 3)) == Generation(
        "Fins.", "stop", 12, 1, 0
    )
    assert cache.get([KEY]) == {KEY: Generation("Fins.", "stop", 12, 1, 0)}


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ("anne-2024-08-06", "anne-2024-08-06"),
        ("", ""),
        ("half \ud83d\x1b[1m\n", "half ??[1m"),
        ("x" * 300, "x" * 200 + "..."),
    ],
)
def test_the_model_that_an_answer_names_is_kept_with_it_and_never_costs_the_answer(
    cache: ResponseCache, named: str, kept: str
) -> None:
    answer = Generation("Fins.", "stop", 12, 1, model=named)
    assert cache.put(KEY, IDENTITY, PROMPT, answer).model == kept
    assert cache.get([KEY]) == {KEY: Generation("Fins.", "stop", 12, 1, model=kept)}


@pytest.mark.parametrize("clock", [-1.0, -1e12, 0.0, 253402300800.0, 1e15])
def test_a_wrong_clock_loses_no_answer(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch, clock: float) -> None:
    monkeypatch.setattr("time.time", lambda: clock)
    assert cache.put(KEY, IDENTITY, PROMPT, ANSWER) == ANSWER
    assert [entry.created for entry in cache.entries()] == [min(max(clock, 0.0), 253402300799.0)]


def test_a_merge_marks_what_is_new_with_its_origin_and_nothing_else(cache: ResponseCache) -> None:
    cache.put(KEY, IDENTITY, PROMPT, ANSWER)
    named = Generation("Scales.", "stop", 1, 1, model="other")
    entries = [cache_entry(IDENTITY, PROMPT, 0, named, 1.0), cache_entry(IDENTITY, PROMPT, 1, named, 1.0)]
    assert cache.merge(entries, "team.jsonl 2026-01-31T12:00Z") == (1, 1, 1)
    (digest,) = (teacher.digest for teacher in cache.totals())
    assert cache.sources() == [Source(digest, "", "", 1), Source(digest, "team.jsonl 2026-01-31T12:00Z", "other", 1)]
    assert cache.get([KEY]) == {KEY: ANSWER}


TEXTS = [
    "x",
    " leading and trailing\n",
    "\0 in the \0 middle\0",
    "line\r\nbreaks\r",
    "\u2028\x85",
    "ünï 漢字 🐟",
    "'; DROP",
]


@pytest.mark.parametrize("text", [*TEXTS, "long " * 100_000], ids=range(8))
def test_any_text_comes_back_unchanged(cache: ResponseCache, text: str) -> None:
    prompt, answer = Prompt(text, text), Generation(text, "stop", 0, 2**63 - 1)
    key = answer_key(IDENTITY, prompt)
    assert cache.put(key, IDENTITY, prompt, answer) == answer
    assert cache.get([key]) == {key: answer}
    (entry,) = cache.entries()
    assert (entry.system, entry.prompt, entry.answer, entry.identity) == (text, text, answer, IDENTITY)


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_text_of_an_older_version_is_no_answer_and_gives_way_to_one(cache: ResponseCache, text: str) -> None:
    cache.merge([cache_entry(IDENTITY, PROMPT, 0, Generation(text, "stop", 3, 0), 0.0)])
    assert cache.get([KEY]) == {}
    assert cache.put(KEY, IDENTITY, PROMPT, ANSWER) == ANSWER
    assert cache.get([KEY]) == {KEY: ANSWER}


def test_ten_thousand_answers_are_found_among_others(cache: ResponseCache) -> None:
    prompts = [Prompt("", f"question {number}") for number in range(10_500)]
    answers = [Generation(f"answer {number}", "stop", number, 1) for number in range(10_500)]
    entries = [cache_entry(IDENTITY, prompt, 0, answer, 0.0) for prompt, answer in zip(prompts, answers, strict=True)]
    assert cache.merge(entries) == (10_500, 0, 0)
    wanted = {entry.key: entry.answer for entry in entries[250:10_250]}
    assert cache.get(list(wanted)) == wanted


@pytest.mark.parametrize("thing", [Failure("refused", "HTTP 401"), None, "A fish has fins.", {"text": "A fish."}])
def test_only_an_answer_can_be_kept(cache: ResponseCache, thing: Any) -> None:
    with pytest.raises(TypeError, match=f"{type(thing).__name__} is no Generation; only an answer may be kept"):
        cache.put(KEY, IDENTITY, PROMPT, thing)
    assert cache.get([KEY]) == {} and cache.totals() == []


def test_a_damaged_answer_is_refused_aloud(cache: ResponseCache) -> None:
    with pytest.raises(ValueError, match=r"^text holds \\ud83d, half a character, which UTF-8 cannot hold$"):
        cache.put(KEY, IDENTITY, PROMPT, Generation("half \ud83d", "stop", 1, 1))
    with pytest.raises(ValueError, match="^prompt_tokens -1; allowed is a whole number from 0$"):
        cache.put(KEY, IDENTITY, PROMPT, Generation("Fins.", "stop", -1, 1))
    assert cache.get([KEY]) == {} and cache.totals() == []


def test_a_key_of_something_else_is_refused(cache: ResponseCache) -> None:
    for prompt, identity, sample in (
        (Prompt("", "?"), IDENTITY, 0),
        (PROMPT, {"backend": "x"}, 0),
        (PROMPT, IDENTITY, 1),
    ):
        with pytest.raises(ValueError, match=f"^key '{KEY}', but what it holds has "):
            cache.put(KEY, identity, prompt, ANSWER, sample)
    assert cache.get([KEY]) == {}


def test_a_merge_keeps_what_is_there_and_counts_what_differs(cache: ResponseCache) -> None:
    prompts = [Prompt("", f"{number}") for number in range(4)]
    for prompt in prompts[:2]:
        cache.put(answer_key(IDENTITY, prompt), IDENTITY, prompt, ANSWER)
    other = Generation("Another.", "stop", 12, 5)
    answers = [ANSWER, other, other, other]
    entries = [cache_entry(IDENTITY, prompt, 0, answer, 7.0) for prompt, answer in zip(prompts, answers, strict=True)]
    assert cache.merge(entries) == (2, 2, 1)
    assert [cache.get([entry.key])[entry.key] for entry in entries] == [ANSWER, ANSWER, other, other]
    assert cache.merge([]) == (0, 0, 0)


def test_a_merge_that_fails_half_way_keeps_nothing(cache: ResponseCache) -> None:
    def entries() -> Iterator[Entry]:
        for number in range(3):
            yield cache_entry({"backend": "new"}, Prompt("", f"{number}"), 0, ANSWER, 7.0)
        raise ValueError("the fourth row is faulty")

    with pytest.raises(ValueError, match="the fourth row is faulty"):
        cache.merge(entries())
    assert list(cache.entries()) == [] and cache.totals() == []
    assert cache.put(KEY, IDENTITY, PROMPT, ANSWER) == ANSWER  # and the cache is usable


def test_the_totals_are_summed_per_teacher_in_the_order_of_their_first_answers(cache: ResponseCache) -> None:
    late, early = {"backend": "local", "model": "late"}, {"backend": "server", "model": "early"}
    rows = [(late, "a", 10, 1, 50.5), (late, "b", 20, 2, 30.0), (early, "a", 3, 4, 20.25), (late, "c", 0, 0, 40.0)]
    cache.merge(
        cache_entry(identity, Prompt("", text), 0, Generation("x", "stop", prompt_tokens, completion_tokens), created)
        for identity, text, prompt_tokens, completion_tokens, created in rows
    )
    totals = cache.totals()
    assert [teacher.identity["model"] for teacher in totals] == ["early", "late"]
    assert totals[0] == TeacherTotals(totals[0].digest, early, 1, 3, 4, 20.25, 20.25)
    assert totals[1] == TeacherTotals(totals[1].digest, late, 3, 30, 3, 30.0, 50.5)
    assert [entry.prompt for entry in cache.entries([totals[0].digest])] == ["a"]
    assert sorted(entry.prompt for entry in cache.entries([totals[1].digest])) == ["a", "b", "c"]
    assert [entry.key for entry in cache.entries()] == sorted(entry.key for entry in cache.entries())


# --- a cache from before --------------------------------------------------------------------------------------------

OLD_KEY = "4428a048ee4f494f28e0c5ee8a867ca9e7d1c446cc9ce5e8838b94ee6d06f560"
OLD_FILE = """
CREATE TABLE teachers (digest TEXT PRIMARY KEY NOT NULL, identity TEXT NOT NULL);
CREATE TABLE answers (
    key TEXT PRIMARY KEY NOT NULL, teacher TEXT NOT NULL REFERENCES teachers, system TEXT NOT NULL,
    prompt TEXT NOT NULL, sample INTEGER NOT NULL, text TEXT NOT NULL, finish TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, created REAL NOT NULL);
CREATE INDEX by_teacher ON answers (teacher, created, prompt_tokens, completion_tokens);
PRAGMA application_id = 1414090329;
PRAGMA user_version = 1;
INSERT INTO teachers VALUES ('403e8aef598e27b9c345178b1c4f496b32e52542eb9d0a77215c79c05291acd7',
    '{"backend":"server","model":"anne","seed":null,"stop":["\\nQuestion:"],"temperature":0.0,"é":[1,1.0]}');
INSERT INTO answers VALUES ('4428a048ee4f494f28e0c5ee8a867ca9e7d1c446cc9ce5e8838b94ee6d06f560',
    '403e8aef598e27b9c345178b1c4f496b32e52542eb9d0a77215c79c05291acd7', 'Explain.', 'Which one swims?', 1, 'Fins.',
    'stop', 12, 5, 1700000000.1234567);
"""
OLD_LINE = (
    '{"key": "4428a048ee4f494f28e0c5ee8a867ca9e7d1c446cc9ce5e8838b94ee6d06f560", "identity": {"backend": "server", '
    '"model": "anne", "seed": null, "stop": ["\\nQuestion:"], "temperature": 0.0, "é": [1, 1.0]}, "system": "Explain.", '
    '"prompt": "Which one swims?", "sample": 1, "text": "Fins.", "finish": "stop", "prompt_tokens": 12, '
    '"completion_tokens": 5, "created": 1700000000.1234567}\n'
)
NEW_LINE = OLD_LINE.replace(
    "}\n", ', "model": "", "sha256": "8e1c92b2a1fa6dd9cb8ff06f9a85e07a9f25cf0fbdb63e52bb842c91ed7f23e6"}\n'
)


def old_cache(path: Path) -> Path:
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript("PRAGMA journal_mode = WAL;" + OLD_FILE)
    database.close()
    return path


def test_an_older_version_goes_on_with_a_cache_that_this_one_has_opened(tmp_path: Path) -> None:
    path = old_cache(tmp_path / "old.sqlite")
    before = sqlite3.connect(path, isolation_level=None)  # as an older version has it open
    with ResponseCache(path) as cache:
        assert cache.sources() == [Source(cache.totals()[0].digest, "", "", 1)]
        columns = "key, teacher, system, prompt, sample, text, finish, prompt_tokens, completion_tokens, created"
        before.execute(f"INSERT INTO answers ({columns}) SELECT 'new', {columns[5:]} FROM answers")
        assert cache.get(["new"])["new"] == Generation("Fins.", "stop", 12, 5)
        assert before.execute("PRAGMA user_version").fetchone() == (1,)
    before.close()


def test_an_older_cache_that_may_not_be_written_is_read(tmp_path: Path) -> None:
    path = old_cache(tmp_path / "old.sqlite")
    holder = sqlite3.connect(path)  # so that the log stays, which a reader cannot make
    holder.execute("SELECT count(*) FROM answers").fetchone()
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    bring_up_to_date(database)
    query = "SELECT text, model, origin FROM answers JOIN teachers ON digest = teacher"
    assert database.execute(query).fetchall() == [("Fins.", "", "")]
    database.close()
    holder.close()


def test_a_cache_that_was_written_before_is_read_and_exported(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "old.sqlite", isolation_level=None)
    database.executescript(OLD_FILE)
    database.close()
    identity = {"model": "anne", "backend": "server", "temperature": 0.0, "seed": None, "stop": ["\nQuestion:"]}
    prompt, answer = Prompt("Explain.", "Which one swims?"), Generation("Fins.", "stop", 12, 5)
    assert answer_key({**identity, "é": [1, 1.0]}, prompt, 1) == OLD_KEY
    with ResponseCache(tmp_path / "old.sqlite") as cache:
        assert cache.get([OLD_KEY]) == {OLD_KEY: answer}
        (totals,) = cache.totals()
        assert (totals.identity, totals.answers) == ({**identity, "é": [1, 1.0]}, 1)
        assert export_answers(cache, tmp_path / "old.jsonl") == 1
    assert (tmp_path / "old.jsonl").read_text(encoding="utf-8") == NEW_LINE


def test_a_file_that_was_exported_before_is_imported_and_exported(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text(OLD_LINE, encoding="utf-8")
    with ResponseCache(tmp_path / "new.sqlite") as cache:
        assert cache.merge(read_entries(tmp_path / "old.jsonl").entries) == (1, 0, 0)
        assert cache.get([OLD_KEY]) == {OLD_KEY: Generation("Fins.", "stop", 12, 5)}
        export_answers(cache, tmp_path / "new.jsonl")
    assert (tmp_path / "new.jsonl").read_text(encoding="utf-8") == NEW_LINE
