"""Hugging Face's Trainer with TinyLLM's objective in its step, accuracy on valid as its judge, and its own checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Sampler
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from tinyllm.models.device import is_out_of_memory
from tinyllm.student.folder import errors_name
from tinyllm.training.live.pace import Pace
from tinyllm.training.loss import weighted_loss
from tinyllm.training.loss_curve import LossCurve, stretch
from tinyllm.training.objective import Objective
from tinyllm.training.samples.alternatives import DrawnSamples
from tinyllm.training.samples.sample_file import SampleFile
from tinyllm.training.step_collator import Part, Step, StepCollator, to_device
from tinyllm.training.validation import Judge, Look, best_look

Show = Callable[[Sequence[dict], Sequence[Look]], None]
WEIGHTS, PROGRESS, WHOLE = "model.safetensors", "progress.json", "whole"


class DistillationTrainer(Trainer):
    """A Trainer whose step is TinyLLM's objective over all tasks of the step's questions, and whose valid is accuracy.

    Args:
        objective: the student with its loss
        samples: one a question
        steps: makes an optimizer step's passes of its samples
        judge: asked at every look at valid
        patience: looks without a better one after which it stops
        pace: times steps and looks
        show: called with the loss curve's rows and the looks at every look, by the process that writes
    """

    def __init__(
        self,
        *,
        objective: Objective,
        samples: SampleFile,
        steps: StepCollator,
        judge: Judge,
        curve: LossCurve,
        patience: int,
        batch_size: int,
        pace: Pace | None = None,
        show: Show = lambda rows, looks: None,
        **options: Any,
    ) -> None:
        super().__init__(model=objective, eval_dataset=[0], **options)  # it wants one; `evaluate` asks the judge
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.samples, self.steps, self.judge, self.curve = samples, steps, judge, curve
        self.patience, self.batch_size = patience, batch_size
        self.pace, self.show = pace or Pace(), show
        self.looks: list[Look] = []
        self.rate, self.tokens = 0.0, 0  # of the step under way: its learning rate, and the tokens in it
        self.add_callback(Telling(self))

    @property
    def best(self) -> Look:
        """The best look, of equal ones the first."""
        return best_look(self.looks)

    def get_train_dataloader(self) -> DataLoader:
        """Every process gets every step's questions, and the collator takes its share: no question is dropped or doubled."""
        length = -(-len(self.samples) // self.batch_size)  # of an epoch, in steps

        def epoch() -> int:
            return self.state.global_step // length

        order = EpochOrder(len(self.samples), self.args.seed, epoch)
        drawn = DrawnSamples(self.samples, self.curve.tasks, self.args.seed, epoch)
        batches = BatchSampler(order, self.batch_size, drop_last=False)
        # the Trainer looks into a batch for keys, and finds none of those that it knows
        return DataLoader(drawn, batch_sampler=batches, collate_fn=lambda part: {"step": self.steps(part)})

    def training_step(
        self, model: nn.Module, inputs: Mapping[str, object], num_items_in_batch: object = None
    ) -> Tensor:
        """Run the step's parts one after the other; their gradients add up to the whole objective's.

        Raises:
            ValueError: the loss is not finite, or a part does not fit into memory; the message names the step's questions.
        """
        self.pace.begin()
        if not model.training:  # asked first: it walks over every module
            model.train()
        step = inputs["step"]
        assert isinstance(step, Step)
        self.rate, self.tokens = self.optimizer.param_groups[0]["lr"] if self.optimizer else 0.0, step.tokens
        counts = step.counts.to(self.args.device)
        total = torch.zeros_like(counts)
        passes = self._passes(step)
        for i, part in enumerate(passes):
            last = i == len(passes) - 1
            try:
                sums = self._pass(model, part, counts, last)
            except RuntimeError as error:  # OutOfMemoryError is one
                raise _in_one_line(error, self.state.global_step + 1, step) from None
            total += sums
        total = self.accelerator.reduce(total, "sum")
        if not torch.isfinite(total).all():
            where = _where(self.state.global_step + 1, step)
            raise ValueError(f"{where}: the loss is not finite; lower train.learning_rate")
        self.curve.add(self.state.global_step + 1, total, counts)
        return weighted_loss(total, counts, self.accelerator.unwrap_model(self.model).weights)

    def _pass(self, model: nn.Module, part: Part, counts: Tensor, last: bool) -> Tensor:
        alone = last or self.args.world_size == 1
        with nullcontext() if alone else self._gradients_stay(model):
            with self.compute_loss_context_manager():
                loss, sums = model(to_device(part, self.args.device), counts)
            # several processes' gradients are averaged, and the objective is their sum
            self.accelerator.backward(loss * self.args.world_size if self.args.world_size > 1 else loss)
        return sums

    def _passes(self, step: Step) -> list[Part]:
        return step.parts

    def _gradients_stay(self, model: nn.Module) -> AbstractContextManager[None]:
        """A block after whose passes no gradient travels to other processes: that happens once a step."""
        return cast(AbstractContextManager[None], self.accelerator.no_sync(model))

    def _looking(self) -> AbstractContextManager[None]:
        """A block in which the student has all its weights."""
        return nullcontext()

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        """Look at valid: keep the student if it is the best so far, stop if patience is at its end."""
        objective: Objective = self.accelerator.unwrap_model(self.model)
        with self.pace.look(), self._looking():
            judgement = self.judge(objective.loaded)
        objective.student.train()  # the judge switched its dropout off, which the wrapper around it would not tell
        self.looks.append(Look(self.state.global_step, *judgement))
        if self.best.step == self.state.global_step:
            self._write_weights(self.best_path)
        self.show_curves()
        voices = {f"voice/{name}": accuracy for name, accuracy in judgement.voices.items()}
        self.log({"valid_accuracy": judgement.accuracy, **voices})
        metrics = {"eval_valid_accuracy": judgement.accuracy, "epoch": self.state.epoch or 0}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        if sum(look.step > self.best.step for look in self.looks) >= self.patience:
            self.control.should_training_stop = True
        return metrics

    def show_curves(self) -> None:
        """Hand out both curves as they are by now; the points of the loss are those that a run of full length has."""
        if self.args.should_save:
            self.show(self.curve.rows(self.state.max_steps), self.looks)

    def log_step(self) -> None:
        """Count the step that has ended and, about as often as the loss curve has points, log what there is to see of it."""
        step = self.state.global_step
        self.pace.step(self.tokens)
        every = stretch(self.state.max_steps)
        if step % every and step != self.state.max_steps:
            return
        losses = {f"loss/{task}": loss for task, loss in self.curve.mean((step - 1) // every * every).items()}
        self.log({**losses, "learning_rate": self.rate, "tokens_per_second": round(self.pace.tokens_per_second(), 1)})

    @property
    def best_path(self) -> Path:
        """The file of the best look's weights."""
        return Path(str(self.args.output_dir)) / f"best-{WEIGHTS}"

    def load_best(self) -> None:
        """Give the student the weights of its best look."""
        self.accelerator.wait_for_everyone()  # the first process may still be writing them
        self._read_weights(self.best_path)
        self.accelerator.wait_for_everyone()  # and deletes them once it has saved the student

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Write what changes in training: the weights that are tuned, the loss curve, the looks at valid."""
        if not self.args.should_save:
            return
        folder = Path(output_dir or str(self.args.output_dir))
        self._write_weights(folder / WEIGHTS)
        self._write_progress(folder)

    def _save_checkpoint(self, model: nn.Module, trial: object) -> None:
        """Mark the checkpoint as whole once every process has written its part: no half of one is ever gone on from."""
        folder = Path(str(self.args.output_dir))
        with errors_name(folder):
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                (folder / f"checkpoint-{self.state.global_step}" / WHOLE).touch()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: object = None) -> None:
        folder = Path(resume_from_checkpoint)
        self._read_weights(folder / WEIGHTS)
        self._read_progress(folder)

    def _write_progress(self, folder: Path) -> None:
        with errors_name(folder):
            folder.mkdir(parents=True, exist_ok=True)
            progress = {"curve": self.curve.state(), "looks": self.looks}
            (folder / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")

    def _read_progress(self, folder: Path) -> None:
        progress = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
        self.curve.restore(progress["curve"])
        self.looks = [Look(*look) for look in progress["looks"]]

    def _tuned(self) -> dict[str, Tensor]:
        model = self.accelerator.unwrap_model(self.model)
        return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}

    def _write_weights(self, path: Path) -> None:
        """Write the tuned weights by the process that writes; all processes have to call it."""
        weights = {name: weight.detach().contiguous() for name, weight in self._tuned().items()}
        if not self.args.should_save:
            return
        partial = path.with_name(f"{path.name}.partial")
        with errors_name(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(weights, partial)
            partial.rename(path)

    def _read_weights(self, path: Path) -> None:
        saved = load_file(path)
        with torch.no_grad():
            for name, weight in self._tuned().items():
                weight.copy_(saved[name])


class EpochOrder(Sampler[int]):
    """The questions in another order every epoch, by seed and epoch alone: a training that goes on has the same order.

    Args:
        epoch: tells the epoch that begins
    """

    def __init__(self, count: int, seed: int, epoch: Callable[[], int]) -> None:
        self.count, self.seed, self.epoch = count, seed, epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch())
        yield from map(int, torch.randperm(self.count, generator=generator).numpy())  # no list of a million numbers


class Telling(TrainerCallback):
    """Has the trainer show what an earlier process has learnt, and log every step before it looks at valid."""

    def __init__(self, trainer: DistillationTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if self.trainer.curve.steps:
            self.trainer.show_curves()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.trainer.log_step()


def _where(step: int, batch: Step) -> str:
    shown = ", ".join(batch.ids[:8]) + (", ..." if len(batch.ids) > 8 else "")
    return f"step {step} (questions {shown})"


def _in_one_line(error: RuntimeError, step: int, batch: Step) -> RuntimeError | ValueError:
    """Return what to raise: of a lack of memory one line with the remedy, anything else as it is."""
    if not is_out_of_memory(error):
        return error
    where = _where(step, batch)
    return ValueError(f"{where}: out of memory; lower runtime.batch_tokens, then student.max_input_tokens")
