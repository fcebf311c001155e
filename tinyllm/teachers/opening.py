"""From a teacher's params to the teacher, and from its completions to rows of its rationale file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinyllm.answers import cache_path
from tinyllm.questions import Question
from tinyllm.settings import LocalTeacher, Params, ServerTeacher
from tinyllm.teachers import Backend, Completion, Teacher
from tinyllm.teachers.asking import Live
from tinyllm.teachers.expert import Expert
from tinyllm.teachers.local import Local
from tinyllm.teachers.recorded import Recorded
from tinyllm.teachers.server import Server

RECORDED = Path("data/recorded")


def open_teacher(name: str, params: Params, train: Sequence[Question]) -> Teacher:
    """Return the teacher that the registry entry `name` describes.

    Args:
        train: where a live teacher's in-context examples are drawn from.

    Raises:
        ValueError: it cannot be opened, such as a recorded teacher without a file.
    """
    settings = params.teachers[name]
    match settings.backend:
        case "expert":
            return Expert(**settings.model_dump(exclude={"backend"}))
        case "recorded":
            return Recorded(RECORDED / f"{name}.jsonl")
        case _:
            return open_live(name, params, train)


def check_known(name: str, params: Params) -> None:
    """
    Raises:
        ValueError: the registry has no such teacher.
    """
    if name not in params.teachers:
        raise ValueError(f"{name} is not in the registry `teachers`; it has {', '.join(params.teachers)}")


def open_live(name: str, params: Params, train: Sequence[Question]) -> Live:
    """Return a local or server teacher behind the answer cache.

    Raises:
        ValueError: its tokenizer cannot be loaded, or its key is not in the environment.
    """
    settings = params.teachers[name]
    assert isinstance(settings, LocalTeacher | ServerTeacher)
    price = settings.price if isinstance(settings, ServerTeacher) else None
    backend = open_backend(settings, params)
    return Live(name, backend, cache_path(), params.prompt, train, price, params.runtime.max_cost)


def open_backend(settings: LocalTeacher | ServerTeacher, params: Params) -> Backend:
    if isinstance(settings, LocalTeacher):
        return Local(settings, params.runtime)
    return Server(settings, params.runtime)


def rationale_row(question: Question, completion: Completion) -> dict:
    """Return one row of data/rationales/TEACHER.jsonl."""
    return {
        "id": question.id,
        "rationale": completion.text,
        "status": completion.status,
        **(completion.extra or {}),
    }
