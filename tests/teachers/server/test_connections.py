"""The event loop's clock: it runs while the loop does, and stands still while the caller works."""

from __future__ import annotations

import asyncio
import time

from tinyllm.teachers.server.connections import PausingLoop


def test_the_clock_stands_still_between_two_runs() -> None:
    loop = PausingLoop()
    loop.run_until_complete(asyncio.sleep(0.05))
    stopped = loop.time()
    time.sleep(0.3)
    assert loop.time() == stopped
    loop.run_until_complete(asyncio.sleep(0.05))
    assert 0.05 <= loop.time() - stopped < 0.3
    loop.close()


def test_a_deadline_does_not_pass_while_the_caller_works() -> None:
    loop = PausingLoop()

    async def answered() -> str:
        async with asyncio.timeout(0.3):
            await asyncio.sleep(0.2)
            return "in time"

    task = loop.create_task(answered())
    loop.run_until_complete(asyncio.sleep(0.01))
    time.sleep(0.5)
    assert loop.run_until_complete(task) == "in time"
    loop.close()


def test_a_deadline_passes_while_the_loop_runs() -> None:
    loop = PausingLoop()

    async def late() -> str:
        try:
            async with asyncio.timeout(0.05):
                await asyncio.sleep(10)
        except TimeoutError:
            return "late"
        return "in time"

    assert loop.run_until_complete(late()) == "late"
    loop.close()
