"""One stage of a dvc.lock, found without reading the whole: YAML takes seconds for dozens of them."""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml import YAML


def locked_stage(lock: str, name: str) -> dict[str, Any]:
    """Return what a dvc.lock, as DVC lays it out, says of a stage; empty where that has not run."""
    block = re.search(rf"^  {re.escape(name)}:\n(?:    .*\n)*", lock, re.MULTILINE)
    return YAML(typ="safe").load(block[0])[name] if block else {}
