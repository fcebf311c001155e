"""The server: its addresses, what each answers, and how it begins and ends."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from aiohttp import web

from tinyllm.serving.refusal import BUG, Refusal
from tinyllm.serving.reply import Said, model, models, reply, stream
from tinyllm.serving.request import Asked, Job, Served, read_body, read_chat, read_completion
from tinyllm.serving.worker import Worker

LARGEST = 1 << 20  # bytes of a request's body
PAGE = {"": "text/html", "page.css": "text/css", "page.js": "text/javascript"}  # by path, a file of this folder each
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
GRACE = 2.0  # seconds that requests under way have once the server is to end

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Reader = Callable[[Mapping[str, Any], Served], Asked]


@dataclass(frozen=True)
class Serving:
    """What the server knows.

    Args:
        shown: what the page is told, as JSON: the student's folder, its voices, questions to try
    """

    served: Served
    say: Callable[[Sequence[Job]], Sequence[Said | Exception]]
    shown: Mapping[str, Any]


def application(serving: Serving) -> web.Application:
    """Return the server's application; its worker begins with it."""
    worker: Worker[Job, Said] = Worker(serving.say)
    began = int(time.time())

    async def start(app: web.Application) -> None:
        worker.start(asyncio.get_running_loop())

    async def health(request: web.Request) -> web.Response:
        counts = {"answered": worker.answered, "batches": worker.batches, "waiting": worker.waiting}
        state = {"status": "ok" if worker.alive else "failed", "fingerprint": serving.served.fingerprint}
        return web.json_response(state | counts, status=200 if worker.alive else 503)

    async def list_models(request: web.Request) -> web.Response:
        return web.json_response(models(serving.served, began))

    async def one_model(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in serving.served.models:
            raise Refusal(404, f"The model {name!r} does not exist.", "model", "model_not_found")
        return web.json_response(model(name, began))

    async def page(request: web.Request) -> web.Response:
        path = request.path.removeprefix("/")
        text = (files("tinyllm.serving") / (path or "page.html")).read_text(encoding="utf-8")
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        return web.Response(text=text, content_type=PAGE[path], headers=headers)

    async def shown(request: web.Request) -> web.Response:
        return web.json_response(serving.shown)

    def answers(read: Reader, chat: bool) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            asked = read(read_body(await request.read()), serving.served)
            said = await worker.ask(asked.jobs)
            if asked.stream:
                body = stream(asked, said, serving.served, chat)
                return web.Response(body=body, content_type="text/event-stream", headers={"Cache-Control": "no-cache"})
            return web.json_response(reply(asked, said, serving.served, chat))

        return handle

    app = web.Application(client_max_size=LARGEST, middlewares=[_refuse])
    app.on_startup.append(start)
    app.add_routes([web.get(f"/{path}", page) for path in PAGE])
    app.add_routes([web.get("/page.json", shown), web.get("/health", health)])
    app.add_routes([web.get("/v1/models", list_models), web.get("/v1/models/{name}", one_model)])
    app.add_routes([web.post("/v1/chat/completions", answers(read_chat, chat=True))])
    app.add_routes([web.post("/v1/completions", answers(read_completion, chat=False))])
    return app


@web.middleware
async def _refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every error OpenAI's form."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return _refused(refusal)
    except web.HTTPRequestEntityTooLarge:
        return _refused(Refusal(413, f"the body is too large; allowed are {LARGEST} bytes", code="too_large"))
    except web.HTTPException as error:
        known = "POST /v1/chat/completions, POST /v1/completions, GET /v1/models, GET /health"
        return _refused(Refusal(error.status, f"{request.method} {request.path}: {error.reason}; here are {known}"))
    except ValueError as error:  # of the student, such as numbers that are none
        print(f"note: no answer: {error}", file=sys.stderr)
        return _refused(Refusal(500, str(error)))
    except Exception:  # a bug
        traceback.print_exc()
        return _refused(Refusal(500, BUG))


def _refused(refusal: Refusal) -> web.Response:
    headers = {"Retry-After": "1"} if refusal.status == 503 else {}
    return web.Response(
        body=json.dumps(refusal.body).encode(),
        status=refusal.status,
        content_type="application/json",
        headers=headers,
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there, before anything that takes seconds.

    Raises:
        ValueError: it cannot be had; one line.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((str(address[0]), port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            told = "is in use; end what listens there, or name another (0 is any that is free)"
            raise ValueError(f"--port: {port} on {host} {told}") from None
        if error.errno == errno.EACCES:
            raise ValueError(f"--port: {port} needs rights that you lack; name one from 1024 on") from None
        raise ValueError(f"--host: {host} is no address of this machine ({error.strerror})") from None


def address_of(listening: socket.socket) -> str:
    """Return the address that a browser is given."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(serving: Serving, listening: socket.socket, ready: Callable[[], object]) -> None:
    """Serve until Ctrl-C.

    Args:
        ready: called once requests are answered

    Raises:
        KeyboardInterrupt: that is how it ends.
    """
    with asyncio.Runner() as runner:
        runner.run(_serve(application(serving), listening, ready))


async def _serve(app: web.Application, listening: socket.socket, ready: Callable[[], object]) -> None:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=GRACE)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        ready()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
