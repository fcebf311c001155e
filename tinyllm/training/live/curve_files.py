"""The curves of a training as files that `dvc plots` draws: the loss of each task, and the accuracy on valid."""

from __future__ import annotations

from collections.abc import Sequence

from tinyllm.records.files import atomic_write
from tinyllm.training.validation import Look


def write_curves(seed: str, rows: Sequence[dict], looks: Sequence[Look]) -> None:
    """Write metrics/loss/SEED.tsv and metrics/valid/SEED.tsv.

    Args:
        rows: of the loss curve: `step`, `task`, `loss`
        looks: at valid, in order
    """
    with atomic_write(f"metrics/loss/{seed}.tsv") as file:
        file.write("step\ttask\tloss\n")
        file.writelines(f"{row['step']}\t{row['task']}\t{row['loss']}\n" for row in rows)
    with atomic_write(f"metrics/valid/{seed}.tsv") as file:
        file.write("step\taccuracy\n")
        file.writelines(f"{look.step}\t{look.accuracy:.4f}\n" for look in looks)
