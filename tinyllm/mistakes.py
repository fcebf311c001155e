"""How a command ends that cannot go on: a mistake in one line; a bug keeps its traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def told_in_one_line(stopped: str = "") -> Iterator[None]:
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
