# ruff: noqa: E501  # replies are as long as servers send them
"""The manners of today's servers: each ends in texts by params alone, or in one line that names the param.

The replies have the form that the servers named in the ids give.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from tests.manners import Manner, Reply, Request, chat, error, serving, whole
from tinyllm.params.load import load_params
from tinyllm.params.teacher_entries import Price, ServerTeacher
from tinyllm.teachers.protocol import Failure, Generation, Prompt, Scored
from tinyllm.teachers.server import scheduler
from tinyllm.teachers.server.address import check_encrypted, is_loopback
from tinyllm.teachers.server.client import Server
from tinyllm.teachers.server.option_letters import OptionLetters
from tinyllm.teachers.server.responses import same_model

KEY = "sk-toy-77aa01bc92de"
SAID = "Leaves breathe it."
RUNTIME = load_params(Path(__file__).resolve().parents[3] / "params.yaml").runtime.model_copy(
    update={"concurrency": 4, "deadline": 10.0, "retries": 2, "max_cost": None}
)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", KEY)
    monkeypatch.setattr(scheduler, "FIRST_WAIT", 0.01)


def settings(url: Any, **changes: Any) -> ServerTeacher:
    values = {
        "backend": "server", "url": url, "model": "toy-model", "api": "chat", "key_variable": "TOY_KEY",
        "context_tokens": 8192, "max_new_tokens": 128, "temperature": 0.0, "seed": None,
        "price": Price(prompt=0.0, completion=0.0), "parameters": None,
    }  # fmt: skip
    return ServerTeacher(**values | changes)


def ask(url: Any, count: int = 3, concurrency: int = 4, retries: int = 2, **changes: Any) -> list[Any]:
    runtime = RUNTIME.model_copy(update={"concurrency": concurrency, "retries": retries})
    backend = Server(settings(url, **changes), runtime, "toy")
    prompts = [Prompt("", f"Why {number}?") for number in range(count)]
    return [outcome for _, outcome in sorted(backend.generate(prompts, lambda index: True), key=lambda pair: pair[0])]


def wants(*absent: str, **present: Any) -> Manner:
    """A server that answers a request without these fields and with those."""

    def manner(request: Request) -> Reply:
        for name in absent:
            if name in request.fields:
                more = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                said = f"Unsupported parameter: '{name}' is not supported with this model.{more}"
                return error(400, said, param=name, code="unsupported_parameter")
        for name, value in present.items():
            if request.fields.get(name) != value:
                return error(400, f"Missing required parameter: '{name}'.", param=name)
        return chat(SAID)

    return manner


def once(first: Reply, then: Reply) -> Manner:
    seen: list[str] = []

    def manner(request: Request) -> Reply:
        seen.append(request.text)
        return first if len(seen) == 1 else then

    return manner


PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": SAID}]
THOUGHT = f"<think>\nHm.\n</think>\n\n{SAID}"
GPT5 = {"max_tokens": None, "max_completion_tokens": 4096, "temperature": None, "stop": None, "reasoning_effort": "low"}

TEXTS: list[tuple[str, Manner, dict[str, Any], str]] = [  # whose manner, what it does, the params, the text
    ("GPT-5: other limit, no temperature, no stop", wants("max_tokens", "temperature", "stop"), {"extra": GPT5}, SAID),
    ("o-style: effort asked for", wants("temperature", reasoning_effort="high"), {"extra": {"temperature": None, "reasoning_effort": "high"}}, SAID),
    ("GPT-4o: a dated snapshot answers", lambda _: chat(SAID, model="toy-model-2024-08-06"), {}, SAID),
    ("GPT-4o: a list of parts", lambda _: chat([{"type": "text", "text": "Leaves "}, {"type": "text", "text": "breathe it."}]), {}, SAID),
    ("GPT-4o: annotations and a null refusal", lambda _: chat(SAID, refusal=None, annotations=[], audio=None), {}, SAID),
    ("OpenAI: retry-after-ms", once(whole({"error": {"message": "Rate limit"}}, 429, retry_after_ms="20", Retry_After="60"), chat(SAID)), {}, SAID),
    ("Azure: a deployment answers by its model", lambda _: chat(SAID, model="gpt-4o-mini"), {"answers_as": "gpt-4o-mini"}, SAID),
    ("vLLM: reasoning_content", lambda _: chat(SAID, reasoning_content="Hm.", tool_calls=[]), {}, THOUGHT),
    ("vLLM: thinking switched off", wants(chat_template_kwargs={"enable_thinking": False}), {"extra": {"chat_template_kwargs": {"enable_thinking": False}}}, SAID),
    ("vLLM: stop_reason and null logprobs", lambda _: whole({"model": "toy-model", "prompt_logprobs": None, "choices": [{"index": 0, "message": {"content": SAID}, "logprobs": None, "finish_reason": "stop", "stop_reason": 128001}], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None}}), {}, SAID),
    ("vLLM: a path as the model", lambda _: chat(SAID, model="/models/toy-model"), {}, SAID),
    ("transformers serve: a revision", lambda _: chat(SAID, model="/models/toy-model@main"), {}, SAID),
    ("llama.cpp: a file as the model", lambda _: chat(SAID, model="/srv/toy-model.Q4_K_M.gguf"), {}, SAID),
    ("llama.cpp: another name for the file", lambda _: chat(SAID, model="/srv/weights.gguf"), {"answers_as": "/srv/weights.gguf"}, SAID),
    ("llama.cpp: still loading", once(error(503, "Loading model", type="unavailable_error", code=503), chat(SAID)), {}, SAID),
    ("llama.cpp: timings besides usage", lambda _: whole({"model": "gpt-3.5-turbo", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": SAID}}], "usage": {"completion_tokens": 4, "prompt_tokens": 3}, "timings": {"prompt_ms": 3.1}}), {"answers_as": "gpt-3.5-turbo"}, SAID),
    ("Ollama: reasoning", lambda _: chat(SAID, reasoning="Hm."), {}, THOUGHT),
    ("Ollama: a tag", lambda _: chat(SAID, model="toy-model:latest"), {}, SAID),
    ("OpenRouter: a comment before the answer", lambda _: (200, {}, b"\n: OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + chat(SAID)[2]), {}, SAID),
    ("OpenRouter: a provider's name for the model", lambda _: chat(SAID, model="meta/toy-model:free", reasoning=None), {}, SAID),
    ("OpenRouter: an error with status 200, once", once(whole({"error": {"message": "Provider returned error", "code": 502}}), chat(SAID)), {}, SAID),
    ("DeepSeek-R1: blank lines, then reasoning_content", lambda _: (200, {}, b"\n\n\n\n" + chat(SAID, reasoning_content="Hm.")[2]), {}, THOUGHT),
    ("DeepSeek-R1: its tags in the text", lambda _: chat(THOUGHT), {}, THOUGHT),
    ("DeepSeek-R1: cut while it thinks", lambda _: chat("", finish="length", reasoning_content="Hm."), {}, "<think>\nHm."),
    ("Mistral: parts that think", lambda _: chat(PARTS), {}, THOUGHT),
    ("Mistral: model_length", lambda _: chat(SAID, finish="model_length"), {}, SAID),
    ("Anthropic: end_turn", lambda _: chat(SAID, finish="end_turn"), {}, SAID),
    ("Anthropic: max_tokens", lambda _: chat(SAID, finish="max_tokens"), {}, SAID),
    ("Gemini: models/ before the name, upper case", lambda _: chat(SAID, finish="STOP", model="models/toy-model"), {}, SAID),
    ("TGI: eos_token", lambda _: chat(SAID, finish="eos_token"), {}, SAID),
    ("Together: eos", lambda _: chat(SAID, finish="eos"), {}, SAID),
    ("Groq: no usage", lambda _: whole({"model": "toy-model", "choices": [{"message": {"content": SAID}, "finish_reason": "stop"}]}), {}, SAID),
    ("Gemini: a limit of requests a minute", once(whole([{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details.", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.02s"}]}}], 429), chat(SAID)), {}, SAID),
    ("OpenRouter: a provider's error as a choice, once", once(whole({"model": "toy-model", "choices": [{"error": {"code": 502, "message": "Provider returned error"}, "finish_reason": "error", "message": {"content": ""}}]}), chat(SAID)), {}, SAID),
    ("OpenRouter: reasoning in details alone", lambda _: chat(SAID, reasoning_details=[{"type": "reasoning.text", "text": "Hm."}, {"type": "reasoning.encrypted", "data": "x"}]), {}, THOUGHT),
    ("DeepSeek-R1: a question within its tags", lambda _: chat("<think>\nHm.\nQuestion: is it so?\n</think>\n\n" + SAID + "\nQuestion: and?"), {}, "<think>\nHm.\nQuestion: is it so?\n</think>\n\n" + SAID),
    ("vLLM: log-probabilities that only letters need", wants("top_logprobs"), {"extra": {"top_logprobs": 5}}, SAID),
    ("LM Studio: streams unless told", wants(stream=False), {"extra": {"stream": False}}, SAID),
    ("SGLang: extra fields", wants(top_k=1), {"extra": {"top_k": 1}}, SAID),
]  # fmt: skip


@pytest.mark.parametrize(("manner", "params", "text"), [row[1:] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_a_manner_ends_in_texts_by_params_alone(manner: Manner, params: dict[str, Any], text: str) -> None:
    with serving(manner) as place:
        outcomes = ask(place.url, **params)
    assert [getattr(outcome, "text", outcome) for outcome in outcomes] == [text] * 3


LINES: list[tuple[str, Manner, dict[str, Any], str]] = [  # and what the line names
    ("GPT-5", wants("max_tokens"), {}, "set teachers.toy.extra: {max_tokens: null, max_completion_tokens: 128}"),
    ("GPT-5 again", wants("temperature"), {}, "set teachers.toy.extra: {temperature: null}"),
    ("o-style", wants("stop"), {}, "set teachers.toy.extra: {stop: null}"),
    ("o-style, a value", lambda _: error(400, "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported.", param="temperature", code="unsupported_value"), {}, "set teachers.toy.extra: {temperature: null}"),
    ("FastAPI, of ours", lambda _: whole({"detail": "Extra inputs are not permitted: 'top_k'"}, 422), {"extra": {"top_k": 1}}, "see top_k in teachers.toy.extra"),
    ("TGI, greedy", lambda _: whole({"error": "Input validation error: `temperature` must be strictly positive", "error_type": "validation"}, 422), {}, "set teachers.toy.extra: {temperature: null}"),
    ("GPT-4o, a longer answer than it writes", lambda _: error(400, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000.", param="max_tokens"), {}, "lower teachers.toy.max_new_tokens"),
    ("Mistral, a field of ours", lambda _: whole({"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}}, 422), {"seed": 1}, "set teachers.toy.extra: {seed: null}"),
    ("Gemini, a wrong key", lambda _: whole([{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}], 400), {}, "check the key in TOY_KEY"),
    ("Anthropic, no money", lambda _: error(400, "Your credit balance is too low to access the Anthropic API."), {}, "check the account"),
    ("a server that streams more than an answer", lambda _: (200, {}, b'data: {"choices": [{"delta": {"content": "word"}}]}\n\n' * 4000), {}, "set teachers.toy.extra: {stream: false}"),
    ("Azure, key in another header", lambda _: error(401, "Access denied due to invalid subscription key", code="401"), {}, "teachers.toy.key_header: api-key"),
    ("OpenRouter, no money", lambda _: error(402, "This request requires more credits, or fewer max_tokens.", code=402), {}, "check the account"),
    ("OpenRouter, no money in the guise of an answer", lambda _: whole({"error": {"message": "Insufficient credits", "code": 402}}), {}, "check the account"),
    ("Ollama, no such model", lambda _: error(404, 'model "toy-model" not found, try pulling it first', type="api_error"), {}, "teachers.toy.model"),
    ("Azure, no such deployment", lambda _: error(404, "The API deployment for this resource does not exist.", code="DeploymentNotFound"), {}, "teachers.toy.model"),
    ("a streaming server", lambda _: (200, {"Content-Type": "text/event-stream"}, b'data: {"choices": []}\n\ndata: [DONE]\n\n'), {}, "set teachers.toy.extra: {stream: false}"),
    ("a proxy that redirects", lambda _: (302, {"Location": "https://elsewhere.example/v1"}, b""), {}, "a redirect to https://elsewhere.example/v1"),
]  # fmt: skip


@pytest.mark.parametrize(("manner", "params", "named"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
def test_a_manner_that_no_prompt_survives_ends_at_once_in_a_line_that_names_the_param(
    manner: Manner, params: dict[str, Any], named: str
) -> None:
    with serving(manner) as place, pytest.raises(ValueError) as caught:
        ask(place.url, count=200, **params)
    assert named in str(caught.value) and "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert len(place.requests) <= 8


FAILURES: list[tuple[str, Manner, str, str]] = [  # of single prompts: the reason, and what the detail names
    ("Azure's filter", lambda _: error(400, "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", code="content_filter"), "content_filter", "filtered"),
    ("OpenRouter's moderation", lambda _: error(403, "Your chosen model requires moderation and your input was flagged.", code=403), "content_filter", "flagged"),
    ("OpenAI's usage policy", lambda _: error(400, "Invalid prompt: your prompt was flagged as potentially violating our usage policy.", code="invalid_prompt"), "content_filter", "usage policy"),
    ("OpenAI's refusal", lambda _: chat(None, refusal="I cannot help with that."), "refusal", "I cannot help"),
    ("Gemini's filter", lambda _: chat(None, finish="SAFETY"), "content_filter", "filter"),
    ("vLLM's context", lambda _: error(400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.", code=400), "context_too_long", "teachers.toy.context_tokens"),
    ("another model", lambda _: chat(SAID, model="toy-model-mini"), "wrong_model", "set teachers.toy.answers_as: toy-model-mini"),
    ("nothing", lambda _: chat(""), "empty", "empty"),
    ("white space", lambda _: chat(" \n"), "empty", "empty"),
    ("thinking and no answer", lambda _: chat("", reasoning_content="Hm."), "empty", "empty"),
    ("no text", lambda _: chat(None), "no_text", "missing"),
    ("a wrong path", lambda _: (404, {}, b"404 page not found"), "refused", "check teachers.toy.url"),
    ("Gemini's list of errors", lambda _: whole([{"error": {"code": 400, "message": "Please use a valid role.", "status": "INVALID_ARGUMENT"}}], 400), "refused", "Please use a valid role."),
]  # fmt: skip


@pytest.mark.parametrize(("manner", "reason", "named"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
def test_a_manner_that_one_prompt_does_not_survive_has_its_reason(manner: Manner, reason: str, named: str) -> None:
    with serving(manner) as place:
        outcomes = ask(place.url, count=2)
    assert [(outcome.reason, named in outcome.detail) for outcome in outcomes if isinstance(outcome, Failure)] == [
        (reason, True)
    ] * 2


def test_azure_is_asked_at_its_deployment_with_its_header_and_version() -> None:
    with serving(lambda _: chat(SAID), "/openai/deployments/mine?api-version=2024-10-21") as place:
        assert len(ask(place.url, key_header="api-key")) == 3
    (path,) = {request.path for request in place.requests}
    assert path == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
    assert {request.headers["api-key"] for request in place.requests} == {KEY}
    assert not any("Authorization" in request.headers for request in place.requests)


@pytest.mark.parametrize("field", ["model", "messages", "prompt", "n", "stream"])
def test_what_only_the_client_may_say_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"teachers.toy.extra: {field} cannot be set there"):
        Server(settings("http://localhost:1/v1", extra={field: True}), RUNTIME, "toy")


def test_extra_is_part_of_the_identity_and_its_limit_the_longest_answer() -> None:
    plain = Server(settings("http://localhost:1/v1"), RUNTIME, "toy")
    more = Server(settings("http://localhost:1/v1", extra=GPT5), RUNTIME, "toy")
    assert "extra" not in plain.identity and more.identity["extra"] == GPT5
    assert (plain.max_new_tokens, more.max_new_tokens) == (128, 4096)


def test_what_json_cannot_hold_is_refused_with_its_key() -> None:
    for extra, named in (
        ({"logit_bias": {50256: -100}}, "teachers.toy.extra.logit_bias has the key 50256; allowed is text"),
        ({"top_p": math.inf}, "teachers.toy.extra.top_p is inf; allowed are finite numbers"),
    ):
        with pytest.raises(ValueError) as caught:
            Server(settings("http://localhost:1/v1", extra=extra), RUNTIME, "toy")
        assert str(caught.value).startswith(named)


def test_an_answer_as_long_as_the_context_is_refused() -> None:
    with pytest.raises(
        ValueError, match="teachers.toy.context_tokens: 4096 leaves no room for a prompt before an answer"
    ):
        Server(settings("http://localhost:1/v1", context_tokens=4096, extra=GPT5), RUNTIME, "toy")


def test_an_address_ends_before_the_path_that_is_put_behind_it() -> None:
    with pytest.raises(
        ValueError, match="teachers.toy.url: its path /v1/chat/completions ends in what is put behind it"
    ):
        Server(settings("http://localhost:1/v1/chat/completions"), RUNTIME, "toy")


def test_what_is_no_answer_costs_what_the_server_counts() -> None:
    usage = [
        (chat(""), (5, 7)),
        (chat("", reasoning_content="Hm."), (5, 7)),
        (chat(SAID, finish="content_filter"), (5, 7)),
        (whole({"model": "toy-model", "choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}), None),
    ]
    for reply, billed in usage:
        with serving(lambda _, reply=reply: reply) as place:
            (outcome,) = ask(place.url, count=1)
        assert isinstance(outcome, Failure) and (outcome.unanswered, outcome.billed) == (1, billed)


# --- the key ---------------------------------------------------------------------------------------------------------


def test_a_key_travels_unencrypted_to_this_machine_alone_unless_a_param_says_so() -> None:
    for url in ("https://a.example/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1", "http://localhost/v1"):
        check_encrypted([url], "toy")
    with pytest.raises(ValueError) as caught:
        ask("http://192.0.2.1/v1")
    assert str(caught.value).startswith("teachers.toy.url: http://192.0.2.1/v1 is not encrypted")
    assert "teachers.toy.plain_http: true" in str(caught.value) and KEY not in str(caught.value)


def test_which_hosts_are_this_machine() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("128.0.0.1", "10.0.0.1", "localhost.example", "a.localhost", "")] == [
        False
    ] * 5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_the_key_to_no_other_server(status: int) -> None:
    with serving(lambda _: chat(SAID)) as other, serving(lambda _: (status, {"Location": other.url}, b"")) as place:
        with pytest.raises(ValueError, match="redirect"):
            ask(place.url)
        assert other.requests == [] and place.requests


# --- several addresses -----------------------------------------------------------------------------------------------


def test_several_addresses_share_the_prompts() -> None:
    with serving(lambda _: chat("One.")) as first, serving(lambda _: chat("Two.")) as second:
        outcomes = ask((first.url, second.url), count=40)
    assert {outcome.text for outcome in outcomes if isinstance(outcome, Generation)} == {"One.", "Two."}
    texts = [request.text for place in (first, second) for request in place.requests]
    assert sorted(texts) == sorted(f"Why {number}?" for number in range(40))
    assert min(len(first.requests), len(second.requests)) >= 5


def test_what_one_address_cannot_answer_another_does() -> None:
    dead = "http://127.0.0.1:9/v1"
    with serving(lambda _: chat(SAID)) as place:
        assert [getattr(outcome, "text", outcome) for outcome in ask((dead, place.url), count=30)] == [SAID] * 30
    with serving(lambda _: error(401, "no")) as closed, serving(lambda _: chat(SAID)) as place:
        assert [getattr(outcome, "text", outcome) for outcome in ask((closed.url, place.url), count=30)] == [SAID] * 30


def test_an_address_that_was_down_is_asked_again_and_one_that_is_left_is_named(capsys) -> None:
    """It fails for six requests, while the other answers slowly."""
    counts = iter(range(1000))

    def restarts(request: Request) -> Reply:
        return error(500, "starting") if next(counts) < 6 else chat("Back.")

    def slow(request: Request) -> Reply:
        time.sleep(0.02)
        return chat("Slow.")

    with serving(restarts) as first, serving(slow) as second:
        outcomes = ask((first.url, second.url), count=150, retries=1)
    texts = [getattr(outcome, "text", outcome) for outcome in outcomes]
    assert set(texts) == {"Back.", "Slow."} and texts.count("Back.") > 20
    assert f"{first.url}: server_error (HTTP 500 Internal Server Error (starting)); the other addresses go on" in (
        capsys.readouterr().err
    )


def test_the_query_ends_when_every_address_is_down() -> None:
    with pytest.raises(ValueError, match="10 prompts in a row got no answer, the last: unreachable"):
        ask(("http://127.0.0.1:9/v1", "http://127.0.0.1:10/v1"), count=30)


def test_an_address_that_waits_holds_nothing_back_from_another() -> None:
    """What one address failed in passing goes back to it while the other one is told to wait."""
    busy = whole({"error": {"message": "later"}}, 429, Retry_After="60")
    seen: list[str] = []

    def flaky(request: Request) -> Reply:
        seen.append(request.text)
        return whole({"error": {"message": "passing"}}, 500) if seen.count(request.text) == 1 else chat(SAID)

    with serving(lambda _: busy) as waits, serving(flaky) as place:
        started = time.monotonic(), time.process_time()
        outcomes = ask((waits.url, place.url), count=6, concurrency=1)
        took = time.monotonic() - started[0], time.process_time() - started[1]
    assert [getattr(outcome, "text", outcome) for outcome in outcomes] == [SAID] * 6
    assert took[0] < 5.0 and took[1] < 2.0


def test_the_query_ends_when_no_address_is_left() -> None:
    with (
        serving(lambda _: error(401, "no")) as first,
        serving(lambda _: error(402, "no")) as second,
        pytest.raises(ValueError) as caught,
    ):
        ask((first.url, second.url), count=30)
    assert f"{first.url}: HTTP 401" in str(caught.value) and f"{second.url}: HTTP 402" in str(caught.value)


def test_the_identity_stands_for_the_address() -> None:
    old = Server(settings("http://old.example/v1"), RUNTIME, "toy")
    moved = Server(
        settings(("http://new.example/v1", "http://too.example/v1"), identity="http://old.example/v1"), RUNTIME, "toy"
    )
    unnamed = Server(settings(("http://new.example/v1", "http://too.example/v1")), RUNTIME, "toy")
    assert moved.identity == old.identity
    assert unnamed.identity["url"] == "http://new.example/v1"


@pytest.mark.parametrize(
    ("named", "requested", "same"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o", True),
        ("gpt-4o-mini", "gpt-4o", False),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o-mini-2024-07-18", "gpt-4o", False),
        ("meta-llama/Llama-3-8B", "llama-3-8b", True),
        ("llama-3-8b:latest", "llama-3-8b", True),
        ("/models/llama-3-8b@main", "/models/llama-3-8b", True),
        ("Llama-3-8B.Q4_K_M.gguf", "llama-3-8b", True),
        ("llama-3-80b", "llama-3-8", False),
        ("Llama-3-8B-Q8_0-00001-of-00002.gguf", "llama-3-8b", True),
        ("gemini-2.0-flash-001", "gemini-2.0-flash", True),
        ("llama-3-70b", "llama-3", False),
        ("gpt-4.1", "gpt-4", False),
        ("gpt-4-32k", "gpt-4", False),
        ("o1-preview", "o1", False),
        ("gemma-2", "gemma", False),
        ("gpt-4-0613", "gpt-4", True),
        ("gpt-3.5-turbo-0125", "gpt-3.5-turbo", True),
        ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet", True),
        ("command-r-08-2024", "command-r", True),
        ("gemini-2.5-pro-preview-05-06", "gemini-2.5-pro-preview", True),
        ("doubao-pro-250115", "doubao-pro", True),
        ("deepseek/deepseek-r1:free", "deepseek-r1", True),
        ("Llama-3-8B-Instruct-AWQ", "llama-3-8b-instruct", True),
        ("qwen3-8b-fp8", "qwen3-8b", True),
        ("gpt-4o-mini", "gpt-4", False),
        ("gpt-4o", "gpt-4", False),
        ("gpt-4-turbo", "gpt-4", False),
        ("gpt-4-turbo-2024-04-09", "gpt-4", False),
        ("gpt-4-32k-0613", "gpt-4", False),
        ("gpt-4.1-mini", "gpt-4.1", False),
        ("gpt-4-0613", "gpt-4-0314", False),
        ("gpt-3.5-turbo-16k", "gpt-3.5-turbo", False),
        ("chatgpt-4o-latest", "gpt-4o", False),
        ("ft:gpt-4o:acme::abc", "gpt-4o", False),
        ("gpt-4o:acme", "gpt-4o", False),
        ("o1-mini", "o1", False),
        ("o1-pro-2025-03-19", "o1", False),
        ("o3", "o1", False),
        ("llama-3-70b", "llama-3-8b", False),
        ("llama-3.1-8b", "llama-3-8b", False),
        ("llama-3.1", "llama-3", False),
        ("llama-3.1-405", "llama-3.1", False),
        ("llama-3-8b-instruct", "llama-3-8b", False),
        ("codellama-7b", "llama-7b", False),
        ("llama3:70b", "llama3", False),
        ("qwen2.5:0.5b", "qwen2.5", False),
        ("qwen2.5-coder", "qwen2.5", False),
        ("Qwen3-30B-A3B-2507", "qwen3-30b-a3b", False),
        ("deepseek-r1:1.5b", "deepseek-r1", False),
        ("DeepSeek-R1-Distill-Qwen-7B", "deepseek-r1", False),
        ("deepseek-coder-v2", "deepseek-coder", False),
        ("deepseek-v2.5", "deepseek-v2", False),
        ("mistral-small-2501", "mistral-small", False),
        ("mistral-small-2501", "mistral-small-2402", False),
        ("mistral-7b-instruct-v0.3", "mistral-7b-instruct", False),
        ("mixtral-8x22b", "mixtral-8x7b", False),
        ("command-r-plus", "command-r", False),
        ("claude-3-haiku", "claude-3", False),
        ("gemini-1.5-flash-8b", "gemini-1.5-flash", False),
        ("phi-3-mini", "phi-3", False),
        ("", "gpt-4", False),
        ("other", "toy", False),
    ],
)
def test_which_names_are_one_models(named: str, requested: str, same: bool) -> None:
    assert same_model(named, requested) is same


# --- option probabilities --------------------------------------------------------------------------------------------

QUESTION = Scored("", "Which? Options: (a) ice (b) oak", ("ice", "oak"))


def letters(*pairs: tuple[str, float]) -> Reply:
    top = [{"token": token, "logprob": value, "bytes": None} for token, value in pairs]
    choice = {
        "message": {"content": "a"},
        "finish_reason": "length",
        "logprobs": {"content": [{**top[0], "top_logprobs": top}]},
    }
    return whole({"model": "toy-model", "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}})


def score(manner: Manner, **changes: Any) -> tuple[Generation | Failure, Request]:
    with serving(manner) as place:
        ((_, outcome),) = OptionLetters(settings(place.url, **changes), RUNTIME, "toy").generate(
            [QUESTION], lambda index: True
        )
    return outcome, place.requests[0]


def test_a_chat_tells_how_likely_each_letter_is() -> None:
    outcome, request = score(
        lambda _: letters(("b", math.log(0.5)), (" B", math.log(0.25)), ("(a", math.log(0.125)), ("x", -5.0))
    )
    assert isinstance(outcome, Generation)
    assert json.loads(outcome.text) == [round(math.log(0.125), 6), round(math.log(0.75), 6)]
    asked = {"logprobs": True, "top_logprobs": 20, "max_tokens": 1, "temperature": 0.0, "model": "toy-model"}
    assert {key: value for key, value in request.fields.items() if key != "messages"} == asked
    assert request.text.endswith("Which option is right? Reply with its letter alone.")


def test_a_completion_tells_it_too_and_a_letter_that_is_not_told_counts_as_the_least() -> None:
    reply = whole(
        {
            "model": "toy-model",
            "choices": [
                {"text": "b", "finish_reason": "length", "logprobs": {"top_logprobs": [{"b": -0.5, "c": -3.0}]}}
            ],
        }
    )
    outcome, request = score(lambda _: reply, api="completions")
    assert isinstance(outcome, Generation) and json.loads(outcome.text) == [-3.0, -0.5]
    assert request.fields["logprobs"] == 20 and request.text.endswith("\n\nAnswer: (")


def test_a_server_that_tells_fewer_is_asked_for_fewer() -> None:
    outcome, request = score(lambda _: letters(("b", -0.5), ("a", -1.0)), extra={"top_logprobs": 5, "stop": None})
    assert isinstance(outcome, Generation) and (request.fields["logprobs"], request.fields["top_logprobs"]) == (True, 5)


@pytest.mark.parametrize(
    ("manner", "reason"), [(lambda _: chat("b"), "no_logprobs"), (lambda _: letters(("Well", -0.1)), "no_letters")]
)
def test_a_server_that_tells_none_says_so(manner: Manner, reason: str) -> None:
    outcome, _ = score(manner)
    assert isinstance(outcome, Failure) and outcome.reason == reason


def test_how_it_decodes_does_not_shape_the_probabilities_of_letters() -> None:
    first, second = (
        OptionLetters(settings("http://a/v1", temperature=value), RUNTIME, "toy").identity for value in (0.0, 0.7)
    )
    assert first == second and first["asked"] == "log-probability of each option's letter"
