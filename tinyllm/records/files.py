"""Write a file whole or not at all, private where others should not read it; a pipe, a device or a link stays what it is."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

MOST_LINKS = 40  # from one to the next, as the system itself allows
OTHERS = 0o077  # what group and others may do
STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
OPEN_FILE = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,9})")  # a file that this process has open, by its number


@contextmanager
def atomic_write(path: Path | str, private: bool = False) -> Iterator[TextIO]:
    """Yield a text file that takes the place of `path` once the block ends without an error; else nothing changes.

    Of a link, the file that it leads to is replaced. What is no regular file, such as a pipe or /dev/stdout, is written
    straight.

    Args:
        private: whether its owner alone may read it

    Raises:
        OSError: it cannot be written, such as on a full disk; it names `path`.
        ValueError: a link leads to a file that is write-protected.
    """
    path = Path(path)
    place = _behind_links(path)
    if writes_straight(place):
        with _straight(place, path) as file:
            yield file
        return
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(place.name + ".partial")
    try:
        if private:
            partial.unlink(missing_ok=True)  # an old one keeps its own permissions
        with open(partial, "w", encoding="utf-8", newline="\n", opener=_private if private else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a rename must not become durable before the bytes it names
        os.replace(partial, place)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk's error does not say where
        raise


def writes_straight(path: Path) -> bool:
    """Return whether `atomic_write` writes into what is there: a pipe, a device, or a file that this process has open."""
    place = _behind_links(path)
    return _open_number(place) is not None or (place.exists() and not place.is_file() and not place.is_dir())


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone; what is there already stays as it is."""
    if not folder.is_dir():
        if folder.parent != folder:
            make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def close_to_others(path: Path) -> None:
    """Take from everybody else what they may do with a file or folder of ours; another owner's stays as it is."""
    with suppress(OSError):  # it is not there, or its file system has no permissions
        state = path.stat()
        if sys.platform == "win32":
            return  # permissions are of another kind there, and a user's own folder is closed to others
        if state.st_uid == os.geteuid() and state.st_mode & OTHERS:
            path.chmod(stat.S_IMODE(state.st_mode) & ~OTHERS)


@contextmanager
def _straight(place: Path, path: Path) -> Iterator[TextIO]:
    number = _open_number(place)
    try:
        target = place if number is None else os.dup(number)  # it goes on where the other stands
        with open(target, "w", encoding="utf-8", newline="\n") as file:
            yield file
    except OSError as error:
        if error.filename is None and not (isinstance(error, BrokenPipeError) and number == 1):  # such as `| head`
            error.filename = str(path)
        raise


def _behind_links(path: Path) -> Path:
    """Return where a link leads to, be there a file or none.

    Raises:
        OSError: the links go round in a circle.
        ValueError: it leads to a write-protected file.
    """
    place = path
    for _ in range(MOST_LINKS):
        if _open_number(place) is not None:
            return place
        if not place.is_symlink():
            _refuse_protected(path, place)
            return place
        place = place.parent / os.readlink(place)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _refuse_protected(path: Path, place: Path) -> None:
    if path != place and place.is_file() and not place.stat().st_mode & 0o222:
        fault = f"is a link to {place}, which is write-protected, as files of DVC's cache are"
        raise ValueError(f"{path}: {fault}; delete the link and run again")


def _open_number(path: Path) -> int | None:
    """Return the number of the open file that a path such as /dev/stdout stands for."""
    name = os.path.abspath(path)
    if name in STANDARD:
        return STANDARD[name]
    matching = OPEN_FILE.fullmatch(name)
    return int(matching[1]) if matching else None


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
