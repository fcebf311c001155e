"""A server in a thread whose manners are a function: from a request to a reply. It keeps every request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    fields: dict[str, Any]

    @property
    def text(self) -> str:
        """The prompt, without a system text."""
        return self.fields["prompt"] if "prompt" in self.fields else self.fields["messages"][-1]["content"]


Reply = tuple[int, Mapping[str, str], bytes]
Manner = Callable[[Request], Reply]


@dataclass
class Place:
    """Where a server is, and what it was asked."""

    url: str
    requests: list[Request] = field(default_factory=list)


@contextmanager
def serving(manner: Manner, path: str = "/v1") -> Iterator[Place]:
    """Serve on loopback until the end."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = self.headers.get("Content-Type") == "application/json" and body
            request = Request(self.path, dict(self.headers), json.loads(body) if asked else {})
            with lock:
                place.requests.append(request)
                status, headers, reply = manner(request)
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                **headers,
                "Content-Length": str(len(reply)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        place = Place(f"http://127.0.0.1:{server.server_port}{path}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield place
        finally:
            server.shutdown()


def chat(text: Any = "Leaves breathe it.", finish: Any = "stop", model: str = "toy-model", **message: Any) -> Reply:
    """A chat's answer; `message` are further fields of its message."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    return whole({"id": "1", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage})


def whole(reply: Any, status: int = 200, **headers: str) -> Reply:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(reply).encode()


def error(status: int, message: str, **fields: Any) -> Reply:
    """OpenAI's form of an error."""
    return whole(
        {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}}, status
    )
