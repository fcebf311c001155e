"""A live teacher behind an endpoint that speaks OpenAI's protocol: vLLM, Ollama, llama.cpp, a paid service.

One asyncio client serves the whole stage. scheduler.py says what is sent when, rate_limit.py how fast, and responses.py what
a reply means.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from tinyllm.console import one_line
from tinyllm.params.schema import Runtime
from tinyllm.params.teacher_entries import ServerTeacher
from tinyllm.teachers.protocol import STOP, Failure, Generation, Prompt
from tinyllm.teachers.server.address import check_encrypted, checked_url, proxy_of, proxy_passwords, request_address
from tinyllm.teachers.server.belonging import AddressReplies, RequestIds, Seen
from tinyllm.teachers.server.first_reply import FirstReply, remedy_of
from tinyllm.teachers.server.key import Secret, mask_userinfo, read_key
from tinyllm.teachers.server.refusals import read_refusal
from tinyllm.teachers.server.request import LETTER_FIELDS, checked_extra, longest_answer, request_fields
from tinyllm.teachers.server.responses import (
    Asked,
    Fatal,
    Outcome,
    Retryable,
    error_of,
    read_answer,
    read_json,
)
from tinyllm.teachers.server.scheduler import RequestScheduler
from tinyllm.teachers.tokens import estimate_tokens

if TYPE_CHECKING:  # a third of a second to import, and only who asks an endpoint needs it
    import aiohttp

    from tinyllm.teachers.server.connections import Connections, TracedResponse

LARGEST_FRAME, LARGEST_TOKEN = 65_536, 64  # bytes of a reply: around the answer, and for each token of it
MESSAGE_TOKENS = 8  # what a chat template puts around one message, about
SHOWN = 200  # characters of a server's message
LOOKED_AT = 10_000  # of what is not shown further than that


@dataclass(frozen=True, slots=True)
class Asking:
    """One attempt at a prompt."""

    index: int
    prompt: Prompt
    ids: RequestIds
    replies: AddressReplies
    address: str
    proxy: str | None


class Server:
    """Answers prompts by asking one model at one endpoint, or at several that share the prompts.

    Args:
        name: the teacher's, for what a message advises
    """

    def __init__(self, settings: ServerTeacher, runtime: Runtime, name: str = "NAME") -> None:
        """
        Raises:
            ValueError: the url holds more than an address, or `extra` what only this client may say.
        """
        self.name = name
        self.context_tokens = settings.context_tokens
        self._settings, self._runtime = settings, runtime
        self.urls = [checked_url(url, f"teachers.{name}.url") for url in settings.urls]
        self._extra = checked_extra(settings.extra, name)
        self.max_new_tokens = longest_answer(settings)
        if self.context_tokens is not None and self.max_new_tokens >= self.context_tokens:
            raise ValueError(
                f"teachers.{name}.context_tokens: {self.context_tokens} leaves no room for a prompt before an answer of "
                f"{self.max_new_tokens} tokens; raise it to what the server holds, or lower the limit of an answer"
            )
        said = {key: value for key, value in self._extra.items() if key not in LETTER_FIELDS}
        self._key = Secret("")  # read when something is asked: who has every answer in the cache needs none
        self._passwords: list[Secret] = []  # of the proxies
        self.identity: Mapping[str, object] = {
            "backend": "server",
            "url": settings.identity or self.urls[0],
            **settings.model_dump(include={"model", "api", "temperature", "max_new_tokens", "seed"}),
            "stop": [STOP],
            **({"extra": said} if said else {}),
        }

    def count_tokens(self, prompt: Prompt) -> int:
        """Return an estimate, rather too high than too low: only the endpoint knows its tokenizer."""
        return estimate_tokens(prompt.system) + estimate_tokens(prompt.text) + 2 * MESSAGE_TOKENS

    def generate(
        self, prompts: Sequence[Prompt], reserve: Callable[[int], bool]
    ) -> Generator[tuple[int, Generation | Failure]]:
        """Yield each answer as it arrives; closing the generator drops what is under way.

        What may pass is tried again, `runtime.retries` times and with growing pauses. A push-back counts only where it is
        news to the rate limiter: otherwise one burst would use up every prompt's attempts. After half an hour of push-backs
        a prompt is given up.

        Raises:
            ValueError: the key is not where the settings say, would travel in the open, or the endpoint refuses it, lacks the
                model, leads elsewhere or is down. What was under way has then been yielded before.
        """
        self.load_key()
        ids, addresses = RequestIds(), {url: AddressReplies(url) for url in self.urls}
        path = "chat/completions" if self._settings.api == "chat" else "completions"
        targets = {url: (request_address(url, path), proxy_of(url)) for url in self.urls}
        with self.session() as (loop, opened):

            def attempt(index: int, url: str) -> Coroutine[None, None, Outcome]:
                return self._attempt(opened, Asking(index, prompts[index], ids, addresses[url], *targets[url]))

            first = FirstReply(addresses, self._runtime.deadline)
            scheduler = RequestScheduler(
                loop, attempt, self.urls, self._runtime.concurrency, self._runtime.retries, first
            )
            try:
                yield from scheduler.send(len(prompts), reserve)
            finally:
                scheduler.cancel()

    def load_key(self) -> None:
        """Read the key, right before something is asked.

        Raises:
            ValueError: as `read_key`, it would travel in the open, or the settings hold it, which are kept with every answer.
        """
        self._key = Secret(read_key(self._settings.key_variable))
        self._passwords = [Secret(password) for password in proxy_passwords()]
        if self.holds_key(json.dumps([self.identity, self.urls])):
            raise ValueError(
                f"teachers.{self.name}: url, model or extra holds the key, and would land in the answer cache; give it in the "
                f"environment variable {self._settings.key_variable} alone"
            )
        if self._key.text and not self._settings.plain_http:
            check_encrypted(self.urls, self.name)

    def holds_key(self, text: str) -> bool:
        """Return whether a text that would be kept repeats the key, or the password of a proxy."""
        return any(secret.in_answer(text) for secret in (self._key, *self._passwords))

    def shown(self, foreign: object) -> str:
        """Return what a server or a library says as a message may show it: one line, short, without key and passwords.

        Everything foreign comes through here as it arrived: what was cut or escaped before could hide a key.
        """
        try:
            text = str(foreign)[:LOOKED_AT]
        except RecursionError:
            return "something that is nested too deep"
        for secret in (self._key, *self._passwords):
            text = secret.masked(text)
        return one_line(mask_userinfo(text), SHOWN)

    @contextmanager
    def session(self) -> Iterator[tuple[asyncio.AbstractEventLoop, Connections]]:
        """Yield an event loop of our own and clients in it; at the end neither a connection nor a thread is left."""
        from tinyllm.teachers.server.connections import connections

        headers = {"Content-Type": "application/json"}
        if key := self._key.text:
            header = self._settings.key_header
            headers[header] = f"Bearer {key}" if header == "Authorization" else key
        with connections(headers) as (loop, opened):
            yield loop, opened

    async def _attempt(self, opened: Connections, asking: Asking) -> Outcome:
        """Ask once, for no longer than the deadline, however slowly bytes keep coming."""
        import aiohttp

        from tinyllm.teachers.server.connections import UnaskedReplyError

        deadline, replies = self._runtime.deadline, asking.replies
        try:
            async with asyncio.timeout(deadline):
                return await self._ask(opened, asking)
        except UnaskedReplyError as error:
            replies.part("it sent a reply that no request had asked for")
            return Retryable("not_its_own", str(error), charged=False, counts=False)
        except aiohttp.ClientConnectorCertificateError as error:
            said = self.unreached(error, replies.url)
            return Retryable("unreachable", said, charged=False) if replies.answered else Fatal(said)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Retryable("unreachable", self.unreached(error, replies.url), charged=False)
        except TimeoutError:
            return Retryable("timeout", f"no whole answer within {deadline:g} s (runtime.deadline)", charged=True)
        except (aiohttp.ClientError, OSError) as error:
            return Retryable("disconnected", self.describe(error), charged=True)

    async def _ask(self, opened: Connections, asking: Asking) -> Outcome:
        """Send one request and read its reply; a connection whose reply is no answer is not used again."""
        request_id, start = asking.ids.fresh(), asyncio.get_running_loop().time()
        asking.replies.send(asking.prompt)
        route = asking.replies.route()  # right before the connection is taken
        async with opened.of(route).post(
            asking.address,
            data=self.body(asking.prompt),
            headers={"X-Request-Id": request_id},
            allow_redirects=False,
            proxy=asking.proxy,
            trace_request_ctx=asking.replies,
        ) as plain:
            response = cast("TracedResponse", plain)  # as Connections has it
            body = await self._read(response)
            asking.replies.returned(route)
            if response.followed():
                asking.replies.part("it sent a reply that no request had asked for")
            if isinstance(body, bytes):
                another = asking.ids.names_another(request_id, response.headers.values(), body)
                seconds = asyncio.get_running_loop().time() - start
                outcome = self._outcome(response, body, asking, Seen(route == "kept", another, seconds))
            else:
                outcome = body
            if not isinstance(outcome, Generation):
                response.end_connection()
            return outcome

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | Outcome:
        """Return the body of a reply, or what it means where it is too large."""
        largest = LARGEST_FRAME + (LARGEST_TOKEN * self.max_new_tokens if response.status == 200 else 0)
        body = bytearray()
        while not response.content.at_eof():
            body += await response.content.readany()
            if len(body) > largest:
                response.close()  # the rest is not read
                if response.status == 200:
                    if isinstance(streamed := read_json(bytes(body), self.name, self.shown), Fatal):
                        return streamed
                    return Failure("too_large", f"a reply of more than {largest} bytes", unanswered=1)
                break
        return bytes(body)

    def _outcome(self, response: aiohttp.ClientResponse, body: bytes, asking: Asking, seen: Seen) -> Outcome:
        """Return what a reply means: an answer is none where it may belong to another prompt."""
        if response.status != 200:
            return self.read_refusal(response.status, response.headers, body)
        reply, outcome = self._parse(body, asking.prompt)
        if not isinstance(outcome, Generation):
            return outcome
        return asking.replies.judge(asking.index, asking.prompt, reply, seen) or outcome

    def read_body(self, body: bytes, prompt: Prompt) -> Outcome:
        """Return what the body of a reply with status 200 means."""
        return self._parse(body, prompt)[1]

    def _parse(self, body: bytes, prompt: Prompt) -> tuple[Mapping[str, Any], Outcome]:
        """Return the object in the body of a reply with status 200, and what it means."""
        if self._key.in_reply(body.decode(errors="replace")):
            return {}, Failure("holds_key", "the reply repeats the key", unanswered=1)
        try:
            reply = read_json(body, self.name, self.shown)
            return (reply, self._meaning(reply, prompt)) if isinstance(reply, dict) else ({}, reply)
        except RecursionError:
            return {}, Retryable("not_json", "HTTP 200, but nested too deep to be read", charged=True)

    def _meaning(self, reply: Mapping[str, Any], prompt: Prompt) -> Outcome:
        if failed := error_of(reply):
            status, error = failed  # an error in the guise of an answer
            return self.read_refusal(status, {}, json.dumps(error).encode())
        outcome = self._read_reply(reply, prompt)
        if isinstance(outcome, Failure):
            return replace(outcome, billed=self.asked(prompt).billed(reply.get("usage")))
        if isinstance(outcome, Generation) and (self.holds_key(outcome.text) or self.holds_key(outcome.model)):
            return Failure("holds_key", "the answer repeats the key", unanswered=1)
        return outcome

    def read_refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Return what a reply with any other status means."""
        return read_refusal(status, headers, body, self.name, self._settings, self.shown)

    def _read_reply(self, reply: Mapping[str, Any], prompt: Prompt) -> Outcome:
        return read_answer(reply, self.asked(prompt))

    def asked(self, prompt: Prompt) -> Asked:
        """Return what the reply to a prompt is held against."""
        model = self._settings.answers_as or self._settings.model
        return Asked(self.name, model, self.count_tokens(prompt), self.context_tokens, self.max_new_tokens, self.shown)

    def body(self, prompt: Prompt) -> bytes:
        """Return the JSON that asks for the answer to a prompt."""
        return json.dumps(self._fields(prompt)).encode()

    def _fields(self, prompt: Prompt) -> dict[str, object]:
        return request_fields(self._settings, self._extra, prompt)

    def describe(self, error: Exception) -> str:
        """Return an error of the client in one line, without the key."""
        return self.shown(f"{type(error).__name__}: {error}")

    def unreached(self, error: Exception, url: str) -> str:
        """Return an error of making a connection and what may mend it."""
        return f"{self.describe(error)}; {remedy_of(error, url, self.name)}"
