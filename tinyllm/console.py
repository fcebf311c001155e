"""What a person sees on the terminal: progress, tables, and a mistake in one line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partialmethod
from typing import Protocol

from tqdm import tqdm

EVERY = 10.0  # seconds between two plain lines
MOST = 300  # characters that are shown of a library's own error


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


def note(text: str) -> None:
    """Say one thing on stderr while progress is shown: a line above the bar on a terminal, elsewhere a plain line."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


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
    """Return a library's error as it may stand in a message: as `one_line`, and never empty."""
    return one_line(str(error), MOST) or type(error).__name__


def one_line(text: str, most: int) -> str:
    """Return foreign text as it may stand in a message: without line breaks and what a terminal would obey.

    Args:
        most: characters that are shown; a longer text ends in `...`
    """
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else f"{line[:most]}..."


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
