"""A small server that speaks OpenAI's protocol: answers derived from the prompt, misbehaviour on demand, all of it counted.

Run it with `python -m tests.endpoint --latency 0.05 --limit 64`, or from a test with `with running("--rate", "20")`.
It prints its port, then serves until it is killed. What a prompt's text holds between [[ and ]] is what happens to
that prompt, such as [[reset]], or [[status 503 2]]: that the first 2 times, then an answer. See `misbehave` for the rest.

GET /count tells {"seen": {prompt: times}, "answered": {prompt: times}}; GET /log tells every request as [seconds, status,
prompt]; GET /last the path, authorization and body of the last.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

WORDS = "sun rain leaf root stem soil seed frost shade water wind clay moss thorn bark bloom".split()
TEXT = "application/json"


@dataclass(frozen=True)
class Endpoint:
    """A server that runs in a process of its own."""

    root: str
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def get(self, path: str) -> Any:
        """What a GET tells: `count`, `log` or `last`."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.root}/{path}", timeout=10) as reply:
            return json.loads(reply.read())


@contextmanager
def running(*arguments: str, module: str = "tests.endpoint") -> Iterator[Endpoint]:
    """Start a server with these command-line arguments, and kill it at the end."""
    command = [sys.executable, "-m", module, *arguments]
    folder = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = process.stdout.readline().strip()
            assert port, "the server did not start"
            yield Endpoint(f"http://127.0.0.1:{port}", process)
        finally:
            process.kill()


