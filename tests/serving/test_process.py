"""The student in a process of its own: its answers, its bugs, how it begins and ends, and what follows where it is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.reasoning import CHOSEN, TEACHERS, reasoning_params, reasoning_student
from tinyllm.records.questions import Question
from tinyllm.serving import batch
from tinyllm.serving.process import KILLED, StudentProcess
from tinyllm.serving.refusal import BUG, Refusal
from tinyllm.serving.request import Job
from tinyllm.student.answer import Answer, AskedStudent, answer_questions, asked_as_scored
from tinyllm.student.folder import load_student, save_student

JOBS = [*map(Job, CHOSEN[:3]), Job(CHOSEN[3], "ann")]


def load(folder: Path) -> AskedStudent:
    return asked_as_scored(load_student(folder), folder, reasoning_params())


def load_with_traps(folder: Path) -> AskedStudent:
    """A student that is killed by one question, and has a bug in another."""

    def trapped(student: AskedStudent, questions: Any, told: Any) -> list[Answer]:
        texts = [question.question for question in questions]
        if "bug" in texts:
            raise KeyError("bug")
        if "kill" in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer_questions(student, questions, told)

    batch.answer_questions = trapped
    return load(folder)


def load_nothing() -> AskedStudent:
    raise ValueError("models/1: is damaged; delete it")


def load_too_much() -> AskedStudent:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def named(text: str) -> Job:
    return Job(Question("one", text, ("yes", "no"), 0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("student")
    save_student(reasoning_student(False, tmp_path_factory.mktemp("words")), root / "1", 24)
    (root / "1/voices.json").write_text(json.dumps({"accuracies": {"ann": 1.0, "bob": 0.0}, "questions": 2}))
    return root / "1"


@contextmanager
def trapped(folder: Path) -> Iterator[StudentProcess]:
    student = StudentProcess(partial(load_with_traps, folder))
    try:
        assert student.start() == TEACHERS
        yield student
    finally:
        student.end()


@pytest.mark.slow
def test_it_says_what_this_process_would_and_a_bug_leaves_it_alive(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here = batch.say(batch.for_batches(load(folder)), JOBS)
    with trapped(folder) as student:
        assert student.say(JOBS) == here and not any(isinstance(said, Exception) for said in here)
        fine, bug = student.say([JOBS[0], named("bug")])
        assert fine == here[0]
        assert isinstance(bug, Refusal) and (bug.status, bug.message, str(bug)) == (500, BUG, BUG)
        assert "KeyError: 'bug'" in capfd.readouterr().err
        (long,) = student.say([named("x " * 9000)])
        assert isinstance(long, Refusal) and (long.status, long.code) == (400, batch.TOO_LONG)


@pytest.mark.nightly
def test_one_that_is_killed_at_work_refuses_that_batch_and_another_one_starts(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with trapped(folder) as student:
        expected = student.say(JOBS)
        with pytest.raises(Refusal, match=KILLED) as refusal:
            student.say([named("kill")])
        assert refusal.value.status == 503
        assert student.say(JOBS) == expected
        assert capfd.readouterr().err.count("it is started again") == 1
        assert student._process is not None and student._process.pid is not None
        os.kill(student._process.pid, signal.SIGKILL)  # while it has nothing to do: no question is lost
        student._process.join(30)
        assert student.say(JOBS) == expected


@pytest.mark.nightly
def test_one_that_cannot_begin_says_why_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^models/1: is damaged; delete it$"):
        StudentProcess(load_nothing).start()
    with pytest.raises(ValueError, match=f"^{KILLED} while it was loaded$"):
        StudentProcess(load_too_much).start()


@pytest.mark.nightly
def test_it_ends_with_its_server(folder: Path) -> None:
    student = StudentProcess(partial(load, folder))
    student.start()
    process = student._process
    assert process is not None and student._pipe is not None
    student._pipe.close()  # as the system does where the server is killed
    for _ in range(300):
        if not process.is_alive():
            break
        time.sleep(0.1)
    assert process.exitcode == 0
