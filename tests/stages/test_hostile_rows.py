"""Rows of questions, rationales and predictions that could be anything: the stages end in order or in a line a row."""

from __future__ import annotations

import json
import random
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hostile_texts import FORMULAS, MARKUP, TERMINAL, obeyed
from tests.stage_calls import ROOT, call_download
from tinyllm.records.jsonl import parse_lines
from tinyllm.records.predictions import parse_predictions
from tinyllm.records.questions import Question

TEXTS = [
    *TERMINAL.values(),
    *MARKUP.values(),
    *FORMULAS.values(),
    "",
    " ",
    "plain",
    "x" * 3000,
    "答え",
    "a\nb",
    "'\"\\",
]
VALUES: list[Any] = [None, True, -1, 0, 3, 10**30, 1.5, [], {}, [None], {"a": 1}, ["a", "b"], [["a"]], "a", "1e9"]
FIELDS = ("id", "question", "choices", "answer", "context", "rationales")


def sound(number: int) -> dict[str, Any]:
    return {
        "id": f"q{number}",
        "question": f"Which of these has the number {number}?",
        "choices": [f"item {number}", "a stone"],
        "answer": 0,
        "rationales": {"concise": f"It is written on it that the number is {number}, so the answer is item {number}."},
    }


def spoilt_value(rng: random.Random, row: dict[str, Any]) -> None:
    row[rng.choice(FIELDS)] = rng.choice([rng.choice(VALUES), rng.choice(TEXTS)])


def hostile_text(rng: random.Random, row: dict[str, Any]) -> None:
    text = rng.choice(TEXTS)
    what = rng.randrange(5)
    if what == 0:
        row["id"] = f"{row.get('id')}{text}"
    elif what == 1:
        row["question"] = f"{row.get('question')} {text}"
    elif what == 2:
        row["choices"] = [*row["choices"], text] if isinstance(row.get("choices"), list) else text
    elif what == 3:
        row["rationales"] = {rng.choice(("concise", text)): text}
    else:
        row[text] = text


def lost_field(rng: random.Random, row: dict[str, Any]) -> None:
    row.pop(rng.choice(FIELDS), None)


def line_of(rng: random.Random, number: int) -> bytes:
    """One line of a file, sound or not."""
    row = sound(number)
    for _ in range(rng.choice((0, 1, 1, 2))):
        rng.choice((spoilt_value, hostile_text, hostile_text, lost_field))(rng, row)
    text = json.dumps(row, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    what = rng.random()
    if what < 0.03:
        return text[: rng.randrange(len(text))].replace(b"\n", b"")
    if what < 0.06:
        return rng.choice(
            (b"null", b"[]", b"1", b'"a"', b"NaN", b"{", b"\xff\xfe", b"[" * 5000, b'{"id": 1, "id": 2}', b"")
        )
    return text.replace(b"\n", b"")


def write_set(folder: Path, seed: int, rows: int) -> None:
    rng = random.Random(seed)
    own = folder / "own"
    own.mkdir(parents=True, exist_ok=True)
    for place, split in enumerate(("train", "valid", "test")):
        numbers = range(place * rows, (place + 1) * rows)
        lines = [json.dumps(sound(10**6 + place)).encode(), *(line_of(rng, number) for number in numbers)]
        (own / f"{split}.jsonl").write_bytes(b"\n".join(lines))


def run(stage: Callable[[], object]) -> str:
    """What a stage is stopped by; "" where it comes to its end."""
    try:
        stage()
    except SystemExit as end:
        assert isinstance(end.code, str) and end.code.startswith("error: "), end.code
        return end.code
    return ""


def stage(name: str, *arguments: str) -> None:
    sys.argv = [f"{name}.py", *arguments]
    runpy.run_path(str(ROOT / f"stages/{name}.py"), run_name="__main__")


def go_through(
    folder: Path, seed: int, rows: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> int:
    """Download, query and assemble a set of such rows; return how many rows were bad."""
    write_set(folder, seed, rows)
    monkeypatch.setattr(sys, "argv", [])
    stopped = run(lambda: call_download(folder, monkeypatch, on_bad_row="stop"))
    assert obeyed(stopped) == [] and len(stopped.split("\n")) <= 11 and all(len(x) < 400 for x in stopped.split("\n"))
    assert run(lambda: call_download(folder, monkeypatch, on_bad_row="drop")) == ""
    text = (folder / "params.yaml").read_text(encoding="utf-8").replace("teachers: []", "teachers: [concise]")
    (folder / "params.yaml").write_text(text.replace("max_quarantined: 0.5", "max_quarantined: 1.0"), encoding="utf-8")
    if "concise" in {path.stem for path in (folder / "data/recorded").iterdir()}:
        assert run(lambda: stage("query", "concise")) == ""
        assert run(lambda: stage("assemble")) == ""
    out, err = capsys.readouterr()
    assert obeyed(out + err) == [] and "Traceback" not in err
    return len((folder / "data/bad_rows.jsonl").read_text(encoding="utf-8").splitlines())


def test_a_hundred_hostile_rows_end_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 20 < go_through(tmp_path, 1, 33, monkeypatch, capsys) < 90


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 12))
def test_a_thousand_hostile_rows_end_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    assert 20 < go_through(tmp_path, seed, 34, monkeypatch, capsys) < 95


def predictions(rng: random.Random, questions: list[Question]) -> bytes:
    lines = []
    for question in questions:
        row: dict[str, Any] = {"seed": 1, "id": question.id, "gold": 0, "choice": 0, "scores": [0.5, 0.5], "text": "x"}
        if rng.random() < 0.3:
            row[rng.choice(list(row))] = rng.choice([*VALUES, *TEXTS])
        lines.append(json.dumps(row).encode())
    return b"\n".join(lines)


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.nightly)])
def test_hostile_predictions_are_read_or_refused_in_one_line(count: int) -> None:
    refused = 0
    for seed in range(count):
        rng = random.Random(seed)
        questions = [Question(f"q{i}", f"Which is {i}?", ("a", "b"), 0) for i in range(rng.choice((1, 2, 4)))]
        try:
            rows = [row for _, row in parse_lines(predictions(rng, questions).split(b"\n"), "predictions.jsonl")]
            parse_predictions(rows, questions, "predictions.jsonl")
        except ValueError as error:
            assert str(error).startswith("predictions.jsonl:") and obeyed(str(error), kept="") == []
            refused += 1
    assert count / 4 < refused < count
