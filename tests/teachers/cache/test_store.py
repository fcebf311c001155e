"""The answer cache: keys that nothing shares, and answers that come back as they went in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.project import cache_path
from tinyllm.teachers.cache.store import Entry, Holding, ResponseCache, answer_key
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


# --- keys -----------------------------------------------------------------------------------------------------------

OTHERS: list[Any] = [None, True, False, 0, 1, 0.0, 1.0, 1e16, 10**16, "", "0", "1", "null", "true", "[]", [], {}, [[]]]
OTHERS += [[1], ["1"], [1, 1], {"": 1}, {"1": 1}, {"a": {"b": 1}}, {"a": {"b": 1.0}}, "é", "e\u0301", " ", "\0", "\n"]


def variants(value: Any, other: Any) -> Iterator[Any]:
    """Copies of a JSON value, each with one part, at any depth, replaced by another."""
    yield other
    if isinstance(value, dict):
        for key, item in value.items():
            yield from ({**value, key: changed} for changed in variants(item, other))
            yield {name: item for name, item in value.items() if name != key}
            yield {f"{name}_" if name == key else name: item for name, item in value.items()}
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from ([*value[:index], changed, *value[index + 1 :]] for changed in variants(item, other))
        yield value[::-1]


def typed(value: Any) -> Any:
    """A value that equals another's only where all types are equal too; the order of keys does not count."""
    if isinstance(value, dict):
        return ("dict", frozenset((key, typed(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(map(typed, value)))
    return (type(value).__name__, repr(value))


def test_every_field_changed_in_turn_to_any_other_value_gives_another_key() -> None:
    identities = [changed for other in OTHERS for changed in variants(IDENTITY, other) if isinstance(changed, dict)]
    asked = [(IDENTITY, PROMPT, 0), *((identity, PROMPT, 0) for identity in identities)]
    texts = [other for other in OTHERS if isinstance(other, str)]
    asked += [(IDENTITY, Prompt(text, PROMPT.text), 0) for text in texts]
    asked += [(IDENTITY, Prompt(PROMPT.system, text), 0) for text in texts]
    asked += [(IDENTITY, Prompt(PROMPT.text, PROMPT.system), 0), (IDENTITY, PROMPT, 1), (IDENTITY, PROMPT, 11)]
    keys = {
        (typed(identity), prompt, sample): answer_key(identity, prompt, sample) for identity, prompt, sample in asked
    }
    assert len(keys) > 300
    assert len(set(keys.values())) == len(keys)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.dictionaries(st.text(max_size=2), json_values, max_size=4), st.data())
def test_keys_are_equal_where_and_only_where_values_and_types_are(identity: dict, data: st.DataObject) -> None:
    other = data.draw(st.sampled_from([changed for changed in variants(identity, data.draw(json_values))]))
    if isinstance(other, dict):
        same = typed(other) == typed(identity)
        assert (answer_key(other, PROMPT) == answer_key(identity, PROMPT)) == same


def test_the_order_and_the_kind_of_a_mapping_do_not_matter() -> None:
    def turned(value: Any) -> Any:
        return (
            MappingProxyType({key: turned(value[key]) for key in reversed(value)}) if isinstance(value, dict) else value
        )

    assert answer_key(turned(IDENTITY), PROMPT) == KEY
    assert answer_key({**IDENTITY, "decoding": {**IDENTITY["decoding"], "stop": ("\nQuestion:", "END")}}, PROMPT) == KEY


def test_the_key_is_the_sha256_of_the_json_written_out() -> None:
    # printf '{"format":1,"identity":{"a":[1,1.0],"b":"é"},"sample":2,"system":"","text":"Why?"}' | sha256sum
    expected = "31df2d94c7c81fb28eb0a006711d718f053a55bb1e8306af4ed87438108ffdfb"
    assert answer_key({"b": "é", "a": [1, 1.0]}, Prompt("", "Why?"), 2) == expected


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({"model": Path("a")}, r"identity\.model is PosixPath; allowed are the types of JSON"),
        ({"a": [0, {"b": b"x"}]}, r"identity\.a\.1\.b is bytes; allowed are the types of JSON"),
        ({"a": {1: "x"}}, r"identity\.a has the key 1; allowed is text"),
        ({"a": float("nan")}, r"identity\.a is nan; allowed are finite numbers"),
        ({"a": {"\ud83d": 1}}, r"identity\.a holds \\ud83d, half a character, which UTF-8 cannot hold"),
        ({"a": "\ud83d"}, r"identity\.a holds \\ud83d, half a character, which UTF-8 cannot hold"),
    ],
)
def test_an_identity_that_json_cannot_hold_is_refused(identity: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        answer_key(identity, PROMPT)


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


TEXTS = [
    "",
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
    assert (entry.prompt, entry.answer, entry.identity) == (prompt, answer, IDENTITY)


def test_ten_thousand_answers_are_found_among_others(cache: ResponseCache) -> None:
    prompts = [Prompt("", f"question {number}") for number in range(10_500)]
    answers = [Generation(f"answer {number}", "stop", number, 1) for number in range(10_500)]
    entries = [Entry(IDENTITY, prompt, 0, answer, 0.0) for prompt, answer in zip(prompts, answers, strict=True)]
    assert cache.merge(entries) == (10_500, 0, 0)
    wanted = {entry.key: entry.answer for entry in entries[250:10_250]}
    assert cache.get(list(wanted)) == wanted


@pytest.mark.parametrize("thing", [Failure("refused", "HTTP 401"), None, "A fish has fins.", {"text": "A fish."}])
def test_only_an_answer_can_be_kept(cache: ResponseCache, thing: Any) -> None:
    with pytest.raises(TypeError, match=f"{type(thing).__name__} is no Generation; only an answer may be kept"):
        cache.put(KEY, IDENTITY, PROMPT, thing)
    assert cache.get([KEY]) == {} and cache.holdings() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": None}, "text is NoneType; allowed is text"),
        ({"text": "half \ud83d"}, r"text holds \\ud83d, half a character, which UTF-8 cannot hold"),
        ({"finish": "content_filter"}, "finish 'content_filter'; allowed are stop, length"),
        ({"prompt_tokens": -1}, "prompt_tokens -1; allowed is a whole number from 0"),
        ({"prompt_tokens": True}, "prompt_tokens True; allowed is a whole number from 0"),
        ({"completion_tokens": None}, "completion_tokens None; allowed is a whole number from 0"),
        ({"completion_tokens": 2**63}, "completion_tokens 9223372036854775808; allowed is a whole number from 0"),
    ],
)
def test_a_damaged_answer_is_refused_aloud(cache: ResponseCache, changes: Mapping[str, Any], message: str) -> None:
    fields = {"text": "Fins.", "finish": "stop", "prompt_tokens": 1, "completion_tokens": 1, **changes}
    with pytest.raises(ValueError, match=message):
        cache.put(KEY, IDENTITY, PROMPT, Generation(**fields))
    assert cache.get([KEY]) == {} and cache.holdings() == []


