"""Run a function in two processes that know each other, as torchrun would start them, without torchrun's seconds."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.processes import WARM

PROCESSES = 2


def run_together(folder: Path, function: Callable[..., Any], *arguments: object) -> list[Any]:
    """Return what the function returns in each process, by rank.

    Args:
        folder: an existing one, for what they return
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = [folder / f"{rank}.pickle" for rank in range(PROCESSES)]
    processes = [
        WARM.Process(target=_run, args=(rank, port, function, arguments, file)) for rank, file in enumerate(files)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=200)
    assert [process.exitcode for process in processes] == [0, 0]
    return [pickle.loads(file.read_bytes()) for file in files]


def _run(rank: int, port: int, function: Callable[..., Any], arguments: tuple[object, ...], file: Path) -> None:
    import torch

    torch.set_num_threads(1)
    group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": PROCESSES, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in group.items()})
    file.write_bytes(pickle.dumps(function(*arguments)))
    torch.distributed.destroy_process_group()
