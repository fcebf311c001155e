"""Runs by name, an experiment, branch, commit or the workspace: their test questions and predictions.

A commit's dvc.lock names both files in DVC's cache, so that dozens of experiments are read in seconds: DVC need not look at
each revision.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyllm.console import in_short
from tinyllm.experiments.dvc_experiments import read_blobs
from tinyllm.params.load import PATH
from tinyllm.project import locked_stage
from tinyllm.provenance.records import USED, check_run, fault_of, record_path
from tinyllm.records.jsonl import parse_line, read_jsonl
from tinyllm.records.predictions import parse_predictions
from tinyllm.records.questions import Question, read_questions

if TYPE_CHECKING:
    from dvc.repo import Repo

WORKSPACE = "workspace"  # DVC's own word for what lies in the folder now
STAGE = re.compile(r"^  ([\w@-]+):$", re.MULTILINE)  # a stage in a dvc.lock, as DVC lays it out
QUESTIONS, PREDICTIONS = "data/questions/test.jsonl", "data/predictions.jsonl"


@dataclass(frozen=True)
class Scored:
    """Which questions each seed of a run has right, without the questions."""

    name: str
    seeds: tuple[int, ...]  # ascending
    right: np.ndarray  # (seeds, questions), in the order of their ids
    asked: str  # the digest of the questions


@dataclass(frozen=True)
class Run:
    """One run's predictions on test; questions stand in the order of their ids.

    A free-text run has no options: its `choices` are 1 where the text is the gold answer and 0 where it is not.
    """

    name: str
    questions: list[Question]
    seeds: tuple[int, ...]  # ascending
    choices: np.ndarray  # (seeds, questions)
    scores: list[np.ndarray]  # one (seeds, options) a question
    texts: list[list[str]] = field(
        default_factory=list
    )  # what each seed wrote, a list a question; [] where there are options

    @property
    def gold(self) -> np.ndarray:
        """(questions,), what `choices` have to be."""
        return np.array([1 if question.free else question.answer for question in self.questions])

    @property
    def right(self) -> np.ndarray:
        """(seeds, questions), True where the gold option is chosen, or the gold answer written."""
        return self.choices == self.gold

    @property
    def asked(self) -> str:
        """The digest of the questions: every field that `compare` wants to be the same."""
        fields = [(q.id, q.question, q.context, q.choices, q.answer) for q in self.questions]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16]


def read_runs(names: Sequence[str]) -> list[Run]:
    """Read the named runs of the DVC project around the current folder; nothing is fetched and nothing is changed.

    Args:
        names: `NAME@VOICE` is what one voice of a run answered by itself

    Raises:
        ValueError: there is no project, no such revision, a file is missing or damaged, or the predictions are not of the
            questions beside them; one line that names the run, with the remedy.
    """
    with _project() as repo:
        parted = {name: _part(repo, name) for name in names}
        read = [
            _read_workspace(repo) if run == WORKSPACE else _read(repo, {run: _resolve(repo, run)})[run]
            for run, _ in parted.values()
        ]
    return [run if not voice else _voice(run, voice) for run, (_, voice) in zip(read, parted.values(), strict=True)]


def _part(repo: Repo, name: str) -> tuple[str, str]:
    """Return a run's name and that of one of its voices, or "" for the whole run."""
    from dvc.scm import RevError, resolve_rev

    run, at, voice = name.rpartition("@")
    if not at or not run:
        return name, ""
    try:
        resolve_rev(repo.scm, name)  # a branch may have such a name
    except RevError:
        return run, voice
    return name, ""


def _voice(run: Run, voice: str) -> Run:
    """Return what one voice of a run answered, as a run of its own."""
    rows = [row for seed in read_predictions(run.name).values() for row in seed]
    voices = sorted({name for row in rows for name in row.get("voices", {})})
    if voice not in voices:
        told = f"its voices are {', '.join(voices)}" if voices else "it was asked in no voices"
        raise ValueError(f"{run.name}@{voice}: no such voice; {told}")
    if any(voice not in row.get("voices", {}) for row in rows):
        raise ValueError(f"{run.name}@{voice}: not every seed was asked in that voice")
    own = [{"scores": [], "choice": None, **row["voices"][voice]} for row in rows]
    alone = [
        {**row, **{name: said.get(name) for name in ("choice", "scores", "matched")}, "text": said.get("answer")}
        for row, said in zip(rows, own, strict=True)
    ]
    return parse_run(f"{run.name}@{voice}", run.questions, alone)


