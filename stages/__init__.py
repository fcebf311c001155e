"""The pipeline's stages, one plain script each: `python -m stages.<name>`. What they share is how they start and fail."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tinyllm.console import report_errors


def run(main: Callable[..., None], doc: str | None, argument: str | None = None) -> None:
    """Call `main`, with the command line's one argument where the stage takes one; a mistake ends in one line."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if argument:
        parser.add_argument(argument)
    arguments = vars(parser.parse_args())
    with report_errors("stopped; the same command goes on: stages, answers and checkpoints so far are kept"):
        main(*arguments.values())
