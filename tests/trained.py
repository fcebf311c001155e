"""A folder in which `python -m stages.train` finds what it reads: toy questions, rationales, a tiny student's params."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.toys import toy_params, toy_questions, toy_rows
from tinyllm.records.jsonl import write_jsonl
from tinyllm.records.questions import write_questions

ROOT = Path(__file__).resolve().parents[1]


def set_up(folder: Path, train: int = 48, teachers: tuple[str, ...] = ("signs", "care"), **changes: Any) -> None:
    """Write params.yaml, the corpus and the valid questions."""
    params = toy_params(corpus__teachers=teachers, train__seeds=(3,), **changes)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(listed(params.model_dump()), file)
    write_jsonl(folder / "data/corpus/train.jsonl", toy_rows(toy_questions(train, 1, "train"), *teachers))
    write_questions(folder / "data/questions/valid.jsonl", toy_questions(20, 2, "valid"))


def listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: listed(item) for key, item in value.items()}
    return [listed(item) for item in value] if isinstance(value, tuple) else value


def start(folder: Path) -> subprocess.Popen[str]:
    """Start the training in a process group of its own."""
    hidden = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | {"PYTHONPATH": str(ROOT)}
    environment["DVC_ROOT"] = str(folder)
    command = [sys.executable, "-m", "stages.train", "3"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, start_new_session=True, **pipes)


def finish(folder: Path) -> str:
    """Train to the end and return what was printed."""
    process = start(folder)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return out


def outcome(folder: Path) -> dict[str, bytes]:
    """Every file of the student, its metrics and its loss curve."""
    files = [*(folder / "models/student/3").iterdir(), folder / "metrics/train/3.json", folder / "metrics/loss/3.tsv"]
    return {path.name: path.read_bytes() for path in files}
