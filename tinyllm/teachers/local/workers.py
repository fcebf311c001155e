"""Who computes for a local teacher: this process, or several others, each with a copy of the model and one task at a time."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from tinyllm.teachers.local.model import Recipe, TeacherModel

PRELOADED = ["tinyllm.teachers.local.model"]


class Workers(Protocol):
    """Run methods of a `TeacherModel`, as many at once as they can."""

    @property
    def count(self) -> int:
        """Tasks at once."""
        ...

    def send(self, method: str, *arguments: object) -> int:
        """Begin a task, of which there are fewer than `count` under way; return its ticket."""
        ...

    def receive(self) -> tuple[int, Any]:
        """Wait for a task to end; return its ticket and what the method returned.

        Raises:
            ValueError: what it raised, or whoever had it was killed.
        """
        ...

    def drop(self) -> None:
        """Give up what is under way."""
        ...


class Here:
    """This process: a task runs where it is waited for."""

    count = 1

    def __init__(self, model: TeacherModel) -> None:
        self.model = model
        self.tickets = itertools.count()
        self.waiting: deque[tuple[int, str, Sequence[object]]] = deque()

    def send(self, method: str, *arguments: object) -> int:
        ticket = next(self.tickets)
        self.waiting.append((ticket, method, arguments))
        return ticket

    def receive(self) -> tuple[int, Any]:
        ticket, method, arguments = self.waiting.popleft()
        return ticket, getattr(self.model, method)(*arguments)

    def drop(self) -> None:
        self.waiting.clear()


class Host:
    """A model in a process of its own."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.model: TeacherModel | None = None

    def run(self, method: str, arguments: Sequence[object]) -> object:
        """Return what the method returns, or what it raises: the sender is to say it."""
        try:
            self.model = self.model or self.recipe.make()
            return getattr(self.model, method)(*arguments)
        except Exception as error:
            return error


class Processes:
    """Processes that start with the first task and end with this one. On GPUs each has its own, dealt out in turn."""

    def __init__(self, recipe: Recipe, count: int) -> None:
        self.recipe, self.count = recipe, count
        self.tickets = itertools.count()
        self.idle: list[Connection] = []
        self.busy: dict[Connection, int] = {}  # with the ticket of its task
        self.processes: list[BaseProcess] = []

    def send(self, method: str, *arguments: object) -> int:
        if not self.processes:
            self._start()
        worker, ticket = self.idle.pop(0), next(self.tickets)
        self.busy[worker] = ticket
        worker.send((method, arguments))
        return ticket

    def receive(self) -> tuple[int, Any]:
        worker = next(one for one in wait(list(self.busy)) if isinstance(one, Connection))
        ticket = self.busy.pop(worker)
        try:
            result = worker.recv()
        except (EOFError, OSError):
            raise ValueError(
                "local: a process of the teacher was killed, as happens where memory is short; lower runtime.processes "
                "or runtime.batch_tokens, and run again: no answer is lost"
            ) from None
        self.idle.append(worker)
        if isinstance(result, Exception):
            raise result
        return ticket, result

    def drop(self) -> None:
        """End the processes; further tasks start others."""
        for process in self.processes:
            process.kill()
        for worker in [*self.idle, *self.busy]:
            worker.close()
        self.processes, self.idle, self.busy = [], [], {}

    def _start(self) -> None:
        server = multiprocessing.get_context(
            "forkserver"
        )  # it imports torch once; this process's threads survive no fork
        server.set_forkserver_preload(PRELOADED)
        for number in range(self.count):
            mine, its = server.Pipe()
            process = server.Process(target=_work, args=(self.recipe, number, self.count, its), daemon=True)
            process.start()
            its.close()  # so that the pipe ends with the process
            self.processes.append(process)
            self.idle.append(mine)


def _work(recipe: Recipe, number: int, count: int, tasks: Connection) -> None:
    """Run one task after another until the process that sends them has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the sender's, which waits for what is under way
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    if recipe.device == "cuda":
        torch.cuda.set_device(number % torch.cuda.device_count())
    host = Host(recipe)
    while True:
        try:
            method, arguments = tasks.recv()
        except EOFError:
            return
        with suppress(BrokenPipeError):  # nobody waits for it any more
            tasks.send(host.run(method, arguments))