def answer_to(prompt: str) -> str:
    """The text that the server answers a prompt with: twelve words, always the same for the same prompt."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return "It tells of " + " ".join(WORDS[byte % len(WORDS)] for byte in digest[:12]) + "."


@dataclass
class State:
    """What the server allows and what it has seen."""

    latency: float
    limit: int  # requests at once; more are answered 503
    rate: float  # requests a second; more are answered 429
    burst: float
    retry_after: str | None
    log: list[tuple[float, int, str]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    last: dict[str, Any] = field(default_factory=dict)
    busy: int = 0
    tokens: float = 0.0
    filled: float = 0.0

    def admitted(self) -> int:
        """200, or the status that turns a request away."""
        now = time.monotonic()
        self.tokens = min(self.burst, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.busy >= self.limit:
            return 503
        if self.tokens < 1:
            return 429
        self.tokens -= 1
        return 200


STATE = web.AppKey("state", State)


def reply(request: web.Request, prompt: str, text: str | None = None, **changes: Any) -> dict[str, Any]:
    """A well-formed reply; `changes` are fields of its only choice, or with a capital of the whole."""
    text = answer_to(prompt) if text is None else text
    chat = request.path.endswith("chat/completions")
    choice = {"index": 0, "finish_reason": "stop", **({"message": {"content": text}} if chat else {"text": text})}
    whole = {name.lower(): value for name, value in changes.items() if name[0].isupper()}
    choice |= {name: value for name, value in changes.items() if name[0].islower()}
    usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
    return {"object": "toy", "choices": [choice], "usage": usage, **whole}


async def drip(request: web.Request, body: bytes, pause: float) -> web.StreamResponse:
    """A byte, a pause, a byte."""
    response = web.StreamResponse(headers={"Content-Type": TEXT, "Content-Length": str(len(body))})
    await response.prepare(request)
    for byte in body:
        await response.write(bytes([byte]))
        await asyncio.sleep(pause)
    return response


async def cut(request: web.Request, body: bytes) -> web.StreamResponse:
    """Half of what was announced, then the end of the connection."""
    response = web.StreamResponse(headers={"Content-Type": TEXT, "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    assert request.transport
    request.transport.close()
    return response


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()  # RST
    return web.Response()


async def slow(request: web.Request, prompt: str) -> web.StreamResponse:
    await asyncio.sleep(0.3)
    return web.json_response(reply(request, prompt))


async def endless(request: web.Request) -> web.StreamResponse:
    """An answer that never ends, as fast as it is read."""
    response = web.StreamResponse(headers={"Content-Type": TEXT})
    await response.prepare(request)
    await response.write(b'{"choices": [{"finish_reason": "stop", "message": {"content": "')
    while True:
        await response.write(b"word " * 1000)


def refusal(status: int, message: str, code: str | None = None, **headers: str) -> web.Response:
    body = {"error": {"message": message, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response(body, status=status, headers=named)


async def misbehave(request: web.Request, act: str, prompt: str) -> web.StreamResponse:
    """What the text between [[ and ]] asks for."""
    whole = json.dumps(reply(request, prompt)).encode()
    name, *words = act.split(" ")
    key = request.headers.get("Authorization", "none").removeprefix("Bearer ")
    waits = {
        "never": lambda: asyncio.sleep(3600),
        "drip": lambda: drip(request, whole, 0.02),
        "cut": lambda: cut(request, whole),
        "reset": lambda: reset(request),
        "endless": lambda: endless(request),
        "slow": lambda: slow(request, prompt),
    }
    if name in waits:
        return await waits[name]() or web.Response()
    if name == "status":  # [[status 429 1 2]]: once, then an answer; Retry-After is 2
        extra = {"Retry_After": words[2]} if len(words) > 2 else {}
        return refusal(int(words[0]), f"status on demand, your key was {key}", **extra)
    if name == "date":
        return refusal(429, "later", Retry_After="Fri, 31 Dec 1999 23:59:59 GMT")
    if name == "redirect":
        return refusal(307, "over there", Location=f"{words[0]}?key={key}")
    return answers(request, prompt, key)[name]


def answers(request: web.Request, prompt: str, key: str) -> dict[str, web.Response]:
    """Replies that come at once and are not what they should be, by name."""
    too_long = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."
    texts = {
        "truncated": json.dumps(reply(request, prompt))[:-20],
        "html": f"<!doctype html><title>Sign in, {key}</title>",
        "list": "[1, 2]",
        "empty": "",
        "deep": "[" * 50_000,
    }
    values = {
        "no_choices": reply(request, prompt, Choices=[]),
        "null_choices": reply(request, prompt, Choices=None),
        "null_content": reply(request, prompt, message={"content": None}, text=None),
        "filtered": reply(request, prompt, finish_reason="content_filter"),
        "no_finish": reply(request, prompt, finish_reason=None),
        "length": reply(request, prompt, finish_reason="length"),
        "no_usage": reply(request, prompt, Usage=None),
        "false_usage": reply(request, prompt, Usage={"prompt_tokens": -3, "completion_tokens": True}),
        "wrong_model": reply(request, prompt, Model="other/model-9b"),
        "dated_model": reply(request, prompt, Model="Toy-Model-2024-08-06"),
        "runs_on": reply(request, prompt, text="Short.\nQuestion: and what of this?"),
        "nothing": reply(request, prompt, text=""),
        "half": reply(request, prompt, text="half a \ud800 character"),
        "echo": reply(request, prompt, text=f"You sent {key}."),
        "many": reply(request, prompt, text="word " * 100_000),
    }
    escaped = "".join(f"\\u{ord(sign):04x}" for sign in key)
    return {
        **{name: web.Response(text=text, content_type="text/html") for name, text in texts.items()},
        **{name: web.json_response(value) for name, value in values.items()},
        "too_long": refusal(400, too_long, "context_length_exceeded"),
        "payload": refusal(413, "the request exceeds the available context size"),
        "escaped": web.Response(text=f'{{"error": "{escaped}"}}', status=400, content_type=TEXT),
        "control": refusal(400, "\x1b[31mred\x00 \ud800 \u4e2d\n" + "long " * 100),
        "no_model": refusal(404, "The model `toy` does not exist.", "model_not_found"),
        "no_money": refusal(429, "You exceeded your current quota, check your plan.", "insufficient_quota"),
    }


@asynccontextmanager
async def counted(state: State) -> AsyncIterator[None]:
    state.busy += 1
    try:
        yield
    finally:
        state.busy -= 1


async def complete(request: web.Request) -> web.StreamResponse:
    state = request.app[STATE]
    asked = await request.json()
    prompt = asked["messages"][-1]["content"] if "messages" in asked else asked["prompt"]
    state.seen[prompt] += 1
    state.last = {"path": request.path, "key": request.headers.get("Authorization"), "body": asked}
    status = state.admitted()
    state.log.append((time.monotonic(), status, prompt))
    if status != 200:
        extra = {} if state.retry_after is None else {"Retry_After": state.retry_after}
        return refusal(status, "too much", **extra)
    async with counted(state):
        if state.latency:
            await asyncio.sleep(state.latency)
        act = re.search(r"\[\[(.*?)\]\]", prompt)
        times = re.fullmatch(r"(?:status \d+|date|cut|reset|truncated|never) (\d+)(?: \S+)?", act[1]) if act else None
        if act and (not times or state.seen[prompt] <= int(times[1])):
            return await misbehave(request, act[1], prompt)
    state.answered[prompt] += 1
    return web.json_response(reply(request, prompt, Model=asked["model"]))


async def count(request: web.Request) -> web.Response:
    state = request.app[STATE]
    return web.json_response({"seen": state.seen, "answered": state.answered})


async def log(request: web.Request) -> web.Response:
    return web.json_response(request.app[STATE].log)


async def last(request: web.Request) -> web.Response:
    return web.json_response(request.app[STATE].last)


async def serve(state: State) -> None:
    app = web.Application()
    app[STATE] = state
    app.add_routes([web.post("/v1/chat/completions", complete), web.post("/v1/completions", complete)])
    app.add_routes([web.get("/count", count), web.get("/log", log), web.get("/last", last)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--limit", type=int, default=10_000, help="requests at once; more are answered 503")
    parser.add_argument("--rate", type=float, default=1e9, help="requests a second; more are answered 429")
    parser.add_argument("--burst", type=float, help="requests that may come at once; one second's by default")
    parser.add_argument("--retry-after", help="the header of those answers")
    asked = parser.parse_args()
    burst = asked.rate if asked.burst is None else asked.burst
    state = State(asked.latency, asked.limit, asked.rate, burst, asked.retry_after, tokens=burst)
    state.filled = time.monotonic()
    asyncio.run(serve(state))


if __name__ == "__main__":
    main()
