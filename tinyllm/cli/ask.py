"""`tinyllm ask`: a trained student's answer to a question, how sure it is of each option, and its rationale in each voice."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyllm.cli.parsers import Commands
from tinyllm.console import as_json, printable
from tinyllm.evaluation.guessing import beats_guessing, best_guess
from tinyllm.evaluation.wording import percent
from tinyllm.params.asking import learnt_voices
from tinyllm.params.load import load_params
from tinyllm.params.schema import Params
from tinyllm.project import STUDENTS, check_student, known_seed, locked_stage
from tinyllm.records.jsonl import parse_line, read_json
from tinyllm.records.questions import Question
from tinyllm.records.reading import bounded_lines
from tinyllm.serving.question import parse_question

if TYPE_CHECKING:
    from tinyllm.student.answer import AskedStudent  # brings torch

TRAIN = Path("data/questions/train.jsonl")
SCORE = Path("metrics/score.json")
LACKING = "the student was trained on questions with options"


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "ask",
        help="let a trained student answer a question",
        description="Answer one question, or without one the questions that come as JSON lines on stdin, with the fields of "
        "data/questions; id and answer may be missing. Prefixes and limits are those of params.yaml.",
    )
    parser.add_argument("question", metavar="QUESTION", nargs="?", help="without options it is answered in free text")
    parser.add_argument(
        "--choice", metavar="TEXT", action="append", default=[], help="an option; give it once for each"
    )
    parser.add_argument("--context", metavar="TEXT", default="", help="what stands before the question")
    student = parser.add_mutually_exclusive_group()
    student.add_argument("--seed", type=int, help="one of train.seeds; without it the first")
    student.add_argument("--model", type=Path, metavar="FOLDER", help="a student's folder, in place of a seed's")
    told = (
        "add what it writes in each teacher's voice; a student that answers in voices always tells those that it asks"
    )
    parser.add_argument("--rationales", action="store_true", help=told)
    parser.add_argument("--json", action="store_true", help="print one JSON line, as always for JSON lines")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the answers that the command line asks for.

    Raises:
        ValueError: a faulty question, no such student, or no teacher in whose voice it could explain.
    """
    params = load_params()
    if arguments.question is None and (arguments.choice or arguments.context):
        raise ValueError(
            "--choice and --context belong to a question; give it too, or all of them as JSON lines on stdin"
        )
    folder = chosen_student(arguments.model, arguments.seed, params)
    voices = voices_to_add(params) if arguments.rationales else []
    knows_options = arguments.model is None and trained_with_options()
    if arguments.question is not None:
        row = {"id": 1, "question": arguments.question, "choices": arguments.choice, "context": arguments.context}
        question = parse_question(row, "question")
        if question.free and knows_options:
            print(f"note: {LACKING}; name each with --choice, and it chooses among them", file=sys.stderr)
        student = load(folder, params)  # seconds: a mistake should not wait for it
        answered = _answer(student, question, voices)
        print(as_json(answered) if arguments.json else as_text(answered, question.choices))
        return
    student = load(folder, params)
    for question in read_stream(bounded_lines(sys.stdin.buffer, "stdin"), "stdin"):
        if question.free and knows_options:
            print(f"note: {printable(question.id)}: {LACKING}; give it `choices`", file=sys.stderr)
        answered = {"id": question.id, **_answer(student, question, voices)}
        print(as_json(answered), flush=True)  # whoever waits for it may send the next only then


def as_text(answered: dict[str, Any], choices: Sequence[str]) -> str:
    """Return what is printed without `--json`."""
    lines = [printable(answered["answer"]) or "(nothing)"]
    for choice, sure in zip(choices, answered.get("probabilities", []), strict=True):
        lines.append(f"{percent(sure):>6}%  {printable(choice)}")
    for teacher, said in answered.get("voices", {}).items():
        weight = f"{percent(said['weight'])}% of the vote" if said["weight"] else "no vote"
        lines.append(f"{teacher} says {printable(said['answer'] or '') or '(nothing)'} ({weight})")
        lines.append(f"    {printable(said['rationale']) or '(no rationale)'}")
    lines += [
        f"{teacher}: {printable(text) or '(nothing)'}" for teacher, text in answered.get("rationales", {}).items()
    ]
    return "\n".join(lines)


