"""The server backend against a real server in a process of its own, which misbehaves as each prompt asks."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.endpoint import Endpoint, answer_to, running
from tinyllm.params.load import load_params
from tinyllm.params.teacher_entries import Price, ServerTeacher
from tinyllm.teachers.protocol import Failure, Generation, Prompt
from tinyllm.teachers.server import scheduler as sending
from tinyllm.teachers.server.address import checked_url, proxy_of
from tinyllm.teachers.server.client import Server
from tinyllm.teachers.server.key import read_key
from tinyllm.teachers.server.refusals import retry_after
from tinyllm.teachers.tokens import estimate_tokens

KEY = "sk-toy-5f2c9b71d04e"
DEADLINE = 0.3  # where it is meant to pass
SETTINGS = ServerTeacher(
    backend="server",
    url="http://localhost:1/v1",
    model="toy-model",
    api="chat",
    key_variable="TOY_KEY",
    context_tokens=4096,
    max_new_tokens=128,
    temperature=0.0,
    samples=1,
    seed=None,
    price=Price(prompt=0.0, completion=0.0),
    parameters=None,
)
RUNTIME = load_params(Path(__file__).resolve().parents[3] / "params.yaml").runtime.model_copy(
    update={"concurrency": 16, "deadline": 10.0, "retries": 1, "max_cost": None}
)
Outcome = Generation | Failure


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with running() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr(sending, "FIRST_WAIT", 0.02)


def server(url: str, deadline: float = 10.0, retries: int = 1, concurrency: int = 16, **changes: Any) -> Server:
    settings = SETTINGS.model_copy(update={"url": url, **changes})
    runtime = {"deadline": deadline, "retries": retries, "concurrency": concurrency}
    return Server(settings, RUNTIME.model_copy(update=runtime))


def prompts(*texts: str) -> list[Prompt]:
    return [Prompt("", text) for text in texts]


def always(index: int) -> bool:
    return True


def ask(backend: Server, *texts: str) -> dict[str, Outcome]:
    """What became of each text."""
    return {texts[index]: outcome for index, outcome in backend.generate(prompts(*texts), always)}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


# --- misbehaviour ---------------------------------------------------------------------------------------------------

OK = "ok"
TABLE = [  # what the server does; what becomes of the prompt; requests it takes; attempts that may have been charged
    ("status 429 1", OK, 2, 0),
    ("status 429 1 0.2", OK, 2, 0),
    ("date 1", OK, 2, 0),
    ("status 429", "rate_limited", 2, 0),
    ("status 500 1", OK, 2, 0),
    ("status 500", "server_error", 2, 0),
    ("status 500 1 0.2", OK, 2, 0),
    ("status 503 1", OK, 2, 0),
    ("status 503", "server_error", 2, 0),
    ("status 529", "server_error", 2, 0),
    ("status 504", "server_error", 2, 0),
    ("status 408 1", OK, 2, 0),
    ("reset 1", OK, 2, 1),
    ("reset", "disconnected", 2, 2),
    ("cut 1", OK, 2, 1),
    ("cut", "disconnected", 2, 2),
    ("never", "timeout", 2, 2),
    ("drip", "timeout", 2, 2),
    ("endless", "too_large", 1, 1),
    ("many", "too_large", 1, 1),
    ("truncated 1", OK, 2, 1),
    ("truncated", "not_json", 2, 2),
    ("empty", "not_json", 2, 2),
    ("deep", "not_json", 2, 2),
    ("html", "holds_key", 1, 1),
    ("list", "no_choices", 2, 2),
    ("no_choices", "no_choices", 2, 2),
    ("null_choices", "no_choices", 2, 2),
    ("null_content", "no_text", 1, 1),
    ("no_finish", "no_finish", 1, 1),
    ("half", "half_character", 1, 1),
    ("echo", "holds_key", 1, 1),
    ("nothing", "empty", 1, 1),
    ("filtered", "content_filter", 1, 1),
    ("wrong_model", "wrong_model", 1, 1),
    ("dated_model", OK, 1, 0),
    ("too_long", "context_too_long", 1, 0),
    ("payload", "context_too_long", 1, 0),
    ("status 400", "refused", 1, 0),
    ("status 404", "refused", 1, 0),
    ("status 422", "refused", 1, 0),
]


@pytest.mark.parametrize(("act", "expected", "requests", "charged"), TABLE, ids=[row[0] for row in TABLE])
def test_each_misbehaviour_has_its_outcome(
    endpoint: Endpoint, act: str, expected: str, requests: int, charged: int
) -> None:
    text = f"[[{act}]] what is it?"
    deadline = DEADLINE if expected == "timeout" else 10.0
    before = time.monotonic()
    (outcome,) = ask(server(endpoint.url, deadline), text).values()
    assert time.monotonic() - before < 2 * DEADLINE + 2.0  # two seconds for a machine that is busy
    if isinstance(outcome, Generation):
        assert (OK, answer_to(text), "stop") == (expected, outcome.text, outcome.finish)
    else:
        assert outcome.reason == expected
        assert "\n" not in outcome.detail and len(outcome.detail) < 320
    assert outcome.unanswered == charged
    assert endpoint.get("count")["seen"][text] == requests
    assert KEY not in repr(outcome) and KEY[:10] not in repr(outcome)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("status 401", "URL: HTTP 401 Unauthorized; check the key in TOY_KEY"),
        ("status 402", "URL: HTTP 402 Payment Required (status on demand, your key was ***); check the account"),
        ("status 403", "URL: HTTP 403 Forbidden (status on demand, your key was ***); check the account"),
        ("no_model", "URL: HTTP 404 Not Found (The model `toy` does not exist.); check the teacher's model"),
        ("no_money", "URL: HTTP 429 Too Many Requests (You exceeded your current quota, check your plan.); check the"),
        ("redirect http://127.0.0.1:1/v1", "URL: HTTP 307, a redirect to http://127.0.0.1:1/v1?key=***; none is foll"),
    ],
)
def test_what_would_fail_for_every_prompt_ends_it_at_once(endpoint: Endpoint, act: str, message: str) -> None:
    texts = [f"[[{act}]] first", *(f"{act} {i}" for i in range(20))]
    with pytest.raises(ValueError) as caught:
        ask(server(endpoint.url, concurrency=1), *texts)
    assert str(caught.value).replace(endpoint.url, "URL").startswith(message)
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert not endpoint.get("count")["seen"].keys() & set(texts[1:])


def test_what_is_under_way_when_it_ends_is_still_told(endpoint: Endpoint) -> None:
    yielded = []
    with pytest.raises(ValueError, match="HTTP 401"):
        for index, outcome in server(endpoint.url).generate(prompts("[[slow]] 1", "[[status 401]] 2"), always):
            yielded.append((index, outcome))
    assert [(index, type(outcome)) for index, outcome in yielded] == [(0, Generation)]


def test_a_server_that_is_down_ends_it_after_ten_prompts() -> None:
    port, reasons = free_port(), []
    with pytest.raises(ValueError) as caught:
        for _, outcome in server(f"http://127.0.0.1:{port}/v1", concurrency=1).generate(
            prompts(*"abcdefghijklm"), always
        ):
            reasons.append((outcome.reason, outcome.unanswered) if isinstance(outcome, Failure) else outcome)
    assert reasons == [("unreachable", 0)] * 10
    assert str(caught.value).startswith(
        f"http://127.0.0.1:{port}/v1: 10 prompts in a row got no answer, the last: unreachable (ClientConnectorError: Cannot"
    )
    assert "see that the server runs and ask again, what is answered is kept" in str(caught.value)


def test_failures_that_lie_with_the_prompts_end_nothing(endpoint: Endpoint) -> None:
    outcomes = ask(server(endpoint.url), *(f"[[too_long]] {i}" for i in range(15)))
    assert {outcome.reason for outcome in outcomes.values() if isinstance(outcome, Failure)} == {"context_too_long"}
    assert len(outcomes) == 15


def test_a_redirect_takes_the_key_nowhere(endpoint: Endpoint) -> None:
    with running() as other:
        with pytest.raises(ValueError, match="redirect"):
            ask(server(endpoint.url), f"[[redirect {other.url}/chat/completions]] go")
        assert other.get("log") == []


def test_retry_after_holds_back_every_prompt(endpoint: Endpoint) -> None:
    texts = ["[[status 429 1 0.4]] held", *(f"held {i}" for i in range(5))]
    assert len(ask(server(endpoint.url, concurrency=1), *texts)) == 6
    times = [time for time, _, text in endpoint.get("log") if "held" in text]
    assert times[1] - times[0] >= 0.4
    assert len(times) == 7


def test_a_burst_of_push_backs_costs_one_prompt_an_attempt_and_not_all(endpoint: Endpoint) -> None:
    outcomes = ask(server(endpoint.url, retries=0), *(f"[[status 503 1]] burst {i}" for i in range(16)))
    assert sorted(type(outcome).__name__ for outcome in outcomes.values()) == ["Failure"] + ["Generation"] * 15


def test_what_is_left_is_sent_after_an_ordered_wait_with_nothing_under_way(endpoint: Endpoint) -> None:
    outcomes = ask(server(endpoint.url, retries=0, concurrency=1), "[[status 429 1 0.2]] alone", "left")
    assert [type(outcome) for outcome in outcomes.values()] == [Failure, Generation]


@pytest.mark.slow
def test_more_than_the_server_has_room_for_is_answered_in_the_end() -> None:
    with running("--limit", "1", "--latency", "0.01") as narrow:
        outcomes = ask(server(narrow.url, retries=6, concurrency=6), *(f"p {i}" for i in range(10)))
        assert {type(outcome) for outcome in outcomes.values()} == {Generation}
        assert [status for _, status, _ in narrow.get("log")].count(503) > 3


def test_a_key_that_is_escaped_is_masked_too(endpoint: Endpoint) -> None:
    (outcome,) = ask(server(endpoint.url), "[[escaped]]").values()
    assert outcome == Failure("refused", "HTTP 400 Bad Request (***)")


def test_a_push_back_that_lasts_longer_than_our_patience_is_final(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PATIENCE", 0.0)
    (outcome,) = ask(server(endpoint.url, retries=6), "[[status 429]] patience").values()
    detail = "HTTP 429 Too Many Requests (status on demand, your key was ***); 1 attempt"
    assert outcome == Failure("rate_limited", detail)


def test_a_servers_words_come_without_control_signs(endpoint: Endpoint) -> None:
    (outcome,) = ask(server(endpoint.url), "[[control]]").values()
    assert isinstance(outcome, Failure)
    assert outcome.detail == "HTTP 400 Bad Request (?[31mred? ? \u4e2d " + "long " * 37 + "l...)"


def test_the_key_is_in_no_log_line_and_no_output(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    trace = ""
    for act in ("status 400", "status 401", "status 403", "status 429", "reset", "html", "echo", "plain"):
        try:
            print(ask(server(endpoint.url), f"[[{act}]] quiet" if act != "plain" else act))
        except ValueError:
            trace += traceback.format_exc()
    assert "HTTP 401" in trace
    for text in (trace, caplog.text, *capfd.readouterr()):
        assert KEY not in text and KEY[3:11] not in text


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ("plain", Generation(answer_to("plain"), "stop", 1, 15, model="toy-model")),
        ("[[length]]", Generation(answer_to("[[length]]"), "length", 1, 15)),
        ("[[runs_on]]", Generation("Short.", "stop", 1, 6)),
        ("[[no_usage]]", Generation(answer_to("[[no_usage]]"), "stop", 24, 21)),
        ("[[false_usage]]", Generation(answer_to("[[false_usage]]"), "stop", 25, 21)),
    ],
)
@pytest.mark.parametrize("api", ["chat", "completions"])
def test_an_answer_is_the_one_written_out(endpoint: Endpoint, api: str, act: str, expected: Generation) -> None:
    assert ask(server(endpoint.url, api=api), act) == {act: expected}


def test_a_chat_request_holds_messages_and_a_completion_one_text(endpoint: Endpoint) -> None:
    common = {"model": "toy-model", "temperature": 0.5, "max_tokens": 128, "stop": ["\nQuestion:"]}
    for api, seed, system, expected in (
        ("chat", None, "Be brief.", {"messages": [("system", "Be brief."), ("user", "Why?")]}),
        ("chat", 3, "", {"messages": [("user", "Why?")], "seed": 3}),
        ("completions", None, "Be brief.", {"prompt": "Be brief.\n\nWhy?"}),
        ("completions", 0, "", {"prompt": "Why?", "seed": 0}),
    ):
        backend = server(f"{endpoint.url}/", api=api, seed=seed, temperature=0.5)
        assert [index for index, _ in backend.generate([Prompt(system, "Why?")], always)] == [0]
        last = endpoint.get("last")
        if "messages" in last["body"]:
            last["body"]["messages"] = [(message["role"], message["content"]) for message in last["body"]["messages"]]
        assert last["body"] == {**common, **expected}
        assert last["path"] == ("/v1/chat/completions" if api == "chat" else "/v1/completions")
        assert last["key"] == f"Bearer {KEY}"


def test_each_sample_has_a_seed_of_its_own_where_one_is_sent(endpoint: Endpoint) -> None:
    for seed, sample, expected in ((7, 0, 7), (7, 2, 9), (None, 2, None)):
        backend = server(endpoint.url, seed=seed, temperature=0.5)
        assert len(list(backend.generate([Prompt("", "Why?", sample=sample)], always))) == 1
        assert endpoint.get("last")["body"].get("seed") == expected


def test_without_a_key_variable_no_key_is_sent(endpoint: Endpoint) -> None:
    ask(server(endpoint.url, key_variable=None), "no key")
    assert endpoint.get("last")["key"] is None


def test_the_identity_is_what_shapes_an_answer_and_nothing_else() -> None:
    assert server("https://example.org/v1/").identity == {
        "backend": "server",
        "url": "https://example.org/v1",
        "model": "toy-model",
        "api": "chat",
        "temperature": 0.0,
        "max_new_tokens": 128,
        "seed": None,
        "stop": ["\nQuestion:"],
    }


# --- the generator --------------------------------------------------------------------------------------------------


def test_answers_come_as_they_arrive_and_closing_drops_the_rest(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    threads, started = threading.active_count(), time.monotonic()
    named = endpoint.url.replace("127.0.0.1", "localhost")  # looked up in a thread
    asked = server(named).generate(prompts("[[never]] close", "close 1", "close 2"), always)
    assert {next(asked)[0], next(asked)[0]} == {1, 2}
    asked.close()
    assert time.monotonic() - started < 5
    assert threading.active_count() == threads
    gc.collect()
    assert not caplog.records  # asyncio tells there of tasks that were pending when their loop was closed


def test_an_error_at_the_yield_comes_through_and_drops_the_rest(endpoint: Endpoint) -> None:
    asked = server(endpoint.url).generate(prompts("[[never]] throw", "throw"), always)
    next(asked)
    with pytest.raises(OSError, match="disk full"):
        asked.throw(OSError("disk full"))


def test_an_interrupt_while_it_waits_comes_through(endpoint: Endpoint) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            ask(server(endpoint.url), "[[never]] interrupted", "[[never]] too")
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_prompt_is_admitted_once_and_right_before_it_is_sent(endpoint: Endpoint) -> None:
    events: list[tuple[str, int]] = []

    def reserve(index: int) -> bool:
        events.append(("admitted", index))
        return True

    texts = ["[[status 500 1]] reserve", "reserve 1", "reserve 2"]
    for index, _ in server(endpoint.url, concurrency=1).generate(prompts(*texts), reserve):
        events.append(("came back", index))
    assert [index for event, index in events if event == "admitted"] == [0, 1, 2]
    assert events.index(("came back", 1)) < events.index(("admitted", 2))


def test_what_is_not_admitted_is_asked_for_again_when_one_has_come_back(endpoint: Endpoint) -> None:
    asked, under_way = [], set()

    def reserve(index: int) -> bool:
        asked.append(index)
        if len(under_way) < 2:
            under_way.add(index)
            return True
        return False

    for index, _ in server(endpoint.url).generate(prompts(*(f"two {i}" for i in range(6))), reserve):
        under_way.remove(index)
    assert sorted(set(asked)) == list(range(6))
    assert len(asked) <= 6 + 6  # each came back at most once between two questions


def test_nothing_admitted_and_nothing_under_way_is_the_end(endpoint: Endpoint) -> None:
    indices = [index for index, _ in server(endpoint.url).generate(prompts("end 0", "end 1", "end 2"), lambda i: i < 2)]
    assert sorted(indices) == [0, 1]
    assert "end 2" not in endpoint.get("count")["seen"]
    assert ask(server(endpoint.url)) == {}


def test_no_more_are_under_way_than_the_limit() -> None:
    with running("--latency", "0.02", "--limit", "5") as five:
        assert len(ask(server(five.url, concurrency=5), *(f"five {i}" for i in range(60)))) == 60
        log = five.get("log")
    assert [status for _, status, _ in log] == [200] * 60
    assert log[-1][0] - log[0][0] < 60 * 0.02 / 2  # and they were at once


def test_the_client_is_imported_only_when_something_is_asked() -> None:
    code = "import sys, tinyllm.teachers.server; print([m for m in ('aiohttp', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://me:hunter2@example.org/v1", "url: a name or password before host example.org"),
        ("https://hunter2@example.org/v1", "url: a name or password before host example.org"),
        ("https://example.org/v1?key=hunter2", "url: host example.org, and something behind ? or #"),
        ("https://example.org/v1#hunter2", "url: host example.org, and something behind ? or #"),
        ("https:///v1", "url: host missing, and nothing behind ? or #"),
        ("https://example.org:hunter2/v1", "url: its host or port cannot be read"),
    ],
)
def test_a_url_holds_an_address_and_nothing_that_is_secret(url: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        checked_url(url)
    assert str(caught.value).startswith(message)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "key_variable: environment variable TOY_KEY is not set or empty; export the key in it"),
        ("", "key_variable: environment variable TOY_KEY is not set or empty; export the key in it"),
        (f"{KEY}\n", "key_variable: environment variable TOY_KEY holds white space or signs that no key has"),
        (f"{KEY}\u200b", "key_variable: environment variable TOY_KEY holds white space or signs that no key has"),
    ],
)
def test_a_key_that_is_none_stops_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, value: str | None, message: str
) -> None:
    if value is None:
        monkeypatch.delenv("TOY_KEY")
    else:
        monkeypatch.setenv("TOY_KEY", value)
    backend = server("http://127.0.0.1:1/v1")  # whose answers are all in the cache needs no key
    with pytest.raises(ValueError) as caught:
        ask(backend, "a")
    assert str(caught.value).startswith(message)
    assert KEY not in str(caught.value)


def test_no_variable_is_no_key() -> None:
    assert (read_key(None), read_key("TOY_KEY")) == ("", KEY)


def test_the_proxy_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_of("https://example.org/v1") is None
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert proxy_of("https://example.org/v1") == "http://proxy:3128"
    assert proxy_of("http://example.org/v1") is None
    assert proxy_of("https://127.0.0.1:8000/v1") is None  # by NO_PROXY


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("2", 2.0),
        (" 0.5 ", 0.5),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 14:00:30 +0200", 30.0),
        ("Sat, 21 Nov 2026 12:00:30 -0000", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("the cat", 2), ("a question", 3), ("1999!", 5), ("\n\n", 2), ("é", 2), ("中文", 6)],
)
def test_tokens_are_estimated_by_letters_signs_and_bytes(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens
    assert server("http://a/v1").count_tokens(Prompt("", text)) == tokens + 16
