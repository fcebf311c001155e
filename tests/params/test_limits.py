"""Files of params that are no params: each is refused in one line, and at once."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.hostile_texts import TERMINAL, obeyed
from tinyllm.experiments.grid import read_table
from tinyllm.params.load import load_params
from tinyllm.params.value_types import Ascii, Place, Text
from tinyllm.params.yaml_file import DEEPEST, LARGEST, parse_yaml

OWN = (Path(__file__).resolve().parents[2] / "params.yaml").read_text(encoding="utf-8")
LAUGH = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
DEEP = f"nested deeper than {DEEPEST} levels; allowed are as many"
MANY = "holds more than 10000 values, repeated ones counted each time"
TEXTS = {
    "aliases of aliases": (LAUGH, rf":\d: {MANY}"),
    "aliases of mappings": ("a: &a {b: 1, c: 2}\n" + "".join(f"x{i}: {{<<: *a, d: *a}}\n" for i in range(1500)), MANY),
    "an alias inside of itself": ("a: &x [*x]", r":1: \*x stands inside of what it repeats"),
    "brackets": ("a: " + "[" * 100_000, f":1: {DEEP}"),
    "closed brackets": ("a:\n  " + "[" * 1000 + "]" * 1000, f":2: {DEEP}"),
    "braces": ("{a: " * 1000 + "}" * 1000, f":1: {DEEP}"),
    "a thousand levels": ("".join(" " * i + "a:\n" for i in range(500)), f":41: {DEEP}"),
    "dashes": ("- " * 5000, f":1: {DEEP}"),
    "many values": ("- [a, b, c]\n" * 10_900, MANY),
    "a key twice": ("data: 1\ndata: 2\n", r":2: not YAML \(found duplicate key \"data\" with value \"2\""),
    "an object of Python's": (
        "a: !!python/object/apply:os.system [id]",
        ":1: not YAML .could not determine a constructor",
    ),
    "a tag": ("a: !evil x", r":1: not YAML \(could not determine a constructor for the tag '!evil'\)"),
    "a date of no month": ("a: 2020-99-99", r": holds a value that cannot be read \(month must be in 1..12\)"),
    "a number of many digits": ("a: " + "9" * 5000, r": holds a value that cannot be read \(Exceeds the limit"),
    "a number that is none": ("a: !!int x", r": holds a value that cannot be read \(invalid literal"),
    "two documents": ("a: 1\n---\nb: 2\n", r":2: not YAML \(but found another document\)"),
    "a null byte": ("a: \x00", r":1: not YAML \(character 0x00 is not allowed\)"),
    "an alias of nothing": ("a: *nothing", r":1: not YAML \(found undefined alias 'nothing'\)"),
    "a half list": ("a: [1, 2", r":1: not YAML \("),
    "tabs": ("a:\n\tb: 1", r":2: not YAML \("),
    "a mapping as a key": ("? {a: b}\n: c", r":1: not YAML \(found unhashable key\)"),
}


def refused(path: Path) -> str:
    with pytest.raises(ValueError) as error:
        load_params(path)
    assert "\n" not in str(error.value) and obeyed(str(error.value)) == []
    return str(error.value)


@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS)
def test_a_hostile_text_is_one_line_at_once(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    started = time.process_time()
    told = refused(path)
    assert time.process_time() - started < 2.0  # well under one on a machine that does nothing else
    assert re.search(expected, told) and told.startswith(f"{path}:") and len(told) < 400


@pytest.mark.parametrize(
    ("kind", "expected"), [("pipe", "is no plain file"), ("device", "is no plain file"), ("folder", "is a folder")]
)
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    assert refused(path).startswith(f"{path}: {expected}")


@pytest.mark.parametrize("content", [b"#" * 100_000_000, b"a: b\n" * 40_000, b"\xff" * (LARGEST + 1)])
def test_a_large_file_is_not_read_on(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    started = time.process_time()
    assert refused(path) == f"{path}: has more than 131072 bytes; allowed are as many, and comments count"
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("name", ["aliases of aliases", "brackets", "an object of Python's", "a key twice"])
def test_a_table_of_experiments_has_the_same_limits(tmp_path: Path, name: str) -> None:
    text, expected = TEXTS[name]
    (tmp_path / "params.yaml").write_text(OWN, encoding="utf-8")
    (tmp_path / "table.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=expected):
        read_table(tmp_path / "table.yaml", tmp_path / "params.yaml")


def test_a_table_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(OWN, encoding="utf-8")
    os.mkfifo(tmp_path / "table.yaml")
    with pytest.raises(ValueError, match="table.yaml: is no plain file"):
        read_table(tmp_path / "table.yaml", tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &a [1, 2]\nb: *a", {"a": [1, 2], "b": [1, 2]}),
        ("a: &a {b: 1}\nc: {<<: *a, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_aliases_are_read_where_they_stand_for_little(text: str, expected: Any) -> None:
    assert parse_yaml(text, "params.yaml") == expected


def changed(key: str, new: str) -> str:
    text, times = re.subn(rf"^( *){key}:.*$", rf"\g<1>{new}", OWN, count=1, flags=re.MULTILINE)
    assert times == 1
    return text


SEEDS = {
    "[-1]": ["train.seeds.0: found -1; allowed is greater than or equal to 0"],
    "[x]": ["train.seeds.0: found 'x'; allowed is a valid integer"],
    "[1, x]": ["train.seeds.1: found 'x'; allowed is a valid integer"],
    "[1.5]": ["train.seeds.0: found 1.5; allowed is a valid integer"],
    "[true]": ["train.seeds.0: found True; allowed is a valid integer"],
    "[99999999999]": ["train.seeds.0: found 99999999999; allowed is less than 4294967296"],
    "[1, 1]": ["train.seeds: 1 stands 2 times; seeds must differ"],
    "[-1, x]": [
        "train.seeds.0: found -1; allowed is greater than or equal to 0",
        "train.seeds.1: found 'x'; allowed is a valid integer",
    ],
    "[]": ["train.seeds: found []; allowed is a list of at least 1 item"],
    "1": ["train.seeds: found 1; allowed is a list"],
    "": ["train.seeds: found null; allowed is a list"],
}


@pytest.mark.parametrize(("seeds", "expected"), SEEDS.items())
def test_a_bad_seed_is_told_once_and_nothing_false_beside(tmp_path: Path, seeds: str, expected: list[str]) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(re.sub(r"  seeds:\n(  - \d\n)+", f"  seeds: {seeds}\n", OWN), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        load_params(path)
    assert [re.sub(rf"^{path}:\d+: ", "", line) for line in str(error.value).split("\n")] == expected


TEACHER = """  NAME:
    backend: server
    url: http://localhost:8000/v1
    model: any
    api: chat
    key_variable:
    context_tokens:
    max_new_tokens: 8
    temperature: 0.0
    samples: 1
    seed:
    price:
      prompt: 0.0
      completion: 0.0
    parameters:
