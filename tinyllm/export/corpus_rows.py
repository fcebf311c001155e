"""The corpus as rows for others: a question with a column a teacher, and what a student is taught of it as texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.params.schema import Student
from tinyllm.records.jsonl import parse_lines
from tinyllm.records.questions import Question, input_text, iter_questions
from tinyllm.records.reading import open_lines
from tinyllm.records.seen_text import composed
from tinyllm.student.encoding import space_before_target
from tinyllm.student.target_text import join

ANSWER = "answer"  # the task that every question has
COLUMN = "rationale_{}"  # of a teacher; a name alone might be that of another column


@dataclass(frozen=True)
class TaughtQuestion:
    """A question with what is learnt of it: by task, the answer's and the teachers', the target."""

    question: Question
    targets: Mapping[str, str]


def read_taught(questions: Path, corpus: Path) -> Iterator[TaughtQuestion]:
    """Yield the questions of a split that are in its corpus, in order; one of each file is held at a time.

    Raises:
        ValueError: a row of the corpus is of no question, or has no answer; the message names file and line.
    """
    waiting = iter_questions(questions)
    with open_lines(corpus) as lines:
        for number, row in parse_lines(lines, corpus):
            where = f"{corpus}:{number}"
            targets = row.get("targets")
            if not isinstance(targets, dict) or not isinstance(targets.get(ANSWER), str):
                raise ValueError(f"{where}: no text for targets.answer; run dvc repro assemble")
            for _, question in waiting:
                if question.id == row["id"]:
                    yield TaughtQuestion(question, targets)
                    break
            else:
                raise ValueError(
                    f"{where}: id {row.get('id')!r} does not follow in {questions}; run dvc repro assemble"
                )


def read_asked(questions: Path) -> Iterator[TaughtQuestion]:
    """Yield the questions of a split that nothing is learnt from, with their answers."""
    for _, question in iter_questions(questions):
        yield TaughtQuestion(question, {ANSWER: question.gold})


def question_row(taught: TaughtQuestion, teachers: Sequence[str]) -> dict[str, Any]:
    """Return a row of the configuration `default`; a teacher without a kept rationale has null."""
    question, answer = taught.question, taught.targets[ANSWER]
    return {
        "id": question.id,
        "question": question.question,
        "context": question.context,
        "choices": list(question.choices),
        "answer": answer,
        "answer_index": question.choices.index(answer) if answer in question.choices else None,
        **{COLUMN.format(teacher): taught.targets.get(teacher) for teacher in teachers},
    }


def chat_rows(taught: TaughtQuestion, student: Student, teachers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row of the configuration `messages` for every task of a question."""
    for task, prefix, target in _tasks(taught, student, teachers):
        asked = _question_text(taught.question)
        said = target
        if student.shared_encoder:  # the prefix follows the question, at the head of what is written
            said = f"{prefix.rstrip()} {target}"
        else:
            asked = prefix + asked
        turns = [("user", composed(asked)), ("assistant", composed(said))]
        messages = [{"role": role, "content": content} for role, content in turns]
        yield {"id": taught.question.id, "task": task, "messages": messages}


def text_rows(taught: TaughtQuestion, student: Student, teachers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row of the configuration `prompt_completion` for every task of a question, as a causal student reads it."""
    plain = student.model_copy(update={"chat": False})
    for task, prefix, target in _tasks(taught, student, teachers):
        asked = _question_text(taught.question)
        prompt = f"{asked}\n{prefix.rstrip()}" if student.shared_encoder else f"{prefix}{asked}{student.response}"
        completion = space_before_target(plain) + target
        yield {
            "id": taught.question.id,
            "task": task,
            "prompt": composed(prompt),
            "completion": composed(completion),
        }


def _tasks(taught: TaughtQuestion, student: Student, teachers: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, prefix and target of each task that the student learns of a question."""
    answer = taught.targets[ANSWER]
    if student.target != "rationale_then_answer":
        yield ANSWER, student.answer_prefix, answer
    for teacher in teachers:
        if teacher in taught.targets:
            prefix = student.rationale_prefix.replace("{teacher}", teacher)
            yield teacher, prefix, join(student.target, taught.targets[teacher], answer)


def _question_text(question: Question) -> str:
    return f"{question.context}\n{input_text(question)}" if question.context else input_text(question)
