"""A trained student's folder: written whole or not at all, and loaded from there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedModel

from tinyllm.console import in_short
from tinyllm.models.checkpoint import forget_code, is_empty, load_model
from tinyllm.models.finite import broken_weights
from tinyllm.models.loaded import LoadedModel, loaded_model, move
from tinyllm.student.adapters import ADAPTER, load_base, merge, read_adapter, write_adapter


def save_student(model: LoadedModel, folder: Path, max_new_tokens: int) -> None:
    """Write a Hugging Face folder: safetensors, configuration, tokenizer, greedy generation.

    Of a student whose adapter names the model it belongs to, that is peft's folder of the adapter alone. Other adapters are
    merged into the model's weights, for good. It takes the place of `folder` once it is whole; until then an old one stays.

    Raises:
        ValueError: it cannot be written, such as on a full disk.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with errors_name(folder):
            _write_model(model, partial, max_new_tokens)
            model.tokenizer.save_pretrained(partial)
    except BaseException:
        shutil.rmtree(partial)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _write_model(model: LoadedModel, folder: Path, max_new_tokens: int) -> None:
    if isinstance(model.wrapped, PreTrainedModel):
        whole = model.wrapped
    elif model.wrapped.active_peft_config.base_model_name_or_path is not None:
        write_adapter(model.wrapped, folder)
        return
    else:
        whole = merge(model.wrapped)
    whole.generation_config = _generation(model, max_new_tokens)
    forget_code(whole, model.tokenizer)
    whole.save_pretrained(folder)


def _generation(model: LoadedModel, max_new_tokens: int) -> GenerationConfig:
    config = model.plain.config
    return GenerationConfig(
        decoder_start_token_id=None if model.causal else config.decoder_start_token_id,
        eos_token_id=model.tokenizer.eos_token_id
        if model.causal
        else config.eos_token_id,  # what its targets ended with
        pad_token_id=config.pad_token_id,
        max_new_tokens=max_new_tokens,
        do_sample=False,
    )


def load_student(folder: Path, device: str = "cpu") -> LoadedModel:
    """Load a trained student from its folder; where that holds an adapter alone, with the model it belongs to.

    No code that lies there runs, whatever the params trust: they speak of the checkpoint that a student starts from.

    Args:
        device: where it is to compute

    Raises:
        ValueError: the folder holds no student, or a damaged one; or an adapter's model cannot be loaded.
    """
    adapter = (folder / "adapter_config.json").is_file()
    weights = ADAPTER if adapter else "model.safetensors"
    in_parts = not adapter and (folder / "model.safetensors.index.json").is_file()
    if not (folder / weights).is_file() and not in_parts:
        raise ValueError(f"{folder}: holds no trained student (no {weights}); run dvc repro train")
    base = load_base(folder) if adapter else None
    try:
        model = read_adapter(base, folder) if base else _load_whole(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, SafetensorError) as error:
        raise ValueError(f"{folder}: damaged ({in_short(error)}); delete it and run dvc repro train") from None
    if is_empty(tokenizer):
        raise ValueError(f"{folder}: damaged (no vocabulary); delete it and run dvc repro train")
    if broken := broken_weights(model):
        raise ValueError(f"{folder}: damaged ({broken}); delete it and run dvc repro train")
    student = loaded_model(model, tokenizer, str(folder))
    move(student, device)
    return student


def _load_whole(folder: Path) -> PreTrainedModel:
    return load_model(str(folder), AutoConfig.from_pretrained(folder, trust_remote_code=False))


@contextmanager
def errors_name(folder: Path) -> Iterator[None]:
    """Turn what is raised where a file cannot be written into one sentence that says where.

    Raises:
        ValueError: on a full disk safetensors raises its own class, torch a RuntimeError, Arrow and Python an OSError, and the
            tokenizer's library a plain Exception.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, (OSError, RuntimeError, SafetensorError)) and type(error) is not Exception:
            raise
        raise ValueError(f"{folder}: cannot be written ({in_short(error)}); free space and run again") from None
