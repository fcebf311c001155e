"""What a finished run was made with, as its dvc.lock has it: the values of its stages, and the code and test questions."""

from __future__ import annotations

from typing import Any

from tinyllm.project import locked_stage
from tinyllm.provenance.installed import VERSION_FILE

TEST = "data/questions/test.jsonl"
CODE_AND_TEST = ("stages/", "tinyllm/", str(VERSION_FILE), TEST)  # how their paths begin


def locked_params(lock: str) -> dict[str, Any]:
    """Return the values that the stages of a scored run used, by dotted key; {} where none was scored.

    A lock keeps stages of teachers and seeds that are no longer in use; these do not count.
    """
    scored = locked_values(lock, "score")
    if not scored:
        return {}
    teachers, seeds = scored["corpus.teachers"], scored["train.seeds"]
    asked = [f"{stage}@{teacher}" for stage in ("query", "exam") for teacher in teachers]
    values: dict[str, Any] = {}
    for stage in ("download", *asked, "assemble", *(f"train@{seed}" for seed in seeds)):
        values |= locked_values(lock, stage)
    return values | scored


def locked_values(lock: str, stage: str) -> dict[str, Any]:
    """Return the values that one stage used, by dotted key."""
    params = locked_stage(lock, stage).get("params", {}).get("params.yaml", {})
    return leaves(params) if params else {}


def locked_code(lock: str, seed: object) -> dict[str, str]:
    """Return the hashes of the code and the test questions that one seed's student was trained and scored with."""
    files = [file for stage in (f"train@{seed}", "score") for file in locked_stage(lock, stage).get("deps", ())]
    return {file["path"]: file["md5"] for file in files if file["path"].startswith(CODE_AND_TEST)}


def leaves(values: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested values by their dotted keys; an empty dict is a value."""
    if not isinstance(values, dict) or not values:
        return {prefix.rstrip("."): values}
    return {key: leaf for name, value in values.items() for key, leaf in leaves(value, f"{prefix}{name}.").items()}
