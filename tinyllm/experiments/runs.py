"""Runs by name, an experiment, branch, commit or the workspace: their test questions and predictions, read through DVC."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinyllm.records.jsonl import read_jsonl
from tinyllm.records.questions import Question, first_ids, read_questions

if TYPE_CHECKING:
    from dvc.repo import Repo

WORKSPACE = "workspace"  # DVC's own word for what lies in the folder now
QUESTIONS, PREDICTIONS = "data/questions/test.jsonl", "data/predictions.jsonl"
FIELDS = {"seed": int, "id": str, "gold": int, "choice": int, "scores": list}
FREE_FIELDS = {"seed": int, "id": str, "gold": str, "matched": bool}


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

    @property
    def gold(self) -> np.ndarray:
        """(questions,), what `choices` have to be."""
        return np.array([1 if question.free else question.answer for question in self.questions])

    @property
    def right(self) -> np.ndarray:
        """(seeds, questions), True where the gold option is chosen, or the gold answer written."""
        return self.choices == self.gold


def read_runs(names: Sequence[str]) -> list[Run]:
    """Read the named runs of the DVC project around the current folder; nothing is fetched and nothing is changed.

    Raises:
        ValueError: there is no project, no such revision, a file is missing or damaged, or the predictions are not of the
            questions beside them; one line that names the run, with the remedy.
    """
    from dvc.exceptions import DvcException  # slow to import, and the other commands do without
    from dvc.repo import Repo

    try:
        repo = Repo()
    except DvcException as error:
        raise ValueError(f"{_one_line(error)}; run it inside the project's folder") from None
    with repo:
        return [_read_run(repo, name) for name in names]


def _read_run(repo: Repo, name: str) -> Run:
    if name == WORKSPACE:
        folder = Path(os.path.relpath(repo.root_dir))
        paths = [folder / QUESTIONS, folder / PREDICTIONS]
        for path in paths:
            if not path.is_file():
                raise ValueError(f"{name}: {path}: no such file; `dvc repro` makes it, `dvc checkout` brings it back")
    else:
        paths = _cached(repo, name)
    with told(name, paths):
        return parse_run(name, read_questions(paths[0]), read_jsonl(paths[1]))


def _cached(repo: Repo, name: str) -> list[Path]:
    """Where DVC's cache holds both files of a revision, once it is certain that they are whole."""
    from dvc.exceptions import DvcException
    from dvc.scm import RevError

    paths = []
    try:
        with repo.switch(name):
            for file in (QUESTIONS, PREDICTIONS):
                paths.append(_object(repo, name, file))
    except RevError:
        near = get_close_matches(name, [*_names(repo), WORKSPACE], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`dvc exp list -A` and `git branch` list what there is"
        raise ValueError(f"{name}: no experiment, branch or commit of that name; {hint}") from None
    except DvcException as error:
        raise ValueError(f"{name}: {_one_line(error)}") from None
    return paths


def _object(repo: Repo, name: str, file: str) -> Path:
    """One output's file in the cache, of the revision that `repo` is switched to."""
    try:
        md5 = repo.dvcfs.info(f"/{file}").get("md5")
    except FileNotFoundError:
        md5 = None
    if md5 is None:
        raise ValueError(f"{name}: its dvc.lock has no {file}; check it out and run `dvc repro` there")
    return cached_file(repo, name, file, md5)


def cached_file(repo: Repo, name: str, file: str, md5: str) -> Path:
    """Return where DVC's cache holds a file of a revision.

    Raises:
        ValueError: it is not there, or damaged; the message has the remedy.
    """
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


def _names(repo: Repo) -> list[str]:
    from dvc.repo.experiments.utils import exp_refs

    names = [*repo.scm.list_branches(), *repo.scm.list_tags(), *(ref.name for ref in exp_refs(repo.scm))]
    return [name for name in names if name]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@contextmanager
def told(name: str, paths: Sequence[Path]) -> Iterator[None]:
    """Let a fault name the run and the file of the project, not that of the cache."""
    try:
        yield
    except ValueError as error:
        message = str(error)
        for path, file in zip(paths, (QUESTIONS, PREDICTIONS), strict=True):
            message = message.replace(str(path), file)
        raise ValueError(f"{name}: {message}") from None


def parse_run(name: str, questions: Sequence[Question], rows: Sequence[dict]) -> Run:
    """Return a run, from its questions and the rows of its predictions in any order.

    Raises:
        ValueError: a row is faulty or stands there twice, or a seed lacks a question; the message names the file and row.
    """
    by_id = {question.id: question for question in questions}
    found: dict[tuple[int, str], dict] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{PREDICTIONS}:{number}"
        _check(row, where, by_id)
        if found.setdefault((row["seed"], row["id"]), row) is not row:
            raise ValueError(f"{where}: seed {row['seed']} answers {row['id']!r} twice; run `dvc repro`")
    if not rows:
        raise ValueError(f"{PREDICTIONS}: no predictions; run `dvc repro`")
    seeds, ids = sorted({seed for seed, _ in found}), sorted(by_id)
    for seed in seeds:
        missing = [one for one in ids if (seed, one) not in found]
        if missing:
            raise ValueError(
                f"{PREDICTIONS}: seed {seed} has no answer to {len(missing)} of {len(ids)} questions of {QUESTIONS} "
                f"({first_ids(missing)}); run `dvc repro`"
            )
    chosen = {key: int(row["matched"]) if by_id[key[1]].free else row["choice"] for key, row in found.items()}
    choices = np.array([[chosen[seed, one] for one in ids] for seed in seeds])
    neither = [0.0, 0.0]  # a tie of the seeds is wrong, as the lower one
    scores = [
        np.array([neither if by_id[one].free else found[seed, one]["scores"] for seed in seeds], dtype=float)
        for one in ids
    ]
    return Run(name, [by_id[one] for one in ids], tuple(seeds), choices, scores)


def _check(row: dict, where: str, by_id: dict[str, Question]) -> None:
    question = by_id.get(str(row.get("id")))
    for field, kind in (FREE_FIELDS if question and question.free else FIELDS).items():
        value = row.get(field)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{where}: {field} is {value!r}; it has to be of type {kind.__name__}; run `dvc repro`")
    if question is None:
        raise ValueError(f"{where}: no question {row['id']!r} in {QUESTIONS}; run `dvc repro`")
    if row["gold"] != question.answer:
        raise ValueError(f"{where}: gold {row['gold']}, but {question.answer} in {QUESTIONS}; run `dvc repro`")
    if not question.free:
        _check_choice(row, where, len(question.choices))


def _check_choice(row: dict, where: str, options: int) -> None:
    if not 0 <= row["choice"] < options:
        raise ValueError(f"{where}: choice {row['choice']}, but {options} options (0-{options - 1}); run `dvc repro`")
    numbers = [x for x in row["scores"] if isinstance(x, (int, float)) and not isinstance(x, bool)]
    if len(row["scores"]) != options or len(numbers) != options:
        raise ValueError(f"{where}: scores {row['scores']!r}; allowed are {options} numbers; run `dvc repro`")
