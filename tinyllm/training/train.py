"""Train one student: its tasks, its vocabulary, its samples, and what there is to say of its training."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import set_seed

from tinyllm.models.device import choose_device
from tinyllm.models.loaded import LoadedModel, move
from tinyllm.params.schema import Loss, Params, alpha
from tinyllm.records.questions import Question
from tinyllm.student.build import new_student
from tinyllm.student.chat_template import chat_template
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.target_text import join
from tinyllm.training.arguments import training_arguments
from tinyllm.training.distributed import is_first
from tinyllm.training.examples import ANSWER, Example, Learnt, Task, UnknownTokens, targets_of
from tinyllm.training.live.bar import Progress
from tinyllm.training.live.pace import Pace
from tinyllm.training.live.report import Report, live_run
from tinyllm.training.loss_curve import LossCurve
from tinyllm.training.objective import Objective
from tinyllm.training.passes.frozen_states import frozen_states
from tinyllm.training.resume import last_checkpoint
from tinyllm.training.samples.match import every_rationale
from tinyllm.training.samples.plan import SamplePlan
from tinyllm.training.samples.sample_file import SampleFile, write_samples
from tinyllm.training.sharded.trainer import ShardedTrainer
from tinyllm.training.sharded.weights import recompute, shard
from tinyllm.training.step_collator import StepCollator, TrainingSample
from tinyllm.training.trainer import DistillationTrainer, Show
from tinyllm.training.validation import Judge, Look, best_look, open_judge

SOFT_LABELS = "soft_labels"  # the name of the divergence in the loss curve
BLOCK_ROWS = 1000  # rows whose texts the tokenizer is given together
VOCABULARY_ROWS = 100_000  # a scratch student's vocabulary is learnt from no more


@dataclass(frozen=True)
class Trained:
    """A trained student and what there is to say of its training."""

    model: LoadedModel
    metrics: dict[str, Any]
    curve: list[dict]  # rows of `step`, `task`, `loss`
    looks: list[Look]  # at valid, in order


def tasks_of(
    teachers: Sequence[str], loss: Loss, answer_prefix: str, rationale_prefix: str, target: str = "multitask"
) -> list[Task]:
    """Return the answer's task, then one for each teacher, in the order of `teachers`.

    The answer's has no weight where the answer is learnt behind rationales alone.
    """
    rationales = [Task(name, rationale_prefix.replace("{teacher}", name), alpha(loss, name)) for name in teachers]
    weight = 0.0 if target == "rationale_then_answer" else loss.answer
    return [Task(ANSWER, answer_prefix, weight), *rationales]


def train_student(
    params: Params,
    seed: int,
    train: Iterable[dict],
    valid: Sequence[Question],
    work: Path,
    has_read_all: Callable[[], None] = lambda: None,
    cache: Path | None = None,
    show: Show = lambda rows, looks: None,
) -> Trained:
    """Train one student from `seed` and return it as it was at its best look at valid.

    Where `work` holds a checkpoint of the same training, it goes on from there and ends with the same weights.

    Args:
        train: corpus rows, which are looped over twice
        valid: the questions to measure accuracy on
        work: an existing folder for checkpoints and the tokenised rows
        has_read_all: called once the corpus is read, before the first step
        cache: the folder of what may be deleted, where what was computed is kept for later trainings, and what trackers
            write; None keeps nothing and tells no tracker
        show: called at each look at valid with the loss curve's rows and the looks so far
    """
    if choose_device(params.runtime) == "cuda":
        # only a warning, since some kernels have no deterministic twin; the CPU's are deterministic as they are
        torch.use_deterministic_algorithms(True, warn_only=True)
    set_seed(seed)
    student, settings = params.student, params.train
    tasks, arm = (
        tasks_of(params.corpus.teachers, loss, student.answer_prefix, student.rationale_prefix, student.target)
        for loss in (params.loss, every_rationale(params.loss))
    )
    plan = SamplePlan(params, seed, tasks, arm)
    scratch = student.origin == "scratch"
    texts = vocabulary_texts(train, plan.vocabulary_tasks, student.target, plan.most) if scratch else []
    model = _untrained(params, texts, tasks, work)
    reader = InputEncoder(student, model)
    cuts, unknown, learnt = TruncationCounts(), UnknownTokens(model.plain_text.unknown_id), Learnt()
    plan.prepare(model, cache / "learnable" if cache else None)
    samples = _written(_encode_blocks(train, plan, reader, params, cuts, unknown, learnt), work, plan.several)
    if not len(samples):
        raise ValueError(
            f"student.target: {student.target}, but no rationale of {', '.join(params.corpus.teachers)} is sound; "
            "see data/quarantine.jsonl for why, or set it to multitask"
        )
    if is_first() and (note := unknown.note()):
        print(note, flush=True)
    judge = open_judge(valid, reader, params, [tasks[i].name for i in sorted(learnt.tasks)], learnt.longest)
    has_read_all()
    if not settings.epochs:
        move(model, choose_device(params.runtime))
        looks = [Look(0, *judge(model))]
        metrics = _metrics(looks, 0, 1, cuts, unknown, len(samples), model)
        return Trained(model, metrics | plan.metrics(0), [], looks)
    trainer = _trainer(params, seed, work, model, tasks, samples, judge, plan.steps(), cache, show)
    model.wrapped.train()  # a checkpoint is loaded without its dropout, and what wraps it here would not tell
    last = last_checkpoint(work)
    if cache and params.runtime.report_to:
        trainer.add_callback(Report(params.runtime.report_to, live_run(params, seed, cache, goes_on=last is not None)))
    if last:
        print(
            f"going on after step {last.name.removeprefix('checkpoint-')}, from a training that was cut off", flush=True
        )
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    steps, steps_per_epoch = trainer.state.global_step, -(-len(samples) // settings.batch_size)
    trainer.load_best()
    metrics = _metrics(trainer.looks, steps, steps_per_epoch, cuts, unknown, len(samples), model)
    return Trained(model, metrics | plan.metrics(steps), trainer.curve.rows(steps), trainer.looks)


def _untrained(params: Params, texts: Sequence[str], tasks: Sequence[Task], work: Path) -> LoadedModel:
    """Return the student before its first step; a scratch one that is causal gets a chat template of its own."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        model = new_student(params.student, params.train.dropout, texts, Path(folder))
    if params.student.origin == "scratch" and model.causal:
        voices = [task.name for task in tasks[1:] if task.weight > 0]
        model.tokenizer.chat_template = chat_template(params.student, voices)
    return model