def test_a_key_of_something_else_is_refused(cache: ResponseCache) -> None:
    for prompt, identity, sample in (
        (Prompt("", "?"), IDENTITY, 0),
        (PROMPT, {"backend": "x"}, 0),
        (PROMPT, IDENTITY, 1),
    ):
        with pytest.raises(ValueError, match="is not this prompt's; allowed is what answer_key says, "):
            cache.put(KEY, identity, prompt, ANSWER, sample)
    assert cache.get([KEY]) == {}


def test_a_merge_keeps_what_is_there_and_counts_what_differs(cache: ResponseCache) -> None:
    prompts = [Prompt("", f"{number}") for number in range(4)]
    for prompt in prompts[:2]:
        cache.put(answer_key(IDENTITY, prompt), IDENTITY, prompt, ANSWER)
    other = Generation("Another.", "stop", 12, 5)
    answers = [ANSWER, other, other, other]
    entries = [Entry(IDENTITY, prompt, 0, answer, 7.0) for prompt, answer in zip(prompts, answers, strict=True)]
    assert cache.merge(entries) == (2, 2, 1)
    assert [cache.get([entry.key])[entry.key] for entry in entries] == [ANSWER, ANSWER, other, other]
    assert cache.merge([]) == (0, 0, 0)


def test_a_merge_that_fails_half_way_keeps_nothing(cache: ResponseCache) -> None:
    failed: Any = Failure("refused", "HTTP 401")
    entries = [Entry({"backend": "new"}, Prompt("", f"{number}"), 0, ANSWER, 7.0) for number in range(3)]
    with pytest.raises(TypeError, match="Failure is no Generation"):
        cache.merge([*entries, Entry(IDENTITY, PROMPT, 0, failed, 7.0)])
    assert list(cache.entries()) == [] and cache.holdings() == []
    assert cache.put(KEY, IDENTITY, PROMPT, ANSWER) == ANSWER  # and the cache is usable


def test_the_holdings_are_summed_per_teacher_in_the_order_of_their_first_answers(cache: ResponseCache) -> None:
    late, early = {"backend": "local", "model": "late"}, {"backend": "server", "model": "early"}
    rows = [(late, "a", 10, 1, 50.5), (late, "b", 20, 2, 30.0), (early, "a", 3, 4, 20.25), (late, "c", 0, 0, 40.0)]
    cache.merge(
        Entry(identity, Prompt("", text), 0, Generation("x", "stop", prompt_tokens, completion_tokens), created)
        for identity, text, prompt_tokens, completion_tokens, created in rows
    )
    found = cache.holdings()
    assert [holding.identity["model"] for holding in found] == ["early", "late"]
    assert found[0] == Holding(found[0].digest, early, 1, 3, 4, 20.25, 20.25)
    assert found[1] == Holding(found[1].digest, late, 3, 30, 3, 30.0, 50.5)
    assert [entry.prompt.text for entry in cache.entries(found[0].digest)] == ["a"]
    assert sorted(entry.prompt.text for entry in cache.entries(found[1].digest)) == ["a", "b", "c"]
    assert [entry.key for entry in cache.entries()] == sorted(entry.key for entry in cache.entries())
