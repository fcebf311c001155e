"""What a person sees on the terminal: progress, tables, and a mistake in one line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partialmethod

from tqdm import tqdm

EVERY = 10.0  # seconds between two plain lines
MOST = 300  # characters that are shown of a library's own error


@contextmanager
def progress(what: str, unit: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yield what has to be called with the number of things just done.

    Args:
        unit: the word for the things, in the plural
        total: how many there are, if that is known
    """
    plain = not sys.stderr.isatty()
    said, done = time.monotonic(), 0

    with tqdm(total=total, desc=what, unit=f" {unit}", disable=plain, leave=False) as bar:

        def add(count: int) -> None:
            nonlocal said, done
            done += count
            bar.update(count)
            if plain and time.monotonic() - said > EVERY:
                said = time.monotonic()
                print(f"{what}: {done}{f' of {total}' if total else ''} {unit}", file=sys.stderr, flush=True)

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


def in_short(error: BaseException) -> str:
    """Return a library's error as it may stand in a message: one line, not long, never empty."""
    return " ".join(str(error).split())[:MOST] or type(error).__name__


def printable(text: str) -> str:
    """Return the text without what a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return the rows in columns as wide as their longest cell, a line a row.

    Args:
        rows: all of the same length; the first may hold the columns' heads
        right: the columns that are set to the right, such as numbers
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            f"{cell:>{width}}" if place in right else f"{cell:<{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _sentence(error: ValueError | OSError) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
