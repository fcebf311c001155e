"""Where a run's files lie, and what dvc.lock says of a stage.

Environment:
    TINYLLM_CACHE: the folder of the answer cache; otherwise `.cache` in $DVC_ROOT, otherwise `.cache` here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tinyllm.params.schema import Params
from tinyllm.records.jsonl import read_json

STUDENTS = Path("models/student")
OUTPUTS = tuple(  # the folders that stages write to
    Path(name)
    for name in (
        *(f"data/{part}" for part in ("questions", "recorded", "rationales", "exam", "corpus")),
        *(f"metrics/{part}" for part in ("query", "exam", "train", "loss", "valid")),
        "models/student",
        "report",
    )
)
WRITERS = ("ForConditionalGeneration", "ForCausalLM", "LMHeadModel", "MTModel")  # how such a model's class ends


def locked_stage(lock: str, name: str) -> dict[str, Any]:
    """Return what a dvc.lock, as DVC lays it out, says of a stage; empty where that has not run."""
    block = re.search(rf"^  {re.escape(name)}:\n(?:    .*\n)*", lock, re.MULTILINE)
    return YAML(typ="safe").load(block[0])[name] if block else {}


def cache_path() -> Path:
    """The file of the answer cache; see the environment above.

    Raises:
        ValueError: the environment names a home that is not known.
    """
    chosen = os.environ.get("TINYLLM_CACHE")
    folder = home_path(chosen, "TINYLLM_CACHE") if chosen else Path(os.environ.get("DVC_ROOT") or ".") / ".cache"
    return folder / "answers.sqlite"


def home_path(text: str, name: str) -> Path:
    """Return a path, with the folder of a home in the place of `~` or `~USER`.

    Args:
        name: the key or variable that has the path, for the error

    Raises:
        ValueError: this machine knows no such home.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{name}: {text}, but no such home is known here; give the path in full") from None


def check_writable(folders: Iterable[Path] = OUTPUTS) -> None:
    """Refuse to begin work whose results could not be written.

    Raises:
        ValueError: a line for each folder that cannot be written, or be made where there is none.
    """
    faults = []
    for folder in folders:
        place = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        if not place.is_dir():
            faults.append(f"{folder}: {place} is no folder; move it away, for results are written there")
        elif not os.access(place, os.W_OK | os.X_OK):
            faults.append(f"{folder}: {place} cannot be written; change its permissions, for results are written there")
    if faults:
        raise ValueError("\n".join(dict.fromkeys(faults)))


def known_seed(seed: int | None, params: Params) -> int:
    """Return the seed, the first where none is given.

    Raises:
        ValueError: no student has that seed.
    """
    if seed is not None and seed not in params.train.seeds:
        raise ValueError(f"seed {seed} is not in train.seeds, which has {', '.join(map(str, params.train.seeds))}")
    return params.train.seeds[0] if seed is None else seed


def check_student(folder: Path) -> Path:
    """Return the folder if it looks like a student's, by its files and not yet by its weights.

    Raises:
        ValueError: weights or configuration are missing, or it is a model that writes no text.
    """
    remedy = "run dvc repro train, or name a folder that tinyllm export has written"
    if (folder / "adapter_config.json").is_file() and (folder / "adapter_model.safetensors").is_file():
        return folder
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder}: holds no trained student (config.json and model.safetensors); {remedy}")
    config = read_json(folder / "config.json")
    kinds = config.get("architectures") or [f"a {config.get('model_type')} without a task"]
    if not str(kinds[0]).endswith(WRITERS):
        raise ValueError(f"{folder}: holds {kinds[0]}, a model that writes no text; {remedy}")
    return folder
