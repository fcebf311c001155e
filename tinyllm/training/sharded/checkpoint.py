"""Checkpoints that every process writes its share of, and that any number of processes can go on from.

Source: torch.distributed.checkpoint.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.optim import Optimizer

from tinyllm.training.objective import Objective

SHARES = "shares"  # the folder in a checkpoint


def write_shares(folder: Path, objective: Objective, optimizer: Optimizer) -> None:
    """Write the weights that are tuned, and the optimizer's states. All processes have to call it.

    Raises:
        RuntimeError: one of them cannot write.
    """
    state = {"weights": _tuned(objective), "optimizer": get_optimizer_state_dict(objective, optimizer)}
    with _plainly():
        state_dict_saver.save(state, checkpoint_id=folder / SHARES, no_dist=not distributed.is_initialized())


def read_weights(folder: Path, objective: Objective) -> None:
    """Give the student the weights of a checkpoint, whatever number of processes wrote it. All processes have to call it.

    Raises:
        RuntimeError: one of them cannot read it.
    """
    with torch.no_grad():
        _read(folder, {"weights": _tuned(objective)})  # in place


def read_optimizer(folder: Path, objective: Objective, optimizer: Optimizer) -> None:
    """Give the optimizer the states of a checkpoint, likewise."""
    state = get_optimizer_state_dict(objective, optimizer)
    _read(folder, {"optimizer": state})
    set_optimizer_state_dict(objective, optimizer, state)


def _tuned(objective: Objective) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in objective.named_parameters() if weight.requires_grad}


def _read(folder: Path, state: dict[str, Any]) -> None:
    with _plainly():
        state_dict_loader.load(state, checkpoint_id=folder / SHARES, no_dist=not distributed.is_initialized())


@contextmanager
def _plainly() -> Iterator[None]:
    """Without torch's notes of its own future and of a single process, and with an error that is an Exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except CheckpointException as error:
            first = next(iter(error.failures.values()))[0]  # of the failures by rank
            raise RuntimeError(str(first)) from error
