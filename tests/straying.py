"""A server behind a proxy that repeats replies: each honest answer names its question, so that one that strays shows.

Run it with `python -m tests.straying --manner late --every 5`, or from a test with `running(..., module="tests.straying")`.
It prints its port, then serves until it is killed. GET /count tells {prompt: times}.

Manners, each at every so many replies: `behind` repeats a reply right behind it, `late` 50 ms later, `next` once the next
request on that connection has come, `torn` likewise, and half of it before. `instead` answers the next request with it alone,
`swap` gives two connections each other's reply, and `none` is honest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter

IDS = ("none", "constant", "short", "long", "echoed")


class State:
    """What the server does, and what it has seen."""

    def __init__(self, manner: str, every: int, ids: str, latency: float, text: str) -> None:
        self.manner, self.every, self.ids, self.latency, self.text = manner, every, ids, latency, text
        self.replies = 0
        self.seen: Counter[str] = Counter()
        self.waiting: tuple[Connection, bytes] | None = None  # for a reply to swap with

    def reply(self, prompt: str, request_id: str) -> bytes:
        """An honest reply, with an id of the kind that the server gives."""
        number = self.replies
        ids = {
            "none": None,
            "constant": "chatcmpl",
            "short": f"chatcmpl-{number % 999}",
            "echoed": f"chatcmpl-{request_id}",
        }
        reply_id = ids.get(self.ids, f"chatcmpl-{number:024d}")
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": self.text or f"Of {prompt}"}}
        body = {
            "created": 1,
            "model": "toy-model",
            "choices": [choice],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4},
        }
        whole = json.dumps(body if reply_id is None else {"id": reply_id, **body}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            len(whole),
            whole,
        )


class Connection(asyncio.Protocol):
    """One connection, whose requests are answered one after the other."""

    def __init__(self, state: State) -> None:
        self.state, self.buffer, self.copy = state, b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if end)
        length = int(fields.get("content-length", 0))
        if not end or len(rest) < length:
            return
        self.buffer = rest[length:]
        if head.startswith(b"GET"):
            count = json.dumps(self.state.seen).encode()
            self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(count), count))
            return
        prompt = json.loads(rest[:length])["messages"][-1]["content"]
        self.state.seen[prompt] += 1
        copy, self.copy = self.copy, b""
        if copy and self.state.manner == "instead":
            self.send(copy)
            return
        if copy:  # the rest of a copy comes before the reply
            self.send(copy)
        reply = self.state.reply(prompt, fields.get("x-request-id", ""))
        self.state.replies += 1
        strays = self.state.replies % self.state.every == 0
        asyncio.get_running_loop().call_later(self.state.latency, self.answer, reply, strays)

    def answer(self, reply: bytes, strays: bool) -> None:
        manner = self.state.manner
        if manner == "swap":
            self.swap(reply, strays)
            return
        self.send(reply + (reply if strays and manner == "behind" else b""))
        if strays and manner == "late":
            asyncio.get_running_loop().call_later(0.05, self.send, reply)
        if strays and manner == "torn":
            asyncio.get_running_loop().call_later(0.001, self.send, reply[:30])
        if strays and manner in ("next", "instead", "torn"):
            self.copy = reply[30:] if manner == "torn" else reply

    def swap(self, reply: bytes, strays: bool) -> None:
        """Keep a reply until another one is there, at most 20 ms, and exchange the two."""
        other, self.state.waiting = self.state.waiting, None
        if other:
            self.send(other[1])
            other[0].send(reply)
        elif strays:
            self.state.waiting = (self, reply)
            asyncio.get_running_loop().call_later(0.02, self.give_up, reply)
        else:
            self.send(reply)

    def give_up(self, reply: bytes) -> None:
        if self.state.waiting == (self, reply):
            self.state.waiting = None
            self.send(reply)

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)


async def serve(state: State) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Connection(state), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manner", default="none")
    parser.add_argument("--every", type=int, default=5, help="replies until one strays")
    parser.add_argument("--ids", choices=IDS, default="none")
    parser.add_argument("--latency", type=float, default=0.002, help="seconds before each reply")
    parser.add_argument("--text", default="", help="of every answer, in place of one that names its question")
    asked = parser.parse_args()
    asyncio.run(serve(State(asked.manner, asked.every, asked.ids, asked.latency, asked.text)))


if __name__ == "__main__":
    main()
