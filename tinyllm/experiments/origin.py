"""Where a page comes from: data set, day, commit, and the values in which the run differs from that commit's params.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tinyllm.experiments.dvc_experiments import CODE, git
from tinyllm.experiments.locked import leaves, locked_params
from tinyllm.records.reading import read_text
from tinyllm.records.surroundings import Change, Origin

LOCK = Path("dvc.lock")


def find_origin(today: date | None = None) -> Origin:
    """Return the origin of the run in this folder; without git there is no commit to differ from."""
    used = locked_params(read_text(LOCK)) if LOCK.is_file() else {}
    day = today or date.today()
    origin: Origin = {
        "dataset": dataset_in_words(used),
        "day": f"{day.day} {day:%B %Y}",
        "commit": None,
        "edited": False,
        "changes": [],
    }
    try:
        origin["commit"] = git("rev-parse", "--short", "HEAD").strip()
        origin["edited"] = bool(git("--no-optional-locks", "status", "--porcelain", "--", *CODE).strip())
        committed = leaves(YAML(typ="safe").load(git("show", "HEAD:./params.yaml")))
    except (OSError, ValueError):  # no git, no commit yet, or none that has params
        return origin
    origin["changes"] = changes(used, committed)
    return origin


def changes(used: Mapping[str, Any], committed: Mapping[str, Any]) -> list[Change]:
    """Return what a run used and its commit says differently, in the order of the stages.

    Args:
        used: by dotted key, of `locked_params`
        committed: all leaves of the commit's params.yaml
    """
    return [
        {"key": key, "committed": _written(committed[key]) if key in committed else None, "used": _written(value)}
        for key, value in used.items()
        if committed.get(key, KeyError) != value
    ]


def dataset_in_words(used: Mapping[str, Any]) -> str | None:
    """Return the data set's name, of one's own with its folder's name or its id; None where that is not known."""
    dataset = used.get("data.dataset")
    if dataset not in ("jsonl", "hub"):
        return dataset
    place = str(used.get("data.folder" if dataset == "jsonl" else "data.hub.path"))
    return Path(place).name if Path(place).is_absolute() or place.startswith(("~", "..")) else place


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
