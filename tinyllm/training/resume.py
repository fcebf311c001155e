"""Where a training keeps its checkpoints, so that one that was killed goes on, and never goes on from another's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
import transformers
from filelock import lock_descriptor

from tinyllm.params.schema import Params
from tinyllm.records.files import close_to_others, make_private
from tinyllm.records.reading import open_binary
from tinyllm.training.distributed import is_first
from tinyllm.training.trainer import WHOLE

PACKAGE = Path(__file__).parents[1]
ROOMS = ("models", "records", "student", "training")  # all that the training stage reaches, bar how it is shown
KEPT_DAYS = 14  # a training nobody went on with for so long is given up
SHAPING = (
    "device",
    "precision",
    "batch_tokens",
    "shard",
    "recompute",
)  # of runtime: they change a result's last digits


def training_key(params: Params, seed: int, files: Sequence[str]) -> str:
    """Return the sha256 of everything that shapes a training: data, params, the program, its libraries.

    Args:
        files: the data it reads
    """
    values = {
        "seed": seed,
        "teachers": params.corpus.teachers,
        "rationales": [params.corpus.samples, params.corpus.selection == "learnable"],
        "student": params.student.model_dump(),
        "loss": params.loss.model_dump(),
        "train": params.train.model_dump(exclude={"seeds"}),
        "judge": params.score.model_dump(include={"normalize", "precision"}),
        "runtime": {name: getattr(params.runtime, name) for name in SHAPING},
        # any number of processes goes on from checkpoints in shares; else each has draws of its own, for its dropout
        "processes": None if params.runtime.shard else params.runtime.processes,
        "libraries": [torch.__version__, transformers.__version__],
    }
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for path in program_files():
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + _content(path))
    for path in map(Path, files):
        digest.update(path.name.encode() + _content(path))
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    """Return the sha256 of a file of any size."""
    digest = hashlib.sha256()
    with open_binary(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def program_files() -> list[Path]:
    """Return the modules that can change a training, in a fixed order."""
    return sorted(path for room in ROOMS for path in (PACKAGE / room).rglob("*.py"))


@contextmanager
def checkpoint_folder(cache: Path, key: str) -> Iterator[Path]:
    """Yield the folder of this training's checkpoints; it is deleted once the training has come to its end.

    An error leaves it where there is a checkpoint in it, a kill always. While another experiment trains the same, a folder of
    its own is lent, which nobody goes on from; several processes of one training share theirs, and so have to wait.

    Raises:
        ValueError: such processes find another training at work on the same.
    """
    trainings = cache / "train"
    make_private(trainings)
    close_to_others(trainings)
    folder = trainings / key[:32]
    delete_old(trainings, folder)
    folder.mkdir(mode=0o700, exist_ok=True)
    if not is_first():
        yield folder
        return
    with (folder / "lock").open("w") as lock:
        if not lock_descriptor(lock.fileno(), blocking=False):
            if "RANK" in os.environ:
                raise ValueError(f"{folder}: another run trains the same student; wait for its end") from None
            with tempfile.TemporaryDirectory(dir=trainings) as lent:
                yield Path(lent)
            return
        try:
            yield folder
        except BaseException:
            if last_checkpoint(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the latest checkpoint that was written whole."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{WHOLE}")]
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def delete_old(trainings: Path, keep: Path) -> None:
    """Delete trainings that nobody went on with, but for the one to `keep`.

    Their age is taken from the latest of them, where the clock is ahead of that: one that jumped would else make all look old.
    """
    changed: dict[Path, float] = {}
    for folder in trainings.iterdir():
        with suppress(FileNotFoundError):  # its own training has just come to its end
            changed[folder] = folder.stat().st_mtime
    now = min(time.time(), max(changed.values(), default=0.0))
    for folder, time_changed in changed.items():
        if now - time_changed > KEPT_DAYS * 86400 and folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
