"""The pipeline's stages, one plain script each: `python -m stages.<name>`. What they share is how they start and fail."""

from __future__ import annotations

import argparse
import atexit
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from tinyllm.console import guard_terminal, report_errors
from tinyllm.project import check_writable
from tinyllm.provenance import running


def run(main: Callable[..., None], doc: str | None, argument: str | None = None) -> None:
    """Call `main` with its StageRun, and the command line's one argument where the stage takes one.

    A mistake ends in one line, and so does a params.yaml, or a file, that has changed by the end. What a run like this one has
    made, and could not record for that reason, is put back in place of a call.
    """
    guard_terminal()
    name = Path(main.__code__.co_filename).stem
    with report_errors("stopped; the same command goes on: stages, answers and checkpoints so far are kept"):
        parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        if argument:
            parser.add_argument(argument)
        arguments = list(vars(parser.parse_args()).values())
        check_writable()
        with running(name, next(iter(arguments), None)) as stage:
            if stage.restore():
                print(f"{stage.name}: what an earlier run made with these params, and could not record, is put back")
            else:
                main(stage, *arguments)
        sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
    if ("-m", f"stages.{name}") in pairwise(sys.orig_argv) and "RANK" not in os.environ:
        _leave()


def _leave() -> NoReturn:
    """End the process at once: to take torch apart takes seconds, in which params.yaml could still change unseen."""
    atexit._run_exitfuncs()
    with suppress(OSError):  # of a closed pipe
        sys.stderr.flush()
    os._exit(0)
