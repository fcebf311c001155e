"""Batches of a server that says anything of them: each reply ends in one line, and no word of it goes where it should not."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import written
from tests.manners import Reply, Request, serving
from tests.teachers.server.test_client import KEY, RUNTIME, SETTINGS
from tinyllm.teachers.batch import backend as batches
from tinyllm.teachers.batch.backend import BatchServer
from tinyllm.teachers.protocol import Failure, Generation, Prompt
from tinyllm.teachers.server import web
from tinyllm.teachers.server.key import Secret

SECRET = Secret(KEY)
CHOICE = {"message": {"content": "Leaves breathe it."}, "finish_reason": "stop"}
ANSWER = {"model": "toy-model", "choices": [CHOICE], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}
NESTED = "[" * 900 + "]" * 900


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(batches, "FIRST_POLL", 0.01)
    monkeypatch.setattr(web, "FIRST_PAUSE", 0.01)


class Service:
    """A Batch API with one batch, whose replies are those of an honest one but for the changes."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes
        self.key = ""  # of the only answer

    def __call__(self, request: Request) -> Reply:
        path = request.path.removeprefix("/v1/").partition("?")[0]
        replies: dict[str, object] = {
            "files": {"id": "file-1"},
            "batches": {"id": "batch-1", "data": []},
            "batches/batch-1": {"status": "completed", "output_file_id": "out-1", "request_counts": {"total": 10**30}},
            "files/out-1/content": {"custom_id": self.key, "response": {"status_code": 200, "body": ANSWER}},
        }
        reply = self.changes.get(path, replies.get(path, {"error": {"message": "nothing is there"}}))
        body = reply if isinstance(reply, str) else json.dumps(reply)
        return 200, {}, body.replace('"CUSTOM"', json.dumps(self.key)).encode()


def ask(folder: Path, service: Service) -> tuple[list[Generation | Failure], str, list[str]]:
    """Return the outcomes, the line that ended it, and the paths that were asked."""
    with serving(service) as place:
        settings = SETTINGS.model_copy(update={"url": place.url, "api": "batch"})
        runtime = RUNTIME.model_copy(update={"retries": 1})
        server, prompt = BatchServer(settings, runtime, folder / "answers.sqlite", "toy"), Prompt("", "Why?")
        service.key = batches.answer_key(server.identity, prompt, 0)
        outcomes: list[Generation | Failure] = []
        try:
            outcomes += [outcome for _, outcome in server.generate([prompt], lambda index: True)]
            line = ""
        except ValueError as error:
            line = str(error).replace(place.url, "URL")
        return outcomes, line, [request.path for request in place.requests]


def test_counts_of_a_batch_say_nothing_and_its_answer_is_kept(tmp_path: Path) -> None:
    assert ask(tmp_path, Service())[0] == [Generation("Leaves breathe it.", "stop", 5, 7, model="toy-model")]


@pytest.mark.parametrize(
    ("path", "reply", "line"),
    [
        ("files", {"id": KEY}, "URL/files: a reply that names no file; set api to chat if the server has no Batch API"),
        (
            "files",
            {"id": "../x?y"},
            "URL/files: a reply that names no file; set api to chat if the server has no Batch API",
        ),
        (
            "files",
            {"id": ["file-1"]},
            "URL/files: a reply that names no file; set api to chat if the server has no Batch API",
        ),
        ("files", NESTED, "URL/files: a reply that names no file; set api to chat if the server has no Batch API"),
        (
            "batches",
            {"id": KEY, "data": 5},
            "URL/batches: a reply that names no batch; run again, the requests are uploaded",
        ),
        (
            "batches",
            {"id": 7, "data": {"a": 1}},
            "URL/batches: a reply that names no batch; run again, the requests are uploaded",
        ),
        ("batches", "[1]", "URL/batches: HTTP 200, but no object (3 bytes)"),
        ("batches/batch-1", {}, "URL/batches/batch-1: a reply without a status; run again to look once more"),
        (
            "batches/batch-1",
            {"status": [1]},
            "URL/batches/batch-1: a reply without a status; run again to look once more",
        ),
        (
            "batches/batch-1",
            {"status": 10**30},
            "URL/batches/batch-1: a reply without a status; run again to look once more",
        ),
    ],
)
def test_a_reply_that_cannot_be_is_named_in_one_line(tmp_path: Path, path: str, reply: Any, line: str) -> None:
    assert ask(tmp_path, Service(**{path: reply}))[:2] == ([], line)


