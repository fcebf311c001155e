"""Files as they are at one moment, to tell later whether one has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

IGNORED = ("__pycache__", ".gitignore")  # written by others; .dvcignore has them too


@dataclass(frozen=True)
class Seen:
    """A file's state: where the first part is the same, so is the file."""

    state: tuple[int, int, int]  # size, time of its last change in nanoseconds, number on the disk
    sha256: str


def take_snapshot(names: Iterable[str]) -> dict[str, Seen]:
    """Return the state of every file of this name or below it; a name that is not there has none."""
    return {str(path): Seen(_state(path), _sha256(path)) for path in files_below(names)}


def changed_files(before: Mapping[str, Seen], names: Iterable[str]) -> list[str]:
    """Return the files that are new, gone, or have another content than before, by name."""
    now = {str(path): path for path in files_below(names)}
    other = [name for name, path in now.items() if name in before and _differs(path, before[name])]
    return sorted({*other, *(before.keys() ^ now.keys())})


def files_below(names: Iterable[str]) -> Iterator[Path]:
    """Yield every file of these names and below them, in a fixed order; what others write there is left out."""
    for name in dict.fromkeys(names):
        if Path(name).is_file():
            yield Path(name)
        for folder, folders, files in os.walk(name):
            folders[:] = sorted(set(folders).difference(IGNORED))
            yield from (Path(folder, file) for file in sorted(files) if file not in IGNORED)


def _differs(path: Path, seen: Seen) -> bool:
    try:
        return _state(path) != seen.state and _sha256(path) != seen.sha256
    except FileNotFoundError:  # since it was listed
        return True


def _state(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
