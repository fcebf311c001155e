"""Runs by their dvc.lock: dozens of experiments are read in seconds, since DVC need not look at each revision."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tinyllm.experiments.runs import PREDICTIONS, QUESTIONS, Run, cached_file, parse_run, told
from tinyllm.project import locked_stage
from tinyllm.records.jsonl import read_jsonl
from tinyllm.records.questions import Question, read_questions


def read_locked(locks: Mapping[str, str]) -> dict[str, Run]:
    """Return the runs, by name, of the texts of their dvc.lock; nothing is fetched and nothing is changed.

    Raises:
        ValueError: a lock has no scores, or what it names is not in DVC's cache or damaged; one line with the remedy.
    """
    from dvc.repo import Repo  # slow to import

    @cache
    def questions_of(path: Path) -> list[Question]:
        return read_questions(path)

    runs = {}
    with Repo() as repo:
        for name, text in locks.items():
            md5s = _scored(name, text)
            questions, predictions = (cached_file(repo, name, file, md5s[file]) for file in (QUESTIONS, PREDICTIONS))
            with told(name, (questions, predictions)):
                runs[name] = parse_run(name, questions_of(questions), read_jsonl(predictions))
    return runs


def _scored(name: str, lock: str) -> dict[str, str]:
    """The md5 of every file that the stage `score` read or wrote."""
    stage = locked_stage(lock, "score")
    found = {file["path"]: file["md5"] for kind in ("deps", "outs") for file in stage.get(kind, ()) if "md5" in file}
    if missing := {QUESTIONS, PREDICTIONS} - found.keys():
        raise ValueError(f"{name}: the stage score of its dvc.lock has no {min(missing)}; run it again")
    return found
