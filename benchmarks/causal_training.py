"""Seconds of one optimizer step of a causal student, ours against a plain loop over padded batches.

    python -m benchmarks.causal_training --release FOLDER --model FOLDER [--sets arc] [--questions 16] [--precision bf16]

Real questions with both recorded teachers' cleaned rationales, as in benchmarks/training.py; a checkpoint such as SmolLM2-135M.

    textbook  every weight trained: a pass a task and 8 questions, padded to the longest, logits at every token
    ours      every weight trained: the training stage's own passes (tinyllm/training/objective.py)
    shared    ours with `student.shared_encoder`: each question read once, the tasks behind it; not the paper's input
    rows      shared with every task as a row of its own, which reads the question again
    lora      shared with `student.tuning=lora`
    upper     shared with `student.tuning=upper`: of the layers only the last ten are trained
    kept      upper with the frozen layers' states read back, as in every epoch but the first (runtime.frozen_cache_gb)

All clip the gradient and take one fused AdamW step; they take turns, and the median of --repeats counts. That ours and textbook
have the same losses is checked, to 1e-3 of them in float32 and to 2e-2 in bfloat16; likewise shared and rows. Seconds are those
of the clock, with --processor the processor's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from benchmarks.training import BATCH, BATCH_TOKENS, TASKS, clock_of, corpus_rows, take_turns
from tinyllm.models.device import prepare_torch
from tinyllm.models.loaded import IGNORED, LoadedModel, loaded_model
from tinyllm.params.load import load_params
from tinyllm.params.schema import Student
from tinyllm.student.build import load_checkpoint
from tinyllm.student.encoding import InputEncoder
from tinyllm.student.tuning import tune
from tinyllm.training.batching import collate
from tinyllm.training.examples import Example, encode_corpus, target_counts
from tinyllm.training.objective import Objective
from tinyllm.training.passes.frozen_states import FrozenStates, frozen_states
from tinyllm.training.step_collator import StepCollator, TrainingSample

ALIKE = {"fp32": 1e-3, "bf16": 2e-2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["arc"])
    parser.add_argument("--ways", nargs="+", default=["textbook", "ours", "shared", "rows", "lora", "upper", "kept"])
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=list(ALIKE), default="bf16")
    parser.add_argument("--gguf", help="the .gguf file in the model's folder")
    parser.add_argument("--processor", action="store_true")
    options = parser.parse_args()
    os.environ["TINYLLM_MIRROR"] = options.release.resolve().as_uri()
    prepare_torch(options.threads)
    for name in options.sets:
        compare(name, corpus_rows(name, options.questions), options)


def compare(name: str, rows: list[dict], options: Any) -> None:
    """Time every way on the same rows and print the table."""
    ways = {way: step_of(way, rows, options) for way in options.ways}
    losses = {way: run() for way, run in ways.items()}  # also warms up
    for first, second in (("textbook", "ours"), ("rows", "shared"), ("upper", "kept")):
        if {first, second} <= losses.keys():
            apart = abs(losses[second] / losses[first] - 1)
            assert apart <= ALIKE[options.precision], f"losses {losses}"
    seconds = take_turns(ways, options.repeats, clock_of(options))
    base = statistics.median(seconds[options.ways[0]])
    print(f"\n{name}: {len(rows)} questions, {options.precision}, {options.threads} threads")
    print(f"| way | seconds (least to most) | questions/s | x {options.ways[0]} |\n|---|---|---|---|")
    for way, times in seconds.items():
        median = statistics.median(times)
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"| {way} | {median:.2f} ({spread}) | {len(rows) / median:.2f} | {base / median:.2f} |", flush=True)


def step_of(way: str, rows: list[dict], options: Any) -> Callable[[], float]:
    """Return what does one optimizer step on all rows, and gives its loss back."""
    student = student_of(way, options)
    torch.manual_seed(1)
    untuned = load_checkpoint(student, 0.0)
    model = loaded_model(tune(untuned.plain, student).train(), untuned.tokenizer)
    questions = encode_corpus(rows, TASKS, InputEncoder(student, model))[0]
    tuned = [weight for weight in model.wrapped.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(tuned, lr=1e-6, fused=True)
    frozen = None
    if way == "kept":
        frozen = frozen_states(model, Path(tempfile.mkdtemp()), 10.0, options.precision)
    passes = textbook_passes if way == "textbook" else partial(our_passes, trees=way != "rows", frozen=frozen)

    def run() -> float:
        total = 0.0
        for loss in passes(model, questions, options.precision == "bf16"):
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(tuned, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return total

    return run


def student_of(way: str, options: Any) -> Student:
    """The params of the student that a way trains."""
    changes = {
        "origin": "local",
        "model": str(options.model),
        "gguf_file": options.gguf,
        "scratch": None,
        "tuning": {"lora": "lora", "upper": "upper", "kept": "upper"}.get(way, "full"),
        "shared_encoder": way not in ("textbook", "ours"),
    }
    return load_params().student.model_copy(update=changes)


def textbook_passes(model: LoadedModel, questions: list[list[Example]], bf16: bool) -> Iterator[torch.Tensor]:
    """Yield the loss of one task and 8 questions after the other."""
    counts = target_counts([example for question in questions for example in question], len(TASKS))
    for start in range(0, len(questions), BATCH):
        for index, task in enumerate(TASKS):
            batch = [e for question in questions[start : start + BATCH] for e in question if e.task == index]
            if not batch:
                continue
            part = collate(batch, model.pad_id)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                logits = model.wrapped(
                    input_ids=part["input_ids"], attention_mask=part["attention_mask"], use_cache=False
                ).logits
            losses = cross_entropy(logits.float().flatten(0, 1), part["labels"].flatten(), ignore_index=IGNORED)
            labelled = (part["labels"] != IGNORED).sum()
            yield task.weight * losses * labelled / counts[index]


def our_passes(
    model: LoadedModel, questions: list[list[Example]], bf16: bool, trees: bool, frozen: FrozenStates | None
) -> Iterator[torch.Tensor]:
    """Yield the losses of the training stage's own passes."""
    objective = Objective(model, torch.tensor([task.weight for task in TASKS]), frozen=frozen)
    collator = StepCollator(model, len(TASKS), BATCH_TOKENS)
    collator.trees = collator.trees and trees
    step = collator([TrainingSample("", question) for question in questions])
    for part in step.parts:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss, _ = objective(part, step.counts)
        yield loss


if __name__ == "__main__":
    main()
