"""The thread that answers: its answers in order, the error of one batch, and that it is known to be gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tinyllm.serving.worker import Worker


def test_a_batch_that_fails_is_answered_with_its_error_and_the_next_as_ever() -> None:
    def run(jobs: Sequence[int]) -> list[int | Exception]:
        if 0 in jobs:
            raise ValueError("no answer to 0")
        return [job * 2 for job in jobs]

    async def ask() -> list[int]:
        worker: Worker[int, int] = Worker(run)
        assert not worker.alive
        worker.start(asyncio.get_running_loop())
        with pytest.raises(ValueError, match="no answer to 0"):
            await worker.ask([0])
        assert worker.alive
        return await worker.ask([1, 2])

    assert asyncio.run(ask()) == [2, 4]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_is_not_alive() -> None:
    def run(jobs: Sequence[int]) -> list[int | Exception]:
        raise SystemExit

    async def ask() -> bool:
        worker: Worker[int, int] = Worker(run)
        worker.start(asyncio.get_running_loop())
        asking = asyncio.ensure_future(worker.ask([1]))
        for _ in range(200):
            await asyncio.sleep(0.01)
            if not worker.alive:
                break
        asking.cancel()
        return worker.alive

    assert not asyncio.run(ask())
