"""One row of the answer cache: a key that nothing else has, and rows that are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cached import cache_entry
from tinyllm.teachers.cache.entry import answer_key, check_entry
from tinyllm.teachers.protocol import Generation, Prompt

IDENTITY = {
    "backend": "server",
    "url": "http://localhost:8000/v1",
    "temperature": 0.0,
    "seed": None,
    "chat": True,
    "decoding": {"max_new_tokens": 128, "stop": ["\nQuestion:", "END"], "penalties": {"frequency": 0.5}},
}
PROMPT = Prompt("Explain.", "Question: which one swims?")
KEY = answer_key(IDENTITY, PROMPT)
ROW = dict(cache_entry(IDENTITY, PROMPT, 0, Generation("A fish has fins.", "stop", 12, 5), 1700000000.5))

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


def test_a_row_is_an_entry_with_an_answer() -> None:
    entry = check_entry(ROW)
    assert (entry.key, entry.answer) == (KEY, Generation("A fish has fins.", "stop", 12, 5))
    assert (
        list(ROW)
        == ("key identity system prompt sample text finish prompt_tokens completion_tokens created model").split()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"finish": ...}, "no field 'finish'; an answer has key, identity, system, prompt, sample, text, finish, "),
        ({"price": 1}, "unknown field 'price'; an answer has key, identity, "),
        ({"identity": "anne"}, "identity is str; allowed is dict"),
        ({"identity": {"a": float("inf")}}, "identity.a is inf; allowed are finite numbers"),
        ({"text": None}, "text is NoneType; allowed is str"),
        ({"text": "half \ud83d"}, r"text holds \ud83d, half a character, which UTF-8 cannot hold"),
        ({"sample": True}, "sample is bool; allowed is int"),
        ({"sample": -1}, "sample -1; allowed is a whole number from 0"),
        ({"prompt_tokens": True}, "prompt_tokens is bool; allowed is int"),
        ({"completion_tokens": None}, "completion_tokens is NoneType; allowed is int"),
        ({"completion_tokens": -1}, "completion_tokens -1; allowed is a whole number from 0"),
        ({"prompt_tokens": 2**63}, "prompt_tokens 9223372036854775808; allowed is a whole number from 0"),
        ({"finish": "error"}, "finish 'error'; allowed are stop, length"),
        ({"created": -1.0}, "created -1.0; allowed is a Unix time"),
        ({"created": float("nan")}, "created nan; allowed is a Unix time"),
        ({"created": 253402300800.0}, "created 253402300800.0; allowed is a Unix time"),
        ({"created": "2024"}, "created is str; allowed is float"),
        ({"key": "0" * 64}, f"key '{'0' * 64}', but what it holds has "),
        ({"prompt": "Which one sinks?"}, "key '"),
        ({"system": ""}, "key '"),
        ({"sample": 7}, "key '"),
        ({"identity": {**IDENTITY, "temperature": 0}}, "key '"),
    ],
)
def test_a_faulty_row_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    row = {field: value for field, value in {**ROW, **changes}.items() if value is not ...}
    with pytest.raises(ValueError) as caught:
        check_entry(row)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
