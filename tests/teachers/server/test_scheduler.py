"""The scheduler by itself, in an event loop whose steps are counted."""

from __future__ import annotations

import asyncio

import pytest

from tinyllm.teachers.protocol import Generation
from tinyllm.teachers.server.connections import PausingLoop
from tinyllm.teachers.server.first_reply import FirstReply
from tinyllm.teachers.server.responses import Outcome
from tinyllm.teachers.server.scheduler import RequestScheduler

URL = "http://127.0.0.1:1"


@pytest.mark.parametrize("steps", range(8))
def test_a_reply_that_is_due_does_not_stop_the_loop_in_the_midst_of_the_cancelling(steps: int) -> None:
    """Of two replies the second comes some steps of the loop later, and the cache fails between the two."""
    loop = PausingLoop()

    async def attempt(index: int, _: str) -> Outcome:
        try:
            for _step in range(index * steps):
                await asyncio.sleep(0)
            return Generation(str(index), "stop", 1, 1)
        finally:
            await asyncio.sleep(0)  # what is cancelled ends in its own time

    def reserve(index: int) -> bool:
        if index == 2:
            raise OSError("the disk is full")
        return True

    scheduler = RequestScheduler(loop, attempt, [URL], 2, 0, FirstReply({}, 60.0))
    replies = scheduler.send(3, reserve)
    with pytest.raises(OSError, match="the disk is full"):
        list(replies)
    scheduler.cancel()
    assert not asyncio.all_tasks(loop)
    loop.close()
