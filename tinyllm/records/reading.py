"""Read a file of any size, or one without an end: line by line or as a whole, each with a limit, and each fault in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from tinyllm.records.made_by import remedy

MB = 1 << 20
LARGEST = 64 * MB  # bytes of a line, or of a file that is read as a whole
MOST_USELESS = 100_000  # lines in a row that are blank, or that are no JSON object


def read_text(path: Path | str) -> str:
    """Return the text of a UTF-8 file; a byte-order mark is dropped.

    Raises:
        ValueError: the file is missing, a folder, or not UTF-8; the message names it and the remedy.
    """
    with open_binary(path) as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"{path}: has more than {LARGEST // MB} MB; that is no file of the kind that is read here")
    return decode_utf8(data, path, 0).removeprefix("\ufeff")


@contextmanager
def open_lines(path: Path | str) -> Iterator[Iterator[bytes]]:
    """Yield the lines of a file, as `bounded_lines` does.

    Raises:
        ValueError: as `open_binary` and `bounded_lines`.
    """
    with open_binary(path) as file:
        yield bounded_lines(file, path)


def bounded_lines(file: BinaryIO, path: Path | str) -> Iterator[bytes]:
    """Yield the lines of a file that may have no end, each as soon as it has come; one is held at a time.

    Raises:
        ValueError: a line is too long, or too many in a row are blank; the message names file and line.
    """
    number = blank = 0
    while line := file.readline(LARGEST + 1):
        number += 1
        if len(line) > LARGEST:
            raise ValueError(
                f"{path}:{number}: a line of more than {LARGEST // MB} MB; allowed is one JSON object a line"
            )
        blank = blank + 1 if line.isspace() else 0
        if blank > MOST_USELESS:
            raise useless(path, number)
        yield line


@contextmanager
def open_binary(path: Path | str) -> Iterator[BinaryIO]:
    """Yield the file, opened to read its bytes.

    Raises:
        ValueError: it is missing or a folder; the message names it.
    """
    with ExitStack() as opened:
        try:
            file = opened.enter_context(open(path, "rb"))
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file{remedy(path)}") from None
        except IsADirectoryError:
            raise ValueError(f"{path}: is a folder, not a file") from None
        try:
            yield file
        except OSError as error:
            if error.filename is None:
                error.filename = str(path)  # a damaged disk's error does not say where
            raise


def useless(path: Path | str, number: int) -> ValueError:
    """Return the error of a file that has gone on for so long without an object."""
    fault = f"{MOST_USELESS:,} lines in a row hold no JSON object"
    return ValueError(f"{path}:{number}: {fault}; is it the right file? allowed is one object a line")


def decode_utf8(data: bytes, path: Path | str, start: int) -> str:
    """Return the text of a file's bytes; `start` is where in the file they stand."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = start + error.start
        raise ValueError(f"{path}: not UTF-8 (byte {place}); convert it, for example with iconv -t UTF-8") from None
