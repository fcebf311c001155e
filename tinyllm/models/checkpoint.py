"""The checkpoint that a student starts from: on the hub, in a folder, or in a .gguf file in either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from tinyllm.console import bars_on_terminals_alone, in_short
from tinyllm.params.schema import Student

DROPOUTS = (  # T5 has one for all places, BART and Falcon one for each, Llama one at all, GPT-2 names its own
    *("dropout_rate", "dropout", "activation_dropout", "hidden_dropout", "attention_dropout"),
    *("resid_pdrop", "embd_pdrop", "attn_pdrop"),
)


def load_checkpoint(student: Student, dropout: float) -> tuple[Any, Any]:
    """Load a model and its tokenizer in float32.

    Raises:
        ValueError: there is no such checkpoint, or it cannot be a student; one line.
    """
    name, file = student.model, student.gguf_file or "config.json"
    assert name is not None  # params.py refuses a checkpoint without a name
    if student.origin == "local" and not (Path(name) / file).is_file():
        raise ValueError(f"student.model: {name} is no checkpoint folder (it has no {file})")
    options: dict[str, Any] = {"trust_remote_code": student.trust_remote_code}
    if student.revision:
        options["revision"] = student.revision
    if student.gguf_file:  # absolute, or a file of that name in the working directory would come first
        options["gguf_file"] = str(Path(name).resolve() / file) if student.origin == "local" else file
    try:
        config = AutoConfig.from_pretrained(name, **options)
        _check_kind(config)
        _set_dropout(config, dropout)
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        model = load_model(name, config, **options)
    except Exception as error:  # a dozen unrelated classes, all of them about the checkpoint that the params name
        reason = in_short(error)
        raise ValueError(f"student.model: cannot load {name}: {reason}") from error
    if is_empty(tokenizer):
        raise ValueError(
            f"student.model: the tokenizer of {name} has {len(tokenizer)} pieces; its vocabulary is missing"
        )
    if tokenizer.eos_token_id is None:
        raise ValueError(f"student.model: the tokenizer of {name} has no token that ends a text; use another model")
    set_padding(model, tokenizer)
    return model, tokenizer


def load_model(source: str, config: Any, **options: Any) -> Any:
    """Load the weights of a sequence-to-sequence or causal model, in float32.

    Raises:
        ValueError: weights are missing; they would be random. Other errors are the library's own.
    """
    loader: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    if "gguf_file" in options:
        from transformers import GgufConfig

        options["quantization_config"] = GgufConfig(dequantize=True)  # packed weights cannot be trained
    else:
        options["use_safetensors"] = True
    with bars_on_terminals_alone():
        model, report = loader.from_pretrained(
            source, config=config, dtype=torch.float32, output_loading_info=True, **options
        )
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"it lacks {len(missing)} of its weights ({', '.join(missing[:3])}); they would be random")
    return model


def set_padding(model: Any, tokenizer: Any) -> None:
    """Pad with the end-of-sequence token where there is no other, as of most causal models; padding is masked."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id


def is_empty(tokenizer: Any) -> bool:
    """Whether it knows no word: one whose file is missing is built, without a sound, of special pieces and `▁`."""
    return len(tokenizer) - len(tokenizer.all_special_ids) < 2


def _check_kind(config: Any) -> None:
    both_ways = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    if both_ways and not config.is_encoder_decoder:
        raise ValueError(
            f"a {config.model_type} fills gaps and writes no text; use a causal or sequence-to-sequence model"
        )


def _set_dropout(config: Any, dropout: float) -> None:
    known = [name for name in DROPOUTS if hasattr(config, name)]
    for name in known:
        setattr(config, name, dropout)
    if dropout and not known:
        raise ValueError(f"train.dropout is {dropout}, but a {config.model_type} has none; set it to 0.0")
