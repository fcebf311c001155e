"""A chat template: a program that comes with a checkpoint. It runs in transformers' sandbox, and not for ever."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from tinyllm.console import in_short
from tinyllm.models.plain_text import PlainText

SECONDS = 10.0  # for one question; a sound template takes less than a thousandth of one
LONGEST = 10_000_000  # characters


def in_template(reader: PlainText, turns: Sequence[dict[str, str]]) -> str:
    """Return the turns as the template writes them, up to where the model's own turn begins, for `PlainText.ids`.

    Raises:
        ValueError: the template fails in whatever way, does not end, or writes no text; what happened, in short.
    """
    try:
        with _no_longer_than(SECONDS):
            text = reader.render(turns)
    except Exception as error:  # it can raise what any program can
        raise ValueError(in_short(error)) from None
    if len(text) > LONGEST:
        raise ValueError(f"it writes {len(text)} characters; allowed are {LONGEST}")
    return text


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds. Only the main thread hears a clock; no other one renders here.

    Windows has no such clock: a template that does not end has to be ended by Ctrl-C there.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeoutError(f"it does not end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
