"""Seconds of one optimizer step, ours against two plain loops: the authors' recipe and the textbook one.

    python -m benchmarks.training --release FOLDER --tokenizer spiece.model [--sets obqa arc pubmedqa] [--questions 64]

Real questions with both recorded teachers' cleaned rationales, T5-small's shape from a random start, no dropout, one step of
64 questions: what stands in it is the same for all, and so is each example's loss (checked to 1e-4 in float32).

    authors   a forward and backward pass a task and 8 questions in random order, inputs padded to the set's longest
    textbook  the same, each batch padded to its own longest
    ours      the training stage's own passes (tinyllm/training/objective.py)
    bucketed  ours without packing: padded passes, each of examples of like length
    shared    ours with `student.shared_encoder`: each question read once, not the paper's model; shared bucketed likewise
    bf16      ours under bfloat16, as `runtime.precision: bf16` has it; shared bf16 likewise

All of them clip the gradient and take one fused AdamW step; they take turns, and the median of --repeats counts. `peak` is the
share of the measured peak of a square matrix product in that precision, for all products that were computed, padding and all.
Seconds are those of the clock. With --processor they are the processor's, for a machine that others use too.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

from tinyllm.corpus.audit import find_fault
from tinyllm.datasets.release import load_release
from tinyllm.models.loaded import IGNORED, LoadedModel, loaded_model, pad
from tinyllm.params.load import load_params
from tinyllm.parsing import parse_question, parse_rationale
from tinyllm.records.questions import input_text
from tinyllm.student.encoding import InputEncoder
from tinyllm.training.examples import Example, Task, encode_corpus, target_counts
from tinyllm.training.objective import Objective
from tinyllm.training.step_collator import StepCollator, TrainingSample

TEACHERS = ("flan_t5_xl", "llama2_chat_7b")
TASKS = [Task("answer", "predict: ", 1.0)] + [Task(name, f"explain as {name}: ", 0.5) for name in TEACHERS]
BATCH = 8  # questions in one of the baselines' passes
BATCH_TOKENS = 16384  # of ours
CHECKED = 12  # examples whose losses are compared
WAYS = ["authors", "textbook", "ours", "bucketed", "shared", "shared bucketed", "bf16", "shared bf16"]
Run = Callable[[], None]
Clock = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["obqa", "arc", "pubmedqa"])
    parser.add_argument("--ways", nargs="+", default=WAYS)
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor", action="store_true")
    options = parser.parse_args()
    os.environ["TINYLLM_MIRROR"] = options.release.resolve().as_uri()
    torch.set_num_threads(options.threads)
    peak = {dtype: matmul_peak(dtype, clock_of(options)) for dtype in dict.fromkeys(map(precision_of, options.ways))}
    print("matmul peak: " + ", ".join(f"{speed:.0f} GFLOP/s in {dtype}" for dtype, speed in peak.items()), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(options.tokenizer, Path(folder) / "spiece.model")
        tokenizer = T5Tokenizer.from_pretrained(folder)
    for name in options.sets:
        compare(name, corpus_rows(name, options.questions), tokenizer, options, peak)


def corpus_rows(name: str, count: int) -> list[dict]:
    """Return `count` random questions of train as corpus rows, with the rationales that the audit keeps."""
    release, limits = load_release(name), load_params().corpus.audit
    texts = {teacher: {row["id"]: row["rationale"] for row in release.rationales[teacher]} for teacher in TEACHERS}
    rows = []
    for question in random.Random(1).sample(release.splits["train"], count):
        targets = {"answer": question.gold}
        for teacher in TEACHERS:
            parsed = parse_question(question)
            rationale = parse_rationale(texts[teacher][question.id] or "", parsed)
            if rationale.text and find_fault(rationale, parsed, limits) is None:
                targets[teacher] = rationale.text
        rows.append({"id": question.id, "context": question.context, "input": input_text(question), "targets": targets})
    return rows


def compare(name: str, rows: list[dict], tokenizer: Any, options: Any, peak: dict) -> None:
    """Time every way on the same rows and print the table."""
    torch.manual_seed(1)
    t5 = T5ForConditionalGeneration(T5Config(vocab_size=32128, dropout_rate=0.0, decoder_start_token_id=0))
    model = loaded_model(t5, tokenizer)
    optimizer = torch.optim.AdamW(t5.parameters(), lr=1e-5, fused=True)
    longest = longest_input(name, tokenizer)
    ways = {way: run for way, run in all_ways(model, optimizer, rows, longest).items() if way in options.ways}
    examples, target_tokens = sizes(model, rows)
    flops: dict[str, float] = {}
    for way, run in ways.items():  # also warms up
        with FlopCounterMode(display=False) as counter:
            run()
        flops[way] = counter.get_total_flops()
    seconds = take_turns(ways, options.repeats, clock_of(options))
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    print(
        f"\n{name}: {len(rows)} questions, {examples} examples, {target_tokens} target tokens; longest input {longest}"
    )
    print("| way | seconds (least to most) | examples/s | target tokens/s | TFLOP | peak | x authors | x textbook |")
    print("|---|---|---|---|---|---|---|---|")
    for way, median in medians.items():
        share = flops[way] / median / 1e9 / peak[precision_of(way)]
        spread = f"{min(seconds[way]):.2f} to {max(seconds[way]):.2f}"
        faster = [f"{medians[base] / median:.2f}" if base in medians else "" for base in ("authors", "textbook")]
        print(
            f"| {way} | {median:.2f} ({spread}) | {examples / median:.1f} | {target_tokens / median:.0f} "
            f"| {flops[way] / 1e12:.2f} | {share:.0%} | {' | '.join(faster)} |",
            flush=True,
        )


def precision_of(way: str) -> torch.dtype:
    return torch.bfloat16 if "bf16" in way else torch.float32


def clock_of(options: Any) -> Clock:
    """Return what tells the time: the clock, or what all threads of this process took of the processor."""
    return time.process_time if options.processor else time.perf_counter


def take_turns(ways: Mapping[str, Callable[[], object]], repeats: int, clock: Clock) -> dict[str, list[float]]:
    """Return the seconds of each way's runs, one of each after the other, so that all see the machine as it drifts."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, run in ways.items():
            start = clock()
            run()
            seconds[way].append(clock() - start)
    return seconds


