"""Calls of stages as a user makes them, in a folder with the project's params.yaml and some changes."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]


def call_download(folder: Path, monkeypatch: pytest.MonkeyPatch, **data: Any) -> None:
    """Call `stages/download.py` on the set in `own`; `data` are changes of that section."""
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["data"] |= {"dataset": "jsonl", "folder": "own", **data}
    values["corpus"]["teachers"] = []
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(values, file)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(sys, "argv", ["download.py"])
    runpy.run_path(str(ROOT / "stages/download.py"), run_name="__main__")
