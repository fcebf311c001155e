"""What a training that only chose a setting leaves behind, once its result has a file: dozens of them would fill the disk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tinyllm.experiments.dvc_experiments import Result, git, read_blobs
from tinyllm.experiments.grid import Cell
from tinyllm.project import STUDENTS, locked_stage

WEIGHTS = ".safetensors"


def forget_training(cell: Cell, result: Result, since: float) -> None:
    """Delete a training's experiment, and from DVC's cache the weights of its students.

    The experiment was never scored, and the metrics/score.json in it is that of the commit it is of: nobody should read it.
    Weights that were there before are another run's, too, and stay. DVC trains anew what it finds no weights of.

    Args:
        since: when the run began, in seconds since 1970; a file that is older stays
    """
    assert result.commit, f"{result.name} is no experiment"
    (lock,) = read_blobs([f"{result.commit}:./dvc.lock"])
    _drop_weights(lock or "", cell.params.train.seeds, since)
    git("update-ref", "-d", f"refs/exps/{result.baseline[:2]}/{result.baseline[2:]}/{result.name}")


def _drop_weights(lock: str, seeds: Iterable[int], since: float) -> None:
    from dvc.repo import Repo  # slow to import

    with Repo() as repo:
        for md5 in _folders(lock, seeds):
            listed = Path(repo.cache.local.oid_to_path(md5))
            for entry in json.loads(listed.read_bytes()) if listed.is_file() else []:
                path = Path(repo.cache.local.oid_to_path(entry["md5"]))
                if entry["relpath"].endswith(WEIGHTS) and path.is_file() and path.stat().st_mtime >= since:
                    path.unlink()


def _folders(lock: str, seeds: Iterable[int]) -> list[str]:
    """The digests of the students' folders that an experiment's training has made."""
    outs = [out for seed in seeds for out in locked_stage(lock, f"train@{seed}").get("outs", ())]
    return [out["md5"] for out in outs if out["path"].startswith(f"{STUDENTS.as_posix()}/") and "md5" in out]
