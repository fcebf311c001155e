"""One row of the answer cache: its fields, their limits, and the key that it is found by."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from tinyllm.teachers.protocol import Generation, Prompt

FORMAT = 1  # of what a key is computed from; another number makes every answer unknown
LARGEST = 2**63 - 1  # SQLite's largest whole number
YEAR_10000 = 253402300800  # a Unix time; Python has no date from there on
TYPES = {"dict_type": "dict", "string_type": "str", "int_type": "int", "float_type": "float"}  # by pydantic's error


Whole = Annotated[int, Field(ge=0, le=LARGEST, description="is a whole number from 0")]


class Entry(BaseModel):
    """A teacher's answer and all that shaped it. The fields have the order that they have in an exported file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    key: str
    identity: dict  # of the teacher; `answer_key` checks what it and the prompt hold
    system: str
    prompt: str
    sample: Whole
    text: Annotated[str, AfterValidator(lambda text: _encodable(text, "text"))]  # may be empty: that is an answer, too
    finish: Annotated[Literal["stop", "length"], Field(description="are stop, length")]
    prompt_tokens: Whole
    completion_tokens: Whole
    created: Annotated[float, Field(ge=0, lt=YEAR_10000, description="is a Unix time")]
    model: Annotated[str, AfterValidator(lambda text: _encodable(text, "model"))] = ""  # as the answer names it

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        expected = answer_key(self.identity, Prompt(self.system, self.prompt), self.sample)
        if self.key != expected:
            raise ValueError(f"key {self.key!r}, but what it holds has {expected}; the row was changed or cut")
        return self

    @property
    def answer(self) -> Generation:
        return Generation(self.text, self.finish, self.prompt_tokens, self.completion_tokens, model=self.model)


def check_entry(row: Mapping[str, object]) -> Entry:
    """Return the row as an entry.

    Raises:
        ValueError: a field is missing, unknown or of a value that no answer has, or the key is another's; one line.
    """
    try:
        return Entry.model_validate(row)
    except ValidationError as error:
        raise ValueError(_sentence(error.errors()[0])) from None


def answer_key(identity: Mapping[str, object], prompt: Prompt, sample: int = 0) -> str:
    """Return the sha256 of everything that shapes an answer: another value or type anywhere gives another key.

    Args:
        identity: JSON values, the teacher's; the order of its keys does not matter
        sample: tells the answers apart where one prompt is asked several times

    Raises:
        ValueError: a value is not JSON's, or holds half a character.
    """
    parts = {"identity": identity, "system": prompt.system, "text": prompt.text, "sample": sample, "format": FORMAT}
    return hashlib.sha256(canonical_json(parts, "")).hexdigest()


def canonical_json(value: Mapping[str, object], name: str) -> bytes:
    """Return the one JSON text of a value: keys sorted, no white space.

    Args:
        name: what the value is called in an error

    Raises:
        ValueError: it holds what JSON or UTF-8 cannot.
    """
    return json.dumps(_plain(value, name), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _plain(value: object, where: str) -> object:
    """Return JSON's own types; json.dumps would write a key 1 like "1", and NaN, which is no JSON."""
    if isinstance(value, str):
        return _encodable(value, where)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}; allowed are finite numbers")
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}.{index}") for index, item in enumerate(value)]
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is {type(value).__name__}; allowed are the types of JSON")
    for key in value:
        if not isinstance(key, str):
            raise ValueError(f"{where} has the key {key!r}; allowed is text")
    return {_encodable(key, where): _plain(item, f"{where}.{key}" if where else key) for key, item in value.items()}


def _encodable(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise ValueError(f"{where} holds {half}, half a character, which UTF-8 cannot hold") from None
    return text


def _sentence(error: ErrorDetails) -> str:
    """Return one of pydantic's errors in our words: the field, its value, what is allowed."""
    if error["type"] == "value_error":  # one of our own
        return str(error["ctx"]["error"])
    field, value = str(error["loc"][0]), error["input"]
    if error["type"] in ("missing", "extra_forbidden"):
        fault = "no field" if error["type"] == "missing" else "unknown field"
        return f"{fault} {field!r}; an answer has {', '.join(Entry.model_fields)}"
    if error["type"] in TYPES:
        return f"{field} is {type(value).__name__}; allowed is {TYPES[error['type']]}"
    return f"{field} {value!r}; allowed {Entry.model_fields[field].description}"
