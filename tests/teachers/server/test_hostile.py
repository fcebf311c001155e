"""Thousands of hostile replies through the real client, cache and ledger, with honest prompts in between."""

from __future__ import annotations

import base64
import html
import quopri
import re
import sqlite3
import unicodedata
import urllib.parse
from pathlib import Path

import pytest

from tests.asked import set_up, start
from tests.endpoint import answer_to
from tests.hostile import serving, written
from tests.teachers.server.test_client import KEY, RUNTIME, SETTINGS
from tinyllm.params.schema import Prompting
from tinyllm.params.teacher_entries import Price
from tinyllm.records.jsonl import read_jsonl, write_jsonl
from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.live import CachedTeacher
from tinyllm.teachers.metrics import summarise_query
from tinyllm.teachers.server import rate_limit, scheduler
from tinyllm.teachers.server.client import Server

PLAIN = Prompting(
    instruction="", examples=0, selection="random", example_rationales="none", teacher_forcing=True, seed=1
)
GROUP = 2  # hostile replies in one query, and as many honest ones
LIMIT = 1000.0  # of money; honest and hostile calls of a group cost less
RUNS = {text[at : at + 5] for text in (KEY, KEY[::-1]) for at in range(len(text) - 4)}


def leak(text: str) -> str | None:
    """Return five characters of the key in a row that a text shows, by another way than the client's."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKC", text) if sign.isprintable() and not sign.isspace())
    unescaped = re.sub(r"\\+[ux]((?:00)?[0-9a-f]{2})", lambda match: chr(int(match[1], 16)), bare)
    said = [bare, unescaped, html.unescape(html.unescape(bare)), urllib.parse.unquote(urllib.parse.unquote(bare))]
    said.append(quopri.decodestring(text.encode(errors="replace")).decode(errors="replace"))
    for word in re.findall(r"[\w+/-]{6,}", bare, re.ASCII):
        for at in range(4):
            padded = word[at:].replace("-", "+").replace("_", "/")
            said.append(base64.b64decode(padded[: len(padded) // 4 * 4]).decode(errors="replace"))
    for run in re.findall(r"(?:[0-9a-f]{2}[\s:]*){5,}", re.sub("0x|,", "", text), re.IGNORECASE):
        digits = re.sub(r"[\s:]", "", run)
        said += [bytes.fromhex(digits[at:][: (len(digits) - at) // 2 * 2]).decode(errors="replace") for at in (0, 1)]
    said.append("".join(chr(int(number)) for number in re.findall(r"\b\d{2,3}\b", text)))
    return next((run for reading in said for run in RUNS if run in reading.lower()), None)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(scheduler, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(rate_limit, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(rate_limit, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(rate_limit, "LONGEST_ORDERED_PAUSE", 0.01)


def teacher(url: str, folder: Path) -> CachedTeacher:
    runtime = RUNTIME.model_copy(update={"concurrency": 8, "retries": 1, "deadline": 10.0})
    settings = SETTINGS.model_copy(update={"url": url, "price": Price(prompt=1.0, completion=2.0)})
    cache = folder / "answers.sqlite"
    return CachedTeacher("toy", Server(settings, runtime, "toy"), cache, PLAIN, [], settings.price, LIMIT)


def ask_group(url: str, folder: Path, first: int) -> tuple[list[TeacherOutput], list[str]]:
    """Ask a group; return what became of the hostile ones and the lines that ended a query."""
    honest = [Question(f"h{first + i}", f"Is {first + i} even?", ("yes", "no"), 0) for i in range(GROUP)]
    hostile = [Question(f"x{first + i}", f"What of [[{first + i}]]?", ("yes", "no"), 0) for i in range(GROUP)]
    mixed = [question for pair in zip(hostile, honest, strict=True) for question in pair]
    ends: list[str] = []
    outputs: list[TeacherOutput] = []
    try:
        outputs = teacher(url, folder).complete(mixed)
    except ValueError as error:  # a refusal that every prompt would meet
        ends.append(str(error))
    asked = teacher(url, folder)
    answers = asked.complete(honest)
    prompts = [fit.prompt for fit in asked.build_prompts(honest, True, asked.generate)]
    assert [output.text for output in answers] == [answer_to(prompt.text) for prompt in prompts if prompt]
    assert not outputs or [output.text for output in outputs[1::2]] == [output.text for output in answers]
    return outputs[::2], ends


def check_ask(count: int, first: int, folder: Path, capfd: pytest.CaptureFixture[str]) -> dict[str, int | float]:
    """Ask for so many hostile replies and return the metrics of those that a query outlived."""
    outputs, ends = [], []
    with serving() as url:
        for start in range(first, first + count, GROUP):
            said, ended = ask_group(url, folder, start)
            outputs += said
            ends += ended
    said = capfd.readouterr().err
    for line in said.split("\n")[:-1]:
        assert line.isprintable() and len(line) < 600, line
        assert re.match(r"toy: \d+ answers from the cache, \d+ new|http://127\.0\.0\.1:\d+/v1: ", line), line
    for line in ends:
        assert line.isprintable() and len(line) < 600, line
    for output in outputs:
        detail = (output.extra or {}).get("detail", "")
        assert detail.isprintable() and len(detail) < 330, detail
    database = sqlite3.connect(folder / "answers.sqlite")
    tables = [database.execute(f"SELECT * FROM {table}").fetchall() for table in ("answers", "charges", "teachers")]
    database.close()
    kept = [str(value) for table in tables for row in table for value in row]
    noted = [str(value) for output in outputs for value in (output.text, *(output.extra or {}).values())]
    shown = [
        text for text in (*ends, *kept, *noted) if not re.fullmatch("[0-9a-f]{64}", text)
    ]  # no hash, which has all by chance
    assert [text for text in shown if leak(text)] == []
    with ResponseCache(folder / "answers.sqlite") as cache:
        (total,), spendings = cache.totals(), cache.spendings()
    assert total.completion_tokens < 100 * count * 2 and sum(row.money or 0 for row in spendings) < LIMIT
    return summarise_query(outputs, None)


def test_hundreds_of_hostile_replies_touch_no_honest_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    metrics = check_ask(200, 0, tmp_path, capfd)
    assert metrics["ok"] > 10 and metrics["failed"] > 100


@pytest.mark.nightly
def test_ten_thousand_hostile_replies_touch_no_honest_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    metrics = check_ask(10_000, 1000, tmp_path, capfd)
    assert metrics["ok"] > 500 and metrics["failed"] > 5000


@pytest.mark.parametrize("text", written(KEY))
def test_the_test_itself_finds_the_key_as_servers_write_it(text: str) -> None:
    assert leak(f"you sent {text}") is not None


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "traceback"), [(0, ""), (40, ""), (80, "1")])
def test_a_stage_that_meets_them_ends_in_one_line_or_none(tmp_path: Path, seed: int, traceback: str) -> None:
    with serving() as url:
        set_up(
            tmp_path,
            url,
            30,
            4,
            2,
            runtime__retries=0,
            teachers__endpoint__key_variable="TOY_KEY",
            corpus__max_quarantined=1.0,
        )
        path = tmp_path / "data/questions/train.jsonl"
        rows = read_jsonl(path)
        write_jsonl(
            path, [{**row, "question": f"What of [[{seed + i}]]?"} if i % 2 else row for i, row in enumerate(rows)]
        )
        process = start(tmp_path, "query", {"TOY_KEY": KEY, "NO_PROXY": "127.0.0.1", "TINYLLM_TRACEBACK": traceback})
        out, err = process.communicate(timeout=120)
    assert process.returncode in (0, 1), err
    if not traceback:
        intended = re.compile(r"endpoint: |http://127\.0\.0\.1:\d+/v1: ")  # counts, and why it is tried again
        lines = [line for line in err.splitlines() if not intended.match(line)]
        assert len(lines) == process.returncode and all(line.startswith("error: ") for line in lines), err
    written_files = [file.read_text(encoding="utf-8") for file in tmp_path.rglob("*.json*")]
    assert [text for text in (out, err, *written_files) if leak(text)] == []
