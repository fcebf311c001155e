"""What of a student is trained: every weight, the upper layers', low-rank adapters in its layers (LoRA), or a soft prompt.

Adapters and soft prompts are peft's, which wraps the model. `LoadedModel` looks beneath the wrapper, so that training and
scoring need not know how a student was tuned.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from torch.nn import Linear, ModuleList
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tinyllm.params.schema import Params, Student

if TYPE_CHECKING:
    from peft import PeftModel  # seconds: the function below imports it where there is something to wrap


def tune(model: PreTrainedModel, student: Student) -> PreTrainedModel | PeftModel:
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
    stacks, kind = layer_stacks(model), model.config.model_type
    if not stacks:
        raise ValueError(f"student.tuning: upper, but where a {kind} has its layers is not known; use full or lora")
    if layers > (fewest := min(map(len, stacks))):
        raise ValueError(f"student.upper.layers: {layers}, but a stack of this {kind} has {fewest}; lower it")
    model.requires_grad_(False)
    for stack in stacks:
        for layer in list(stack)[-layers:]:
            layer.requires_grad_(True)


def layer_stacks(model: PreTrainedModel) -> list[ModuleList]:
    """Return the lists of layers that a hidden state passes one after another: one of a causal model's, two of a T5's."""
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
    linear = [name for name, part in model.named_modules() if isinstance(part, Linear | Conv1D) and part is not output]
    return sorted({name.rpartition(".")[2] for name in linear})
