"""Run experiments beside each other, each in a clone of its own: none touches the working folder or waits for another's lock.

A clone is of one commit, has this project's cache of DVC and of answers, and is deleted at the end. Its experiment is fetched
once it is whole, so that an interrupted one leaves nothing but the stages it finished, in DVC's run cache.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import lock_descriptor

from tinyllm.experiments.dvc_experiments import command, git
from tinyllm.experiments.grid import Cell
from tinyllm.experiments.results.found import find_all
from tinyllm.experiments.running.gpus import Deck, environment_of
from tinyllm.experiments.running.processes import POLL, interruptible, stop
from tinyllm.project import cache_path
from tinyllm.records.files import close_to_others, make_private

FOLDER = Path(".cache/sweep")  # a clone and a log a cell
FETCH = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head")


@dataclass(frozen=True)
class Ended:
    """An experiment that has ended, or that did not start."""

    cell: Cell
    seconds: float
    fault: str | None  # in one line; None is a result


class FinishedElsewhere(Exception):
    """Another sweep has brought the experiment to its end since this one looked."""


class Worker:
    """One running experiment."""

    def __init__(self, cell: Cell, commit: str, again: bool = False, gpu: str | None = None) -> None:
        """Start it.

        Args:
            again: although it has a result, which the new one replaces
            gpu: the one that it sees; None leaves all as they are

        Raises:
            BlockingIOError: it runs already, started elsewhere.
            FinishedElsewhere: it has a result by now.
        """
        self.cell, self.commit, self.start, self.again, self.gpu = cell, commit, time.monotonic(), again, gpu
        self.folder = (FOLDER / cell.name).absolute()
        make_private(FOLDER)
        close_to_others(FOLDER)
        self.log = os.open(log_of(cell), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        close_to_others(log_of(cell))
        try:
            # held until the folder is gone and the last process that writes the log has ended, orphans too
            if not lock_descriptor(self.log, blocking=False):
                raise BlockingIOError
            if not again and find_all([cell], Path())[0]:
                raise FinishedElsewhere
            os.truncate(self.log, 0)
            self.process = self._start(_clone(commit, self.folder))
        except BaseException:
            os.close(self.log)
            raise

    def _start(self, project: Path) -> subprocess.Popen[bytes]:
        """Start the experiment in its clone."""
        environment = {
            **os.environ,
            **environment_of(self.gpu),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "DVC_SITE_CACHE_DIR": str(self.folder / ".cache/site"),
            "TINYLLM_CACHE": str(cache_path().parent.absolute()),
        }
        environment.pop("DVC_ROOT", None)
        return subprocess.Popen(
            command(self.cell),
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            process_group=0,
        )

    def ended(self) -> Ended | None:
        """Return how it ended, its result fetched and its folder gone, or None while it runs."""
        if self.process.poll() is None:
            return None
        fault = _fault(self.cell, self.process.returncode)
        if fault is None:
            reference = f"refs/exps/{self.commit[:2]}/{self.commit[2:]}/{self.cell.name}"
            try:
                git(*FETCH, str(self.folder), f"{'+' if self.again else ''}{reference}:{reference}")
            except ValueError as error:
                fault = str(error)
        self.forget()
        return Ended(self.cell, time.monotonic() - self.start, fault)

    def forget(self) -> None:
        """Delete its folder, and only then let another sweep run the same."""
        shutil.rmtree(self.folder, ignore_errors=True)  # something may still be writing as it dies
        os.close(self.log)


def run_all(
    cells: Sequence[Cell], commit: str, jobs: int, again: Collection[str] = (), gpus: Sequence[str] = ()
) -> Generator[Cell | Ended]:
    """Run the cells, so many at once; yield each as it starts and how it ended. Left early, all that runs is stopped.

    Two cells that ask one live teacher the same do not run at once until one of them has asked it: else both would pay.

    Args:
        again: the digests of cells that run although they have a result
        gpus: dealt out, one a cell

    Raises:
        ValueError: the system has no groups of processes, by which all that a cell starts is stopped.
    """
    if sys.platform == "win32":
        raise ValueError(
            "tinyllm sweep --run: Windows has no groups of processes; run it in WSL, or each with dvc exp run"
        )
    waiting, deck = list(cells), Deck(gpus)
    running: list[Worker] = []
    asked: set[str] = set()
    with interruptible():
        try:
            while waiting or running:
                for worker in list(running):
                    if ended := worker.ended():
                        running.remove(worker)
                        deck.take_back(worker.gpu)
                        asked |= _asks(worker.cell) if ended.fault is None else set()
                        yield ended
                busy = set().union(*(_asks(worker.cell) - asked for worker in running))
                cell = next((cell for cell in waiting if not _asks(cell) & busy), None)
                if cell is None or len(running) >= jobs:
                    time.sleep(POLL)
                    continue
                waiting.remove(cell)
                yield cell
                gpu = deck.deal()
                try:
                    running.append(Worker(cell, commit, cell.digest in again, gpu))
                    continue
                except BlockingIOError:
                    yield Ended(cell, 0.0, "runs already, in another sweep or left over from one that was killed")
                except FinishedElsewhere:
                    yield Ended(cell, 0.0, None)
                deck.take_back(gpu)
        finally:
            _stop(running)


def log_of(cell: Cell) -> Path:
    """Where all that a cell's experiment printed is kept."""
    return FOLDER / f"{cell.name}.log"


def _clone(commit: str, folder: Path) -> Path:
    """Make a clone of a commit that has this project's DVC cache; return where in it the project is."""
    from dvc.config import Config  # slow to import
    from dvc.repo import Repo

    with Repo() as repo:
        cache = repo.cache.local_cache_dir
    if folder.exists():
        shutil.rmtree(folder)  # of one that was killed
    git("clone", "--quiet", "--shared", "--no-checkout", git("rev-parse", "--show-toplevel").rstrip("\n"), str(folder))
    git("checkout", "--quiet", "--detach", commit, folder=folder)
    project = folder / git("rev-parse", "--show-prefix").rstrip("\n")
    local = Path(".dvc/config.local")
    if local.is_file():
        shutil.copy(local, project / local)
    with Config(str(project / ".dvc"), validate=False).edit("local") as config:
        config.setdefault("cache", {})["dir"] = cache
    return project


def _asks(cell: Cell) -> set[str]:
    """What the cell asks of teachers that take time or money."""
    params = cell.params
    settings = [part.model_dump(mode="json") for part in (params.data, params.prompt)]
    teachers = [params.teachers[name] for name in params.corpus.teachers]
    live = [teacher for teacher in teachers if teacher.backend in ("local", "server")]
    return {json.dumps([teacher.model_dump(mode="json"), *settings]) for teacher in live}


def _fault(cell: Cell, status: int) -> str | None:
    """Why it failed: the last line that is not DVC's own talk, if there is one."""
    if status == 0:
        return None
    lines = log_of(cell).read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    printed = [line.strip() for line in lines if line.strip()]
    own_lines = [
        line for line in printed if not line.startswith(("ERROR: failed to reproduce", "WARNING", ">", "Running stage"))
    ]
    return next(reversed(own_lines or printed), f"exit status {status}")


def _stop(workers: Sequence[Worker]) -> None:
    """End what runs; the folders go too."""
    stop([worker.process for worker in workers])
    for worker in workers:
        worker.forget()
