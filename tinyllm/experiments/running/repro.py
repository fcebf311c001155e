"""Run the stages of a pipeline beside each other: one `dvc repro` a stage, and one at the end that ties up.

It is DVC's own way to run stages in parallel. DVC locks the project but while a stage's command runs, and writes dvc.lock
under the lock. So the outcome is that of a plain `dvc repro`, whatever ends first.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tinyllm.experiments.dvc_experiments import DVC
from tinyllm.experiments.running.gpus import Deck, environment_of
from tinyllm.experiments.running.processes import POLL, Process, interruptible, last_words, stop
from tinyllm.records.files import atomic_write

LOCK = Path("dvc.lock")
BUSY = ("Unable to acquire lock", " is busy")  # what DVC says where another of its processes was in the way for seconds
TRIES = 5
TRAINING = 10  # stages that one training takes as long as: what waits for one should not wait for an exam before
CHATTER = re.compile(  # what DVC says of every stage, and one ending says for all
    r"^(Updating lock file .*|Generating lock file .*|To track the changes with git, run:|\tgit add .*"
    r"|To enable auto staging, run:|\tdvc config core\.autostage true|Use `dvc push` to send .*|\s*)$"
)
Print = Callable[[str], None]


class StagesFailed(ValueError):
    """Stages of a run failed.

    Args:
        stages: their names
        words: the last ones of the first that failed
    """

    def __init__(self, stages: Sequence[str], words: str) -> None:
        super().__init__(f"{', '.join(stages)}: failed, see above; the next call goes on from what is finished")
        self.words = words


@dataclass(frozen=True)
class Plan:
    """The stages of a `dvc repro`, in its order, and what each waits for."""

    order: tuple[str, ...]
    needs: Mapping[str, frozenset[str]]  # those of the stages that it depends on directly
    stale: frozenset[str]  # stages that may have to run: what has changed, and what depends on it


@dataclass
class _Running:
    stage: str
    process: Process
    gpus: Sequence[str]
    reader: threading.Thread
    printed: list[str] = field(default_factory=list)


def read_plan(targets: Sequence[str], force: bool) -> Plan:
    """Return what `dvc repro TARGETS` would go through.

    Raises:
        ValueError: DVC cannot read the pipeline, or knows no such target.
    """
    from dvc.exceptions import DvcException  # slow to import
    from dvc.repo import Repo
    from dvc.repo.reproduce import plan_repro

    try:
        with Repo() as repo:
            graph = repo.index.graph
            chosen = [stage for target in targets for stage in repo.stage.collect(target)]
            stages = [stage.addressing for stage in plan_repro(graph, chosen or None)]
            needs = {
                stage.addressing: frozenset(need.addressing for need in graph.successors(stage)) for stage in graph
            }
            changed = set(stages) if force else set(repo.status(targets=stages))
    except DvcException as error:
        raise ValueError(f"dvc: {error}") from None
    stale = [stage for stage in stages if stage in changed]
    for stage in stages:  # what a stage needs comes before it
        if stage not in stale and needs[stage] & set(stale):
            stale.append(stage)
    within = {stage: needs[stage] & set(stages) for stage in stages}
    return Plan(tuple(stages), within, frozenset(stale))


def run_plan(plan: Plan, jobs: int, force: bool, gpus: Sequence[str] = (), tell: Print = print) -> None:
    """Run the stale stages, so many at once, each as soon as what it needs is done.

    Where a stage fails, no other starts, and those that run come to their end: nothing finished is lost. Left early, as by
    Ctrl-C, all that runs is stopped.

    Args:
        tell: given each line that a stage prints, with the stage's name before it

    Raises:
        StagesFailed: some did.
    """
    waiting = [stage for stage in plan.order if stage in plan.stale]
    before = _locked()
    running: list[_Running] = []
    failed: dict[str, str] = {}
    tries: dict[str, int] = {}
    deck = Deck(gpus)
    with interruptible():
        try:
            while running or waiting and not failed:
                for one in [one for one in running if one.process.poll() is not None]:
                    running.remove(one)
                    deck.take_back(one.gpus)
                    one.reader.join()
                    if one.process.returncode == 0:
                        continue
                    tries[one.stage] = tries.get(one.stage, 0) + 1
                    if tries[one.stage] < TRIES and any(busy in line for line in one.printed for busy in BUSY):
                        waiting.insert(0, one.stage)
                    else:
                        failed[one.stage] = last_words(one.printed) or f"exit status {one.process.returncode}"
                stage = _next(plan, waiting, running) if len(running) < jobs and not failed else None
                if stage is None:
                    time.sleep(POLL)
                    continue
                waiting.remove(stage)
                running.append(_start(stage, force, deck.deal(), tell))
        finally:
            stop([one.process for one in running])
    if failed:
        raise StagesFailed(list(failed), next(iter(failed.values())))
    _put_in_order(before, plan.order)


def tie_up(targets: Sequence[str], force: bool = False) -> None:
    """Let DVC go through the whole once more: it runs what it finds changed, and says what there is to commit.

    Raises:
        ValueError: it fails.
    """
    if subprocess.run([*DVC, "repro", *(["--force"] if force else []), *targets], stdin=subprocess.DEVNULL).returncode:
        raise ValueError("dvc repro: failed, see above")


def _next(plan: Plan, waiting: Sequence[str], running: Collection[_Running]) -> str | None:
    """Return a stage whose needs are done: of several the one with the most work behind it, of those DVC's first."""
    open_stages = {*waiting, *(one.stage for one in running)}
    ready = [stage for stage in waiting if not _behind(plan, stage) & open_stages]
    return max(ready, key=lambda stage: _work(plan, stage), default=None)


