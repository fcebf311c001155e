"""What the server answers, over a real socket: OpenAI's fields, the options' probabilities, one clear error each."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.served import DIRECT, asked_student, get, noisy_student, post, serving
from tests.toys import toy_params, toy_questions
from tinyllm.models.loaded import LoadedModel
from tinyllm.params.load import load_params
from tinyllm.records.predictions import probabilities
from tinyllm.records.questions import Question, input_text
from tinyllm.serving.app import LARGEST
from tinyllm.serving.refusal import Refusal
from tinyllm.serving.reply import Said
from tinyllm.serving.request import Job
from tinyllm.student.generate import write_rationales
from tinyllm.student.predict import predict
from tinyllm.teachers.prompts import write_prompt
from tinyllm.teachers.server.option_letters import ASK

PARAMS = toy_params(student__max_target_tokens=8, score__max_new_tokens=6)
QUESTIONS = toy_questions(6)
FREE = [Question(f"f-{i}", question.question, (), "") for i, question in enumerate(QUESTIONS[:3])]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return noisy_student(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def url(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(asked_student(model, tmp_path_factory.mktemp("student"), PARAMS)) as address:
        yield address


def body(question: Question, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question.question}]
    return {
        "model": "student",
        "messages": messages,
        "choices": list(question.choices),
        "context": question.context,
        **more,
    }


def asked(url: str, path: str, sent: object) -> dict[str, Any]:
    status, reply = post(f"{url}/v1/{path}", sent)
    assert status == 200, reply
    return reply


def refused(url: str, path: str, sent: object) -> tuple[int, str]:
    status, reply = post(f"{url}/v1/{path}", sent)
    assert set(reply) == {"error"} and set(reply["error"]) == {"message", "type", "param", "code"}
    return status, reply["error"]["message"]


# --- answers --------------------------------------------------------------------------------------------------------


def test_options_are_chosen_as_in_scoring_with_their_probabilities(url: str, model: LoadedModel) -> None:
    for question, row in zip(QUESTIONS, predict(model, QUESTIONS, PARAMS), strict=True):
        reply = asked(url, "chat/completions", body(question, logprobs=True, top_logprobs=20, some_field=[1]))
        (choice,) = reply["choices"]
        sure = probabilities(row["scores"])
        assert choice["message"] == {"role": "assistant", "content": question.choices[row["choice"]]}
        assert choice["finish_reason"] == "stop" and (choice["student"]["choice"], reply["model"]) == (
            row["choice"],
            "student",
        )
        assert choice["student"]["probabilities"] == pytest.approx(sure, abs=2e-4)
        (token,) = choice["logprobs"]["content"]
        told = {one["token"]: one["logprob"] for one in token["top_logprobs"]}
        assert told == pytest.approx({c: math.log(p) for c, p in zip(question.choices, sure, strict=True)}, abs=1e-3)
        assert [one["logprob"] for one in token["top_logprobs"]] == sorted(told.values(), reverse=True)
        assert token["token"] == choice["message"]["content"]


def test_a_prompt_with_its_options_in_the_text_gets_the_same_answer(url: str) -> None:
    texts = [f"predict: {q.context}\n{input_text(q)}" if q.context else input_text(q) for q in QUESTIONS]
    reply = asked(url, "completions", {"model": "student", "prompt": texts, "logprobs": 2, "max_tokens": 1})
    assert reply["object"] == "text_completion" and [one["index"] for one in reply["choices"]] == [*range(6)]
    for question, choice in zip(QUESTIONS, reply["choices"], strict=True):
        same = asked(url, "chat/completions", body(question))["choices"][0]["student"]
        assert choice["student"]["choice"] == same["choice"] and choice["text"] == same["answer"]
        assert choice["student"]["probabilities"] == pytest.approx(same["probabilities"], abs=2e-4)
        (top,) = choice["logprobs"]["top_logprobs"]
        assert len(top) == 2 and choice["logprobs"]["tokens"] == [choice["text"]]
        assert choice["logprobs"]["token_logprobs"] == [max(top.values())] == [top[choice["text"]]]
    assert reply["usage"]["total_tokens"] == reply["usage"]["prompt_tokens"] + reply["usage"]["completion_tokens"]


def test_free_text_and_voices_are_written_as_by_the_pipeline(url: str, model: LoadedModel) -> None:
    rows = predict(model, FREE, PARAMS)
    rationales = write_rationales(model, FREE, ["ann", "bob"], PARAMS)
    for question, row in zip(FREE, rows, strict=True):
        prompt = {"model": "student", "prompt": question.question, "voices": True}
        (choice,) = asked(url, "completions", prompt)["choices"]
        assert choice["text"] == row["text"] and choice["student"]["rationales"] == rationales[question.id]
        named = {"model": "student:bob", "prompt": question.question}
        by_prefix = {"model": "student", "prompt": f"explain as bob: {question.question}"}
        for sent in (named, by_prefix):
            (choice,) = asked(url, "completions", sent)["choices"]
            assert choice["text"] == rationales[question.id]["bob"] and "student" not in choice


def test_a_stream_is_one_part_and_its_end(url: str) -> None:
    for path, sent in (
        ("chat/completions", body(QUESTIONS[0])),
        ("completions", {"model": "student", "prompt": "Which?"}),
    ):
        plain = asked(url, path, sent)
        _, parts = raw(url, path, sent | {"stream": True, "stream_options": {"include_usage": True}})
        events = parts.decode().split("\n\n")
        assert [event[:6] for event in events] == ["data: "] * 3 + [""] and events[2] == "data: [DONE]"
        first, last = (json.loads(event[6:]) for event in events[:2])
        delta = first["choices"][0].get("delta", first["choices"][0])
        same = plain["choices"][0].get("message", plain["choices"][0])
        assert {key: delta[key] for key in ("content", "text") if key in delta} == {
            key: same[key] for key in ("content", "text") if key in same
        }
        assert first["choices"][0]["finish_reason"] == plain["choices"][0]["finish_reason"]
        assert last["choices"] == [] and last["usage"] == plain["usage"] and "usage" not in first
        _, parts = raw(url, path, sent | {"stream": True})
        assert parts.count(b"data: ") == 2


def raw(url: str, path: str, sent: object) -> tuple[int, bytes]:
    asked_for = urllib.request.Request(f"{url}/v1/{path}", json.dumps(sent).encode())
    with DIRECT.open(asked_for, timeout=60) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        return response.status, response.read()


def test_a_teachers_prompt_gets_a_rationale_and_where_it_asks_for_it_the_answer(url: str, model: LoadedModel) -> None:
    question, settings = QUESTIONS[1], load_params().prompt
    rationale = write_rationales(model, [question], ["ann"], PARAMS)[question.id]["ann"]
    (row,) = predict(model, [question], PARAMS)
    letter = "abcd"[row["choice"]]
    forced, alone = (write_prompt(question, [], settings, shown).text for shown in (True, False))

    def said(model_name: str, text: str, **more: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
        return asked(url, "chat/completions", {"model": model_name, "messages": messages, **more})["choices"][0]

    assert said("student:ann", forced)["message"]["content"] == rationale
    concluded = said("student:ann", alone)["message"]["content"]
    assert concluded == f"{rationale} Thus, the answer is ({letter})."
    assert said("student", alone)["message"]["content"] == f"Thus, the answer is ({letter})."
    token = said("student:ann", alone + ASK, logprobs=True, top_logprobs=20, max_tokens=1)
    assert token["message"]["content"] == letter
    tops = {one["token"]: one["logprob"] for one in token["logprobs"]["content"][0]["top_logprobs"]}
    sure = probabilities(row["scores"])
    assert tops == pytest.approx(dict(zip("abcd", map(math.log, sure), strict=False)), abs=1e-3)


def test_models_and_health_are_listed(url: str) -> None:
    status, listed = get(f"{url}/v1/models")
    assert status == 200 and [one["id"] for one in listed["data"]] == ["student", "student:ann", "student:bob"]
    assert get(f"{url}/v1/models/student:ann")[1]["id"] == "student:ann"
    assert get(f"{url}/v1/models/gpt-4o")[0] == 404
    status, health = get(f"{url}/health")
    assert (status, health["status"], health["waiting"]) == (200, "ok", 0)
    pinned = asked(url, "chat/completions", body(QUESTIONS[0], model="student@0123456789ab"))
    assert pinned["model"] == "student@0123456789ab" and pinned["system_fingerprint"] == "0123456789ab"


# --- refusals -------------------------------------------------------------------------------------------------------

CHAT = body(QUESTIONS[1])


@pytest.mark.parametrize(
    ("path", "sent", "status", "told"),
    [
        ("chat/completions", b"{", 400, "the body is no JSON (Expecting property name"),
        ("chat/completions", b'{"n', 400, "the body is no JSON (Unterminated string starting at line 1)"),
        ("chat/completions", b"\xff\xfe", 400, "the body is no JSON"),
        ("chat/completions", b"[" * 100_000, 400, "the body is no JSON"),
        ("chat/completions", b'{"n": ' + b"9" * 5000 + b"}", 400, "the body is no JSON"),
        ("chat/completions", b"[]", 400, "the body is a JSON list; allowed is an object"),
        ("chat/completions", CHAT | {"model": "gpt-4o"}, 404, 'The model "gpt-4o" does not exist; here are student, '),
        ("chat/completions", CHAT | {"model": "student:eve"}, 404, 'The model "student:eve" does not exist'),
        ("chat/completions", CHAT | {"model": "student@ffff"}, 404, 'The model "student@ffff" does not exist'),
        ("chat/completions", CHAT | {"model": None}, 400, "model: is missing; allowed is student, student:ann"),
        ("chat/completions", CHAT | {"model": 3}, 400, "model: 3; allowed is a text"),
        ("chat/completions", CHAT | {"messages": []}, 400, "messages: none has the role user"),
        ("chat/completions", CHAT | {"messages": "hi"}, 400, 'messages: "hi"; allowed is a list of messages'),
        (
            "chat/completions",
            CHAT | {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "messages: a message's content is no text",
        ),
        ("chat/completions", CHAT | {"n": 2}, 400, "n: the answer is the same every time; allowed is 1"),
        ("chat/completions", CHAT | {"stream": "yes"}, 400, 'stream: "yes"; allowed is true or false'),
        ("chat/completions", CHAT | {"max_tokens": 0}, 400, "max_tokens: 0; allowed is a whole number, 1 or more"),
        ("chat/completions", CHAT | {"choices": ["one"]}, 400, "1 choices; allowed are 2 to 26"),
        ("chat/completions", CHAT | {"choices": ["a", "A", "a"]}, 400, "'a' stands among the choices more than once"),
        ("chat/completions", CHAT | {"choices": [1, 2]}, 400, "choices: allowed is a list of texts"),
        ("chat/completions", CHAT | {"context": 1}, 400, "context: 1; allowed is a text"),
        (
            "chat/completions",
            CHAT | {"voices": ["eve"]},
            400,
            'voices: ["eve"]; allowed is true, false or a list of ann',
        ),
        ("chat/completions", CHAT | {"stop": 1}, 400, "stop: 1; allowed is a text or a list"),
        (
            "chat/completions",
            CHAT | {"logprobs": True, "top_logprobs": 21},
            400,
            "top_logprobs: 21; allowed is a whole",
        ),
        ("chat/completions", CHAT | {"choices": [], "logprobs": True}, 400, "logprobs: told of a question's options"),
        ("chat/completions", CHAT | {"context": "\ud800"}, 400, "\\ud800 is half a character"),
        ("chat/completions", CHAT | {"context": "", "choices": ["x " * 9000, "y"]}, 400, "the question has "),
        ("completions", {"model": "student", "prompt": [1, 2]}, 400, "prompt: allowed is a text or a list of texts"),
        ("completions", {"model": "student", "prompt": ["x"] * 129}, 400, "prompt: 129 texts; allowed are 128"),
        ("completions", {"model": "student", "prompt": ""}, 400, "the question is empty"),
        ("completions", {"model": "student", "prompt": "x", "echo": True}, 400, "echo: not known here; `choices`"),
        (
            "completions",
            {"model": "student", "prompt": "x " * 9000},
            400,
            "the question has 18001 tokens, its ",
        ),
        ("embeddings", {"model": "student"}, 404, "POST /v1/embeddings: Not Found; here are POST /v1/chat/"),
        ("models", {}, 405, "POST /v1/models: Method Not Allowed; here are POST /v1/chat/completions"),
        ("chat/completions", b" " * 10_000_000, 413, f"the body is too large; allowed are {LARGEST} bytes"),
    ],
)
def test_what_cannot_be_answered_gets_one_clear_error(
    url: str, path: str, sent: object, status: int, told: str
) -> None:
    found = refused(url, path, sent)
    assert found[0] == status and found[1].startswith(told) and "\n" not in found[1]
    assert get(f"{url}/health")[0] == 200


def test_a_question_that_fails_takes_no_other_with_it(model: LoadedModel, tmp_path: Path) -> None:
    def run(jobs: Sequence[Job]) -> list[Said | Exception]:
        words = [job.question.question for job in jobs]
        faults: dict[str, Exception] = {"nan": ValueError("no number"), "bug": KeyError("x"), "no": Refusal(400, "no")}
        return [faults.get(word, Said(word, "stop", 1, 1, None)) for word in words]

    with serving(asked_student(model, tmp_path, PARAMS), run) as url:
        sent = {"model": "student", "prompt": "nan"}
        assert refused(url, "completions", sent) == (500, "no number")
        assert refused(url, "completions", sent | {"prompt": "no"}) == (400, "no")
        assert refused(url, "completions", sent | {"prompt": ["bug", "fine"]}) == (
            500,
            "the server failed at this request; its terminal says why",
        )
        assert asked(url, "completions", sent | {"prompt": "fine"})["choices"][0]["text"] == "fine"


def test_a_client_that_is_gone_costs_nothing_and_the_server_lives_on(model: LoadedModel, tmp_path: Path) -> None:
    began, go_on, ran = threading.Event(), threading.Event(), []

    def run(jobs: Sequence[Job]) -> list[Said]:
        ran.extend(job.question.question for job in jobs)
        began.set()
        assert go_on.wait(30)
        return [Said(job.question.question, "stop", 1, 1, None) for job in jobs]

    with serving(asked_student(model, tmp_path, PARAMS), run) as url:
        for text in ("first", "second"):  # the second waits behind the first
            data = json.dumps({"model": "student", "prompt": text}).encode()
            host, port = url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as client:
                head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
                client.sendall(head.encode() + data)
                assert began.wait(30)
                while get(f"{url}/health")[1]["waiting"] < (text == "second"):
                    time.sleep(0.01)
        time.sleep(0.2)  # until the server has heard of it
        go_on.set()
        assert asked(url, "completions", {"model": "student", "prompt": "third"})["choices"][0]["text"] == "third"
    assert ran == ["first", "third"]


def test_requests_that_come_together_are_one_batch(model: LoadedModel, tmp_path: Path) -> None:
    sizes: list[int] = []
    held, first = threading.Event(), threading.Event()

    def run(jobs: Sequence[Job]) -> list[Said]:
        sizes.append(len(jobs))
        first.set()
        assert held.wait(30)
        return [Said(job.question.question, "stop", 1, 1, None) for job in jobs]

    with serving(asked_student(model, tmp_path, PARAMS), run) as url:
        found: list[str] = []

        def client(text: str) -> None:
            reply = asked(url, "completions", {"model": "student", "prompt": text})
            found.append(text + reply["choices"][0]["text"])

        threads = [threading.Thread(target=client, args=(f"q{i}",)) for i in range(9)]
        threads[0].start()
        assert first.wait(30)
        for thread in threads[1:]:
            thread.start()
        while get(f"{url}/health")[1]["waiting"] < 8:
            time.sleep(0.01)
        held.set()
        for thread in threads:
            thread.join(30)
        assert sorted(found) == [f"q{i}q{i}" for i in range(9)] and sizes == [1, 8]
        assert get(f"{url}/health")[1] | {"fingerprint": ""} == {
            "status": "ok",
            "fingerprint": "",
            "answered": 9,
            "batches": 2,
            "waiting": 0,
        }


def test_a_row_of_the_data_set_may_be_sent_as_it_is(url: str) -> None:
    row = asdict(QUESTIONS[3])
    assert asked(url, "chat/completions", body(QUESTIONS[3]) | row)["choices"][0]["student"]["choice"] in range(4)
