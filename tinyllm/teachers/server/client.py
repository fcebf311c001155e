"""A live teacher behind an endpoint that speaks OpenAI's protocol: vLLM, Ollama, llama.cpp, a paid service.

One asyncio client serves the whole stage. scheduler.py says what is sent when, rate_limit.py how fast, and responses.py what
a reply means.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from tinyllm.console import one_line
from tinyllm.params.schema import Runtime, ServerTeacher
from tinyllm.teachers.protocol import STOP, Failure, Generation, Prompt
from tinyllm.teachers.server.rate_limit import RateLimiter
from tinyllm.teachers.server.responses import SHOWN, Outcome, Retryable, estimate_tokens, read_answer, read_refusal
from tinyllm.teachers.server.scheduler import RequestScheduler

if TYPE_CHECKING:  # a third of a second to import, and only who asks an endpoint needs it
    import aiohttp

LARGEST_FRAME, LARGEST_TOKEN = 65_536, 64  # bytes of a reply: around the answer, and for each token of it
MESSAGE_TOKENS = 8  # what a chat template puts around one message, about
SECRET = 8  # characters; a shorter key is a placeholder such as `none`, and may stand in an answer


class Server:
    """Answers prompts by asking one model at one endpoint."""

    def __init__(self, settings: ServerTeacher, runtime: Runtime) -> None:
        """
        Raises:
            ValueError: the url holds more than an address.
        """
        self.context_tokens = settings.context_tokens
        self.max_new_tokens = settings.max_new_tokens
        self._settings, self._runtime = settings, runtime
        self.key_variable = settings.key_variable
        self._url = checked_url(settings.url)
        self._key = ""  # read when something is asked: who has every answer in the cache needs none
        self.identity: Mapping[str, object] = {
            "backend": "server",
            "url": self._url,
            **settings.model_dump(include={"model", "api", "temperature", "max_new_tokens", "seed"}),
            "stop": [STOP],
        }

    def count_tokens(self, prompt: Prompt) -> int:
        """Return an estimate, rather too high than too low: only the endpoint knows its tokenizer."""
        return estimate_tokens(prompt.system) + estimate_tokens(prompt.text) + 2 * MESSAGE_TOKENS

    def generate(
        self, prompts: Sequence[Prompt], reserve: Callable[[int], bool]
    ) -> Iterator[tuple[int, Generation | Failure]]:
        """Yield each answer as it arrives; closing the generator drops what is under way.

        What may pass is tried again, `runtime.retries` times and with growing pauses. A push-back counts only where it is
        news to the rate limiter: otherwise one burst would use up every prompt's attempts. After half an hour of push-backs
        a prompt is given up.

        Raises:
            ValueError: the key is not where the settings say, or the endpoint refuses it, lacks the model, leads elsewhere
                or is down. What was under way has then been yielded before.
        """
        self.load_key()
        with self.session() as (loop, session):

            def attempt(index: int) -> Coroutine[None, None, Outcome]:
                return self._attempt(session, prompts[index])

            scheduler = RequestScheduler(
                loop, attempt, RateLimiter(self._runtime.concurrency), self._runtime.retries, self._url
            )
            try:
                yield from scheduler.send(len(prompts), reserve)
            finally:
                loop.run_until_complete(scheduler.cancel())

    def load_key(self) -> None:
        """Read the key, right before something is asked.

        Raises:
            ValueError: as `read_key`.
        """
        self._key = read_key(self._settings.key_variable)

    def holds_key(self, body: bytes | bytearray) -> bool:
        """Return whether a reply repeats the key."""
        return len(self._key) >= SECRET and self._key.encode() in body

    @contextmanager
    def session(self) -> Iterator[tuple[asyncio.AbstractEventLoop, aiohttp.ClientSession]]:
        """Yield an event loop of our own and a client in it; at the end neither a connection nor a thread is left."""
        import aiohttp

        async def connect() -> aiohttp.ClientSession:
            headers = {"Content-Type": "application/json"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            return aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, resolver=aiohttp.ThreadedResolver()
                ),  # RateLimiter sets the limit
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=headers,
                proxy=proxy_of(self._url),
                timeout=aiohttp.ClientTimeout(total=None),  # _attempt has its own, and to the millisecond
            )

        loop = asyncio.new_event_loop()
        try:
            session = loop.run_until_complete(connect())
            try:
                yield loop, session
            finally:
                loop.run_until_complete(session.close())
                loop.run_until_complete(loop.shutdown_default_executor())  # it has looked up host names
        finally:
            loop.close()

    async def _attempt(self, session: aiohttp.ClientSession, prompt: Prompt) -> Outcome:
        """Ask once, for no longer than the deadline, however slowly bytes keep coming."""
        import aiohttp

        deadline = self._runtime.deadline
        path = "chat/completions" if self._settings.api == "chat" else "completions"
        try:
            async with asyncio.timeout(deadline):
                address, body = f"{self._url}/{path}", self.body(prompt)
                async with session.post(address, data=body, allow_redirects=False) as response:
                    outcome = await self._read(response, prompt)
        except TimeoutError:
            return Retryable("timeout", f"no whole answer within {deadline:g} s", charged=True)
        except aiohttp.ClientConnectorError as error:
            return Retryable("unreachable", self.describe(error), charged=False)
        except (aiohttp.ClientError, OSError) as error:
            return Retryable("disconnected", self.describe(error), charged=True)
        return outcome

    async def _read(self, response: aiohttp.ClientResponse, prompt: Prompt) -> Outcome:
        largest = LARGEST_FRAME + LARGEST_TOKEN * self.max_new_tokens
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > largest:
                response.close()  # the rest is not read
                if response.status == 200:
                    return Failure("too_large", f"a reply of more than {largest} bytes", unanswered=1)
                break
        if response.status == 200:
            if self.holds_key(body):
                return Failure("holds_key", "the reply repeats the key", unanswered=1)
            return self.without_key(read_answer(bytes(body), self._settings.model, self.count_tokens(prompt)))
        text = self.masked(body.decode(errors="replace")).encode()  # before a message is cut in the midst of a key
        variable = self._settings.key_variable
        return self.without_key(read_refusal(response.status, response.headers, text, variable))

    def body(self, prompt: Prompt) -> bytes:
        """Return the JSON that asks for the answer to a prompt."""
        settings = self._settings
        fields: dict[str, object] = {"model": settings.model}
        if settings.api == "chat":
            system = [{"role": "system", "content": prompt.system}] if prompt.system else []
            fields["messages"] = [*system, {"role": "user", "content": prompt.text}]
        else:
            fields["prompt"] = f"{prompt.system}\n\n{prompt.text}" if prompt.system else prompt.text
        fields |= {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens, "stop": [STOP]}
        if settings.seed is not None:
            fields["seed"] = settings.seed + prompt.sample
        return json.dumps(fields).encode()

    def describe(self, error: Exception) -> str:
        """Return an error of the client in one line, without the key."""
        return one_line(self.masked(f"{type(error).__name__}: {error}"), SHOWN)

    def masked(self, text: str) -> str:
        """Return a text with the key masked."""
        return text.replace(self._key, "***") if self._key else text

    def without_key(self, outcome: Outcome) -> Outcome:
        """Refuse an answer that holds the key, and mask the key in a message: a server may send back what it was sent."""
        if isinstance(outcome, Generation):
            if len(self._key) >= SECRET and self._key in outcome.text:
                return Failure("holds_key", "the answer repeats the key", unanswered=1)
            return outcome
        if isinstance(outcome, (Failure, Retryable)):
            return replace(outcome, detail=self.masked(outcome.detail))
        return replace(outcome, message=self.masked(outcome.message))


def checked_url(url: str) -> str:
    """Return the url without a slash at its end.

    Raises:
        ValueError: it has no host, or holds what must not land in the answer cache, such as a password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("url: its host or port cannot be read; expected such as http://localhost:8000/v1") from None
    if "@" in parts.netloc:
        raise ValueError(
            f"url: a name or password before host {host}, which would land in the answer cache; give the key in the "
            "environment variable that key_variable names"
        )
    if parts.query or parts.fragment or not host:
        raise ValueError(
            f"url: host {host or 'missing'}, and {'something' if parts.query or parts.fragment else 'nothing'} behind ? "
            "or #; expected an address alone, such as http://localhost:8000/v1; a key belongs into the environment "
            "variable that key_variable names"
        )
    return url.rstrip("/")


def read_key(variable: str | None) -> str:
    """Return the key in an environment variable; "" where the settings name none.

    Raises:
        ValueError: it is not set, empty, or nothing that a header can hold.
    """
    if variable is None:
        return ""
    key = os.environ.get(variable, "")
    if not key:
        raise ValueError(f"key_variable: environment variable {variable} is not set or empty; export the key in it")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(
            f"key_variable: environment variable {variable} holds white space or signs that no key has; export it anew"
        )
    return key


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for an address, if any."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
