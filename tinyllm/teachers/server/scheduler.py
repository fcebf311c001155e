"""Send prompts from a plain generator: many at once, each again while its failure may pass, each yielded as it arrives."""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace

from tinyllm.teachers.protocol import Failure, Generation
from tinyllm.teachers.server.rate_limit import RateLimiter
from tinyllm.teachers.server.responses import Fatal, Outcome, Retryable

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # s; before the first retry, doubled each time
PATIENCE = 1800.0  # s; a prompt that is still pushed back so long after its first start is given up
GIVE_UP = 10  # prompts in a row without an answer, for reasons that lie not with the prompt: the endpoint is down
PROMPTS_OWN = ("content_filter", "context_too_long", "too_large")

Attempt = Callable[[int], Coroutine[None, None, Outcome]]


@dataclass
class Sent:
    """A prompt that is under way, or waits to be sent again."""

    index: int
    first: float  # when it was first sent
    started: float
    failed: int = 0  # attempts that count
    charged: int = 0


class RequestScheduler:
    """Sends prompts through one event loop, which runs only while the caller waits for the next answer."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, attempt: Attempt, limiter: RateLimiter, retries: int, endpoint: str
    ) -> None:
        self._loop, self._attempt, self._limiter, self._retries = loop, attempt, limiter, retries
        self._endpoint = endpoint
        self._under_way: dict[asyncio.Task[Outcome], Sent] = {}
        self._done: deque[asyncio.Task[Outcome]] = deque()
        self._waiting: list[tuple[float, int, Sent]] = []  # a heap by the time of the next attempt
        self._held = False  # reserve has said: not now
        self._down = 0  # prompts in a row without an answer
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
        if self._end:
            raise ValueError(f"{self._endpoint}: {self._end}")

    async def cancel(self) -> None:
        """Drop what is under way."""
        for task in self._under_way:
            task.remove_done_callback(self._note)
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _start(self, fresh: deque[int], reserve: Callable[[int], bool]) -> None:
        while not self._end and self._limiter.wait(now := self._loop.time()) == 0:
            if self._waiting and self._waiting[0][0] <= now:
                sent = heapq.heappop(self._waiting)[2]
                sent.started = now
            elif fresh and not self._held:
                self._held = not reserve(fresh[0])
                if self._held:
                    return
                sent = Sent(fresh.popleft(), now, now)
            else:
                return
            self._limiter.start(now)
            task = self._loop.create_task(self._attempt(sent.index))
            self._under_way[task] = sent
            task.add_done_callback(self._note)

    def _note(self, task: asyncio.Task[Outcome]) -> None:
        self._done.append(task)
        self._loop.stop()

    def _run_until_done(self, fresh: deque[int]) -> None:
        """Run the loop until an attempt is over, or a request may start that could not before."""
        now, due = self._loop.time(), math.inf
        if not self._end and (self._waiting or (fresh and not self._held)):
            ready = now if fresh and not self._held else self._waiting[0][0]
            due = max(self._limiter.wait(now), ready - now)
        timer = None if math.isinf(due) else self._loop.call_later(due, self._loop.stop)
        self._loop.run_forever()
        if timer:
            timer.cancel()

    def _judge(self, sent: Sent, outcome: Outcome) -> Generation | Failure | None:
        """Return what became of a prompt, or None while it may still be answered."""
        now = self._loop.time()
        if isinstance(outcome, Retryable):
            return self._retry(sent, outcome, now)
        if isinstance(outcome, Fatal):
            self._limiter.fail()
            self._end = self._end or outcome.message
            return None
        self._limiter.succeed()  # a prompt that was refused used up its share of the rate, too
        return self._final(replace(outcome, unanswered=sent.charged + outcome.unanswered))

    def _retry(self, sent: Sent, outcome: Retryable, now: float) -> Generation | Failure | None:
        sent.charged += outcome.charged
        counts = True
        if outcome.pushed_back:
            counts = self._limiter.push_back(now, sent.started, ordered=outcome.wait is not None)
        else:
            self._limiter.fail()
        if outcome.wait is not None:
            self._limiter.hold(now, outcome.wait)
        sent.failed += counts
        if sent.failed > self._retries or (outcome.pushed_back and now - sent.first > PATIENCE):
            tried = f"{sent.failed} attempts" if sent.failed > 1 else "1 attempt"
            return self._final(Failure(outcome.reason, f"{outcome.detail}; {tried}", sent.charged))
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (sent.failed - 1)) if sent.failed else 0.0
        due = now + self._chance.uniform(0, longest)  # the whole of it by chance: no two in step
        heapq.heappush(self._waiting, (due, sent.index, sent))
        return None

    def _final(self, outcome: Generation | Failure) -> Generation | Failure:
        """Return the outcome, and end the query if too many prompts in a row got no answer."""
        if isinstance(outcome, Generation) or outcome.reason in PROMPTS_OWN:
            self._down = 0
            return outcome
        self._down += 1
        if self._down >= GIVE_UP and not self._end:
            self._end = (
                f"{self._down} prompts in a row got no answer, the last: {outcome.reason} ({outcome.detail}); see that the "
                "server runs and ask again, what is answered is kept"
            )
        return outcome
