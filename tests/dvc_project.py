"""A small git and DVC project with predictions, made by hand."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tinyllm.experiments.runs import Run, parse_run
from tinyllm.records.questions import parse_questions

SEEDS = (1, 2, 3)


PREDICTIONS, QUESTIONS = "data/predictions.jsonl", "data/questions/test.jsonl"


def question_rows(count: int, options: int = 4) -> list[dict]:
    return [
        {"id": f"q{i:04}", "question": f"Case {i}?", "choices": [f"cause {k}" for k in range(options)], "answer": i % 4}
        for i in range(count)
    ]


def prediction_rows(questions: Sequence[dict], right: Callable[[int, int], bool], seeds: Sequence[int] = SEEDS) -> list:
    """One row a question and seed, the gold option where `right(seed, i)`, else the one after it."""
    rows = []
    for seed in seeds:
        for i, question in enumerate(questions):
            gold, options = question["answer"], len(question["choices"])
            choice = gold if right(seed, i) else (gold + 1) % options
            scores = [-0.5 if k == choice else -2.0 for k in range(options)]
            rows.append({"seed": seed, "id": question["id"], "gold": gold, "choice": choice, "scores": scores})
    return rows


def lines(rows: Sequence[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


class Project:
    """A git and DVC project with one stage, whose outputs are written by hand as DVC would keep them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        git(folder, "init", "-q", "-b", "main")
        (folder / ".dvc").mkdir()
        (folder / ".dvc/config").write_text(
            "[core]\n    analytics = false\n    check_update = false\n", encoding="utf-8"
        )
        (folder / ".gitignore").write_text("/data\n/.dvc/cache\n/.dvc/tmp\n", encoding="utf-8")
        outs = f"    outs:\n    - {PREDICTIONS}\n    - {QUESTIONS}\n"
        (folder / "dvc.yaml").write_text(f"stages:\n  score:\n    cmd: make\n{outs}", encoding="utf-8")

    def put(self, questions: str, predictions: str) -> None:
        """Write the workspace's files."""
        for file, text in ((QUESTIONS, questions), (PREDICTIONS, predictions)):
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / file).write_text(text, encoding="utf-8")

    def commit(self, branch: str, questions: str, predictions: str) -> str:
        """Commit a run on a branch of its own, its files in DVC's cache; the workspace has them, too."""
        self.put(questions, predictions)
        listed = ""
        for file, text in ((PREDICTIONS, predictions), (QUESTIONS, questions)):
            data = text.encode()
            md5 = hashlib.md5(data).hexdigest()
            path = self.cached(md5)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            listed += f"    - path: {file}\n      hash: md5\n      md5: {md5}\n      size: {len(data)}\n"
        lock = f"schema: '2.0'\nstages:\n  score:\n    cmd: make\n    outs:\n{listed}"
        (self.folder / "dvc.lock").write_text(lock, encoding="utf-8")
        git(self.folder, "checkout", "-q", "-B", branch)
        git(self.folder, "add", ".")
        git(self.folder, "commit", "-q", "--allow-empty", "-m", branch)
        return git(self.folder, "rev-parse", "HEAD")

    def cached(self, md5: str) -> Path:
        return self.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]

    def kept(self, text: str) -> Path:
        return self.cached(hashlib.md5(text.encode()).hexdigest())


def in_memory(
    name: str, questions: Sequence[dict], right: Callable[[int, int], bool], seeds: Sequence[int] = SEEDS
) -> Run:
    return parse_run(name, parse_questions(questions, name), prediction_rows(questions, right, seeds))
