"""Send prompts from a plain generator: many at once, each again while its failure may pass, each yielded as it arrives."""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace

from tinyllm.console import note
from tinyllm.teachers.protocol import Failure, Generation
from tinyllm.teachers.server.first_reply import LONGEST_UNHEARD, NO_REPLY, FirstReply
from tinyllm.teachers.server.rate_limit import RateLimiter
from tinyllm.teachers.server.responses import Fatal, Outcome, Retryable

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # s; before the first retry, doubled each time
PATIENCE = 1800.0  # s; a prompt that is still pushed back so long after its first start is given up
GIVE_UP = 10  # prompts in a row without an answer, for reasons that lie not with the prompt: the endpoint is down
PROMPTS_OWN = ("content_filter", "context_too_long", "refusal", "too_large")

LOST = 3  # attempts in a row that did not reach an address; while another works, it is tried by one at a time, and ever less
UNREACHED = ("unreachable", "disconnected", "timeout", "server_error")

Attempt = Callable[[int, str], Coroutine[None, None, Outcome]]


@dataclass
class Sent:
    """A prompt that is under way, or waits to be sent again."""

    index: int
    first: float  # when it was first sent
    started: float
    failed: int = 0  # attempts that count
    charged: int = 0
    lane: Lane | None = None  # that of its last attempt


@dataclass(eq=False)
class Lane:
    """One address, and how much is asked of it."""

    url: str
    limiter: RateLimiter
    lost: int = 0  # attempts in a row that did not reach it
    end: str | None = None  # why nothing is sent to it any more