def longest_input(name: str, tokenizer: Any) -> int:
    """Return the tokens of the longest input of the whole set, which a fixed length must not cut."""
    prefix = max((task.prefix for task in TASKS), key=len)
    splits = load_release(name).splits.values()
    texts = [
        f"{prefix}{q.context}\n{input_text(q)}" if q.context else prefix + input_text(q) for qs in splits for q in qs
    ]
    return max(len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"])


def all_ways(model: LoadedModel, optimizer: Any, rows: list[dict], longest: int) -> dict[str, Run]:
    """Return by name what does one optimizer step on all rows.

    Args:
        longest: what the authors' recipe pads to
    """
    params = load_params()
    shared = params.student.model_copy(update={"shared_encoder": True})
    each = encode_corpus(rows, TASKS, InputEncoder(params.student, model))[0]
    once = encode_corpus(rows, TASKS, InputEncoder(shared, model))[0]
    random.Random(2).shuffle(each)

    def step(passes: Callable[[], Iterator[torch.Tensor]], bf16: bool = False) -> Run:
        def run() -> None:
            for loss in passes():
                loss.backward()
            torch.nn.utils.clip_grad_norm_(model.plain.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

        return run

    return {
        "authors": step(lambda: plain_passes(model, each, longest)),
        "textbook": step(lambda: plain_passes(model, each, None)),
        "ours": step(lambda: our_passes(model, each)),
        "bucketed": step(lambda: our_passes(model, each, packed=False)),
        "shared": step(lambda: our_passes(model, once)),
        "shared bucketed": step(lambda: our_passes(model, once, packed=False)),
        "bf16": step(lambda: our_passes(model, each, bf16=True)),
        "shared bf16": step(lambda: our_passes(model, once, bf16=True)),
    }


def plain_passes(model: LoadedModel, questions: list[list[Example]], length: int | None) -> Iterator[torch.Tensor]:
    """Yield the loss of one task and 8 questions after the other.

    Args:
        length: what inputs are padded to; None is the longest of the 8
    """
    counts = target_counts([example for question in questions for example in question], len(TASKS))
    for start in range(0, len(questions), BATCH):
        for index, task in enumerate(TASKS):
            batch = [e for question in questions[start : start + BATCH] for e in question if e.task == index]
            if batch:
                loss = row_sums(model, batch, length).sum()
                yield task.weight * loss / counts[index]


def row_sums(model: LoadedModel, batch: list[Example], length: int | None) -> torch.Tensor:
    """Return each example's summed token loss by the model's own forward pass on padded tensors."""
    ids = pad([example.source for example in batch], 0)
    if length is not None:
        ids = torch.nn.functional.pad(ids, (0, length - ids.shape[1]))
    labels = pad([example.labels for example in batch], IGNORED)
    starts = model.plain.prepare_decoder_input_ids_from_labels(labels)
    logits = model.plain(
        input_ids=ids, attention_mask=(ids != 0).long(), decoder_input_ids=starts, use_cache=False
    ).logits
    losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return losses.view(labels.shape).sum(dim=1)


def our_passes(
    model: LoadedModel, questions: list[list[Example]], bf16: bool = False, packed: bool = True
) -> Iterator[torch.Tensor]:
    """Yield the losses of the training stage's own passes."""
    objective = Objective(model, torch.tensor([task.weight for task in TASKS]))
    collator = StepCollator(model, len(TASKS), BATCH_TOKENS)
    collator.packed = packed
    step = collator([TrainingSample("", question) for question in questions])
    for part in step.parts:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss, _ = objective(part, step.counts)
        yield loss


def sizes(model: LoadedModel, rows: list[dict]) -> tuple[int, int]:
    """Return how many examples and target tokens there are; and see that ours gives each example the plain loop's loss."""
    params = load_params()
    questions = encode_corpus(rows, TASKS, InputEncoder(params.student, model))[0]
    examples = [example for question in questions for example in question]
    with torch.no_grad():
        for example in examples[:CHECKED]:
            plain = row_sums(model, [example], None).item() / len(example.labels)
            counts = target_counts([example], len(TASKS))
            step = StepCollator(model, len(TASKS), BATCH_TOKENS)([TrainingSample("", [example])])
            _, sums = Objective(model, torch.ones(len(TASKS)))(step.parts[0], counts)
            ours = (sums / counts.clamp(min=1)).sum().item()
            assert abs(plain - ours) <= 1e-4, f"{plain} by the plain loop, {ours} by ours"
    return len(examples), sum(len(example.labels) for example in examples)


def matmul_peak(dtype: torch.dtype, clock: Clock, size: int = 2048) -> float:
    """Return the best GFLOP/s of a square matrix product."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(10):
        start = clock()
        torch.mm(a, b)
        best = min(best, clock() - start)
    return 2 * size**3 / best / 1e9


if __name__ == "__main__":
    main()