"""
ASCII = "allowed is a text of visible ASCII characters, without blanks"
ADDRESS = "allowed is an address of visible ASCII characters, without blanks"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("http://localhost:8000/v1", '"http://localhost/v1\\r\\nX-Key: 1"', ADDRESS),
        ("http://localhost:8000/v1", '"http://local host/v1"', ADDRESS),
        ("http://localhost:8000/v1", '"http://localhost/v1 "', ADDRESS),
        ("http://localhost:8000/v1", '"http://löcalhost/v1"', ADDRESS),
        ("http://localhost:8000/v1", '["http://a/v1", "http://b\\t/v1"]', ADDRESS),
        ("model: any", 'model: "any\\nmodel"', ASCII),
        ("model: any", 'model: "any model"', ASCII),
        ("model: any", 'model: " any"', ASCII),
        ("model: any", 'model: "m\\u202eny"', ASCII),
        ("model: any", 'model: "änything"', ASCII),
        ("    parameters:", '    parameters:\n    answers_as: "a\\x1bb"', ASCII),
        ("    parameters:", '    parameters:\n    answers_as: "a b"', ASCII),
        (
            "    parameters:",
            '    parameters:\n    key_header: "x-key\\r\\n"',
            "allowed is 'Authorization', 'api-key' or 'x-api-key'",
        ),
        (
            "    parameters:",
            '    parameters:\n    identity: "a\\nb"',
            "allowed is a text without line breaks, control characters",
        ),
    ],
)
def test_what_is_sent_to_a_server_is_visible_ascii(tmp_path: Path, old: str, new: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    assert TEACHER.count(old) == 1
    text = OWN.replace("teachers:\n", "teachers:\n" + TEACHER.replace("NAME", "notes").replace(old, new), 1)
    path.write_text(text, encoding="utf-8")
    told = refused(path)
    assert "teachers.notes." in told and expected in told


@pytest.mark.parametrize("text", TERMINAL.values(), ids=TERMINAL)
def test_a_place_is_one_that_can_be_printed(text: str) -> None:
    for kind in (Text, Place):
        with pytest.raises(ValidationError, match="a text without line breaks, control characters|a valid string"):
            TypeAdapter(kind).validate_python(f"a{text}")
    with pytest.raises(ValidationError, match="a text of visible ASCII characters, without blanks|a valid string"):
        TypeAdapter(Ascii).validate_python(f"a{text}")


def test_a_place_may_have_letters_of_any_script_and_blanks_inside() -> None:
    assert TypeAdapter(Place).validate_python("mój folder/データ") == "mój folder/データ"
    with pytest.raises(ValidationError, match="a text without blanks around it"):
        TypeAdapter(Place).validate_python("folder ")


@pytest.mark.parametrize("key", ["folder", "path", "model"])
def test_a_place_of_the_file_is_checked(tmp_path: Path, key: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(changed(key, f'{key}: "a\\\\u009bb"'), encoding="utf-8")
    assert "found 'a\\x9bb'; allowed is a text without line breaks" in refused(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("n" * 65, "has 65 characters; allowed for a teacher's name are 64, for files are called after it"),
        ("n" * 300, "has 300 characters; allowed for a teacher's name are 64, for files are called after it"),
        ("Signs", "differs from signs by case alone, and so would their files"),
        ("../x", "is no name; allowed are letters, digits, _ and -, a letter first; `answer` is taken"),
        ("ñandu", "is no name; allowed are letters, digits, _ and -, a letter first; `answer` is taken"),
        ('"a\\nb"', "is no name; allowed are letters, digits, _ and -, a letter first; `answer` is taken"),
    ],
)
def test_a_teachers_name_can_be_a_files(tmp_path: Path, name: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(OWN.replace("\nprompt: ", f"\n{TEACHER.replace('NAME', name)}\nprompt: ", 1), encoding="utf-8")
    assert expected in refused(path)


def test_a_name_of_64_letters_is_one(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(OWN.replace("\nprompt: ", f"\n{TEACHER.replace('NAME', 'n' * 64)}\nprompt: ", 1), encoding="utf-8")
    assert "n" * 64 in load_params(path).teachers


@pytest.mark.parametrize("text", [TERMINAL["colour"], TERMINAL["override"], TERMINAL["tags"], "\n", "x" * 90])
def test_a_key_that_nobody_knows_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    quoted = "".join(f"\\U{ord(character):08x}" for character in text)
    path = tmp_path / "params.yaml"
    path.write_text(f'{OWN}\n"a{quoted}": 1\n', encoding="utf-8")
    assert ": unknown key; allowed are data, prompt, teachers," in refused(path)


def test_no_more_than_thirty_mistakes_are_told(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(OWN + "".join(f"key{i}: 1\n" for i in range(500)), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        load_params(path)
    lines = str(error.value).split("\n")
    assert len(lines) == 31 and lines[-1] == f"{path}: 470 more mistakes; mend these first"
