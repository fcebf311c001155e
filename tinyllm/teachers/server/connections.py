"""Connections to endpoints: some are kept for the next request, others are closed behind each reply.

A kept connection that holds bytes which no request asked for is never used again: they would be read as the next reply. aiohttp
looks for such bytes where a connection is given back, and not where it is taken again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp

from tinyllm.teachers.server.belonging import AddressReplies, Route

CONNECT = 8.0  # s; a connection that takes longer, with its encryption, leads nowhere


class UnaskedReplyError(aiohttp.ClientError):
    """A kept connection holds bytes that no request asked for; nothing was sent."""


class CheckedRequest(aiohttp.ClientRequest):
    """A request that goes out only over a connection with nothing left to read."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        if conn.protocol is None or conn.protocol.should_close:
            raise UnaskedReplyError("the connection holds a reply that no request asked for")
        return await super().send(conn)


class TracedResponse(aiohttp.ClientResponse):
    """A response that can end its connection also once that has been given back, as it is with the last byte."""

    _protocol: aiohttp.client_proto.ResponseHandler | None = (
        None  # of its connection; aiohttp sets it when it begins to read
    )

    def followed(self) -> bool:
        """Return whether another reply came right behind this one."""
        return self._protocol is not None and bool(
            self._protocol._buffer
        )  # what aiohttp has read ahead, shown nowhere else

    def end_connection(self) -> None:
        if self._protocol is not None:
            self._protocol.close()


@dataclass(frozen=True)
class Connections:
    """A client for each way that a request may go; `first` and `kept` share their connections."""

    fresh: aiohttp.ClientSession
    first: aiohttp.ClientSession
    kept: aiohttp.ClientSession

    def of(self, route: Route) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = getattr(self, route)
        return session

    async def close(self) -> None:
        for session in (self.fresh, self.first, self.kept):
            await session.close()


@contextmanager
def connections(headers: Mapping[str, str]) -> Iterator[tuple[asyncio.AbstractEventLoop, Connections]]:
    """Yield an event loop of our own and clients in it; at the end neither a connection nor a thread is left."""

    async def connect() -> Connections:
        apart, shared = (
            aiohttp.TCPConnector(limit=0, resolver=aiohttp.ThreadedResolver(), force_close=close)
            for close in (True, False)
        )  # no limit: RateLimiter sets it
        timed = [_timed_connections()]
        return Connections(
            _session(headers, apart, timed), _session(headers, shared, timed), _session(headers, shared, [])
        )

    loop = PausingLoop()
    try:
        opened = loop.run_until_complete(connect())
        try:
            yield loop, opened
        finally:
            loop.run_until_complete(opened.close())
            loop.run_until_complete(loop.shutdown_default_executor())  # it has looked up host names
    finally:
        loop.close()


def _session(
    headers: Mapping[str, str], connector: aiohttp.TCPConnector, traces: list[aiohttp.TraceConfig]
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        request_class=CheckedRequest,
        response_class=TracedResponse,
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT
        ),  # an attempt has its own, and to the millisecond
        trace_configs=traces,
    )


def _timed_connections() -> aiohttp.TraceConfig:
    """Tell an address, which comes as the context of its request, how long each connection took."""
    trace = aiohttp.TraceConfig()

    async def start(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
        context.start = asyncio.get_running_loop().time()

    async def end(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
        if isinstance(context.trace_request_ctx, AddressReplies):
            context.trace_request_ctx.connect(asyncio.get_running_loop().time() - context.start)

    trace.on_connection_create_start.append(start)
    trace.on_connection_create_end.append(end)
    return trace


class PausingLoop(asyncio.SelectorEventLoop):
    """Runs only while the caller waits for the next answer, and takes the time between out of its clock.

    While the caller waits for the cache, which another process may have locked for a minute, replies go on arriving. By a clock
    that runs on, they would count as too late: they would be asked for, and paid, once more.
    """

    def __init__(self) -> None:
        self._paused, self._stopped, self._runs = 0.0, time.monotonic(), False
        super().__init__()

    def time(self) -> float:
        """Return the seconds that it has run, from an arbitrary start."""
        return (time.monotonic() if self._runs else self._stopped) - self._paused

    def run_forever(self) -> None:
        """Run until it is stopped; `run_until_complete` comes here, too."""
        self._paused += time.monotonic() - self._stopped
        self._runs = True
        try:
            super().run_forever()
        finally:
            self._stopped, self._runs = time.monotonic(), False
