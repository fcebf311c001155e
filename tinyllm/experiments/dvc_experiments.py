"""DVC's experiments as git knows them: which cells have a result, and of which commit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.experiments.grid import Cell
from tinyllm.experiments.locked import leaves
from tinyllm.experiments.results.kept import Kept
from tinyllm.params.load import PATH
from tinyllm.params.yaml_file import parse_yaml
from tinyllm.provenance.installed import VERSION_FILE
from tinyllm.records.reading import read_text

REFERENCE = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(.+-([0-9a-f]{8}))")
CODE = (
    "dvc.yaml",
    "stages",
    "tinyllm",
    str(VERSION_FILE),
)  # tinyllm/ of this repository, or the version of another project
SCORE = "metrics/score.json"
DVC = (sys.executable, "-m", "dvc")


@dataclass(frozen=True)
class Result:
    """A cell that has ended: an experiment, a file of experiments/results, or both."""

    name: str  # of the experiment, or of the file where there is none
    commit: str | None  # the experiment's own; None where there is none
    baseline: str  # the commit that it is of
    current: bool  # that commit is HEAD
    accuracy: float  # on test; on valid where the cell ends with its training
    metrics: Mapping[str, Any]  # metrics/score.json, or metrics/train/SEED.json by seed
    kept: Kept | None = None  # the file's


def git(*arguments: str, folder: Path = Path()) -> str:
    """Return what a git command prints.

    Raises:
        ValueError: it fails; git's own words in one line.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        raise ValueError(f"git {arguments[0]}: {' '.join(done.stderr.split())}")
    return done.stdout


def find_results(cells: Iterable[Cell]) -> dict[str, Result]:
    """Return by digest the results of the cells that have one: HEAD's where there is one, else the latest.

    An experiment of another commit counts as long as that commit's params.yaml said the same of everything that the cell
    uses and does not set itself; its code may have been another.
    """
    wanted = {cell.digest: cell for cell in cells}
    head, experiments = git("rev-parse", "HEAD").strip(), []
    listed = git("for-each-ref", "--sort=-committerdate", "--format=%(objectname) %(refname)", "refs/exps/")
    for line in listed.splitlines():
        commit, _, reference = line.partition(" ")
        match = REFERENCE.fullmatch(reference)
        if match and match[4] in wanted:
            experiments.append((match[4], match[3], commit, match[1] + match[2]))
    experiments.sort(key=lambda experiment: experiment[3] != head)
    texts = iter(
        read_blobs(
            [f"{commit}:./{path}" for digest, _, commit, _ in experiments for path in _metrics_of(wanted[digest])]
        )
    )
    changed = _changed({baseline for _, _, _, baseline in experiments})
    results: dict[str, Result] = {}
    for digest, name, commit, baseline in experiments:
        cell = wanted[digest]
        found = [next(texts) for _ in _metrics_of(cell)]
        if digest in results or None in found or any(_uses(cell, key) for key in changed[baseline]):
            continue
        metrics, accuracy = _metrics(cell, [json.loads(text) for text in found if text is not None])
        results[digest] = Result(name, commit, baseline, baseline == head, accuracy, metrics)
    return results


def _metrics_of(cell: Cell) -> list[str]:
    """The files that have an ended cell's metrics."""
    return [f"metrics/train/{seed}.json" for seed in cell.params.train.seeds] if cell.target == "train" else [SCORE]


def _metrics(cell: Cell, values: list[dict]) -> tuple[dict[str, Any], float]:
    """A cell's metrics and its accuracy."""
    if cell.target != "train":
        return values[0], values[0]["accuracy"]
    accuracies = [seed["valid_accuracy"] for seed in values]
    return dict(zip(map(str, cell.params.train.seeds), values, strict=True)), sum(accuracies) / len(accuracies)


def read_blobs(names: Sequence[str], folder: Path = Path()) -> list[str | None]:
    """Return the text of every `commit:path` in one go; None is a file that is not there.

    Args:
        names: a path that starts with `./` is of the folder, any other of the repository
    """
    asked = "".join(f"{name}\n" for name in names).encode()
    done = subprocess.run(["git", "cat-file", "--batch"], cwd=folder, input=asked, capture_output=True, check=True)
    texts: list[str | None] = []
    rest = done.stdout
    for _ in names:
        header, _, rest = rest.partition(b"\n")
        if header.endswith(b" missing"):
            texts.append(None)
            continue
        size = int(header.split()[-1])
        texts.append(rest[:size].decode("utf-8"))
        rest = rest[size + 1 :]
    return texts


def same_code(commits: Sequence[str]) -> bool:
    """Whether commits are all known here and have the same pipeline, stages and package."""
    if None in _objects(commits):
        return False
    return all(len(set(_objects([f"{commit}:./{path}" for commit in commits]))) == 1 for path in CODE)


def _objects(names: Sequence[str]) -> list[str | None]:
    """The id of what git holds under each name; None is nothing."""
    asked = "".join(f"{name}\n" for name in names).encode()
    check = ["git", "cat-file", "--batch-check=%(objectname)"]
    done = subprocess.run(check, input=asked, capture_output=True, check=True)
    return [None if line.endswith(" missing") else line for line in done.stdout.decode("utf-8").splitlines()]


def _changed(baselines: set[str]) -> dict[str, set[str]]:
    """The keys that the folder's params.yaml and that of each commit both have, with other values."""
    names = sorted(baselines)
    texts = dict(zip(names, read_blobs([f"{baseline}:./{PATH}" for baseline in names]), strict=True))
    here = read_text(PATH)
    by_text: dict[str | None, set[str]] = {here: set()}  # most are the folder's own, word by word
    for text in texts.values():
        if text not in by_text:
            then, now = (leaves(parse_yaml(params or "{}", str(PATH))) for params in (text, here))
            by_text[text] = {key for key in then.keys() & now.keys() if then[key] != now[key]}
    return {baseline: by_text[text] for baseline, text in texts.items()}


def _uses(cell: Cell, key: str) -> bool:
    """Whether the value of params.yaml shapes the cell's result."""
    section, _, rest = key.partition(".")
    if section == "teachers":
        return rest.partition(".")[0] in cell.params.corpus.teachers and key not in cell.overrides
    return section != "runtime" and key not in cell.overrides


def command(cell: Cell) -> list[str]:
    """The call of DVC that runs a cell."""
    overrides = [part for key, value in cell.overrides.items() for part in ("-S", f"{PATH}:++{key}={_hydra(value)}")]
    return [*DVC, "exp", "run", "-n", cell.name, *overrides, cell.target]


def _hydra(value: object) -> str:
    """A value in the grammar of `-S`."""
    if isinstance(value, list):
        return f"[{','.join(map(_hydra, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    text = re.sub(r"(\\*)'", r"\1\1\\'", value)  # a backslash counts as one only right before a quote
    return "'" + re.sub(r"(\\+)$", r"\1\1", text).replace("${", "\\${") + "'"