def read_predictions(name: str) -> dict[int, list[dict]]:
    """Return by seed the rows of one run's predictions, in the order of its questions' ids; else as `read_runs`."""
    with _project() as repo:
        if name == WORKSPACE:
            _read_workspace(repo)  # it is checked as every run is
            folder = Path(os.path.relpath(repo.root_dir))
            questions, predictions = folder / QUESTIONS, folder / PREDICTIONS
        else:
            commit = _resolve(repo, name)
            _read(repo, {name: commit})
            (lock,) = read_blobs([f"{commit}:./dvc.lock"], Path(repo.root_dir))
            md5s = _scored(name, lock or "")
            questions, predictions = (_cached_file(repo, name, file, md5s[file]) for file in (QUESTIONS, PREDICTIONS))
        ordered = sorted(read_questions(questions), key=lambda question: question.id)
        return parse_predictions(read_jsonl(predictions), ordered, PREDICTIONS)


def read_commits(commits: Mapping[str, str]) -> dict[str, Run]:
    """Read the runs of commits, by the names that they are told under; else as `read_runs`."""
    with _project() as repo:
        return _read(repo, commits)


def commit_of(name: str) -> str:
    """Return the commit of an experiment, a branch or what else git knows; else as `read_runs`."""
    with _project() as repo:
        return _resolve(repo, name)


@contextmanager
def _project() -> Iterator[Repo]:
    from dvc.exceptions import DvcException  # slow to import, and the other commands do without
    from dvc.repo import Repo

    try:
        repo = Repo()
    except DvcException as error:
        raise ValueError(f"{in_short(error)}; run it inside the project's folder") from None
    with repo:
        yield repo


