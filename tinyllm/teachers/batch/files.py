"""The files that a batch is made of: a line for each request, no more than one batch may have, and the form they go up in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from tinyllm.teachers.server.belonging import LONG_ID

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000  # of one batch
ENDPOINT = "/v1/chat/completions"


def request_line(key: str, body: bytes) -> bytes:
    """Return the line of a batch's file for one request, which its answer will name by the key."""
    fields = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": json.loads(body)}
    return json.dumps(fields).encode() + b"\n"


def split_requests(
    requests: Iterable[tuple[str, bytes]], most: int = MOST_REQUESTS, most_bytes: int = MOST_BYTES
) -> Iterator[list[tuple[str, bytes]]]:
    """Yield the requests, in order, in parts of no more requests and bytes than one batch may have."""
    part: list[tuple[str, bytes]] = []
    size = 0
    for key, line in requests:
        if part and (len(part) == most or size + len(line) > most_bytes):
            yield part
            part, size = [], 0
        part.append((key, line))
        size += len(line)
    if part:
        yield part


def multipart(lines: Sequence[bytes], boundary: str) -> bytes:
    """Return the form that uploads these lines as one file."""
    heads = (
        'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch',
        (
            'Content-Disposition: form-data; name="file"; filename="requests.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ),
    )
    start = f"--{boundary}\r\n{heads[0]}\r\n--{boundary}\r\n{heads[1]}".encode()
    return b"".join([start, *lines, f"\r\n--{boundary}--\r\n".encode()])


def doubtful_keys(lines: Sequence[tuple[str, bytes]]) -> set[str]:
    """Return the keys whose answer may be another's: they have two different lines, or share one reply with another key.

    A shared reply is one of the same id and the same text, where no two lines have an id in common for another reason.
    """
    by_key: dict[str, bytes] = {}
    by_reply: dict[tuple[str, str], set[str]] = {}
    by_id: dict[str, set[tuple[str, str]]] = {}
    doubtful: set[str] = set()
    for key, line in lines:
        if by_key.setdefault(key, line) != line:
            doubtful.add(key)
        response = json.loads(line).get("response")
        body = response.get("body") if isinstance(response, dict) else None
        reply_id = body.get("id") if isinstance(body, dict) else None
        if isinstance(body, dict) and isinstance(reply_id, str) and len(reply_id) >= LONG_ID:
            reply = (reply_id, repr(body.get("choices")))
            by_reply.setdefault(reply, set()).add(key)
            by_id.setdefault(reply_id, set()).add(reply)
    tell = all(len(replies) == 1 for replies in by_id.values()) and len(by_id) > 1
    return doubtful | {key for keys in by_reply.values() if len(keys) > 1 and tell for key in keys}
