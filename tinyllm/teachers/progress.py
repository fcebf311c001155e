"""What is seen while a teacher is asked, and Ctrl-C that lets what is under way come home."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from tqdm import tqdm

from tinyllm.console import EVERY
from tinyllm.teachers.budget import Budget
from tinyllm.teachers.protocol import Failure, Generation

TELLING, SETTLED = 3, 5.0  # answers and seconds until a guess is made of the time that is left


class Progress:
    """A bar on a terminal; else a plain line now and then. Both say answered, cached, failed, tokens a second and cost."""

    def __init__(self, name: str, total: int, cached: int, budget: Budget) -> None:
        self.name, self.total, self.cached, self.budget = name, total, cached, budget
        self.answered = self.failed = self.tokens = 0
        self.started = self.said = time.monotonic()
        self.plain = not sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=name, unit="prompt", disable=self.plain, leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def add(self, outcome: Generation | Failure) -> None:
        """Count one outcome and show it."""
        if isinstance(outcome, Generation):
            self.answered += 1
            self.tokens += outcome.completion_tokens
        else:
            self.failed += 1
        self.bar.set_postfix_str(self._counts(), refresh=False)
        self.bar.update(1)
        if self.plain and time.monotonic() - self.said > EVERY:
            self.said = time.monotonic()
            print(self._line(), file=sys.stderr, flush=True)

    def _counts(self) -> str:
        speed = self.tokens / max(time.monotonic() - self.started, 1e-9)
        cost = f", cost {self.budget.spent:.4g}" if self.budget.spent else ""
        return f"{self.answered} answered, {self.cached} cached, {self.failed} failed, {speed:.0f} tokens/s{cost}"

    def _line(self) -> str:
        done, passed = self.answered + self.failed, time.monotonic() - self.started
        told = self.answered >= TELLING and passed >= SETTLED
        left = f", about {passed / done * (self.total - done):.0f} s left" if told else ""
        return f"{self.name}: {done} of {self.total} asked ({self._counts()}){left}"


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C was pressed; pressed once more, it interrupts at once.

    Outside the main thread signals cannot be caught, and Ctrl-C does what it always does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def press(*_: object) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(1)
        print("stopping: waiting for what is under way; Ctrl-C again stops at once", file=sys.stderr, flush=True)

    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
