"""What tests of processes share: how they hear Ctrl-C, and stages in processes of their own that cost no import of torch."""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import signal
import sys
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WARM: ForkServerContext = multiprocessing.get_context("forkserver")
COLD: SpawnContext = multiprocessing.get_context("spawn")
# One process imports these, once a test run; every warm process is a fork of it. To import them takes seconds.
PRELOADED = [
    "tinyllm.training",
    "tinyllm.student",
    "tinyllm.teachers.local.model",
    "transformers.models.t5.modeling_t5",
    "transformers.models.llama.modeling_llama",
]
WARM.set_forkserver_preload(PRELOADED)


def hear_interrupts() -> None:
    """A shell's background jobs, and all that they start, would ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Order:
    """What a process is to run: `python -m stages.COMMAND` in a folder.

    Args:
        output: the file that gets what is printed, errors too
        environment: variables that are set besides those of this process
        largest_file: bytes beyond which no file of the process may grow; None is no limit
    """

    command: str
    folder: Path
    output: Path
    environment: dict[str, str] = field(default_factory=dict)
    largest_file: int | None = None


def start_stage(order: Order, warm: bool = True) -> BaseProcess:
    """Start a stage in a process of its own, which can be killed like any other.

    Args:
        warm: whether it has torch imported already; all warm ones share a hash seed, cold ones have one of their own each
    """
    process = (WARM if warm else COLD).Process(target=_run, args=(order,))
    process.start()
    return process


def _run(order: Order) -> None:
    stage, *arguments = order.command.split()
    os.chdir(order.folder)
    os.environ["PYTHONPATH"] = str(ROOT)  # torchrun's processes look for the stages, which no environment has
    os.environ.update(order.environment)
    printed = os.open(order.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(printed, standard)
    if order.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.largest_file, order.largest_file))
    sys.argv = [f"{stage}.py", *arguments]
    runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