def _resolve(repo: Repo, name: str) -> str:
    """The commit of an experiment, a branch or what else git knows."""
    from dvc.scm import RevError, resolve_rev

    try:
        return str(resolve_rev(repo.scm, name))
    except RevError:
        near = get_close_matches(name, [*_names(repo), WORKSPACE], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`dvc exp list -A` and `git branch` list what there is"
        raise ValueError(f"{name}: no experiment, branch or commit of that name; {hint}") from None


def _names(repo: Repo) -> list[str]:
    from dvc.repo.experiments.utils import exp_refs

    names = [*repo.scm.list_branches(), *repo.scm.list_tags(), *(ref.name for ref in exp_refs(repo.scm))]
    return [name for name in names if name]


def _read(repo: Repo, commits: Mapping[str, str]) -> dict[str, Run]:
    questions_of = cache(read_questions)  # most experiments have the same
    locks = read_blobs([f"{commit}:./dvc.lock" for commit in commits.values()], Path(repo.root_dir))
    records = _read_records(commits, locks, Path(repo.root_dir))
    runs = {}
    for name, lock in zip(commits, locks, strict=True):
        md5s = _scored(name, lock or "")
        questions, predictions = (_cached_file(repo, name, file, md5s[file]) for file in (QUESTIONS, PREDICTIONS))
        _check_records(name, records[name], lock or "")
        with _named(name, questions, predictions):
            runs[name] = parse_run(name, questions_of(questions), read_jsonl(predictions))
    return runs


def _read_workspace(repo: Repo) -> Run:
    folder = Path(os.path.relpath(repo.root_dir))
    questions, predictions = folder / QUESTIONS, folder / PREDICTIONS
    for path in (questions, predictions):
        if not path.is_file():
            raise ValueError(f"{WORKSPACE}: {path}: no such file; `dvc repro` makes it, `dvc checkout` brings it back")
    if (folder / USED).is_dir():  # a version before this one wrote no records
        check_run(folder)
    with _named(WORKSPACE, questions, predictions):
        return parse_run(WORKSPACE, read_questions(questions), read_jsonl(predictions))


def _scored(name: str, lock: str) -> dict[str, str]:
    """The md5 of every file that the stage `score` read or wrote."""
    stage = locked_stage(lock, "score")
    md5s = {file["path"]: file["md5"] for kind in ("deps", "outs") for file in stage.get(kind, ()) if "md5" in file}
    for file in (QUESTIONS, PREDICTIONS):
        if file not in md5s:
            raise ValueError(f"{name}: its dvc.lock has no {file}; check it out and run `dvc repro` there")
    return md5s


def _read_records(commits: Mapping[str, str], locks: Sequence[str | None], folder: Path) -> dict[str, list[dict]]:
    """Return by name the records that a commit has of the stages in its dvc.lock; a version before this one wrote none."""
    stages = {name: STAGE.findall(lock or "") for name, lock in zip(commits, locks, strict=True)}
    wanted = [(name, record_path(stage)) for name, of_run in stages.items() for stage in of_run]
    texts = read_blobs([f"{commits[name]}:./{path.as_posix()}" for name, path in wanted], folder)
    records: dict[str, list[dict]] = {name: [] for name in commits}
    for (name, path), text in zip(wanted, texts, strict=True):
        if text is not None:
            records[name].append(parse_line(text, f"{name}: {path}"))
    return records


def _check_records(name: str, records: Sequence[Mapping[str, Any]], lock: str) -> None:
    """Refuse a run of which dvc.lock names other params than a stage has used.

    Raises:
        ValueError: it does; one line.
    """
    for record in records:
        locked = locked_stage(lock, str(record.get("stage"))).get("params", {}).get(str(PATH), {})
        if fault := fault_of(record, locked, "its dvc.lock"):
            raise ValueError(f"{name}: {fault}; remove it, and run it again")


def _cached_file(repo: Repo, name: str, file: str, md5: str) -> Path:
    """Where DVC's cache holds a file of a revision, once it is certain that it is whole."""
    path = Path(repo.cache.local.oid_to_path(md5))
    if not path.is_file():
        raise ValueError(
            f"{name}: {file} is not in DVC's cache; `dvc fetch --all-commits` (an experiment: `dvc exp pull`) takes it from "
            "a remote, else check it out and run `dvc repro`"
        )
    if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != md5:
        raise ValueError(
            f"{name}: {file} is damaged in DVC's cache; delete {os.path.relpath(path)}, then `dvc fetch --all-commits`, or "
            "check it out and run `dvc repro`"
        )
    return path


def add_to_cache(files: Sequence[bytes]) -> None:
    """Put files into DVC's cache, as if the run that made them had run here."""
    with _project() as repo:
        for content in files:
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if not Path(repo.cache.local.oid_to_path(md5)).is_file():
                repo.cache.local.add_bytes(md5, content)
                repo.cache.local.protect(repo.cache.local.oid_to_path(md5))


@contextmanager
def _named(name: str, questions: Path, predictions: Path) -> Iterator[None]:
    """Let a fault name the run and the file of the project, not that of the cache."""
    try:
        yield
    except ValueError as error:
        message = str(error).replace(str(questions), QUESTIONS).replace(str(predictions), PREDICTIONS)
        raise ValueError(f"{name}: {message}") from None


def parse_run(name: str, questions: Sequence[Question], rows: Sequence[dict]) -> Run:
    """Return a run, from its questions and the rows of its predictions in any order.

    Raises:
        ValueError: the rows are not of these questions; see `parse_predictions`.
    """
    ordered = sorted(questions, key=lambda question: question.id)
    by_seed = parse_predictions(rows, ordered, PREDICTIONS)
    choices, scores, texts = [], [], []
    for question, answers in zip(ordered, zip(*by_seed.values(), strict=True), strict=True):
        choices.append([int(row["matched"]) if question.free else row["choice"] for row in answers])
        neither = [0.0, 0.0]  # a tie of the seeds is wrong, as the lower one
        scores.append(np.array([neither if question.free else row["scores"] for row in answers], dtype=float))
        if question.free:
            texts.append([str(row.get("text") or "") for row in answers])
    return Run(name, ordered, tuple(by_seed), np.array(choices).T, scores, texts)
