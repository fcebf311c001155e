"""A transformers checkpoint, of a student or of a local teacher: on the hub, in a folder, or in a .gguf file in either.

Code that comes with a checkpoint runs for one alone: a model that the params name, where they say `trust_remote_code: true`.
Every load says so itself, for a library that is not told asks on stdin. Weights are safetensors or .gguf, never pickles.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from tinyllm.console import bars_on_terminals_alone, in_short
from tinyllm.models.source import Source, check_folder, check_weights


@dataclass(frozen=True)
class Checkpoint:
    """All of a checkpoint but its weights."""

    source: Source
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase


def open_checkpoint(source: Source) -> Checkpoint:
    """Open configuration and tokenizer.

    Raises:
        ValueError: there is no such checkpoint, or it writes no text; one line that starts with the params' key.
    """
    if source.folder:
        check_folder(source, source.folder)
    where, trusted = str(source.folder or source.name), source.trust_remote_code
    with errors_start(source):
        config = AutoConfig.from_pretrained(where, trust_remote_code=trusted, **source.options)
        _check_kind(config)
        check_weights(source)
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=trusted, **source.options)
    if is_empty(tokenizer):
        raise ValueError(
            f"{source.key}: the tokenizer of {source.name} has {len(tokenizer)} pieces; its vocabulary is missing"
        )
    return Checkpoint(source, config, tokenizer)


def load_weights(checkpoint: Checkpoint, dtype: torch.dtype, device: str | None = None) -> PreTrainedModel:
    """Load a checkpoint's model.

    Args:
        device: where its weights are put at once; without it they stay with the processor

    Raises:
        ValueError: weights are missing or damaged; one line that starts with the params' key.
    """
    source = checkpoint.source
    with errors_start(source):
        where = str(source.folder or source.name)
        place = {"device_map": device} if device else {}
        return load_model(where, checkpoint.config, dtype, source.trust_remote_code, **source.options, **place)


def load_model(
    source: str,
    config: PretrainedConfig,
    dtype: torch.dtype = torch.float32,
    trust_remote_code: bool = False,
    **options: Any,
) -> PreTrainedModel:
    """Load the weights of a sequence-to-sequence or causal model.

    Args:
        source: a hub id or a folder
        options: of transformers' `from_pretrained`

    Raises:
        ValueError: weights are missing; they would be random. Other errors are the library's own.
    """
    # with a report on the weights they return a pair, which their types do not say
    loader: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    if "gguf_file" in options:
        from transformers import GgufConfig

        # packed weights cannot be trained, and their kernels are code that would be fetched from the hub
        options["quantization_config"] = GgufConfig(dequantize=True)
    else:
        options["use_safetensors"] = True
    with bars_on_terminals_alone():
        model, report = loader.from_pretrained(
            source,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
            **options,
        )
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"it lacks {len(missing)} of its weights ({', '.join(missing[:3])}); they would be random")
    return model


def needs_code(*parts: object) -> bool:
    """Whether a model, its configuration or its tokenizer is of a class that came with a checkpoint."""
    return any(type(part).__module__.partition(".")[0] == "transformers_modules" for part in parts)


def forget_code(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Drop what a checkpoint said of code that comes with it: a folder that repeats it would make every reader be asked."""
    for part in (model.config, model.generation_config):
        vars(part).pop("auto_map", None)
    tokenizer.init_kwargs.pop("auto_map", None)


def is_empty(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether it knows no word: one whose file is missing is built, without a sound, of special pieces and `▁`."""
    return len(tokenizer) - len(tokenizer.all_special_ids) < 2


@contextmanager
def errors_start(source: Source) -> Iterator[None]:
    """Turn whatever is raised over a checkpoint into one line that names it.

    Raises:
        ValueError: transformers raises a dozen unrelated classes, all of them about the checkpoint that the params name.
    """
    start = f"{source.key}: "
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(start):
            raise
        raise ValueError(f"{source.key}: cannot load {source.name}: {in_short(error)}") from error


def _check_kind(config: PretrainedConfig) -> None:
    both_ways = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    if both_ways and not config.is_encoder_decoder:
        raise ValueError(
            f"a {config.model_type} fills gaps and writes no text; use a causal or sequence-to-sequence model"
        )
