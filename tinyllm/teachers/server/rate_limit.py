"""How much to ask of one endpoint: how many requests at once, and how many a second, learnt from how it answers."""

from __future__ import annotations

import math

FIRST_WINDOW = 32  # requests at once to begin with; doubled every round trip until the endpoint pushes back
SHRINK = 0.7  # of the window, when it was in use and the endpoint pushed back
REGROW = 4  # after that, requests at once more for every windowful of successes
FEW = 8  # fewer accepted requests than this say nothing of a rate
CAUTION = 0.03  # a rate that is well known is taken up again from so much below
DOUBT = 0.5  # a rate that is not known, from so much below
STRETCH, LONGEST_STRETCH = 150, 600  # accepted requests until a well-known rate is back: at first, at most
LAG = 0.1  # s; a start that came late by less than this is made up for
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 60.0  # s; while nothing gets through, doubled each time
OUTAGE = 2.0  # s; a pause as long is no sign of a rate any more, the endpoint is closed
LONGEST_ORDERED_PAUSE = 120.0  # s; a Retry-After that asks for more is cut to this


class RateLimiter:
    """The window and the rate of one endpoint; every method is told the time, in seconds on any steady clock.

    The window grows by one a success until the first push-back (429, 503 and the like), then by a few a windowful,
    and shrinks when a push-back came while it was in use. A limit of requests a second shows in no window, so there is a rate
    as well, none until the first push-back. At a push-back the endpoint is full: what it let through between two such
    moments, by the time between them, it allows for certain, and the rate at which it pushed back is about the most it
    can allow. From below the one the rate follows a cubic in the accepted requests: level between the two, ever steeper
    beyond. Each cut halves the doubt; a rate that is found twice alike is put to the trial half as often.

    Source: the cubic is that of TCP CUBIC (RFC 9438, section 4.2), over requests in place of seconds.
    """

    def __init__(self, limit: int) -> None:
        """
        Args:
            limit: most requests at once, never passed
        """
        self.under_way = 0
        self._limit = limit
        self._window = float(min(limit, FIRST_WINDOW))
        self._cut: float | None = None  # when the endpoint last pushed back
        self._open = -math.inf  # no request starts before
        self._due = -math.inf  # when the next one may start by the rate
        self._pause = 0.0
        self._level = math.inf  # requests a second, around which the cubic lies
        self._depth = DOUBT  # how far below the level it starts, as a share
        self._stretch = float(STRETCH)  # accepted requests until it is level
        self._since = 0  # accepted since the last cut
        self._anchor: float | None = None  # from when `_accepted` counts: the first start, later a cut
        self._accepted = 0

    @property
    def rate(self) -> float:
        """Requests a second; infinite while no limit is known."""
        return self._level * (1 + self._depth * (self._since / self._stretch - 1) ** 3)

    def wait(self, now: float) -> float:
        """Seconds until a request may start; 0.0 is at once, infinite is not before one has come back."""
        if self.under_way >= int(self._window):
            return math.inf
        return max(0.0, self._open - now, self._due - now)

    def start(self, now: float) -> None:
        """A request starts."""
        self.under_way += 1
        self._anchor = now if self._anchor is None else self._anchor
        self._due = max(self._due, now - LAG) + 1 / self.rate

    def succeed(self) -> None:
        """A request was answered."""
        used = self.under_way >= self._window / 2
        self.under_way -= 1
        self._since += 1
        self._accepted += 1
        self._pause = 0.0
        if used:
            self._window = min(self._limit, self._window + (1 if self._cut is None else REGROW / self._window))

    def fail(self) -> None:
        """A request ended in a way that says nothing of too much or too little."""
        self.under_way -= 1

    def hold(self, now: float, seconds: float) -> None:
        """The endpoint orders a wait, by its Retry-After."""
        self._open = max(self._open, now + min(seconds, LONGEST_ORDERED_PAUSE))

    def push_back(self, now: float, started: float, ordered: bool) -> bool:
        """A request was refused for being too much; return whether that is news: what started before the last cut is none.

        Args:
            started: when that request started
            ordered: whether the endpoint said for how long to wait, see `hold`
        """
        used = self.under_way >= self._window / 2
        self.under_way -= 1
        if self._cut is not None and started <= self._cut:
            return False
        if used:
            self._window = max(1.0, self._window * SHRINK)
        if self._since:
            self._slow_down(now)
        elif not ordered:
            self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pause))
            self._open = max(self._open, now + self._pause)
            if self._pause >= OUTAGE:
                self._anchor, self._accepted = None, 0  # this time says nothing of a rate
        self._cut = now
        return True

    def _slow_down(self, now: float) -> None:
        assert self._anchor is not None  # what was pushed back had started
        seconds = max(now - self._anchor, 1e-3)
        known = self._cut is not None and self._accepted >= FEW
        if known:
            self._settle(self._accepted / seconds)
        else:  # too little to go by
            self._level = min(self.rate, (self._accepted + 2) / seconds)
            self._depth = DOUBT if self._cut is None else min(DOUBT, 2 * self._depth)
            self._stretch = STRETCH * CAUTION / self._depth
        if known or self._cut is None:
            self._anchor, self._accepted = now, 0
        self._since = 0
        self._due = now + 1 / self.rate

    def _settle(self, measured: float) -> None:
        alike = self._stretch >= STRETCH and abs(measured / self._level - 1) < 2 * CAUTION
        gap = min((self.rate / measured - 1) / 2, DOUBT / 2)
        widest = self._depth / 2 if self._since < 4 * self._stretch else DOUBT / 2  # far past the level: it has moved
        self._depth = max(CAUTION, min(gap, widest))
        self._stretch = min(2 * self._stretch, LONGEST_STRETCH) if alike else STRETCH * CAUTION / self._depth
        self._level = measured * (1 + gap)
