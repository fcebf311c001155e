"""The pipeline's stages, one plain script each: `python -m stages.<name>`. What they share is how they start and fail."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable


def run(main: Callable[..., None], doc: str | None, argument: str | None = None) -> None:
    """Call `main`, with the command line's one argument where the stage takes one.

    A mistake of the user's (ValueError) or of the machine's (OSError: disk full, no permission) ends in its message and
    exit status 1; TINYLLM_TRACEBACK=1 shows where it was raised. Anything else is a bug and keeps its traceback.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if argument:
        parser.add_argument(argument)
    given = vars(parser.parse_args())
    try:
        main(*given.values())
    except (ValueError, OSError) as error:
        if os.environ.get("TINYLLM_TRACEBACK"):
            raise
        sys.exit(f"error: {_sentence(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


def _sentence(error: ValueError | OSError) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
