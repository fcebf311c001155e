"""A tuned student's adapter by itself: peft's folder, which names the model that the adapter belongs to."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedModel

from tinyllm.console import in_short
from tinyllm.models.checkpoint import load_model
from tinyllm.records.jsonl import read_json

ADAPTER = "adapter_model.safetensors"


def is_adapter(model: Any) -> bool:
    """Whether the student is to be saved as its adapter alone."""
    return not isinstance(model, PreTrainedModel) and model.active_peft_config.base_model_name_or_path is not None


def merge(model: Any) -> PreTrainedModel:
    """Return the model with LoRA's adapters, if it has any, added to its weights for good."""
    return model if isinstance(model, PreTrainedModel) else model.merge_and_unload()


def write_adapter(model: Any, folder: Path) -> None:
    """Write the adapter's weights and configuration to a folder."""
    config = model.active_peft_config
    if not config.is_prompt_learning:
        config.target_modules = sorted(config.target_modules)  # a set's order differs from run to run
    model.save_pretrained(folder, save_embedding_layers=False)  # `auto` asks the hub for the model's configuration
    (folder / "README.md").unlink()  # an empty form of a model card


def load_base(folder: Path) -> Any:
    """Load the model that the adapter in a folder belongs to.

    Raises:
        ValueError: the folder does not tell which, or that one cannot be loaded.
    """
    named = read_json(folder / "adapter_config.json")
    source, revision = named.get("base_model_name_or_path"), named.get("revision")
    if not isinstance(source, str):
        raise ValueError(
            f"{folder}: damaged (its adapter names no base_model_name_or_path); delete it and run dvc repro train"
        )
    options = {"revision": revision} if revision else {}
    try:
        return load_model(source, AutoConfig.from_pretrained(source, **options), **options)
    except Exception as error:  # a dozen unrelated classes, all of them about that model
        reason = in_short(error)
        raise ValueError(
            f"{folder}: its adapter belongs to {source}, which cannot be loaded ({reason}); put it there"
        ) from error


def read_adapter(base: Any, folder: Path) -> Any:
    """Return the model wrapped with the adapter of a folder, ready to be scored.

    Raises:
        ValueError: a part of the adapter is missing. Other errors are the libraries' own.
    """
    from peft import PeftModel

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, folder)
    if missing := [str(note.message) for note in told if "missing adapter keys" in str(note.message)]:
        raise ValueError(missing[0])
    return model
