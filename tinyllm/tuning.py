"""What of a student is trained: every weight, the upper layers', low-rank adapters in its layers (LoRA), or a soft prompt.

Adapters and soft prompts are peft's. It wraps the model, and the functions below look beneath the wrapper, so that training
and scoring need not know how a student was tuned.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, ModuleList
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tinyllm.settings import Params, Student


def tune(model: PreTrainedModel, student: Student) -> Any:
    """Return the model with what is to be trained of it: itself, or peft's wrapper around it, the rest of it frozen.

    The adapter's configuration names the model it belongs to only where it is to be saved alone. Seed torch first.

    Raises:
        ValueError: more upper layers are to be trained than the model has.
    """
    if student.tuning == "full":
        return model
    if student.tuning == "upper":
        _freeze_below(model, student.upper.layers)
        return model
    from peft import LoraConfig, PromptTuningConfig, PromptTuningInit, TaskType, get_peft_model

    task = TaskType.SEQ_2_SEQ_LM if model.config.is_encoder_decoder else TaskType.CAUSAL_LM
    alone = student.tuning == "prompt" or student.lora.saved == "adapter"
    config: LoraConfig | PromptTuningConfig
    if student.tuning == "lora":
        config = LoraConfig(
            task_type=task,
            r=student.lora.rank,
            lora_alpha=student.lora.alpha,  # type: ignore[arg-type]  # it divides by the rank, whole or not
            lora_dropout=student.lora.dropout,
            target_modules=_linear_layers(model),
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2's linear layers
        )
    else:
        config = PromptTuningConfig(
            task_type=task,
            num_virtual_tokens=student.soft_prompt.tokens,
            num_transformer_submodules=1,  # before the encoder only; a decoder's own would shift its labels
            prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,  # words at random: vectors of the size the model is used to
        )
    with warnings.catch_warnings():  # peft asks the model by a name that transformers has given up
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        tuned = get_peft_model(model, config)
    config.base_model_name_or_path = student.model if alone else None
    config.revision = student.revision if alone else None
    return tuned


def plain(model: Any) -> PreTrainedModel:
    """Return the model beneath peft's wrapper; computing with it computes with LoRA's adapters, which lie in its layers.

    A soft prompt is not in it: see `embedded`.
    """
    return model if isinstance(model, PreTrainedModel) else model.get_base_model()


def embedded(model: Any, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return what the encoder, or a causal student's decoder, of `plain(model)` is called with to read these tokens.

    A soft prompt stands at the head of every row, before any padding there.

    Args:
        ids: (B, S)
        mask: (B, S), 1 where there is a token

    Returns:
        input_ids and attention_mask; with a soft prompt of P vectors inputs_embeds (B, P + S, D) and the mask (B, P + S).
    """
    tokens = soft_tokens(model)
    if not tokens:
        return {"input_ids": ids, "attention_mask": mask}
    words = plain(model).get_input_embeddings()(ids)  # (B, S, D)
    learnt = model.get_prompt(batch_size=len(ids)).to(words.dtype)  # (B, P, D)
    return {
        "inputs_embeds": torch.cat([learnt, words], dim=1),
        "attention_mask": torch.cat([mask.new_ones(len(mask), tokens), mask], dim=1),
    }


def soft_tokens(model: Any) -> int:
    """The number of vectors learnt before every input, 0 without a soft prompt."""
    if isinstance(model, PreTrainedModel) or not model.active_peft_config.is_prompt_learning:
        return 0
    return int(model.active_peft_config.num_virtual_tokens)


def learning_rate(params: Params) -> float:
    """The highest learning rate: whatever is tuned in place of every weight has one of its own."""
    student = params.student
    match student.tuning:
        case "lora":
            return student.lora.learning_rate
        case "prompt":
            return student.soft_prompt.learning_rate
        case "upper":
            return student.upper.learning_rate
    return params.train.learning_rate


def _freeze_below(model: PreTrainedModel, layers: int) -> None:
    """Leave only the last layers of each stack trainable: of a causal model nothing below them is computed backwards."""
    stacks, kind = _stacks(model), model.config.model_type
    if not stacks:
        raise ValueError(f"student.tuning: upper, but where a {kind} has its layers is not known; use full or lora")
    if layers > (fewest := min(map(len, stacks))):
        raise ValueError(f"student.upper.layers: {layers}, but a stack of this {kind} has {fewest}; lower it")
    model.requires_grad_(False)
    for stack in stacks:
        for layer in list(stack)[-layers:]:
            layer.requires_grad_(True)


def _stacks(model: PreTrainedModel) -> list[ModuleList]:
    """The lists of layers that a hidden state passes one after another: one of a causal model's, two of a T5's."""
    counts = {
        getattr(model.config, name, None) for name in ("num_hidden_layers", "num_decoder_layers", "decoder_layers")
    }
    stacks: dict[str, ModuleList] = {}
    for name, part in model.named_modules():
        inner = any(name.startswith(f"{outer}.") for outer in stacks)  # such as a layer's experts
        if isinstance(part, ModuleList) and len(part) in counts and not inner:
            stacks[name] = part
    return list(stacks.values())


def _linear_layers(model: PreTrainedModel) -> list[str]:
    """Return what the linear layers of attention and feed-forward are called; the output layer often is the embeddings."""
    output = model.get_output_embeddings()
    found = [name for name, part in model.named_modules() if isinstance(part, Linear | Conv1D) and part is not output]
    return sorted({name.rpartition(".")[2] for name in found})
