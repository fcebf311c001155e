"""A copy of a trained student with its model card, in a folder that is ready for the hub."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, TypedDict

from tinyllm.export.harness import FILE as HARNESS_FILE
from tinyllm.export.harness import harness_task
from tinyllm.export.loading import ADAPTER_CONFIG, loading, named
from tinyllm.export.model_card import card, gather
from tinyllm.export.whole_folder import check_free, writing_folder
from tinyllm.params.schema import Params
from tinyllm.project import STUDENTS, check_student, locked_stage
from tinyllm.records.jsonl import read_json, write_json
from tinyllm.records.reading import read_text


class History(TypedDict):
    """What the card tells of how the student came about."""

    locked: bool  # dvc.lock knows its training
    commit: str | None
    differed: bool  # a tracked file differed from the commit


def export(folder: Path, seed: int, params: Params) -> None:
    """Copy a student and its card to `folder`, whole or not at all.

    Raises:
        ValueError: the folder is in use or cannot be written, or what the card tells of is missing or out of date.
    """
    source = check_student(STUDENTS / str(seed))
    check_free(folder)
    facts = {**gather(seed, params), **history(seed, params)}  # the latter refuses other params than the student's own
    loaded = loading(source, params.student)
    task = None if facts["own"]["free"] else harness_task(source, params, loaded, facts["revision"])
    text = card({**facts, **loaded, "harness": task})
    with writing_folder(folder) as whole:
        for path in sorted(source.iterdir()):
            shutil.copyfile(path, whole / path.name)  # neither DVC's links nor its write protection
        _hide_place(whole)
        (whole / "README.md").write_text(text, encoding="utf-8", newline="\n")
        if task:
            (whole / HARNESS_FILE).write_text(task.text, encoding="utf-8", newline="\n")


def _hide_place(folder: Path) -> None:
    """Of a model's place on this machine, which an adapter names, leave the last part."""
    path = folder / ADAPTER_CONFIG
    if path.is_file():
        config = read_json(path)
        write_json(path, {**config, "base_model_name_or_path": named(config["base_model_name_or_path"])})


def history(seed: int, params: Params) -> History:
    """Return it for one seed's student.

    Raises:
        ValueError: params.yaml is no longer what the student was trained with.
    """
    commit, differed = git_state()
    return {"locked": check_lock(seed, params), "commit": commit, "differed": differed}


def check_lock(seed: int, params: Params) -> bool:
    """Return whether dvc.lock knows the student's training.

    Raises:
        ValueError: it was trained with other values than params.yaml has now.
    """
    if not Path("dvc.lock").is_file():
        return False
    stage = locked_stage(read_text("dvc.lock"), f"train@{seed}")
    trained = stage.get("params", {}).get("params.yaml", {})
    values = json.loads(params.model_dump_json())
    for key, value in trained.items():
        now: Any = values
        for part in key.split("."):
            now = now[part] if isinstance(now, dict) and part in now else None
        if now != value:
            raise ValueError(f"params.yaml: {key} is not what seed {seed} was trained with; run dvc repro, then export")
    return bool(trained)


def git_state() -> tuple[str | None, bool]:
    """Return the current commit, None where there is no git, and whether a tracked file differs from it."""
    try:
        head = _git("rev-parse", "HEAD")
        if head.returncode:
            return None, False
        listed = _git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
        listed.check_returncode()
    except FileNotFoundError:
        return None, False
    return head.stdout.strip(), bool(listed.stdout)


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace")
