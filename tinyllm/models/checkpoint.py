"""A transformers checkpoint, of a student or of a local teacher: on the hub, in a folder, or in a .gguf file in either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
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


@dataclass(frozen=True)
class Source:
    """Where a checkpoint lies, as the params say."""

    key: str  # of the params, which every error starts with
    name: str  # a hub id or a folder
    folder: Path | None  # None on the hub
    gguf_file: str | None
    revision: str | None  # of a hub model
    trust_remote_code: bool  # runs the code that comes with it

    @property
    def options(self) -> dict[str, Any]:
        """What transformers is to be called with, beside the name or folder."""
        options: dict[str, Any] = {"trust_remote_code": self.trust_remote_code}
        if self.revision:
            options["revision"] = self.revision
        if self.gguf_file:  # absolute, or a file of that name in the working directory would come first
            options["gguf_file"] = str(self.folder.resolve() / self.gguf_file) if self.folder else self.gguf_file
        return options


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
        _check_folder(source, source.folder)
    where = str(source.folder or source.name)
    with errors_start(source):
        config = AutoConfig.from_pretrained(where, **source.options)
        _check_kind(config)
        _check_weights(source)
        tokenizer = AutoTokenizer.from_pretrained(where, **source.options)
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
        return load_model(
            where, checkpoint.config, dtype, **source.options, **({"device_map": device} if device else {})
        )


def load_model(
    source: str, config: PretrainedConfig, dtype: torch.dtype = torch.float32, **options: Any
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
        model, report = loader.from_pretrained(source, config=config, dtype=dtype, output_loading_info=True, **options)
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"it lacks {len(missing)} of its weights ({', '.join(missing[:3])}); they would be random")
    return model


def is_empty(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether it knows no word: one whose file is missing is built, without a sound, of special pieces and `▁`."""
    return len(tokenizer) - len(tokenizer.all_special_ids) < 2


@contextmanager
def errors_start(source: Source) -> Iterator[None]:
    """Turn whatever is raised over a checkpoint into one line that names it.

    Raises:
        ValueError: transformers raises a dozen unrelated classes, all of them about the checkpoint that the params name.
    """
    try:
        yield
    except Exception as error:
        raise ValueError(f"{source.key}: cannot load {source.name}: {in_short(error)}") from error


def _check_folder(source: Source, folder: Path) -> None:
    if source.gguf_file and not (folder / source.gguf_file).is_file():
        there = ", ".join(sorted(path.name for path in folder.glob("*.gguf"))) or "none"
        raise ValueError(f"{source.key}: {source.name} holds no {source.gguf_file}; .gguf files there: {there}")
    if not source.gguf_file and not (folder / "config.json").is_file():
        raise ValueError(
            f"{source.key}: {source.name} is no checkpoint folder (it has no config.json); a .gguf needs gguf_file"
        )


def _check_weights(source: Source) -> None:
    if source.folder and not source.gguf_file and not any(source.folder.glob("*.safetensors")):
        raise ValueError("it holds no weights (*.safetensors); other formats are not read")


def _check_kind(config: PretrainedConfig) -> None:
    both_ways = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    if both_ways and not config.is_encoder_decoder:
        raise ValueError(
            f"a {config.model_type} fills gaps and writes no text; use a causal or sequence-to-sequence model"
        )
