"""What a person sees on the terminal: progress, tables, and a mistake in one line.

Text of models, data sets, files and servers is foreign: whatever of it a terminal would obey never gets there. `guard_terminal`
sees to that for all that a process prints, the libraries' own lines too.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partialmethod
from typing import Any, Protocol, TextIO, cast

EVERY = 10.0  # seconds between two plain lines
WIDEST = 400  # columns of a bar; a terminal may claim any number
SPACES = (
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"  # wide, narrow
)
MOST = 300  # characters that are shown of a library's own error


class Guarded:
    """A text stream that lets nothing through that a terminal would obey, and that fails at no character."""

    def __init__(self, stream: TextIO) -> None:
        self._wrapped = stream  # by this name tqdm tells whether a bar and a line share a stream

    def write(self, text: str) -> int:
        # a bar goes back to the start of its line by a write of its own; at the head of a printed text that moves nothing
        head = "\r" if text.startswith("\r") else ""
        encoding = self._wrapped.encoding or "utf-8"
        shown = head + printable(text.removeprefix(head), kept="\n\t")
        self._wrapped.write(shown.encode(encoding, "tinyllm").decode(encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


def guard_terminal() -> None:
    """Guard stdout and stderr of this process from here on."""
    _prepare_streams()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Guarded):
            setattr(sys, name, cast(TextIO, Guarded(stream)))


class Advance(Protocol):
    """Counts things that were just done."""

    def __call__(self, count: int, note: str = "", seconds_left: float | None = None) -> None:
        """
        Args:
            note: what else there is to say of the things done so far
            seconds_left: what a bar would guess from the things alone, where that is not all of the work
        """


@cache
def _bar() -> type[Any]:
    """The class of a bar that shows the seconds left that it is given, and its own guess where it is given none."""
    from tqdm import tqdm  # what shows no progress does not wait for it

    class Bar(tqdm):
        seconds_left: float | None = None

        @property
        def format_dict(self) -> dict[str, Any]:
            shown = super().format_dict
            if self.seconds_left is not None:
                left = self.format_interval(self.seconds_left)
                form = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<%s, {rate_fmt}{postfix}]"
                shown["bar_format"] = form % left
            return shown

    return Bar


@contextmanager
def progress(what: str, unit: str, total: int | None = None) -> Iterator[Advance]:
    """Show a bar on a terminal, elsewhere a plain line now and then; yield what has to be called as things are done.

    Args:
        unit: the word for the things, in the plural
        total: how many there are, if that is known
    """

    plain = not sys.stderr.isatty()
    said, done = time.monotonic(), 0

    wide = WIDEST if shutil.get_terminal_size().columns > WIDEST else None  # None follows the terminal
    with _bar()(total=total, desc=what, unit=f" {unit}", disable=plain, leave=False, ncols=wide) as bar:

        def add(count: int, note: str = "", seconds_left: float | None = None) -> None:
            nonlocal said, done
            done += count
            bar.seconds_left = seconds_left
            bar.set_postfix_str(printable(note), refresh=False)
            bar.update(count)
            if plain and time.monotonic() - said > EVERY:
                said = time.monotonic()
                counts = f"{done}{f' of {total}' if total else ''} {unit}{f' ({printable(note)})' if note else ''}"
                left = "" if seconds_left is None else f", about {seconds_left:.0f} s left"
                print(f"{what}: {counts}{left}", file=sys.stderr, flush=True)

        yield add


def note(text: str) -> None:
    """Say one thing on stderr while progress is shown: a line above the bar on a terminal, elsewhere a plain line."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


@contextmanager
def bars_on_terminals_alone() -> Iterator[None]:
    """Keep progress bars out of logs: the one of the library's .gguf reader heeds none of its switches."""
    from tqdm import tqdm

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
    exit status 1, Ctrl-C in 130; TINYLLM_TRACEBACK=1 shows where it was raised. Anything else is a bug. Whoever closes the pipe
    that is printed to, such as `head`, ends it without a word.

    Args:
        stopped: what to tell after Ctrl-C
    """
    _prepare_streams()
    try:
        try:
            yield
        finally:
            _flush()  # here, where an error can still be told
    except (ValueError, OSError, MemoryError) as error:
        if os.environ.get("TINYLLM_TRACEBACK"):
            raise
        if isinstance(error, BrokenPipeError) and error.filename is None:
            sys.exit(141)  # what a shell reports of any program that ends so
        sys.exit(f"error: {_sentence(error)}")
    except KeyboardInterrupt:
        if stopped:
            print(stopped, file=sys.stderr)
        sys.exit(130)


def _prepare_streams() -> None:
    """Let printing never raise for what is printed, nor because there is nowhere to print to."""
    codecs.register_error("tinyllm", _escape)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed, as by `>&-`; else the next file that is opened would take its number
            if not _is_open(number):
                os.open(os.devnull, os.O_RDWR)  # it takes the lowest number that is free: this one
            nowhere = open(os.devnull, "w" if number else "r", encoding="utf-8", errors="tinyllm")  # noqa: SIM115
            setattr(sys, name, nowhere)
        elif number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="tinyllm")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Write what the terminal's encoding lacks as JSON does, so that JSON stays JSON."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(json.dumps(sign)[1:-1] for sign in error.object[error.start : error.end]), error.end


def _flush() -> None:
    """Write out what was printed; where that fails, let Python not try it again on its way out.

    Raises:
        OSError: it cannot be written.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.filename is None and not isinstance(error, BrokenPipeError):
            error.filename = "standard output"
        raise


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


def printable(text: str, kept: str = "") -> str:
    """Return the text without what a terminal would obey or a reader would not see: control and format characters, such as
    escape sequences, marks of direction and of no width, separators of lines, half characters.

    Args:
        kept: characters that stay although they are such
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in kept else _shown(character) for character in text
    )


def _shown(character: str) -> str:
    return " " if character in SPACES else "?"


def as_json(value: object, indent: int | None = None) -> str:
    """Return JSON as it may stand on a terminal: other letters as they are, what a terminal would obey as escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    if text.isprintable():
        return text
    return re.sub(r"[^\n\x20-\x7e]", lambda match: match[0] if match[0].isprintable() else _escaped(match[0]), text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()  # a character beyond 16 bits is two
    return re.sub("(....)", r"\\u\1", units)


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


def _sentence(error: ValueError | OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "out of memory; free some, or run it on less data"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return (
            f"{os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename}: {error.strerror}"
        )
    return str(error)
