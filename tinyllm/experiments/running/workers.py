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
from typing import Protocol

from filelock import lock_descriptor

from tinyllm.experiments.dvc_experiments import command, git
from tinyllm.experiments.grid import Cell
from tinyllm.experiments.results.found import find_all
from tinyllm.experiments.running.gpus import Deck, environment_of
from tinyllm.experiments.running.processes import POLL, interruptible, last_words, stop
from tinyllm.project import cache_path
from tinyllm.records.files import close_to_others, make_private

FOLDER = Path(".cache/sweep")  # a clone and a log a cell
AHEAD = (sys.executable, "-m", "tinyllm.experiments.running.ahead")
FETCH = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head")


@dataclass(frozen=True)
class Share:
    """What an experiment gets of the machine."""

    stages: int = 1  # beside each other: its teachers and seeds
    gpus: tuple[str, ...] = ()  # one a stage; none leaves all as they are

    def command(self, cell: Cell) -> list[str]:
        """Return the call that runs a cell with so many stages at once."""
        return command(cell) if self.stages == 1 else [*AHEAD, str(self.stages), *command(cell)[1:]]


@dataclass(frozen=True)
class Ended:
    """An experiment that has ended, or that did not start."""

    cell: Cell
    seconds: float
    fault: str | None  # in one line; None is a result


WHOLE = Share()


class FinishedElsewhere(Exception):
    """Another sweep has brought the experiment to its end since this one looked."""


class Running(Protocol):
    """An experiment that runs somewhere."""

    cell: Cell
    share: Share

    def ended(self) -> Ended | None:
        """Return how it ended, its result fetched, or None while it runs."""
        ...


class Starter(Protocol):
    """Where experiments run."""

    widest: int  # stages that one experiment can have beside each other

    def start(self, cell: Cell, again: bool, share: Share) -> Running:
        """Start one; see `Worker` for what it raises."""
        ...

    def stop(self, running: Sequence[Running]) -> None:
        """End what runs."""
        ...


