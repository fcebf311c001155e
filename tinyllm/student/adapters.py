"""A tuned student's adapter by itself: peft's folder, which names the model that the adapter belongs to."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import AutoConfig, PreTrainedModel

from tinyllm.console import in_short
from tinyllm.models.checkpoint import load_model
from tinyllm.records.jsonl import read_json

if TYPE_CHECKING:
    from peft import PeftModel

ADAPTER = "adapter_model.safetensors"
KINDS = ("LORA", "PROMPT_TUNING")  # what students are tuned by; others of peft's load what their configuration names


def merge(model: PeftModel) -> PreTrainedModel:
    """Return the model with LoRA's adapters added to its weights for good."""
    from peft import LoraModel

    assert isinstance(model.base_model, LoraModel)
    merged = model.base_model.merge_and_unload()
    assert isinstance(merged, PreTrainedModel)
    return merged


def write_adapter(model: PeftModel, folder: Path) -> None:
    """Write the adapter's weights and configuration to a folder."""
    config = model.active_peft_config
    if not config.is_prompt_learning:
        config.target_modules = sorted(config.target_modules)  # a set's order differs from run to run
    model.save_pretrained(str(folder), save_embedding_layers=False)  # `auto` asks the hub for the model's configuration
    (folder / "README.md").unlink()  # an empty form of a model card


def load_base(folder: Path) -> PreTrainedModel:
    """Load the model that the adapter in a folder belongs to.

    Raises:
        ValueError: the folder does not tell which, that one cannot be loaded, or the adapter is of a kind that no student has.
    """
    adapter = read_json(folder / "adapter_config.json")
    if adapter.get("peft_type") not in KINDS or adapter.get("megatron_config"):  # that names a module to import
        raise ValueError(
            f"{folder}: damaged (its adapter is no plain {' or '.join(KINDS)}); delete it and run dvc repro train"
        )
    source, revision = adapter.get("base_model_name_or_path"), adapter.get("revision")
    if not isinstance(source, str):
        raise ValueError(
            f"{folder}: damaged (its adapter names no base_model_name_or_path); delete it and run dvc repro train"
        )
    options = {"revision": revision} if revision else {}
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
        return load_model(source, config, **options)
    except Exception as error:  # a dozen unrelated classes, all of them about that model
        raise ValueError(
            f"{folder}: its adapter belongs to {source}, which cannot be loaded ({in_short(error)}); put it there"
        ) from error


def read_adapter(base: PreTrainedModel, folder: Path) -> PeftModel:
    """Return the model wrapped with the adapter of a folder, ready to be scored.

    Raises:
        ValueError: a part of the adapter is missing. Other errors are the libraries' own.
    """
    from peft import PeftModel

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, folder)
    if missing := [str(note.message) for note in notes if "missing adapter keys" in str(note.message)]:
        raise ValueError(missing[0])
    return model