def read_stream(lines: Iterable[bytes], source: str) -> Iterator[Question]:
    """Yield the question of every line that is not blank, as soon as the line has come.

    Raises:
        ValueError: a line is no question, and the message names source and line; or there is none.
    """
    asked = False
    for number, line in enumerate(lines, start=1):
        where = f"{source}:{number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{where}: not UTF-8 (byte {error.start}); convert it, for example with iconv") from None
        if text.strip():
            asked = True
            yield parse_question({"id": number, **parse_line(text, where)}, where)
    if not asked:
        raise ValueError(f"{source}: no questions; give one as an argument, or JSON lines on stdin")


def other_values(seed: str, params: Params) -> list[str]:
    """Return the keys of `student` that say something else than when the seed's student was trained, as dvc.lock has it."""
    lock = Path("dvc.lock")
    stage = locked_stage(lock.read_text(encoding="utf-8"), f"train@{seed}") if lock.is_file() else {}
    trained = stage.get("params", {}).get("params.yaml", {}).get("student", {})
    return [key for key, value in params.student.model_dump().items() if key in trained and trained[key] != value]


def unbeaten_guess() -> float | None:
    """Return what guessing scores on test where the students are not shown to do better; free text is not guessed."""
    score = read_json(SCORE) if SCORE.is_file() else {}
    return best_guess(score) if score.get("chance") and not beats_guessing(score) else None


def trained_with_options() -> bool:
    """Whether the questions of train, where they are at hand, have options; all of them do or none."""
    if not TRAIN.is_file():
        return False
    with TRAIN.open(encoding="utf-8") as file:
        return bool(parse_line(file.readline(), f"{TRAIN}:1").get("choices"))


def voices_to_add(params: Params) -> list[str]:
    """Return the teachers in whose voice the student learnt to explain: those with a weight in its loss.

    Raises:
        ValueError: there are none.
    """
    voices = learnt_voices(params)
    if not voices:
        raise ValueError("--rationales: corpus.teachers has no teacher with a weight above 0, so none was learnt from")
    return voices


def chosen_student(model: Path | None, seed: int | None, params: Params) -> Path:
    """Return the folder of the student that the command line names; notes on stderr say what to know of it.

    Raises:
        ValueError: there is no such student.
    """
    folder = check_student(model or STUDENTS / str(known_seed(seed, params)))
    if model is None and (other := other_values(folder.name, params)):
        keys = ", ".join(f"student.{key}" for key in other)
        print(f"note: the student was trained with another {keys}; `dvc repro` trains it anew", file=sys.stderr)
    if model is None and (guess := unbeaten_guess()) is not None:
        doubt = f"on test these students are not shown to do better than guessing ({percent(guess)}%)"
        print(f"note: {doubt}", file=sys.stderr)
    return folder


def load(folder: Path, params: Params, threads: int | None = None) -> AskedStudent:
    """Return a student as scoring asks it.

    Args:
        threads: of the processor; without it train.threads

    Raises:
        ValueError: its folder is damaged, or its best voice is asked for and not known.
    """
    from tinyllm.models.device import choose_device, prepare_torch
    from tinyllm.student.answer import asked_as_scored
    from tinyllm.student.folder import load_student

    prepare_torch(threads or params.train.threads)
    device = choose_device(params.runtime)
    try:
        student = load_student(folder, device)
    except ValueError as error:
        if folder.parent == STUDENTS:
            raise
        fault = str(error).rpartition("; ")[0]  # its remedy is to delete what the pipeline can make again
        raise ValueError(f"{fault}; name a student's folder that is whole") from None
    return asked_as_scored(student, folder, params)


def _answer(student: AskedStudent, question: Question, voices: Sequence[str]) -> dict[str, Any]:
    from tinyllm.student.answer import answer_questions, context_was_cut  # brings torch

    if context_was_cut(student, question):
        limit = f"student.max_input_tokens ({student.params.student.max_input_tokens})"
        cut = f"longer than {limit}; the head of its context was left out"
        print(f"note: {printable(question.id)}: {cut}", file=sys.stderr)
    (answer,) = answer_questions(student, [question], voices)
    return answer.fields
