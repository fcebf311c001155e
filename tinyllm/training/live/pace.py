"""How fast a training goes: its steps and its looks at valid are timed apart, since a look may take as long as an epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pace:
    """Counts steps, tokens and looks with the seconds that they took, in this process alone.

    Args:
        clock: tells the time in seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.steps = self.looks = 0
        self.step_seconds = self.look_seconds = 0.0
        self._since: float | None = None  # from when on time belongs to the steps
        self._tokens, self._read = 0, 0.0  # since the last reading, and the steps' seconds by then

    def begin(self) -> None:
        """Say that a step begins; only the first time it matters."""
        self._since = self.clock() if self._since is None else self._since

    def step(self, tokens: int) -> None:
        """Count a step that has ended."""
        self._catch_up()
        self.steps += 1
        self._tokens += tokens

    @contextmanager
    def look(self) -> Iterator[None]:
        """Count the block as a look at valid; its time is none of the steps'."""
        self._catch_up()
        began = self.clock()
        yield
        self._since = self.clock()
        self.looks += 1
        self.look_seconds += self._since - began

    def tokens_per_second(self) -> float:
        """Return the tokens a second of training since this was last asked."""
        seconds = self.step_seconds - self._read
        tokens, self._tokens, self._read = self._tokens, 0, self.step_seconds
        return tokens / seconds if seconds > 0 else 0.0

    def seconds_left(self, steps: int, looks: int) -> float | None:
        """Return how long so many more steps and looks take; None where none of either kind has been timed.

        Before the first look it is the steps' time alone.
        """
        if not self.steps:
            return None
        a_look = self.look_seconds / self.looks if self.looks else 0.0
        return steps * self.step_seconds / self.steps + looks * a_look

    def _catch_up(self) -> None:
        now = self.clock()
        self.step_seconds += now - (now if self._since is None else self._since)
        self._since = now
