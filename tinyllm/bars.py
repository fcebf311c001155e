"""What is seen of work under way: a bar on a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partialmethod

from tqdm import tqdm

EVERY = 10.0  # seconds between two plain lines


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
