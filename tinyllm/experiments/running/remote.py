"""Experiments on a Ray cluster: each is a task, which Ray starts again on another node where one dies."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyllm.cluster.connect import connect
from tinyllm.cluster.experiment import Order, Outcome, run_experiment
from tinyllm.experiments.dvc_experiments import git
from tinyllm.experiments.grid import Cell
from tinyllm.experiments.running.workers import Ended, Running, Share, asks, claim, fault_of, fetch, log_of
from tinyllm.experiments.runs import PREDICTIONS, QUESTIONS, add_to_cache
from tinyllm.project import cache_path

RETRIES = 3  # of a task whose node died
READ_LATER = (QUESTIONS, PREDICTIONS)  # by whoever compares; all else stays in the node's cache


class RemoteExperiment:
    """One experiment on a node, or waiting for one."""

    def __init__(self, cell: Cell, cluster: Cluster, again: bool, share: Share) -> None:
        self.cell, self.cluster, self.again, self.share = cell, cluster, again, share
        self.start = time.monotonic()
        self.log = claim(cell, again)
        try:
            order = Order(
                cluster.commit,
                git("rev-parse", "--show-prefix").rstrip("\n"),
                share.command(cell)[1:],  # a node has a Python of its own
                f"refs/exps/{cluster.commit[:2]}/{cluster.commit[2:]}/{cell.name}",
                _exported() if asks(cell) else b"",
                READ_LATER,
            )
            self.task = cluster.submit(order, share)
        except BaseException:
            os.close(self.log)
            raise

    def ended(self) -> Ended | None:
        """Return how it ended, its result fetched, or None while it runs."""
        done, _ = self.cluster.ray.wait([self.task], timeout=0)
        if not done:
            return None
        try:
            outcome: Outcome = self.cluster.ray.get(self.task)
        except Exception as error:  # of ray, or what the task raised
            self.forget()
            return Ended(self.cell, time.monotonic() - self.start, " ".join(str(error).split())[-300:])
        log_of(self.cell).write_bytes(outcome.log)
        fault = fault_of(self.cell, outcome.status) or self._take(outcome)
        self.forget()
        return Ended(self.cell, time.monotonic() - self.start, fault)

    def _take(self, outcome: Outcome) -> str | None:
        """Keep what came back; return why that cannot be done, or None."""
        with tempfile.TemporaryDirectory() as name:
            bundle, answers = Path(name) / "result.bundle", Path(name) / "answers.jsonl"
            bundle.write_bytes(outcome.result)
            if outcome.answers:
                answers.write_bytes(outcome.answers)
                _cache("import", answers)
            add_to_cache(outcome.files)
            return fetch(bundle, self.cell, self.cluster.commit, self.again)

    def forget(self) -> None:
        """Let another sweep run the same."""
        os.close(self.log)


class Cluster:
    """Runs experiments of a commit on a cluster.

    Args:
        gpu: whether each needs one

    Raises:
        ValueError: there is no such cluster, or it has no GPU.
    """

    def __init__(self, address: str, commit: str, threads: int, gpu: bool) -> None:
        self.commit, self.ray = commit, connect(address, "--cluster")
        resources = self.ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        on_gpu = gpu and gpus > 0
        self.jobs = max(1, gpus if on_gpu else cpus // threads)  # stages that train at once
        self.needs = {"num_cpus": threads, "num_gpus": int(on_gpu)}  # of a stage
        self.widest = max(
            [1, *(_fit(node["Resources"], threads, on_gpu) for node in self.ray.nodes() if node["Alive"])]
        )
        self.run = self.ray.remote(run_experiment)
        self.bundle = self.ray.put(_bundle(commit))

    def submit(self, order: Order, share: Share) -> Any:
        """Hand an experiment to the cluster; return what stands for its outcome."""
        needs = {name: amount * share.stages for name, amount in self.needs.items()}
        run = self.run.options(scheduling_strategy="SPREAD", max_retries=RETRIES, **needs)
        return run.remote(order, self.bundle)

    def start(self, cell: Cell, again: bool, share: Share) -> RemoteExperiment:
        """Start one; a node deals out its own GPUs."""
        return RemoteExperiment(cell, self, again, share)

    def stop(self, running: Sequence[Running]) -> None:
        for one in running:
            if isinstance(one, RemoteExperiment):
                self.ray.cancel(one.task)
                one.forget()


def _fit(resources: Mapping[str, float], threads: int, on_gpu: bool) -> int:
    """Return how many stages a node can run at once."""
    by_cores = int(resources.get("CPU", 0)) // threads
    return min(by_cores, int(resources.get("GPU", 0))) if on_gpu else by_cores


def _bundle(commit: str) -> bytes:
    """Return git's bundle of a commit and all that is behind it."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "project.bundle"
        if git("rev-parse", "HEAD").strip() != commit:
            raise ValueError(f"HEAD is no longer {commit[:7]}; run the sweep again")
        git("bundle", "create", "--quiet", str(path), "HEAD")
        return path.read_bytes()


def _exported() -> bytes:
    """Return the answers of all teachers that are in the cache here; a line break where there is none."""
    if not cache_path().is_file():
        return b"\n"
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "answers.jsonl"
        _cache("export", path)
        return path.read_bytes() or b"\n"


def _cache(action: str, path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tinyllm", "cache", action, str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ValueError(f"tinyllm cache {action}: {' '.join(done.stderr.split())}")