def _written(blocks: Iterable[Sequence[TrainingSample]], work: Path, alternatives: bool) -> SampleFile:
    """Write the samples to this process's file, and return it."""
    path = work / f"samples-{os.environ.get('RANK', '0')}.arrow"
    write_samples(path, blocks, alternatives)
    return SampleFile(path)


def _trainer(
    params: Params,
    seed: int,
    work: Path,
    model: LoadedModel,
    tasks: Sequence[Task],
    samples: SampleFile,
    judge: Judge,
    steps: int | None,
    cache: Path | None,
    show: Show,
) -> DistillationTrainer:
    names, weights = [task.name for task in tasks], [task.weight for task in tasks]
    if params.loss.kd:
        names, weights = [*names, SOFT_LABELS], [*weights, params.loss.kd]
    arguments = training_arguments(params, seed, work, len(samples), steps)
    pace, runtime = Pace(), params.runtime
    shared = runtime.shard and arguments.world_size > 1
    frozen = None if shared else frozen_states(model, cache, runtime.frozen_cache_gb, runtime.precision)
    objective = Objective(model, torch.tensor(weights), params.score.normalize == "tokens", frozen)
    if runtime.recompute:
        recompute(model.plain)
    if shared:
        shard(objective, arguments.device.type, arguments.world_size, runtime.precision)
    by_layer = runtime.shard or runtime.recompute
    return (ShardedTrainer if runtime.shard else DistillationTrainer)(
        objective=objective,
        args=arguments,
        samples=samples,
        steps=StepCollator(
            model, len(weights), runtime.batch_tokens, arguments.process_index, arguments.world_size, by_layer
        ),
        callbacks=[Progress(pace)],
        judge=judge,
        curve=LossCurve(names),
        patience=params.train.patience,
        batch_size=params.train.batch_size,
        pace=pace,
        show=show,
    )


