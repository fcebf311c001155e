"""`tinyllm repro -j N`: `dvc repro`, with stages that do not wait for each other running beside each other."""

from __future__ import annotations

import argparse
import os
import sys

from tinyllm.cli.experiments.sweep import count
from tinyllm.cli.parsers import Commands
from tinyllm.experiments.running.gpus import gpu_names
from tinyllm.experiments.running.repro import read_plan, run_plan, tie_up


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "repro",
        help="run the pipeline as `dvc repro` does, teachers and seeds beside each other",
        description="Run what has changed, as `dvc repro` does, but teachers beside teachers and seeds beside seeds. Each "
        "stage is a `dvc repro` of its own, and one at the end ties up. Results and dvc.lock are those of a plain `dvc repro`.",
    )
    parser.add_argument("targets", nargs="*", metavar="STAGE", help="with what it depends on; none is all stages")
    parser.add_argument(
        "-j", "--jobs", type=count, metavar="N", help="stages at once (default: as many as there are cores)"
    )
    parser.add_argument("-f", "--force", action="store_true", help="run stages that have not changed, too")
    parser.add_argument("--gpus", metavar="LIST", help="GPUs to deal out, one a stage, such as 0,2 (default: all)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run what has changed.

    Raises:
        ValueError: the pipeline cannot be read, or stages failed.
    """
    gpus = gpu_names(arguments.gpus)
    plan = read_plan(arguments.targets, arguments.force)
    jobs = arguments.jobs or len(gpus) or os.cpu_count() or 1
    if len(plan.stale) > 1:
        run_plan(plan, jobs, arguments.force, gpus, _tell)
        tie_up(arguments.targets)
    else:
        tie_up(arguments.targets, arguments.force)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")  # whole lines, from several threads
    sys.stdout.flush()
