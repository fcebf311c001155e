"""The student in a process of its own: what it computes holds up no connection, and where it is killed another one starts."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from tinyllm.console import note
from tinyllm.params.asking import learnt_voices
from tinyllm.records.questions import Question
from tinyllm.serving.refusal import BUG, Refusal
from tinyllm.serving.reply import Said
from tinyllm.serving.request import Job

if TYPE_CHECKING:
    from tinyllm.student.answer import AskedStudent  # brings torch

FIRST = Question("first", "Is it so?", ("yes", "no"), 0)
KILLED = "the student's process was killed, as happens where memory is short"


class StudentProcess:
    """Answers jobs in another process, one batch at a time."""

    def __init__(self, load: Callable[[], AskedStudent]) -> None:
        """
        Args:
            load: what is called there; it is pickled
        """
        self._load = load
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def start(self) -> tuple[str, ...]:
        """Load the student and let it answer once; return the teachers in whose voice it has learnt to write.

        Raises:
            ValueError: it cannot be loaded, or its process was killed meanwhile.
        """
        spawn = multiprocessing.get_context("spawn")  # a fork would copy the server's threads and sockets
        self._pipe, its = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(self._load, its), name="student", daemon=True)
        self._process.start()
        its.close()  # so that the pipe ends with the process
        try:
            voices = self._pipe.recv()
        except (EOFError, OSError):
            self.end()
            raise ValueError(f"{KILLED} while it was loaded") from None
        if isinstance(voices, Exception):
            self.end()
            raise voices
        return tuple(voices)

    def say(self, jobs: Sequence[Job]) -> list[Said | Exception]:
        """Return what the student says to each job, or why it says nothing.

        Raises:
            Refusal: its process was killed; the next jobs get another one.
            ValueError: no other one could be started.
        """
        if self._process is None or not self._process.is_alive():
            self.end()
            note(f"{KILLED}; it is started again")
            self.start()
        assert self._pipe is not None
        try:
            self._pipe.send(jobs)
            return self._pipe.recv()
        except (EOFError, OSError):
            self.end()
            raise Refusal(503, f"{KILLED}; ask again later", code="student_killed") from None

    def end(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
        self._process, self._pipe = None, None


def _work(load: Callable[[], AskedStudent], pipe: Connection) -> None:
    """Answer one batch after another until the server has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's
    from tinyllm.serving.batch import for_batches, say
    from tinyllm.student.vote import on_record

    try:
        student = for_batches(load())
        voices = on_record(student.record, learnt_voices(student.params))
        _raise_first(say(student, [Job(FIRST), *(Job(FIRST, voice) for voice in voices)]))
    except Exception as error:
        pipe.send(_told(error))
        return
    pipe.send(voices)
    while True:
        try:
            jobs = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            said = say(student, jobs)
        except Exception as error:  # a bug: these get an answer, and the process lives on
            said = [error] * len(jobs)
        pipe.send([_told(one) if isinstance(one, Exception) else one for one in said])


def _raise_first(said: Sequence[Said | Exception]) -> None:
    """Raise what is wrong with the student: one that answered in every way is fast at the first request, too."""
    for one in said:
        if isinstance(one, Exception):
            raise one


def _told(error: Exception) -> Exception:
    """Return an error in a form that can be sent; of a bug this terminal has the whole."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ValueError):
        return ValueError(str(error))
    traceback.print_exception(error)
    return Refusal(500, BUG)
