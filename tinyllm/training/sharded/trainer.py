"""The trainer of a student whose weights are dealt out over the processes, or were and are now in one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tinyllm.student.folder import errors_name
from tinyllm.training.objective import Objective
from tinyllm.training.sharded.checkpoint import read_optimizer, read_weights, write_shares
from tinyllm.training.sharded.weights import gather, whole, whole_weights
from tinyllm.training.step_collator import Part, Step
from tinyllm.training.trainer import DistillationTrainer

SCHEDULE = "schedule.json"  # in a checkpoint


class Rounded(nn.Module):
    """A sharded objective as the Trainer calls it. It is no longer the Trainer's model, which so wraps it in nothing else."""

    def __init__(self, objective: Objective, bf16: bool) -> None:
        super().__init__()
        self.objective, self.bf16 = objective, bf16

    def forward(self, part: Part, counts: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(counts.device.type, torch.bfloat16, enabled=self.bf16):
            loss: tuple[Tensor, Tensor] = self.objective(part, counts)
            return loss


class ShardedTrainer(DistillationTrainer):
    """A DistillationTrainer whose processes have a share of each weight, gradient and optimizer state.

    All processes make the same number of passes, for every pass gathers weights from all. With one process it trains like any
    other, from the same checkpoints.
    """

    @property
    def shares(self) -> bool:
        """Whether there are several processes."""
        return bool(self.args.world_size > 1)

    @property
    def _module(self) -> Objective:
        """The student with its loss."""
        return cast(Objective, self.model)

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        if not self.shares:  # a share is where it belongs
            super()._move_model_to_device(model, device)

    def _wrap_model(self, model: nn.Module, training: bool = True, dataloader: Any = None) -> nn.Module:
        if not self.shares:
            return super()._wrap_model(model, training, dataloader)
        assert isinstance(model, Objective)
        return Rounded(model, self.args.bf16)

    def _passes(self, step: Step) -> list[Part]:
        if not self.shares:
            return step.parts
        assert step.nothing is not None
        most = torch.tensor(len(step.parts), device=self.args.device)
        distributed.all_reduce(most, distributed.ReduceOp.MAX)
        return [*step.parts, *[step.nothing] * (int(most) - len(step.parts))]

    def _gradients_stay(self, model: nn.Module) -> AbstractContextManager[None]:
        return nullcontext() if self.shares else super()._gradients_stay(model)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        with whole_weights(self._module) if self.shares else nullcontext():
            yield

    def _tuned(self) -> dict[str, Tensor]:
        """All of each tuned weight. All processes have to ask."""
        return {name: whole(weight) for name, weight in super()._tuned().items()}

    def load_best(self) -> None:
        """Give the first process the whole student, with the weights of its best look."""
        gather(self._module, keep=self.args.should_save)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            super()._read_weights(self.best_path)
        self.accelerator.wait_for_everyone()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write how far the training is; the weights follow with the optimizer's states."""
        if self.args.should_save:
            self._write_progress(Path(str(output_dir)))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        folder = Path(output_dir)
        with errors_name(folder):
            write_shares(folder, self._module, self._bare_optimizer)
            if self.args.should_save:
                (folder / SCHEDULE).write_text(json.dumps(self._schedule.state_dict()), encoding="utf-8")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: object = None) -> None:
        read_weights(Path(resume_from_checkpoint), self._module)
        self._read_progress(Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        read_optimizer(Path(checkpoint), self._module, self._bare_optimizer)
        self._schedule.load_state_dict(json.loads((Path(checkpoint) / SCHEDULE).read_text(encoding="utf-8")))

    @property
    def _schedule(self) -> LRScheduler:
        assert self.lr_scheduler is not None
        return self.lr_scheduler

    @property
    def _bare_optimizer(self) -> Optimizer:
        """The optimizer without accelerate's wrapper, which to torch is another class."""
        return cast(Optimizer, getattr(self.optimizer, "optimizer", self.optimizer))
