"""From a teacher's params to the teacher, and from its completions to rows of its rationale file."""

from __future__ import annotations

from pathlib import Path

from tinyllm.questions import Question
from tinyllm.settings import ExpertTeacher, RecordedTeacher
from tinyllm.teachers import Completion, Teacher
from tinyllm.teachers.expert import Expert
from tinyllm.teachers.recorded import Recorded

RECORDED = Path("data/recorded")


def open_teacher(name: str, settings: ExpertTeacher | RecordedTeacher) -> Teacher:
    """Return the teacher that the registry entry `name` describes.

    Raises:
        ValueError: it cannot be opened, such as a recorded teacher without a file.
    """
    match settings.backend:
        case "expert":
            return Expert(**settings.model_dump(exclude={"backend"}))
        case "recorded":
            return Recorded(RECORDED / f"{name}.jsonl")


def rationale_row(question: Question, completion: Completion) -> dict:
    """Return one row of data/rationales/TEACHER.jsonl."""
    return {"id": question.id, "rationale": completion.text, "status": completion.status}
