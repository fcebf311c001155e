"""What a person sees of work under way: progress, and a mistake in one line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partialmethod
from typing import Protocol

from tqdm import tqdm

EVERY = 10.0  # seconds between two plain lines


class Advance(Protocol):
    """Counts things that were just done."""

    def __call__(self, count: int, note: str = "", seconds_left: float | None = None) -> None:
        """
        Args:
            note: what else there is to say of the things done so far
            seconds_left: for the plain line; a bar makes its own guess
        """


@contextmanager
def progress(what: str, unit: str, total: int | None = None) -> Iterator[Advance]:
    """Show a bar on a terminal, elsewhere a plain line now and then; yield what has to be called as things are done.

    Args:
        unit: the word for the things, in the plural
        total: how many there are, if that is known
    """
    plain = not sys.stderr.isatty()
    said, done = time.monotonic(), 0

    with tqdm(total=total, desc=what, unit=f" {unit}", disable=plain, leave=False) as bar:

        def add(count: int, note: str = "", seconds_left: float | None = None) -> None:
            nonlocal said, done
            done += count
            bar.set_postfix_str(note, refresh=False)
            bar.update(count)
            if plain and time.monotonic() - said > EVERY:
                said = time.monotonic()
                counts = f"{done}{f' of {total}' if total else ''} {unit}{f' ({note})' if note else ''}"
                left = "" if seconds_left is None else f", about {seconds_left:.0f} s left"
                print(f"{what}: {counts}{left}", file=sys.stderr, flush=True)

        yield add


@contextmanager
def bars_on_terminals_alone() -> Iterator[None]:
    """Keep progress bars out of logs: the one of the library's .gguf reader heeds none of its switches."""
    drawn = tqdm.__init__
    tqdm.__init__ = partialmethod(drawn, disable=None)
    try:
        yield
    finally:
        tqdm.__init__ = drawn


@contextmanager
def report_errors(stopped: str = "") -> Iterator[None]:
    """End the process where the block cannot go on.

    A mistake of the user's (ValueError) or of the machine's (OSError: disk full, no permission) ends in its message and
    exit status 1, Ctrl-C in 130; TINYLLM_TRACEBACK=1 shows where it was raised. Anything else is a bug.

    Args:
        stopped: what to tell after Ctrl-C
    """
    try:
        yield
    except (ValueError, OSError) as error:
        if os.environ.get("TINYLLM_TRACEBACK"):
            raise
        sys.exit(f"error: {_sentence(error)}")
    except KeyboardInterrupt:
        if stopped:
            print(stopped, file=sys.stderr)
        sys.exit(130)


def _sentence(error: ValueError | OSError) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
