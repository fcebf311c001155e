"""Train one student: Hugging Face's Trainer with TinyLLM's objective in its step."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from tinyllm.batches import Cuts, Example, Task, collate, encode_corpus, split_step, target_counts
from tinyllm.loss import IGNORED, row_losses, task_sums, weighted_loss
from tinyllm.questions import Question
from tinyllm.scoring import choose, encode_questions, option_scores
from tinyllm.settings import Loss, Params, alpha
from tinyllm.students import device, naming, new_student

CURVE_POINTS = 60  # rows of the loss curve, whatever the run's length


@dataclass(frozen=True)
class Trained:
    """A trained student and what there is to say of its training."""

    model: Any
    tokenizer: Any
    metrics: dict[str, float | int]
    curve: list[dict]  # rows of `step`, `task`, `loss`


def tasks_of(teachers: Sequence[str], loss: Loss, answer_prefix: str, rationale_prefix: str) -> list[Task]:
    """Return the answer's task, then one for each teacher, in the order of `teachers`."""
    rationales = [Task(name, rationale_prefix.replace("{teacher}", name), alpha(loss, name)) for name in teachers]
    return [Task("answer", answer_prefix, loss.answer), *rationales]


def train_student(params: Params, seed: int, train: Sequence[dict], valid: Sequence[Question], work: Path) -> Trained:
    """Train one student from `seed` and return it as it was at its best look at valid.

    Args:
        train: corpus rows
        valid: the questions to measure accuracy on
        work: an existing folder for checkpoints; what is put there can be deleted afterwards
    """
    if device(params.runtime) == "cuda":
        # only a warning, since some kernels have no deterministic twin; the CPU's are deterministic as they are
        torch.use_deterministic_algorithms(True, warn_only=True)
    set_seed(seed)
    student, settings = params.student, params.train
    tasks = tasks_of(params.corpus.teachers, params.loss, student.answer_prefix, student.rationale_prefix)
    texts = vocabulary_texts(train, tasks)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        model, tokenizer = new_student(student, settings.dropout, texts, Path(folder))
    limits = (student.max_input_tokens, student.max_target_tokens)
    examples, cuts = encode_corpus(train, tasks, tokenizer, *limits)
    judge = Judge(valid, tokenizer, params)
    curve = LossCurve([task.name for task in tasks])
    trainer = DistillationTrainer(
        model=model,
        args=_arguments(params, seed, work / "checkpoints", len(examples)),
        train_dataset=examples,  # any sequence will do
        data_collator=Steps(len(tasks), params.runtime.batch_tokens, model.config.pad_token_id),
        callbacks=[EarlyStoppingCallback(settings.patience), Progress()],
        tasks=tasks,
        judge=judge,
        curve=curve,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.train()
    metrics = _metrics(trainer, judge, cuts, examples, model)
    return Trained(trainer.model, tokenizer, metrics, curve.rows(trainer.state.global_step))


def vocabulary_texts(rows: Sequence[dict], tasks: Sequence[Task]) -> list[str]:
    """Return what a scratch student's vocabulary is learnt from: questions, answers, and the prefixes in use.

    Rationales are left out, so that students of different teachers read with nearly the same pieces. A prefix counts once a
    question: spelt letter by letter, it would look to the student like any word it does not know.
    """
    used = [task.prefix for task in tasks if task.weight > 0 and any(task.name in row["targets"] for row in rows)]
    questions = [f"{row['context']}\n{row['input']}\n{row['targets']['answer']}" for row in rows]
    return [*questions, *used * len(rows)]


def _metrics(trainer: Trainer, judge: Judge, cuts: Cuts, examples: Sequence[Any], model: Any) -> dict[str, float | int]:
    steps_per_epoch = trainer.state.max_steps / trainer.args.num_train_epochs
    return {
        "valid_accuracy": round(max(judge.history), 4),
        "best_epoch": round((trainer.state.best_global_step or 0) / steps_per_epoch),
        "epochs": round(trainer.state.global_step / steps_per_epoch),
        "steps": trainer.state.global_step,
        "questions": len(examples),
        "parameters": sum(p.numel() for p in model.parameters()),
        "inputs_cut": cuts.inputs_cut,
        "inputs_over_limit": cuts.inputs_over_limit,
        "targets_cut": cuts.targets_cut,
    }


def _arguments(params: Params, seed: int, folder: Path, questions: int) -> TrainingArguments:
    settings, runtime = params.train, params.runtime
    steps_per_epoch = -(-questions // settings.batch_size)
    every = settings.eval_every * steps_per_epoch
    return TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        data_seed=seed,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        warmup_steps=int(settings.warmup * settings.epochs * steps_per_epoch),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=runtime.precision == "bf16",
        use_cpu=device(runtime) == "cpu",
        eval_strategy="steps",
        eval_steps=min(every, settings.epochs * steps_per_epoch),
        save_strategy="best",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="valid_accuracy",
        greater_is_better=True,
        logging_strategy="no",
        report_to="none",  # else a tracker that happens to be installed attaches itself
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
    )


class Steps:
    """Collator: the questions of one step become its forward passes and the step's token counts by task."""

    def __init__(self, n_tasks: int, batch_tokens: int, pad_id: int) -> None:
        self.n_tasks, self.batch_tokens, self.pad_id = n_tasks, batch_tokens, pad_id

    def __call__(self, questions: list[list[Example]]) -> dict[str, Any]:
        examples = [example for question in questions for example in question]
        parts = [collate(part, self.pad_id) for part in split_step(examples, self.batch_tokens)]
        return {"parts": parts, "counts": target_counts(examples, self.n_tasks)}


class DistillationTrainer(Trainer):
    """A Trainer whose step is TinyLLM's objective over all tasks of the step's questions, and whose valid is accuracy."""

    def __init__(self, *, tasks: Sequence[Task], judge: Judge, curve: LossCurve, **options: Any) -> None:
        super().__init__(eval_dataset=[0], **options)  # the Trainer wants one; `evaluate` below reads the judge's
        self.weights = torch.tensor([task.weight for task in tasks], device=self.args.device)
        self.judge, self.curve = judge, curve

    def training_step(self, model: Any, inputs: dict, num_items_in_batch: Any = None) -> Tensor:
        """Run the step's parts one after the other; their gradients add up to the whole objective's."""
        if not model.training:  # asked first: it walks over every module
            model.train()
        step = self._prepare_inputs(inputs)
        total = torch.zeros_like(self.weights)
        for part in step["parts"]:
            with self.compute_loss_context_manager():
                sums = self._task_sums(model, part)
                loss = weighted_loss(sums, step["counts"], self.weights)
            self.accelerator.backward(loss)
            total += sums.detach()
        if not torch.isfinite(total).all():
            raise ValueError(f"step {self.state.global_step + 1}: the loss is not finite; lower train.learning_rate")
        self.curve.add(self.state.global_step + 1, total, step["counts"])
        return weighted_loss(total, step["counts"], self.weights)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        with naming(Path(output_dir or str(self.args.output_dir))):
            super().save_model(output_dir, _internal_call)

    def _task_sums(self, model: Any, part: dict[str, Tensor]) -> Tensor:
        logits = model(
            input_ids=part["input_ids"],
            attention_mask=part["attention_mask"],
            decoder_input_ids=_shift_right(part["labels"], model.config),
            use_cache=False,
        ).logits  # (B, T, V)
        return task_sums(row_losses(logits, part["labels"]), part["tasks"], len(self.weights))

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return accuracy on valid, by likelihood."""
        metrics = {"eval_valid_accuracy": self.judge(self.model), "epoch": self.state.epoch or 0}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _shift_right(labels: Tensor, config: Any) -> Tensor:
    """Decoder inputs for labels (B, T): the start token first, the last label left out."""
    shifted = labels.new_full(labels.shape, config.decoder_start_token_id)
    shifted[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, config.pad_token_id)
    return shifted


class Judge:
    """Accuracy on valid by likelihood; tokenises once."""

    def __init__(self, questions: Sequence[Question], tokenizer: Any, params: Params) -> None:
        student = params.student
        self.inputs, self.options, _ = encode_questions(
            questions, tokenizer, student.answer_prefix, student.max_input_tokens
        )
        self.gold = np.array([question.answer for question in questions])
        self.batch_tokens, self.normalize = params.runtime.batch_tokens, params.score.normalize
        self.history: list[float] = []

    def __call__(self, model: Any) -> float:
        scores = option_scores(model, self.inputs, self.options, self.batch_tokens, self.normalize)
        chosen = np.array([choose(row) for row in scores])
        self.history.append(float((chosen == self.gold).mean()))
        return self.history[-1]


class LossCurve:
    """The mean token loss of every task, step by step, kept on the device until it is read."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = tasks
        self.steps: list[tuple[int, Tensor, Tensor]] = []

    def add(self, step: int, sums: Tensor, counts: Tensor) -> None:
        self.steps.append((step, sums, counts))

    def rows(self, last: int) -> list[dict]:
        """Return `step`, `task`, `loss` (nats a token), averaged over about CURVE_POINTS stretches of the run."""
        stretch = -(-last // CURVE_POINTS)
        out = []
        for start in range(0, len(self.steps), stretch):
            part = self.steps[start : start + stretch]
            sums = torch.stack([sums for _, sums, _ in part]).sum(dim=0)
            counts = torch.stack([counts for _, _, counts in part]).sum(dim=0)
            for task, total, count in zip(self.tasks, sums.tolist(), counts.tolist(), strict=True):
                if count:
                    out.append({"step": part[-1][0], "task": task, "loss": round(total / count, 4)})
        return out


class Progress(TrainerCallback):
    """A bar on a terminal, a plain line at each look at valid."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar = tqdm(total=state.max_steps, unit="step", disable=not sys.stderr.isatty(), leave=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        assert self.bar is not None
        self.bar.update(1)

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        tqdm.write(f"epoch {round(state.epoch or 0):>3}  valid accuracy {given['metrics']['eval_valid_accuracy']:.4f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        assert self.bar is not None
        self.bar.close()
