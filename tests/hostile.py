"""A server on loopback, in a thread, whose replies are as hostile as a seed makes them; to any other prompt it answers well.

What a prompt's text holds between [[ and ]] is the seed: the same one gives the same bytes. The key in them is that
of the request.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import random
import re
import threading
import urllib.parse
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from tests.endpoint import answer_to

NUMBERS = (
    "1e30", "1000000000000000000000000000000", "9223372036854775807", "9223372036854775808", "-1", "NaN", "Infinity",
    "-Infinity", "1e400", "true", '"12"', "3.5", "[[7]]", '{"n": 7}', "null", "0", "4096", "9" * 5000,
)  # fmt: skip
WAITS = (
    "1e30", "9" * 31, "999999999", "-5", "NaN", "Infinity", "0", "0.001", "", " ", "soon", "Fri, 31 Dec 99999 23:59:59 GMT",
    "Fri, 31 Dec 1999 23:59:59 +99999999999999999999", "Fri, 31 Dec 1999 23:59:59 -9999", "Mon, 99 Foo 0000 99:99:99 GMT",
)  # fmt: skip
SIGNS = (
    "\x1b[2J\x1b]8;;http://x\x07",
    "\x00\x07\x08\x7f",
    "\u202e\u2066\u200b",
    "\u2028\u2029\x85",
    "line\r\nline",
    "\ud800",
    "\U000e0041",
    "%s%n{0}",
)
STATUSES = (400, 401, 402, 403, 404, 405, 408, 409, 413, 418, 422, 425, 429, 500, 502, 503, 504, 520, 529, 599, 600, 999,
            201, 202, 204, 206, 226, 300, 301, 302, 303, 304, 307, 308)  # fmt: skip
LINES = (
    b"HTTP/1.1 20",
    b"HTTP/9.9 200 OK",
    b"ICY 200 OK",
    b"HTTP/1.1 -1 no",
    b"HTTP/1.1 99999 no",
    b"",
    b"\x16\x03\x01\x02\x00",
    b"HTTP/1.1 200",
)
CODES = (
    "context_length_exceeded",
    "model_not_found",
    "insufficient_quota",
    "invalid_api_key",
    "content_filter",
    "unsupported_parameter",
    7,
    None,
    [],
    {},
)


def written(key: str) -> list[str]:
    """The key as a server could write it, whole or cut."""
    codes = [ord(letter) for letter in key]
    escaped = "".join(f"\\u{code:04x}" for code in codes)
    coded = [base64.b64encode(before + key.encode() + b"?~~").decode() for before in (b"", b"x", b"xx", b"Bearer ")]
    return [
        key, key.upper(), key[::-1], key[:12], key[5:], f"Bearer {key}", escaped, json.dumps(json.dumps(escaped)),
        "".join(f"%{code:02X}" for code in codes), urllib.parse.quote("".join(f"%{code:02x}" for code in codes)),
        key.encode().hex(), key.encode().hex(" ").upper(), ", ".join(map(hex, codes)), str(codes), *coded,
        *(text.replace("+", "-").replace("/", "_") for text in coded),
        " ".join(key), "\u200b".join(key), f"{key[:9]}\n{key[9:]}",
        "".join(f"&#{code};" for code in codes), "".join(f"&amp;#x{code:x};" for code in codes),
        "".join(f"={code:02X}" for code in codes), f"{key[:9]}=\r\n{key[9:]}", "".join(chr(code + 0xFEE0) for code in codes),
    ]  # fmt: skip


def reply(seed: int, key: str, prompt: str) -> bytes:
    """The bytes of a hostile reply, from its first line on."""
    chance = random.Random(seed)
    if chance.random() < 0.03:
        return (
            chance.choice(LINES)
            + b"\r\n\r\n" * chance.randrange(2)
            + chance.choice(written(key)).encode(errors="replace")
        )
    status = chance.choice(STATUSES) if chance.random() < 0.45 else 200
    body = _body(chance, status, key, prompt)
    headers = [b"Content-Type: application/json", *_headers(chance, key)]
    body, more = _encoded(chance, body)
    body, framing = _framed(chance, body)
    before = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * chance.choice((0, 0, 0, 1, 5))
    line = f"HTTP/1.1 {status} {chance.choice(('OK', chance.choice(written(key))))}".replace("\r", "").replace("\n", "")
    return b"\r\n".join(
        [before + line.encode(errors="replace"), *headers, *more, *framing, b"Connection: close", b"", body]
    )


def _body(chance: random.Random, status: int, key: str, prompt: str) -> bytes:
    texts = [*written(key), *SIGNS, "word " * 50, "<think>", "<html>" + key, ""]
    kind = chance.randrange(12)
    if kind == 0:
        return chance.choice(
            [
                "[" * 900,
                "[" * 60_000,
                '{"choices":' * 400,
                '{"error":' * 900,
                '{"usage": ' + "[" * 500 + "]" * 500 + "}",
            ]
        ).encode()
    if kind == 1:
        return chance.choice(
            [b"", b"\xff\xfe\x00", b"data: {}\n\n", b": ping\n" * 50, b"null", b'"text"', b"[1, 2]", b"NaN", b"{}" * 3]
        )
    if kind == 2:
        return chance.choice(texts).encode(errors="surrogatepass")
    whole = json.dumps(
        _error(chance, texts) if status != 200 or chance.random() < 0.1 else _answer(chance, texts, prompt)
    )
    whole = re.sub('"NUMBER"', lambda _: chance.choice(NUMBERS), whole)
    data = whole.encode("utf-16" if chance.random() < 0.03 else "utf-8")
    return data[: chance.randrange(len(data))] if kind == 3 else data


def _error(chance: random.Random, texts: list[str]) -> object:
    error = {
        "message": chance.choice(texts) + chance.choice(["", "z" * 290]) + chance.choice(texts),
        "code": chance.choice(CODES),
    }
    error |= {"type": chance.choice(texts), "param": chance.choice(["temperature", chance.choice(texts), 3])}
    return chance.choice(
        [
            {"error": error},
            {"error": chance.choice(texts)},
            {"detail": [error]},
            [{"error": error}],
            error,
            {"error": {"message": [error]}},
        ]
    )


def _answer(chance: random.Random, texts: list[str], prompt: str) -> dict:
    """A chat's answer in which a few fields are of any type and hold anything."""
    message = {"role": "assistant", "content": answer_to(prompt), "refusal": None}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": "NUMBER", "completion_tokens": "NUMBER", "total_tokens": "NUMBER"}
    whole = {"id": "chatcmpl-1", "model": "toy-model", "created": "NUMBER", "choices": [choice], "usage": usage}
    for _ in range(chance.randrange(3)):
        fields = chance.choice([message, choice, whole, whole, usage])
        name = chance.choice([*fields, "reasoning_content", "reasoning_details", "error", chance.choice(texts)])
        text = chance.choice(texts)
        fields[name] = chance.choice(
            [text, text, text, None, "NUMBER", [text], {"text": text}, [{"type": "text", "text": [text]}], [[]], {}]
        )
    return whole


