"""What scoring in three teachers' voices costs, in times of one voice: at most 3.3 are wanted.

    python -m benchmarks.voices [--model FOLDER] [--questions N] [--tokens N] [--free] [--samples K] [--threads N] [--processor]

The questions are casebook's. Without --model the students are a T5 and a Llama from a random start, of width 256 with 4 layers;
what they write seldom ends, so that each text has all of its --tokens. With --free only rationale and answer are written; else
each option's likelihood behind the rationale comes on top. Each student is asked as it stands, and with
`student.shared_encoder`, where the question is read once for all voices.

    one      one voice (tinyllm/student/voices.py)
    three    three voices together
    in turn  three voices, one after the other

All take turns, and the median of --repeats counts. That three say what they say in turn is counted. Seconds are those of the
clock, with --processor the processor's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from tinyllm.casebook.world import World, make_splits
from tinyllm.models.device import prepare_torch
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.params.load import load_params
from tinyllm.params.schema import Params, Scratch
from tinyllm.records.questions import Question, input_text
from tinyllm.student.build import scratch_model
from tinyllm.student.folder import load_student
from tinyllm.student.vocabulary import train_tokenizer
from tinyllm.student.voices import Sampling, Voice, ask_voices

TEACHERS = ("signs", "care", "verbose")
Said = list[dict[str, Voice]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--free", action="store_true")
    parser.add_argument("--processor", action="store_true")
    given = parser.parse_args()
    prepare_torch(given.threads)
    questions = casebook(given.questions)
    asked = [replace(q, choices=(), answer=q.gold) for q in questions] if given.free else questions
    if given.model:
        students = {str(given.model): load_student(given.model)}
    else:
        texts = [f"{question.context}\n{input_text(question)}" for question in questions]
        students = {name: random_student(name, texts) for name in ("seq2seq", "causal")}
    print(
        "| student | question read | one | three | in turn | three / one | questions alike |\n|---|---|---|---|---|---|---|"
    )
    for name, student in students.items():
        for shared in (False, True):
            row = compare(student, asked, params_of(shared), given)
            print(f"| {name} | {'once' if shared else 'by each voice'} | {row} |", flush=True)


def casebook(count: int) -> list[Question]:
    """Test questions of the generated world."""
    data = load_params().data
    settings = data.casebook.model_dump() | {"train": 1, "valid": 1, "test": count}
    return make_splits(World(seed=data.seed, **settings))["test"]


def random_student(architecture: str, texts: list[str]) -> LoadedModel:
    """A student from a random start, whose vocabulary is of these texts."""
    sizes = {"vocabulary": 2000, "width": 256, "layers": 4, "heads": 8, "feed_forward": 1024, "embedding_scale": 1.0}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = train_tokenizer(texts, 2000, Path(folder))
    torch.manual_seed(1)
    scratch = Scratch.model_validate({"architecture": architecture, **sizes})
    return loaded_model(scratch_model(scratch, len(tokenizer), 0.0), tokenizer)


def params_of(shared: bool) -> Params:
    """The project's own, for a student that reasons."""
    params = load_params()
    student = params.student.model_copy(update={"target": "rationale_then_answer", "shared_encoder": shared})
    return params.model_copy(update={"student": student})


def compare(student: LoadedModel, questions: list[Question], params: Params, given: argparse.Namespace) -> str:
    """Time every way on the same questions and return a row of the table."""
    sampling = Sampling(given.samples, 0.7)

    def ask(*teachers: str) -> Said:
        return ask_voices(student, questions, teachers, params, limit=given.tokens, sampling=sampling)

    def in_turn() -> Said:
        apart = [ask(teacher) for teacher in TEACHERS]
        return [{name: voice for voices in said for name, voice in voices.items()} for said in zip(*apart, strict=True)]

    ways: dict[str, Callable[[], Said]] = {
        "one": lambda: ask(TEACHERS[0]),
        "three": lambda: ask(*TEACHERS),
        "in turn": in_turn,
    }
    clock = time.process_time if given.processor else time.perf_counter
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    found: dict[str, Said] = {}
    for _ in range(given.repeats):
        for way, run in ways.items():
            start = clock()
            found[way] = run()
            seconds[way].append(clock() - start)
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    alike = sum(text_of(a) == text_of(b) for a, b in zip(found["three"], found["in turn"], strict=True))
    times = " | ".join(f"{median:.2f} s" for median in medians.values())
    return f"{times} | {medians['three'] / medians['one']:.2f} | {alike} of {len(questions)}"


def text_of(said: dict[str, Voice]) -> dict[str, tuple[str, str | None]]:
    return {teacher: (voice.rationale, voice.answer) for teacher, voice in said.items()}


if __name__ == "__main__":
    main()
