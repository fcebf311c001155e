"""A working folder in which a live teacher is asked: questions of our own, and params whose only teacher is a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tinyllm.records.jsonl import write_jsonl
from tinyllm.records.questions import LETTERS

ROOT = Path(__file__).resolve().parents[1]
COLOURS = ("red", "green", "blue", "grey")


def rows(split: str, count: int) -> list[dict]:
    """Questions that no two of are alike, as the rows of a question file."""
    return [
        {
            "id": f"{split}-{i}",
            "question": f"Which colour has the {split} house number {i} in {LETTERS[i % 26] * 3} street {i * 7}?",
            "choices": list(COLOURS),
            "answer": i % 4,
            "context": "",
        }
        for i in range(count)
    ]


def set_up(folder: Path, url: str, train: int, valid: int, test: int, **changes: Any) -> None:
    """Write questions and params.yaml; `changes` are dotted keys with `__` for the dot."""
    for split, count in (("train", train), ("valid", valid), ("test", test)):
        (folder / "data/questions").mkdir(parents=True, exist_ok=True)
        write_jsonl(folder / f"data/questions/{split}.jsonl", rows(split, count))
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["data"]["dataset"] = "jsonl"
    values["corpus"]["teachers"] = ["endpoint"]
    values["teachers"]["endpoint"] |= {"url": url, "model": "toy"}
    values["runtime"]["retries"] = 2
    for key, value in changes.items():
        *sections, last = key.split("__")
        section = values
        for name in sections:
            section = section[name]
        section[last] = value
    with open(folder / "params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)


def start(folder: Path, stage: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `python -m stages.STAGE endpoint` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}", "endpoint"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TINYLLM_CACHE": str(folder / "cache"), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
