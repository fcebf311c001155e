"""One request after another to an endpoint, for what is no answer to a prompt: files, and the state of a batch."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm.console import note
from tinyllm.params.schema import Runtime
from tinyllm.teachers.protocol import Failure, Generation, UnderWay
from tinyllm.teachers.server.address import proxy_of, request_address
from tinyllm.teachers.server.client import Server
from tinyllm.teachers.server.first_reply import GIVE_UP, LONGEST_UNHEARD, NO_REPLY, TELL
from tinyllm.teachers.server.responses import Fatal, Retryable

if TYPE_CHECKING:
    import aiohttp

Reply = bytes | Failure | Retryable | Fatal

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # s before a request is sent again
JSON = "application/json"
LARGEST_REPLY = 10_000_000  # bytes
TRANSFER = 900.0  # s; a file of 200 MB takes longer than a request


@dataclass(frozen=True)
class Request:
    """What is asked.

    Args:
        kind: of the body
        seconds: to wait for the whole reply; None is the deadline of the settings
        largest: bytes of a reply
    """

    method: str
    path: str
    body: bytes | None = None
    kind: str = JSON
    seconds: float | None = None
    largest: int = LARGEST_REPLY


class Web:
    """A client of one endpoint, whose calls return when their reply is there."""

    def __init__(
        self, server: Server, runtime: Runtime, loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession
    ) -> None:
        self._server, self._runtime, self._loop, self._session = server, runtime, loop, session
        self._url = server.urls[0]
        self._heard = False  # whether it has replied in this run

    def request(self, request: Request, error: type[ValueError] = UnderWay) -> bytes | Failure:
        """Return the body of a reply, or why the server refuses; what may pass is tried again.

        Args:
            error: is raised where nothing can be asked.
        """
        start = time.monotonic()
        for number in range(self._runtime.retries + 1):
            reply = self.attempt(request)
            if isinstance(reply, bytes | Failure):
                return reply
            if isinstance(reply, Fatal) or (not self._heard and time.monotonic() - start >= GIVE_UP - LONGEST_UNHEARD):
                break
            if number == 0 and not self._heard:
                note(f"{self._url}: {reply.reason} ({reply.detail}); it is tried again")
            self.pause(number, reply)
        raise error(f"{self._url}/{request.path}: {said(reply)}")

    def attempt(self, request: Request) -> Reply:
        """Ask once."""
        told = self._loop.call_later(TELL, self._tell)
        try:
            reply = self._loop.run_until_complete(self._attempt(request))
        finally:
            told.cancel()
        self._heard = self._heard or not (isinstance(reply, Retryable) and reply.reason in NO_REPLY)
        return reply

    def _tell(self) -> None:
        if not self._heard:
            note(f"{self._url}: no reply yet; waiting for the first one")

    def sleep(self, seconds: float) -> None:
        self._loop.run_until_complete(asyncio.sleep(seconds))

    def pause(self, number: int, reply: Retryable) -> None:
        """Wait before attempt `number` + 1, as long as the server orders."""
        wait = FIRST_PAUSE * 2**number if reply.wait is None else reply.wait
        self.sleep(min(LONGEST_PAUSE if self._heard else LONGEST_UNHEARD, wait))

    def fields(self, reply: bytes | Failure, path: str) -> dict[str, Any]:
        """Return the object in a reply.

        Raises:
            UnderWay: there is none.
        """
        found = None if isinstance(reply, Failure) else parse(reply)
        if isinstance(found, dict):
            return found
        fault = said(reply) if isinstance(reply, Failure) else f"HTTP 200, but no object ({len(reply)} bytes)"
        raise UnderWay(f"{self._url}/{path}: {fault}")

    async def _attempt(self, request: Request) -> Reply:
        import aiohttp

        seconds = request.seconds or self._runtime.deadline
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(
                    request.method,
                    request_address(self._url, request.path),
                    data=request.body,
                    headers={"Content-Type": request.kind},
                    allow_redirects=False,
                    proxy=proxy_of(self._url),
                ) as response,
            ):
                reply = await _read(response, request.largest)
        except aiohttp.ClientConnectorCertificateError as error:
            said = self._server.unreached(error, self._url)
            return Retryable("unreachable", said, charged=False) if self._heard else Fatal(said)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Retryable("unreachable", self._server.unreached(error, self._url), charged=False)
        except TimeoutError:
            return Retryable("timeout", f"no whole answer within {seconds:g} s", charged=True)
        except (aiohttp.ClientError, OSError) as error:
            return Retryable("disconnected", self._server.describe(error), charged=True)
        if reply is None:
            return Failure("too_large", f"a reply of more than {request.largest} bytes")
        return reply if response.status == 200 else self._refusal(response, reply)

    def _refusal(self, response: aiohttp.ClientResponse, body: bytes) -> Failure | Retryable | Fatal:
        outcome = self._server.read_refusal(response.status, response.headers, body)
        assert not isinstance(outcome, Generation)  # a refusal is none
        return outcome


async def _read(response: aiohttp.ClientResponse, largest: int) -> bytes | None:
    """Return the body, None where it is larger than that."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > largest:
            response.close()
            return None
    return bytes(body)


def parse(text: bytes) -> Any:
    """Return the value of a JSON text, None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def said(reply: Reply) -> str:
    """Return why there is nothing in a reply."""
    if isinstance(reply, bytes):
        return f"HTTP 200, {len(reply)} bytes"
    return reply.message if isinstance(reply, Fatal) else reply.detail
