"""Deal a student's weights out over the processes by FSDP2, and gather them where the whole student is needed.

Every layer is a unit: its weights are gathered before it computes and freed after. What lies outside the layers, such as
embeddings that two stacks share, is one more unit. Source: PyTorch's `fully_shard`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from tinyllm.student.tuning import layer_stacks
from tinyllm.training.objective import Objective


def recompute(model: PreTrainedModel) -> None:
    """Keep a layer's input alone on the way forward, and compute what is in it once more on the way back."""
    # transformers 5.23 has given up the older name
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def shard(objective: Objective, device: str, processes: int, precision: str) -> None:
    """Leave every process with its share of each weight; the student has to be the same in all of them.

    Layer after layer goes to the device, so that the whole student never has to fit there.

    Args:
        precision: with bf16 weights travel and compute in bf16; the optimizer's own, and gradients' sums, stay in float32
    """
    # a T5's layers return their position bias, a view; nobody changes it in place
    warnings.filterwarnings("ignore", ".*returned a view tensor", UserWarning)
    mesh = init_device_mesh(device, (processes,))
    rounded = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
    )  # the objective's counts are inputs, too, and must not be rounded
    policy = rounded if precision == "bf16" else MixedPrecisionPolicy(cast_forward_inputs=False)
    for stack in layer_stacks(objective.loaded.plain):
        for layer in stack:
            fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(objective, mesh=mesh, mp_policy=policy)


@contextmanager
def whole_weights(objective: nn.Module) -> Iterator[None]:
    """Give every process all weights on its device, without gradients or optimizer states. All processes have to enter."""
    units = [unit for unit in objective.modules() if isinstance(unit, FSDPModule)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.reshard()
            unit.set_reshard_after_forward(unit is not objective, recurse=False)


def whole(weight: Tensor) -> Tensor:
    """Return all of a weight, on every process. All processes have to ask."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def gather(objective: nn.Module, keep: bool) -> None:
    """Put plain weights in the place of the sharded ones, for good. All processes have to call it.

    Args:
        keep: whether this process is to have them, in the machine's memory; else they are empty
    """
    gathered: dict[int, nn.Parameter] = {}  # embeddings that two modules share stay shared
    for module in list(objective.modules()):
        for name, weight in list(module._parameters.items()):
            if not isinstance(weight, DTensor):
                continue
            if id(weight) not in gathered:
                full = weight.detach().full_tensor()
                kept = full.cpu() if keep else full.new_empty(0)
                gathered[id(weight)] = nn.Parameter(kept, requires_grad=weight.requires_grad)
            module._parameters[name] = gathered[id(weight)]