@pytest.mark.parametrize(
    "file", [f"{KEY}", "../batches", "a?b=c", "x" * 300, "\u001b[2J", 7, ["out-1"], {"id": "out-1"}]
)
def test_a_file_that_no_address_can_hold_is_not_asked_for(tmp_path: Path, file: object) -> None:
    state = {"status": "completed", "output_file_id": file, "error_file_id": file}
    _, line, paths = ask(tmp_path, Service(**{"batches/batch-1": state}))
    assert line.startswith("URL: batch batch-1 ended as completed without 1 of 1 answers")
    assert not any("content" in path for path in paths)


def test_a_list_of_batches_that_does_not_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_PAGES", 5)
    page = {"data": [{"id": "batch-9", "input_file_id": "other"}], "has_more": True}
    outcomes, line, paths = ask(tmp_path, Service(batches=page))
    assert (outcomes, line) == ([], "URL/batches: a reply that names no batch; run again, the requests are uploaded")
    assert len(paths) == 1 + 2 * (1 + 5)


LINES = [
    ({"status_code": 200, "body": {**ANSWER, "usage": {"prompt_tokens": 10**30, "completion_tokens": -1}}}, "ok"),
    ({"status_code": 10**30, "body": ANSWER}, "refused"),
    ({"status_code": -1, "body": ANSWER}, "refused"),
    ({"status_code": True, "body": None}, "refused"),
    ({"status_code": "200", "body": [[[]]]}, "refused"),
    ({"status_code": 200, "body": None}, "no_choices"),
    ({"status_code": 200, "body": [ANSWER, ANSWER]}, "no_choices"),
    ({"status_code": 200, "body": {"choices": [{**CHOICE, "finish_reason": KEY}]}}, "holds_key"),
    (None, "server_error"),
    ([], "server_error"),
]


@pytest.mark.parametrize(("response", "reason"), LINES)
def test_a_line_of_any_form_touches_its_own_prompt(tmp_path: Path, response: Any, reason: str) -> None:
    ((outcome,), line, _) = ask(
        tmp_path, Service(**{"files/out-1/content": {"custom_id": "CUSTOM", "response": response}})
    )
    assert line == "" and (outcome.reason if isinstance(outcome, Failure) else "ok") == reason


def test_the_key_comes_from_a_batch_to_no_line_and_no_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number, text in enumerate(written(KEY)[::4]):
        folder = tmp_path / str(number)
        failed = {"status": "failed", "errors": {"data": [{"message": "z" * 190 + text}]}}
        line = {"custom_id": "CUSTOM", "response": None, "error": {"code": text, "message": text}}
        answer = {**ANSWER, "choices": [{**CHOICE, "message": {"content": f"Because {text}."}}]}
        for changes in (
            {"batches/batch-1": failed},
            {"files/out-1/content": line},
            {"files/out-1/content": {"custom_id": "CUSTOM", "response": {"status_code": 200, "body": answer}}},
            {"files/out-1/content": {"custom_id": "CUSTOM", "response": {"status_code": 400, "body": {"error": text}}}},
        ):
            outcomes, ended, _ = ask(folder, Service(**changes))
            folder = folder / "next"
            assert not any(isinstance(outcome, Generation) for outcome in outcomes)
            assert SECRET.masked(f"{outcomes} {ended}") == f"{outcomes} {ended}"
    tables = []
    for path in tmp_path.rglob("answers.sqlite"):
        with closing(sqlite3.connect(path)) as database:
            tables.append(database.execute("SELECT * FROM batches").fetchall())
    shown = f"{tables} {capfd.readouterr()}"
    assert len(tables) > 20 and KEY[:6] not in shown and KEY.upper()[:6] not in shown
