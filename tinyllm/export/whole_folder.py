"""A folder that is written whole or not at all, somewhere that no stage writes to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinyllm.console import in_short
from tinyllm.project import OUTPUTS


def check_free(folder: Path) -> None:
    """Refuse a folder that is in use.

    Raises:
        ValueError: a stage writes there, or something is there already.
    """
    for place in OUTPUTS:
        if folder.resolve().is_relative_to(place.resolve()):
            raise ValueError(
                f"{folder}: lies in {place}, which a stage of the pipeline writes; name a folder elsewhere"
            )
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f"{folder}: is there already; name a folder that is empty or not there")


@contextmanager
def writing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `folder` once the block ends without an error.

    Raises:
        ValueError: it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as work:
            whole = Path(work) / "whole"
            whole.mkdir()
            yield whole
            whole.replace(folder)
    except OSError as error:
        told = error.strerror or in_short(error)  # Arrow's errors have no such field
        raise ValueError(f"{folder}: cannot be written ({told}); nothing was exported") from None