def vocabulary_texts(
    rows: Iterable[dict], tasks: Sequence[Task], target: str = "multitask", most: int | None = 1
) -> list[str]:
    """Return what a scratch student's vocabulary is learnt from: questions, answers, the rationales and prefixes in use.

    A prefix counts once a question: spelt letter by letter, it would look to the student like any word it does not know.
    Of more than VOCABULARY_ROWS rows every second is taken, of more than twice as many every fourth, and so on.

    Args:
        most: rationales of a teacher and question; None is all
    """
    questions: list[str] = []
    targets: set[str] = set()
    teachers = [task.name for task in tasks if task.weight > 0 and task.name != ANSWER]
    stride = 1
    for number, row in enumerate(rows):
        targets.update(row["targets"])
        if number % stride:
            continue
        answer = row["targets"][ANSWER]
        known = [name for name in teachers if name in row["targets"]]
        rationales = [join(target, text, answer) for name in known for text in targets_of(row, name, most)]
        questions.append("\n".join([row["context"], row["input"], answer, *rationales]))
        if len(questions) > VOCABULARY_ROWS:
            questions, stride = questions[::2], stride * 2
    used = [task.prefix for task in tasks if task.weight > 0 and task.name in targets]
    return [*questions, *used * len(questions)]


def _encode_blocks(
    rows: Iterable[dict],
    plan: SamplePlan,
    reader: InputEncoder,
    params: Params,
    cuts: TruncationCounts,
    unknown: UnknownTokens,
    learnt: Learnt,
) -> Iterator[list[TrainingSample]]:
    """Yield the samples of every BLOCK_ROWS rows, those left out that teach nothing.

    What was cut is added to `cuts`, what is not known to `unknown`, and what there is to learn to `learnt`.
    """
    unread = iter(rows)
    while block := list(islice(unread, BLOCK_ROWS)):
        examples, block_cuts = plan.encode(block, reader)
        cuts.add(block_cuts)
        unknown.add([example for question in examples for example in question])
        learnt.add([example for question in examples for example in question])
        answer_prefix, tasks = params.student.answer_prefix, len(plan.tasks)
        samples = with_soft_labels(block, examples, reader, answer_prefix, tasks, params.loss.kd)
        yield [sample for sample in samples if sample.examples or sample.options]


def with_soft_labels(
    rows: Sequence[dict],
    examples: Sequence[list[Example]],
    reader: InputEncoder,
    answer_prefix: str,
    task: int,
    weight: float,
) -> list[TrainingSample]:
    """Return each row's sample; where the divergence has a weight, with its options and the teachers' soft labels.

    Args:
        task: the index of the divergence among the tasks
    """
    samples = []
    for row, row_examples in zip(rows, examples, strict=True):
        probabilities = list(row.get("option_probabilities", {}).values()) if weight > 0 else []
        options = []
        if probabilities:
            reading = reader.question(answer_prefix, row["context"], row["input"], TruncationCounts())
            targets = [reader.target(choice, TruncationCounts(), limit=10**6) for choice in row["choices"]]
            options = [Example(task, reading.source, reading.prompt, target) for target in targets]
        soft_labels = np.array(probabilities, dtype=np.float32) if probabilities else None
        samples.append(TrainingSample(row["id"], row_examples, options, soft_labels))
    return samples


def _metrics(
    looks: Sequence[Look],
    steps: int,
    steps_per_epoch: float,
    cuts: TruncationCounts,
    unknown: UnknownTokens,
    questions: int,
    model: LoadedModel,
) -> dict[str, Any]:
    best = best_look(looks)
    voices = {name: round(accuracy, 4) for name, accuracy in best.voices.items()}
    return {
        "valid_accuracy": round(best.accuracy, 4),
        **({"voices": voices, "longest_text": best.longest} if voices else {}),
        "best_epoch": round(best.step / steps_per_epoch),
        "epochs": round(steps / steps_per_epoch),
        "steps": steps,
        "questions": questions,
        "parameters": sum(weight.numel() for weight in model.wrapped.parameters()),
        "inputs_cut": cuts.inputs_cut,
        "inputs_over_limit": cuts.inputs_over_limit,
        "targets_cut": cuts.targets_cut,
        **unknown.shares(),
    }
