"""What dvc.yaml says of a stage: what it depends on and what it writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.params.yaml_file import read_yaml
from tinyllm.provenance.installed import template_folder

DVC_FILE = Path("dvc.yaml")


@dataclass(frozen=True)
class Definition:
    """A stage, or one of a foreach."""

    files: tuple[str, ...]  # and folders
    params: tuple[str, ...]  # dotted keys of params.yaml
    outs: tuple[str, ...]  # files and folders


def read_definition(stage: str, item: str | None, values: Mapping[str, Any]) -> Definition:
    """Return what dvc.yaml says of a stage.

    Args:
        item: of a foreach
        values: what params.yaml holds, which dvc.yaml may name in ${...}

    Raises:
        ValueError: dvc.yaml cannot be read, or has no such stage.
    """
    place = (
        DVC_FILE if DVC_FILE.is_file() else template_folder() / DVC_FILE
    )  # of a stage by hand, in a folder that has none
    stages = (read_yaml(place) or {}).get("stages") or {}
    if stage not in stages:
        raise ValueError(f"{DVC_FILE}: has no stage {stage}; it has {', '.join(stages)}")
    definition = stages[stage].get("do", stages[stage])

    def names(*kinds: str) -> tuple[str, ...]:
        return tuple(_filled(name, item, values) for kind in kinds for name in _names(definition.get(kind) or ()))

    return Definition(names("deps"), names("params"), names("outs", "metrics", "plots"))


def name_of(stage: str, item: str | None) -> str:
    """Return DVC's own name of a stage: `train@1`."""
    return stage if item is None else f"{stage}@{item}"


def value_at(values: Any, key: str) -> Any:
    """Return what stands at a dotted key; None where nothing does."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _names(entries: Iterable[str | Mapping[str, Any]]) -> Iterable[str]:
    for entry in entries:
        yield from [entry] if isinstance(entry, str) else entry


def _filled(text: str, item: str | None, values: Mapping[str, Any]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda found: str(item if found[1] == "item" else value_at(values, found[1])), text)