class RequestScheduler:
    """Sends prompts through one event loop, which runs only while the caller waits for the next answer.

    Several addresses share the prompts, each at its own pace. One that is lost is tried now and then while another works; one
    that refuses everything is asked no more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        attempt: Attempt,
        urls: Sequence[str],
        concurrency: int,
        retries: int,
        first: FirstReply,
    ) -> None:
        self._loop, self._attempt, self._retries, self._first = loop, attempt, retries, first
        self._lanes = [Lane(url, RateLimiter(concurrency)) for url in urls]
        self._under_way: dict[asyncio.Task[Outcome], Sent] = {}
        self._done: deque[asyncio.Task[Outcome]] = deque()
        self._waiting: list[tuple[float, int, Sent]] = []  # a heap by the time of the next attempt
        self._held = False  # reserve has said: not now
        self._down = 0  # prompts in a row without an answer
        self._cancelled = False
        self._end: str | None = None  # why nothing is sent any more
        self._chance = random.Random()

    def send(self, count: int, reserve: Callable[[int], bool]) -> Iterator[tuple[int, Generation | Failure]]:
        """Yield what becomes of the prompts 0 to count - 1, as `Backend.generate` does."""
        fresh = deque(range(count))
        self._start(fresh, reserve)
        while self._under_way or (not self._end and (self._waiting or (fresh and not self._held))):
            self._run_until_done(fresh)
            while self._done:
                task = self._done.popleft()
                sent = self._under_way.pop(task)
                final = self._judge(sent, task.result())
                if final is not None:
                    self._held = False
                    yield sent.index, final
                    self._start(fresh, reserve)  # at once: while the caller works, the endpoint does
            self._start(fresh, reserve)
            if not self._first.heard and (silent := self._silence()):
                yield from self._abandoned()
                raise ValueError(silent)
        if self._end:
            raise ValueError(self._end)

    def _silence(self) -> str | None:
        """Return why the query ends where nothing has replied, None where it goes on; say what is waited for."""
        now = self._loop.time()
        self._first.tell(now)
        return None if self._end else self._first.end(now, [lane.url for lane in self._open_lanes()])

    def _abandoned(self) -> Iterator[tuple[int, Failure]]:
        """Yield the prompts that got no reply and that a server may have charged for."""
        under_way = [
            (sent, int(sent.lane is not None and self._first.reached(sent.lane.url)))
            for sent in self._under_way.values()
        ]
        for sent, more in [*under_way, *((sent, 0) for _, _, sent in self._waiting)]:
            if charged := sent.charged + more:
                yield sent.index, Failure("timeout", "no reply to any prompt", charged)

    def cancel(self) -> None:
        """Drop what is under way."""
        self._cancelled = True  # before the loop runs: a note that is due would else stop it in the midst of this
        for task in self._under_way:
            task.cancel()

        async def ended() -> None:
            await asyncio.gather(*self._under_way, return_exceptions=True)

        self._loop.run_until_complete(ended())

    def _open_lanes(self) -> list[Lane]:
        return [lane for lane in self._lanes if lane.end is None]

    def _free_lane(self, now: float, last: Lane | None) -> Lane | None:
        """Return the least busy address that is free; after a failure another than the last, if one is free."""
        if len(self._lanes) == 1:
            (only,) = self._lanes
            return only if only.end is None and only.limiter.wait(now) == 0 else None
        free = [lane for lane in self._open_lanes() if self._wait(lane, now) == 0]
        others = [lane for lane in free if lane is not last] or free
        return min(others, key=lambda lane: lane.limiter.under_way, default=None)

    def _left_alone(self, lane: Lane) -> bool:
        return lane.lost >= LOST and any(other.lost < LOST for other in self._open_lanes())

    def _wait(self, lane: Lane, now: float) -> float:
        """Seconds until a request to an address may start."""
        tried = self._left_alone(lane) and lane.limiter.under_way > 0
        return math.inf if tried else lane.limiter.wait(now)

    def _start(self, fresh: deque[int], reserve: Callable[[int], bool]) -> None:
        while not self._end:
            now = self._loop.time()
            again = bool(self._waiting) and self._waiting[0][0] <= now
            lane = self._free_lane(now, self._waiting[0][2].lane if again else None)
            if lane is None:
                return
            if again:
                sent = heapq.heappop(self._waiting)[2]
                sent.started = now
            elif fresh and not self._held:
                self._held = not reserve(fresh[0])
                if self._held:
                    return
                sent = Sent(fresh.popleft(), now, now)
            else:
                return
            sent.lane = lane
            lane.limiter.start(now)
            self._first.start(now)
            task = self._loop.create_task(self._attempt(sent.index, lane.url))
            self._under_way[task] = sent
            task.add_done_callback(self._note)

    def _note(self, task: asyncio.Task[Outcome]) -> None:
        self._done.append(task)
        if not self._cancelled:
            self._loop.stop()

    def _run_until_done(self, fresh: deque[int]) -> None:
        """Run the loop until an attempt is over, or a request may start that could not before."""
        now, due = self._loop.time(), math.inf
        if not self._end and (self._waiting or (fresh and not self._held)):
            ready = now if fresh and not self._held else self._waiting[0][0]
            wait = min((self._wait(lane, now) for lane in self._open_lanes()), default=math.inf)
            due = max(wait, ready - now)
        due = min(due, self._first.due(now))
        timer = None if math.isinf(due) else self._loop.call_later(due, self._loop.stop)
        try:
            self._loop.run_forever()
        finally:
            if timer:
                timer.cancel()

    def _judge(self, sent: Sent, outcome: Outcome) -> Generation | Failure | None:
        """Return what became of a prompt, or None while it may still be answered."""
        now, lane = self._loop.time(), sent.lane
        assert lane is not None  # it was sent
        if isinstance(outcome, Retryable) and outcome.reason in NO_REPLY:
            self._first.miss(lane.url, outcome)
        elif not isinstance(outcome, Fatal):
            self._first.heard = True
        if isinstance(outcome, Retryable):
            return self._retry(sent, lane, outcome, now)
        if isinstance(outcome, Fatal):
            lane.limiter.fail()
            self._close(lane, outcome.message)
            if not self._end:
                heapq.heappush(self._waiting, (now, sent.index, sent))  # for another address
            return None
        lane.lost = 0
        lane.limiter.succeed()  # a prompt that was refused used up its share of the rate, too
        if sent.charged:
            outcome = replace(outcome, unanswered=sent.charged + outcome.unanswered)
        return self._final(outcome, lane)

    def _close(self, lane: Lane, why: str) -> None:
        """Send nothing more to an address; without another, the query ends."""
        first, lane.end = lane.end is None, lane.end or why
        if not self._open_lanes():
            self._end = self._end or "; ".join(f"{lane.url}: {lane.end}" for lane in self._lanes)
        elif first:
            note(f"{lane.url}: {why}; the other addresses go on")

    def _retry(self, sent: Sent, lane: Lane, outcome: Retryable, now: float) -> Generation | Failure | None:
        sent.charged += outcome.charged
        counts = outcome.counts
        if outcome.pushed_back:
            counts = lane.limiter.push_back(now, sent.started, ordered=outcome.wait is not None)
        else:
            lane.limiter.fail()
            lane.lost += outcome.reason in UNREACHED
        if outcome.wait is not None:
            lane.limiter.hold(now, outcome.wait)
        if self._left_alone(lane):
            counts = False  # another address is asked anew
            lane.limiter.hold(now, min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(lane.lost - LOST, 10)))
            if lane.lost == LOST and not outcome.pushed_back:
                note(f"{lane.url}: {outcome.reason} ({outcome.detail}); the other addresses go on")
        elif lane.lost == LOST and self._first.heard and outcome.reason in NO_REPLY:
            note(f"{lane.url}: {outcome.reason} ({outcome.detail}); it is tried again")
        sent.failed += counts
        if sent.failed > self._retries or (outcome.pushed_back and now - sent.first > PATIENCE):
            tried = f"{sent.failed} attempts" if sent.failed > 1 else "1 attempt"
            return self._final(Failure(outcome.reason, f"{outcome.detail}; {tried}", sent.charged), lane)
        most = LONGEST_WAIT if self._first.heard else min(LONGEST_WAIT, LONGEST_UNHEARD)
        longest = min(most, FIRST_WAIT * 2 ** (sent.failed - 1)) if sent.failed else 0.0
        due = now + self._chance.uniform(0, longest)  # the whole of it by chance: no two in step
        heapq.heappush(self._waiting, (due, sent.index, sent))
        return None

    def _final(self, outcome: Generation | Failure, lane: Lane) -> Generation | Failure:
        """Return the outcome, and end the query if too many prompts in a row got no answer."""
        if isinstance(outcome, Generation) or outcome.reason in PROMPTS_OWN:
            self._down = 0
            return outcome
        self._down += 1
        if self._down >= GIVE_UP and not self._end:
            self._end = (
                f"{lane.url}: {self._down} prompts in a row got no answer, the last: {outcome.reason} ({outcome.detail}); see "
                "that the server runs and ask again, what is answered is kept"
            )
        return outcome
