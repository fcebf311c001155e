"""A folder in which `python -m stages.train` finds what it reads: toy questions, rationales, a tiny student's params."""

from __future__ import annotations

from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.processes import Order, start_stage
from tests.toys import toy_params, toy_questions, toy_rows
from tinyllm.records.jsonl import write_jsonl
from tinyllm.records.questions import write_questions


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


def start(folder: Path, warm: bool = True) -> BaseProcess:
    """Start the training in a process of its own; what it prints goes to the file `printed` in its folder."""
    return start_stage(Order("train 3", folder, folder / "printed", {"DVC_ROOT": str(folder)}), warm)


def finish(folder: Path, warm: bool = True) -> str:
    """Train to the end and return what was printed."""
    process = start(folder, warm)
    process.join(timeout=300)
    printed = (folder / "printed").read_text(encoding="utf-8")
    assert process.exitcode == 0, printed
    return printed


def outcome(folder: Path) -> dict[str, bytes]:
    """Every file of the student, its metrics and its curves."""
    metrics = [folder / f"metrics/{name}" for name in ("train/3.json", "loss/3.tsv", "valid/3.tsv")]
    files = [*(folder / "models/student/3").iterdir(), *metrics]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