def _headers(chance: random.Random, key: str) -> list[bytes]:
    texts = [*written(key), *SIGNS]
    names = (
        "Location",
        "WWW-Authenticate",
        "Set-Cookie",
        "x-request-id",
        "Retry-After",
        "retry-after-ms",
        "x-ratelimit-reset-requests",
        "Server",
    )
    lines = []
    for name in chance.sample(names, chance.randrange(4)):
        value = chance.choice(WAITS) if "etry" in name or "rate" in name else chance.choice(texts)
        clean = re.sub(r"[\r\n\x00]", "", value) if chance.random() < 0.9 else value
        lines.append(f"{name}: {clean}".encode(errors="replace"))
    return [*lines, b"x-long: " + b"a" * 9000] if chance.random() < 0.02 else lines


def _encoded(chance: random.Random, body: bytes) -> tuple[bytes, list[bytes]]:
    """The body as it travels, and the header that says so: in truth, cut, or not at all."""
    if chance.random() < 0.8:
        return body, []
    name = chance.choice([b"gzip", b"deflate", b"br", b"zstd", b"identity", b"gzip, gzip", b"nonsense"])
    packed = {b"gzip": gzip.compress, b"deflate": zlib.compress}.get(name, lambda data: data)(body)
    if name in (b"gzip", b"deflate") and chance.random() < 0.3:
        packed = {b"gzip": BOMB, b"deflate": zlib.compress(b" " * 5_000_000)}[name]
    made = chance.choice([packed, packed[: len(packed) // 2], packed[::-1], packed + b"more"])
    return made, [b"Content-Encoding: " + name]


BOMB = gzip.compress(b" " * 20_000_000)


def _framed(chance: random.Random, body: bytes) -> tuple[bytes, list[bytes]]:
    """The body as it is framed, mostly in truth."""
    kind = chance.randrange(16)
    chunked = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    if kind < 3:
        broken = [
            b"zz\r\n" + body,
            chunked[: len(chunked) // 2],
            b"-5\r\n" + body,
            b"ffffffffffffffffff\r\n" + body,
            chunked + b"x: y\r\n" * 200,
        ]
        return chance.choice([chunked + b"\r\n", chunked + b"x-trailer: y\r\n\r\n", *broken]), [
            b"Transfer-Encoding: chunked"
        ]
    if kind == 3:
        length = chance.choice(
            [b"-1", b"abc", b"%d" % (len(body) + 10), b"%d" % (len(body) // 2), b"9" * 30, b"1\r\nContent-Length: 2"]
        )
        return body, [b"Content-Length: " + length]
    return body, [] if kind == 4 else [b"Content-Length: %d" % len(body)]


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            fields = json.loads(await reader.readexactly(int(length[1]) if length else 0))
            prompt = fields["messages"][-1]["content"]
            if seed := re.search(r"\[\[(\d+)\]\]", prompt):
                key = re.search(rb"authorization: Bearer (\S+)", head, re.IGNORECASE)
                writer.write(reply(int(seed[1]), key[1].decode() if key else "", prompt))
                break
            message = {"role": "assistant", "content": answer_to(prompt)}
            whole = {"model": fields["model"], "choices": [{"message": message, "finish_reason": "stop"}]}
            body = json.dumps({**whole, "usage": {"prompt_tokens": 40, "completion_tokens": 15}}).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
        await writer.drain()
    except (OSError, EOFError):
        pass
    finally:
        writer.close()


@contextmanager
def serving() -> Iterator[str]:
    """Serve until the end; yield the url."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(_serve, "127.0.0.1", 0, limit=2**20))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()
