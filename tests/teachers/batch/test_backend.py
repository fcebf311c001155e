"""Batches: what is sent and read, how one ends, what a killed process leaves, and what the budget lets through."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.asked import set_up, start
from tests.batch_endpoint import serving
from tests.endpoint import Endpoint, answer_to, running
from tests.teachers.server.test_client import RUNTIME, SETTINGS
from tinyllm.params.schema import Prompting
from tinyllm.params.teacher_entries import Price
from tinyllm.records.jsonl import read_jsonl
from tinyllm.records.questions import Question
from tinyllm.teachers.batch import backend as batches
from tinyllm.teachers.batch.backend import BatchServer
from tinyllm.teachers.batch.files import doubtful_keys, split_requests
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.live import CachedTeacher
from tinyllm.teachers.protocol import Failure, Generation, Prompt, UnderWay
from tinyllm.teachers.server.client import Server

KEY = "sk-toy-5f2c9b71d04e"
PROMPTING = Prompting(
    instruction="", examples=0, selection="random", example_rationales="none", teacher_forcing=True, seed=1
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "FIRST_POLL", 0.01)
    monkeypatch.setenv("TOY_KEY", KEY)


def backend(url: str, folder: Path, **changes: object) -> BatchServer:
    settings = SETTINGS.model_copy(update={"url": url, "api": "batch", **changes})
    return BatchServer(settings, RUNTIME, folder / "answers.sqlite")


def prompts(*texts: str) -> list[Prompt]:
    return [Prompt("", text) for text in texts]


def ask(server: BatchServer, *texts: str) -> dict[str, Generation | Failure]:
    return {texts[index]: outcome for index, outcome in server.generate(prompts(*texts), lambda index: True)}


def made(endpoint: Endpoint) -> int:
    return [tuple(entry) for entry in endpoint.get("log")].count(("POST", "/v1/batches"))


def teacher(server: BatchServer, folder: Path, max_cost: float | None = None) -> CachedTeacher:
    price = Price(prompt=0.0, completion=1e6)
    return CachedTeacher("toy", server, folder / "answers.sqlite", PROMPTING, [], price, max_cost)


def questions(count: int) -> list[Question]:
    return [Question(f"q{i}", f"Is {i} even?", ("yes", "no"), i % 2) for i in range(count)]


def test_every_prompt_is_answered_as_by_chat_and_in_one_batch(tmp_path: Path) -> None:
    with serving("--polls", "3") as endpoint:
        server = backend(endpoint.url, tmp_path)
        said = ask(server, "Why?", "How? [[length]]", "When? [[status 400]]", "Where? [[echo]]")
        assert made(endpoint) == 1
        assert [path for method, path in endpoint.get("log") if method == "GET"].count("/v1/batches/batch_0") == 3
    assert said["Why?"] == Generation(answer_to("Why?"), "stop", 1, 15, model="toy-model")
    assert isinstance(said["How? [[length]]"], Generation) and said["How? [[length]]"].finish == "length"
    assert said["When? [[status 400]]"] == Failure("refused", "HTTP 400 Bad Request (on demand)")
    assert said["Where? [[echo]]"] == Failure("holds_key", "the reply repeats the key", unanswered=1)
    assert server.identity == Server(SETTINGS.model_copy(update={"url": endpoint.url}), RUNTIME).identity


def test_a_batch_has_no_more_requests_and_bytes_than_it_may() -> None:
    requests = [(str(number), b"x" * 10) for number in range(7)]
    assert [[key for key, _ in part] for part in split_requests(requests, most=3)] == [
        ["0", "1", "2"],
        ["3", "4", "5"],
        ["6"],
    ]
    assert [len(part) for part in split_requests(requests, most_bytes=25)] == [2, 2, 2, 1]
    assert [len(part) for part in split_requests([*requests[:1], ("big", b"x" * 99)], most_bytes=25)] == [1, 1]
    assert list(split_requests([])) == []


def test_a_server_without_batches_is_named_in_one_line_and_nothing_is_charged(tmp_path: Path) -> None:
    with running() as plain:  # it speaks chat alone
        message = r"^http://\S+/v1/files: HTTP 404 Not Found .*set api to chat if the server has no Batch API$"
        with pytest.raises(ValueError, match=message):
            teacher(backend(plain.url, tmp_path), tmp_path).complete(questions(2))
    assert spendings(tmp_path) == []


def test_many_requests_go_out_in_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "split_requests", lambda requests: split_requests(requests, most=2))
    with serving() as endpoint:
        said = ask(backend(endpoint.url, tmp_path), "a", "b", "c", "d", "e")
        assert made(endpoint) == 3
    assert {text: outcome.text for text, outcome in said.items() if isinstance(outcome, Generation)} == {
        text: answer_to(text) for text in "abcde"
    }


@pytest.mark.parametrize("act", ["expired", "missing"])
def test_what_an_expired_batch_answered_is_kept_and_the_rest_is_asked_anew(tmp_path: Path, act: str) -> None:
    asked = [*questions(3), Question("q9", f"Is it [[{act}]]?", ("yes", "no"), 0)]
    with serving("--ends", "expired") as endpoint:
        live = teacher(backend(endpoint.url, tmp_path), tmp_path)
        message = (
            r"batch_0 ended as expired without 1 of 4 answers; what was answered is kept: run again to ask the rest$"
        )
        with pytest.raises(ValueError, match=message):
            live.complete(asked)
        with pytest.raises(ValueError, match="/v1: batch batch_1 ended as expired without 1 of 1 answers"):
            live.complete(asked)
        assert sorted(endpoint.get("seen").values()) == [1, 1, 1, 2]
    assert [(row.calls, row.money) for row in spendings(tmp_path)] == [(3, 3 * 15.0)]  # and nothing for the fourth


def spendings(folder: Path) -> list:
    with ResponseCache(folder / "answers.sqlite") as cache:
        return cache.spendings()


def test_a_batch_that_the_server_refuses_is_named_with_its_reason(tmp_path: Path) -> None:
    with serving("--ends", "failed") as endpoint:
        live = teacher(backend(endpoint.url, tmp_path), tmp_path)
        message = r"batch_0 ended as failed without 2 of 2 answers \(The model `toy` is not for batches\.\)"
        with pytest.raises(ValueError, match=message):
            live.complete(questions(2))
    assert spendings(tmp_path) == []


def test_what_does_not_fit_into_the_budget_is_in_no_batch(tmp_path: Path) -> None:
    """An answer of at most 128 tokens can cost 128; the one that comes costs 15."""
    with serving() as endpoint:
        live = teacher(backend(endpoint.url, tmp_path), tmp_path, max_cost=300.0)
        with pytest.raises(ValueError, match=r"runtime.max_cost: 300.0, of which 30 is spent.*holds 2 of 5 answers"):
            live.complete(questions(5))
        assert len(endpoint.get("seen")) == 2


def test_a_reply_that_is_lost_makes_no_second_batch(tmp_path: Path) -> None:
    with serving("--lost", "1") as endpoint:
        assert len(ask(backend(endpoint.url, tmp_path), "a", "b")) == 2
        assert made(endpoint) == 1


def test_a_server_that_is_gone_while_a_batch_is_under_way_costs_nothing_twice(tmp_path: Path) -> None:
    with serving("--polls", "1000") as endpoint:
        live = teacher(backend(endpoint.url, tmp_path), tmp_path)
        answers = live.backend.generate(
            prompts("a"), lambda index: endpoint.process.kill() is None
        )  # before the upload
        with pytest.raises(ValueError, match="/files: "):
            list(answers)
    with serving("--polls", "1000") as endpoint:
        server = backend(endpoint.url, tmp_path)
        sent = server._send

        def send_and_stop(*arguments: object) -> object:
            done = sent(*arguments)  # type: ignore[arg-type]
            endpoint.process.kill()
            return done

        server._send = send_and_stop  # type: ignore[assignment, method-assign]
        with pytest.raises(UnderWay, match="/batches/batch_0: "):
            teacher(server, tmp_path).complete(questions(2))
    assert [(row.calls, row.unanswered, row.money) for row in spendings(tmp_path)] == [
        (0, 2, 256.0)
    ]  # still in the bill


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["made", "waiting"])
def test_a_query_killed_between_sending_and_collecting_pays_once(tmp_path: Path, moment: str) -> None:
    """Killed before the process has heard of its batch, and while it waits for it."""
    price = {"prompt": 0.0, "completion": 1e6}
    options = ("--slow", "3.0") if moment == "made" else ("--polls", "3")
    sign = ("POST", "/v1/batches") if moment == "made" else ("GET", "/v1/batches/batch_0")
    with serving(*options) as endpoint:
        changes = {"teachers__endpoint__api": "batch", "teachers__endpoint__price": price}
        set_up(tmp_path, endpoint.url, 8, 4, 2, **changes, runtime__max_cost=12 * 128.0)
        process = start(tmp_path, "query")
        while sign not in [tuple(entry) for entry in endpoint.get("log")] and process.poll() is None:
            time.sleep(0.02)
        time.sleep(0.3)
        assert process.poll() is None, "it ended before it was killed: the test kills too late"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        done = start(tmp_path, "query")
        _, errors = done.communicate(timeout=60)
        assert done.returncode == 0, errors
        assert made(endpoint) == 1
        assert set(endpoint.get("seen").values()) == {1}
    rows = read_jsonl(tmp_path / "data/rationales/endpoint.jsonl")
    assert [row["status"] for row in rows] == ["ok"] * 12
    (spending,) = spendings(tmp_path / "cache")
    assert (spending.calls, spending.unanswered, spending.money) == (
        12,
        0,
        sum(row["completion_tokens"] for row in rows),
    )


def test_answers_for_other_questions_stay_in_a_batch_until_they_are_asked_for(tmp_path: Path) -> None:
    with serving() as endpoint:
        server = backend(endpoint.url, tmp_path)
        generated = server.generate(prompts("a", "b"), lambda index: True)
        next(generated)  # sent, and not yet noted as collected
        generated.close()
        live = ask(backend(endpoint.url, tmp_path), "a")
        assert isinstance(live["a"], Generation)
        again = ask(backend(endpoint.url, tmp_path), "b", "c")
        assert {text: isinstance(outcome, Generation) for text, outcome in again.items()} == {"b": True, "c": True}
        assert made(endpoint) == 2 and set(endpoint.get("seen").values()) == {1}


@pytest.mark.parametrize(
    ("texts", "failed"),
    [
        (["a", "b [[twice]]", "c"], {"b [[twice]]"}),
        (["a", "b [[shared]]", "c [[shared]]", "d"], {"b [[shared]]", "c [[shared]]"}),
        (["a", "b [[shared]]", "c"], set()),
        (["a", "b [[unknown]]", "c"], set()),
    ],
)
def test_an_answer_in_a_batch_that_may_be_anothers_is_none(tmp_path: Path, texts: list[str], failed: set[str]) -> None:
    with serving() as endpoint:
        said = ask(backend(endpoint.url, tmp_path), *texts)
    assert set(said) == set(texts)
    assert {text for text, outcome in said.items() if isinstance(outcome, Failure)} == failed
    assert {outcome.reason for outcome in said.values() if isinstance(outcome, Failure)} <= {"not_its_own"}


def line(key: str, reply_id: str | None, text: str) -> tuple[str, bytes]:
    body = {"choices": [{"message": {"content": text}}]} | ({} if reply_id is None else {"id": reply_id})
    return key, json.dumps({"custom_id": key, "response": {"status_code": 200, "body": body}}).encode()


LONG = "chatcmpl-0123456789-{}"


@pytest.mark.parametrize(
    ("lines", "keys"),
    [
        ([line("a", LONG.format(1), "A."), line("b", LONG.format(2), "B.")], set()),
        ([line("a", LONG.format(1), "A."), line("a", LONG.format(2), "B.")], {"a"}),
        ([line("a", LONG.format(1), "A."), line("a", LONG.format(1), "A."), line("b", LONG.format(2), "B.")], set()),
        (
            [line("a", LONG.format(1), "A."), line("b", LONG.format(1), "A."), line("c", LONG.format(2), "C.")],
            {"a", "b"},
        ),
        ([line("a", LONG, "Yes."), line("b", LONG, "Yes."), line("c", LONG, "No.")], set()),  # an id for all of them
        ([line("a", LONG, "Yes."), line("b", LONG, "Yes.")], set()),
        ([line("a", "cmpl-1", "Yes."), line("b", "cmpl-1", "Yes."), line("c", "cmpl-2", "Yes.")], set()),
        ([line("a", None, "Yes."), line("b", None, "Yes."), line("c", None, "No.")], set()),
    ],
    ids=range(8),
)
def test_which_answers_of_a_batch_may_be_anothers(lines: list[tuple[str, bytes]], keys: set[str]) -> None:
    assert doubtful_keys(lines) == keys
