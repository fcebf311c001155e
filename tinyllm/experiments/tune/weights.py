"""Students that only chose a setting: their weights need not stay in DVC's cache, where dozens would fill the disk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tinyllm.experiments.dvc_experiments import read_blobs
from tinyllm.project import STUDENTS, locked_stage

WEIGHTS = ".safetensors"


def drop_weights(commit: str, seeds: Iterable[int], since: float) -> int:
    """Delete the weights of an experiment's students that a run has just made; return their number of bytes.

    What was there before is another run's, too, and stays. DVC trains anew what it finds no weights of.

    Args:
        commit: the experiment's own
        seeds: of the students
        since: when the run began, in seconds since 1970; a file that is older stays
    """
    from dvc.repo import Repo  # slow to import

    (lock,) = read_blobs([f"{commit}:./dvc.lock"])
    freed = 0
    with Repo() as repo:
        for md5 in _folders(lock or "", seeds):
            listed = Path(repo.cache.local.oid_to_path(md5))
            for entry in json.loads(listed.read_bytes()) if listed.is_file() else []:
                path = Path(repo.cache.local.oid_to_path(entry["md5"]))
                if entry["relpath"].endswith(WEIGHTS) and path.is_file() and path.stat().st_mtime >= since:
                    freed += path.stat().st_size
                    path.unlink()
    return freed


def _folders(lock: str, seeds: Iterable[int]) -> list[str]:
    """The digests of the students' folders that an experiment's training has made."""
    outs = [out for seed in seeds for out in locked_stage(lock, f"train@{seed}").get("outs", ())]
    return [out["md5"] for out in outs if out["path"].startswith(f"{STUDENTS.as_posix()}/") and "md5" in out]