def _work(plan: Plan, stage: str) -> int:
    """Return the longest chain of stages from this one on, a training counted as so many."""
    after = [other for other in plan.order if stage in plan.needs[other]]
    own = TRAINING if stage.startswith("train") else 1
    return own + max((_work(plan, other) for other in after), default=0)


def _behind(plan: Plan, stage: str) -> set[str]:
    """Return all that a stage needs, directly or not."""
    found: set[str] = set()
    todo = [stage]
    while todo:
        new = plan.needs[todo.pop()] - found
        found |= new
        todo += new
    return found


def _start(stage: str, force: bool, gpus: Sequence[str], tell: Print) -> _Running:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    process = subprocess.Popen(
        [*DVC, "--wait-for-lock", "repro", "--single-item", *(["--force"] if force else []), stage],
        env={**os.environ, "PATH": path, **environment_of(gpus)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    assert process.stdout
    printed: list[str] = []
    reader = threading.Thread(target=_read, args=(stage, process.stdout, printed, tell), daemon=True)
    reader.start()
    return _Running(stage, process, gpus, reader, printed)


def _read(stage: str, stream: IO[bytes], printed: list[str], tell: Print) -> None:
    for raw in stream:
        line = raw.decode(errors="replace").rstrip("\r\n").rpartition("\r")[2]
        printed.append(line)
        if not CHATTER.match(line):
            tell(f"{stage}: {line}")


def _locked() -> list[str]:
    """Return the stages that dvc.lock has, in its order."""
    text = LOCK.read_text(encoding="utf-8") if LOCK.is_file() else ""
    return re.findall(r"^  (\S+):$", text, re.MULTILINE)


def _put_in_order(before: Sequence[str], order: Sequence[str]) -> None:
    """Put stages that are new in dvc.lock into the order in which a plain `dvc repro` writes them, behind those of before."""
    text = LOCK.read_text(encoding="utf-8") if LOCK.is_file() else ""
    head, *parts = re.split(r"^(?=  \S+:$)", text, flags=re.MULTILINE)
    blocks = {part.split(":\n", 1)[0].strip(): part for part in parts}
    wanted = list(
        dict.fromkeys([*(name for name in before if name in blocks), *(n for n in order if n in blocks), *blocks])
    )
    if wanted != list(blocks):
        with atomic_write(LOCK) as file:
            file.write(head + "".join(blocks[name] for name in wanted))
