"""An event loop whose clock stands still while nobody runs it, so that no deadline passes meanwhile."""

from __future__ import annotations

import asyncio
import time


class PausingLoop(asyncio.SelectorEventLoop):
    """Runs only while the caller waits for the next answer, and takes the time between out of its clock.

    While the caller waits for the cache, which another process may have locked for a minute, replies go on arriving. By a clock
    that runs on, they would count as too late: they would be asked for, and paid, once more.
    """

    def __init__(self) -> None:
        self._paused, self._stopped = 0.0, time.monotonic()
        super().__init__()

    def time(self) -> float:
        """Return the seconds that it has run, from an arbitrary start."""
        return (time.monotonic() if self.is_running() else self._stopped) - self._paused

    def run_forever(self) -> None:
        """Run until it is stopped; `run_until_complete` comes here, too."""
        self._paused += time.monotonic() - self._stopped
        try:
            super().run_forever()
        finally:
            self._stopped = time.monotonic()