def claim(cell: Cell, again: bool) -> int:
    """Return the log of an experiment, open, empty and locked until it is closed, orphans' copies of it too.

    Raises:
        BlockingIOError: it runs already, started elsewhere.
        FinishedElsewhere: it has a result by now, and is not to run again.
    """
    make_private(FOLDER)
    close_to_others(FOLDER)
    log = os.open(log_of(cell), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    close_to_others(log_of(cell))
    try:
        if not lock_descriptor(log, blocking=False):
            raise BlockingIOError
        if not again and find_all([cell], Path())[0]:
            raise FinishedElsewhere
        os.truncate(log, 0)
    except BaseException:
        os.close(log)
        raise
    return log


def fetch(source: Path, cell: Cell, commit: str, again: bool) -> str | None:
    """Fetch an experiment from a clone or a bundle; return why that cannot be done, or None.

    Args:
        again: whether it takes the place of an older one
    """
    reference = f"refs/exps/{commit[:2]}/{commit[2:]}/{cell.name}"
    try:
        git(*FETCH, str(source), f"{'+' if again else ''}{reference}:{reference}")
    except ValueError as error:
        return str(error)
    return None


class Worker:
    """One running experiment, in a clone on this machine."""

    def __init__(self, cell: Cell, commit: str, again: bool = False, share: Share = WHOLE) -> None:
        """Start it.

        Args:
            again: although it has a result, which the new one replaces
            share: what it gets of the machine

        Raises:
            BlockingIOError: it runs already, started elsewhere.
            FinishedElsewhere: it has a result by now.
        """
        self.cell, self.commit, self.start, self.again, self.share = cell, commit, time.monotonic(), again, share
        self.folder = (FOLDER / cell.name).absolute()
        self.log = claim(cell, again)
        try:
            self.process = self._start(_clone(commit, self.folder))
        except BaseException:
            os.close(self.log)
            raise

    def _start(self, project: Path) -> subprocess.Popen[bytes]:
        """Start the experiment in its clone."""
        environment = {
            **os.environ,
            **environment_of(self.share.gpus),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "DVC_SITE_CACHE_DIR": str(self.folder / ".cache/site"),
            "TINYLLM_CACHE": str(cache_path().parent.absolute()),
        }
        environment.pop("DVC_ROOT", None)
        return subprocess.Popen(
            self.share.command(self.cell),
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
        fault = fault_of(self.cell, self.process.returncode) or fetch(self.folder, self.cell, self.commit, self.again)
        self.forget()
        return Ended(self.cell, time.monotonic() - self.start, fault)

    def forget(self) -> None:
        """Delete its folder, and only then let another sweep run the same."""
        shutil.rmtree(self.folder, ignore_errors=True)  # something may still be writing as it dies
        os.close(self.log)


class Clones:
    """Experiments of a commit, in clones on this machine."""

    def __init__(self, commit: str) -> None:
        self.commit, self.widest = commit, sys.maxsize

    def start(self, cell: Cell, again: bool, share: Share) -> Worker:
        return Worker(cell, self.commit, again, share)

    def stop(self, running: Sequence[Running]) -> None:
        """End what runs; the folders go too."""
        workers = [worker for worker in running if isinstance(worker, Worker)]
        stop([worker.process for worker in workers])
        for worker in workers:
            worker.forget()


def run_all(
    cells: Sequence[Cell], starter: Starter, jobs: int, again: Collection[str] = (), gpus: Sequence[str] = ()
) -> Generator[Cell | Ended]:
    """Run the cells, so many at once; yield each as it starts and how it ended. Left early, all that runs is stopped.

    Where there are fewer cells than `jobs`, each runs some of its own stages at once: its teachers and seeds.

    Two cells that ask one live teacher the same do not run at once until one of them has asked it: else both would pay.

    Args:
        starter: runs them
        again: the digests of cells that run although they have a result
        gpus: dealt out, one a job

    Raises:
        ValueError: the system has no groups of processes, by which all that a cell starts is stopped.
    """
    if sys.platform == "win32":
        raise ValueError(
            "tinyllm sweep --run: Windows has no groups of processes; run it in WSL, or each with dvc exp run"
        )
    waiting, deck = list(cells), Deck(gpus)
    running: list[Running] = []
    asked: set[str] = set()
    with interruptible():
        try:
            while waiting or running:
                for worker in list(running):
                    if ended := worker.ended():
                        running.remove(worker)
                        deck.take_back(worker.share.gpus)
                        asked |= asks(worker.cell) if ended.fault is None else set()
                        yield ended
                busy = set().union(*(asks(worker.cell) - asked for worker in running))
                cell = next((cell for cell in waiting if not asks(cell) & busy), None)
                free = jobs - sum(worker.share.stages for worker in running)
                if cell is None or free < 1:
                    time.sleep(POLL)
                    continue
                stages = max(1, min(free // len(waiting), len(cell.params.train.seeds), starter.widest))
                waiting.remove(cell)
                yield cell
                share = Share(stages, deck.deal(stages))
                try:
                    running.append(starter.start(cell, cell.digest in again, share))
                    continue
                except BlockingIOError:
                    yield Ended(cell, 0.0, "runs already, in another sweep or left over from one that was killed")
                except FinishedElsewhere:
                    yield Ended(cell, 0.0, None)
                deck.take_back(share.gpus)
        finally:
            starter.stop(running)


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


def asks(cell: Cell) -> set[str]:
    """What the cell asks of teachers that take time or money."""
    params = cell.params
    settings = [part.model_dump(mode="json") for part in (params.data, params.prompt)]
    teachers = [params.teachers[name] for name in params.corpus.teachers]
    live = [teacher for teacher in teachers if teacher.backend in ("local", "server")]
    return {json.dumps([teacher.model_dump(mode="json"), *settings]) for teacher in live}


def fault_of(cell: Cell, status: int) -> str | None:
    """Why it failed: the last line that is not DVC's own talk, if there is one."""
    if status == 0:
        return None
    lines = log_of(cell).read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    return last_words(lines) or f"exit status {status}"
