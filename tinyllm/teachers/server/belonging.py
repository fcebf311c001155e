"""Whether a reply belongs to the prompt that it came for, and whether a connection may be used again.

A server, or a proxy before it, may send a reply twice. The copy lies on the connection when the next request goes out, and from
there on each prompt gets the reply of the one before. Such a row of wrong replies begins with a copy. So each reply is held
against all replies before it, and a copy ends its connection before anything wrong is taken. docs/teachers.md has the rules.
"""

from __future__ import annotations

import itertools
import math
import re
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from tinyllm.console import note
from tinyllm.teachers.protocol import Prompt
from tinyllm.teachers.server.responses import Retryable

Route = Literal["fresh", "first", "kept"]  # one that is closed; one that is kept, and new; one that may have been used

PROBED = 16  # first replies of an address, on new connections: they show whether it honestly repeats itself
LONG_ID = 16  # characters; a shorter id is a constant, a counter or one of a thousand, as Ollama's, and may come again
SLOW = 0.5  # s; a server that takes longer gets a connection for each request, which hardly costs anything then
SETUP_SHARE = 20  # so many times the set-up of a connection an answer has to take for that
RECENT = 256  # prompts that an echo of another prompt is looked for in


class RequestIds:
    """Ids of one run's requests, which a server may send back; 32 hexadecimal digits, such as a UUID has."""

    def __init__(self) -> None:
        self._run = uuid.uuid4().hex[:22]
        self._bytes = self._run.encode()
        self._numbers = itertools.count()

    def fresh(self) -> str:
        return f"{self._run}{next(self._numbers):010d}"

    def names_another(self, request_id: str, headers: Iterable[str], body: bytes) -> bool:
        """Return whether a reply holds the id of another request of this run, in a header or as part of its own id."""
        if self._bytes not in body and not any(self._run in value for value in headers):
            return False
        text = "\n".join([*headers, body.decode(errors="replace")])
        return any(found != request_id for found in re.findall(self._run + r"\d{10}", text))


class Seen(NamedTuple):
    """What was seen of a reply beside its body.

    Args:
        kept: whether its connection may have been used before
        another: whether it names another request
        seconds: from the request to its last byte
    """

    kept: bool
    another: bool
    seconds: float


class AddressReplies:
    """The replies of one address so far, and what they say of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answered = False
        self.connected = False  # since the last attempt that reached nothing
        self._setup = 0.0  # the least seconds that a connection took
        self._took = 0.0  # seconds of the last answer
        self._returned = False  # whether a connection was given back that is kept
        self._apart = False  # each request has a connection of its own, for good
        self._noted = False
        self._prompts: dict[bytes, str] = {}  # by reply the prompt that it answered first
        self._ids: set[str] = set()
        self._doubted: dict[int, bytes] = {}  # by prompt a reply that another one had got before
        self._recent: deque[str] = deque(maxlen=RECENT)

    def route(self) -> Route:
        """Return over which connection the next request goes: while none was given back, those that are kept are new, too."""
        fast = self._took < max(SLOW, SETUP_SHARE * self._setup)
        if self._apart or not fast:
            return "fresh"
        if len(self._prompts) >= PROBED:
            return "kept"
        return "fresh" if self._returned else "first"

    def returned(self, route: Route) -> None:
        """The reply to a request over such a connection is there as a whole, so its connection may be used again."""
        self._returned = self._returned or route != "fresh"

    def connect(self, seconds: float) -> None:
        """A connection was made, in so many seconds."""
        self.connected = True
        self._setup = min(self._setup or math.inf, seconds)

    def send(self, prompt: Prompt) -> None:
        """A prompt goes out."""
        self._recent.append(prompt.text)

    def part(self, why: str) -> None:
        """Keep no connection from now on, and say so once."""
        self._apart = True
        if not self._noted:
            self._noted = True
            note(f"{self.url}: {why}; from now on each request has a connection of its own")

    def judge(self, index: int, prompt: Prompt, reply: Mapping[str, Any], seen: Seen) -> Retryable | None:
        """Return why the answer in a reply is not taken for a prompt's, None where it is."""
        self._took, kept = seen.seconds, seen.kept
        if seen.another or self._echoes_another(prompt, reply):
            self.part("a prompt got the reply to another request, and is asked again")
            return Retryable("not_its_own", "the reply names another request", charged=True, counts=not kept)
        reply_id = str(reply.get("id") or "")
        digest = blake2b(repr((reply_id, reply.get("choices"))).encode(errors="replace"), digest_size=16).digest()
        first = self._prompts.get(digest)
        certain = first is not None and first != prompt.text and self._ids_tell(reply_id)
        if certain or (first is not None and kept):
            self._apart = True
            self._doubted[index] = digest
            if certain:
                self.part(f"two prompts got the same reply, {reply_id[:80]!r}, and one is asked again")
            return Retryable("not_its_own", "another prompt got the same reply before", charged=True, counts=not kept)
        if first is not None:
            self._apart = True  # honest copies: a wrong one could not be told from them on a kept connection
        if self._doubted.pop(index, digest) != digest:
            self.part("two prompts got the same reply on one connection, and one was asked again")
        self.answered = True
        self._prompts.setdefault(digest, prompt.text)
        self._ids.add(reply_id)
        return None

    def _ids_tell(self, reply_id: str) -> bool:
        """Return whether no two answers can honestly have this id: it is long, and so far each answer had another one."""
        return len(reply_id) >= LONG_ID and PROBED // 2 <= len(self._prompts) == len(self._ids)

    def _echoes_another(self, prompt: Prompt, reply: Mapping[str, Any]) -> bool:
        """Return whether a reply quotes another prompt that was sent lately, and not its own; few servers quote any."""
        quoted = _quoted_prompt(reply)
        if not quoted or prompt.text in quoted:
            return False
        return any(text in quoted for text in self._recent)


def _quoted_prompt(reply: Mapping[str, Any]) -> str:
    choices = reply.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for place in (reply, first, reply.get("__verbose")):  # the last is llama.cpp's
        if isinstance(place, dict) and isinstance(text := place.get("prompt"), str):
            return text
    return ""
