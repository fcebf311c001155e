"""What a step costs a token under each `student.target`, in times of `multitask`'s: at most once is wanted.

    python -m benchmarks.targets [--corpus FILE] [--questions 64] [--repeats 5] [--threads 1] [--processor]

The rows are the first of the corpus, which `dvc repro assemble` writes, with all its teachers. The students are a T5 and a
Llama from a random start, of width 256 with 4 layers. Each is trained as it stands, and with `student.shared_encoder`. A step
is the training stage's own passes (tinyllm/training/objective.py), gradients clipped, and one fused AdamW step.

Tokens are those that the student reads and writes; what several tasks of a question read together counts once. The targets take
turns, and the median of --repeats counts. Seconds are those of the clock, with --processor the processor's.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, get_args

import torch

from benchmarks.training import BATCH_TOKENS, clock_of, take_turns
from benchmarks.voices import random_student
from tinyllm.models.device import prepare_torch
from tinyllm.params.load import load_params
from tinyllm.params.schema import Student
from tinyllm.student.encoding import InputEncoder
from tinyllm.training.examples import CorpusFile, Example, encode_corpus
from tinyllm.training.objective import Objective
from tinyllm.training.step_collator import StepCollator, TrainingSample
from tinyllm.training.train import tasks_of

TARGETS = get_args(Student.model_fields["target"].annotation)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="data/corpus/train.jsonl")
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor", action="store_true")
    options = parser.parse_args()
    prepare_torch(options.threads)
    rows = list(islice(CorpusFile(options.corpus), options.questions))
    print("| student | question read | target | tokens | s (least to most) | us a token | x multitask |")
    print("|---|---|---|---|---|---|---|")
    for architecture in ("seq2seq", "causal"):
        for shared in (False, True):
            compare(architecture, shared, rows, options)


def compare(architecture: str, shared: bool, rows: list[dict], options: Any) -> None:
    """Time a step of every target on the same rows and print their rows of the table."""
    made = {target: step_of(target, architecture, shared, rows) for target in TARGETS}
    for run, _ in made.values():
        run()  # warms up
    seconds = take_turns({target: run for target, (run, _) in made.items()}, options.repeats, clock_of(options))
    costs = {target: 1e6 * statistics.median(times) / made[target][1] for target, times in seconds.items()}
    for target, times in seconds.items():
        read = "once" if shared else "by each task"
        spread = f"{statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f})"
        ratio = costs[target] / costs["multitask"]
        print(
            f"| {architecture} | {read} | {target} | {made[target][1]} | {spread} | {costs[target]:.1f} | {ratio:.2f} |",
            flush=True,
        )


def step_of(target: str, architecture: str, shared: bool, rows: Sequence[dict]) -> tuple[Callable[[], object], int]:
    """Return what does one optimizer step on all rows, and how many tokens are in it."""
    params = load_params()
    student = params.student.model_copy(update={"target": target, "shared_encoder": shared})
    model = random_student(architecture, [f"{row['context']}\n{row['input']}" for row in rows])
    model.plain.train()
    tasks = tasks_of(params.corpus.teachers, params.loss, student.answer_prefix, student.rationale_prefix, target)
    questions, _ = encode_corpus(rows, tasks, InputEncoder(student, model))
    objective = Objective(model, torch.tensor([task.weight for task in tasks]))
    weights = list(model.wrapped.parameters())
    optimizer = torch.optim.AdamW(weights, lr=1e-6, fused=True)
    samples = [TrainingSample("", question) for question in questions if question]

    def run() -> None:
        step = StepCollator(model, len(tasks), BATCH_TOKENS)(samples)
        for part in step.parts:
            objective(part, step.counts)[0].backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return run, sum(map(tokens_of, questions))


def tokens_of(question: Sequence[Example]) -> int:
    """Return the tokens of a question under all of its tasks; of a source or a head that they share each counts once."""
    sources = {id(example.source): len(example.source) for example in question}
    heads = max((example.shared for example in question), default=0)
    return heads + sum(sources.values()) + sum(example.decoder_length - example.shared for example in question)


if __name__ == "__main__":
    main()
