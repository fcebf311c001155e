"""GPUs dealt out to processes that run beside each other: each sees its own and no other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

VARIABLE = "CUDA_VISIBLE_DEVICES"


def gpu_names(chosen: str | None = None) -> list[str]:
    """Return the GPUs to deal out, as CUDA_VISIBLE_DEVICES names them: those chosen, else those visible, else all.

    Args:
        chosen: `--gpus`, such as `0,2`

    Raises:
        ValueError: a chosen name is empty or stands twice.
    """
    listed = chosen if chosen is not None else os.environ.get(VARIABLE)
    if listed is None:
        return [str(number) for number in range(_count())]
    names = [name.strip() for name in listed.split(",")]
    if chosen is not None and (not all(names) or len(set(names)) < len(names)):
        raise ValueError(f"--gpus {chosen}: must be different GPUs, separated by commas, such as 0,2")
    return [name for name in names if name and not name.startswith("-")]  # -1 hides all behind it


class Deck:
    """Which of the GPUs is whose. Where all are taken, the one with the fewest processes is dealt again."""

    def __init__(self, names: Sequence[str]) -> None:
        self.users = dict.fromkeys(names, 0)

    def deal(self, number: int = 1) -> tuple[str, ...]:
        """Return so many GPUs to use until `take_back`, fewer where there are no more."""
        names = sorted(self.users, key=lambda name: self.users[name])[:number]
        for name in names:
            self.users[name] += 1
        return tuple(names)

    def take_back(self, names: Sequence[str]) -> None:
        for name in names:
            self.users[name] -= 1


def environment_of(gpus: Sequence[str]) -> Mapping[str, str]:
    """Return what a process's environment has to say so that it sees these GPUs alone; of none, all as they are."""
    return {VARIABLE: ",".join(gpus)} if gpus else {}


def _count() -> int:
    """Return how many GPUs the driver's own tool lists: asking torch would take seconds."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
