"""A local teacher on a Ray cluster: a copy of the model on every GPU or, without GPUs, so many on every node.

Answers come back to the process that asks, which alone keeps them. What a node that dies had under way goes to another one.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from tinyllm.cluster.connect import connect
from tinyllm.teachers.local.model import Recipe
from tinyllm.teachers.local.workers import Host

Task = tuple[int, str, Sequence[object]]  # ticket, method, arguments


class ClusterHost(Host):
    """A model on a node of the cluster."""

    def __init__(self, recipe: Recipe, threads: int) -> None:
        super().__init__(recipe)
        if threads:
            torch.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        """Return the versions there that an answer depends on."""
        return versions()


class ClusterWorkers:
    """Actors of Ray, each with one task at a time. They start with the first task and end with this process.

    Args:
        address: `local`, or that of a cluster
        processes: copies on a node without GPUs
    """

    def __init__(self, recipe: Recipe, address: str, processes: int) -> None:
        self.recipe, self.address, self.processes = recipe, address, processes
        self.tickets = itertools.count()
        self.actors: list[Any] = []
        self.idle: list[Any] = []
        self.running: dict[Any, tuple[Any, Task]] = {}  # by what Ray gives for it
        self.again: deque[Task] = deque()  # those that wait for an actor, as of nodes that died

    @property
    def count(self) -> int:
        """Tasks at once: fewer where a node has died.

        Raises:
            ValueError: there is no such cluster, or its libraries are others.
        """
        if not self.actors:
            self._start()
        return len(self.actors)

    def send(self, method: str, *arguments: object) -> int:
        ticket = next(self.tickets)
        if self.idle:
            self._run(self.idle.pop(0), (ticket, method, arguments))
        else:  # an actor has died since
            self.again.append((ticket, method, arguments))
        return ticket

    def receive(self) -> tuple[int, Any]:
        import ray
        from ray.exceptions import RayActorError

        while True:
            (done, *_), _ = ray.wait(list(self.running), num_returns=1)
            actor, task = self.running.pop(done)
            try:
                result = ray.get(done)
            except RayActorError:
                self.actors.remove(actor)
                self.again.append(task)
                if not self.actors:
                    self.drop()
                    raise ValueError(
                        f"runtime.cluster: the last process of the teacher at {self.address} was killed; run again: no "
                        "answer is lost"
                    ) from None
                while self.idle and self.again:
                    self._run(self.idle.pop(0), self.again.popleft())
                continue
            if self.again:
                self._run(actor, self.again.popleft())
            else:
                self.idle.append(actor)
            if isinstance(result, Exception):
                raise result
            return task[0], result

    def drop(self) -> None:
        import ray

        for actor in self.actors:
            ray.kill(actor)
        self.actors, self.idle, self.running = [], [], {}
        self.again.clear()

    def _run(self, actor: Any, task: Task) -> None:
        _, method, arguments = task
        self.running[actor.run.remote(method, arguments)] = actor, task

    def _start(self) -> None:
        ray = connect(self.address)
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for node in ray.nodes():
            resources = node["Resources"] if node["Alive"] else {}
            gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
            on_gpu = self.recipe.device == "cuda"
            share = cpus // self.processes
            copies = gpus if on_gpu else self.processes if share else cpus
            where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            options = {"num_gpus": 1, "num_cpus": 0} if on_gpu else {"num_cpus": max(1, share)}
            for _ in range(copies):
                host = ray.remote(ClusterHost).options(scheduling_strategy=where, **options)
                self.actors.append(host.remote(self.recipe, 0 if on_gpu else max(1, share)))
        if not self.actors:
            lacks = "GPU" if self.recipe.device == "cuda" else "processor"
            raise ValueError(f"runtime.cluster: no node of the cluster at {self.address} has a {lacks}")
        self.idle = list(self.actors)
        _check_versions(ray.get([actor.versions.remote() for actor in self.actors]))


def versions() -> dict[str, str]:
    """Return the versions that an answer depends on."""
    return {"torch": torch.__version__, "transformers": transformers.__version__}


def _check_versions(there: Sequence[dict[str, str]]) -> None:
    for name, here in versions().items():
        others = {one[name] for one in there} - {here}
        if others:
            raise ValueError(
                f"runtime.cluster: {name} is {here} here and {', '.join(sorted(others))} on the cluster; install the same"
            )
