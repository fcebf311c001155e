"""What is shown while a teacher is asked, and Ctrl-C that waits for the prompts under way."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tinyllm.console import progress
from tinyllm.teachers.budget import Budget
from tinyllm.teachers.protocol import Failure, Generation

TELLING, SETTLED = 3, 5.0  # answers and seconds until a guess is made of the time that is left


@contextmanager
def query_progress(
    name: str, total: int, cached: int, budget: Budget
) -> Iterator[Callable[[Generation | Failure], None]]:
    """Yield what has to be called with each outcome. It shows answered, cached, failed, tokens a second and cost.

    Args:
        total: prompts to be asked
        cached: answers that were there before
    """
    answered = failed = tokens = 0
    started = time.monotonic()
    with progress(name, "asked", total) as advance:

        def add(outcome: Generation | Failure) -> None:
            nonlocal answered, failed, tokens
            if isinstance(outcome, Generation):
                answered += 1
                tokens += outcome.completion_tokens
            else:
                failed += 1
            done, seconds = answered + failed, time.monotonic() - started
            speed = f"{tokens / max(seconds, 1e-9):.0f} tokens/s"
            cost = f", cost {budget.spent:.4g}" if budget.spent else ""
            settled = answered >= TELLING and seconds >= SETTLED
            left = seconds / done * (total - done) if settled else None
            advance(1, f"{answered} answered, {cached} cached, {failed} failed, {speed}{cost}", left)

        yield add


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed; the second Ctrl-C interrupts at once.

    Outside the main thread signals cannot be caught: there Ctrl-C does what it always does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed = False
    before = signal.getsignal(signal.SIGINT)

    def press(*_: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        print("stopping: waiting for what is under way; Ctrl-C again stops at once", file=sys.stderr, flush=True)

    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
