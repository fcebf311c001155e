"""A small server that speaks OpenAI's Batch API: what a batch's requests are answered, all of it counted.

Run it with `python -m tests.batch_endpoint --polls 3`, or from a test with `with serving("--polls", "3")`. A batch is done
after so many looks at it, and ends as `--ends` says. What a prompt holds between [[ and ]] is what happens to it: `status 400`
and the like, `expired`, `missing`, `echo`, `length`, `twice` (two answers), `shared` (one reply for all of these), `unknown`
(an answer that nobody asked for, too).

GET /log tells every request to a batch's endpoints as [method, path]; GET /seen how often each custom_id was in a batch.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.endpoint import Endpoint, answer_to, running


@dataclass
class State:
    polls: int
    ends: str
    slow: float  # s between making a batch and saying so
    lost: int  # replies to the making of a batch that never arrive
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    log: list[tuple[str, str]] = field(default_factory=list)


STATE = web.AppKey("state", State)


def serving(*arguments: str) -> AbstractContextManager[Endpoint]:
    return running(*arguments, module="tests.batch_endpoint")


async def upload(request: web.Request) -> web.Response:
    state, form = request.app[STATE], await request.post()
    assert form["purpose"] == "batch"
    file = form["file"]
    assert isinstance(file, web.FileField)
    name = f"file-{len(state.files)}"
    state.files[name] = file.file.read()
    return web.json_response({"id": name, "object": "file", "bytes": len(state.files[name]), "purpose": "batch"})


async def make(request: web.Request) -> web.Response:
    state, asked = request.app[STATE], await request.json()
    assert (asked["endpoint"], asked["completion_window"]) == ("/v1/chat/completions", "24h")
    if asked["input_file_id"] not in state.files:
        return web.json_response({"error": {"message": "No such file.", "code": "not_found"}}, status=400)
    name = f"batch_{len(state.batches)}"
    state.batches[name] = {"id": name, "object": "batch", "status": "validating", **asked}
    state.seen.update(json.loads(line)["custom_id"] for line in state.files[asked["input_file_id"]].splitlines())
    await asyncio.sleep(state.slow)
    if state.lost:
        state.lost -= 1
        assert request.transport
        request.transport.close()
    return web.json_response(state.batches[name])


async def listed(request: web.Request) -> web.Response:
    """One batch a page, the newest first."""
    names = list(request.app[STATE].batches)[::-1]
    start = names.index(request.query["after"]) + 1 if "after" in request.query else 0
    page = [request.app[STATE].batches[name] for name in names[start : start + 1]]
    return web.json_response({"object": "list", "data": page, "has_more": start + 1 < len(names)})


async def look(request: web.Request) -> web.Response:
    state, name = request.app[STATE], request.match_info["name"]
    if name not in state.batches:
        return web.json_response({"error": {"message": "No such batch."}}, status=404)
    batch = state.batches[name]
    state.looks[name] += 1
    if state.looks[name] < state.polls:
        batch["status"] = "in_progress"
    elif batch["status"] != state.ends:
        batch |= end(state, batch)
    return web.json_response(batch)


def end(state: State, batch: dict[str, Any]) -> dict[str, Any]:
    if state.ends == "failed":
        errors = {"object": "list", "data": [{"code": "invalid", "message": "The model `toy` is not for batches."}]}
        return {"status": "failed", "errors": errors}
    lines = [json.loads(line) for line in state.files[batch["input_file_id"]].splitlines()]
    good, bad = [], []
    for line in reversed(lines):  # in any order
        answer = answer_line(line)
        if answer:
            (good if (answer["response"] or {}).get("status_code") == 200 else bad).append(answer)
            good.extend(strayed(line, answer))
    names = {}
    for field_, answers in (("output_file_id", good), ("error_file_id", bad)):
        names[field_] = f"{batch['id']}-{field_}" if answers else None
        if answers:
            state.files[f"{batch['id']}-{field_}"] = "".join(json.dumps(answer) + "\n" for answer in answers).encode()
    return {"status": state.ends, **names}


def answer_line(line: dict[str, Any]) -> dict[str, Any] | None:
    body = line["body"]
    prompt = body["messages"][-1]["content"]
    found = re.search(r"\[\[(.*?)\]\]", prompt)
    act = found[1] if found else ""
    if act == "missing":
        return None
    if act == "expired":
        error = {"code": "batch_expired", "message": "This request could not be executed before the completion window."}
        return {"id": "r", "custom_id": line["custom_id"], "response": None, "error": error}
    status, reply = 200, chat(body["model"], prompt, act)
    if act.startswith("status"):
        status, reply = int(act.split()[1]), {"error": {"message": "on demand", "code": "any"}}
    return {
        "id": "r",
        "custom_id": line["custom_id"],
        "response": {"status_code": status, "body": reply},
        "error": None,
    }


def strayed(line: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Further lines that a request has in the file."""
    prompt = line["body"]["messages"][-1]["content"]
    if "[[twice]]" in prompt:
        body = chat(line["body"]["model"], f"not {prompt}", "")
        return [{**answer, "response": {"status_code": 200, "body": body}}]
    if "[[unknown]]" in prompt:
        body = chat(line["body"]["model"], "of another batch", "")
        return [{**answer, "custom_id": "of-another-batch", "response": {"status_code": 200, "body": body}}]
    return []


def chat(model: str, prompt: str, act: str) -> dict[str, Any]:
    text = "You sent sk-toy-5f2c9b71d04e." if act == "echo" else answer_to(prompt)
    choice: dict[str, Any] = {
        "message": {"role": "assistant", "content": text},
        "finish_reason": "length" if act == "length" else "stop",
    }
    usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
    if act == "shared":
        choice["message"]["content"] = "The same for all."
    of = "shared" if act == "shared" else prompt
    reply_id = f"chatcmpl-{hashlib.sha256(of.encode()).hexdigest()[:24]}"
    return {"id": reply_id, "object": "chat.completion", "model": model, "choices": [choice], "usage": usage}


async def content(request: web.Request) -> web.Response:
    return web.Response(body=request.app[STATE].files[request.match_info["name"]])


async def log(request: web.Request) -> web.Response:
    return web.json_response(request.app[STATE].log)


async def seen(request: web.Request) -> web.Response:
    return web.json_response(request.app[STATE].seen)


@web.middleware
async def note(request: web.Request, handler: Any) -> web.StreamResponse:
    if request.path.startswith("/v1/"):
        request.app[STATE].log.append((request.method, request.path))
    response: web.StreamResponse = await handler(request)
    return response


async def serve(state: State) -> None:
    app = web.Application(middlewares=[note], client_max_size=300_000_000)
    app[STATE] = state
    app.add_routes([web.post("/v1/files", upload), web.post("/v1/batches", make), web.get("/v1/batches", listed)])
    app.add_routes([web.get("/v1/batches/{name}", look), web.get("/v1/files/{name}/content", content)])
    app.add_routes([web.get("/log", log), web.get("/seen", seen)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polls", type=int, default=1)
    parser.add_argument("--ends", default="completed")
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--lost", type=int, default=0)
    asked = parser.parse_args()
    asyncio.run(serve(State(asked.polls, asked.ends, asked.slow, asked.lost)))


if __name__ == "__main__":
    main()
