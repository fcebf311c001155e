"""The wait for an endpoint that has not replied yet: what is said of it, and when it is over.

An address that is down, unknown or mistyped is not worth minutes of retries. One that has replied before is: it may come back.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from tinyllm.console import note
from tinyllm.teachers.server.belonging import AddressReplies
from tinyllm.teachers.server.responses import Retryable

TELL = 4.0  # s without a reply until what is waited for is said
GIVE_UP = 10.0  # s without a connection until the query ends
LONGEST_UNHEARD = 2.0  # s between two attempts while nothing has replied
NO_REPLY = ("unreachable", "disconnected", "timeout")  # reasons of attempts that got none


class FirstReply:
    """Knows whether anything has replied in this run; every method is told the time, in seconds on any steady clock.

    Args:
        addresses: by url
        deadline: seconds that a request may take
    """

    def __init__(self, addresses: Mapping[str, AddressReplies], deadline: float) -> None:
        self.heard = False
        self._addresses, self._deadline = addresses, deadline
        self._start: float | None = None
        self._told = False
        self._last: dict[str, Retryable] = {}  # by url what became of the last attempt

    def start(self, now: float) -> None:
        """A request goes out."""
        self._start = now if self._start is None else self._start

    def miss(self, url: str, outcome: Retryable) -> None:
        """An attempt got no reply; the first one of an address is told at once."""
        if outcome.reason == "unreachable":
            self._addresses[url].connected = False
        if not self.heard and url not in self._last:
            note(f"{url}: {outcome.reason} ({outcome.detail}); it is tried again")
        self._last[url] = outcome

    def reached(self, url: str) -> bool:
        """Return whether a connection to an address was made, so that a request under way may be charged for."""
        return self._addresses[url].connected

    def due(self, now: float) -> float:
        """Return the seconds until something has to be said or to end, infinite where nothing has."""
        if self.heard or self._start is None:
            return math.inf
        waited = now - self._start
        times = ([] if self._told else [TELL]) + [GIVE_UP]
        return min((time - waited for time in times if time > waited), default=math.inf)

    def tell(self, now: float) -> None:
        """Say once what is waited for, where no attempt has failed that would have said it."""
        if self.heard or self._told or self._start is None or now - self._start < TELL:
            return
        self._told = True
        silent = [url for url in self._addresses if url not in self._last]
        if silent:
            wait = f"waiting for the first one, at most {self._deadline:g} s (runtime.deadline)"
            note(f"{', '.join(silent)}: no reply yet; {wait}")

    def end(self, now: float, urls: Collection[str]) -> str | None:
        """Return why the query ends, None while it goes on.

        Args:
            urls: the addresses that are still asked
        """
        if self.heard or self._start is None or not all(url in self._last for url in urls):
            return None
        waited = now - self._start
        lost = all(self._last[url].reason == "unreachable" and not self._addresses[url].connected for url in urls)
        if waited < (GIVE_UP if lost else max(GIVE_UP, self._deadline)):
            return None
        told = "; ".join(f"{url}: {self._last[url].reason} ({self._last[url].detail})" for url in urls)
        remedy = "run again, what is answered is kept"
        if lost:
            return f"{told}; no connection for {waited:.0f} s: {remedy}"
        return (
            f"{told}; no reply for {waited:.0f} s: see that the server runs, or raise runtime.deadline; then {remedy}"
        )


def remedy_of(error: Exception, url: str, name: str) -> str:
    """Return what may mend it that no connection was made.

    Args:
        name: the teacher's
    """
    import aiohttp

    host, where = urlsplit(url).hostname, f"teachers.{name}.url"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"no address is known for {host}: check {where} and this machine's network"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            f"its certificate does not hold for {host}: check {where}; for an authority of your own name its file in "
            "the environment variable SSL_CERT_FILE"
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return f"it does not speak https: check {where}, which may have to begin with http://"
    return f"see that the server runs, and check {where}"
