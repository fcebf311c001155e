"""One experiment with stages beside each other: they run first, and `dvc exp run` then finds all of them done.

`python -m tinyllm.experiments.running.ahead N -m dvc exp run ...` is that `dvc exp run`, in a clone of its own, with up to N
stages at once: its teachers and seeds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import pairwise

from tinyllm.experiments.running.gpus import gpu_names
from tinyllm.experiments.running.repro import StagesFailed, read_plan, run_plan


def run_ahead(stages: int, command: Sequence[str]) -> None:
    """Set what the command sets, and run the stages that its last argument needs.

    Args:
        stages: at once
        command: of `dvc exp run`, without Python

    Raises:
        StagesFailed: some did.
    """
    from dvc.utils.cli_parse import to_path_overrides  # slow to import
    from dvc.utils.hydra import apply_overrides

    changes = [change for flag, change in pairwise(command) if flag == "-S"]
    for path, overrides in to_path_overrides(changes).items():
        apply_overrides(path, overrides)
    run_plan(read_plan([command[-1]], force=False), stages, False, gpu_names())


def main(arguments: Sequence[str]) -> None:
    """Run the stages, then the command in this process's place; where a stage fails, say its last words and end."""
    stages, *command = arguments
    try:
        run_ahead(int(stages), command)
    except StagesFailed as failed:
        sys.exit(failed.words)
    os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    main(sys.argv[1:])
