"""One thread that answers: jobs that come together are one batch, and the event loop never waits for the model."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from tinyllm.serving.refusal import Refusal

J = TypeVar("J")
R = TypeVar("R")
MOST = 64  # jobs in a batch
MOST_WAITING = 2048  # jobs; further ones are refused
PATIENCE = 0.010  # seconds after which nobody else is expected
SHARE = 0.5  # of the seconds that the last batch took: a batch waits no longer than that in all


class _Waiting(NamedTuple):
    job: object
    future: asyncio.Future


class Worker(Generic[J, R]):
    """Answers jobs in batches, in their order.

    Clients that ask again once they are answered come back nearly at once, one after the other. So while jobs keep coming
    a batch waits for half as many as the last one had: one half is answered while the other comes back. One client alone
    never waits.
    """

    def __init__(self, run: Callable[[Sequence[J]], Sequence[R | Exception]]) -> None:
        """
        Args:
            run: returns what came of each job of a batch, in their order
        """
        self._run = run
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._last, self._took = 1, 0.0  # jobs of the last batch, and its seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.batches = self.answered = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to work for this loop; the thread ends with the process."""
        self._loop = loop
        self._thread = threading.Thread(target=self._work, name="student", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still answers: a bug could end its thread."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many jobs no batch has taken yet."""
        return len(self._waiting)

    async def ask(self, jobs: Sequence[J]) -> list[R]:
        """Return what came of each job.

        Raises:
            Refusal: too many are waiting.
            Exception: what one of them brought about.
        """
        if len(self._waiting) + len(jobs) > MOST_WAITING:
            raise Refusal(503, f"{len(self._waiting)} prompts are waiting; ask again later", code="overloaded")
        futures = [asyncio.get_running_loop().create_future() for _ in jobs]
        with self._changed:
            self._waiting.extend(map(_Waiting, jobs, futures))
            self._changed.notify()
        results = await asyncio.gather(*futures, return_exceptions=True)  # of a client that is gone they are cancelled
        if failed := next((result for result in results if isinstance(result, BaseException)), None):
            raise failed
        return [result for result in results if not isinstance(result, BaseException)]

    def _work(self) -> None:
        while True:
            batch = self._take()
            began = time.monotonic()
            try:
                results = self._run([waiting.job for waiting in batch]) if batch else []  # type: ignore[misc]
            except Exception as error:  # a bug: these get an answer, and the thread lives on
                results = [error] * len(batch)
            self._took = time.monotonic() - began
            assert self._loop is not None
            try:
                self._loop.call_soon_threadsafe(self._deliver, batch, results)
            except RuntimeError:
                return  # the loop is closed: the process ends

    def _take(self) -> list[_Waiting]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            self._wait_for_others()
            taken = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        self._last = len(taken)
        return [waiting for waiting in taken if not waiting.future.cancelled()]

    def _wait_for_others(self) -> None:
        end = time.monotonic() + max(PATIENCE, SHARE * self._took)
        count = -1
        while count < len(self._waiting) < self._last / 2 and (left := end - time.monotonic()) > 0:
            count = len(self._waiting)
            self._changed.wait(min(PATIENCE, left))

    def _deliver(self, batch: Sequence[_Waiting], results: Sequence[R | Exception]) -> None:
        self.batches += bool(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            self.answered += 1
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
