"""How a student's folder is loaded by hand: what the code on its card depends on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypedDict

from tinyllm.params.schema import Student
from tinyllm.records.jsonl import read_json
from tinyllm.student.encoding import space_before_target

ADAPTER_CONFIG = "adapter_config.json"


class Loading(TypedDict):
    causal: bool
    base: str | None  # the model that the folder's adapter belongs to; None where the folder is a whole model
    space: str  # between a causal student's prompt and what it writes


def loading(folder: Path, student: Student) -> Loading:
    """Return what the card's code depends on."""
    if saved_alone(student):
        config = read_json(folder / ADAPTER_CONFIG)
        causal, base = config["task_type"] == "CAUSAL_LM", named(config["base_model_name_or_path"])
    else:
        causal, base = not read_json(folder / "config.json").get("is_encoder_decoder", False), None
    return {"causal": causal, "base": base, "space": space_before_target(student)}


def saved_alone(student: Student) -> bool:
    """Whether its folder holds an adapter, without the model that it belongs to."""
    return student.tuning == "prompt" or (student.tuning == "lora" and student.lora.saved == "adapter")


def named(model: str) -> str:
    """A model, set or folder as it may be told: of a place on this machine only the last part."""
    return Path(model).name if re.match(r"[/\\~.]|[A-Za-z]:", model) else model
