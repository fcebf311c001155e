"""From a teacher's params to the teacher, and from its outputs to the rows of its rationale file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from tinyllm.casebook.rule_teachers import Expert
from tinyllm.params.schema import Data, Params
from tinyllm.params.teacher_entries import LocalTeacher, ServerTeacher
from tinyllm.project import cache_path
from tinyllm.records.questions import Question, read_questions
from tinyllm.records.rationales import TeacherOutput
from tinyllm.teachers.batch.backend import BatchServer
from tinyllm.teachers.cache.entry import canonical_json
from tinyllm.teachers.cache.ledger import Run
from tinyllm.teachers.labelled import unlabelled_ids
from tinyllm.teachers.live import CachedTeacher
from tinyllm.teachers.metrics import Probabilities
from tinyllm.teachers.protocol import Backend, Teacher
from tinyllm.teachers.recorded import Recorded
from tinyllm.teachers.server.client import Server
from tinyllm.teachers.server.option_letters import OptionLetters

QUESTIONS = Path("data/questions")
RECORDED = Path("data/recorded")


def open_teacher(name: str, params: Params, train: Sequence[Question]) -> Teacher:
    """Return the teacher that the registry entry `name` describes.

    Args:
        train: all of it; a live teacher's in-context examples are drawn from those that keep their gold answer.

    Raises:
        ValueError: it cannot be opened, such as a recorded teacher without a file.
    """
    settings = params.teachers[name]
    match settings.backend:
        case "expert":
            blind = unlabelled_ids(train, params.data.labelled)
            forced = params.prompt.teacher_forcing
            return Expert(**settings.model_dump(exclude={"backend"}), forced=forced, unlabelled=blind)
        case "recorded":
            return Recorded(RECORDED / f"{name}.jsonl", recorded_source(name, params.data))
        case _:
            return open_live(name, params, train)


def recorded_source(name: str, data: Data) -> str:
    """Where a recorded teacher's rationales come from: the user's own file, or the set that they were released with."""
    return str(Path(data.folder) / "rationales" / f"{name}.jsonl") if data.dataset == "jsonl" else data.dataset


def read_asked(name: str, params: Params, split: str) -> tuple[list[Question], list[Question]]:
    """Return the questions of train, which in-context examples are drawn from, and those of `split`.

    Raises:
        ValueError: the registry has no such teacher, or a file of questions is missing or faulty.
    """
    if name not in params.teachers:
        raise ValueError(f"{name} is not in the registry `teachers`; it has {', '.join(params.teachers)}")
    return read_questions(QUESTIONS / "train.jsonl"), read_questions(QUESTIONS / f"{split}.jsonl")


def open_live(name: str, params: Params, train: Sequence[Question]) -> CachedTeacher:
    """Return a local or server teacher behind the answer cache.

    Raises:
        ValueError: its tokenizer cannot be loaded, or its key is not in the environment.
    """
    settings = params.teachers[name]
    assert isinstance(settings, LocalTeacher | ServerTeacher)
    price = settings.price if isinstance(settings, ServerTeacher) else None
    backend, scorer = open_backends(name, settings, params)
    return CachedTeacher(
        name,
        backend,
        cache_path(),
        params.prompt,
        train,
        price,
        params.runtime.max_cost,
        scorer,
        settings.samples,
        run_of(params),
        unlabelled_ids(train, params.data.labelled),
    )


def run_of(params: Params) -> Run:
    """Return whose money `runtime.max_cost` counts together: the same queries, be they resumed or in parallel.

    The experiment's name is no part of it: DVC gives a resumed one another, and equal queries share their answers anyway. Nor
    are prices, or what else changes no query.
    """
    experiment = os.environ.get("DVC_EXP_NAME") or "workspace"
    names = sorted(params.corpus.teachers)
    teachers = {name: params.teachers[name].model_dump(exclude={"price", "parameters"}) for name in names}
    sections = {"data": params.data.model_dump(), "prompt": params.prompt.model_dump()}
    digest = hashlib.sha256(canonical_json({"teachers": teachers, **sections}, "run"))
    return Run(digest.hexdigest(), experiment)


def query_costs(teacher: Teacher) -> dict[str, int | float]:
    """Return calls, tokens and money of a live teacher's answers; nothing of a teacher that is not asked."""
    return teacher.costs() if isinstance(teacher, CachedTeacher) else {}


def open_backends(name: str, settings: LocalTeacher | ServerTeacher, params: Params) -> tuple[Backend, Backend]:
    """Return what writes a teacher's answers, and what scores options."""
    if isinstance(settings, ServerTeacher):
        plain = settings.model_copy(update={"api": "chat"}) if settings.api == "batch" else settings
        letters = OptionLetters(plain, params.runtime, name)
        if settings.api == "batch":
            return BatchServer(settings, params.runtime, cache_path(), name), letters
    if isinstance(settings, ServerTeacher):
        return Server(settings, params.runtime, name), OptionLetters(settings, params.runtime, name)
    from tinyllm.teachers.local.backend import Local  # these bring torch
    from tinyllm.teachers.local.option_scores import OptionScores

    local = Local(settings, params.runtime)
    return local, OptionScores(local)


def rationale_rows(
    questions: Sequence[Question],
    completions: Sequence[TeacherOutput],
    probabilities: Probabilities | None,
    forced: Sequence[bool | None] | None = None,
) -> list[dict]:
    """Return the rows of data/rationales/TEACHER.jsonl: one a question, or one a sample of it, numbered from 0.

    Args:
        probabilities: None where they were not asked for: then the rows have no such field.
        forced: of `gold_shown`; None leaves the field out.
    """
    by_question = [_rows(question.id, output) for question, output in zip(questions, completions, strict=True)]
    if probabilities is not None:
        for (row, *_), shares in zip(by_question, probabilities, strict=True):
            row["option_probabilities"] = None if shares is None else [round(share, 6) for share in shares]
    if forced is not None:
        for rows, shown in zip(by_question, forced, strict=True):
            for row in rows:
                row["forced"] = shown
    return [row for rows in by_question for row in rows]


def _rows(id_: str, output: TeacherOutput) -> list[dict]:
    return [
        {
            "id": id_,
            **({"sample": number} if output.further else {}),
            "rationale": sample.text,
            "status": sample.status,
            **(sample.extra or {}),
        }
        for number, sample in enumerate(output.samples)
    ]
