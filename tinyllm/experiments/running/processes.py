"""Processes that run beside each other, each with its children in a group of its own, and how all of them are ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

GRACE = (5.0, 2.0)  # seconds after Ctrl-C's signal until a process is asked to end, and until it is made to
POLL = 0.2

Process = subprocess.Popen[bytes]
# A line that begins so is DVC's own, and not the stage's.
DVC_TALK = ("ERROR: failed to reproduce", "WARNING", ">", "Running stage")


def last_words(printed: Iterable[str]) -> str | None:
    """Return the last line that is not DVC's own talk; of that, too, where there is no other. None is no line."""
    lines = [line.strip() for line in printed if line.strip()]
    own_lines = [line for line in lines if not line.startswith(DVC_TALK)]
    return next(reversed(own_lines or lines), None)


def signal_group(process: Process, number: int) -> None:
    """Send a signal to a process and its children."""
    with suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, number)


def stop(processes: Sequence[Process]) -> None:
    """End what runs: as Ctrl-C would, so that it can tidy up, then less kindly."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # being asked twice must not leave anything running
    for number, seconds in zip((signal.SIGINT, signal.SIGTERM, signal.SIGKILL), (*GRACE, 2.0), strict=True):
        for process in processes:
            signal_group(process, number)
        deadline = time.monotonic() + seconds
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(POLL / 4)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a plain kill, or a closed terminal, end the block as Ctrl-C does."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
