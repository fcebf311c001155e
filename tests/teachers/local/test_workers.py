"""A local teacher in several processes: the answers of one, and what a process that is killed leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.checkpoint_toys import runtime, settings
from tests.processes import PRELOADED
from tests.toys import toy_questions
from tinyllm.records.questions import input_text
from tinyllm.teachers.local import workers
from tinyllm.teachers.local.backend import Local
from tinyllm.teachers.local.option_scores import OptionScores
from tinyllm.teachers.local.workers import Processes
from tinyllm.teachers.protocol import Failure, Generation, Prompt, Scored

QUESTIONS = toy_questions(24)
PROMPTS = [Prompt("", input_text(question)[: 20 + 3 * i]) for i, question in enumerate(QUESTIONS)]


@pytest.fixture(autouse=True)
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process imports torch for all that start others."""
    monkeypatch.setattr(workers, "PRELOADED", PRELOADED)


def several(folder: Path, **changes: object) -> Local:
    return Local(settings(folder, **changes), runtime(processes=2))


def outcomes(backend: Local | OptionScores, prompts: list[Prompt]) -> list[Generation | Failure]:
    asked: list[int] = []

    def reserve(index: int) -> bool:
        asked.append(index)
        return True

    found = dict(backend.generate(prompts, reserve))
    assert sorted(asked) == sorted(found) == list(range(len(prompts))), "each is asked for once"
    return [found[index] for index in range(len(prompts))]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_two_processes_answer_as_one_does(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    for changes in ({}, {"temperature": 0.8}):
        backend = several(folder, **changes)
        assert outcomes(backend, PROMPTS) == outcomes(Local(settings(folder, **changes), runtime()), PROMPTS)
        assert backend.model is None, "the weights are where they are used"
        backend.workers.drop()


@pytest.mark.slow
def test_options_are_scored_in_two_processes_as_in_one(llama: Path) -> None:
    prompts: list[Prompt] = [Scored("", input_text(one), options=one.choices) for one in QUESTIONS]
    backend = several(llama)
    assert outcomes(OptionScores(backend), prompts) == outcomes(
        OptionScores(Local(settings(llama), runtime())), prompts
    )
    backend.workers.drop()


@pytest.mark.slow
def test_a_process_that_is_killed_is_told_in_one_line_and_what_it_had_can_be_asked_again(llama: Path) -> None:
    backend = several(llama)
    expected = outcomes(backend, PROMPTS)
    assert isinstance(backend.workers, Processes)
    os.kill(backend.workers.processes[0].pid or 0, signal.SIGKILL)
    with pytest.raises(
        ValueError, match=r"^local: a process of the teacher was killed, .* run again: no answer is lost$"
    ):
        list(backend.generate(PROMPTS, lambda index: True))
    assert outcomes(backend, PROMPTS) == expected
    backend.workers.drop()


@pytest.mark.slow
def test_what_is_left_early_leaves_no_stale_answer(llama: Path) -> None:
    backend = several(llama)
    answers = backend.generate(PROMPTS, lambda index: True)
    next(answers)
    answers.close()
    assert outcomes(backend, PROMPTS[:4]) == outcomes(Local(settings(llama), runtime()), PROMPTS[:4])
    backend.workers.drop()


def test_a_limit_ends_the_asking_once_what_is_under_way_is_answered(llama: Path) -> None:
    backend, left = several(llama), iter(range(20))
    found = dict(backend.generate(PROMPTS, lambda index: next(left, None) is not None))
    assert len(found) == 20 and all(isinstance(one, Generation) for one in found.values())
    backend.workers.drop()


PARENT = """
import sys
from pathlib import Path
from tests.teachers.local.test_workers import PROMPTS, several
if __name__ == "__main__":
    backend = several(Path(sys.argv[1]))
    list(backend.generate(PROMPTS, lambda index: True))
    print(*(process.pid for process in backend.workers.processes), flush=True)
    sys.stdin.read()
"""


@pytest.mark.nightly
def test_the_processes_end_where_the_one_that_asks_is_killed(llama: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    command = [sys.executable, str(script), str(llama)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        assert len(children) == 2
        process.kill()
    deadline = time.monotonic() + 20
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
